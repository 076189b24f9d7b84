"""espeak-ng keeps the promises of every TTS."""

from sipcore.plugins import Voice
from sipcore.testing.contract import TTSContract


class TestEspeak(TTSContract):
    module = "sipcore_tts_espeak"


class TestFrench(TTSContract):
    module = "sipcore_tts_espeak"
    voice = Voice("fr-FR")
    sentence = "Merci de votre appel, un instant s'il vous plaît."

"""Callers of three languages call one server, with real models: each is answered in the own language."""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import SIPCORE, Lab
from phonelab.program import environment
from phonelab.server import Server
from phonelab.words import LanguageJudge

SOUNDS = Path("/usr/share/asterisk/sounds")
"""Debian's asterisk-core-sounds-fr-wav, -es-wav and -en-wav."""
QUESTIONS = {
    "fr": "fr_CA_f_June/pls-hold-while-try",
    "es": "es_MX_f_Allison/vm-undelete",
    "en": "en_US_f_Allison/vm-repeat",
}
MODELS = ("base", "en_US-joe-medium", "silero-vad", "qwen2.5-coder-0.5b-instruct")
PROMPT = (
    "You are the phone assistant of a garden shop. Apologise politely, and tell the caller in two full sentences "
    "when the shop opens: from nine in the morning to six in the evening."
)
SETTINGS = f"""
[[assistant]]
prompt = "{PROMPT}"
greeting = "Garden shop."
languages = ["en", "fr", "es"]
apologies = {{ fr = "Pardon ?", es = "¿Perdón?" }}

[llm.qwen]
temperature = 0.0

[tts.espeak]
speed = 0.85
"""
"""Sentences, and slowly: what a robot says in a second, Whisper base takes for any language."""
BEFORE = 3.0
AFTER = 30.0


@pytest.fixture(scope="module")
def judge() -> LanguageJudge:
    """Tells which language a phone heard; the models of the server are fetched as well."""
    subprocess.run([SIPCORE, "models", "pull", *MODELS], check=True, env=environment(), timeout=280)
    return LanguageJudge()


@pytest.fixture
def garden_shop(judge: LanguageJudge, start: Callable[..., Server], tmp_path: Path) -> Server:
    """A server that speaks three languages, and has a neural voice for one."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "sipcore.toml").write_text(SETTINGS, encoding="utf-8")
    env = {"SIPCORE_STT__WHISPER__MODEL": "base", "SIPCORE_RECORDING__KEEP_REPLIES": "true"}
    return start(folder=folder, plugins="whisper,piper,espeak,silero,qwen,language_id", env=env)


def said_in(server: Server, call: int) -> list[tuple[str, str]]:
    """Who said what on the call of that number, by the log."""
    by_call: dict[str, list[tuple[str, str]]] = {}
    for tag, who, text in re.findall(r"\[call (\S+)\] (caller|assistant): (.*) - server\.py:\d+$", server.log, re.M):
        by_call.setdefault(tag, []).append((who, text))
    return list(by_call.values())[call]


def ask(server: Server, lab: Lab, folder: Path, question: waves.Samples, call: int) -> waves.Samples:
    """Call, ask, wait for the answer to be over; what the phone heard after the question."""
    said = np.concatenate([waves.silence(BEFORE), question, waves.silence(AFTER)])
    with Baresip(lab, folder, said, dial=server.uri) as phone:
        phone.wait_established()
        server.wait_for("answered after", 40, count=call + 1)
        server.wait_for(r"\] assistant: .*", 25, count=2 * (call + 1))
        phone.hang_up()
    return phone.heard()[round((BEFORE + len(question) / waves.RATE) * waves.RATE) :]


@pytest.mark.timeout(900)
def test_each_caller_is_answered_in_the_own_language(
    garden_shop: Server, lab: Lab, tmp_path: Path, judge: LanguageJudge
):
    heard: Mapping[str, waves.Samples] = {}
    for number, (language, name) in enumerate(QUESTIONS.items()):
        question, rate = waves.read(SOUNDS / f"{name}.wav")
        assert rate == waves.RATE
        heard = {**heard, language: ask(garden_shop, lab, tmp_path / language, question, number)}
        garden_shop.wait_calls_over(number + 1)
    judged = {language: judge.listen(samples) for language, samples in heard.items()}
    for number, (language, (found, words)) in enumerate(judged.items()):
        print(f"{language}: {said_in(garden_shop, number)}\n  heard {found}: {words!r}")
    changes = re.findall(r"the language is now (\S+)", garden_shop.log)
    kept = sorted((garden_shop.output / "response").glob("*.wav"))
    assert changes == ["fr", "es"], "each call starts in English"
    assert {language: found for language, (found, _) in judged.items()} == {
        language: language for language in QUESTIONS
    }
    assert all(waves.spoken_seconds(samples) >= 0.5 for samples in heard.values())
    assert "piper has no voice for fr: espeak speaks it" in garden_shop.log
    assert "piper has no voice for es: espeak speaks it" in garden_shop.log
    assert len(kept) == len(QUESTIONS), "what was said on each turn is kept"
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600] * len(kept)

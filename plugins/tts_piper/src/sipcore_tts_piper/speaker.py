"""One loaded voice: text in, samples out. Blocking; called in threads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sipcore.plugins import AudioFrame, PluginError

if TYPE_CHECKING:
    from piper import PiperVoice

    from sipcore_tts_piper.config import Config

WARM_UP = "Hello, and thank you for calling. One moment, please."


class Speaker:
    """A voice that is ready to speak; safe to use from many threads at once.

    Args:
        voice: what speaks.
        settings: volume and speaker.

    Raises:
        PluginError: the voice has no such speaker.
    """

    def __init__(self, voice: PiperVoice, settings: Config) -> None:
        speakers = max(voice.config.num_speakers, 1)
        if settings.speaker is not None and settings.speaker >= speakers:
            raise PluginError(f"[tts.piper] speaker is {settings.speaker}, but the voice has {speakers}, from 0 on")
        self._voice = voice
        self._settings = settings

    def say(self, text: str, speed: float) -> Iterator[AudioFrame]:
        """Speak ``text``: a frame a sentence, made when it is asked for.

        Every sentence has the voice's own level: made equally loud one by one, a quiet "yes" would shout.

        Raises:
            PluginError: the engine failed.
        """
        from piper import SynthesisConfig

        how = SynthesisConfig(
            speaker_id=self._settings.speaker,
            length_scale=self._voice.config.length_scale / speed,
            volume=self._settings.volume,
            normalize_audio=False,
        )
        try:
            for chunk in self._voice.synthesize(text.replace("\0", " "), how):
                yield AudioFrame(chunk.audio_int16_bytes, chunk.sample_rate)
        except Exception as error:
            raise PluginError(f"Piper could not say {text!r}: {error}") from error


def load_speaker(path: Path, settings: Config) -> Speaker:
    """Load a voice and warm it up, so that its first sentence is as fast as any.

    Args:
        path: the ``.onnx`` file; its ``.onnx.json`` is beside it.
        settings: threads, volume and speaker.

    Raises:
        PluginError: the files are no Piper voice, or it has no such speaker.
    """
    try:
        loaded = Speaker(_read(path, settings.threads), settings)
        for _ in loaded.say(WARM_UP, 1.0):
            pass
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"voice {path} cannot be loaded: {error}. Is it a Piper voice, and whole?") from error
    return loaded


def _read(path: Path, threads: int) -> PiperVoice:
    """Read a voice, with a session of our own: ``PiperVoice.load`` leaves no say in threads, and idle ones spin."""
    from piper import PiperConfig, PiperVoice

    onnxruntime: Any = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    config = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=PiperConfig.from_dict(config))

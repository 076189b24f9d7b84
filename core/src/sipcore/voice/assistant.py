"""An assistant: who answers, what it is told, and how it takes turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sipcore.audio.frame import AudioFrame
from sipcore.plugins.interfaces import Voice


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """When the caller has spoken, and when not any more. Every length is in seconds of audio.

    Args:
        threshold: speech probability from which a frame is speech; 0.15 below it, a frame is silence again.
        min_speech: shorter sounds are no speech (a click, a cough).
        candidate_silence: after so much silence the reply is prepared.
        end_silence: after so much silence it is spoken.
        pre_roll: audio kept from before the speech was noticed.
        max_utterance: a longer utterance is answered as it stands.
        barge_in: whether the caller may interrupt.
        barge_in_speech: so much speech over the assistant's is an interruption.
    """

    threshold: float = 0.5
    min_speech: float = 0.09
    candidate_silence: float = 0.25
    end_silence: float = 0.6
    pre_roll: float = 0.3
    max_utterance: float = 30.0
    barge_in: bool = True
    barge_in_speech: float = 0.25


@dataclass(frozen=True, slots=True)
class Assistant:
    """A named prompt with a greeting, its voices and its manners.

    Args:
        name: its name in the settings.
        prompt: the system prompt.
        greeting: text that it opens with; empty: it waits for the caller.
        greeting_audio: a recording to open with instead, at the call's rate.
        language: BCP 47 code of the language that it starts in.
        voices: a voice's name for each language; a language without one gets the engine's default.
        speed: of its speech; 1 is the voice's own.
        apology: what it says when a reply could not be made; empty: nothing.
        patience: seconds that an engine may take for its next piece of work, before the reply is given up.
        turn_taking: when it speaks and when it yields.
    """

    name: str = "assistant"
    prompt: str = "You are on the phone. Answer in one or two short sentences."
    greeting: str = ""
    greeting_audio: AudioFrame | None = None
    language: str = "en"
    voices: Mapping[str, str] = field(default_factory=dict[str, str])
    speed: float = 1.0
    apology: str = "Sorry, something went wrong. Please say that again."
    patience: float = 30.0
    turn_taking: TurnTaking = TurnTaking()

    @property
    def languages(self) -> Sequence[str]:
        """The languages that it speaks, its own first."""
        return tuple(dict.fromkeys((self.language, *self.voices)))

    def voice(self, heard: str = "") -> Voice:
        """The voice to answer the language ``heard`` in: its own language's when it speaks no variety of that one."""
        same = [known for known in self.languages if known.lower() == heard.lower()]
        alike = [known for known in self.languages if _primary(known) == _primary(heard)]
        language = next(iter((*same, *alike)), self.language)
        return Voice(language=language, name=self.voices.get(language, ""), speed=self.speed)


def _primary(language: str) -> str:
    """The primary subtag of a language tag (RFC 5646 §2.2.1): ``en`` of ``en-GB``."""
    return language.partition("-")[0].lower()

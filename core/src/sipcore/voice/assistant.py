"""An assistant: who answers, what it is told, and how it takes turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sipcore.audio.frame import AudioFrame
from sipcore.plugins.interfaces import Voice
from sipcore.voice.language import reply_line
from sipcore.voice.tags import primary, variety


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
        interim: after so much unbroken speech, and again after as much, an interim transcript is made; 0: never.
    """

    threshold: float = 0.5
    min_speech: float = 0.09
    candidate_silence: float = 0.25
    end_silence: float = 0.6
    pre_roll: float = 0.3
    max_utterance: float = 30.0
    barge_in: bool = True
    barge_in_speech: float = 0.25
    interim: float = 0.0


@dataclass(frozen=True, slots=True)
class Assistant:
    """A named prompt with a greeting, its voices and its manners.

    Args:
        name: its name in the settings.
        prompt: the system prompt.
        greeting: text that it opens with; empty: it waits for the caller.
        greeting_audio: a recording to open with instead, at the call's rate.
        language: BCP 47 code of the language that it starts in.
        speaks: further languages that it speaks; those of ``voices`` count as well.
        voices: a voice's name for each language; a language without one gets the engine's default.
        speed: of its speech; 1 is the voice's own.
        apology: what it says when a reply could not be made; empty: nothing.
        apologies: the same for each language; one without gets ``apology``.
        patience: seconds that an engine may take for its next piece of work, before the reply is given up.
        turn_taking: when it speaks and when it yields.
    """

    name: str = "assistant"
    prompt: str = "You are on the phone. Answer in one or two short sentences."
    greeting: str = ""
    greeting_audio: AudioFrame | None = None
    language: str = "en"
    speaks: Sequence[str] = ()
    voices: Mapping[str, str] = field(default_factory=dict[str, str])
    speed: float = 1.0
    apology: str = "Sorry, something went wrong. Please say that again."
    apologies: Mapping[str, str] = field(default_factory=dict[str, str])
    patience: float = 30.0
    turn_taking: TurnTaking = TurnTaking()

    @property
    def languages(self) -> Sequence[str]:
        """The languages that it speaks, its own first."""
        return tuple(dict.fromkeys((self.language, *self.speaks, *self.voices)))

    def voice(self, heard: str = "") -> Voice:
        """The voice to answer the language ``heard`` in: its own language's when it speaks no variety of that one."""
        language = variety(heard, self.languages) or self.language
        name = self.voices.get(language) or self.voices.get(variety(language, self.voices), "")
        return Voice(language=language, name=name, speed=self.speed)

    def prompt_in(self, language: str) -> str:
        """The system prompt for a reply in ``language``. One that speaks one language alone need not be told which."""
        if len({primary(known) for known in self.languages}) == 1:
            return self.prompt
        return f"{self.prompt}\n{reply_line(language)}".strip()

    def apology_in(self, language: str) -> str:
        """What it says in ``language`` when a reply could not be made."""
        return self.apologies.get(variety(language, self.apologies), self.apology)

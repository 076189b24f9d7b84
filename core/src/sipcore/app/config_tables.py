"""The tables of ``sipcore.toml``. An unknown key is an error: a mistyped one must not pass silently."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sipcore.app.config_errors import Words
from sipcore.audio.frame import AudioFrame
from sipcore.voice.assistant import Assistant, TurnTaking

_TURN = TurnTaking()
_ASSISTANT = Assistant()
Language = Annotated[
    str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"), Words('a language code such as "en" or "pt-BR"')
]


def number_of(value: Any) -> Any:
    """Return the whole number that a text is, for choices between numbers; all else as it is."""
    return int(value) if isinstance(value, str) and len(value) < 10 and value.strip().isdecimal() else value


class Table(BaseModel):
    """What every table has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SipSettings(Table):
    """``[sip]``."""

    t1: float = Field(default=0.5, ge=0.05, le=5, description="Seconds: timer T1 of RFC 3261 §17.1.1.1, a round trip.")
    t2: float = Field(default=4.0, ge=0.1, le=40, description="Seconds: timer T2, the longest wait between repeats.")
    max_calls: int = Field(
        default=0, ge=0, le=100_000, description="Calls at once; 0: as many as the RTP ports have room for."
    )
    ring_seconds: float = Field(
        default=0.0, ge=0, le=180, description="Seconds that an incoming call rings before an answer."
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.t2 < self.t1:
            raise ValueError(f"t2 ({self.t2:g}) is below t1 ({self.t1:g}): it must be at least as long")
        return self


class MediaSettings(Table):
    """``[media]``."""

    mode: Literal["process", "thread"] = Field(
        default="process", description="Where the media engine runs: a process of its own, or a thread (for tests)."
    )
    ports_per_session: Annotated[int, Words("an even number from 2 to 64")] = Field(
        default=4, ge=2, le=64, multiple_of=2, description="RTP ports set aside for a call; even."
    )
    silence_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="Seconds without audio from the far end that end a call; 0: never."
    )


class WebSocketSettings(Table):
    """``[websocket]``."""

    enabled: bool = Field(default=True, description="Whether programs may steer calls over the WebSocket.")
    origins: Annotated[tuple[str, ...], Words('a list such as ["https://desk.example.org"]')] = Field(
        default=(), description="Origins of web pages that may connect; programs that are no browsers have none."
    )
    max_clients: int = Field(default=100, ge=1, le=10_000, description="Clients at once; more are refused with 503.")
    ring_seconds: float = Field(
        default=60.0, ge=1, le=600, description="Seconds that an incoming call is offered to clients before 480."
    )


class OutgoingSettings(Table):
    """``[outgoing]``: the calls that clients of the WebSocket ask for."""

    max_calls: int = Field(default=10, ge=0, le=100_000, description="Outgoing calls at once; 0: none.")
    calls_per_second: int = Field(default=5, ge=1, le=10_000, description="New outgoing calls a second.")
    ring_seconds: float = Field(
        default=60.0, ge=1, le=600, description="Seconds that an outgoing call may ring before it is given up (408)."
    )
    caller: Annotated[str, Words("a SIP URI such as sip:desk@example.org")] = Field(
        default="", pattern=r"^(sips?:\S+)?$", description="From of outgoing calls; empty: this server's own address."
    )


class RecordingSettings(Table):
    """``[recording]``."""

    enabled: bool = Field(default=True, description="Whether calls are recorded.")
    channels: Annotated[Literal[1, 2], BeforeValidator(number_of)] = Field(
        default=1, description="1: the caller alone; 2: the caller left, this side right."
    )
    keep_replies: bool = Field(
        default=False, description="Whether what callers heard of each reply is kept in `OUTPUT_DIR/response`."
    )


class TurnSettings(Table):
    """``[assistant.turn]``: when the caller has spoken, and when not any more."""

    vad_threshold: float = Field(
        default=_TURN.threshold, ge=0, le=1, description="Speech probability that counts as speech."
    )
    min_speech: float = Field(
        default=_TURN.min_speech, ge=0, le=5, description="Seconds: a shorter sound is no speech."
    )
    candidate_silence: float = Field(
        default=_TURN.candidate_silence,
        ge=0.05,
        le=5,
        description="Seconds of silence after which a reply is prepared.",
    )
    end_silence: float = Field(
        default=_TURN.end_silence, ge=0.05, le=10, description="Seconds of silence after which it is spoken."
    )
    pre_roll: float = Field(
        default=_TURN.pre_roll, ge=0, le=2, description="Seconds of audio kept from before speech was noticed."
    )
    max_utterance: float = Field(
        default=_TURN.max_utterance, ge=1, le=300, description="Seconds: a longer utterance is answered as it stands."
    )
    barge_in: bool = Field(default=_TURN.barge_in, description="Whether the caller may interrupt.")
    barge_in_speech: float = Field(
        default=_TURN.barge_in_speech,
        ge=0,
        le=5,
        description="Seconds of speech over the assistant's that interrupt it.",
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end_silence < self.candidate_silence:
            raise ValueError(
                f"end_silence ({self.end_silence:g}) is below candidate_silence ({self.candidate_silence:g}): "
                "it must be at least as long"
            )
        return self


class AssistantSettings(Table):
    """``[[assistant]]``."""

    name: Annotated[str, Words("a name of 1 to 64 characters")] = Field(
        default="default", min_length=1, max_length=64, description="Its name; each has its own."
    )
    prompt: str = Field(default=_ASSISTANT.prompt, description="What the language model is told.")
    greeting: str = Field(
        default="Hello, how can I help you?",
        description="What is spoken first when there is no greeting.wav; empty: nothing.",
    )
    apology: str = Field(
        default=_ASSISTANT.apology, description="What is spoken when no reply could be made; empty: nothing."
    )
    apologies: Annotated[dict[Language, str], Words('a table such as { fr = "Pardon ?" }')] = Field(
        default_factory=dict[str, str], description="The same for each language; one without gets `apology`."
    )
    patience: float = Field(
        default=_ASSISTANT.patience,
        ge=1,
        le=600,
        description="Seconds that an engine may take for its next piece of work, before the reply is given up.",
    )
    language: Language = Field(default="en", description="The language that it starts in.")
    languages: Annotated[tuple[Language, ...], Words('a list such as ["en", "fr"]')] = Field(
        default=(), description="Further languages that it answers in; those of `voices` count as well."
    )
    voices: Annotated[dict[Language, str], Words('a table such as { en = "en_US-joe-medium" }')] = Field(
        default_factory=dict[str, str],
        description="Voice of each language; one without gets the engine's default.",
    )
    speed: float = Field(default=1.0, ge=0.25, le=4, description="Speed of its speech; 1 is the voice's own.")
    stt: str = Field(default="", description="Plugin that understands speech; empty: the one installed.")
    tts: str = Field(default="", description="Plugin that speaks; empty: the one installed.")
    llm: str = Field(default="", description="Plugin that answers; empty: the one installed.")
    vad: str = Field(default="", description="Plugin that hears who speaks; empty: the one installed, else by energy.")
    identifier: str = Field(
        default="",
        description="Plugin that tells the language of what was said; empty: the one installed, else speech to text.",
    )
    conversation: str = Field(
        default="", description="Plugin that talks instead of the four; empty: the four, or the echo without them."
    )
    turn: TurnSettings = Field(default=TurnSettings(), description="When it speaks and when it yields.")

    def assistant(self, greeting_audio: AudioFrame | None = None, interim: float = 0.0) -> Assistant:
        """Make the assistant that these settings describe.

        Args:
            greeting_audio: the recorded greeting, at the call's rate.
            interim: seconds of unbroken speech after which an interim transcript is made; 0: never.
        """
        turn = self.turn.model_dump()
        return Assistant(
            name=self.name,
            prompt=self.prompt,
            greeting=self.greeting,
            greeting_audio=greeting_audio,
            language=self.language,
            speaks=self.languages,
            voices=self.voices,
            speed=self.speed,
            apology=self.apology,
            apologies=self.apologies,
            patience=self.patience,
            turn_taking=TurnTaking(threshold=turn.pop("vad_threshold"), interim=interim, **turn),
        )

"""The interfaces between the core and its plugins. Protocols and records; no behaviour.

Everything asynchronous lives in context managers: leaving one is teardown, cancelling one is barge-in.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from sipcore.audio.frame import AudioFrame

API_VERSION = (1, 0)
"""Major and minor version of this API. A plugin that asks for another major is refused."""

T = TypeVar("T")
ConfigT = TypeVar("ConfigT", bound=BaseModel)
EngineT = TypeVar("EngineT")

Stream: TypeAlias = AbstractAsyncContextManager[AsyncIterable[T]]
"""A stream is a context manager: leave it and whatever feeds it stops."""


@dataclass(frozen=True, slots=True)
class Provider(Generic[ConfigT, EngineT]):
    """What a hook returns: how to configure an engine and how to open it.

    Args:
        name: its name in settings (``llm = "qwen"``, ``[llm.qwen]``).
        config: a pydantic model with ``extra="forbid"``; ``config()`` must work unless a setting has no sane default.
            A method ``models()`` on it names the models that must be on the machine before ``open`` (`NeedsModels`).
        open: loads and warms up the engine on the application's exit stack; fails early, with a clear message.
        api: the version of the plugin API that it was written for.
        fallback: take it only where no other engine of its kind can serve: a voice of last resort.
    """

    name: str
    config: type[ConfigT]
    open: Callable[[ConfigT], AbstractAsyncContextManager[EngineT]]
    api: tuple[int, int] = API_VERSION
    fallback: bool = False


# --- language models -------------------------------------------------------------------------------------------------

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a function.

    Args:
        call_id: the model's name for this call: its result is told with it.
        name: of the `Tool`.
        arguments: a JSON object, as the model wrote it; what it holds is not checked.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation so far.

    Args:
        role: who says it; ``tool`` tells the result of a call.
        content: the words; of a tool, its result.
        tool_calls: the functions that the assistant called with this message.
        tool_call_id: of a tool's message: the call that it answers.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; ``parameters`` is its JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of a reply, as the model makes it: text, or a whole call of a function."""

    text: str = ""
    tool_call: ToolCall | None = None


class LLM(Protocol):
    """A language model."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> Stream[Delta]:
        """Stream the reply to ``messages``; leaving the block stops the model."""
        ...


@runtime_checkable
class WarmsPrompts(Protocol):
    """A language model that may do this besides: read a prompt ahead of the first reply to it."""

    async def warm(self, messages: Sequence[Message]) -> None:
        """Read ``messages``, so that a reply to a conversation that begins with them starts sooner."""
        ...


# --- speech ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Voice:
    """How to speak: a BCP 47 language (``en``, ``en-US``), a voice's name (empty: the language's default), a speed."""

    language: str = "en"
    name: str = ""
    speed: float = 1.0


class TTS(Protocol):
    """Text to speech."""

    def synthesize(self, text: AsyncIterable[str], voice: Voice) -> Stream[AudioFrame]:
        """Speak ``text`` (a sentence or clause an item): frames of any length and one sample rate, as they are made."""
        ...


@dataclass(frozen=True, slots=True)
class Speech:
    """An utterance, cut by the voice activity detector: audio plus the languages to expect (empty: any)."""

    audio: AudioFrame
    languages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    Args:
        text: the words; empty when there was no speech in it.
        language: BCP 47 code; empty when unknown.
        confidence: 0 to 1, how sure the engine is of the words.
    """

    text: str
    language: str = ""
    confidence: float = 1.0


class STT(Protocol):
    """Speech to text, a whole utterance at a time."""

    async def transcribe(self, speech: Speech) -> Transcript:
        """Transcribe one utterance; cancelling abandons it."""
        ...


class SpeechDetector(Protocol):
    """A voice activity detector's state for one call."""

    sample_rate: int
    frame_samples: int

    def probability(self, frame: NDArray[np.int16]) -> float:
        """Return how probably (0 to 1) a frame of ``frame_samples`` holds speech. Cheap: under 1 ms."""
        ...


class VAD(Protocol):
    """Voice activity detection."""

    def detector(self) -> SpeechDetector:
        """Make a detector for one call."""
        ...


# --- languages -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LanguageGuess:
    """Which language a text is in: its BCP 47 code, and how surely (0 to 1)."""

    language: str
    confidence: float


class LanguageIdentifier(Protocol):
    """Tells the language of a text."""

    def identify(self, text: str, languages: Sequence[str]) -> LanguageGuess:
        """Return the likeliest of ``languages`` (BCP 47 codes, at least one). Cheap: under 1 ms."""
        ...


# --- calls -----------------------------------------------------------------------------------------------------------

Direction: TypeAlias = Literal["incoming", "outgoing"]


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom.

    Args:
        call_id: the SIP Call-ID, unique on this server.
        direction: seen from this server.
        caller: the caller's URI (From).
        callee: the number or user dialled (the Request-URI).
        headers: headers of the INVITE worth keeping, by canonical name.
        taken_over: whether the call was answered before, by somebody who is gone: apologise instead of greeting.
    """

    call_id: str
    direction: Direction
    caller: str
    callee: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class TurnTiming:
    """When each step of a turn happened: seconds of the monotonic clock; None when the step was not reached.

    Args:
        speech_end: the caller stopped speaking.
        transcript: the transcript was there.
        first_token: the first piece of the reply.
        first_sentence: the first piece that can be spoken.
        first_audio: its first audio.
        first_packet: the first packet of it was sent.
    """

    speech_end: float
    transcript: float | None = None
    first_token: float | None = None
    first_sentence: float | None = None
    first_audio: float | None = None
    first_packet: float | None = None


@dataclass(frozen=True, slots=True)
class CallRang:
    """A call came in, or an outgoing one rings."""

    info: CallInfo


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A call was answered."""

    info: CallInfo


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call is over.

    Args:
        info: which call.
        reason: ``hangup`` (the peer's BYE), ``bye`` (ours), ``cancelled``, ``486 Busy Here``, ``no ack`` and the like.
    """

    info: CallInfo
    reason: str


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """The caller pressed a key: 0-9, ``*``, ``#``, A-D."""

    info: CallInfo
    digit: str


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """A call is being recorded to the WAV file ``path``."""

    info: CallInfo
    path: str


@dataclass(frozen=True, slots=True)
class TranscriptMade:
    """Somebody said something. ``final`` is False for an interim transcript."""

    info: CallInfo
    speaker: Literal["caller", "assistant"]
    transcript: Transcript
    final: bool = True


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """A turn is over: what the caller said, what the caller *heard* of the reply, and how long each step took."""

    info: CallInfo
    said: str
    heard: str
    interrupted: bool
    timing: TurnTiming


CallEvent: TypeAlias = (
    CallRang | CallAnswered | CallEnded | DigitReceived | RecordingStarted | TranscriptMade | TurnFinished
)


class CallHandle(Protocol):
    """One answered call, as a conversation sees it. The local call is one; the WebSocket client's is another.

    Positions are seconds of audio since the call was answered, counting only what was queued and not cleared.
    Every method raises `CallEndedError` once the call is over.
    """

    @property
    def info(self) -> CallInfo:
        """Who calls whom."""
        ...

    @property
    def sample_rate(self) -> int:
        """Samples a second of the call's audio, both ways."""
        ...

    def audio(self) -> Stream[AudioFrame]:
        """What the caller says, from now on: 20 ms frames, silence where nothing came. Ends with the call."""
        ...

    def digits(self) -> Stream[str]:
        """The keys that the caller presses, from now on."""
        ...

    async def play(self, audio: AudioFrame) -> float:
        """Queue audio of the call's `sample_rate`; waits while the queue is full. Returns the position of its end."""
        ...

    async def played(self, position: float) -> float | None:
        """Wait until all audio before ``position`` was really sent. Returns when, monotonic; None if it was cleared."""
        ...

    async def clear(self) -> float:
        """Drop what is queued. Returns the position that was really sent: what the caller has heard."""
        ...

    async def send_digits(self, digits: str) -> None:
        """Send telephone events (RFC 4733)."""
        ...

    async def hold(self) -> None:
        """Put the far end on hold: it is told so, and hears nothing until `resume`.

        Raises:
            CallFailedError: the far end refuses; the call goes on as before.
        """
        ...

    async def resume(self) -> None:
        """Talk again after `hold`.

        Raises:
            CallFailedError: the far end refuses; the call stays on hold.
        """
        ...

    async def transfer(self, target: str) -> None:
        """Ask the far end to call ``target`` (a SIP URI) instead (REFER, RFC 3515); returns when it has done so.

        The call is left up: hang it up then.

        Raises:
            CallFailedError: the far end, or the target, refused; the call goes on as before.
        """
        ...

    async def hang_up(self, reason: str = "") -> None:
        """End the call."""
        ...

    def report(self, event: CallEvent) -> None:
        """Tell observers and subscribers what happened."""
        ...


@runtime_checkable
class Conversation(Protocol):
    """Who talks on an answered call."""

    async def converse(self, call: CallHandle) -> None:
        """Talk until the call ends or the conversation is over; the call is hung up when this returns."""
        ...


@runtime_checkable
class SaysOnRequest(Protocol):
    """A conversation that may do this besides: say what somebody who follows the call wants said."""

    def say(self, call_id: str, text: str) -> bool:
        """Say ``text`` on a call when there is room for it; False when no such call is held."""
        ...


@runtime_checkable
class CallObserver(Protocol):
    """Sees what happens on every call. Called in order, on the event loop; must not block."""

    def on_event(self, event: CallEvent) -> None:
        """Something happened on a call."""
        ...

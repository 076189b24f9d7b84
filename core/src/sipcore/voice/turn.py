"""One turn: an utterance of the caller, and the assistant's reply to it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio

from sipcore.audio.frame import AudioFrame
from sipcore.plugins.interfaces import (
    LLM,
    STT,
    TTS,
    CallHandle,
    Delta,
    LanguageIdentifier,
    Message,
    Speech,
    Transcript,
    TurnTiming,
)
from sipcore.plugins.text import for_speech, sentences
from sipcore.voice.assistant import Assistant
from sipcore.voice.history import History
from sipcore.voice.patience import Patience
from sipcore.voice.playout import Playout

FIRST_PACKET = 0.02
"""Seconds of audio in a packet: when so much of the reply was played, its first packet was sent."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What a pipeline thinks with; without an identifier, the language is the one that speech to text hears."""

    stt: STT
    llm: LLM
    tts: TTS
    identifier: LanguageIdentifier | None = None


@dataclass(slots=True)
class Turn:
    """Understands one utterance and replies to it; speculative until `commit`.

    Transcript, reply and first audio are made at once; nothing is queued to the caller before `commit`. Cancelling
    `run` stops all of it without a trace.

    Args:
        call: whose turn.
        assistant: who replies.
        engines: with what.
        history: what was said before; the turn does not write to it.
        audio: the utterance.
        speech_end: when the caller stopped speaking, monotonic.
        on_transcript: called with the transcript when the turn is committed and the transcript is there.
        language_of: chooses the language to answer a transcript in.
        kept: whether the reply's audio is kept.
    """

    call: CallHandle
    assistant: Assistant
    engines: Engines
    history: History
    audio: AudioFrame
    speech_end: float
    on_transcript: Callable[[Transcript], None]
    language_of: Callable[[Transcript], str]
    kept: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    transcript: Transcript | None = None
    timing: TurnTiming = field(init=False)
    patience: Patience = field(init=False)
    playout: Playout = field(init=False)
    _committed: anyio.Event = field(default_factory=anyio.Event)
    _announced: bool = False

    def __post_init__(self) -> None:
        self.timing = TurnTiming(self.speech_end)
        self.patience = Patience(self.assistant.patience)
        self.playout = Playout(
            self.call,
            self.engines.tts,
            self.assistant.voice(self.language_of(Transcript(""))),
            self.patience,
            before_first=self._on_first_audio,
            kept=self.kept,
        )

    @property
    def said(self) -> str:
        """What the caller said; empty while it is not known."""
        return self.transcript.text if self.transcript else ""

    @property
    def committed(self) -> bool:
        """Whether the caller is done: the reply may be spoken."""
        return self._committed.is_set()

    def commit(self) -> None:
        """The caller is done: speak."""
        self._committed.set()
        self._announce()

    async def run(self) -> None:
        """Transcribe, think and speak; returns when the caller has heard all of it, or there was nothing to answer.

        Raises:
            CallEndedError: the call ended meanwhile; perhaps in a group.
        """
        transcript = await self.engines.stt.transcribe(Speech(self.audio, self.assistant.languages))
        self._note(transcript=anyio.current_time())
        self.patience.renew()
        language = self.language_of(transcript)
        messages = self.history.messages(transcript.text, self.assistant.prompt_in(language))
        self.transcript = replace(transcript, language=language)
        self.playout.voice = self.assistant.voice(language)
        self._announce()
        if transcript.text:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._note_first_packet)
                await self._reply(messages)
                tasks.cancel_scope.cancel()
        with self.patience.suspended():
            await self._committed.wait()

    async def _reply(self, messages: Sequence[Message]) -> None:
        async with self.engines.llm.reply(messages) as deltas:
            async for piece in sentences(self._texts(deltas)):
                if self.timing.first_sentence is None:
                    self._note(first_sentence=anyio.current_time())
                if words := for_speech(piece):
                    await self.playout.say(words)
        await self.playout.finish()

    async def apologise(self) -> None:
        """Say that something went wrong, if the assistant has words for that; else only what was queued is heard."""
        if apology := self.assistant.apology_in(self.playout.voice.language):
            await self.playout.say(apology)
        await self.playout.finish()

    async def _note_first_packet(self) -> None:
        await self.playout.started.wait()
        self._note(first_packet=await self.call.played(self.playout.start + FIRST_PACKET))

    async def _texts(self, deltas: AsyncIterable[Delta]) -> AsyncIterator[str]:
        async for delta in deltas:
            self.patience.renew()
            if self.timing.first_token is None and delta.text:
                self._note(first_token=anyio.current_time())
            yield delta.text

    async def _on_first_audio(self) -> None:
        self._note(first_audio=anyio.current_time())
        await self._committed.wait()

    def _announce(self) -> None:
        if self.committed and self.transcript is not None and self.transcript.text and not self._announced:
            self._announced = True
            self.on_transcript(self.transcript)

    def _note(self, **when: float | None) -> None:
        self.timing = replace(self.timing, **when)

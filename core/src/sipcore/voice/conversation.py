"""The pipeline: voice activity, speech to text, a language model and text to speech, taking turns with a caller."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup

from sipcore.audio.frame import AudioFrame
from sipcore.errors import CallEndedError, is_call_ended
from sipcore.plugins.interfaces import (
    VAD,
    CallHandle,
    CallInfo,
    Speech,
    Transcript,
    TranscriptMade,
    TurnFinished,
    WarmsPrompts,
)
from sipcore.plugins.text import SentenceSplitter
from sipcore.voice.assistant import Assistant
from sipcore.voice.ear import Ear
from sipcore.voice.endpointing import (
    CandidateEnded,
    Endpointer,
    SpeechEvent,
    SpeechResumed,
    SpeechStarted,
    SpeechWentOn,
    TurnEnded,
)
from sipcore.voice.history import History
from sipcore.voice.language import LanguageChoice
from sipcore.voice.patience import Patience
from sipcore.voice.playout import Playout
from sipcore.voice.turn import Engines, Turn

logger = logging.getLogger(__name__)

SAYINGS_WAITING = 20
KeepReply: TypeAlias = Callable[[CallInfo, int, AudioFrame], None]
"""Told of what a caller heard of each reply: the call, the reply's number in it from 1 on, the audio."""


class Pipeline:
    """A `Conversation` made of four engines.

    Args:
        assistant: who talks.
        engines: speech to text, language model, text to speech.
        vad: voice activity.
        keep: called with every reply, on the event loop: it must not block. None: replies are not kept.
    """

    def __init__(self, assistant: Assistant, engines: Engines, vad: VAD, keep: KeepReply | None = None) -> None:
        self._assistant = assistant
        self._ear = Ear(engines.stt)
        self._engines = replace(engines, stt=self._ear)
        self._vad = vad
        self._keep = keep
        self._dialogues: dict[str, _Dialogue] = {}

    async def warm_up(self) -> None:
        """Call every voice, and let the language model read what every conversation begins with, if it can.

        Raises:
            PluginError: a voice is not there, as far as its engine can tell before it speaks.
        """
        llm, assistant = self._engines.llm, self._assistant
        for language in assistant.languages:
            async with self._engines.tts.synthesize(_nothing(), assistant.voice(language)):
                pass
        if isinstance(llm, WarmsPrompts):
            history = History(assistant.prompt)
            history.add_assistant(assistant.greeting)
            await llm.warm(history.messages("Hello?", assistant.prompt_in(assistant.language)))

    async def converse(self, call: CallHandle) -> None:
        """Greet, then answer every utterance until the caller hangs up."""
        async with anyio.create_task_group() as tasks, call.audio() as frames:
            dialogue = _Dialogue(self._assistant, self._engines, self._ear, self._vad, call, tasks, self._keep)
            self._dialogues[call.info.call_id] = dialogue
            dialogue.greet()
            try:
                with suppress(CallEndedError):
                    async for frame in frames:
                        await dialogue.hear(frame)
            finally:
                del self._dialogues[call.info.call_id]
            tasks.cancel_scope.cancel()

    def say(self, call_id: str, text: str) -> bool:
        """Say something on a call as soon as the assistant does not speak; False when it holds no such call."""
        dialogue = self._dialogues.get(call_id)
        if dialogue is None:
            return False
        dialogue.say(text)
        return True


@dataclass(slots=True)
class _Announcement:
    """What is said without having been asked: the greeting, an apology, what a SAY wants."""

    text: str
    audio: AudioFrame | None
    playout: Playout
    patience: Patience
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class _Dialogue:
    """One call's conversation. At most one thing is under way: the greeting, or a turn."""

    def __init__(
        self,
        assistant: Assistant,
        engines: Engines,
        ear: Ear,
        vad: VAD,
        call: CallHandle,
        tasks: TaskGroup,
        keep: KeepReply | None,
    ) -> None:
        self._assistant = assistant
        self._rules = assistant.turn_taking
        self._engines = engines
        self._ear = ear
        self._call = call
        self._tasks = tasks
        self._history = History(assistant.prompt)
        self._endpointer = Endpointer(assistant.turn_taking, vad.detector(), call.sample_rate)
        self._announcement: _Announcement | None = None
        self._turn: Turn | None = None
        self._unheard: AudioFrame | None = None
        self._to_say: deque[str] = deque(maxlen=SAYINGS_WAITING)
        self._interim: anyio.CancelScope | None = None
        self._choice = LanguageChoice(assistant.languages, engines.identifier)
        self._language = assistant.language
        self._keep = keep
        self._replies = 0

    # --- hearing

    async def hear(self, frame: AudioFrame) -> None:
        """Take the caller's next 20 ms."""
        for event in self._endpointer.hear(frame):
            self._on(event)
        if self._interim is not None and self._endpointer.silence >= self._rules.candidate_silence / 2:
            self._interim.cancel()
        if self._rules.barge_in and 0 < self._endpointer.speech >= self._rules.barge_in_speech:
            await self._interrupt()

    def _on(self, event: SpeechEvent) -> None:
        match event:
            case CandidateEnded() if not self._talking:
                self._begin(event)
            case SpeechWentOn() if not self._talking and self._interim is None:
                self._interim = anyio.CancelScope()
                self._tasks.start_soon(self._overhear, event.audio, self._interim)
            case SpeechResumed() if not self._talking:
                self._drop_speculation()
            case TurnEnded() if self._turn is not None:
                self._unheard = None
                self._turn.commit()
            case SpeechStarted() | SpeechWentOn() | CandidateEnded() | SpeechResumed() | TurnEnded():
                pass

    async def _overhear(self, audio: AudioFrame, scope: anyio.CancelScope) -> None:
        """Make an interim transcript. It is given up when the caller pauses: the engine is free for the real one."""
        speech = Speech(_joined(self._unheard, audio, self._rules.max_utterance), self._assistant.languages)
        try:
            with scope:
                transcript = await self._ear.overhear(speech)
                if transcript is not None and transcript.text:
                    self._call.report(TranscriptMade(self._call.info, "caller", transcript, final=False))
        except Exception:
            logger.exception("no interim transcript could be made")
        finally:
            self._interim = None

    @property
    def _talking(self) -> bool:
        """Whether the assistant has the floor: short sounds of the caller are then no turn."""
        return self._announcement is not None or (self._turn is not None and self._turn.committed)

    # --- talking

    def greet(self) -> None:
        """Open the conversation, while listening; one that somebody else began is opened with an apology."""
        if self._call.info.taken_over:
            self.say(self._assistant.apology_in(self._language))
        elif self._assistant.greeting or self._assistant.greeting_audio:
            self._announce(self._assistant.greeting, self._assistant.greeting_audio)

    def say(self, text: str) -> None:
        """Say ``text`` as soon as the assistant does not speak."""
        if text:
            self._to_say.append(text)
            self._say_next()

    def _say_next(self) -> None:
        if self._to_say and not self._talking:
            self._drop_speculation()
            self._announce(self._to_say.popleft())

    def _announce(self, text: str, audio: AudioFrame | None = None) -> None:
        patience = Patience(self._assistant.patience)
        playout = Playout(self._call, self._engines.tts, self._assistant.voice(self._language), patience)
        self._announcement = _Announcement(text, audio, playout, patience)
        self._tasks.start_soon(self._run_announcement, self._announcement)

    async def _run_announcement(self, announcement: _Announcement) -> None:
        with announcement.scope, suppress(CallEndedError):
            step = partial(self._speak, announcement)
            await _try(announcement.patience, step, "the announcement could not be spoken")
            await announcement.playout.finish()
            self._announcement = None
            self._said(announcement.playout, float("inf"))
            self._say_next()

    async def _speak(self, announcement: _Announcement) -> None:
        if announcement.audio is not None:
            await announcement.playout.play(announcement.audio, announcement.text)
        else:
            splitter = SentenceSplitter(first_clause=False)
            for sentence in (*splitter.feed(announcement.text), *splitter.flush()):
                await announcement.playout.say(sentence)

    def _begin(self, event: CandidateEnded) -> None:
        """Prepare the reply to what may be the whole utterance."""
        self._drop_speculation()
        audio = _joined(self._unheard, event.audio, self._rules.max_utterance)
        speech_end = anyio.current_time() - (self._endpointer.position - event.at)
        self._turn = Turn(
            self._call,
            self._assistant,
            self._engines,
            self._history,
            audio,
            speech_end,
            self._on_transcript,
            language_of=lambda transcript: self._choice.follow(transcript, self._language),
            kept=self._keep is not None,
        )
        self._tasks.start_soon(self._run_turn, self._turn)

    def _drop_speculation(self) -> None:
        if self._turn is not None and not self._turn.committed:
            self._turn.scope.cancel()
            self._turn = None

    async def _run_turn(self, turn: Turn) -> None:
        with turn.scope, suppress(CallEndedError):
            if not await _try(turn.patience, turn.run, "no reply could be made"):
                await _try(turn.patience, turn.apologise, "not even the apology could be spoken")
            if self._turn is turn:
                self._turn = None
                self._finish(turn, float("inf"), interrupted=False)
                self._say_next()

    async def _interrupt(self) -> None:
        """Barge-in: stop talking at once; what was not played was not said."""
        if not self._talking:
            return
        announcement, self._announcement = self._announcement, None
        turn, self._turn = self._turn, None
        if announcement is not None:
            announcement.scope.cancel()
            self._said(announcement.playout, await self._call.clear())
        if turn is not None:
            turn.scope.cancel()
            position = await self._call.clear()
            if turn.transcript is None and not turn.playout.heard(position):
                self._unheard = turn.audio
            else:
                self._finish(turn, position, interrupted=True)

    # --- telling

    def _on_transcript(self, transcript: Transcript) -> None:
        if transcript.language != self._language:
            logger.info("the language is now %s", transcript.language)
            self._language = transcript.language
        self._history.add_user(transcript.text)
        self._call.report(TranscriptMade(self._call.info, "caller", transcript))

    def _said(self, playout: Playout, position: float) -> str:
        """Note what of it the caller heard, when it was played up to ``position``."""
        heard = playout.heard(position)
        self._history.add_assistant(heard)
        if heard:
            transcript = Transcript(heard, playout.voice.language)
            self._call.report(TranscriptMade(self._call.info, "assistant", transcript))
        return heard

    def _finish(self, turn: Turn, position: float, *, interrupted: bool) -> None:
        heard = self._said(turn.playout, position)
        audio = turn.playout.audio(position)
        if self._keep is not None and audio is not None:
            self._replies += 1
            self._keep(self._call.info, self._replies, audio)
        if turn.said:
            self._call.report(TurnFinished(self._call.info, turn.said, heard, interrupted, turn.timing))


async def _nothing() -> AsyncIterator[str]:
    for text in ():
        yield text


async def _try(patience: Patience, step: Callable[[], Awaitable[None]], problem: str) -> bool:
    """Whether a step was taken; one that fails is told in the log.

    Raises:
        CallEndedError: the call ended meanwhile.
    """
    try:
        with patience.limit():
            await step()
    except Exception as error:
        if is_call_ended(error):
            raise CallEndedError("the call ended meanwhile") from error
        logger.exception(problem)
        return False
    return True


def _joined(first: AudioFrame | None, second: AudioFrame, longest: float) -> AudioFrame:
    """Both together; of what is too long, the beginning is dropped."""
    if first is None:
        return second
    size = max(len(second.pcm), 2 * round(longest * second.sample_rate))
    return AudioFrame((first.pcm + second.pcm)[-size:], second.sample_rate)

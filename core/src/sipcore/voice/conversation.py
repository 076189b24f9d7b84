"""The pipeline: voice activity, speech to text, a language model and text to speech, taking turns with a caller."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.abc import TaskGroup

from sipcore.audio.frame import AudioFrame
from sipcore.errors import CallEndedError, is_call_ended
from sipcore.plugins.interfaces import VAD, CallHandle, Transcript, TranscriptMade, TurnFinished, WarmsPrompts
from sipcore.plugins.text import SentenceSplitter
from sipcore.voice.assistant import Assistant
from sipcore.voice.endpointing import CandidateEnded, Endpointer, SpeechEvent, SpeechResumed, SpeechStarted, TurnEnded
from sipcore.voice.history import History
from sipcore.voice.patience import Patience
from sipcore.voice.playout import Playout
from sipcore.voice.turn import Engines, Turn

logger = logging.getLogger(__name__)


class Pipeline:
    """A `Conversation` made of four engines.

    Args:
        assistant: who talks.
        engines: speech to text, language model, text to speech.
        vad: voice activity.
    """

    def __init__(self, assistant: Assistant, engines: Engines, vad: VAD) -> None:
        self._assistant = assistant
        self._engines = engines
        self._vad = vad

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
            await llm.warm(history.messages("Hello?"))

    async def converse(self, call: CallHandle) -> None:
        """Greet, then answer every utterance until the caller hangs up."""
        async with anyio.create_task_group() as tasks, call.audio() as frames:
            dialogue = _Dialogue(self._assistant, self._engines, self._vad, call, tasks)
            dialogue.greet()
            with suppress(CallEndedError):
                async for frame in frames:
                    await dialogue.hear(frame)
            tasks.cancel_scope.cancel()


@dataclass(slots=True)
class _Greeting:
    playout: Playout
    patience: Patience
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class _Dialogue:
    """One call's conversation. At most one thing is under way: the greeting, or a turn."""

    def __init__(self, assistant: Assistant, engines: Engines, vad: VAD, call: CallHandle, tasks: TaskGroup) -> None:
        self._assistant = assistant
        self._rules = assistant.turn_taking
        self._engines = engines
        self._call = call
        self._tasks = tasks
        self._history = History(assistant.prompt)
        self._endpointer = Endpointer(assistant.turn_taking, vad.detector(), call.sample_rate)
        self._greeting: _Greeting | None = None
        self._turn: Turn | None = None
        self._unheard: AudioFrame | None = None

    # --- hearing

    async def hear(self, frame: AudioFrame) -> None:
        """Take the caller's next 20 ms."""
        for event in self._endpointer.hear(frame):
            self._on(event)
        if self._rules.barge_in and 0 < self._endpointer.speech >= self._rules.barge_in_speech:
            await self._interrupt()

    def _on(self, event: SpeechEvent) -> None:
        match event:
            case CandidateEnded() if not self._talking:
                self._begin(event)
            case SpeechResumed() if not self._talking:
                self._drop_speculation()
            case TurnEnded() if self._turn is not None:
                self._unheard = None
                self._turn.commit()
            case SpeechStarted() | CandidateEnded() | SpeechResumed() | TurnEnded():
                pass

    @property
    def _talking(self) -> bool:
        """Whether the assistant has the floor: short sounds of the caller are then no turn."""
        return self._greeting is not None or (self._turn is not None and self._turn.committed)

    # --- talking

    def greet(self) -> None:
        """Open the conversation, while listening."""
        if self._assistant.greeting or self._assistant.greeting_audio:
            patience = Patience(self._assistant.patience)
            playout = Playout(self._call, self._engines.tts, self._assistant.voice(), patience)
            self._greeting = _Greeting(playout, patience)
            self._tasks.start_soon(self._run_greeting, self._greeting)

    async def _run_greeting(self, greeting: _Greeting) -> None:
        with greeting.scope, suppress(CallEndedError):
            step = partial(self._open_with, greeting.playout)
            await _try(greeting.patience, step, "the greeting could not be spoken")
            await greeting.playout.finish()
            self._greeting = None
            self._said(greeting.playout, float("inf"))

    async def _open_with(self, playout: Playout) -> None:
        assistant = self._assistant
        if assistant.greeting_audio is not None:
            await playout.play(assistant.greeting_audio, assistant.greeting)
        else:
            splitter = SentenceSplitter(first_clause=False)
            for sentence in (*splitter.feed(assistant.greeting), *splitter.flush()):
                await playout.say(sentence)

    def _begin(self, event: CandidateEnded) -> None:
        """Prepare the reply to what may be the whole utterance."""
        self._drop_speculation()
        audio = _joined(self._unheard, event.audio, self._rules.max_utterance)
        speech_end = anyio.current_time() - (self._endpointer.position - event.at)
        self._turn = Turn(
            self._call, self._assistant, self._engines, self._history, audio, speech_end, self._on_transcript
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

    async def _interrupt(self) -> None:
        """Barge-in: stop talking at once; what was not played was not said."""
        if not self._talking:
            return
        greeting, self._greeting = self._greeting, None
        turn, self._turn = self._turn, None
        if greeting is not None:
            greeting.scope.cancel()
            self._said(greeting.playout, await self._call.clear())
        if turn is not None:
            turn.scope.cancel()
            position = await self._call.clear()
            if turn.transcript is None and not turn.playout.heard(position):
                self._unheard = turn.audio
            else:
                self._finish(turn, position, interrupted=True)

    # --- telling

    def _on_transcript(self, transcript: Transcript) -> None:
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

"""A call at the other end of a WebSocket: a `CallHandle` like the one in the server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import anyio

from sipcore.audio.frame import AudioFrame
from sipcore.client.reports import transcript_data, turn_data
from sipcore.control import commands
from sipcore.control.commands import Command
from sipcore.control.events import (
    CallFailed,
    Cleared,
    DigitPressed,
    Ended,
    Event,
    Heard,
    Ignored,
    MarkPlayed,
    Refused,
    SayAsked,
    Transferred,
)
from sipcore.control.fields import Status
from sipcore.errors import CallEndedError, CallFailedError, LocalProtocolError
from sipcore.media.listener import Listener
from sipcore.plugins.interfaces import CallEvent, CallInfo, TranscriptMade, TurnFinished

RATE = 8000
AHEAD_SECONDS = 1.0
"""Audio that is sent before it is played: at most so much is lost when the caller interrupts."""
CHUNK_SECONDS = 0.1
FIRST_CHUNK_SECONDS = 0.02
FRAMES_KEPT = 250
"""Frames kept for a slow listener; older ones are dropped."""
HISTORY = 2000
SLOW_DOWN = 429


class Sender(Protocol):
    """What a call needs of its client."""

    async def send(self, command: Command) -> None:
        """Send a command, as soon as there is a connection and room."""
        ...

    def send_nowait(self, command: Command) -> bool:
        """Send a command if there is a connection and room."""
        ...

    def say_goodbye(self, call_id: str) -> None:
        """Hang a call of ours up, now or when there is a connection again."""
        ...


class ClientCall:
    """One call. Made by `Client.dial` and `Offer.answer`.

    Args:
        info: who calls whom.
        sender: the client.
    """

    sample_rate = RATE

    def __init__(self, info: CallInfo, sender: Sender) -> None:
        self._info = info
        self._sender = sender
        self.on_say: Callable[[str], object] | None = None
        self.on_report: Callable[[CallEvent], object] | None = None
        self.on_ringing: Callable[[], None] | None = None
        self._lost: asyncio.TimerHandle | None = None
        self._reason = ""
        self._failure: CallFailedError | None = None
        self._answered = False
        self._placed = False
        self._details: Mapping[str, Any] = {}
        self._listeners: set[Listener[AudioFrame]] = set()
        self._digit_listeners: set[Listener[str]] = set()
        self._changed = anyio.Event()
        self._playing = anyio.Lock()
        self._asking = anyio.Lock()
        self._queued = 0.0
        self._marks: deque[tuple[str, float]] = deque()
        self._played: deque[tuple[float, float]] = deque([(0.0, 0.0)], HISTORY)
        self._marked = 0
        self._stops = 0
        self._clears = 0
        self._clears_due = 0
        self._sending: set[anyio.CancelScope] = set()
        self._refusal: Status | None = None
        self._transferred: Status | None = None

    # --- what a conversation sees

    @property
    def info(self) -> CallInfo:
        """Who calls whom."""
        return self._info

    @property
    def details(self) -> Mapping[str, Any]:
        """What CALL_INFO told last."""
        return self._details

    @asynccontextmanager
    async def audio(self) -> AsyncGenerator[AsyncIterable[AudioFrame], None]:
        """What the far end says, from now on, in 20 ms frames."""
        listener = Listener[AudioFrame](FRAMES_KEPT)
        if self.over:
            listener.end()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    @asynccontextmanager
    async def digits(self) -> AsyncGenerator[AsyncIterable[str], None]:
        """The keys that the far end presses, from now on."""
        listener = Listener[str](FRAMES_KEPT)
        if self.over:
            listener.end()
        self._digit_listeners.add(listener)
        try:
            yield listener
        finally:
            self._digit_listeners.discard(listener)

    async def play(self, audio: AudioFrame) -> float:
        """Queue audio; waits while a second of it is ahead. Returns the position of its end, in seconds."""
        if audio.sample_rate != RATE:
            raise LocalProtocolError(f"audio at {audio.sample_rate} Hz on a call of {RATE} Hz: resample it")
        stops, at = self._stops, 0
        async with self._playing:
            self._check()
            clears = self._clears
            while at < len(audio.pcm) and self._stops == stops:
                if self._ahead >= AHEAD_SECONDS or self._clears_due or self.is_lost:
                    await self._change()
                    continue
                if at and self._clears != clears:
                    break
                clears = self._clears
                chunk = FIRST_CHUNK_SECONDS if self._ahead < CHUNK_SECONDS else CHUNK_SECONDS
                piece = audio.pcm[at : at + 2 * round(chunk * RATE)]
                await self._send_audio(piece)
                at += len(piece)
            return self._queued

    async def _send(self, command: Command) -> None:
        """Send a command; whoever waits for room or a connection is let go when the call ends."""
        with anyio.CancelScope() as scope:
            self._sending.add(scope)
            try:
                await self._sender.send(command)
            finally:
                self._sending.discard(scope)
        if scope.cancelled_caught:
            self._check()

    async def _send_audio(self, pcm: bytes) -> None:
        self._queued += len(pcm) / 2 / RATE
        self._marked += 1
        self._marks.append((str(self._marked), self._queued))
        await self._send(commands.PlayAudio(self._info.call_id, pcm))
        await self._send(commands.Mark(self._info.call_id, str(self._marked)))

    async def played(self, position: float) -> float | None:
        """Wait until the audio before ``position`` was sent to the far end; when that was told, None if cleared."""
        clears = self._clears
        while self._played[-1][0] < position - 1e-6:
            if self._clears != clears:
                return None
            await self._change()
        return next(at for end, at in self._played if end >= position - 1e-6)

    async def clear(self) -> float:
        """Drop what is queued; the position that was really sent, in seconds."""
        self._check()
        self._stops += 1
        self._pulse()
        async with self._playing:
            await self._send(commands.Clear(self._info.call_id))
            self._clears_due += 1
            while self._clears_due or self.is_lost:
                await self._change()
            return self._queued

    async def send_digits(self, digits: str) -> None:
        """Send telephone events."""
        await self._ask(commands.SendDigits(self._info.call_id, digits))

    async def hold(self) -> None:
        """Put the far end on hold."""
        await self._wait_for(commands.Hold(self._info.call_id), lambda: self._details.get("on_hold") is True)

    async def resume(self) -> None:
        """Talk again."""
        await self._wait_for(commands.Resume(self._info.call_id), lambda: self._details.get("on_hold") is False)

    async def transfer(self, target: str) -> None:
        """Ask the far end to call ``target`` instead; returns when it has done so."""
        self._transferred = None
        await self._wait_for(commands.Transfer(self._info.call_id, target), lambda: self._transferred is not None)
        status: Status | None = self._transferred
        if status is not None and status.code >= 300:
            raise CallFailedError(status.code, status.reason)

    async def hang_up(self, reason: str = "") -> None:
        """End the call; does not wait for the answer."""
        if not self.over:
            if self._info.call_id:
                self._sender.say_goodbye(self._info.call_id)
            self.end(reason or "bye")

    def report(self, event: CallEvent) -> None:
        """Tell those who follow the call, and who watches it here."""
        if self.on_report is not None:
            self.on_report(event)
        match event:
            case TranscriptMade():
                self._sender.send_nowait(commands.ReportTranscript(self._info.call_id, transcript_data(event)))
            case TurnFinished():
                self._sender.send_nowait(commands.ReportTurn(self._info.call_id, turn_data(event)))
            case _:
                pass

    # --- beyond it

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return bool(self._reason)

    @property
    def end_reason(self) -> str:
        """Why it ended; empty while it is up."""
        return self._reason

    async def wait_over(self) -> str:
        """Wait for the end; the reason."""
        while not self.over:
            await self._changed.wait()
        return self._reason

    async def wait_answered(self) -> None:
        """Wait for the answer.

        Raises:
            CallFailedError: it was not answered.
            CallEndedError: it is over, or another client has it.
        """
        while not self._answered or (self._info.taken_over and not self._clears):
            await self._change()
        self._check()

    async def play_file(self, file: str) -> None:
        """Play a sound file of the server's OUTPUT_DIR after what is queued.

        Positions do not count it until the next `clear`: the client does not know how long it is.
        """
        await self._ask(commands.PlayFile(self._info.call_id, file))

    async def join(self, other: ClientCall) -> None:
        """Let the far ends of both calls talk to each other, until `part`."""
        await self._wait_for(
            commands.Join(self._info.call_id, other.info.call_id), lambda: bool(self._details.get("joined"))
        )

    async def part(self) -> None:
        """Undo `join`."""
        await self._wait_for(commands.Part(self._info.call_id), lambda: not self._details.get("joined"))

    async def _ask(self, command: Command) -> None:
        self._check()
        await self._send(command)

    async def _wait_for(self, command: Command, done: Callable[[], bool]) -> None:
        """Send a command and wait for what it brings about.

        Raises:
            CallFailedError: it was refused.
        """
        async with self._asking:
            self._refusal = None
            await self._ask(command)
            while not done():
                await self._change()
                if self._refusal is not None:
                    raise CallFailedError(self._refusal.code, self._refusal.reason)

    # --- what the client tells

    def on_event(self, event: Event) -> None:
        """Take an event of this call."""
        match event:
            case Heard(audio=audio):
                for listener in self._listeners:
                    listener.put(AudioFrame(audio, RATE))
                return
            case DigitPressed(digit=digit):
                for listener in self._digit_listeners:
                    listener.put(digit)
            case MarkPlayed(name=name):
                self._on_mark(name)
            case Cleared(played_ms=played):
                self._on_cleared(played / 1000)
            case _:
                self._on_answer(event)
        self._pulse()

    def _on_answer(self, event: Event) -> None:
        """Take what answers a command, or ends the call."""
        match event:
            case Transferred(status=status):
                self._transferred = status
            case Refused(status=status) if status.code != SLOW_DOWN:
                self._refusal = status
            case CallFailed(status=status):
                self._failure = CallFailedError(status.code, status.reason)
                self.end(str(status))
            case SayAsked(text=text):
                if self.on_say is not None:
                    self.on_say(text)
            case Ended():
                self.end("hangup")
            case Ignored():
                self.end("another client has it")
            case _:
                pass

    def on_answered(self) -> None:
        """The call is ours; what was queued before, by us or by who had it, is gone: CLEARED tells where we are."""
        is_back = self._lost is not None
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None
        if is_back or (self._info.taken_over and not self._clears):
            self._clears_due += self._sender.send_nowait(commands.Clear(self._info.call_id))
        self._answered = True
        self._pulse()

    def described(self, data: Mapping[str, Any]) -> None:
        """Take what CALL_INFO tells of an outgoing call, which says who calls whom only then."""
        self._details = data
        self._info = replace(
            self._info,
            caller=str(data.get("caller") or self._info.caller),
            callee=str(data.get("callee") or self._info.callee),
        )
        self._pulse()

    def on_named(self, call_id: str) -> None:
        """The server says what our call is called."""
        self._placed = True
        self._info = replace(self._info, call_id=call_id)

    def on_lost(self, patience: float) -> None:
        """The connection is lost; the call ends unless it comes back within ``patience`` seconds."""
        self._clears_due = 0
        if self._lost is None:
            loop = asyncio.get_running_loop()
            self._lost = loop.call_later(patience, self.end, "the connection is lost")

    @property
    def is_lost(self) -> bool:
        """Whether its connection was lost and has not brought it back."""
        return self._lost is not None

    @property
    def is_asked_for(self) -> bool:
        """Whether it is another's call that we want to take: a refusal is its end."""
        return not self._answered and not self._placed

    @property
    def is_answered(self) -> bool:
        """Whether it was answered, and is not over."""
        return self._answered and not self.over

    def end(self, reason: str) -> None:
        """The call is over; only the first reason counts."""
        if self.over:
            return
        self._reason = reason
        if self._lost is not None:
            self._lost.cancel()
        for scope in self._sending:
            scope.cancel()
        for listener in (*self._listeners, *self._digit_listeners):
            listener.end()
        self._pulse()

    def _on_mark(self, name: str) -> None:
        while self._marks and int(self._marks[0][0]) <= (int(name) if name.isdecimal() else 0):
            self._played.append((self._marks.popleft()[1], anyio.current_time()))

    def _on_cleared(self, position: float) -> None:
        """Go on from where the server is; of several answers that are due only the last tells that."""
        self._clears_due = max(0, self._clears_due - 1)
        if self._clears_due:
            return
        self._clears += 1
        self._marks.clear()
        self._queued = position
        self._played.append((position, anyio.current_time()))

    @property
    def _ahead(self) -> float:
        return self._queued - self._played[-1][0]

    async def _change(self) -> None:
        """Wait until something happens.

        Raises:
            CallEndedError: that was the end.
        """
        self._check()
        await self._changed.wait()
        self._check()

    def _pulse(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.over:
            raise CallEndedError(f"the call is over: {self._reason}")

"""One call's audio, as the server sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import numpy as np

from sipcore.audio.frame import AudioFrame
from sipcore.errors import LocalProtocolError, MediaError
from sipcore.media.inbound import CLOCK_RATE, CODECS
from sipcore.media.listener import Listener
from sipcore.media.messages import (
    Clear,
    Cleared,
    Close,
    Closed,
    Command,
    Connect,
    EngineLost,
    Happened,
    MediaEvent,
    MediaStatistics,
    Record,
    SendDigits,
)
from sipcore.media.ring import Arena, Cursor
from sipcore.rtp.dtmf import DIGITS

EVENTS_WAITING = 256
"""Events kept for a reader that is slow; older ones are dropped."""
CLEAR_SECONDS = 1.0
"""How long clearing waits for the engine, which answers within a tick."""
CLOSE_SECONDS = 2.0
"""How long closing waits for the engine's statistics."""


class MediaChannel:
    """The audio of one call: made by `MediaEngine.channel`.

    Positions are samples: all that was queued since the start, what `clear` dropped not counted.

    Args:
        call_id: for logs.
        handle: the engine's name for it.
        port: the local RTP port.
        row: its place in the shared memory.
        arena: the shared memory.
        tell: sends a command to the engine.
        hosts: hosts besides the SDP's that audio may come from.

    Attributes:
        statistics: filled once the channel is closed.
    """

    sample_rate = CLOCK_RATE

    def __init__(
        self,
        call_id: str,
        handle: int,
        port: int,
        row: int,
        arena: Arena,
        tell: Callable[[Command], None],
        hosts: Collection[str] = (),
    ) -> None:
        self.call_id = call_id
        self.port = port
        self.row = row
        self.statistics: MediaStatistics | None = None
        self._handle = handle
        self._arena = arena
        self._tell = tell
        self._hosts = frozenset(hosts)
        self._telephone_event: int | None = None
        self._over = ""
        self._waiting = 0
        self._woken = anyio.Event()
        self._closed = anyio.Event()
        self._playing = anyio.Lock()
        self._clearing = anyio.Lock()
        self._stops = 0
        self._clears = 0
        self._shift = 0
        self._early: deque[MediaEvent] | None = deque(maxlen=EVENTS_WAITING)
        self._listeners: set[Listener[MediaEvent]] = set()

    # --- set-up

    def connect(
        self,
        remote: tuple[str, int],
        *,
        payload_type: int,
        codec: str,
        receive: Mapping[int, str],
        telephone_event: int | None = None,
        receive_telephone_event: int | None = None,
        send: bool = True,
        hosts: Collection[str] = (),
        paused: bool = False,
    ) -> None:
        """Start the clock and the audio as SDP agreed; again for a new agreement (RFC 3264 §8).

        Args:
            remote: the peer's address and RTP port.
            payload_type: to send.
            codec: to send.
            receive: codec names by payload type.
            telephone_event: payload type for digits to the peer.
            receive_telephone_event: payload type for digits from the peer.
            send: False while we are on hold: the playout queue waits.
            hosts: further hosts that audio may come from.
            paused: while we hold the peer: it gets silence, and the playout queue waits.

        Raises:
            MediaError: the channel is closed, or the engine has no such codec.
        """
        self._check()
        unknown = sorted({codec, *receive.values()} - set(CODECS))
        if unknown:
            raise MediaError(f"the media engine has no codec {', '.join(unknown)}: {', '.join(CODECS)} were expected")
        self._telephone_event = telephone_event
        self._tell(
            Connect(
                self._handle,
                remote,
                payload_type,
                codec,
                dict(receive),
                telephone_event,
                receive_telephone_event,
                send,
                self._hosts | frozenset(hosts),
                paused,
            )
        )

    def record(self, path: Path, *, channels: int = 1) -> None:
        """Record from now on to a new WAV file, mode 0600: the peer (1 channel), or peer left and us right (2).

        What goes wrong comes as a `RecordingFailed` event; the call goes on.
        """
        self._check()
        if channels not in {1, 2}:
            raise LocalProtocolError(f"a recording of {channels} channels is not possible: 1 or 2 were expected")
        self._tell(Record(self._handle, str(path.absolute()), channels))

    def close(self) -> None:
        """Stop the audio now; leaving the engine's context manager does it too, and waits for the statistics."""
        if not self._over:
            self._end_with("the call's audio is closed")
            self._tell(Close(self._handle))

    async def wait_closed(self) -> None:
        """Wait for the engine's word that the ports are free, `CLOSE_SECONDS` at most."""
        with anyio.move_on_after(CLOSE_SECONDS):
            await self._closed.wait()

    # --- audio in

    @asynccontextmanager
    async def hear(self) -> AsyncGenerator[AsyncIterable[AudioFrame], None]:
        """What the peer says, from now on: 20 ms frames, silence where nothing came. Ends with the channel.

        Several may listen. One that reads too slowly loses its oldest frames: `Hearing.lost` counts them.
        """
        hearing = Hearing(self, self._arena, self.row)
        self._watch(1)
        try:
            yield hearing
        finally:
            self._watch(-1)

    # --- audio out

    async def play(self, pcm: bytes) -> int:
        """Queue 16-bit audio, waiting while the queue is full; `clear` drops what still waits, too.

        Returns:
            The position of its end.

        Raises:
            MediaError: the channel is closed or its engine lost.
        """
        if len(pcm) % 2:
            raise LocalProtocolError(f"{len(pcm)} bytes are no 16-bit samples: an even number was expected")
        samples = np.frombuffer(pcm, dtype="<i2")
        stops = self._stops
        async with self._playing:
            while self._stops == stops:
                self._check()
                samples = samples[self._arena.queue(self.row, samples) :]
                if not len(samples):
                    break
                await self.wake()
            return self._written() + self._shift

    def try_play(self, pcm: bytes) -> int | None:
        """Queue 16-bit audio if there is room for all of it, and nobody waits to queue some.

        Returns:
            The position of its end; None when it was not queued.

        Raises:
            MediaError: the channel is closed or its engine lost.
        """
        self._check()
        samples = np.frombuffer(pcm, dtype="<i2")
        if self._playing.locked() or self.queued + len(samples) > self._arena.shape.outbound_samples:
            return None
        self._arena.queue(self.row, samples)
        return self._written() + self._shift

    @property
    def queued(self) -> int:
        """Samples that wait to be sent."""
        return self._written() - int(self._arena.cursors[self.row, Cursor.READ])

    async def played(self, position: int) -> float | None:
        """Wait until all before ``position`` was really sent.

        Returns:
            When its last packet was sent, monotonic seconds; None if it was cleared first.

        Raises:
            MediaError: the channel is closed or its engine lost.
        """
        clears = self._clears
        self._check()
        while int(self._arena.cursors[self.row, Cursor.SENT]) < position:
            if self._clears != clears:
                return None
            await self.wake()
            self._check()
        return self._arena.sent_time(self.row, position)

    async def clear(self) -> int:
        """Drop what is queued.

        Returns:
            The position that was really sent: the queue's end from now on.

        Raises:
            MediaError: the channel is closed or its engine lost.
        """
        with anyio.move_on_after(CLEAR_SECONDS, shield=True):
            async with self._clearing:
                self._check()
                self._stops += 1
                self._pulse()
                async with self._playing:
                    ticket = self._stops
                    self._tell(Clear(self._handle, ticket, self._written()))
                    while self._clears < ticket:
                        await self.wake()
                        self._check()
                    return self._written() + self._shift
        raise MediaError(f"the media engine did not answer within {CLEAR_SECONDS:g} s")

    def send_digits(self, digits: str) -> None:
        """Send telephone events (RFC 4733), after those still being sent; the playout queue waits meanwhile.

        Raises:
            LocalProtocolError: a sign is no digit.
            MediaError: the channel is closed, or the peer takes no telephone events.
        """
        self._check()
        if not digits or any(digit.upper() not in DIGITS for digit in digits):
            raise LocalProtocolError(f"{digits!r} are no digits: 0-9, *, #, A-D were expected")
        if self._telephone_event is None:
            raise MediaError("the peer takes no telephone events: its SDP names no telephone-event")
        self._tell(SendDigits(self._handle, digits))

    # --- events

    @asynccontextmanager
    async def events(self) -> AsyncGenerator[AsyncIterable[MediaEvent], None]:
        """What happens, from now on (for the first reader: from the start). Ends with the channel."""
        listener = Listener[MediaEvent](EVENTS_WAITING, self._early or ())
        if self._over:
            listener.end()
        self._early = None
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    # --- for the link and the iterators

    @property
    def over(self) -> bool:
        """Whether the channel is closed or its engine lost."""
        return bool(self._over)

    async def wake(self) -> None:
        """Wait until something may have changed."""
        event = self._woken
        self._watch(1)
        try:
            await event.wait()
        finally:
            self._watch(-1)

    def on_woken(self) -> None:
        """The engine's clock moved this call's cursors."""
        self._pulse()

    def on_answer(self, answer: Happened | Cleared | Closed) -> None:
        """The engine said something about this call."""
        match answer:
            case Happened(event=event):
                self._deliver(event)
            case Cleared(ticket=ticket, upto=upto, sent=sent):
                self._shift = sent - upto
                self._clears = ticket
            case Closed(statistics=statistics):
                self.statistics = statistics
                self._end_with("the call's audio is closed")
                self._closed.set()
        self._pulse()

    def on_lost(self) -> None:
        """The engine is gone."""
        if not self._over:
            self._deliver(EngineLost())
        self._end_with("the media engine is gone")
        self._closed.set()

    def _deliver(self, event: MediaEvent) -> None:
        if self._early is not None:
            self._early.append(event)
        for listener in self._listeners:
            listener.put(event)

    def _end_with(self, reason: str) -> None:
        self._over = self._over or reason
        for listener in self._listeners:
            listener.end()
        self._pulse()

    def _check(self) -> None:
        if self._over:
            raise MediaError(self._over)

    def _written(self) -> int:
        return int(self._arena.cursors[self.row, Cursor.WRITTEN])

    def _pulse(self) -> None:
        woken, self._woken = self._woken, anyio.Event()
        woken.set()

    def _watch(self, change: int) -> None:
        """Tell the engine whether somebody waits; the row is another call's once this one is over."""
        self._waiting += change
        if not self._over:
            self._arena.cursors[self.row, Cursor.WATCHED] = self._waiting > 0


class Hearing:
    """The frames of one listener.

    Attributes:
        lost: frames that were overwritten before they were read.
    """

    def __init__(self, channel: MediaChannel, arena: Arena, row: int) -> None:
        self._channel = channel
        self._arena = arena
        self._row = row
        self._next = int(arena.cursors[row, Cursor.HEARD])
        self.lost = 0

    def __aiter__(self) -> Hearing:
        return self

    async def __anext__(self) -> AudioFrame:
        while not self._channel.over:
            frame, lost = self._arena.heard_since(self._row, self._next)
            if frame is not None:
                self.lost += lost
                self._next += lost + 1
                return AudioFrame(frame, CLOCK_RATE)
            await self._channel.wake()
        raise StopAsyncIteration

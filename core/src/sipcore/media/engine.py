"""The media engine: a 5 ms tick, calls in four phases, everything in batches."""

from __future__ import annotations

import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from sipcore.errors import MediaError, NoPortsFreeError, SipcoreError
from sipcore.media.inbound import CLOCK_RATE, Inbound, Notable, dropped
from sipcore.media.messages import (
    Clear,
    Cleared,
    Close,
    Closed,
    Command,
    Connect,
    ConnectFailed,
    DigitReceived,
    FirstPacketReceived,
    Happened,
    MediaEvent,
    MediaStatistics,
    Open,
    Opened,
    PeerMoved,
    PeerSilent,
    Ready,
    Record,
    RecordingFailed,
    Refused,
    SendDigits,
    StrangerHeard,
    Woken,
)
from sipcore.media.outbound import Outbound
from sipcore.media.peer import Peer, names_no_one
from sipcore.media.pipe import Pipe
from sipcore.media.ports import PortPool, sessions
from sipcore.media.recorder import Recorder
from sipcore.media.ring import Arena, ArenaShape, Cursor
from sipcore.media.sockets import Reception

TICK = 0.005
"""Seconds between two ticks."""
PHASES = 4
"""Ticks in a packet time: each call belongs to one of four."""
CATCH_UP = 2
"""Packets a call that a late clock may still send; older ones are skipped, their time passes in silence."""
LONGEST_LAG = 200
"""Ticks that a late clock makes up for; beyond that (the machine slept) they are dropped."""
EXTRA_ROUNDS = 8
"""Further datagrams a socket that are read after a late tick."""
DOOR_TICKS = 50
"""A call whose peer is known looks at its door once in so many of its frames: once a second."""


@dataclass(frozen=True, slots=True)
class EngineShape:
    """What an engine needs to know at its start.

    Args:
        address: the address to bind RTP to.
        port_start: first port of the range.
        port_end: last port of the range.
        port_step: ports a session.
        arena: the shared memory's shape.
        silence: seconds without a packet after which a peer is told to be silent; 0 is never.
    """

    address: str
    port_start: int
    port_end: int
    port_step: int
    arena: ArenaShape
    silence: float = 0.0

    def arguments(self) -> list[str]:
        """Return this shape as command line arguments."""
        arena = (self.arena.slots, self.arena.outbound_samples, self.arena.kept_frames)
        return [self.address, *map(str, (self.port_start, self.port_end, self.port_step, *arena)), str(self.silence)]

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> EngineShape:
        """Read what `arguments` wrote."""
        start, end, step, *arena = (int(argument) for argument in arguments[1:-1])
        return cls(arguments[0], start, end, step, ArenaShape(*arena), float(arguments[-1]))


@dataclass(slots=True)
class _Call:
    handle: int
    row: int
    peer: Peer
    phase: int = -1
    event_type: int | None = None
    expects: frozenset[int] = frozenset()
    told_silent: float = 0.0


class Engine:
    """All calls' media. It lives until the other end of its pipe closes.

    Args:
        shape: ports and sizes.
        arena: the shared memory.
        pipe: a connected stream socket to the server.
    """

    def __init__(self, shape: EngineShape, arena: Arena, pipe: socket.socket) -> None:
        slots = shape.arena.slots
        self._silence = shape.silence
        self._arena = arena
        self._pipe = Pipe(pipe)
        self._pool = PortPool(shape.address, sessions(shape.port_start, shape.port_end, shape.port_step))
        self._reception = Reception(slots)
        self._inbound = Inbound(slots, self._reception.datagrams)
        self._outbound = Outbound(arena)
        self._failures: deque[tuple[int, str]] = deque()
        self._recorder = Recorder(slots, lambda handle, reason: self._failures.append((handle, reason)))
        self._free_rows = deque(range(slots))
        self._calls: dict[int, _Call] = {}
        self._by_row: dict[int, _Call] = {}
        self._phases = [np.zeros(0, np.intp) for _ in range(PHASES)]

    # --- the loop

    def run(self) -> None:
        """Run until the server is gone."""
        self._reception.watch_control(self._pipe.fileno())
        self._pipe.tell(Ready())
        try:
            while not self._pipe.closed:
                if any(len(rows) for rows in self._phases):
                    self._run_clock()
                else:
                    self._wait_idle()
        finally:
            self._recorder.close(timeout=5.0)
            for handle in tuple(self._calls):
                self._close(Close(handle))
            self._reception.close()
            self._pipe.close()

    def _wait_idle(self) -> None:
        """No call is connected: nothing to do but to wait for a command."""
        self._pipe.flush()
        if self._pipe.behind:
            time.sleep(TICK)
        else:
            self._reception.wait()
        self._obey()

    def _run_clock(self) -> None:
        """Tick until no call is connected."""
        begin = time.monotonic()
        tick = 0
        while not self._pipe.closed and any(len(rows) for rows in self._phases):
            tick += 1
            now = time.monotonic()
            due = begin + tick * TICK
            if due > now:
                time.sleep(due - now)
                now = time.monotonic()
            lag = int((now - due) / TICK)
            if lag > LONGEST_LAG:
                begin += (lag - LONGEST_LAG) * TICK
                lag = LONGEST_LAG
            self._tick(tick, now, lag)

    def _tick(self, tick: int, now: float, lag: int) -> None:
        rows = self._phases[tick % PHASES]
        sent: NDArray[np.int16] | None = None
        if len(rows):
            sent = self._outbound.tick(rows, now, send=lag < CATCH_UP * PHASES)
        self._receive(1 + min(lag, EXTRA_ROUNDS))
        if sent is not None:
            heard = self._inbound.frames(rows)
            self._publish(rows, heard)
            self._recorder.add(rows, heard, sent)
            self._visit_doors(tick // PHASES, rows, now)
        while self._failures:
            handle, reason = self._failures.popleft()
            self._happened(handle, RecordingFailed(reason))
        if sent is not None:
            self._wake(rows)
        if self._reception.control_ready:
            self._obey()
        self._pipe.flush()

    def _receive(self, rounds: int) -> None:
        for _ in range(rounds):
            rows, lengths = self._reception.receive()
            if not len(rows):
                return
            now = time.monotonic()
            for notable in self._inbound.take(rows, lengths, now):
                self._note(notable, now)

    def _publish(self, rows: NDArray[np.intp], heard: NDArray[np.int16]) -> None:
        cursors = self._arena.cursors
        frame = cursors[rows, Cursor.HEARD]
        self._arena.inbound[rows, frame % self._arena.shape.inbound_frames] = heard
        cursors[rows, Cursor.HEARD] = frame + 1

    def _visit_doors(self, frame: int, rows: NDArray[np.intp], now: float) -> None:
        """Calls whose peer was never heard, or not lately, look each frame; the others once a second."""
        silent = now - self._inbound.last[rows]
        due = (silent > 2 * PHASES * TICK) | ((rows + frame) % DOOR_TICKS == 0)
        for index in np.flatnonzero(due).tolist():
            call = self._by_row[int(rows[index])]
            never = self._inbound.last[call.row] == 0.0
            found = call.peer.visit_door(
                silent_for=float("inf") if never else float(silent[index]), expects=call.expects
            )
            self._tell_silence(call, now)
            if found.moved is not None:
                self._happened(call.handle, PeerMoved(found.moved))
            if found.stranger is not None:
                self._happened(call.handle, StrangerHeard(found.stranger, found.count))

    def _tell_silence(self, call: _Call, now: float) -> None:
        since = max(float(self._inbound.last[call.row]), call.told_silent)
        if self._silence and now - since >= self._silence:
            call.told_silent = now
            self._happened(call.handle, PeerSilent(now - since))

    def _note(self, notable: Notable, now: float) -> None:
        call = self._by_row[notable.row]
        if notable.first and call.peer.address is not None:
            self._happened(call.handle, FirstPacketReceived(now, call.peer.address))
        if notable.digit is not None:
            self._happened(call.handle, DigitReceived(notable.digit, now))

    def _wake(self, rows: NDArray[np.intp]) -> None:
        """One message for all watched calls; none while the server is slow, as the cursors tell it all later."""
        watched = rows[self._arena.cursors[rows, Cursor.WATCHED] != 0]
        if len(watched) and not self._pipe.behind:
            self._pipe.tell(Woken(tuple(watched.tolist())))

    def _happened(self, handle: int, event: MediaEvent) -> None:
        if handle in self._calls:
            self._pipe.tell(Happened(handle, event))

    # --- commands

    def _obey(self) -> None:
        for command in self._pipe.read():
            self._do(command)

    def _do(self, command: Command) -> None:
        match command:
            case Open():
                self._open(command)
            case Close():
                self._close(command)
            case _ if command.handle not in self._calls:
                pass
            case Connect():
                self._connect(command)
            case Record():
                self._record(command)
            case Clear(handle=handle, ticket=ticket, upto=upto):
                sent = self._outbound.clear(self._calls[handle].row, upto)
                self._pipe.tell(Cleared(handle, ticket, upto, sent))
            case SendDigits():
                self._send_digits(command)
            case _:
                assert_never(command)

    def _open(self, command: Open) -> None:
        try:
            peer = Peer(self._pool.acquire())
            if not self._free_rows:
                self._pool.release(peer.pair)
                raise NoPortsFreeError(f"{len(self._calls)} calls are up, as many as max_calls allows")
        except SipcoreError as error:
            self._pipe.tell(Refused(command.handle, str(error), ports=isinstance(error, NoPortsFreeError)))
            return
        row = self._free_rows.popleft()
        self._inbound.open(row)
        self._outbound.open(row)
        self._calls[command.handle] = self._by_row[row] = _Call(command.handle, row, peer)
        self._pipe.tell(Opened(command.handle, row, peer.pair.port))

    def _connect(self, command: Connect) -> None:
        call = self._calls[command.handle]
        events = () if command.receive_telephone_event is None else (command.receive_telephone_event,)
        call.expects = frozenset((*command.receive, *events))
        call.event_type = command.telephone_event
        call.told_silent = time.monotonic()
        self._inbound.agree(call.row, command.receive, command.receive_telephone_event)
        send = None
        first = call.peer.address is None
        try:
            call.peer.connect(command.remote, command.hosts)
            if command.send and not names_no_one(command.remote):
                send = call.peer.pair.rtp.send
        except MediaError as error:
            self._happened(call.handle, ConnectFailed(str(error)))
        self._outbound.agree(call.row, command.payload_type, command.codec, send, paused=command.paused)
        if first and call.peer.address is not None:
            self._reception.add(call.row, call.peer.pair.rtp)
        if call.phase < 0:
            call.phase = min(range(PHASES), key=lambda phase: len(self._phases[phase]))
            self._phases[call.phase] = np.sort(np.append(self._phases[call.phase], call.row))
        self._take_early(call)

    def _take_early(self, call: _Call) -> None:
        now = time.monotonic()
        early, call.peer.early = call.peer.early, []
        for datagram in early:
            notable = self._inbound.take_one(call.row, datagram, now)
            if notable is not None:
                self._note(notable, now)

    def _record(self, command: Record) -> None:
        row = self._calls[command.handle].row
        try:
            self._recorder.start(row, command.handle, command.path, command.channels)
        except MediaError as error:
            self._happened(command.handle, RecordingFailed(str(error)))

    def _send_digits(self, command: SendDigits) -> None:
        call = self._calls[command.handle]
        if call.event_type is not None:
            self._outbound.send_digits(call.row, command.digits, call.event_type)

    def _close(self, command: Close) -> None:
        call = self._calls.pop(command.handle, None)
        if call is None:
            return
        del self._by_row[call.row]
        if call.phase >= 0:
            rows = self._phases[call.phase]
            self._phases[call.phase] = rows[rows != call.row]
        recorded = self._recorder.stop(call.row)
        self._outbound.close(call.row)
        self._reception.remove(call.peer.pair.rtp)
        statistics = self._statistics(call, recorded)
        self._pool.release(call.peer.pair)
        self._free_rows.append(call.row)
        self._pipe.tell(Closed(call.handle, statistics))

    def _statistics(self, call: _Call, recorded: float) -> MediaStatistics:
        call.peer.visit_door(silent_for=0.0, expects=call.expects)
        call.peer.close()
        receiver = self._inbound.close(call.row)
        return MediaStatistics(
            packets_sent=int(self._outbound.sent[call.row]),
            packets_received=receiver.sequence.received,
            packets_lost=receiver.sequence.lost,
            packets_late=receiver.counts["late"],
            packets_reordered=receiver.counts["reordered"],
            dropped=dropped(receiver) | {"stranger": call.peer.strangers},
            send_errors=int(self._outbound.failed[call.row]),
            jitter=receiver.jitter.jitter / CLOCK_RATE,
            delay_changes=receiver.buffer.stretched + receiver.buffer.skipped,
            recorded=recorded,
        )

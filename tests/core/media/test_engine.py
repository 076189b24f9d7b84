"""The clock, when the machine lets it run late; and what it does with commands that make no sense."""

import os
import select
import signal
import socket
import struct
import threading
import time

import numpy as np
import pytest
from sipcore.media import __main__ as program
from sipcore.media import engine as module
from sipcore.media import ring
from sipcore.media.engine import CATCH_UP, LONGEST_LAG, PHASES, TICK, Engine, EngineShape
from sipcore.media.messages import (
    Clear,
    Close,
    Closed,
    Connect,
    Decoder,
    Open,
    Opened,
    Ready,
    Record,
    Refused,
    SendDigits,
    encode,
)
from sipcore.media.ring import Arena, ArenaShape, Cursor

LONG = struct.Struct("@l")


class Server:
    """The other end of an engine's pipe."""

    def __init__(self, shape: EngineShape) -> None:
        descriptor = ring.create(shape.arena)
        self.arena = Arena(descriptor, shape.arena)
        self.pipe, theirs = socket.socketpair()
        self.pipe.settimeout(5)
        self.engine = Engine(shape, Arena(descriptor, shape.arena), theirs)
        os.close(descriptor)
        self.thread = threading.Thread(target=self.engine.run)
        self.decoder = Decoder()
        self.waiting: list[object] = []

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error) -> None:
        self.pipe.close()
        self.thread.join(5)
        assert not self.thread.is_alive()

    def tell(self, *commands) -> None:
        self.pipe.send(b"".join(encode(command) for command in commands))

    def hear(self, kind):
        while True:
            for index, message in enumerate(self.waiting):
                if isinstance(message, kind):
                    return self.waiting.pop(index)
            self.waiting += self.decoder.feed(self.pipe.recv(65536))


@pytest.fixture
def server(ports):
    with Server(EngineShape("127.0.0.1", ports, ports + 10, 4, ArenaShape(2, 8000))) as made:
        assert made.hear(Ready) == Ready()
        yield made


def agreed(handle: int, phone) -> Connect:
    return Connect(handle, phone.address, 0, "PCMU", {0: "PCMU"})


def test_a_clock_that_was_stopped_sends_two_packets_and_skips_the_others(server, phone, monkeypatch) -> None:
    server.tell(Open(1), agreed(1, phone))
    row = server.hear(Opened).row
    time.sleep(0.2)
    sleep, stalls = time.sleep, [0.3]

    def stall(seconds) -> None:
        sleep(stalls.pop() if stalls else seconds)

    monkeypatch.setattr(module.time, "sleep", stall)
    select.select([], [], [], 0.6)
    phone.listen()
    server.tell(Close(1))
    sent = server.hear(Closed).statistics.packets_sent

    times = np.array([packet.timestamp for packet in phone.heard], np.int64) - phone.heard[0].timestamp & 0xFFFFFFFF
    steps = np.diff(times) // 160
    assert steps.max() >= 0.3 / 0.02 - CATCH_UP - 1
    assert np.count_nonzero(steps > 1) == 1
    assert {(b.sequence - a.sequence) & 0xFFFF for a, b in zip(phone.heard, phone.heard[1:], strict=False)} == {1}
    heard = int(server.arena.cursors[row, Cursor.HEARD])
    assert heard == pytest.approx(times[-1] / 160, abs=3)
    assert sent < heard - 10


def test_a_machine_that_slept_does_not_make_up_for_it(server, phone, monkeypatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LAG", 8)
    server.tell(Open(1), agreed(1, phone))
    row = server.hear(Opened).row
    time.sleep(0.1)
    sleep, stalls = time.sleep, [1.0]
    monkeypatch.setattr(module.time, "sleep", lambda seconds: sleep(stalls.pop() if stalls else seconds))
    select.select([], [], [], 1.3)

    assert int(server.arena.cursors[row, Cursor.HEARD]) < 1.0 / 0.02
    assert LONGEST_LAG * TICK == 1.0
    assert PHASES * TICK == 0.02


def test_commands_for_no_channel_are_ignored(server, phone) -> None:
    server.tell(agreed(9, phone), Record(9, "/x", 1), Clear(9, 1, 0), SendDigits(9, "1"), Close(9), Open(1))
    assert server.hear(Opened).handle == 1
    server.tell(SendDigits(1, "1"), Close(1))
    assert server.hear(Closed).handle == 1


def test_more_calls_than_rows_are_refused_and_their_ports_stay_free(server) -> None:
    server.tell(Open(1), Open(2), Open(3))
    refused = server.hear(Refused)
    assert (refused.handle, refused.ports) == (3, True)
    assert "max_calls" in refused.reason
    server.tell(Close(1), Open(3))
    server.hear(Closed)
    assert server.hear(Opened).handle == 1


def test_an_idle_engine_waits_for_a_server_that_does_not_read(server) -> None:
    for _ in range(40):
        server.tell(*(Open(handle) for handle in range(100, 200)))
    opened = [server.hear((Opened, Refused)) for _ in range(4000)]
    assert sum(isinstance(answer, Opened) for answer in opened) == 2


def test_the_program_runs_until_the_server_is_gone(ports, monkeypatch) -> None:
    calls = []
    for module_, name in ((signal, "signal"), (os, "sched_setscheduler"), (os, "nice")):
        monkeypatch.setattr(module_, name, lambda *values, name=name: calls.append(name))
    monkeypatch.setattr(program.gc, "freeze", lambda: None)
    monkeypatch.setattr(program.resource, "setrlimit", lambda *values: calls.append("setrlimit"))
    shape = EngineShape("127.0.0.1", ports, ports + 10, 4, ArenaShape(1, 800))
    ours, theirs = socket.socketpair()
    ours.close()

    program.main([str(theirs.detach()), str(ring.create(shape.arena)), *shape.arguments()])

    assert calls == ["signal", "signal", "setrlimit", "sched_setscheduler"]


def test_a_priority_that_is_refused_is_done_without(monkeypatch) -> None:
    def refuse(*values) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "nice", refuse)
    program._take_priority()

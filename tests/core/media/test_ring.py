"""The shared memory: rings and cursors."""

import os

import numpy as np
import pytest
from sipcore.media import ring
from sipcore.media.ring import HISTORY, KEPT_FRAMES, Arena, ArenaShape, Cursor
from sipcore.rtp.jitter import FRAME

SHAPE = ArenaShape(slots=2, outbound_samples=1000)


@pytest.fixture
def sides():
    descriptor = ring.create(SHAPE)
    server, engine = Arena(descriptor, SHAPE), Arena(descriptor, SHAPE)
    os.close(descriptor)
    return server, engine


def test_what_one_side_writes_the_other_reads(sides) -> None:
    server, engine = sides
    assert server.queue(1, np.arange(300, dtype=np.int16)) == 300

    assert engine.cursors[:, Cursor.WRITTEN].tolist() == [0, 300]
    assert engine.outbound[1, :300].tolist() == list(range(300))


def test_the_queue_takes_what_has_room_and_wraps(sides) -> None:
    server, engine = sides
    assert server.queue(0, np.zeros(900, np.int16)) == 900
    assert server.queue(0, np.ones(200, np.int16)) == 100
    engine.cursors[0, Cursor.READ] = 950
    assert server.queue(0, np.full(50, 7, np.int16)) == 50

    assert engine.outbound[0, :50].tolist() == [7] * 50


def test_the_time_of_a_position_is_that_of_the_packet_with_its_last_sample(sides) -> None:
    server, engine = sides
    for number, count in enumerate((160, 160, 40, 160)):
        engine.record_sent([0], np.array([count]), 10.0 + number)

    times = [server.sent_time(0, position) for position in (0, 1, 160, 161, 360, 361, 520, 521)]
    assert times == [10, 10, 10, 11, 12, 13, 13, None]
    assert server.sent_time(1, 0) is None


def test_a_position_older_than_the_history_gets_its_oldest_time(sides) -> None:
    server, engine = sides
    for number in range(HISTORY + 5):
        engine.record_sent([0], np.array([160]), float(number))

    assert server.sent_time(0, 1) == 5
    assert server.sent_time(0, (HISTORY + 5) * 160) == HISTORY + 4


def test_a_slow_reader_is_told_what_it_missed(sides) -> None:
    server, engine = sides
    assert server.heard_since(0, 0) == (None, 0)
    for number in range(SHAPE.inbound_frames + 20):
        engine.inbound[0, number % SHAPE.inbound_frames] = number
    engine.cursors[0, Cursor.HEARD] = SHAPE.inbound_frames + 20

    frame, lost = server.heard_since(0, 0)
    assert lost == SHAPE.inbound_frames + 20 - KEPT_FRAMES
    assert np.frombuffer(frame, np.int16).tolist() == [lost] * FRAME
    assert server.heard_since(0, SHAPE.inbound_frames)[1] == 0


def test_a_row_is_clean_for_its_next_call(sides) -> None:
    server, engine = sides
    server.queue(0, np.ones(10, np.int16))
    engine.clean(0)
    assert not server.cursors[0].any()


def test_without_memfd_an_unnamed_file_serves(monkeypatch, tmp_path) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    descriptor = ring.create(SHAPE)

    assert os.fstat(descriptor).st_size == ring.size(SHAPE)
    assert not list(tmp_path.iterdir())
    os.close(descriptor)

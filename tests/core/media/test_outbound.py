"""What is sent, tick by tick."""

import itertools
import os

import numpy as np
import pytest
from sipcore.audio.g711 import PCMA_DECODING, PCMA_ENCODING, PCMU_DECODING, PCMU_ENCODING
from sipcore.media import ring
from sipcore.media.outbound import Outbound
from sipcore.media.ring import Arena, ArenaShape, Cursor
from sipcore.rtp.dtmf import TelephoneEvent
from sipcore.rtp.packet import RtpPacket

ROWS = np.array([0, 1, 2])
NOISE = np.random.default_rng(5).integers(-20000, 20000, 16000).astype(np.int16)


class Wire(list):
    """Keeps packets; refuses them while ``broken``."""

    broken = False

    def send(self, data) -> int:
        if self.broken:
            raise BlockingIOError
        self.append(RtpPacket.parse(bytes(data)))
        return len(data)


@pytest.fixture
def sender():
    descriptor = ring.create(shape := ArenaShape(3, 1000))
    arena = Arena(descriptor, shape)
    os.close(descriptor)
    outbound = Outbound(arena)
    wires = [Wire(), Wire(), Wire()]
    for row, (kind, codec) in enumerate([(0, "PCMU"), (8, "PCMA"), (0, "PCMU")]):
        outbound.open(row)
        outbound.agree(row, kind, codec, wires[row].send)
    return outbound, arena, wires


def test_calls_of_all_kinds_go_out_together(sender) -> None:
    outbound, arena, wires = sender
    sent = []
    at = [0, 0, 0]
    for tick in range(40):
        for row, count in ((0, 160), (1, (37, 250, 0)[tick % 3])):
            at[row] += arena.queue(row, NOISE[at[row] : at[row] + count])
        sent.append(outbound.tick(ROWS, float(tick), send=True))

    pcm = np.concatenate(sent, axis=1)
    laws = ((PCMU_ENCODING, PCMU_DECODING), (PCMA_ENCODING, PCMA_DECODING), (PCMU_ENCODING, PCMU_DECODING))
    for row, (encode, decode) in enumerate(laws):
        packets = wires[row]
        heard = decode[np.frombuffer(b"".join(packet.payload for packet in packets), np.uint8)]
        assert (heard == decode[encode[pcm[row].view(np.uint16)]]).all()
        assert np.diff([packet.sequence for packet in packets]).tolist() == [1] * 39
        assert {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(packets)} == {160}
        assert len({packet.ssrc for packet in packets}) == 1
        assert int(arena.cursors[row, Cursor.SENT]) == at[row] - int(arena.cursors[row, Cursor.WRITTEN]) + int(
            arena.cursors[row, Cursor.READ]
        )
    assert (pcm[0] == NOISE[:6400]).all()
    assert not pcm[2].any()
    assert len({packets[0].ssrc for packets in wires}) == 3


def test_a_tick_that_is_too_late_passes_in_silence_and_keeps_the_queue(sender) -> None:
    outbound, arena, wires = sender
    arena.queue(0, NOISE[:320])
    outbound.tick(ROWS, 0.0, send=True)
    assert not outbound.tick(ROWS, 0.0, send=False).any()
    outbound.tick(ROWS, 0.0, send=True)

    first, second = wires[0]
    assert (second.sequence - first.sequence, second.timestamp - first.timestamp) == (1, 320)
    assert second.payload == PCMU_ENCODING[NOISE[160:320].view(np.uint16)].tobytes()


def test_a_packet_that_the_system_refuses_is_counted_and_no_other_call_hears_of_it(sender) -> None:
    outbound, _, wires = sender
    wires[0].broken = True
    outbound.send_digits(0, "1", 101)
    for tick in range(30):
        outbound.tick(ROWS, float(tick), send=True)

    assert (outbound.sent.tolist(), outbound.failed.tolist()) == ([0, 30, 30], [30, 0, 0])


def test_digits_of_one_call_leave_the_others_playing(sender) -> None:
    outbound, arena, wires = sender
    for row in range(3):
        arena.queue(row, NOISE[:480])
    outbound.send_digits(1, "7", 101)
    for tick in range(15):
        outbound.tick(ROWS, float(tick), send=True)

    kinds = [packet.payload_type for packet in wires[1]]
    assert kinds == [101] * 7 + [8] * 8
    assert {TelephoneEvent.parse(packet.payload).digit for packet in wires[1][:7]} == {"7"}
    assert [packet.sequence - wires[1][0].sequence for packet in wires[1]] == list(range(15))
    assert wires[1][10].payload == PCMA_ENCODING[NOISE[:160].view(np.uint16)].tobytes()
    assert arena.sent_time(0, 480) == 2
    assert arena.sent_time(1, 480) == 12


def test_a_closed_call_sends_nothing(sender) -> None:
    outbound, _, wires = sender
    outbound.send_digits(0, "1", 101)
    outbound.close(0)
    outbound.tick(ROWS, 0.0, send=True)

    assert [len(wire) for wire in wires] == [0, 1, 1]

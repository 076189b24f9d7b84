"""The batches equal the readable protocol code, packet for packet and frame for frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sipcore.audio.g711 import PCMA, PCMU
from sipcore.errors import MediaError
from sipcore.media.inbound import CLOCK_RATE, Inbound, dropped
from sipcore.media.sockets import DATAGRAM_SIZE
from sipcore.rtp.dtmf import TelephoneEvent
from sipcore.rtp.jitter import FRAME, JitterBuffer
from sipcore.rtp.packet import HeaderExtension, RtpPacket
from sipcore.rtp.receiver import StreamReceiver
from sipcore.rtp.sequence import SequenceTracker

RECEIVE = {0: "PCMU", 8: "PCMA"}
EVENTS = 101
CALLS = 3


class Both:
    """The same packets through the batches and through a `StreamReceiver` a call."""

    def __init__(self) -> None:
        self.datagrams = np.zeros((CALLS, DATAGRAM_SIZE), np.uint8)
        self.batch = Inbound(CALLS + 1, self.datagrams)
        self.scalars = []
        for row in range(CALLS):
            self.batch.open(row)
            self.batch.agree(row, RECEIVE, EVENTS)
            scalar = StreamReceiver()
            scalar.decoders = {0: PCMU.decoder().decode, 8: PCMA.decoder().decode}
            scalar.event_type = EVENTS
            self.scalars.append(scalar)

    def round(self, packets: dict[int, bytes], now: float) -> None:
        rows = np.array(sorted(packets), np.intp)
        for index, row in enumerate(rows.tolist()):
            self.datagrams[index, : len(packets[row])] = np.frombuffer(packets[row], np.uint8)
        lengths = np.array([len(packets[row]) for row in rows.tolist()], np.int64)
        digits = {n.row: n.digit for n in self.batch.take(rows, lengths, now) if n.digit} if len(rows) else {}
        expected = {row: self.scalars[row].receive(packets[row], int(now * CLOCK_RATE)) for row in rows.tolist()}
        assert digits == {row: result.digit for row, result in expected.items() if result.digit}

    def frames(self) -> None:
        got = self.batch.frames(np.arange(CALLS))
        wanted = np.stack([scalar.buffer.get() for scalar in self.scalars])
        assert (got == wanted).all()

    def compare(self) -> None:
        for row, scalar in enumerate(self.scalars):
            batch = self.batch.close(row)
            for name in SequenceTracker.STATE:
                assert getattr(batch.sequence, name) == getattr(scalar.sequence, name), name
            for name in JitterBuffer.STATE:
                assert getattr(batch.buffer, name) == getattr(scalar.buffer, name), name
            assert (batch.jitter.jitter, batch.jitter.transit) == (scalar.jitter.jitter, scalar.jitter.transit)
            assert batch.counts == scalar.counts
            assert (batch.buffer.ring == scalar.buffer.ring).all()


def packet(number: int, shape: str, seed: int, base: int) -> bytes:
    """The packet of a stream's place ``number``, in one of the shapes that come on a line."""
    payload = np.random.default_rng(seed).integers(0, 256, FRAME, np.uint8).tobytes()
    fields = {"payload_type": 0, "payload": payload, "ssrc": 77}
    timestamp = base + number * FRAME
    match shape:
        case "alaw":
            fields["payload_type"] = 8
        case "quiet":
            fields["payload"] = b"\xff" * FRAME
        case "marker":
            fields["marker"] = True
        case "extended":
            fields |= {"extension": HeaderExtension(1, b"abcd"), "padding": 3}
        case "long":
            fields["payload"] = payload * 2
        case "short":
            fields["payload"] = payload[:80]
        case "empty":
            fields["payload"] = b""
        case "event":
            fields |= {"payload_type": EVENTS, "payload": bytes(TelephoneEvent(number % 12, 160))}
        case "unknown":
            fields["payload_type"] = 33
        case "stranger":
            fields["ssrc"] = 78
        case "jump":
            timestamp += 5_000_000
        case _:
            pass
    return bytes(RtpPacket(sequence=number & 0xFFFF, timestamp=timestamp & 0xFFFFFFFF, **fields))


SHAPES = ["plain"] * 6 + [
    "alaw", "quiet", "quiet", "marker", "extended", "long", "short", "empty", "event", "unknown", "stranger", "jump",
]  # fmt: skip
STEP = st.tuples(
    st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1, -2, 3, 70, -80, 4000]), st.sampled_from(SHAPES), st.integers(0, 3)
)
TICKS = st.lists(st.lists(st.none() | STEP, min_size=CALLS, max_size=CALLS), min_size=1, max_size=60)


@given(TICKS, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF))
@settings(max_examples=150, deadline=None)
def test_any_stream_is_taken_alike(ticks, base, first) -> None:
    both = Both()
    places = [first] * CALLS
    now = 1000.0
    for seed, tick in enumerate(ticks):
        packets = {}
        for row, step in enumerate(tick):
            if step is None:
                continue
            skip, shape, again = step
            places[row] += 1
            packets[row] = packet(places[row] + skip, shape, seed, base)
            if again == 3:
                places[row] += skip
        both.round(packets, now)
        now += 0.02
        both.frames()
    both.compare()


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF), st.integers(0, 5), st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_long_streams_with_stalls_and_skew_are_taken_alike(base, first, stall, skew) -> None:
    both = Both()
    number = first
    for tick in range(450):
        due = 0 if 100 <= tick < 100 + stall else 1 + (stall if tick == 100 + stall else 0)
        due += skew > 0 and tick % (skew + 20) == 0
        for _ in range(due):
            number += 1
            both.round(
                {row: packet(number, "quiet" if tick % 3 else "plain", tick, base) for row in range(CALLS)}, tick / 50
            )
        both.frames()
    both.compare()


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_no_datagram_is_too_odd(data) -> None:
    both = Both()
    for number in range(3):
        both.round({row: packet(number, "plain", 1, 0) for row in range(CALLS)}, number / 50)
    both.round({1: data}, 1.0)
    both.frames()
    both.compare()


def test_the_first_packet_is_told_once() -> None:
    both = Both()
    told = []
    for number in range(3):
        both.datagrams[0, :172] = np.frombuffer(packet(number, "plain", 1, 0), np.uint8)
        told += list(both.batch.take(np.array([2]), np.array([172]), 5.0 + number))

    assert [(notable.row, notable.first) for notable in told] == [(2, True)]
    assert both.batch.last.tolist() == [0, 0, 7, 0]


def test_only_what_was_agreed_on_is_expected() -> None:
    both = Both()
    assert [both.batch.expects(0, number) for number in (0, 8, 101, 9)] == [True, True, True, False]
    with pytest.raises(MediaError, match="no codec G722"):
        both.batch.agree(0, {9: "G722"}, None)
    assert dropped(both.batch.close(0)) == {"duplicate": 0, "jump": 0, "source": 0, "payload_type": 0, "invalid": 0}

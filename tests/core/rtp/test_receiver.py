"""StreamReceiver: which packets make the call's audio, and what becomes of the others."""

import numpy as np
from sipcore.rtp.dtmf import TelephoneEvent
from sipcore.rtp.jitter import FRAME
from sipcore.rtp.packet import HeaderExtension, RtpPacket
from sipcore.rtp.receiver import Received, StreamReceiver

TAKEN = Received(accepted=True)
DROPPED = Received(accepted=False)


def decode(payload: bytes) -> np.ndarray:
    return np.frombuffer(payload, np.uint8).astype(np.int16) * 100


class Call:
    def __init__(self) -> None:
        self.receiver = StreamReceiver()
        self.receiver.decoders = {0: decode}
        self.receiver.event_type = 101

    def send(self, number: int, *, ssrc: int = 1, kind: int = 0, **fields) -> Received:
        fields.setdefault("payload", bytes([number % 250 + 1]) * FRAME)
        timestamp = fields.pop("timestamp", number * FRAME)
        packet = RtpPacket(kind, number, timestamp, ssrc, **fields)
        return self.receiver.receive(bytes(packet), number * FRAME)

    def play(self, count: int) -> list[int]:
        return [int(self.receiver.buffer.get()[0]) // 100 - 1 for _ in range(count)]


def test_a_stream_is_played_whatever_its_headers_hold() -> None:
    call = Call()
    assert call.send(0, marker=True) == TAKEN
    assert call.send(1, csrc=(7,), extension=HeaderExtension(1, b"abcd"), padding=4) == TAKEN

    assert call.play(4) == [-1, -1, 0, 1]
    assert call.receiver.jitter.jitter == 0


def test_what_is_no_rtp_or_was_not_agreed_on_is_dropped_and_counted() -> None:
    call = Call()
    assert call.receiver.receive(b"hello", 0) == DROPPED
    assert call.send(0, kind=18) == DROPPED
    assert call.send(0, kind=101, payload=b"\1") == DROPPED

    assert call.receiver.counts["invalid"] == 2
    assert call.receiver.counts["payload_type"] == 1


def test_reordered_packets_are_played_and_duplicates_are_not_counted_twice() -> None:
    call = Call()
    results = [call.send(number) for number in (0, 2, 1, 2, 3)]

    assert results == [TAKEN, TAKEN, TAKEN, DROPPED, TAKEN]
    assert call.play(6) == [-1, -1, 0, 1, 2, 3]
    assert call.receiver.counts["reordered"] == call.receiver.counts["duplicate"] == 1
    assert call.receiver.sequence.received == 4


def test_a_packet_that_is_too_late_is_counted() -> None:
    call = Call()
    call.send(0)
    call.send(5)
    call.play(8)
    assert call.send(1) == TAKEN

    assert call.receiver.counts["late"] == 1


def test_a_stray_packet_of_another_source_disturbs_nothing() -> None:
    call = Call()
    results = [call.send(0), call.send(700, ssrc=2), call.send(1), call.send(900, ssrc=3), call.send(2)]

    assert [result.accepted for result in results] == [True, False, True, False, True]
    assert call.play(5) == [-1, -1, 0, 1, 2]
    assert call.receiver.counts["source"] == 2


def test_a_source_that_goes_on_takes_over() -> None:
    call = Call()
    for number in range(3):
        call.send(number)
    assert [call.send(number, ssrc=2).accepted for number in (100, 101, 102)] == [False, True, True]

    assert call.play(4) == [-1, -1, 101, 102]
    assert call.receiver.ssrc == 2
    assert call.receiver.sequence.lost == 0


def test_a_jump_in_the_sequence_is_followed_from_its_second_packet() -> None:
    call = Call()
    call.send(0)
    assert [call.send(number).accepted for number in (30000, 30001, 30002)] == [False, True, True]
    assert call.receiver.counts["jump"] == 1


def test_a_digit_is_reported_once_and_its_packets_are_part_of_the_sequence() -> None:
    call = Call()
    call.send(0)
    heard = [call.send(n, kind=101, timestamp=160, payload=bytes(TelephoneEvent(5, 160 * n))) for n in (1, 2, 3)]
    call.send(4)

    assert [received.digit for received in heard] == ["5", None, None]
    assert call.receiver.sequence.lost == 0

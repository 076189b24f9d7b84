"""Telephone events, RFC 4733, against captures of real senders."""

import itertools
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import LocalProtocolError, RemoteProtocolError
from sipcore.rtp.dtmf import TelephoneEvent, TelephoneEventReceiver, event_packets
from sipcore.rtp.packet import RtpPacket

CAPTURES = Path(__file__).parents[2] / "vectors" / "rtp_dtmf"
NAMES = {"pound": "#", "star": "*"}


def packets(path: Path) -> list[RtpPacket]:
    """The RTP packets of a little-endian libpcap file of Ethernet, IPv4 and UDP."""
    data, at, found = path.read_bytes(), 24, []
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        found.append(RtpPacket.parse(data[at + 16 + 42 : at + 16 + length]))
        at += 16 + length
    return found


def digits(stream: list[RtpPacket], receiver: TelephoneEventReceiver | None = None) -> list[str]:
    receiver = receiver or TelephoneEventReceiver()
    return [digit for packet in stream if (digit := receiver.receive(packet)) is not None]


def captures() -> list[tuple[str, Path]]:
    found = [
        (NAMES.get(name := path.stem.rsplit("_", 1)[1], name), path) for path in sorted(CAPTURES.glob("*2833*.pcap"))
    ]
    assert len(found) == 13
    return found


@pytest.mark.parametrize(("digit", "path"), captures())
def test_a_captured_digit_is_heard_once_whichever_packets_are_lost(digit: str, path: Path) -> None:
    stream = packets(path)
    assert digits(stream) == [digit]

    ends = [packet for packet in stream if TelephoneEvent.parse(packet.payload).end]
    assert len(ends) == 3
    for lost in itertools.chain.from_iterable(itertools.combinations(range(len(stream)), n) for n in (1, 2, 3)):
        assert digits([packet for index, packet in enumerate(stream) if index not in lost]) == [digit]


@pytest.mark.parametrize(("digit", "path"), captures())
def test_captured_packets_round_trip(digit: str, path: Path) -> None:
    for packet in packets(path):
        assert bytes(TelephoneEvent.parse(packet.payload)) == packet.payload
        assert RtpPacket.parse(bytes(packet)) == packet


def test_captured_a_law_is_30_ms_packets_on_a_steady_clock() -> None:
    stream = packets(CAPTURES / "g711a.pcap")

    assert {packet.payload_type for packet in stream} == {8}
    assert {len(packet.payload) for packet in stream} == {240}
    assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(stream)} == {240}


def packet(timestamp: int, event: TelephoneEvent, *, marker: bool = False, ssrc: int = 1) -> RtpPacket:
    return RtpPacket(101, 0, timestamp, ssrc, bytes(event), marker=marker)


def test_the_same_key_twice_is_two_digits() -> None:
    stream = [packet(time, TelephoneEvent(5, 160, end=True), marker=True) for time in (0, 4000)]
    assert digits(stream) == ["5", "5"]


def test_a_late_packet_of_an_earlier_press_is_no_news() -> None:
    stream = [packet(time, TelephoneEvent(key, 160)) for time, key in ((0, 1), (4000, 2), (0, 1))]
    assert digits(stream) == ["1", "2"]


def test_a_press_longer_than_eight_seconds_comes_in_segments_and_is_one_digit() -> None:
    first = packet(0xFFFF0000, TelephoneEvent(3, 0xFFFF), marker=True)
    second = packet(0xFFFFFFFF, TelephoneEvent(3, 800))
    ended = packet(0xFFFFFFFF, TelephoneEvent(3, 900, end=True))
    assert digits([first, second, ended]) == ["3"]


def test_a_new_press_right_after_the_end_is_a_digit_even_without_a_marker() -> None:
    assert digits([packet(0, TelephoneEvent(3, 800, end=True)), packet(800, TelephoneEvent(3, 160))]) == ["3", "3"]


def test_a_new_source_starts_anew() -> None:
    assert digits([packet(4000, TelephoneEvent(3, 160)), packet(0, TelephoneEvent(4, 160), ssrc=2)]) == ["3", "4"]


def test_an_event_that_is_no_digit_is_no_digit() -> None:
    assert digits([packet(0, TelephoneEvent(16, 160))]) == []


@given(st.binary(max_size=12))
def test_a_payload_is_an_event_or_a_remote_error(payload: bytes) -> None:
    try:
        event = TelephoneEvent.parse(payload)
    except RemoteProtocolError:
        assert len(payload) < 4
    else:
        assert event.volume <= 63


def send(text: str, clock: int = 0) -> list[RtpPacket | None]:
    """What a sender with a 20 ms clock puts on the wire; None is an ordinary packet."""
    sent: list[RtpPacket | None] = []
    for number, item in enumerate(event_packets(text)):
        timestamp = clock + 160 * number - item.age & 0xFFFFFFFF
        sent.append(RtpPacket(101, number, timestamp, 9, item.payload, marker=item.marker) if item.payload else None)
    return sent


def test_a_sent_digit_is_100_ms_with_three_end_packets_that_share_its_timestamp() -> None:
    sent = [packet for packet in send("5") if packet]
    events = [TelephoneEvent.parse(packet.payload) for packet in sent]

    assert [packet.marker for packet in sent] == [True, *[False] * 6]
    assert {packet.timestamp for packet in sent} == {0}
    assert [event.duration for event in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [event.end for event in events] == [*[False] * 4, True, True, True]


@given(st.text("0123456789*#ABCDabcd", min_size=1, max_size=6), st.integers(0, 0xFFFFFFFF))
def test_what_is_sent_is_received(text: str, clock: int) -> None:
    assert "".join(digits([packet for packet in send(text, clock) if packet])) == text.upper()


def test_one_packet_may_be_the_whole_digit() -> None:
    items = list(event_packets("1", tone=160, pause=0))
    assert [(item.marker, item.age) for item in items] == [(True, 0), (False, 160), (False, 320)]


@pytest.mark.parametrize("text", ["x", "1 2", "é"])
def test_what_is_no_digit_cannot_be_sent(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no digit"):
        list(event_packets(text))


@pytest.mark.parametrize("tone", [0, 0x10000])
def test_a_digit_has_a_length(tone: int) -> None:
    with pytest.raises(LocalProtocolError, match="timestamp units"):
        list(event_packets("1", tone=tone))

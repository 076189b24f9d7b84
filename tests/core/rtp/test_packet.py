"""RtpPacket: RFC 3550 §5.1, octet for octet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import LocalProtocolError, RemoteProtocolError
from sipcore.rtp.packet import HeaderExtension, RtpPacket

WORD = st.integers(0, 0xFFFFFFFF)
EXTENSIONS = st.builds(
    HeaderExtension,
    st.integers(0, 0xFFFF),
    st.integers(0, 8).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
)
PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=WORD,
    ssrc=WORD,
    payload=st.binary(max_size=200),
    marker=st.booleans(),
    csrc=st.lists(WORD, max_size=15).map(tuple),
    extension=st.none() | EXTENSIONS,
    padding=st.integers(0, 255),
)


def test_a_plain_packet_is_read_field_by_field() -> None:
    packet = RtpPacket.parse(bytes.fromhex("80e5 20cd 0001 4f00 0e05 384e 0a0a 0000"))

    assert packet == RtpPacket(101, 0x20CD, 0x14F00, 0x0E05384E, bytes.fromhex("0a0a0000"), marker=True)


def test_everything_a_header_may_hold_is_read_and_written() -> None:
    data = bytes.fromhex(
        "b2 00 0001 00000002 00000003  0000000a 0000000b  bede 0001 01020304  aabb 00 02".replace(" ", "")
    )

    packet = RtpPacket.parse(data)

    assert packet.csrc == (10, 11)
    assert packet.extension == HeaderExtension(0xBEDE, b"\x01\x02\x03\x04")
    assert packet.payload == b"\xaa\xbb"
    assert packet.padding == 2
    assert bytes(packet) == data


@given(PACKETS)
def test_every_packet_survives_the_wire(packet: RtpPacket) -> None:
    assert RtpPacket.parse(bytes(packet)) == packet


@given(st.binary(max_size=80) | st.binary(min_size=12, max_size=80).map(lambda data: b"\xb1" + data[1:]))
def test_bytes_are_a_packet_or_a_remote_error(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except RemoteProtocolError:
        return
    assert len(bytes(packet)) == len(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("80000001", "RTP packet of 4 bytes: at least 12 were expected"),
        ("400000010000000200000003", "RTP version 1: 2 was expected"),
        ("820000010000000200000003", "RTP packet of 12 bytes names 2 CSRCs"),
        ("900000010000000200000003", "RTP packet ends before its header extension"),
        ("900000010000000200000003bede0001", "RTP packet ends inside its header extension of 1 words"),
        ("a0000001000000020000000300", "RTP padding of 0 bytes in 1 bytes of payload"),
        ("a0000001000000020000000303", "RTP padding of 3 bytes in 1 bytes of payload"),
    ],
)
def test_what_is_wrong_is_said(data: str, text: str) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        RtpPacket.parse(bytes.fromhex(data))
    assert str(error.value) == text


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0, b""),
        RtpPacket(0, 65536, 0, 0, b""),
        RtpPacket(0, 0, 0, 0, b"", csrc=(0,) * 16),
        RtpPacket(0, 0, 0, 0, b"", padding=256),
        RtpPacket(0, 0, 0, 0, b"", extension=HeaderExtension(0, b"abc")),
    ],
)
def test_a_packet_that_does_not_fit_the_wire_is_our_own_error(packet: RtpPacket) -> None:
    with pytest.raises(LocalProtocolError):
        bytes(packet)

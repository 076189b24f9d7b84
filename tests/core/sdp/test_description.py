"""sdp/description.py: descriptions are read leniently, kept whole and written in order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import RemoteProtocolError
from sipcore.sdp.description import Connection, MediaDescription, Origin, SessionDescription
from sipcore.sip.parser import MalformedMessageError, parse_message

VECTORS = Path(__file__).parents[2] / "vectors"
REAL = Path(__file__).parents[3].parent / "shared/exams/real-messages"
FULL = b"""v=0\r
o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r
s=Call to John Smith\r
i=SDP Offer #1\r
u=http://www.jdoe.example.com/home.html\r
e=Jane Doe <jane@jdoe.example.com>\r
p=+1 617 555-6011\r
c=IN IP4 198.51.100.1\r
b=AS:128\r
t=0 0\r
r=604800 3600 0 90000\r
a=recvonly\r
m=audio 49170 RTP/AVP 0\r
m=audio 49180/2 RTP/AVP 0 101\r
i=second\r
c=IN IP6 2001:db8::2\r
b=TIAS:1\r
a=rtpmap:101 telephone-event/8000\r
a=sendrecv\r
"""


def bodies():
    for path in [*sorted(VECTORS.glob("rfc*/*.dat")), *sorted(REAL.glob("*.sip"))]:
        try:
            message = parse_message(path.read_bytes())
        except MalformedMessageError:
            continue
        if message.body.startswith(b"v=0"):
            yield pytest.param(message.body, id=path.stem)


def test_a_description_is_written_as_it_was_read():
    assert bytes(SessionDescription.parse(FULL)) == FULL


@pytest.mark.parametrize("body", list(bodies()))
def test_descriptions_of_others_survive(body):
    try:
        description = SessionDescription.parse(body)
    except RemoteProtocolError:
        assert any(broken in body for broken in (b"m =", b"testing", b"m=audio 492170"))
        return
    assert SessionDescription.parse(bytes(description)) == description


def test_the_parts_of_a_description():
    description = SessionDescription.parse(FULL)
    assert description.origin == Origin("jdoe", 3724394400, 3724394405, "198.51.100.1")
    assert description.name == "Call to John Smith"
    assert description.attribute("recvonly") == ""
    assert description.attribute("inactive") is None
    first, second = description.media
    assert (first.kind, first.port, first.protocol, first.formats) == ("audio", 49170, "RTP/AVP", ("0",))
    assert (second.port, second.port_count) == (49180, 2)
    assert second.attribute("rtpmap") == "101 telephone-event/8000"
    assert second.all_attributes("sendrecv") == []
    assert description.connection_of(first) == Connection("198.51.100.1")
    assert description.connection_of(second) == Connection("2001:db8::2", "IP6")


def test_what_devices_forget_and_add_is_forgiven():
    description = SessionDescription.parse(b"v=0\no=- 1 1 IN IP4 h\nx=unknown\nm=audio 1 RTP/AVP 0\ns=late\n\n")
    assert description.name == ""
    assert description.others == [("x", "unknown")]
    assert description.media[0].others == [("s", "late")]
    assert bytes(description).endswith(b"s=\r\nx=unknown\r\nm=audio 1 RTP/AVP 0\r\ns=late\r\n")


def test_a_multicast_ttl_is_dropped():
    assert Connection.parse("IN IP4 224.2.1.1/127").address == "224.2.1.1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"v=1\r\n",
        b"v=0\r\n",
        b"v=0\r\ns=-\r\n",
        b"v=0\r\no=- 1 1 IN IP4\r\n",
        b"v=0\r\no=- x 1 IN IP4 h\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\nc=IN IP4\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio x RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 65536 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\nm =video 1 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\nnonsense\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\ns=a\rb\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\ns=a\0b\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\n" + b"a=x\r\n" * 1001,
    ],
)
def test_broken_descriptions_are_refused(body):
    with pytest.raises(RemoteProtocolError) as error:
        SessionDescription.parse(body)
    assert error.value.status in (400, 413)


def test_a_medium_is_made_by_hand():
    media = MediaDescription(attributes=[("sendrecv", None)], port=4000, formats=["0"])
    assert list(media.lines()) == ["m=audio 4000 RTP/AVP 0", "a=sendrecv"]
    assert bytes(SessionDescription()) == b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\n"


@given(st.binary() | st.binary().map(lambda tail: b"v=0\r\no=- 1 1 IN IP4 h\r\n" + tail))
def test_any_bytes_are_a_description_or_refused(body):
    try:
        description = SessionDescription.parse(body)
    except RemoteProtocolError:
        return
    assert SessionDescription.parse(bytes(description)) == description

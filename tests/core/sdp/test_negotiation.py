"""sdp/negotiation.py: RFC 3264 between us and the phones there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import RemoteProtocolError
from sipcore.sdp.description import SessionDescription
from sipcore.sdp.negotiation import PayloadFormat, accept_answer, make_answer, make_offer

PCMU, PCMA = PayloadFormat(0, "PCMU", 8000), PayloadFormat(8, "PCMA", 8000)
OPUS = PayloadFormat(96, "opus", 48000, 2, "useinbandfec=1")
LOCAL = ("192.0.2.1", 20000)


def parse(media, session=""):
    text = f"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\n{session}t=0 0\r\n{media}"
    return SessionDescription.parse(text.replace("\n", "\r\n").replace("\r\r", "\r").encode())


def answer(media, session="", formats=(PCMU, PCMA), **arguments):
    return make_answer(parse(media, session), LOCAL, formats, session_id=7, version=1, **arguments)


def refuse(media, session="", formats=(PCMU, PCMA), local=LOCAL):
    with pytest.raises(RemoteProtocolError) as error:
        make_answer(parse(media, session), local, formats, session_id=7, version=1)
    assert error.value.status == 488


def test_an_offer_lists_our_codecs_and_digits():
    offer = make_offer(LOCAL, [OPUS, PCMU], session_id=7, version=2)
    assert bytes(offer).decode().split("\r\n") == [
        "v=0",
        "o=- 7 2 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 20000 RTP/AVP 96 0 101",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
        "",
    ]


def test_an_offer_over_ipv6_and_with_digits_of_ones_own():
    offer = make_offer(
        ("2001:db8::1", 4), [PCMU, PayloadFormat(97, "telephone-event", 8000)], session_id=1, version=1, ptime=30
    )
    assert offer.connection.address_type == "IP6"
    assert offer.media[0].formats == ["0", "97"]
    assert offer.media[0].attribute("ptime") == "30"


def test_digits_get_a_free_payload_type():
    offer = make_offer(LOCAL, [PayloadFormat(101, "opus", 48000, 2)], session_id=1, version=1)
    assert offer.media[0].formats == ["101", "96"]


def test_the_answer_takes_the_callers_first_choice_that_we_know():
    described, agreement = answer(
        "m=audio 4000 RTP/AVP 18 8 0 97\na=rtpmap:97 telephone-event/8000\na=fmtp:97 0-16\na=rtcp:4005\na=ptime:30\n"
    )
    assert described.media[0].formats == ["8", "97"]
    assert described.media[0].attribute("fmtp") == "97 0-16"
    assert described.media[0].port == 20000
    assert agreement.format == PCMA
    assert agreement.remote == ("192.0.2.9", 4000)
    assert agreement.remote_rtcp == ("192.0.2.9", 4005)
    assert agreement.telephone_event == 97
    assert set(agreement.receive_formats) == {8, 97}
    assert agreement.direction == "sendrecv"
    assert agreement.ptime == 30


def test_an_offer_without_digits_gets_none():
    _, agreement = answer("m=audio 4000 RTP/AVP 0\n")
    assert agreement.telephone_event is None
    assert agreement.remote_rtcp == ("192.0.2.9", 4001)
    assert agreement.ptime == 20


def test_a_dynamic_payload_type_is_mirrored():
    described, agreement = answer("m=audio 4 RTP/AVP 111 0\na=rtpmap:111 OPUS/48000/2\n", formats=[OPUS, PCMU])
    assert described.media[0].attribute("rtpmap") == "111 OPUS/48000/2"
    assert agreement.format.payload_type == 111


def test_digits_go_with_the_codecs_clock_if_they_can():
    media = "m=audio 4 RTP/AVP 111 101 100\na=rtpmap:111 opus/48000/2\na=rtpmap:101 telephone-event/8000\n"
    assert answer(media + "a=rtpmap:100 telephone-event/48000\n", formats=[OPUS])[1].telephone_event == 100
    assert answer(media, formats=[OPUS])[1].telephone_event == 101


def test_other_media_are_refused_with_port_0():
    described, agreement = answer("m=video 6000 RTP/AVP 31\nm=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/AVP 0\n")
    assert [(media.kind, media.port) for media in described.media] == [("video", 0), ("audio", 20000), ("audio", 0)]
    assert list(described.media[0].formats) == ["31"]
    assert agreement.remote[1] == 4000


def test_feedback_profiles_are_taken_and_mirrored():
    described, _ = answer("m=audio 4000 RTP/AVPF 0\n")
    assert described.media[0].protocol == "RTP/AVPF"


@pytest.mark.parametrize(
    "media",
    [
        "",
        "m=video 4000 RTP/AVP 31\n",
        "m=audio 0 RTP/AVP 0\n",
        "m=audio 4000 RTP/SAVP 0\n",
        "m=audio 4000 RTP/AVP 18\n",
        "m=audio 4000 RTP/AVP 99\n",
        "m=audio 4000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
        "m=audio 4000 RTP/AVP 0\na=rtpmap:0 G726-32/8000\n",
        "m=audio 4000 RTP/AVP x 128 1000\n",
        "m=audio 4000 RTP/AVP 0\nc=IN IP4 phone.example.com\n",
        "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n",
    ],
)
def test_what_we_cannot_take_gets_488(media):
    refuse(media)


def test_an_offer_without_any_address_gets_488():
    offer = SessionDescription.parse(b"v=0\no=- 1 1 IN IP4 h\ns=-\nt=0 0\nm=audio 4 RTP/AVP 0\n")
    with pytest.raises(RemoteProtocolError):
        make_answer(offer, LOCAL, [PCMU], session_id=1, version=1)


@pytest.mark.parametrize(
    ("theirs", "wanted", "ours"),
    [
        ("", "sendrecv", "sendrecv"),
        ("a=sendrecv\n", "sendonly", "sendonly"),
        ("a=sendonly\n", "sendrecv", "recvonly"),
        ("a=recvonly\n", "sendrecv", "sendonly"),
        ("a=recvonly\n", "recvonly", "inactive"),
        ("a=inactive\n", "sendrecv", "inactive"),
        ("c=IN IP4 0.0.0.0\n", "sendrecv", "recvonly"),
        ("c=IN IP4 0.0.0.0\na=recvonly\n", "sendrecv", "inactive"),
    ],
)
def test_direction_and_hold(theirs, wanted, ours):
    described, agreement = answer("m=audio 4000 RTP/AVP 0\n" + theirs, direction=wanted)
    assert agreement.direction == ours
    assert described.media[0].attribute(ours) == ""


def test_a_direction_for_the_whole_session_counts():
    assert answer("m=audio 4000 RTP/AVP 0\n", "a=sendonly\n")[1].direction == "recvonly"
    assert answer("m=audio 4000 RTP/AVP 0\na=sendrecv\n", "a=sendonly\n")[1].direction == "sendrecv"


@pytest.mark.parametrize(
    ("lines", "ptime"),
    [
        ("a=ptime:40\n", 40),
        ("a=ptime:60\na=maxptime:20\n", 20),
        ("a=maxptime:10\n", 10),
        ("a=ptime:5\n", 20),
        ("a=ptime:900\n", 20),
        ("a=ptime:x\n", 20),
    ],
)
def test_ptime(lines, ptime):
    assert answer("m=audio 4000 RTP/AVP 0\n" + lines)[1].ptime == ptime


@pytest.mark.parametrize(
    ("line", "rtcp"),
    [
        ("a=rtcp:5001 IN IP4 192.0.2.77\n", ("192.0.2.77", 5001)),
        ("a=rtcp:0\n", ("192.0.2.9", 4001)),
        ("a=rtcp:x\n", ("192.0.2.9", 4001)),
    ],
)
def test_rtcp_goes_where_the_peer_says(line, rtcp):
    assert answer("m=audio 4000 RTP/AVP 0\n" + line)[1].remote_rtcp == rtcp


def test_there_is_no_rtcp_port_after_the_last():
    assert answer("m=audio 65535 RTP/AVP 0\n")[1].remote_rtcp is None


def test_our_offer_and_their_answer_agree():
    offer = make_offer(LOCAL, [OPUS, PCMU, PCMA], session_id=1, version=1)
    described, theirs = make_answer(offer, ("192.0.2.9", 4000), [PCMA, PCMU], session_id=2, version=1)
    ours = accept_answer(offer, SessionDescription.parse(bytes(described)))
    assert ours.format == theirs.format == PCMU
    assert (ours.remote, theirs.remote) == (("192.0.2.9", 4000), LOCAL)
    assert ours.telephone_event == theirs.telephone_event == 101
    assert set(ours.receive_formats) == {96, 0, 8, 101}
    assert ours.direction == theirs.direction == "sendrecv"


def test_holding_a_peer():
    offer = make_offer(LOCAL, [PCMU], session_id=1, version=2, direction="sendonly")
    described, theirs = make_answer(offer, ("192.0.2.9", 4000), [PCMU], session_id=2, version=2)
    assert theirs.direction == "recvonly"
    assert accept_answer(offer, described).direction == "sendonly"


def test_an_answer_may_move_payload_types():
    offer = make_offer(LOCAL, [OPUS], session_id=1, version=1)
    agreement = accept_answer(offer, parse("m=audio 4000 RTP/AVP 120\na=rtpmap:120 opus/48000/2\n"))
    assert agreement.format.payload_type == 120
    assert 96 in agreement.receive_formats
    assert agreement.telephone_event is None


@pytest.mark.parametrize(
    "media",
    [
        "",
        "m=audio 0 RTP/AVP 0\n",
        "m=video 4000 RTP/AVP 0\n",
        "m=audio 4000 RTP/AVP 8\n",
        "m=audio 4000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
        "m=audio 4000 RTP/AVP 0\nc=IN IP4 phone.example.com\n",
        "m=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/AVP 0\n",
    ],
)
def test_an_answer_that_does_not_fit_gets_488(media):
    offer = make_offer(LOCAL, [PCMU], session_id=1, version=1)
    with pytest.raises(RemoteProtocolError) as error:
        accept_answer(offer, parse(media))
    assert error.value.status == 488


lines = st.sampled_from(
    ["a=rtpmap:", "a=fmtp:", "a=ptime:", "a=rtcp:", "c=IN IP4 ", "m=audio 4 RTP/AVP ", "a=sendonly", "b="]
)


@given(st.lists(st.tuples(lines, st.text(alphabet="0189 /PCMUA.:x\u0661", max_size=12)), max_size=8))
def test_any_offer_is_answered_or_refused(parts):
    text = "m=audio 4000 RTP/AVP 0 8 96\n" + "".join(f"{line}{rest}\n" for line, rest in parts)
    try:
        described, agreement = answer(text)
    except RemoteProtocolError:
        return
    assert SessionDescription.parse(bytes(described)).media[0].port in (0, 20000)
    assert agreement.format.name.upper() in ("PCMU", "PCMA")

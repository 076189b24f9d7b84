"""sip/caller.py: a call goes out."""

import pytest
from sipcore.errors import LocalProtocolError
from sipcore.sip.events import InvitationCancelled, InvitationReceived, SessionAnswered, SessionRang, SessionRejected
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message
from sipcore.sip.uri import Uri

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


@pytest.fixture
def calling(pair):
    """Alice has sent an INVITE to nobody in particular; the test plays the peer."""
    pair.session = pair.alice.invite(
        Uri.parse("sip:bob@192.0.2.2"),
        now=0.0,
        caller=Uri.parse("sip:+4930@pbx.example.com"),
        body=b"v=0\r\n",
        destination=BOB,
        headers=[("X-Mine", "1")],
    )
    (pair.invite,) = from_alice(pair)
    return pair


def from_alice(pair):
    return [parse_message(datagram.data) for datagram in pair.alice.datagrams_to_send()]


def reply(pair, status, tag="b", request=None, now=0.1, contact="<sip:bob@192.0.2.2:5070>"):
    response = Response.to_request((request or pair.invite).headers, status, tag=tag, extra=[("Contact", contact)])
    pair.alice.receive_datagram(bytes(response), BOB, now)
    return from_alice(pair)


def test_the_invite_says_who_calls_whom(calling):
    invite = calling.invite
    assert str(invite.uri) == "sip:bob@192.0.2.2"
    assert str(invite.from_.uri) == "sip:+4930@pbx.example.com"
    assert invite.headers.get("X-Mine") == "1"
    assert invite.content_type == "application/sdp"
    assert invite.headers.get("Max-Forwards") == "70"
    assert invite.via.parameter("rport") == ""


def test_without_a_caller_it_is_our_own_name(pair):
    pair.alice.invite(Uri.parse("sip:b@x"), now=0.0, body=b"", destination=BOB)
    (invite,) = from_alice(pair)
    assert str(invite.from_.uri) == "sip:alice@192.0.2.1"
    assert invite.content_type == ""


def test_ringing_and_answer_are_reported_and_acknowledged(calling):
    assert reply(calling, 100) == []
    assert calling.alice.next_event() is None
    reply(calling, 180)
    assert isinstance(calling.alice.next_event(), SessionRang)
    (ack,) = reply(calling, 200)
    assert (ack.method, str(ack.uri), str(ack.cseq)) == ("ACK", "sip:bob@192.0.2.2:5070", "1 ACK")
    assert ack.via.branch != calling.invite.via.branch
    assert isinstance(calling.alice.next_event(), SessionAnswered)
    (again,) = reply(calling, 200, now=1.0)
    assert again == ack
    assert calling.alice.next_event() is None


def test_a_second_answer_of_a_fork_is_hung_up(calling):
    reply(calling, 200)
    ack, bye = reply(calling, 200, tag="c")
    assert (ack.method, ack.to.tag) == ("ACK", "c")
    assert (bye.method, bye.to.tag) == ("BYE", "c")
    assert reply(calling, 200, tag="c") == [ack]
    reply(calling, 200, request=bye)
    assert isinstance(calling.alice.next_event(), SessionAnswered)
    assert calling.alice.next_event() is None
    assert calling.alice.active_sessions == 1


@pytest.mark.parametrize("status", [302, 401, 486, 503, 603])
def test_a_rejection_is_reported_with_its_response(calling, status):
    (ack,) = reply(calling, status)
    assert ack.method == "ACK"
    event = calling.alice.next_event()
    assert (event.session, event.status, event.response.status) == (calling.session, status, status)
    assert calling.alice.active_sessions == 0


def test_an_answer_after_everything_is_over_is_acknowledged_and_hung_up(calling):
    calling.alice.cancel(calling.session, 0.0)
    reply(calling, 200)
    assert calling.alice.next_event().status == 487
    assert [message.method for message in reply(calling, 200, tag="c")] == ["ACK", "BYE"]


def test_nobody_answers_is_408(pair):
    pair.wire.drop = lambda _: True
    pair.call(seconds=40)
    (event,) = pair.wire.events_of(ALICE)
    assert (event.status, event.response) == (408, None)
    pair.assert_idle()


def test_an_unreachable_peer_is_503(calling):
    calling.alice.transport_failed(BOB, 0.1)
    assert calling.alice.next_event() == SessionRejected(calling.session, 503, "Service Unavailable", None)


def test_a_cancel_waits_for_a_provisional_response(calling):
    calling.alice.cancel(calling.session, 0.0, "SIP;cause=480")
    assert from_alice(calling) == []
    (cancel,) = reply(calling, 100)
    assert (cancel.method, cancel.via) == ("CANCEL", calling.invite.via)
    assert cancel.headers.get("Reason") == "SIP;cause=480"
    assert reply(calling, 180) == []
    assert calling.alice.next_event() is None
    reply(calling, 487)
    assert calling.alice.next_event().status == 487


def test_a_cancel_after_a_provisional_response_goes_out_once(calling):
    reply(calling, 180)
    calling.alice.next_event()
    calling.alice.cancel(calling.session, 0.2)
    calling.alice.cancel(calling.session, 0.2)
    (cancel,) = from_alice(calling)
    assert cancel.method == "CANCEL"
    assert "Reason" not in cancel.headers


def test_a_cancel_that_crosses_the_200_ends_in_a_bye(calling):
    reply(calling, 180)
    calling.alice.next_event()
    calling.alice.cancel(calling.session, 0.2, "SIP;cause=480")
    from_alice(calling)
    ack, bye = reply(calling, 200)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert bye.headers.get("Reason") == "SIP;cause=480"
    assert calling.alice.next_event() == SessionRejected(calling.session, 487, "Request Terminated", None)
    assert calling.alice.active_sessions == 0


def test_a_cancelled_call_that_nobody_ends_is_given_up(calling):
    reply(calling, 180)
    calling.alice.next_event()
    calling.alice.cancel(calling.session, 1.0)
    while (moment := calling.alice.next_timeout()) is not None:
        calling.alice.handle_timeout(moment)
    assert moment is None
    assert calling.alice.next_event().status == 487
    assert calling.alice.active_transactions == 0
    assert calling.alice.next_event() is None


def test_only_an_unanswered_call_of_ours_can_be_cancelled(calling):
    reply(calling, 200)
    with pytest.raises(LocalProtocolError, match="no unanswered call"):
        calling.alice.cancel(calling.session, 0.2)


def test_both_sides_agree_on_a_cancelled_call(pair):
    pair.bob_answers = False
    session = pair.call()
    pair.alice.cancel(session, pair.wire.now, "SIP;cause=480")
    pair.wire.run(1)
    assert pair.event(SessionRejected, ALICE).status == 487
    assert pair.event(InvitationCancelled).reason == "SIP;cause=480"
    pair.wire.run(100)
    pair.assert_idle()


def test_both_sides_agree_on_a_rejected_call(pair):
    pair.bob_answers = False
    pair.call()
    pair.bob.reject(pair.event(InvitationReceived).session, 486, pair.wire.now)
    pair.wire.run(100)
    assert pair.names(ALICE) == ["SessionRejected"]
    pair.assert_idle()

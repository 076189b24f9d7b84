"""sip/callee.py: a call comes in."""

import pytest
from sipcore.errors import LocalProtocolError
from sipcore.sip.events import InvitationCancelled, InvitationReceived, SessionConfirmed, SessionEnded
from sipcore.sip.parser import parse_message
from sipcore.sip.user_agent import UserAgent, UserAgentSettings

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
SDP = b"v=0\r\n"


@pytest.fixture
def invited(pair, message):
    """Bob was invited and has done nothing yet."""
    pair.bob_answers = False
    (trying,) = pair.feed_bob(message(body=SDP, **{"Record-Route": "<sip:p1;lr>"}))
    assert trying.status == 100
    assert trying.to.tag is None
    pair.session = pair.bob.next_event()
    return pair


def test_an_invitation_is_reported_with_its_source(invited):
    event = invited.session
    assert isinstance(event, InvitationReceived)
    assert event.request.body == SDP
    assert event.source == ALICE
    assert invited.bob.active_sessions == 1


def test_ringing_and_answering(invited):
    invited.bob.ring(event := invited.session.session, 0.0, 183, [("X-Mine", "1")])
    (progress,) = invited.from_bob()
    assert (progress.status, progress.headers.get("X-Mine")) == (183, "1")
    invited.bob.answer(event, SDP, 0.0, [("X-Mine", "2")])
    (ok,) = invited.from_bob()
    assert ok.status == 200
    assert ok.body == SDP
    assert ok.content_type == "application/sdp"
    assert ok.headers.get("Record-Route") == "<sip:p1;lr>"
    assert str(ok.contact) == "<sip:bob@192.0.2.2:5060>"
    assert "INVITE" in ok.headers.get("Allow")
    assert ok.headers.get("X-Mine") == "2"
    assert ok.to.tag == progress.to.tag


def test_the_ack_confirms_the_session_once(invited, message):
    invited.bob.answer(invited.session.session, SDP, 0.0)
    (ok,) = invited.from_bob()
    ack = message("ACK", to_tag=ok.to.tag, branch="z9hG4bKack", body=b"v=1")
    assert invited.feed_bob(message("ACK", to_tag=ok.to.tag, branch="z9hG4bKwrong", number=7)) == []
    assert invited.bob.next_event() is None
    for _ in range(2):
        assert invited.feed_bob(ack) == []
    event = invited.bob.next_event()
    assert isinstance(event, SessionConfirmed)
    assert event.ack.body == b"v=1"
    assert invited.bob.next_event() is None


def test_an_ack_that_reuses_the_invites_branch_counts(invited, message):
    invited.bob.answer(invited.session.session, SDP, 0.0)
    (ok,) = invited.from_bob()
    invited.feed_bob(message("ACK", to_tag=ok.to.tag))
    assert isinstance(invited.bob.next_event(), SessionConfirmed)


def test_a_stray_ack_is_swallowed(pair, message):
    assert pair.feed_bob(message("ACK", to_tag="nobody")) == []
    assert pair.bob.next_event() is None


@pytest.mark.parametrize("reason", [None, "Not now"])
def test_rejecting(invited, reason):
    invited.bob.reject(invited.session.session, 486, 0.0, reason, [("Retry-After", "5")])
    (busy,) = invited.from_bob()
    assert (busy.status, busy.reason) == (486, reason or "Busy Here")
    assert busy.headers.get("Retry-After") == "5"
    assert invited.bob.active_sessions == 0
    assert invited.bob.next_event() is None


def test_a_cancel_ends_an_unanswered_invitation(invited, message):
    ok, terminated = invited.feed_bob(message("CANCEL", Reason="SIP;cause=200"))
    assert (ok.status, str(ok.cseq)) == (200, "1 CANCEL")
    assert (terminated.status, str(terminated.cseq)) == (487, "1 INVITE")
    assert ok.to.tag == terminated.to.tag
    assert invited.bob.next_event() == InvitationCancelled(invited.session.session, "SIP;cause=200")
    with pytest.raises(LocalProtocolError):
        invited.bob.answer(invited.session.session, SDP, 0.0)


def test_a_cancel_after_the_answer_changes_nothing(invited, message):
    invited.bob.answer(invited.session.session, SDP, 0.0)
    (ok,) = invited.from_bob()
    (cancelled,) = invited.feed_bob(message("CANCEL"))
    assert (cancelled.status, cancelled.to.tag) == (200, ok.to.tag)
    assert invited.bob.active_sessions == 1


def test_a_cancel_after_a_refusal_before_any_session_changes_nothing(pair, message):
    pair.feed_bob(message(Require="nothing"))
    (ok,) = pair.feed_bob(message("CANCEL"))
    assert ok.status == 200


def test_a_cancelled_re_invite_leaves_its_session_alone(invited, message):
    invited.bob.answer(invited.session.session, SDP, 0.0)
    tag = invited.from_bob()[0].to.tag
    invited.feed_bob(message("ACK", to_tag=tag))
    fields = {"to_tag": tag, "number": 2, "branch": "z9hG4bKtwo"}
    invited.feed_bob(message(body=SDP, **fields))
    assert [m.status for m in invited.feed_bob(message("CANCEL", **fields))] == [200, 487]
    assert invited.bob.active_sessions == 1


def test_an_ack_frees_a_bye_and_confirms_a_late_offer(invited, message):
    session = invited.session.session
    invited.bob.answer(session, SDP, 0.0)
    tag = invited.from_bob()[0].to.tag
    invited.feed_bob(message("ACK", to_tag=tag, branch="z9hG4bKa"))
    for number in (2, 3):
        fields = {"to_tag": tag, "number": number}
        invited.feed_bob(message(branch=f"z9hG4bK{number}", body=b"" if number == 2 else SDP, **fields))
        invited.bob.accept_offer(session, SDP, 0.0)
        if number == 3:
            invited.bob.bye(session, 0.0)
        sent = invited.feed_bob(message("ACK", branch=f"z9hG4bKa{number}", **fields))
    assert [m.method for m in sent if hasattr(m, "method")] == ["BYE"]
    events = []
    while (event := invited.bob.next_event()) is not None:
        events.append(type(event).__name__)
    assert events == ["SessionConfirmed", "OfferReceived", "SessionConfirmed", "OfferReceived"]


def test_a_cancel_of_nothing_gets_481(pair, message):
    (gone,) = pair.feed_bob(message("CANCEL"))
    assert gone.status == 481


def test_a_bye_before_the_answer_ends_an_invitation_too(invited, message):
    invited.bob.ring(invited.session.session, 0.0)
    (ringing,) = invited.from_bob()
    bye = message("BYE", to_tag=ringing.to.tag, number=2, branch="z9hG4bKbye")
    assert [(m.status, m.cseq.method) for m in invited.feed_bob(bye)] == [(200, "BYE"), (487, "INVITE")]
    assert invited.bob.next_event() == InvitationCancelled(invited.session.session, "")


@pytest.mark.parametrize("status", [100, 200, 486])
def test_only_provisional_responses_ring(invited, status):
    with pytest.raises(LocalProtocolError, match="101 to 199"):
        invited.bob.ring(invited.session.session, 0.0, status)


@pytest.mark.parametrize("status", [180, 200, 700])
def test_only_failures_reject(invited, status):
    with pytest.raises(LocalProtocolError, match="300 to 699"):
        invited.bob.reject(invited.session.session, status, 0.0)


def test_an_invitation_is_answered_once(invited):
    invited.bob.answer(invited.session.session, SDP, 0.0)
    for command in (invited.bob.ring, lambda *a: invited.bob.reject(a[0], 486, 0.0)):
        with pytest.raises(LocalProtocolError, match="no unanswered invitation"):
            command(invited.session.session, 0.0)


def test_a_bad_header_of_ours_leaves_the_invitation_open(invited):
    with pytest.raises(LocalProtocolError, match="header field"):
        invited.bob.answer(invited.session.session, SDP, 0.0, [("X", "a\r\nY: b")])
    invited.bob.answer(invited.session.session, SDP, 0.0)
    assert invited.from_bob()[0].status == 200


def test_sessions_are_bounded(message):
    bob = UserAgent(UserAgentSettings(BOB, max_sessions=1))
    bob.receive_datagram(message(body=SDP), ALICE, 0.0)
    bob.receive_datagram(message(body=SDP, branch="z9hG4bKtwo", call_id="two"), ALICE, 0.0)
    trying, full = (parse_message(datagram.data) for datagram in bob.datagrams_to_send())
    assert (trying.status, full.status) == (100, 503)
    assert full.headers.get("Retry-After") == "10"


def test_a_2xx_without_ack_is_repeated_then_hung_up(make_pair):
    pair = make_pair()
    pair.wire.drop = lambda data: data.startswith(b"ACK")
    session = pair.call(seconds=100)
    times = [
        at for at, a, _, data in pair.wire.sent if a == BOB and data.startswith(b"SIP/2.0 200") and b"INVITE" in data
    ]
    assert [round(at - times[0], 6) for at in times] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert pair.event(SessionEnded).cause == "no ack"
    bye = next(data for _, a, _, data in pair.wire.sent if a == BOB and data.startswith(b"BYE"))
    assert b"Reason: SIP;cause=408" in bye
    assert pair.event(SessionEnded, ALICE).session == session
    assert pair.event(SessionEnded, ALICE).cause == "hangup"
    pair.assert_idle()


def test_a_late_offer_brings_the_answer_with_the_ack(pair, message):
    pair.bob_answers = False
    pair.feed_bob(message())
    session = pair.bob.next_event().session
    pair.bob.answer(session, SDP, 0.0)
    (ok,) = pair.from_bob()
    pair.feed_bob(message("ACK", to_tag=ok.to.tag, branch="z9hG4bKack", body=b"v=0\r\nanswer"))
    assert pair.bob.next_event().ack.body == b"v=0\r\nanswer"

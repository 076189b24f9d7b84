"""sip/offerer.py: our re-INVITEs (RFC 3261 §14.1)."""

import pytest
from sipcore.errors import LocalProtocolError
from sipcore.sip.events import (
    MessageRefused,
    OfferAccepted,
    OfferReceived,
    OfferRefused,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
)
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message
from sipcore.testing.wire import Weather

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
HOLD = b"v=0\r\nhold"
ANSWER = b"v=0\r\nheld"


class Talk:
    """A call of Alice's that is up; the test plays Bob from then on."""

    def __init__(self, pair):
        self.session = pair.call()
        self.pair, self.alice = pair, pair.alice
        pair.wire.run(60)
        pair.event(SessionAnswered, ALICE)

    @property
    def now(self):
        return self.pair.wire.now

    def sent(self):
        return [parse_message(datagram.data) for datagram in self.alice.datagrams_to_send()]

    def offer(self, body=HOLD):
        self.alice.offer(self.session, body, self.now)
        return self.sent()

    def answer(self, request, status, *, now=None, body=b"", extra=()):
        """Bob's response; what Alice sends then."""
        fields = [*extra, ("Content-Type", "application/sdp")] if body else extra
        data = bytes(Response.to_request(request.headers, status, extra=fields, body=body))
        self.alice.receive_datagram(data, BOB, self.now if now is None else now)
        return self.sent()

    def feed(self, data):
        self.alice.receive_datagram(data, BOB, self.now)
        return self.sent()

    def bobs(self, method, number, body=b""):
        """A request of Bob's within the call."""
        dialog = self.pair.bob._context.sessions[self.pair.event(SessionConfirmed).session].dialog
        request = dialog.request(method, f"SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{method}{number}", sequence=number)
        request.body = body
        if body:
            request.headers.append("Content-Type", "application/sdp")
        request.headers.append("Contact", "<sip:bob@192.0.2.2:5060>")
        return bytes(request)

    def wait(self):
        """Let the next deadline come; when, and what Alice sends then."""
        moment = self.alice.next_timeout()
        self.alice.handle_timeout(moment)
        return moment, self.sent()


@pytest.fixture
def talk(pair):
    return Talk(pair)


def test_an_accepted_offer_is_acknowledged_and_told(talk):
    (invite,) = talk.offer()
    assert (invite.method, invite.body, invite.content_type) == ("INVITE", HOLD, "application/sdp")
    assert (invite.contact.uri.user, invite.cseq.number) == ("alice", 2)
    assert invite.to.tag is not None
    assert talk.answer(invite, 100) == []
    (ack,) = talk.answer(invite, 200, body=ANSWER, extra=[("Contact", "<sip:moved@192.0.2.8>")])
    assert (ack.method, ack.cseq.number, ack.uri.user) == ("ACK", 2, "moved")
    event = talk.alice.next_event()
    assert isinstance(event, OfferAccepted)
    assert event.response.body == ANSWER
    again = talk.answer(invite, 200, body=ANSWER)
    assert [bytes(message) for message in again] == [bytes(ack)]
    assert talk.alice.next_event() is None


def test_a_refused_offer_changes_nothing(talk):
    (invite,) = talk.offer()
    (ack,) = talk.answer(invite, 488)
    assert ack.method == "ACK"
    assert talk.alice.next_event() == OfferRefused(talk.session, 488, "Not Acceptable Here")
    assert talk.alice.active_sessions == 1
    assert len(talk.offer()) == 1


@pytest.mark.parametrize(("status", "cause"), [(481, "gone"), (408, "timeout")])
def test_a_dialog_that_the_peer_lost_is_over(talk, status, cause):
    (invite,) = talk.offer()
    ack, bye = talk.answer(invite, status)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert bye.headers.get("Reason").startswith(f"SIP;cause={status};")
    assert talk.alice.next_event() == SessionEnded(talk.session, cause)
    assert talk.alice.active_sessions == 0


def test_a_silent_peer_is_over_after_32_seconds(talk):
    start = talk.now
    talk.offer()
    sent = []
    while not isinstance(event := talk.alice.next_event(), SessionEnded):
        assert event is None
        moment, messages = talk.wait()
        sent += [message.method for message in messages]
    assert event.cause == "timeout"
    assert moment - start == 32.0
    assert sent == ["INVITE"] * 6 + ["BYE"]


def test_an_unreachable_peer_is_a_refusal(talk):
    talk.offer()
    talk.alice.transport_failed(BOB, talk.now)
    assert talk.alice.next_event() == OfferRefused(talk.session, 503, "Service Unavailable")
    assert talk.alice.active_sessions == 1


def proceeding(talk):
    """An offer that got a 100, and no more in 32 s."""
    (invite,) = talk.offer()
    talk.answer(invite, 100)
    _, (cancel,) = talk.wait()
    assert (cancel.method, cancel.cseq.number) == ("CANCEL", 2)
    return invite


def test_an_offer_that_is_never_answered_is_cancelled(talk):
    invite = proceeding(talk)
    (ack,) = talk.answer(invite, 487, now=talk.now + 33)
    assert ack.method == "ACK"
    assert talk.alice.next_event() == OfferRefused(talk.session, 408, "Request Timeout")
    assert talk.alice.active_sessions == 1


def test_a_cancelled_offer_may_have_been_accepted(talk):
    invite = proceeding(talk)
    talk.answer(invite, 200, now=talk.now + 33, body=ANSWER)
    assert isinstance(talk.alice.next_event(), OfferAccepted)


def test_a_cancelled_offer_is_not_tried_again(talk):
    invite = proceeding(talk)
    talk.answer(invite, 491, now=talk.now + 33)
    assert talk.alice.next_event() == OfferRefused(talk.session, 491, "Request Pending")


def test_a_cancelled_offer_without_any_answer_ends_the_session(talk):
    start = talk.now
    proceeding(talk)
    while (event := talk.alice.next_event()) is None:
        moment, _ = talk.wait()
    assert event == SessionEnded(talk.session, "timeout")
    assert moment - start == 64.0


@pytest.mark.parametrize("seed", range(5))
def test_the_owner_of_the_call_id_waits_2_to_4_seconds_after_glare(make_pair, seed):
    talk = Talk(make_pair(seed=seed))
    (invite,) = talk.offer()
    talk.answer(invite, 491)
    assert talk.alice.next_event() is None
    talk.alice.offer(talk.session, b"newer", talk.now)
    assert talk.sent() == []
    moment, (again,) = talk.wait()
    assert 2.1 <= moment - talk.now <= 4.0
    assert (again.body, again.cseq.number) == (b"newer", 3)


def test_glare_without_end_is_a_refusal(talk):
    (invite,) = talk.offer()
    for _ in range(5):
        talk.answer(invite, 491, now=talk.now)
        _, (invite,) = talk.wait()
    talk.answer(invite, 491)
    assert talk.alice.next_event() == OfferRefused(talk.session, 491, "Request Pending")


def test_one_offer_at_a_time(talk):
    talk.offer()
    with pytest.raises(LocalProtocolError, match="not answered yet"):
        talk.offer()


def test_an_offer_of_the_peers_meets_ours(talk):
    talk.offer()
    (pending,) = talk.feed(talk.bobs("INVITE", 2, ANSWER))
    assert pending.status == 491
    assert talk.alice.next_event() == MessageRefused(BOB, 491, "an offer of ours is not answered yet")
    assert talk.alice.next_event() is None


def test_our_offer_waits_for_the_peers(talk):
    talk.feed(talk.bobs("INVITE", 2, ANSWER))
    assert talk.offer() == []
    assert isinstance(talk.alice.next_event(), OfferReceived)
    talk.alice.accept_offer(talk.session, ANSWER, talk.now)
    assert [message.status for message in talk.sent()] == [200]
    talk.alice.offer(talk.session, b"newer", talk.now)
    assert talk.sent() == []
    talk.feed(talk.bobs("ACK", 2))
    moment, (invite,) = talk.wait()
    assert (moment, invite.method, invite.body) == (talk.now, "INVITE", b"newer")


@pytest.mark.parametrize("is_accepted", [True, False])
def test_our_offer_waits_for_the_peers_update(talk, is_accepted):
    talk.feed(talk.bobs("UPDATE", 2, ANSWER))
    assert talk.offer() == []
    if is_accepted:
        talk.alice.accept_offer(talk.session, ANSWER, talk.now)
    else:
        talk.alice.refuse_offer(talk.session, 488, talk.now)
    talk.sent()
    assert [message.method for message in talk.wait()[1]] == ["INVITE"]


def test_our_offer_goes_out_when_the_peer_cancels_its_own(talk):
    data = talk.bobs("INVITE", 2, ANSWER)
    talk.feed(data)
    assert talk.offer() == []
    cancel = talk.bobs("CANCEL", 2).replace(b"branch=z9hG4bKCANCEL2", b"branch=z9hG4bKINVITE2")
    assert [message.status for message in talk.feed(cancel)] == [200, 487]
    assert [message.method for message in talk.wait()[1]] == ["INVITE"]


def test_our_bye_overtakes_our_offer(talk):
    (invite,) = talk.offer()
    talk.alice.bye(talk.session, talk.now)
    (bye,) = talk.sent()
    assert bye.method == "BYE"
    assert [message.method for message in talk.answer(invite, 200, body=ANSWER)] == ["ACK"]
    talk.answer(bye, 200)
    assert talk.alice.next_event() == SessionEnded(talk.session, "bye")
    assert talk.alice.next_event() is None


@pytest.mark.parametrize("status", [481, 487, 491])
def test_the_peers_bye_overtakes_our_offer(talk, status):
    (invite,) = talk.offer()
    talk.feed(talk.bobs("BYE", 2))
    assert talk.alice.next_event().cause == "hangup"
    assert [message.method for message in talk.answer(invite, status)] == ["ACK"]
    assert talk.alice.next_event() is None
    while talk.alice.next_timeout() is not None:
        _, sent = talk.wait()
        assert sent == []


def test_nothing_is_offered_in_a_call_that_is_not_up(pair, message):
    pair.bob_answers = False
    pair.feed_bob(message(body=ANSWER))
    with pytest.raises(LocalProtocolError, match="not up"):
        pair.bob.offer(pair.bob.next_event().session, HOLD, 0.0)


def outcomes(pair, address):
    kinds = (OfferAccepted, OfferRefused, SessionEnded)
    return [type(event) for event in pair.wire.events_of(address) if isinstance(event, kinds)]


def accept_all(agent, event, now):
    if isinstance(event, OfferReceived):
        agent.accept_offer(event.session, ANSWER, now)


@pytest.mark.parametrize("seed", range(20))
def test_both_sides_may_offer_at_once_on_a_bad_line(make_pair, seed):
    pair = make_pair(Weather(delay=0.05, jitter=0.05, loss=0.2, duplication=0.1), seed=seed)
    session = pair.call(seconds=40)
    other = pair.event(SessionConfirmed).session
    pair.wire._on_event = accept_all
    pair.alice.offer(session, HOLD, pair.wire.now)
    pair.bob.offer(other, HOLD, pair.wire.now)
    pair.wire.run(60)
    assert outcomes(pair, ALICE) == outcomes(pair, BOB) == [OfferAccepted]
    pair.alice.bye(session, pair.wire.now)
    pair.wire.run(200)
    pair.assert_idle()

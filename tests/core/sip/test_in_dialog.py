"""sip/in_dialog.py: new offers and hanging up."""

import pytest
from sipcore.errors import LocalProtocolError
from sipcore.sip.events import OfferReceived, SessionConfirmed, SessionEnded
from sipcore.sip.parser import parse_message

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
SDP = b"v=0\r\n"


class Talk:
    """A call that Bob answered; the test plays Alice."""

    def __init__(self, pair, message, *, confirmed=True):
        pair.bob_answers = False
        self.pair, self._message = pair, message
        pair.feed_bob(message(body=SDP))
        self.session = pair.bob.next_event().session
        pair.bob.answer(self.session, SDP, 0.0)
        (ok,) = pair.from_bob()
        self.tag = ok.to.tag
        if confirmed:
            self.send("ACK", 1)
            assert isinstance(pair.bob.next_event(), SessionConfirmed)

    def send(self, method, number, **fields):
        return self.pair.feed_bob(
            self._message(method, to_tag=self.tag, number=number, branch=f"z9hG4bK{method}{number}", **fields)
        )

    @property
    def bob(self):
        return self.pair.bob


@pytest.fixture
def talk(pair, message):
    return Talk(pair, message)


@pytest.fixture
def unconfirmed(pair, message):
    return Talk(pair, message, confirmed=False)


def statuses(messages):
    return [message.status for message in messages]


def test_a_re_invite_is_an_offer(talk):
    assert statuses(talk.send("INVITE", 2, body=SDP, Contact="<sip:moved@192.0.2.8>")) == [100]
    event = talk.bob.next_event()
    assert isinstance(event, OfferReceived)
    assert event.session == talk.session
    talk.bob.accept_offer(talk.session, b"v=0\r\nnew", 1.0, [("X-Mine", "1")])
    (ok,) = talk.pair.from_bob()
    assert (ok.status, ok.body, ok.headers.get("X-Mine"), ok.to.tag) == (200, b"v=0\r\nnew", "1", talk.tag)
    assert talk.send("ACK", 2) == []
    assert talk.bob.next_event() is None
    talk.bob.bye(talk.session, 2.0)
    (bye,) = talk.pair.bob.datagrams_to_send()
    assert bye.data.startswith(b"BYE sip:moved@192.0.2.8 ")
    assert bye.destination == ("192.0.2.8", 5060)


def test_a_re_invite_without_offer_brings_the_answer_in_its_ack(talk):
    talk.send("INVITE", 2)
    assert talk.bob.next_event().request.body == b""
    talk.bob.accept_offer(talk.session, SDP, 1.0)
    talk.pair.from_bob()
    talk.send("ACK", 2, body=b"v=0\r\nanswer")
    assert talk.bob.next_event().ack.body == b"v=0\r\nanswer"


def test_the_2xx_to_a_re_invite_is_repeated_and_then_ends_the_session(talk):
    talk.send("INVITE", 2, body=SDP)
    talk.bob.next_event()
    talk.bob.accept_offer(talk.session, SDP, 0.0)
    talk.pair.from_bob()
    sent = []
    while (moment := talk.bob.next_timeout()) is not None:
        talk.bob.handle_timeout(moment)
        sent += [message.status if hasattr(message, "status") else message.method for message in talk.pair.from_bob()]
    assert sent[:10] == [200] * 10
    assert set(sent[10:]) == {"BYE"}
    assert talk.bob.next_event() == SessionEnded(talk.session, "no ack")
    assert talk.bob.next_event() is None


def test_an_offer_can_be_refused(talk):
    talk.send("INVITE", 2, body=SDP)
    talk.bob.next_event()
    with pytest.raises(LocalProtocolError, match="300 to 699"):
        talk.bob.refuse_offer(talk.session, 200, 0.0)
    talk.bob.refuse_offer(talk.session, 488, 0.0, [("Warning", "1")])
    (refused,) = talk.pair.from_bob()
    assert (refused.status, refused.headers.get("Warning")) == (488, "1")
    assert talk.bob.active_sessions == 1
    for command in (
        lambda: talk.bob.accept_offer(talk.session, SDP, 0.0),
        lambda: talk.bob.refuse_offer(talk.session, 488, 0.0),
    ):
        with pytest.raises(LocalProtocolError, match="no offer"):
            command()


def test_an_update_with_a_body_is_an_offer(talk):
    assert talk.send("UPDATE", 2, body=SDP) == []
    assert isinstance(talk.bob.next_event(), OfferReceived)
    talk.bob.accept_offer(talk.session, SDP, 0.0)
    (ok,) = talk.pair.from_bob()
    assert (ok.status, ok.body) == (200, SDP)
    assert ok.contact is not None


def test_an_update_without_body_is_answered_at_once(talk):
    (ok,) = talk.send("UPDATE", 2)
    assert ok.status == 200
    assert ok.contact is not None
    assert talk.bob.next_event() is None


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_second_offer_must_wait_for_the_first(talk, method):
    talk.send("INVITE", 2, body=SDP)
    (busy,) = [m for m in talk.send(method, 3, body=SDP) if m.status != 100]
    assert busy.status == 500
    assert 0 <= int(busy.headers.get("Retry-After")) <= 10


def test_an_offer_before_the_ack_is_glare(unconfirmed):
    assert statuses(unconfirmed.send("INVITE", 2, body=SDP)) == [491]


def test_an_update_before_the_answer_must_wait(pair, message):
    pair.bob_answers = False
    pair.feed_bob(message(body=SDP))
    pair.bob.ring(pair.bob.next_event().session, 0.0)
    tag = pair.from_bob()[0].to.tag
    update = message("UPDATE", to_tag=tag, number=2, branch="z9hG4bKtwo", body=SDP)
    assert statuses(pair.feed_bob(update)) == [500]


def test_a_cancelled_re_invite_gets_487_and_the_session_lives(talk, message):
    talk.send("INVITE", 2, body=SDP)
    talk.bob.next_event()
    cancel = message("CANCEL", to_tag=talk.tag, number=2, branch="z9hG4bKINVITE2")
    assert statuses(talk.pair.feed_bob(cancel)) == [200, 487]
    assert talk.bob.active_sessions == 1
    with pytest.raises(LocalProtocolError, match="no offer"):
        talk.bob.accept_offer(talk.session, SDP, 0.0)


@pytest.mark.parametrize("method", ["INFO", "OPTIONS"])
def test_harmless_requests_get_200(talk, method):
    (ok,) = talk.send(method, 2)
    assert ok.status == 200
    assert ("Allow" in ok.headers) == (method == "OPTIONS")


def test_a_request_out_of_order_gets_500(talk):
    talk.send("INFO", 5)
    assert statuses(talk.send("INFO", 4)) == [500]


def test_the_peers_bye_ends_the_session(talk):
    (ok,) = talk.send("BYE", 2, Reason="Q.850;cause=16")
    assert ok.status == 200
    event = talk.bob.next_event()
    assert (event.session, event.cause) == (talk.session, "hangup")
    assert event.request.headers.get("Reason") == "Q.850;cause=16"
    assert statuses(talk.send("INFO", 3)) == [481]


def test_a_bye_answers_an_open_offer_too(talk):
    talk.send("INVITE", 2, body=SDP)
    talk.bob.next_event()
    assert [(m.status, m.cseq.method) for m in talk.send("BYE", 3)] == [(200, "BYE"), (487, "INVITE")]


def test_a_bye_before_the_ack_ends_the_session(unconfirmed):
    assert statuses(unconfirmed.send("BYE", 2)) == [200]
    assert unconfirmed.bob.next_event().cause == "hangup"
    while (moment := unconfirmed.bob.next_timeout()) is not None:
        unconfirmed.bob.handle_timeout(moment)
    assert unconfirmed.pair.from_bob() == []


def test_our_bye_waits_for_the_ack(unconfirmed):
    unconfirmed.bob.bye(unconfirmed.session, 0.1, "SIP;cause=200")
    assert unconfirmed.pair.from_bob() == []
    (bye,) = unconfirmed.send("ACK", 1)
    assert bye.method == "BYE"
    assert bye.headers.get("Reason") == "SIP;cause=200"
    assert unconfirmed.bob.next_event() is None


def test_our_bye_does_not_wait_for_ever(unconfirmed):
    unconfirmed.bob.bye(unconfirmed.session, 0.1)
    sent = []
    while (moment := unconfirmed.bob.next_timeout()) is not None:
        unconfirmed.bob.handle_timeout(moment)
        sent += [(moment, m.method) for m in unconfirmed.pair.from_bob() if hasattr(m, "method")]
    assert sent[0] == (32.0, "BYE")
    assert unconfirmed.bob.next_event() == SessionEnded(unconfirmed.session, "timeout")


def test_hanging_up_twice_is_once(talk):
    talk.send("INVITE", 2, body=SDP)
    talk.bob.next_event()
    talk.bob.bye(talk.session, 0.1)
    talk.bob.bye(talk.session, 0.2)
    terminated, bye = talk.pair.from_bob()
    assert (terminated.status, bye.method) == (487, "BYE")
    assert statuses(talk.send("INVITE", 3, body=SDP)) == [481]


def test_an_unanswered_session_is_not_hung_up(pair, message):
    pair.bob_answers = False
    pair.feed_bob(message(body=SDP))
    with pytest.raises(LocalProtocolError, match="reject or cancel"):
        pair.bob.bye(pair.bob.next_event().session, 0.0)


def test_both_sides_agree_on_a_call_that_the_caller_ends(pair):
    session = pair.call()
    pair.alice.bye(session, pair.wire.now)
    pair.wire.run(100)
    assert pair.names(ALICE) == ["SessionRang", "SessionAnswered", "SessionEnded"]
    assert pair.event(SessionEnded, ALICE).cause == "bye"
    assert pair.event(SessionEnded).cause == "hangup"
    pair.assert_idle()


def test_both_sides_agree_on_a_call_that_the_callee_ends(pair):
    pair.call()
    pair.bob.bye(pair.event(SessionConfirmed).session, pair.wire.now)
    pair.wire.run(100)
    assert pair.event(SessionEnded, ALICE).cause == "hangup"
    assert pair.event(SessionEnded).cause == "bye"
    pair.assert_idle()


def test_both_sides_may_hang_up_at_once(pair):
    session = pair.call()
    pair.alice.bye(session, pair.wire.now)
    pair.bob.bye(pair.event(SessionConfirmed).session, pair.wire.now)
    pair.wire.run(100)
    assert pair.names(ALICE).count("SessionEnded") == pair.names(BOB).count("SessionEnded") == 1
    pair.assert_idle()


def test_a_peer_that_vanished_ends_the_session_after_32_seconds(pair):
    session = pair.call()
    pair.wire.drop = lambda _: True
    start = pair.wire.now
    pair.alice.bye(session, start)
    pair.wire.run(100)
    ((at, _, event),) = [item for item in pair.wire.events if isinstance(item[2], SessionEnded)]
    assert (at - start, event.cause) == (32.0, "timeout")


def test_an_unreachable_peer_ends_the_session(pair):
    session = pair.call()
    pair.alice.bye(session, pair.wire.now)
    pair.alice.transport_failed(BOB, pair.wire.now)
    pair.wire.settle()
    assert pair.event(SessionEnded, ALICE).cause == "error"


def test_a_callers_fork_that_is_hung_up_is_no_news(pair):
    pair.call()
    ok = next(data for _, a, _, data in pair.wire.sent if a == BOB and data.startswith(b"SIP/2.0 200"))
    forked = ok.replace(parse_message(ok).to.tag.encode(), b"another")
    pair.alice.receive_datagram(forked, BOB, pair.wire.now)
    assert [datagram.data.split()[0] for datagram in pair.alice.datagrams_to_send()] == [b"ACK", b"BYE"]
    pair.alice.transport_failed(BOB, pair.wire.now)
    assert pair.alice.next_event() is None

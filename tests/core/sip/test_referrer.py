"""sip/referrer.py: blind transfer, asked for by us (RFC 3515)."""

import pytest
from sipcore.errors import LocalProtocolError
from sipcore.sip.events import SessionConfirmed, SessionEnded, TransferEnded, TransferProgressed
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message
from sipcore.sip.uri import Uri

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
CAROL = Uri.parse("sip:carol@192.0.2.3;transport=udp")


class Talk:
    """A call of Alice's that is up; the test plays Bob from then on."""

    def __init__(self, pair):
        self.session = pair.call()
        self.alice = pair.alice
        pair.wire.run(60)
        self.now = pair.wire.now
        self._dialog = pair.bob._context.sessions[pair.event(SessionConfirmed).session].dialog

    def sent(self):
        return [parse_message(datagram.data) for datagram in self.alice.datagrams_to_send()]

    def refer(self):
        self.alice.refer(self.session, CAROL, self.now)
        (refer,) = self.sent()
        return refer

    def answer(self, request, status):
        self.alice.receive_datagram(bytes(Response.to_request(request.headers, status)), BOB, self.now)
        return self.sent()

    def notify(self, body="SIP/2.0 100 Trying", state="active;expires=60", event="refer", kind="message/sipfrag"):
        """Bob's NOTIFY; the status of Alice's answer, and her next event."""
        via = f"SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{self._dialog.local_sequence}"
        request = self._dialog.request("NOTIFY", via)
        for name, value in (("Event", event), ("Subscription-State", state), ("Content-Type", kind)):
            if value is not None:
                request.headers.append(name, value)
        request.body = body.encode()
        self.alice.receive_datagram(bytes(request), BOB, self.now)
        (answer,) = self.sent()
        return answer.status, self.alice.next_event()

    def wait(self):
        """Let time pass until an event; when."""
        while (event := self.alice.next_event()) is None:
            moment = self.alice.next_timeout()
            self.alice.handle_timeout(moment)
        return moment, event


@pytest.fixture
def talk(pair):
    return Talk(pair)


def test_a_transfer_that_succeeds(talk):
    refer = talk.refer()
    assert (refer.method, refer.headers.get("Refer-To")) == ("REFER", "<sip:carol@192.0.2.3;transport=udp>")
    assert (refer.contact.uri.user, refer.body) == ("alice", b"")
    talk.answer(refer, 100)
    talk.answer(refer, 202)
    assert talk.alice.next_event() is None
    assert talk.notify() == (200, TransferProgressed(talk.session, 100, "Trying"))
    assert talk.notify("SIP/2.0 180 Ringing\r\nX: y\r\n") == (200, TransferProgressed(talk.session, 180, "Ringing"))
    done = TransferEnded(talk.session, 200, "OK")
    assert talk.notify("SIP/2.0 200 OK\r\n", "Terminated;reason=noresource", "REFER;id=2") == (200, done)
    assert talk.notify()[0] == 481
    assert talk.alice.active_sessions == 1
    assert talk.refer().cseq.number == 3


def test_a_target_that_refuses(talk):
    talk.answer(talk.refer(), 202)
    busy = TransferEnded(talk.session, 486, "Busy Here")
    assert talk.notify("SIP/2.0 486 Busy Here", "terminated") == (200, busy)


def test_what_comes_after_the_outcome_is_no_news(talk):
    talk.answer(talk.refer(), 202)
    assert talk.notify("SIP/2.0 200 OK")[1] == TransferEnded(talk.session, 200, "OK")
    assert talk.notify("SIP/2.0 180 Ringing") == (200, None)
    assert talk.notify("SIP/2.0 487 Request Terminated") == (200, None)
    assert talk.notify("", "terminated") == (200, None)
    assert talk.notify()[0] == 481


def test_an_outcome_may_come_before_the_answer_to_refer(talk):
    refer = talk.refer()
    assert talk.notify("SIP/2.0 200 OK", None)[1] == TransferEnded(talk.session, 200, "OK")
    talk.answer(refer, 202)
    talk.refer()
    assert talk.notify("", "terminated", "refer;id=2")[0] == 481


def test_a_late_refusal_of_a_transfer_that_is_over_is_no_news(talk):
    refer = talk.refer()
    assert talk.notify("SIP/2.0 200 OK", "terminated")[1] == TransferEnded(talk.session, 200, "OK")
    talk.answer(refer, 500)
    assert talk.alice.next_event() is None


def test_a_peer_that_refuses_to_transfer(talk):
    talk.answer(talk.refer(), 603)
    assert talk.alice.next_event() == TransferEnded(talk.session, 603, "Decline")
    assert talk.notify()[0] == 481
    talk.refer()


@pytest.mark.parametrize(("status", "cause"), [(481, "gone"), (408, "timeout")])
def test_a_dialog_that_the_peer_lost_is_over(talk, status, cause):
    (bye,) = talk.answer(talk.refer(), status)
    assert bye.method == "BYE"
    assert talk.alice.next_event() == SessionEnded(talk.session, cause)


def test_a_silent_peer_is_over_after_32_seconds(talk):
    talk.refer()
    moment, event = talk.wait()
    assert (moment - talk.now, event) == (32.0, SessionEnded(talk.session, "timeout"))


def test_an_unreachable_peer_is_a_refusal(talk):
    talk.refer()
    talk.alice.transport_failed(BOB, talk.now)
    assert talk.alice.next_event() == TransferEnded(talk.session, 503, "Service Unavailable")


def test_a_peer_that_tells_nothing_is_waited_for_3_minutes(talk):
    talk.answer(talk.refer(), 202)
    assert talk.wait() == (talk.now + 180, TransferEnded(talk.session, 408, "Request Timeout"))
    assert talk.alice.active_sessions == 1


def test_a_subscription_that_ends_without_an_outcome(talk):
    talk.answer(talk.refer(), 202)
    assert talk.notify("", "terminated") == (200, TransferEnded(talk.session, 408, "Request Timeout"))


@pytest.mark.parametrize(("body", "kind"), [("nonsense", "message/sipfrag"), ("SIP/2.0 200 OK", "text/plain")])
def test_a_body_that_is_no_status_tells_nothing(talk, body, kind):
    talk.answer(talk.refer(), 202)
    assert talk.notify(body, kind=kind) == (200, None)


@pytest.mark.parametrize("event", ["presence", "refer;id=7", None])
def test_a_notify_of_something_else_is_refused(talk, event):
    talk.answer(talk.refer(), 202)
    assert talk.notify(event=event)[0] == 481


def test_a_notify_without_refer_is_refused(talk):
    assert talk.notify()[0] == 481


def test_one_transfer_at_a_time(talk):
    talk.refer()
    with pytest.raises(LocalProtocolError, match="not over yet"):
        talk.refer()


def test_nobody_is_transferred_in_a_call_that_is_not_up(pair, message):
    pair.bob_answers = False
    pair.feed_bob(message(body=b"v=0\r\n"))
    with pytest.raises(LocalProtocolError, match="not up"):
        pair.bob.refer(pair.bob.next_event().session, CAROL, 0.0)


def test_our_bye_ends_a_transfer_too(talk):
    refer = talk.refer()
    talk.alice.bye(talk.session, talk.now)
    (bye,) = talk.sent()
    talk.answer(refer, 202)
    talk.answer(bye, 200)
    assert talk.alice.next_event() == SessionEnded(talk.session, "bye")
    assert talk.alice.next_event() is None

"""sip/client_transaction.py: RFC 3261 §17.1 in virtual time."""

import pytest
from sipcore.sip.client_transaction import ClientTransaction, make_cancel
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message
from sipcore.sip.transaction import Action, State


def start(message, method, **arguments):
    return ClientTransaction(parse_message(message(method, Route="<sip:proxy;lr>")), 0.0, **arguments)


def answer(transaction, status):
    return Response.to_request(transaction.request.headers, status, tag="b")


def play(transaction, until, script=None):
    """Let time pass; returns when something was sent, and what the user heard with the time."""
    script = dict(script or {})
    sent, heard = [], []
    now = 0.0
    while True:
        sent += [now] * len(transaction.take_outbox())
        moments = [*script, *([transaction.next_timeout()] if transaction.next_timeout() is not None else [])]
        if not moments or min(moments) > until:
            return sent, heard
        now = min(moments)
        if now in script:
            if transaction.receive(answer(transaction, script.pop(now)), now):
                heard.append((now, Action.PASS))
        else:
            heard += [(now, a) for a in transaction.handle_timeout(now) if a in (Action.TIMED_OUT, Action.FAILED)]


def test_an_unanswered_invite_is_sent_seven_times_in_32_seconds(message):
    transaction = start(message, "INVITE")
    sent, heard = play(transaction, 100)
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert heard == [(32.0, Action.TIMED_OUT)]
    assert transaction.is_terminated


def test_an_unanswered_request_is_sent_eleven_times_in_32_seconds(message):
    transaction = start(message, "OPTIONS")
    sent, heard = play(transaction, 100)
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert heard == [(32.0, Action.TIMED_OUT)]


def test_a_provisional_response_slows_a_request_down_to_t2(message):
    transaction = start(message, "BYE")
    sent, heard = play(transaction, 100, {0.6: 100})
    assert sent == [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert heard == [(0.6, Action.PASS), (32.0, Action.TIMED_OUT)]


def test_a_provisional_response_silences_an_invite(message):
    transaction = start(message, "INVITE")
    sent, heard = play(transaction, 300, {0.7: 100, 5.0: 180})
    assert sent == [0, 0.5]
    assert heard == [(0.7, Action.PASS), (5.0, Action.PASS)]
    assert transaction.state is State.PROCEEDING


@pytest.mark.parametrize("early", [True, False])
def test_further_2xx_are_passed_on_for_64_t1(message, early):
    script = {0.1: 200, 10.0: 200, 32.0: 200} if early else {0.1: 180, 1.0: 200, 10.0: 200, 32.9: 200}
    transaction = start(message, "INVITE")
    sent, heard = play(transaction, 100, script)
    assert sent == [0]
    assert [when for when, _ in heard] == sorted(script)
    assert transaction.is_terminated


@pytest.mark.parametrize("early", [True, False])
def test_a_rejection_is_acknowledged_each_time_and_told_once(message, early):
    transaction = start(message, "INVITE")
    script = {0.1: 486, 0.6: 486, 32.0: 486} if early else {0.05: 180, 0.1: 486, 0.6: 486, 32.0: 486}
    sent, heard = play(transaction, 100, script)
    assert sent == [0, 0.1, 0.6, 32.0]
    assert heard[-1] == (0.1, Action.PASS)
    assert transaction.is_terminated


def test_the_ack_of_a_rejection_belongs_to_the_invites_transaction(message):
    transaction = start(message, "INVITE")
    transaction.take_outbox()
    transaction.receive(answer(transaction, 486), 0.1)
    ack = parse_message(transaction.take_outbox()[0])
    invite = transaction.request
    assert ack.method == "ACK"
    assert ack.uri == invite.uri
    assert ack.via == invite.via
    assert str(ack.cseq) == "1 ACK"
    assert ack.to.tag == "b"
    assert ack.headers.get("Route") == "<sip:proxy;lr>"
    assert ack.headers.get("From") == invite.headers.get("From")


def test_a_cancel_looks_like_its_invite(message):
    invite = parse_message(message())
    cancel = make_cancel(invite)
    assert (cancel.method, cancel.uri, cancel.via, cancel.call_id) == ("CANCEL", invite.uri, invite.via, invite.call_id)
    assert cancel.to.tag is None
    assert str(cancel.cseq) == "1 CANCEL"


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("provisional", [True, False])
def test_a_final_response_ends_a_request_and_is_absorbed_for_t4(message, status, provisional):
    transaction = start(message, "OPTIONS")
    script = {0.1: 100, 0.2: status} if provisional else {0.2: status}
    sent, heard = play(transaction, 5.1, script | {3.0: status})
    assert sent == [0]
    assert heard[-1] == (0.2, Action.PASS)
    assert transaction.state is State.COMPLETED
    play(transaction, 5.3)
    assert transaction.is_terminated


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_over_a_reliable_transport_nothing_is_sent_again(message, method):
    transaction = start(message, method, reliable=True)
    sent, heard = play(transaction, 100)
    assert (sent, heard) == ([0], [(32.0, Action.TIMED_OUT)])


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_over_a_reliable_transport_nothing_is_absorbed(message, method):
    transaction = start(message, method, reliable=True)
    play(transaction, 1.0, {0.5: 100, 0.6: 486})
    assert transaction.is_terminated


@pytest.mark.parametrize(("method", "provisional"), [("INVITE", False), ("BYE", False), ("BYE", True)])
def test_a_broken_transport_ends_a_request(message, method, provisional):
    transaction = start(message, method)
    if provisional:
        transaction.receive(answer(transaction, 100), 0.1)
    assert Action.FAILED in transaction.fail(0.2)
    assert transaction.is_terminated
    assert transaction.fail(0.3) == ()


def test_a_late_alarm_sends_once(message):
    transaction = start(message, "OPTIONS")
    transaction.take_outbox()
    transaction.handle_timeout(10.0)
    assert len(transaction.take_outbox()) == 1
    assert transaction.next_timeout() > 10.0

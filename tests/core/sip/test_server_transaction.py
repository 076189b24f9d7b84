"""sip/server_transaction.py: RFC 3261 §17.2 in virtual time."""

import pytest
from sipcore.errors import LocalProtocolError
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.transaction import State

REQUESTS = {}
"""What came first, by the transaction's id: the transaction itself forgets it."""


def start(message, method="INVITE", **arguments):
    transaction = ServerTransaction(parse_message(message(method)), **arguments)
    REQUESTS[id(transaction)] = transaction.request
    return transaction


def send(transaction, status, now):
    transaction.send(Response.to_request(REQUESTS[id(transaction)].headers, status, tag="b"), now)
    return [data.split()[1] for data in transaction.take_outbox()]


def again(transaction, now, method=None):
    request = REQUESTS[id(transaction)]
    if method:
        request = type(request)(request.headers, b"", method, request.uri)
    passed = transaction.receive(request, now)
    return passed, [data.split()[1] for data in transaction.take_outbox()]


def play(transaction, until):
    sent = []
    while (now := transaction.next_timeout()) is not None and now <= until:
        transaction.handle_timeout(now)
        sent += [now] * len(transaction.take_outbox())
    return sent


def test_an_invite_that_comes_again_gets_the_latest_response(message):
    transaction = start(message)
    assert again(transaction, 0.0) == (False, [])
    assert send(transaction, 100, 0.1) == [b"100"]
    assert send(transaction, 180, 0.2) == [b"180"]
    assert again(transaction, 0.5) == (False, [b"180"])
    assert transaction.next_timeout() is None
    assert not transaction.is_answered


def test_after_a_2xx_the_invite_is_absorbed_for_64_t1_and_the_ack_passed_on(message):
    transaction = start(message)
    assert send(transaction, 200, 1.0) == [b"200"]
    assert transaction.is_answered
    assert again(transaction, 1.5) == (False, [])
    assert send(transaction, 200, 1.6) == [b"200"]
    assert again(transaction, 2.0, "ACK") == (True, [])
    assert play(transaction, 32.9) == []
    assert transaction.state is State.ACCEPTED
    play(transaction, 33.0)
    assert transaction.is_terminated


def test_a_rejection_is_sent_until_its_ack(message):
    transaction = start(message)
    send(transaction, 486, 0.0)
    assert again(transaction, 0.1) == (False, [b"486"])
    assert play(transaction, 9.0) == [0.5, 1.5, 3.5, 7.5]
    assert again(transaction, 9.0, "ACK") == (False, [])
    assert transaction.state is State.CONFIRMED
    assert again(transaction, 9.1) == (False, [])
    assert again(transaction, 9.1, "ACK") == (False, [])
    assert play(transaction, 13.9) == []
    play(transaction, 14.0)
    assert transaction.is_terminated


def test_a_rejection_without_ack_is_given_up_after_64_t1(message):
    transaction = start(message)
    send(transaction, 486, 0.0)
    assert play(transaction, 100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert transaction.is_terminated


def test_another_request_is_answered_again_for_64_t1(message):
    transaction = start(message, "OPTIONS")
    assert again(transaction, 0.0) == (False, [])
    assert send(transaction, 200, 1.0) == [b"200"]
    assert again(transaction, 20.0) == (False, [b"200"])
    assert play(transaction, 32.9) == []
    play(transaction, 33.0)
    assert transaction.is_terminated


def test_another_request_may_get_a_100_first(message):
    transaction = start(message, "UPDATE")
    assert send(transaction, 100, 4.0) == [b"100"]
    assert send(transaction, 100, 4.0) == [b"100"]
    assert again(transaction, 4.5) == (False, [b"100"])
    assert send(transaction, 488, 5.0) == [b"488"]


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 180), ("OPTIONS", 408)])
def test_rfc_4320_bars_some_responses(message, method, status):
    with pytest.raises(LocalProtocolError, match="RFC 4320"):
        send(start(message, method), status, 0.0)


@pytest.mark.parametrize(("first", "second"), [(200, 486), (486, 200), (200, 180), (486, 486)])
def test_only_one_final_response_is_possible(message, first, second):
    transaction = start(message)
    send(transaction, first, 0.0)
    with pytest.raises(LocalProtocolError, match="after a final response"):
        send(transaction, second, 0.1)


def test_an_answered_transaction_keeps_only_what_it_repeats(message):
    transaction = start(message, "OPTIONS")
    transaction.owner = object()
    send(transaction, 200, 0.0)
    assert (transaction.tag, transaction.owner) == ("b", None)
    assert transaction.request.method == "OPTIONS"
    assert len(transaction.request.headers) == 0


def test_over_a_reliable_transport_nothing_is_sent_again_or_absorbed(message):
    rejected = start(message, reliable=True)
    send(rejected, 486, 0.0)
    assert play(rejected, 31.9) == []
    again(rejected, 31.9, "ACK")
    play(rejected, 31.9)
    assert rejected.is_terminated
    answered = start(message, "BYE", reliable=True)
    send(answered, 200, 0.0)
    play(answered, 0.0)
    assert answered.is_terminated

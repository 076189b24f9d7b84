"""sip/transaction_layer.py: messages find their transactions, and none is left behind."""

import pytest
from sipcore.errors import RemoteProtocolError
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message
from sipcore.sip.transaction import Action
from sipcore.sip.transaction_layer import TransactionLayer, response_address, server_key
from sipcore.sip.values import Via

SOURCE = ("192.0.2.1", 5060)


@pytest.fixture
def layer():
    return TransactionLayer(limit=3)


def receive(layer, data, now=0.0):
    return layer.receive_request(parse_message(data), SOURCE, now)


def respond(layer, transaction, status, now=0.0):
    layer.respond(transaction, Response.to_request(transaction.request.headers, status, tag="b"), now)


def drain(layer):
    now = 0.0
    while (moment := layer.next_timeout()) is not None:
        now = moment
        layer.handle_timeout(now)
    return now


def test_a_request_is_new_once(layer, message):
    transaction = receive(layer, message())
    assert receive(layer, message()) is None
    assert layer.datagrams_to_send() == []
    respond(layer, transaction, 100)
    assert receive(layer, message()) is None
    assert [datagram.destination for datagram in layer.datagrams_to_send()] == [SOURCE, SOURCE]
    assert layer.datagrams_to_send() == []


def test_requests_differ_by_branch_and_method_and_call(layer, message):
    assert receive(layer, message("OPTIONS")) is not None
    assert receive(layer, message("BYE")) is not None
    assert receive(layer, message("BYE", call_id="other")) is not None


def test_old_requests_differ_by_what_rfc_2543_had(message):
    old = {"branch": "1"}
    first = parse_message(message(**old))
    assert server_key(first, "INVITE") == server_key(parse_message(message(to_tag="b", **old)), "INVITE")
    assert server_key(first, "INVITE") != server_key(parse_message(message(uri="sip:other@x", **old)), "INVITE")
    assert server_key(first, "INVITE") != server_key(parse_message(message(From="<sip:a@x>", **old)), "INVITE")


def test_an_ack_of_a_rejection_ends_here_and_that_of_a_2xx_does_not(layer, message):
    respond(layer, receive(layer, message()), 486)
    assert layer.receive_ack(parse_message(message("ACK", to_tag="b")), 0.1)
    respond(layer, receive(layer, message(branch="z9hG4bKtwo")), 200)
    assert not layer.receive_ack(parse_message(message("ACK", branch="z9hG4bKtwo")), 0.1)
    assert not layer.receive_ack(parse_message(message("ACK", branch="z9hG4bKthree")), 0.1)


def test_a_cancel_finds_its_invite(layer, message):
    transaction = receive(layer, message())
    assert layer.find_invite(parse_message(message("CANCEL"))) is transaction
    assert layer.find_invite(parse_message(message("CANCEL", branch="z9hG4bKtwo"))) is None


def test_a_request_by_two_ways_is_merged(layer, message):
    first = receive(layer, message())
    second = receive(layer, message(branch="z9hG4bKtwo"))
    assert not layer.is_merged(first)
    assert layer.is_merged(second)
    assert not layer.is_merged(receive(layer, message(branch="z9hG4bKthree", From="<sip:a@x>")))
    respond(layer, second, 482)
    respond(layer, first, 486)
    drain(layer)
    assert not layer.is_merged(receive(layer, message(branch="z9hG4bKfour")))


def test_what_belongs_to_no_transaction_is_sent_too(layer):
    layer.send(b"ACK", SOURCE)
    assert [(datagram.data, datagram.destination) for datagram in layer.datagrams_to_send()] == [(b"ACK", SOURCE)]


def test_the_number_of_transactions_is_bounded(layer, message):
    for branch in "123":
        receive(layer, message(branch="z9hG4bK" + branch))
    with pytest.raises(RemoteProtocolError) as error:
        receive(layer, message(branch="z9hG4bK4"))
    assert error.value.status == 503
    assert len(layer) == 3


def test_the_oldest_answered_requests_make_room(layer, message):
    waiting, *answered = (receive(layer, message(branch="z9hG4bK" + branch, number=int(branch))) for branch in "123")
    for transaction in answered:
        respond(layer, transaction, 200)
    assert receive(layer, message(branch="z9hG4bK4", number=4)) is not None
    assert answered[0].is_terminated
    assert not waiting.is_terminated
    assert not answered[1].is_terminated
    assert len(layer) == 3


def test_responses_find_our_request(layer, message):
    request = parse_message(message())
    owner = object()
    transaction = layer.request(request, SOURCE, 0.0, owner)
    assert transaction.owner is owner
    ok = Response.to_request(request.headers, 486, tag="b")
    assert layer.receive_response(Response.to_request(parse_message(message("BYE")).headers, 200), 0.1) is None
    assert layer.receive_response(ok, 0.1) is transaction
    assert layer.receive_response(ok, 0.2) is None
    assert [datagram.data.split()[0] for datagram in layer.datagrams_to_send()] == [b"INVITE", b"ACK", b"ACK"]
    assert drain(layer) == 32.1
    assert len(layer) == 0


def test_a_request_that_nobody_answers_is_reported(layer, message):
    transaction = layer.request(parse_message(message()), SOURCE, 0.0)
    ended = []
    while (moment := layer.next_timeout()) is not None:
        ended += layer.handle_timeout(moment)
    assert ended == [(transaction, Action.TIMED_OUT)]
    assert len(layer) == 0


def test_a_rejection_that_nobody_acknowledges_is_not_reported(layer, message):
    respond(layer, receive(layer, message()), 486)
    while (moment := layer.next_timeout()) is not None:
        assert layer.handle_timeout(moment) == []
    assert len(layer) == 0


def test_an_unreachable_peer_fails_its_requests_alone(layer, message):
    lost = layer.request(parse_message(message()), SOURCE, 0.0)
    other = layer.request(parse_message(message("BYE")), ("192.0.2.9", 5060), 0.0)
    assert layer.fail(SOURCE, 0.1) == [(lost, Action.FAILED)]
    assert len(layer) == 1
    layer.abandon(other)
    assert len(layer) == 0


@pytest.mark.parametrize(
    ("via", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 5060)),
        ("192.0.2.1:5070", ("192.0.2.1", 5070)),
        ("host:5070;rport", ("192.0.2.1", 4711)),
        ("host;maddr=203.0.113.1", ("192.0.2.1", 5060)),
    ],
)
def test_a_response_goes_back_to_where_the_request_came_from(via, address):
    assert response_address(Via.parse(f"SIP/2.0/UDP {via}"), ("192.0.2.1", 4711)) == address

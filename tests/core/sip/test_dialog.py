"""sip/dialog.py: RFC 3261 §12."""

import pytest
from sipcore.errors import RemoteProtocolError
from sipcore.sip.dialog import Dialog
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message

VIA = "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKnew"
RECORD = "<sip:p1;lr>, <sip:p2;lr>"


def of_server(message, **fields):
    return Dialog.of_server(parse_message(message(**fields)), "b", 0)


def of_client(message, contact="<sip:bob@192.0.2.2:5070>", record=RECORD):
    invite = parse_message(message())
    extra = [("Record-Route", record)] if record else []
    if contact:
        extra.append(("Contact", contact))
    return Dialog.of_client(invite, Response.to_request(invite.headers, 200, tag="b", extra=extra))


def test_the_called_side_answers_along_the_route(message):
    dialog = of_server(message, **{"Record-Route": RECORD})
    assert dialog.id == ("call@alice", "b", "a")
    request = dialog.request("BYE", VIA)
    assert str(request.uri) == "sip:alice@192.0.2.1:5060"
    assert request.headers.get_all("Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert (request.from_.tag, request.to.tag) == ("b", "a")
    assert request.headers.get("To") == '"Alice" <sip:alice@192.0.2.1>;tag=a'
    assert str(request.cseq) == "1 BYE"
    assert str(dialog.request("BYE", VIA).cseq) == "2 BYE"


def test_the_calling_side_goes_the_route_backwards(message):
    dialog = of_client(message)
    assert dialog.id == ("call@alice", "a", "b")
    ack = dialog.request("ACK", VIA, sequence=1)
    assert ack.headers.get_all("Route") == ["<sip:p2;lr>", "<sip:p1;lr>"]
    assert str(ack.uri) == "sip:bob@192.0.2.2:5070"
    assert str(ack.cseq) == "1 ACK"
    assert str(dialog.request("BYE", VIA).cseq) == "2 BYE"


def test_a_strict_router_stands_in_the_request_line(message):
    dialog = of_server(message, **{"Record-Route": "<sip:strict@p1;x=y?h=1>, <sip:p2;lr>"})
    request = dialog.request("BYE", VIA)
    assert str(request.uri) == "sip:strict@p1;x=y"
    assert request.headers.get_all("Route") == ["<sip:p2;lr>", "<sip:alice@192.0.2.1:5060>"]


def test_without_contact_the_address_of_record_is_the_target(message):
    assert str(of_server(message, Contact=None).target) == "sip:alice@192.0.2.1"
    assert str(of_client(message, contact=None).target) == "sip:bob@192.0.2.2"


def test_the_peers_numbers_must_grow(message):
    dialog = of_server(message, number=5)
    for number in (5, 4):
        with pytest.raises(RemoteProtocolError) as error:
            dialog.receive(parse_message(message("BYE", number=number)))
        assert error.value.status == 500
    dialog.receive(parse_message(message("INFO", number=9, Contact="<sip:elsewhere@x>")))
    assert dialog.remote_sequence == 9
    assert dialog.target.user == "alice"


def test_the_caller_knows_no_number_of_the_peer_at_first(message):
    dialog = of_client(message)
    dialog.receive(parse_message(message("BYE", number=0)))
    assert dialog.remote_sequence == 0


def test_a_target_refresh_moves_the_target(message):
    dialog = of_server(message)
    dialog.receive(parse_message(message("UPDATE", number=2, Contact="<sip:moved@192.0.2.7>")))
    assert dialog.target.user == "moved"
    dialog.receive(parse_message(message("INVITE", number=3, Contact=None)))
    assert dialog.target.user == "moved"


@pytest.mark.parametrize(
    ("contact", "peer", "hop"),
    [
        ("<sip:a@192.0.2.7:5070>", ("192.0.2.1", 9), ("192.0.2.7", 5070)),
        ("<sip:a@192.0.2.7>", ("192.0.2.1", 9), ("192.0.2.7", 5060)),
        ("<sip:a@phone.example.com>", ("192.0.2.1", 9), ("192.0.2.1", 9)),
        ("<sip:a@10.0.0.7>", ("8.8.8.8", 9), ("8.8.8.8", 9)),
        ("<sip:a@10.0.0.7>", ("10.1.1.1", 9), ("10.0.0.7", 5060)),
        ("<sip:a@127.0.0.1>", ("10.1.1.1", 9), ("10.1.1.1", 9)),
        ("<sip:a@127.0.0.1:7>", ("127.0.0.1", 9), ("127.0.0.1", 7)),
        ("<sip:a@0.0.0.0>", ("10.1.1.1", 9), ("10.1.1.1", 9)),
        ("<sip:a@[2001:db8::1]>", ("10.1.1.1", 9), ("10.1.1.1", 9)),
        ("<tel:+1>", ("10.1.1.1", 9), ("10.1.1.1", 9)),
    ],
)
def test_requests_go_where_they_can_arrive(message, contact, peer, hop):
    assert of_server(message, Contact=contact).next_hop(peer) == hop


def test_a_route_comes_before_the_target(message):
    dialog = of_server(message, **{"Record-Route": "<sip:192.0.2.50:5080;lr>"})
    assert dialog.next_hop(("192.0.2.1", 9)) == ("192.0.2.50", 5080)

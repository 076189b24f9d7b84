"""sip/message.py: requests and responses, and how one becomes the other."""

import pytest
from sipcore.errors import LocalProtocolError, RemoteProtocolError
from sipcore.sip.headers import Headers
from sipcore.sip.message import METHODS, Message, Request, Response, reason_of
from sipcore.sip.parser import parse_message
from sipcore.sip.uri import Uri


def test_the_fields_that_every_message_has(message):
    request = parse_message(message())
    assert request.via.branch == "z9hG4bKone"
    assert request.from_.display_name == "Alice"
    assert request.to.tag is None
    assert request.call_id == "call@alice"
    assert request.cseq.number == 1
    assert str(request.contact) == "<sip:alice@192.0.2.1:5060>"
    assert request.content_type == ""


@pytest.mark.parametrize("name", ["via", "from_", "to", "call_id", "cseq"])
def test_a_missing_field_is_the_peers_fault(name):
    with pytest.raises(RemoteProtocolError, match="header field"):
        getattr(Message(), name)


@pytest.mark.parametrize("value", ["*", ""])
def test_a_contact_may_name_nobody(value):
    assert Message(Headers([("Contact", value)])).contact is None


def test_the_first_of_several_contacts_counts():
    assert Message(Headers([("m", "<sip:a@x>, <sip:b@x>")])).contact.uri.user == "a"


def test_routes_are_read_over_lines():
    headers = Headers([("Record-Route", "<sip:a;lr>, <sip:b;lr>"), ("Record-Route", "<sip:c>")])
    assert [address.uri.host for address in Message(headers).addresses("Record-Route")] == ["a", "b", "c"]


def test_content_type_is_compared_without_case_and_parameters():
    assert Message(Headers([("c", "Application/SDP ; charset=utf-8")])).content_type == "application/sdp"


def test_a_request_is_written_with_its_true_length():
    request = Request(Headers([("Content-Length", "99"), ("X", "\udcff")]), b"body", "NEW", Uri.parse("sip:x"))
    assert bytes(request) == b"NEW sip:x SIP/2.0\r\nContent-Length: 4\r\nX: \xff\r\n\r\nbody"


def test_a_response_copies_what_it_must(message):
    request = parse_message(message(Timestamp="54"))
    response = Response.to_request(request.headers, 180, tag="t", extra=[("Contact", "<sip:b@x>")], body=b"x")
    assert (response.status, response.reason) == (180, "Ringing")
    assert [name for name, _ in response.headers] == ["Via", "From", "To", "Call-ID", "CSeq", "Contact"]
    assert response.to.tag == "t"
    assert response.is_provisional
    assert not response.is_success
    trying = Response.to_request(request.headers, 100)
    assert trying.headers.get("Timestamp") == "54"
    assert trying.to.tag is None


def test_a_response_keeps_the_tag_of_a_dialog(message):
    response = Response.to_request(parse_message(message(to_tag="b")).headers, 200, "Fine", tag="t")
    assert response.to.tag == "b"
    assert response.is_success
    assert bytes(response).startswith(b"SIP/2.0 200 Fine\r\n")


def test_a_response_to_a_broken_request_copies_what_is_there():
    headers = Headers([("To", '"broken <sip:x>'), ("Via", "nonsense")])
    response = Response.to_request(headers, 400, tag="t")
    assert list(response.headers) == [("Via", "nonsense"), ("To", '"broken <sip:x>')]


def test_a_reason_of_ours_cannot_smuggle_fields_in():
    with pytest.raises(LocalProtocolError, match="line break"):
        bytes(Response(status=486, reason="Busy\r\nX: y"))


def test_reasons():
    assert reason_of(486) == "Busy Here"
    assert reason_of(499) == "Bad Request"
    assert reason_of(799) == "Unknown"
    assert "INVITE" in METHODS

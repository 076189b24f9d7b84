"""sip/parser.py: the torture messages, real ones, and whatever else may come."""

import contextlib
import csv
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import RemoteProtocolError
from sipcore.sip.headers import Headers
from sipcore.sip.message import Request, Response
from sipcore.sip.parser import MAX_FIELDS, MAX_MESSAGE, MalformedMessageError, check_message, first_via, parse_message

VECTORS = Path(__file__).parents[2] / "vectors"
TORTURE = sorted((VECTORS / "rfc4475").glob("*.dat")) + sorted((VECTORS / "rfc5118").glob("*.dat"))
REAL = sorted((Path(__file__).parents[3].parent / "shared/exams/real-messages").glob("*.sip"))


def validity():
    for name in ("rfc4475", "rfc5118"):
        with (VECTORS / name / "index.tsv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                yield VECTORS / name / (row["file"].removesuffix(".dat") + ".dat"), row["validity"]


REFUSED = {"unksm2"}  # its grammar is right, but RFC 3261 §10.2 asks for a SIP URI


@pytest.mark.parametrize(
    "path",
    [path for path, valid in validity() if valid.startswith("valid") and path.stem not in REFUSED],
    ids=lambda path: path.stem,
)
def test_valid_torture_messages_are_read_and_written(path):
    message = parse_message(path.read_bytes())
    check_message(message)
    assert parse_message(bytes(message)) == message


@pytest.mark.parametrize("path", TORTURE + REAL, ids=lambda path: path.stem)
def test_no_message_breaks_the_parser(path):
    data = path.read_bytes()
    try:
        message = parse_message(data)
    except MalformedMessageError as error:
        assert path not in REAL
        assert 400 <= error.status < 600  # noqa: PT017
        return
    assert parse_message(bytes(message)) == message
    assert bytes(parse_message(bytes(message))) == bytes(message)


def test_a_tortuous_invite_is_understood():
    invite = parse_message((VECTORS / "rfc4475/wsinv.dat").read_bytes())
    assert invite.cseq.number == 9
    assert invite.to.tag == "1918181833n"
    assert invite.via.transport == "UDP"
    assert [value.split(";")[0] for value in invite.headers.get_list("Via")] == [
        "SIP  /   2.0 /UDP 192.0.2.2",
        "SIP  / 2.0  / TCP     spindle.example.com   ",
        "SIP  /    2.0   / UDP  192.168.255.111   ",
    ]
    assert invite.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert invite.body.startswith(b"v=0\r\n")


def test_what_follows_the_content_length_is_dropped(message):
    assert parse_message(message() + b"INVITE sip:x SIP/2.0\r\n").body == b""


def test_a_datagram_without_content_length_is_body_to_its_end(message):
    data = message().replace(b"Content-Length: 0\r\n", b"") + b"rest"
    request = parse_message(data)
    assert request.body == b"rest"
    assert request.headers.get("l") == "4"


def test_a_message_may_start_with_line_ends(message):
    assert parse_message(b"\r\n\r\n" + message()).method == "INVITE"


def test_bytes_that_are_no_utf8_are_kept(message):
    data = message(Subject="caf\udce9 \u00fc")
    assert b"caf\xe9 \xc3\xbc" in bytes(parse_message(data))


def test_a_field_that_the_datagram_cut_is_dropped(message):
    data = message("BYE").replace(b"Content-Length: 0\r\n\r\n", b"Content-Lengt")
    assert parse_message(data).method == "BYE"


def test_a_response_is_read():
    data = b"SIP/2.0 200 \r\nVia: SIP/2.0/UDP x\r\n\r\n"
    response = parse_message(data)
    assert (response.status, response.reason) == (200, "")
    assert isinstance(response, Response)
    assert parse_message(b"sip/2.0 603\r\nA: b\r\n\r\n").status == 603


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia", 505),
        (b"sip:bob@192.0.2.2 ", b"sip:" + b"b" * 3000 + b"@x ", 414),
        (b"Content-Length: 0", b"Content-Length: 0\r\nContent-Length: 1", 400),
        (b"Content-Length: 0", b"Content-Length: 9", 400),
        (b"Content-Length: 0", b"Content-Length: x", 400),
        (b"INVITE sip", b"INVITE  sip", 400),
        (b"From:", b"From", 400),
        (b"Call-ID: call", b"Call-ID: ca\nll", 400),
        (b"Call-ID:", b"X: y\r\n" * MAX_FIELDS + b"Call-ID:", 513),
    ],
)
def test_a_malformed_request_can_be_answered(message, old, new, status):
    with pytest.raises(MalformedMessageError) as error:
        parse_message(message().replace(old, new, 1))
    assert error.value.status == status
    assert error.value.headers is not None
    assert first_via(error.value.headers).branch == "z9hG4bKone"


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b"SIP/2.0 4294967301 no\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"SIP/3.0 200 OK\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"ACK nonsense\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"INVITE nonsense\r\nTo: x\r\n\r\n",
        b"SIP/2.0 200 a\rb\r\nVia: SIP/2.0/UDP x\r\n\r\n",
    ],
)
def test_what_must_not_be_answered_says_so(data):
    with pytest.raises(MalformedMessageError) as error:
        parse_message(data)
    assert error.value.headers is None


def test_a_message_beyond_a_datagram_is_too_large(message):
    with pytest.raises(MalformedMessageError) as error:
        parse_message(message() + b"x" * MAX_MESSAGE)
    assert error.value.status == 513


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"From": None}, 400),
        ({"To": None}, 400),
        ({"Call_ID": ""}, 400),
        ({"CSeq": "1 BYE"}, 400),
        ({"CSeq": "x"}, 400),
        ({"Via": "SIP/7.0/UDP x"}, 505),
        ({"Max_Forwards": "256"}, 400),
        ({"Max_Forwards": "-1"}, 400),
        ({"Contact": "sip:a@x?b=c"}, 400),
        ({"Record_Route": "<sip:"}, 400),
        ({"uri": "sip:bob@x?Route=%3Csip:y%3E"}, 400),
        ({"t": "<sip:second@x>"}, 400),
    ],
)
def test_a_request_that_lacks_what_it_needs_is_refused(message, fields, status):
    fields = {name.replace("_", "-"): value for name, value in fields.items()}
    with pytest.raises(RemoteProtocolError) as error:
        check_message(parse_message(message(**fields)))
    assert error.value.status == status


def test_an_unknown_method_with_a_wrong_cseq_is_unknown_first(message):
    with pytest.raises(RemoteProtocolError) as error:
        check_message(parse_message(message("NEWMETHOD", CSeq="1 INVITE")))
    assert error.value.status == 501


def test_a_registration_must_name_a_sip_uri(message):
    with pytest.raises(RemoteProtocolError, match="REGISTER"):
        check_message(parse_message(message("REGISTER", To="<isbn:2983792873>")))


def test_max_forwards_may_have_zeros(message):
    check_message(parse_message(message(**{"Max-Forwards": "0068"})))


def test_a_broken_via_is_no_via():
    assert first_via(Headers([("Via", "nonsense")])) is None


@given(st.binary() | st.binary().map(lambda tail: b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n" + tail))
def test_any_bytes_are_a_message_or_refused(data):
    try:
        message = parse_message(data)
        check_message(message)
    except RemoteProtocolError:
        return
    assert parse_message(bytes(message)) == message


BASE = [path.read_bytes() for path in TORTURE]


@given(st.sampled_from(BASE), st.data())
def test_mutated_messages_are_read_or_refused(base, data):
    position = data.draw(st.integers(0, len(base)))
    length = data.draw(st.integers(0, 20))
    mutated = base[:position] + data.draw(st.binary(max_size=20)) + base[position + length :]
    try:
        message = parse_message(mutated)
        check_message(message)
    except RemoteProtocolError:
        return
    assert isinstance(message, Request | Response)
    assert parse_message(bytes(message)) == message


names = st.from_regex(r"[A-Za-z-]{1,12}", fullmatch=True).filter(
    lambda name: name.lower() not in ("content-length", "l")
)
values = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(
    lambda text: text.strip(" \t")
)


@given(st.lists(st.tuples(names, values), max_size=20), st.binary(max_size=100))
def test_what_is_written_is_read_back(fields, body):
    request = Request(Headers([*fields, ("Content-Length", str(len(body)))]), body, "INVITE")
    request.uri = request.uri.parse("sip:alice@example.com")
    assert parse_message(bytes(request)) == request


@pytest.mark.parametrize(
    "filler",
    [b" ", b";", b",", b"<", b'"', b"\\", b"a=", b"\r\n ", b"\t;", b'"<', b"@", b":", b"; "],
)
@pytest.mark.parametrize("name", [b"Via: SIP/2.0/UDP x", b"To: ", b"Contact: sip:a@x", b"Record-Route: ", b"CSeq: 1"])
def test_no_message_of_64_kilobytes_takes_long(filler, name, message):
    field = name.split(b":")[0]
    lines = [line for line in message().split(b"\r\n") if not line.startswith(field)]
    data = b"\r\n".join([lines[0], name + filler * (60_000 // len(filler)), *lines[1:]])
    start = time.perf_counter()
    with contextlib.suppress(RemoteProtocolError):
        check_message(parse_message(data))
    assert time.perf_counter() - start < 0.2

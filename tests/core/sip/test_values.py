"""sip/values.py: addresses, Via and CSeq as devices write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import RemoteProtocolError
from sipcore.sip.uri import Uri
from sipcore.sip.values import CSeq, NameAddress, Via, find_parameter, parse_parameters, write_parameters


def test_parameters_keep_their_spelling():
    text = ';Tag=x;lr;q="a;b=\\"c";e='
    parameters = parse_parameters(' ; Tag = x ; lr ;q="a;b=\\"c";e=')
    assert write_parameters(parameters) == text
    assert find_parameter(parameters, "tag") == "x"
    assert find_parameter(parameters, "lr") == ""
    assert find_parameter(parameters, "none") is None


def test_a_lone_semicolon_at_the_end_is_forgiven():
    assert parse_parameters(";a=b; ") == (("a", "b"),)


@pytest.mark.parametrize("text", [";;a", ";", "x", ';a="b', ";a=b c", ";a;;"])
def test_broken_parameters_are_refused(text):
    with pytest.raises(RemoteProtocolError):
        parse_parameters(text)


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        ("<sip:a@x>", "", "sip:a@x", None),
        ("sip:a@x;tag=1", "", "sip:a@x", "1"),
        (" sip:a@x ;   tag    = 1918181833n", "", "sip:a@x", "1918181833n"),
        ('"J Rosenberg \\\\\\""       <sip:j@x> ; tag = 98', 'J Rosenberg \\"', "sip:j@x", "98"),
        ("caller<sip:a@x>;tag=3", "caller", "sip:a@x", "3"),
        ("T. Watson <sip:a@x>", "T. Watson", "sip:a@x", None),
        ('\\"arik\\" <sip:a@x>', '\\"arik\\"', "sip:a@x", None),
        ("<sip:a@x;lr>;tag=2", "", "sip:a@x;lr", "2"),
        ('sip:a@x;note="<b>"', "", "sip:a@x", None),
        ("<tel:+123>", "", "tel:+123", None),
    ],
)
def test_addresses_of_every_form_are_read(text, name, uri, tag):
    address = NameAddress.parse(text)
    assert (address.display_name, str(address.uri), address.tag) == (name, uri, tag)
    assert NameAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        '"Mr. J. User <sip:a@x>',
        '"Mr" sip:a@x',
        "Bell, A <sip:a@x>",
        "< sip:a@x >",
        "<sip:a@x",
        "sip:a@x?Route=1",
        "sip:a,b@x",
        "",
        "nobody",
    ],
)
def test_broken_addresses_are_refused(text):
    with pytest.raises(RemoteProtocolError):
        NameAddress.parse(text)


def test_a_tag_is_added():
    assert str(NameAddress(Uri.parse("sip:a@x"), 'A "B" \\').with_tag("7")) == '"A \\"B\\" \\\\" <sip:a@x>;tag=7'


def test_via_is_read_however_it_is_spaced():
    via = Via.parse("SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8")
    assert (via.transport, via.host, via.port, via.branch) == ("TCP", "spindle.example.com", None, "z9hG4bK9ikj8")
    assert str(via) == "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8"
    assert via.is_unique
    assert Via.parse_first("SIP/2.0/UDP [::1]:5070, SIP/2.0/UDP x").sent_by == "[::1]:5070"


def test_a_branch_needs_more_than_the_cookie():
    assert not Via.parse("SIP/2.0/UDP x;branch=z9hG4bK").is_unique
    assert Via.parse("SIP/2.0/UDP x").branch == ""


@pytest.mark.parametrize("text", ["", "SIP/2.0/UDP", "SIP/2.0 x", "SIP/2.0/UDP x:0", "SIP/2.0/UDP x:70000", "UDP x"])
def test_a_broken_via_is_refused(text):
    with pytest.raises(RemoteProtocolError):
        Via.parse(text)


@pytest.mark.parametrize(
    ("written", "stamped"),
    [
        ("SIP/2.0/UDP 192.0.2.9;branch=z", "SIP/2.0/UDP 192.0.2.9;branch=z"),
        ("SIP/2.0/UDP host;branch=z", "SIP/2.0/UDP host;branch=z;received=192.0.2.9"),
        ("SIP/2.0/UDP 192.0.2.9;rport;branch=z", "SIP/2.0/UDP 192.0.2.9;branch=z;rport=4711;received=192.0.2.9"),
        ("SIP/2.0/UDP host;received=192.0.2.66", "SIP/2.0/UDP host;received=192.0.2.9"),
    ],
)
def test_via_notes_where_a_request_really_came_from(written, stamped):
    assert str(Via.parse(written).stamped("192.0.2.9", 4711)) == stamped


def test_cseq():
    assert CSeq.parse("0009 INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(1, "BYE")) == "1 BYE"
    for text in ("1", "INVITE", "4294967296 INVITE", "-1 INVITE", "1 IN VITE"):
        with pytest.raises(RemoteProtocolError):
            CSeq.parse(text)


@given(st.text(alphabet='<>";:,@ \\sip=x'), st.sampled_from([NameAddress, Via, CSeq]))
def test_any_text_is_a_value_or_refused(text, kind):
    try:
        value = kind.parse(text)
    except RemoteProtocolError:
        return
    assert kind.parse(str(value)) == value

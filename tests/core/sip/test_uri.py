"""sip/uri.py: URIs survive reading and writing, and say who is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import RemoteProtocolError
from sipcore.sip.uri import Uri, host_and_port


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@example.com",
        "sips:alice:secret@example.com:5061;transport=tcp;lr?Subject=hi&x=y",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        "sip:user;par=u%40example.net@example.com",
        "sip:[2001:db8::1]:5070",
        "sip:user@[2001:db8:::192.0.2.1]",
        "sip:example.com;unknownparam",
        "tel:+1-201-555-0123;phone-context=x",
        "soap.beep://192.0.2.103:3002",
        "sip:\u00fcser@example.com",
    ],
)
def test_a_uri_is_written_as_it_was_read(text):
    assert str(Uri.parse(text)) == text


def test_the_parts_of_a_uri():
    uri = Uri.parse("SIP:al%69ce:pw@Example.com:5080;Transport=TCP;lr;n%61me=v%61lue%25%34%31?h=1")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == ("sip", "al%69ce", "pw", "Example.com", 5080)
    assert uri.username == "alice"
    assert uri.parameter("transport") == "TCP"
    assert uri.parameter("lr") == ""
    assert uri.parameter("name") == "value%41"
    assert uri.parameter("maddr") is None
    assert uri.headers == "?h=1"
    assert uri.is_sip


def test_an_ipv6_host_has_brackets_only_in_writing():
    uri = Uri.parse("sip:[2001:db8::10:5070]")
    assert (uri.host, uri.port) == ("2001:db8::10:5070", None)
    assert host_and_port("::1", 5060) == "[::1]:5060"


def test_a_tel_uri_names_its_number():
    assert Uri.parse("tel:+12015550123;ext=5").username == "+12015550123"
    assert not Uri.parse("tel:1").is_sip


def test_a_uri_without_user_names_nobody():
    assert Uri.parse("sip:example.com").username == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice@example.com",
        "<sip:a@example.com>",
        "sip:a@",
        "sip:",
        "sip:2001:db8::10",
        "sip:a@example.com:99999",
        "sip:a@example.com:123456",
        " sip:a@example.com",
        "sip:a b@example.com",
        "sip:a@b@example.com",
    ],
)
def test_what_is_no_uri_is_refused(text):
    with pytest.raises(RemoteProtocolError) as error:
        Uri.parse(text)
    assert error.value.status == 400


@given(st.text() | st.text(alphabet="sip:@;?=[].a1%<> "))
def test_any_text_is_a_uri_or_refused(text):
    for candidate in (text, "sip:" + text):
        try:
            uri = Uri.parse(candidate)
        except RemoteProtocolError:
            continue
        assert Uri.parse(str(uri)) == uri
        assert isinstance(uri.username, str)

"""sip/headers.py: fields in order, as written, found under every name they have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.errors import LocalProtocolError, RemoteProtocolError
from sipcore.sip.headers import Headers, key_of, split_list


def test_a_field_is_found_under_any_of_its_names():
    headers = Headers.from_lines(["v: one", "VIA: two", "X-Mine: three"])
    assert headers.get_all("Via") == ["one", "two"]
    assert headers.get("via") == "one"
    assert headers.get("x-mine") == "three"
    assert headers.get("To") is None
    assert "V" in headers
    assert "To" not in headers
    assert key_of("M") == "contact"


def test_order_and_spelling_are_kept():
    headers = Headers.from_lines(["b: 2", "A :1", "UnknownHeaderWithUnusualValue: ;;,,;;,;"])
    assert list(headers) == [("b", "2"), ("A", "1"), ("UnknownHeaderWithUnusualValue", ";;,,;;,;")]
    assert headers.encode(0) == "b: 2\r\nA: 1\r\nUnknownHeaderWithUnusualValue: ;;,,;;,;\r\nContent-Length: 0\r\n"
    assert len(headers) == 4
    assert repr(Headers([("A", "1")])) == "Headers([('A', '1')])"


def test_content_length_stays_where_it_is():
    headers = Headers([("l", "7"), ("A", "1")])
    assert headers.encode(12) == "l: 12\r\nA: 1\r\n"
    assert headers.encode(12) == "l: 12\r\nA: 1\r\n"


@pytest.mark.parametrize("line", ["Foobar roobar", "", ": x", "a b: c", "Via", "\u00fc: x", "X: a\rb", "X: a\nb"])
def test_what_is_no_field_is_refused(line):
    with pytest.raises(RemoteProtocolError):
        Headers.from_lines([line])


@pytest.mark.parametrize(("name", "value"), [("X", "a\r\nY: b"), ("X", "a\nb"), ("X Y", "a"), ("", "a")])
def test_a_field_of_ours_cannot_smuggle_another_in(name, value):
    with pytest.raises(LocalProtocolError, match="cannot be a header field"):
        Headers([(name, value)])


def test_setting_a_field_replaces_the_first_and_its_parsed_value():
    headers = Headers([("v", "1"), ("Via", "2")])
    assert headers.parsed("Via", int) == 1
    headers.set("Via", "3")
    assert list(headers) == [("v", "3"), ("Via", "2")]
    assert headers.parsed("via", int) == 3
    headers.set("To", "4")
    assert headers.get("t") == "4"


def test_a_parsed_value_is_read_once():
    calls = []
    headers = Headers([("CSeq", "1 INVITE")])
    assert headers.parsed("Expires", int) is None
    headers.append("Expires", "7")
    assert headers.parsed("Expires", int) == 7
    for _ in range(2):
        headers.parsed("CSeq", lambda value: calls.append(value) or value)
    assert calls == ["1 INVITE"]


def test_lists_are_split_over_lines_but_not_in_quotes_and_brackets():
    headers = Headers([("Contact", '"Bell, A" <sip:a,b@x>;q="1,2", <sip:c@x>'), ("m", "sip:d@x"), ("Contact", "")])
    assert headers.get_list("Contact") == ['"Bell, A" <sip:a,b@x>;q="1,2"', "<sip:c@x>", "sip:d@x"]
    assert split_list("a") == ["a"]


def test_a_comma_inside_an_open_list_ends_an_item():
    assert split_list("a , b;c,<d>") == ["a", "b;c", "<d>"]


@pytest.mark.parametrize("value", ["a,,b", ",", "a,", 'a,"b', "a,<b"])
def test_a_broken_list_is_refused(value):
    with pytest.raises(RemoteProtocolError):
        split_list(value)


def test_a_repeated_field_is_found():
    headers = Headers([("t", "1"), ("X", "1"), ("X", "2"), ("To", "2")])
    assert headers.find_repeated(frozenset({"to", "from"})) == "to"
    assert headers.find_repeated(frozenset({"from"})) is None
    assert Headers([("To", "1")]).find_repeated(frozenset({"to"})) is None
    assert repr(headers).startswith("Headers(")


def test_headers_are_equal_when_their_fields_are():
    assert Headers([("A", "1")]) == Headers([("A", "1")])
    assert Headers([("A", "1")]) != Headers([("a", "1")])
    assert Headers() != []


@given(st.text(alphabet='a,"<>\\ ;'))
def test_splitting_any_text_gives_items_or_a_refusal(text):
    try:
        items = split_list(text)
    except RemoteProtocolError:
        return
    assert "".join(items).replace(" ", "") == text.replace(",", "").replace(" ", "") or '"' in text or "<" in text

"""net/access.py: who may connect, judged by the fields of a request."""

import pytest
from sipcore.net.access import Access, is_loopback, offered_subprotocols, shown_tokens
from websockets.datastructures import Headers

TOKEN = "s3cret"


def fields(*pairs, host="127.0.0.1:8080"):
    headers = Headers()
    if host is not None:
        headers["Host"] = host
    for name, value in pairs:
        headers[name] = value
    return headers


def check(access, *pairs, target="/", host="127.0.0.1:8080"):
    refusal = access.check(target, fields(*pairs, host=host))
    return refusal.status if refusal else None


# --- tokens


@pytest.mark.parametrize(
    ("target", "pairs"),
    [
        ("/", [("Authorization", f"Bearer {TOKEN}")]),
        ("/", [("authorization", f"bearer  {TOKEN}")]),
        (f"/?v=2&token={TOKEN}", []),
        ("/?token=wrong&token=s3cret", []),
        ("/", [("Sec-WebSocket-Protocol", f"chat, bearer.{TOKEN}")]),
        ("/", [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", f"bearer.{TOKEN}")]),
        ("/", [("Authorization", "Basic eDp5"), ("Authorization", f"Bearer {TOKEN}")]),
    ],
)
def test_a_token_is_taken_in_each_of_its_three_forms(target, pairs):
    assert check(Access("0.0.0.0", TOKEN), *pairs, target=target) is None


@pytest.mark.parametrize(
    ("target", "pairs", "reason"),
    [
        ("/", [], "no token was shown"),
        ("/", [("Authorization", "Bearer")], "no token was shown"),
        ("/", [("Authorization", f"Basic {TOKEN}")], "no token was shown"),
        ("/", [("Authorization", f"Bearer {TOKEN}x")], "the token is wrong"),
        ("/", [("Authorization", "Bearer s3cre\xe9")], "the token is wrong"),
        ("/?token=", [], "no token was shown"),
        ("/?token=S3CRET", [], "the token is wrong"),
        (f"/{TOKEN}", [], "no token was shown"),
        ("/", [("Sec-WebSocket-Protocol", TOKEN)], "no token was shown"),
        ("/", [("Sec-WebSocket-Protocol", "bearer.")], "the token is wrong"),
    ],
)
def test_a_wrong_or_missing_token_is_refused_without_being_repeated(target, pairs, reason):
    refusal = Access("0.0.0.0", TOKEN).check(target, fields(*pairs))
    assert (refusal.status, refusal.reason) == (401, reason)


def test_a_token_beyond_ascii_can_be_shown_in_the_query():
    assert check(Access("0.0.0.0", "schlüssel"), target="/?token=schl%C3%BCssel") is None
    assert check(Access("0.0.0.0", "schlüssel"), target="/?token=schl%FCssel") == 401


def test_without_a_token_in_the_settings_none_is_asked_for():
    assert check(Access("127.0.0.1")) is None
    assert check(Access("127.0.0.1"), ("Authorization", "Bearer whatever")) is None


def test_all_that_a_request_shows_is_found():
    headers = fields(("Authorization", "Bearer a"), ("Sec-WebSocket-Protocol", "x, bearer.c,, bearer.d"))
    assert shown_tokens("/path?token=b", headers) == ["a", "b", "c", "d"]
    assert offered_subprotocols(headers) == ["x", "bearer.c", "bearer.d"]


# --- browsers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "https://desk.example.org.evil.example"])
def test_a_page_of_another_origin_is_refused_even_with_the_token(origin):
    access = Access("0.0.0.0", TOKEN, ["https://desk.example.org"])
    assert check(access, ("Origin", origin), target=f"/?token={TOKEN}") == 403


def test_a_page_that_is_allowed_connects_and_a_second_origin_besides_it_does_not():
    access = Access("127.0.0.1", origins=["https://desk.example.org"])
    assert check(access, ("Origin", "https://desk.example.org")) is None
    assert check(access, ("Origin", "https://desk.example.org"), ("Origin", "https://evil.example")) == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.9.9.9"]
)
def test_this_machine_is_asked_for_by_its_own_names(host):
    assert check(Access("127.0.0.1"), host=host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", None, "[", "[::1", "localhost@evil.example", "?"]
)
def test_a_foreign_name_bound_to_a_loopback_address_is_refused(host):
    assert check(Access("127.0.0.1"), host=host) == 403


def test_two_hosts_are_no_host():
    assert check(Access("127.0.0.1"), ("Host", "127.0.0.1")) == 403


def test_on_other_addresses_any_name_will_do():
    assert check(Access("0.0.0.0", TOKEN), target=f"/?token={TOKEN}", host="pbx.example.org") is None


def test_a_name_of_this_machine_that_is_listened_on_is_its_own():
    assert check(Access("LocalHost"), host="localhost:1") is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.3.2.1", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False), ("", False)],
)
def test_what_is_loopback(host, expected):
    assert is_loopback(host) is expected

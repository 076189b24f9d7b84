"""app/dial_plan.py: whom clients may have called, and how often."""

from contextlib import ExitStack

import pytest
from sipcore.app.dial_plan import DialPlan, DialSettings
from sipcore.errors import CallFailedError

SERVER = "pbx.example.org"


def target(phone, *allow, server=SERVER):
    return str(DialPlan(DialSettings(allow=allow, server=server, port=5070)).target(phone))


def refusal(phone, *allow, server=SERVER):
    with pytest.raises(CallFailedError) as caught:
        target(phone, *allow, server=server)
    return caught.value.status


# --- numbers


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("+4930123456", "+4930123456"),
        (" 030 123-456 ", "030123456"),
        ("+49 (30) 12.34-56", "+4930123456"),
        ("(030) 123456", "030123456"),
        ("+(49)30", "+4930"),
        ("*21*030#", "*21*030%23"),
        ("alice", "alice"),
        ("1" * 64, "1" * 64),
    ],
)
def test_a_number_is_dialled_at_the_server_without_what_is_there_for_the_eye(written, dialled):
    assert target(written, "*") == f"sip:{dialled}@{SERVER}:5070"


@pytest.mark.parametrize(
    "phone",
    [
        "",
        " ",
        "+",
        "++49",
        "1" * 65,
        "x" * 4000,
        "030/123",
        "1;phone-context=evil",
        "1@evil.example",
        "1?Route=evil",
        "1%2B",
        "1\r\nRoute: x",
        "1 a",
        "\u0661\u0662\u0663",  # Arabic digits
        "\uff11\uff12",  # wide ones
        "1\u00a02",
        "<1>",
    ],
)
def test_what_is_no_number_is_not_found(phone):
    assert refusal(phone, "*", "sip:*") == 404


def test_numbers_need_a_server():
    assert refusal("1", "*", server=None) == 503
    assert target("sip:a@10.0.0.5", "sip:*", server=None) == "sip:a@10.0.0.5"


# --- what is allowed


@pytest.mark.parametrize("phone", ["1", "+491", "sip:a@10.0.0.5", f"sip:1@{SERVER}"])
def test_an_empty_list_lets_nothing_through_and_says_so(phone):
    with pytest.raises(CallFailedError, match="403 Forbidden \\(CALL_ALLOW is empty\\)"):
        target(phone)


@pytest.mark.parametrize(
    ("phone", "pattern", "allowed"),
    [
        ("+4930", "+49*", True),
        ("+49 (30)", "+49*", True),
        ("+4830", "+49*", False),
        ("0049", "+49*", False),
        ("123", "1??", True),
        ("1234", "1??", False),
        ("*21*1#", "[0-9]*", False),
        ("ALICE", "alice", False),
        ("sip:a@10.0.0.5", "*", False),
        ("sip:a@10.0.0.5", "*a*", False),
        ("1", "sip:*", False),
        ("sip:a@10.0.0.5", "sip:*@10.0.0.5", True),
        ("SIP:a@10.0.0.5", "sip:*@10.0.0.5", True),
        ("sip:a@PBX.example.org", "sip:*@pbx.example.org", True),
        ("sip:a@10.0.0.50", "sip:*@10.0.0.5", False),
        ("sip:a@10.0.0.5:5080", "sip:*@10.0.0.5", False),
        ("sip:a@10.0.0.5:5080", "sip:*@10.0.0.5:*", True),
        ("sip:10.0.0.5@evil.example", "sip:*@10.0.0.5", False),
        ("sip:a%4010.0.0.5@evil.example", "sip:*@10.0.0.5*", False),
        ("sip:1%2A1@gw", "sip:1????@gw", False),
        ("sip:%2B49@gw", "sip:+49*@gw", False),
        ("sip:%2B49@gw", "sip:[!+]*@gw", False),
        ("sip:%2B49@gw", "sip:*@gw", True),
        ("sip:gw", "sip:gw", True),
        ("sip:a@[::1]:5060", "sip:a@*", True),
    ],
)
def test_a_pattern_lets_through_what_it_means_and_nothing_more(phone, pattern, allowed):
    if allowed:
        target(phone, "nothing", pattern)
    else:
        assert refusal(phone, "nothing", pattern) == 403


@pytest.mark.parametrize(
    "phone",
    [
        "tel:+4930",
        "sips:a@10.0.0.5",
        "mailto:a@10.0.0.5",
        "sip:",
        "sip:@10.0.0.5",
        "sip:a@",
        "sip:a@10.0.0.5;transport=tcp",
        "sip:a@10.0.0.5;maddr=10.6.6.6",
        "sip:a@10.0.0.5?Route=%3Csip:evil%3E",
        "sip:a;phone-context=evil@10.0.0.5",
        "sip:a:secret@10.0.0.5",
        "sip:a@10.0.0.5@evil.example",
        "sip:a@10.0.0.5:99999",
        "sip:a b@10.0.0.5",
        "sip:<a>@10.0.0.5",
        "sip:b\u00fc@10.0.0.5",
        f"sip:{'a' * 129}@10.0.0.5",
    ],
)
def test_of_a_uri_user_host_and_port_alone_are_taken(phone):
    assert refusal(phone, "*", "sip*", "tel:*", "mailto:*") == 404


# --- limits


def test_at_most_so_many_calls_at_once_and_one_that_is_over_counts_no_more():
    plan = DialPlan(DialSettings(max_calls=2, calls_per_second=100))
    with plan.admitted(0.0):
        with (
            plan.admitted(0.0),
            pytest.raises(CallFailedError, match=r"^503 .*outgoing\.max_calls are up"),
            plan.admitted(0.0),
        ):
            pass
        with plan.admitted(0.0):
            pass


def test_at_most_so_many_calls_a_second():
    plan = DialPlan(DialSettings(max_calls=100, calls_per_second=3))
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(plan.admitted(10.0))
    with (
        pytest.raises(CallFailedError, match=r"^503 .*outgoing\.calls_per_second are reached"),
        plan.admitted(10.9),
    ):
        pass
    with plan.admitted(11.0):
        pass


def test_no_calls_at_all_can_be_wanted():
    plan = DialPlan(DialSettings(max_calls=0))
    with pytest.raises(CallFailedError, match="max_calls"), plan.admitted(0.0):
        pass


def test_a_call_that_fails_counts_no_more():
    plan = DialPlan(DialSettings(max_calls=1, calls_per_second=100))
    for _ in range(3):
        with pytest.raises(RuntimeError), plan.admitted(0.0):
            raise RuntimeError

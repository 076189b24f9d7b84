"""Who owns a call: offers, answers, lost owners, and how calls end."""

import pytest
from sipcore.control.actions import Accept, Decline, Dial, End, Silence

INFO = 'CALL_INFO:in##{"direction":"incoming","phone":"alice","state":"%s","owner":%s}'
NEVER = float("inf")


# --- incoming calls


def test_a_call_rings_at_every_client_and_version_2_knows_all_about_it_before(desk):
    old, new = desk.connect(1), desk.connect(2)
    desk.call()

    assert desk.everything(old) == ["RING_ANS:alice##in"]
    assert desk.everything(new) == [INFO % ("ringing", "null"), "RING_ANS:alice##in"]
    assert desk.done() == []


def test_a_caller_with_a_wild_name_rings_with_two_fields(desk):
    client = desk.connect(1)
    desk.call(phone="a##b\r\nBYE:in")

    assert desk.heard(client) == ["RING_ANS:a%23%23b%0D%0ABYE:in##in"]


def test_a_client_that_comes_later_is_offered_what_waits_and_nothing_else(desk):
    first = desk.connect()
    desk.answered_call(first, "taken")
    desk.call("waits")
    late = desk.connect(1)

    assert desk.everything(late) == ["RING_ANS:alice##waits"]


def test_the_first_that_answers_owns_the_call_and_the_others_hear_that_it_is_not_theirs(desk):
    first, second, third = desk.connect(1), desk.connect(2), desk.connect(1)
    desk.call()
    desk.forget()
    desk.say(second, "CALL_ANS:in")
    desk.say(first, "CALL_ANS:in")

    assert desk.done() == [Accept("in")]
    assert desk.heard(first) == ["CALL_IGNORE:in", "ERROR:409 call in is another client's"]
    assert desk.heard(third) == ["CALL_IGNORE:in"]
    assert desk.everything(second) == [INFO % ("answering", second)]
    desk.hub.answered("in")
    assert desk.everything(second) == ["CALL_ANS:in", INFO % ("answered", second)]
    assert desk.everything(first) == desk.everything(third) == []
    assert desk.hub.owner("in") == second and desk.hub.is_answered("in")


def test_a_call_that_everybody_ignores_is_declined_once(desk):
    first, second = desk.connect(1), desk.connect(2)
    desk.call()
    desk.forget()
    desk.say(first, "CALL_IGNORE:in")
    assert desk.done() == []
    desk.say(second, "BYE:in")

    assert desk.done() == [Decline("in", 480)]
    assert desk.hub.next_timeout() == NEVER
    desk.say(second, "HANGUP:in", "CALL_IGNORE:in", "CALL_ANS:in")
    assert desk.done() == []
    assert desk.heard(first) == ["CALL_IGNORE:in"]
    assert desk.heard(second) == [
        "CALL_IGNORE:in",
        "ERROR:409 call in is not offered##in",
        "ERROR:409 call in is not offered##in",
        "ERROR:409 call in is ending##in",
    ]
    desk.hub.ended("in")
    assert desk.heard(first) == desk.heard(second) == []


def test_a_call_that_is_declined_is_offered_to_nobody_else(desk):
    client = desk.connect()
    desk.call()
    desk.say(client, "CALL_IGNORE:in")
    late = desk.connect()

    assert desk.everything(late) == []


def test_who_ignored_a_call_may_still_take_it_while_it_rings_at_others(desk):
    first, second = desk.connect(1), desk.connect(1)
    desk.call()
    desk.say(first, "CALL_IGNORE:in", "CALL_ANS:in")
    desk.hub.answered("in")

    assert desk.heard(first) == ["RING_ANS:alice##in", "CALL_IGNORE:in", "CALL_ANS:in"]
    assert desk.heard(second) == ["RING_ANS:alice##in", "CALL_IGNORE:in"]


def test_a_call_that_is_left_by_the_only_client_that_wanted_it_is_declined(desk):
    first, second = desk.connect(), desk.connect()
    desk.call()
    desk.say(first, "CALL_IGNORE:in")
    desk.disconnect(second)

    assert desk.done() == [Decline("in", 480)]


def test_a_call_rings_on_when_nobody_is_there_and_at_who_comes_then(desk):
    first = desk.connect()
    desk.call()
    desk.disconnect(first)
    assert desk.done() == []
    second = desk.connect(1)

    assert desk.heard(second) == ["RING_ANS:alice##in"]


def test_a_call_that_nobody_answers_is_declined_when_the_time_is_over(desk):
    client = desk.connect(1)
    desk.call()
    desk.wait(59.9)
    assert desk.done() == []
    desk.wait(0.1)

    assert desk.done() == [Decline("in", 480)]
    desk.wait(1000)
    assert desk.done() == []
    desk.hub.ended("in")
    assert desk.heard(client) == ["RING_ANS:alice##in", "BYE:in"]


def test_a_caller_that_gives_up_is_heard_by_those_whom_it_rings_at(desk):
    first, second = desk.connect(1), desk.connect(1)
    desk.call()
    desk.say(first, "CALL_IGNORE:in")
    desk.hub.ended("in")

    assert desk.heard(first) == ["RING_ANS:alice##in", "CALL_IGNORE:in"]
    assert desk.heard(second) == ["RING_ANS:alice##in", "BYE:in"]
    assert desk.hub.next_timeout() == NEVER


def test_a_new_call_with_the_id_of_another_ends_the_other_for_everybody(desk):
    client = desk.connect(1)
    desk.answered_call(client)
    desk.call(phone="bob")

    assert desk.heard(client) == ["BYE:in", "RING_ANS:bob##in"]


# --- the end


@pytest.mark.parametrize("word", ["BYE", "HANGUP"])
def test_the_owner_hangs_up(desk, word):
    first, second = desk.connect(1), desk.connect(1)
    desk.answered_call(first)
    desk.say(first, f"{word}:in")

    assert desk.done() == [End("in", "")]
    desk.hub.ended("in")
    assert desk.heard(first) == ["BYE:in"]
    assert desk.heard(second) == []


def test_a_call_that_the_far_end_hangs_up_is_over_for_its_owner_and_unknown_then(desk):
    client = desk.connect(1)
    desk.answered_call(client)
    desk.hub.ended("in")
    desk.say(client, "BYE:in")

    assert desk.heard(client) == ["BYE:in", "ERROR:404 there is no call in"]
    assert desk.done() == []


def test_a_call_that_is_hung_up_before_it_is_up_ends_when_it_is(desk):
    client = desk.connect()
    desk.call()
    desk.say(client, "CALL_ANS:in", "BYE:in")
    assert desk.done() == [Accept("in"), End("in", "")]
    desk.forget()
    desk.hub.answered("in")

    assert desk.done() == [End("in", "it was to end before it was answered")]
    assert desk.everything(client) == []
    desk.hub.ended("in")
    assert desk.heard(client) == ["BYE:in"]


# --- owners that are lost


def test_a_call_without_its_owner_falls_silent_and_is_offered_again(desk):
    first, second, old = desk.connect(1), desk.connect(2), desk.connect(1)
    desk.answered_call(first)
    desk.disconnect(first)

    assert desk.done() == [Silence("in")]
    assert desk.everything(second) == [INFO % ("answered", "null"), "RING_ANS:alice##in"]
    assert desk.everything(old) == ["RING_ANS:alice##in"]
    desk.say(old, "CALL_ANS:in")
    assert desk.heard(old) == ["CALL_ANS:in"]
    assert desk.heard(second) == ["CALL_IGNORE:in"]
    assert desk.done() == []
    assert desk.hub.next_timeout() == NEVER


def test_a_call_that_nobody_takes_over_ends_when_the_time_is_over(desk):
    first, second = desk.connect(), desk.connect(1)
    desk.answered_call(first)
    desk.disconnect(first)
    desk.say(second, "CALL_IGNORE:in")
    desk.forget()
    desk.wait(29.9)
    assert desk.done() == []
    desk.wait(0.1)

    assert desk.done() == [End("in", "nobody takes the call over")]
    desk.say(second, "CALL_ANS:in")
    assert desk.connect() and desk.hub.owner("in") is None
    desk.hub.ended("in")
    assert desk.heard(second) == ["ERROR:409 call in is ending"]


def test_who_comes_back_in_time_gets_its_call_again(desk):
    first = desk.connect()
    desk.answered_call(first)
    desk.disconnect(first)
    again = desk.connect()
    desk.say(again, "CALL_ANS:in", "CALL_ANS:in")

    assert desk.heard(again) == ["RING_ANS:alice##in", "CALL_ANS:in", "CALL_ANS:in"]
    desk.wait(1000)
    assert desk.done() == [Silence("in")]


def test_a_call_whose_owner_is_lost_before_it_is_up_is_the_next_ones_when_it_is(desk):
    first, second, third = desk.connect(1), desk.connect(1), desk.connect(1)
    desk.call()
    desk.say(first, "CALL_ANS:in")
    desk.forget()
    desk.disconnect(first)
    assert desk.heard(second) == desk.heard(third) == ["RING_ANS:alice##in"]
    desk.say(second, "CALL_ANS:in", f"RTP:in##{'A' * 8}")

    assert desk.heard(second) == ["ERROR:409 call in is not answered"]
    assert desk.heard(third) == ["CALL_IGNORE:in"]
    desk.hub.answered("in")
    assert desk.heard(second) == ["CALL_ANS:in"]
    assert desk.heard(third) == []
    assert desk.done() == [Silence("in")]


def test_a_call_that_comes_up_while_it_has_no_owner_is_still_offered(desk):
    first, second = desk.connect(), desk.connect(1)
    desk.call()
    desk.say(first, "CALL_ANS:in")
    desk.disconnect(first)
    desk.forget()
    desk.hub.answered("in")
    assert desk.heard(second) == []
    assert desk.hub.next_timeout() == 30.0
    desk.say(second, "CALL_ANS:in")

    assert desk.heard(second) == ["CALL_ANS:in"]


def test_a_call_whose_owner_hung_up_and_left_is_not_offered_again(desk):
    first, second = desk.connect(), desk.connect()
    desk.answered_call(first)
    desk.say(first, "BYE:in")
    desk.disconnect(first)

    assert desk.everything(second) == []
    assert desk.done() == [End("in", "")]


# --- outgoing calls


def test_a_client_of_version_1_calls_as_the_original_shows(desk):
    client = desk.connect(1)
    desk.say(client, "CALL:1234567890")
    assert desk.done() == [Dial("out-1", client, "1234567890")]
    desk.hub.rings("out-1")
    desk.hub.rings("out-1")
    desk.hub.answered("out-1")
    desk.hub.rings("out-1")
    desk.say(client, "BYE:out-1")
    desk.hub.ended("out-1")

    assert desk.everything(client) == ["RING_ANS:1234567890", "CALL_ANS:out-1", "BYE:out-1"]


def test_a_client_of_version_2_learns_the_id_at_once(desk):
    client, other = desk.connect(2), desk.connect(2)
    desk.say(client, "CALL:sip:bob@192.0.2.1")
    desk.hub.rings("out-1")

    data = f'{{"direction":"outgoing","phone":"sip:bob@192.0.2.1","state":"dialling","owner":{client}}}'
    info = f"CALL_INFO:out-1##{data}"
    assert desk.everything(client) == [
        "CALLING:sip:bob@192.0.2.1##out-1",
        info,
        "RING_ANS:sip:bob@192.0.2.1##out-1",
    ]
    assert desk.everything(other) == [info]


@pytest.mark.parametrize(
    ("version", "heard"), [(1, "CALL_FAILED:486 Busy Here"), (2, "CALL_FAILED:486 Busy Here##out-1")]
)
def test_a_call_that_fails_is_told_with_its_status(desk, version, heard):
    client, follower, listener = desk.connect(version), desk.connect(), desk.connect()
    desk.say(client, "CALL:1")
    desk.say(follower, "SUBSCRIBE:out-1")
    desk.say(listener, "LISTEN:out-1")
    desk.forget()
    desk.hub.failed("out-1", 486, "Busy Here")
    desk.hub.failed("out-1", 486, "Busy Here")

    assert desk.everything(client) == [heard]
    assert desk.everything(follower) == desk.everything(listener) == ["BYE:out-1"]


def test_a_call_whose_client_is_gone_before_the_answer_is_given_up(desk):
    client, other = desk.connect(), desk.connect()
    desk.say(client, "CALL:1")
    desk.forget()
    desk.disconnect(client)
    desk.hub.rings("out-1")
    desk.say(other, "CALL_ANS:out-1")

    assert desk.done() == [End("out-1", "the client that called is gone")]
    assert desk.heard(other) == ["ERROR:409 call out-1 is ending##out-1"]
    desk.hub.answered("out-1")
    assert desk.done() == [End("out-1", "it was to end before it was answered")]
    desk.hub.failed("out-1", 487, "Request Terminated")
    assert desk.everything(other) == []


def test_an_outgoing_call_is_offered_too_when_its_owner_is_lost_later(desk):
    client, other = desk.connect(1), desk.connect(1)
    desk.say(client, "CALL:1")
    desk.hub.answered("out-1")
    desk.disconnect(client)

    assert desk.heard(other) == ["RING_ANS:1##out-1"]


# --- what is not there


def test_what_happens_on_a_call_that_is_over_is_told_to_nobody(desk):
    client = desk.connect()
    hub = desk.hub
    hub.answered("x")
    hub.ended("x")
    hub.failed("x", 486, "Busy Here")
    hub.rings("x")
    hub.describe("x", playing="a.wav")
    hub.digit("x", "1")
    hub.transferred("x", 200, "OK")

    assert desk.everything(client) == desk.done() == []
    assert (hub.owner("x"), hub.is_answered("x"), list(hub.hearers("x"))) == (None, False, [])
    assert hub.next_timeout() == NEVER


def test_a_client_that_is_gone_is_neither_heard_nor_told(desk):
    client = desk.connect()
    desk.disconnect(client)
    desk.say(client, "CALL:1", "nonsense")
    desk.disconnect(client)
    desk.hub.refuse(client, 429, "read faster")

    assert desk.done() == desk.everything(client) == []
    assert desk.hub.clients == 0

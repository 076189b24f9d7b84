"""What clients may ask for on a call, who hears it, and what is refused."""

import pytest
from sipcore.control import commands
from sipcore.control.actions import Perform
from sipcore.control.events import Cleared

AUDIO = "AAEC"
OWNERS = [
    ("RTP:in##AAEC", commands.PlayAudio("in", b"\0\1\2")),
    ("DTMF:in##12", commands.SendDigits("in", "12")),
    ("CLEAR:in", commands.Clear("in")),
    ("MARK:in##1", commands.Mark("in", "1")),
    ("PLAY:in##hello.wav", commands.PlayFile("in", "hello.wav")),
    ("HOLD:in", commands.Hold("in")),
    ("RESUME:in", commands.Resume("in")),
    ("TRANSFER:in##100", commands.Transfer("in", "100")),
    ("PART:in", commands.Part("in")),
    ("WHISPER:in##AAEC", commands.Whisper("in", b"\0\1\2")),
]


@pytest.mark.parametrize(("message", "command"), OWNERS)
def test_the_owner_alone_steers_its_call(desk, message, command):
    owner, other = desk.connect(), desk.connect()
    desk.answered_call(owner)
    desk.say(other, message)
    assert desk.heard(other) == ["ERROR:409 call in is another client's##in"]
    assert desk.done() == []
    desk.say(owner, message)

    assert desk.done() == [Perform("in", owner, command)]
    assert desk.heard(owner) == []


@pytest.mark.parametrize("message", [message for message, _ in OWNERS])
def test_a_call_is_steered_only_when_it_is_answered(desk, message):
    client = desk.connect()
    desk.call()
    desk.say(client, message)
    desk.say(client, "CALL_ANS:in", message)

    assert [type(output).__name__ for output in desk.done()] == ["Accept"]
    assert desk.heard(client)[1:] == [
        "ERROR:409 call in is nobody's yet: answer it first##in",
        "ERROR:409 call in is not answered##in",
    ]


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("", "ERROR:400 NAME:payload was expected"),
        ("CALL:", "ERROR:400 CALL: phone: text was expected"),
        ("BYE:nope", "ERROR:404 there is no call nope##nope"),
        ("SUBSCRIBE:nope", "ERROR:404 there is no call nope##nope"),
        ("RTP:in##?", "ERROR:400 RTP: audio: base64 was expected##in"),
        ("TRANSFER:in##", "ERROR:400 TRANSFER: target: text was expected##in"),
        ("JOIN:in##nope", "ERROR:404 there is no call nope##in"),
    ],
)
def test_what_is_wrong_is_told_with_the_call_that_the_message_is_about(desk, message, refusal):
    client = desk.connect()
    desk.answered_call(client)
    desk.say(client, message)

    assert desk.everything(client) == [refusal]
    assert desk.done() == []


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("DTMF:in##1", "ERROR:501 DTMF is not known here (connect with ?v=2 for it)"),
        ("RTP:in##?", "ERROR:400 RTP: audio: base64 was expected"),
        ("BYE:nope", "ERROR:404 there is no call nope"),
    ],
)
def test_a_client_of_version_1_is_refused_without_further_fields(desk, message, refusal):
    client = desk.connect(1)
    desk.answered_call(client)
    desk.say(client, message)

    assert desk.everything(client) == [refusal]


def test_the_driver_refuses_with_the_call_for_version_2_alone(desk):
    old, new = desk.connect(1), desk.connect(2)
    for client in (old, new):
        desk.hub.refuse(client, 429, "too much waits", "in")

    assert desk.heard(old) == ["ERROR:429 too much waits"]
    assert desk.heard(new) == ["ERROR:429 too much waits##in"]


# --- two calls


def test_a_client_joins_two_calls_that_are_its_own(desk):
    client = desk.connect()
    desk.answered_call(client, "a")
    desk.answered_call(client, "b")
    desk.say(client, "JOIN:a##b")

    assert desk.done() == [Perform("a", client, commands.Join("a", "b"))]


def test_calls_of_others_and_calls_that_are_not_up_are_not_joined(desk):
    client, other = desk.connect(), desk.connect()
    desk.answered_call(client, "a")
    desk.answered_call(other, "b")
    desk.call("c")
    desk.say(client, "CALL_ANS:c")
    desk.forget()
    desk.say(client, "JOIN:a##b", "JOIN:b##a", "JOIN:a##c", "JOIN:c##a")

    assert desk.done() == []
    assert desk.heard(client) == [
        "ERROR:409 call b is another client's##a",
        "ERROR:409 call b is another client's##b",
        "ERROR:409 call c is not answered##a",
        "ERROR:409 call c is not answered##c",
    ]


# --- listening


def test_a_call_is_heard_by_its_owner_and_by_who_listens(desk):
    owner, listener = desk.connect(1), desk.connect(2)
    desk.answered_call(owner)
    desk.say(listener, "LISTEN:in")

    assert [info["owner"] for info in desk.infos(listener)] == [owner]
    assert set(desk.hub.hearers("in")) == {owner, listener}
    desk.say(listener, "PART:in")
    assert set(desk.hub.hearers("in")) == {owner}
    assert desk.heard(listener) == desk.done() == []


def test_a_listener_is_told_of_the_end_and_a_lost_one_is_forgotten(desk):
    owner, listener, lost = desk.connect(), desk.connect(), desk.connect()
    desk.answered_call(owner)
    desk.say(listener, "LISTEN:in")
    desk.say(lost, "LISTEN:in")
    desk.disconnect(lost)
    assert set(desk.hub.hearers("in")) == {owner, listener}
    desk.forget()
    desk.hub.ended("in")

    assert desk.heard(listener) == ["BYE:in"]
    assert list(desk.hub.hearers("in")) == []


def test_a_listener_may_whisper_once_the_call_is_answered(desk):
    owner, listener = desk.connect(), desk.connect()
    desk.call()
    desk.say(listener, "LISTEN:in", f"WHISPER:in##{AUDIO}")
    assert desk.heard(listener)[1:] == ["ERROR:409 call in is not answered##in"]
    desk.say(owner, "CALL_ANS:in")
    desk.hub.answered("in")
    desk.forget()
    desk.say(listener, f"WHISPER:in##{AUDIO}")

    assert desk.done() == [Perform("in", listener, commands.Whisper("in", b"\0\1\2"))]


def test_early_media_reaches_who_knows_the_id_of_the_call(desk):
    old, new = desk.connect(1), desk.connect(2)
    desk.say(old, "CALL:1")
    desk.say(new, "CALL:2")

    assert list(desk.hub.hearers("out-1")) == []
    assert list(desk.hub.hearers("out-2")) == [new]
    desk.hub.answered("out-1")
    assert list(desk.hub.hearers("out-1")) == [old]


def test_an_owner_that_listens_too_hears_its_call_once(desk):
    owner = desk.connect()
    desk.answered_call(owner)
    desk.say(owner, "LISTEN:in")

    assert list(desk.hub.hearers("in")) == [owner]


# --- following


def test_a_follower_of_one_call_gets_its_snapshot_and_what_happens_on_it(desk):
    owner, follower = desk.connect(), desk.connect()
    desk.answered_call(owner, "a")
    desk.answered_call(owner, "b")
    desk.say(follower, "SUBSCRIBE:a")
    assert [info["state"] for info in desk.infos(follower)] == ["answered"]
    for call_id in ("a", "b"):
        desk.hub.digit(call_id, "#")
        desk.hub.transferred(call_id, 202, "Accepted")
        desk.say(owner, f'TRANSCRIPT:{call_id}##{{"text":"hi"}}', f'TURN:{call_id}##{{"said":"hi"}}')
        desk.hub.ended(call_id)

    assert desk.everything(follower) == [
        "DTMF:a###",
        "TRANSFER:a##202 Accepted",
        'TRANSCRIPT:a##{"text":"hi"}',
        'TURN:a##{"said":"hi"}',
        "BYE:a",
    ]
    assert desk.everything(owner) == [
        "DTMF:a###",
        "TRANSFER:a##202 Accepted",
        "BYE:a",
        "DTMF:b###",
        "TRANSFER:b##202 Accepted",
        "BYE:b",
    ]


@pytest.mark.parametrize("end", ["ended", "failed"])
def test_following_a_call_ends_with_the_call(desk, end):
    follower = desk.connect()
    desk.call()
    desk.say(follower, "CALL_IGNORE:in", "SUBSCRIBE:in")
    desk.hub.ended("in") if end == "ended" else desk.hub.failed("in", 486, "Busy Here")
    assert desk.heard(follower)[-1] == "BYE:in"
    desk.hub.adopt("in", "bob", {})
    desk.forget()
    desk.hub.ended("in")

    assert desk.everything(follower) == []


def test_a_follower_of_all_calls_gets_those_that_are_there_and_those_that_come(desk):
    owner, follower = desk.connect(), desk.connect()
    desk.answered_call(owner, "a")
    desk.say(follower, "SUBSCRIBE:*")
    assert len(desk.infos(follower)) == 1
    desk.say(owner, "CALL:1")
    desk.hub.answered("out-1")
    desk.hub.digit("out-1", "1")
    desk.hub.ended("out-1")

    assert desk.heard(follower) == ["DTMF:out-1##1", "BYE:out-1"]


def test_an_owner_that_follows_its_call_is_told_once(desk):
    owner = desk.connect()
    desk.answered_call(owner)
    desk.say(owner, "SUBSCRIBE:in", "SUBSCRIBE:*")
    desk.forget()
    desk.hub.digit("in", "1")
    desk.say(owner, 'TURN:in##{"said":"hi"}')
    desk.hub.ended("in")

    assert desk.everything(owner) == ["DTMF:in##1", "BYE:in"]


def test_an_owner_of_version_1_hears_nothing_that_it_does_not_know(desk):
    owner = desk.connect(1)
    desk.answered_call(owner)
    desk.hub.digit("in", "1")
    desk.hub.describe("in", playing="a.wav")
    desk.hub.transferred("in", 200, "OK")

    assert desk.everything(owner) == []


def test_what_changes_on_a_call_is_told_with_all_about_it(desk):
    owner, follower, other = desk.connect(), desk.connect(), desk.connect()
    desk.say(follower, "SUBSCRIBE:*")
    desk.call(caller="sip:alice@a", state="hacked")
    desk.say(owner, "CALL_ANS:in")
    desk.hub.answered("in")
    desk.forget()
    desk.hub.describe("in", playing="a.wav", headers={"User-Agent": "x"})
    info = {
        "direction": "incoming",
        "phone": "alice",
        "state": "answered",
        "owner": owner,
        "caller": "sip:alice@a",
        "playing": "a.wav",
        "headers": {"User-Agent": "x"},
    }

    assert desk.infos(owner) == [info]
    assert desk.infos(follower) == [info]
    assert desk.infos(other) == []


def test_a_far_end_that_sends_endless_headers_cannot_break_call_info(desk):
    client = desk.connect()
    endless = "\x01" * 60_000
    headers = {"User-Agent": endless, "P-Asserted-Identity": endless, "Diversion": endless}
    desk.call(phone=endless, caller=endless, callee=endless, headers=headers, on_hold=False)

    (info,) = desk.infos(client)
    assert info["headers"]["User-Agent"] == endless[:256]
    assert info["on_hold"] is False


# --- conversations


def test_what_is_to_be_said_goes_to_the_client_that_holds_the_conversation(desk):
    owner, other = desk.connect(), desk.connect()
    desk.answered_call(owner)
    desk.say(other, "SAY:in##hello")

    assert desk.heard(owner) == ["SAY:in##hello"]
    assert desk.heard(other) == desk.done() == []


@pytest.mark.parametrize("version", [1, 2])
def test_nothing_can_be_said_where_nobody_else_holds_a_conversation(desk, version):
    owner, other = desk.connect(version), desk.connect()
    desk.answered_call(owner)
    desk.call("waits")
    desk.forget()
    speaker = other if version == 1 else owner
    desk.say(speaker, "SAY:in##hello", "SAY:waits##hello")

    assert desk.heard(speaker) == [
        "ERROR:409 nobody else holds a conversation on call in##in",
        "ERROR:409 nobody else holds a conversation on call waits##waits",
    ]


def test_the_programs_own_conversation_is_followed_but_not_steered(desk):
    old, client, follower = desk.connect(1), desk.connect(), desk.connect()
    desk.say(follower, "SUBSCRIBE:*")
    desk.hub.adopt("in", "alice", {"assistant": "Sam"})
    assert desk.everything(old) == []
    assert [info["assistant"] for info in desk.infos(client)] == ["Sam"]
    desk.forget()
    desk.hub.transcribed("in", {"text": "hi"})
    desk.hub.turn_finished("in", {"said": "hi"})
    desk.say(client, "SAY:in##hello", "CALL_ANS:in", "BYE:in", 'TURN:in##{"said":"x"}')
    desk.hub.ended("in")

    assert desk.done() == [Perform("in", client, commands.Say("in", "hello"))]
    assert desk.everything(follower) == ['TRANSCRIPT:in##{"text":"hi"}', 'TURN:in##{"said":"hi"}', "BYE:in"]
    assert desk.everything(client) == ["ERROR:409 call in is another client's##in"] * 3
    assert desk.everything(old) == []
    assert list(desk.hub.hearers("in")) == []


def test_the_answer_to_a_command_reaches_the_client_that_still_owns_the_call(desk):
    first, second = desk.connect(), desk.connect()
    desk.answered_call(first)
    desk.hub.tell_owner("in", first, Cleared("in", 20))
    desk.hub.tell_owner("in", second, Cleared("in", 20))

    assert desk.everything(first) == ["CLEARED:in##20"]
    assert desk.everything(second) == []

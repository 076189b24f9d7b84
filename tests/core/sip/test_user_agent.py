"""sip/user_agent.py: two agents on bad wires, the torture messages, and what no agent may do."""

import contextlib
import csv
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sipcore.errors import LocalProtocolError
from sipcore.sip.events import InvitationReceived, MessageRefused, SessionAnswered, SessionConfirmed, SessionEnded
from sipcore.sip.message import Response
from sipcore.sip.parser import parse_message
from sipcore.sip.timers import TimerValues
from sipcore.sip.uri import Uri
from sipcore.sip.user_agent import REFUSALS_A_SECOND, UserAgent, UserAgentSettings
from sipcore.testing.wire import Weather, Wire

VECTORS = Path(__file__).parents[2] / "vectors"
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


def torture():
    for name in ("rfc4475", "rfc5118"):
        with (VECTORS / name / "index.tsv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                yield VECTORS / name / (row["file"].removesuffix(".dat") + ".dat"), row["uas_status"].split(",")


@pytest.mark.parametrize(("path", "demanded"), list(torture()), ids=lambda value: getattr(value, "stem", ""))
def test_torture_messages_get_the_status_that_the_rfc_demands(path, demanded):
    agent = UserAgent(UserAgentSettings(BOB))
    agent.receive_datagram(path.read_bytes(), ALICE, 0.0)
    while (event := agent.next_event()) is not None:
        if isinstance(event, InvitationReceived):
            agent.answer(event.session, b"v=0\r\n", 0.0)
    answers = [parse_message(datagram.data) for datagram in agent.datagrams_to_send()]
    final = [str(answer.status) for answer in answers if answer.status >= 200]
    if "any" not in demanded:
        assert final == [] if demanded[0].startswith("drop") else final[0] in demanded
    assert len(final) <= 1


def test_extensions_that_nobody_supports_are_named():
    agent = UserAgent(UserAgentSettings(BOB))
    agent.receive_datagram((VECTORS / "rfc4475/bext01.dat").read_bytes(), ALICE, 0.0)
    answer = parse_message(agent.datagrams_to_send()[0].data)
    assert answer.headers.get("Unsupported") == "nothingSupportsThis, nothingSupportsThisEither"


def test_line_ends_alone_keep_a_nat_open_and_are_dropped(pair):
    assert pair.feed_bob(b"\r\n\r\n") == pair.feed_bob(b"\0\0") == pair.feed_bob(b"") == []
    assert pair.bob.next_event() is None


def test_options_tells_what_we_can(pair, message):
    (ok,) = pair.feed_bob(message("OPTIONS", Accept="text/plain"))
    assert (ok.status, ok.headers.get("Accept")) == (200, "application/sdp")
    assert "UPDATE" in ok.headers.get("Allow")
    assert ok.headers.get("Server") == "sipcore/0.1.0"
    assert ok.to.tag


def test_answers_are_sent_as_rfc_3581_says(pair, message):
    data = message("OPTIONS", Via="SIP/2.0/UDP 10.0.0.1:5062;rport;branch=z9hG4bKx, SIP/2.0/UDP far")
    pair.bob.receive_datagram(data, ("192.0.2.77", 4711), 0.0)
    (datagram,) = pair.bob.datagrams_to_send()
    assert datagram.destination == ("192.0.2.77", 4711)
    via = parse_message(datagram.data).headers.get_list("Via")
    assert via == ["SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bKx;rport=4711;received=192.0.2.77", "SIP/2.0/UDP far"]


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS"])
def test_strangers_in_no_dialog_get_481(pair, message, method):
    (gone,) = pair.feed_bob(message(method, to_tag="nobody"))
    assert (gone.status, gone.to.tag) == (481, "nobody")
    assert pair.bob.next_event() == MessageRefused(ALICE, 481, f"{method} in no dialog of ours")


def test_a_bye_outside_a_dialog_gets_481(pair, message):
    assert pair.feed_bob(message("BYE"))[0].status == 481


def test_a_request_that_came_by_two_ways_gets_482(pair, message):
    pair.bob_answers = False
    assert pair.feed_bob(message(body=b"v=0\r\n"))[0].status == 100
    assert pair.feed_bob(message(body=b"v=0\r\n", branch="z9hG4bKtwo"))[0].status == 482
    assert pair.bob.active_sessions == 1


def test_a_refused_invite_is_repeated_until_its_ack(pair, message):
    (refused,) = pair.feed_bob(message(Require="nothing"))
    assert refused.headers.get("Unsupported") == "nothing"
    pair.bob.handle_timeout(pair.bob.next_timeout())
    assert pair.from_bob()[0].status == 420
    pair.feed_bob(message("ACK", to_tag=refused.to.tag))
    pair.bob.handle_timeout(1.5)
    assert pair.from_bob() == []


def test_a_malformed_request_is_answered_the_same_each_time(pair, message):
    broken = message(**{"Max-Forwards": "x"}, Via="SIP/2.0/UDP nat;rport;branch=z9hG4bKx, SIP/2.0/UDP far")
    answers = [pair.feed_bob(broken, ("192.0.2.9", 99)) for _ in range(2)]
    assert answers[0] == answers[1]
    (bad,) = answers[0]
    assert bad.status == 400
    assert bad.headers.get("Warning") == "399 sipcore \"Max-Forwards 'x' is not within 0 and 255\""
    assert bad.headers.get_list("Via")[0].endswith("rport=99;received=192.0.2.9")
    assert pair.bob.active_transactions == 0


@pytest.mark.parametrize(
    "data",
    [
        b"ACK sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"ACK sip:x\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"OPTIONS sip:x SIP/2.0\r\nTo: x\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"\xff\xfe",
    ],
)
def test_what_nobody_may_answer_is_only_reported(pair, data):
    assert pair.feed_bob(data) == []
    assert isinstance(pair.bob.next_event(), MessageRefused)


def test_an_answer_is_possible_without_a_readable_via(pair):
    (bad,) = pair.feed_bob(b"OPTIONS sip:x SIP/2.0\r\nVia: nonsense\r\n\r\n", ("192.0.2.9", 99))
    assert (bad.status, bad.headers.get("Via")) == (400, "nonsense")


def test_a_flood_of_nonsense_is_reported_sparingly(pair):
    for _ in range(100):
        pair.feed_bob(b"nonsense")
    pair.bob.receive_datagram(b"nonsense", ALICE, 1.0)
    events = []
    while (event := pair.bob.next_event()) is not None:
        events.append(event)
    assert len(events) == REFUSALS_A_SECOND + 1


def test_too_many_transactions_get_503_without_state(message):
    bob = UserAgent(UserAgentSettings(BOB, max_transactions=1, retry_after=7))
    bob.receive_datagram(message(body=b"v=0\r\n"), ALICE, 0.0)
    bob.datagrams_to_send()
    for _ in range(2):
        bob.receive_datagram(message("OPTIONS", branch="z9hG4bKtwo", number=2), ALICE, 0.0)
    first, second = bob.datagrams_to_send()
    assert first == second
    answer = parse_message(first.data)
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "7")
    assert bob.active_transactions == 1


def test_responses_to_nothing_are_dropped(pair, message):
    response = Response.to_request(parse_message(message()).headers, 200, tag="b")
    assert pair.feed_bob(bytes(response)) == []
    assert pair.bob.next_event() is None


def test_a_response_with_two_vias_is_not_for_us(pair, message):
    response = Response.to_request(parse_message(message(Via="SIP/2.0/UDP a, SIP/2.0/UDP b")).headers, 200)
    assert pair.feed_bob(bytes(response)) == []
    assert pair.bob.next_event().reason == "a 200 with more than one Via"


def test_a_call_with_everything_in_it(pair):
    session = pair.call()
    pair.alice.transport_failed(("192.0.2.99", 5060), pair.wire.now)
    pair.bob.receive_datagram(b"nonsense", ALICE, pair.wire.now)
    invitation = pair.event(InvitationReceived).session
    for agent, of in ((pair.alice, session), (pair.bob, invitation)):
        for use in (agent.accept_offer, agent.refuse_offer):
            with pytest.raises(LocalProtocolError, match="no offer"):
                use(of, 488, pair.wire.now)
    with pytest.raises(LocalProtocolError):
        pair.alice.cancel(session, pair.wire.now)
    with pytest.raises(LocalProtocolError):
        pair.bob.reject(invitation, 486, pair.wire.now)
    pair.alice.bye(session, pair.wire.now)
    pair.alice.transport_failed(BOB, pair.wire.now)
    pair.wire.settle()
    assert pair.event(SessionEnded, ALICE).cause == "error"


def test_provisional_responses_to_a_bye_change_nothing(pair):
    session = pair.call()
    pair.alice.bye(session, pair.wire.now)
    (datagram,) = pair.alice.datagrams_to_send()
    trying = Response.to_request(parse_message(datagram.data).headers, 100)
    pair.alice.receive_datagram(bytes(trying), BOB, pair.wire.now)
    assert pair.alice.active_sessions == 1


def test_without_a_seed_ids_cannot_be_guessed():
    agents = [UserAgent(UserAgentSettings(ALICE)) for _ in range(2)]
    sessions = [agent.invite(Uri.parse("sip:b@x"), now=0.0, body=b"", destination=BOB) for agent in agents]
    assert sessions[0] != sessions[1]


def test_other_timer_values_are_used_throughout(message):
    bob = UserAgent(UserAgentSettings(BOB, timers=TimerValues(t1=0.1)))
    bob.receive_datagram(message(body=b"v=0\r\n"), ALICE, 0.0)
    bob.answer(bob.next_event().session, b"v=0\r\n", 0.0)
    assert bob.next_timeout() == 0.1


@pytest.mark.parametrize("seed", range(20))
def test_on_a_bad_wire_both_sides_agree_and_nothing_is_left(make_pair, seed):
    pair = make_pair(Weather(delay=0.02, jitter=0.3, loss=0.25, duplication=0.2), seed)
    session = pair.call(seconds=25)
    if "SessionAnswered" in pair.names(ALICE) and "SessionEnded" not in pair.names(ALICE):
        pair.alice.bye(session, pair.wire.now)
    pair.wire.run(200)
    ends = {"SessionEnded", "SessionRejected"}
    assert sum(name in ends for name in pair.names(ALICE)) == 1
    if "InvitationReceived" in pair.names(BOB):
        assert pair.names(BOB).count("InvitationReceived") == 1
        assert sum(name in {"SessionEnded", "InvitationCancelled"} for name in pair.names(BOB)) == 1
    pair.assert_idle()


deeds = st.sampled_from(["answer", "reject", "ring", "cancel", "alice bye", "bob bye", "wait"])


@settings(max_examples=150, deadline=None)
@given(
    deeds=st.lists(st.tuples(deeds, st.floats(0, 3)), max_size=8),
    seed=st.integers(0, 1000),
    loss=st.floats(0, 0.4),
    duplication=st.floats(0, 0.5),
    jitter=st.floats(0, 1),
)
def test_whatever_the_users_and_the_wire_do_every_call_ends_on_both_sides(deeds, seed, loss, duplication, jitter):
    alice = UserAgent(UserAgentSettings(ALICE), Random(seed))
    bob = UserAgent(UserAgentSettings(BOB), Random(seed + 1))
    wire = Wire({ALICE: alice, BOB: bob}, Weather(0.01, jitter, loss, duplication), seed=seed)
    call = alice.invite(Uri.parse("sip:bob@x"), now=0.0, body=b"v=0\r\n", destination=BOB)

    def invitation():
        return next((event.session for event in wire.events_of(BOB) if isinstance(event, InvitationReceived)), "")

    actions = {
        "answer": lambda: bob.answer(invitation(), b"v=0\r\n", wire.now),
        "reject": lambda: bob.reject(invitation(), 486, wire.now),
        "ring": lambda: bob.ring(invitation(), wire.now),
        "cancel": lambda: alice.cancel(call, wire.now),
        "alice bye": lambda: alice.bye(call, wire.now),
        "bob bye": lambda: bob.bye(invitation(), wire.now),
        "wait": lambda: None,
    }

    def attempt(deed):
        with contextlib.suppress(LocalProtocolError):
            actions[deed]()

    for deed, pause in deeds:
        wire.run(pause)
        attempt(deed)
    wire.run(70)
    for deed in ("reject", "cancel", "alice bye", "bob bye"):
        attempt(deed)
        wire.run(70)
    wire.run(100)
    for agent in (alice, bob):
        assert (agent.active_sessions, agent.active_transactions, agent.next_timeout()) == (0, 0, None)
    kinds = [type(event) for event in wire.events_of(ALICE)]
    assert (SessionAnswered in kinds) == (SessionEnded in kinds)
    if SessionConfirmed in [type(event) for event in wire.events_of(BOB)] and "cancel" not in dict(deeds):
        assert SessionAnswered in kinds


@given(st.binary(max_size=300))
def test_no_datagram_upsets_an_agent(data):
    agent = UserAgent(UserAgentSettings(BOB))
    agent.receive_datagram(b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n" + data, ALICE, 0.0)
    agent.receive_datagram(data, ALICE, 0.0)


BASE = [path.read_bytes() for path, _ in torture()]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(BASE), st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 8)), max_size=4
    )
)
def test_no_mutated_message_upsets_an_agent(mutations):
    agent = UserAgent(UserAgentSettings(BOB))
    for base, position, inserted, removed in mutations:
        agent.receive_datagram(base[:position] + inserted + base[position + removed :], ALICE, 0.0)
        while (event := agent.next_event()) is not None:
            if isinstance(event, InvitationReceived):
                agent.answer(event.session, b"v=0\r\n", 0.0)
    while (moment := agent.next_timeout()) is not None:
        agent.handle_timeout(moment)
    assert (agent.active_sessions, agent.active_transactions) == (0, 0)

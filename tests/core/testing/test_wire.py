"""testing/wire.py: a network that loses, repeats and reorders the same way each time."""

from random import Random

import pytest
from sipcore.sip.events import InvitationReceived, SessionRejected
from sipcore.sip.uri import Uri
from sipcore.sip.user_agent import UserAgent, UserAgentSettings
from sipcore.testing.wire import Weather, Wire

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


def make_wire(weather, seed=0, on_event=None):
    agents = {address: UserAgent(UserAgentSettings(address), Random(seed)) for address in (ALICE, BOB)}
    return agents, Wire(agents, weather, seed=seed, on_event=on_event)


def call(agents, destination=BOB):
    agents[ALICE].invite(Uri.parse("sip:bob@x"), now=0.0, body=b"", destination=destination)


def test_time_passes_only_when_told():
    agents, wire = make_wire(Weather(delay=0.25))
    call(agents)
    wire.run(0.2)
    assert wire.events == []
    wire.run(0.1)
    assert [(at, who, type(event)) for at, who, event in wire.events] == [(0.25, BOB, InvitationReceived)]
    assert wire.now == pytest.approx(0.3)


def test_what_is_lost_was_sent_all_the_same():
    agents, wire = make_wire(Weather(loss=1.0))
    call(agents)
    wire.run(33)
    assert len(wire.sent) == 7
    assert isinstance(wire.events_of(ALICE)[0], SessionRejected)
    assert wire.events_of(BOB) == []


def test_nobody_at_an_address_hears_nothing():
    agents, wire = make_wire(Weather())
    call(agents, ("192.0.2.99", 5060))
    wire.run(33)
    assert isinstance(wire.events_of(ALICE)[0], SessionRejected)


def test_a_test_may_choose_what_is_lost_and_react_to_events():
    seen = []
    agents, wire = make_wire(Weather(), on_event=lambda agent, event, now: seen.append((agent, type(event), now)))
    wire.drop = lambda data: b"100 Trying" in data
    call(agents)
    wire.run(1)
    assert seen == [(agents[BOB], InvitationReceived, 0.01)]


def test_the_same_seed_does_the_same_again():
    runs = []
    for _ in range(2):
        agents, wire = make_wire(Weather(jitter=0.5, loss=0.3, duplication=0.3), seed=7)
        call(agents)
        wire.run(60)
        runs.append([(at, who, type(event)) for at, who, event in wire.events])
    assert runs[0] == runs[1]

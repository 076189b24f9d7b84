"""Whatever clients, callers and time do, in whatever order: the hub's promises hold."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sipcore.control import commands
from sipcore.control.actions import Accept, Decline, Dial, End, Output, Perform, Silence, Tell
from sipcore.control.hub import Hub
from sipcore.control.text_protocol import COMMANDS, parse_event, write_event

RING_SECONDS, OWNER_SECONDS = 60, 30
ORIGINAL = {"RING_ANS": 2, "CALL_ANS": 1, "CALL_IGNORE": 1, "CALL_FAILED": 1, "BYE": 1, "RTP": 2, "ERROR": 1}
"""What version 1 knows: how many fields each event has at most."""
PAYLOADS = {"audio": "AAEC", "digits": "1", "data": '{{"text":"#"}}', "other_id": "{other}"}
MESSAGES = [
    f"{name}:{'##'.join(['{call}', *(PAYLOADS.get(part, 'x') for part, _ in form.fields[1:])])}"
    for name, form in COMMANDS.items()
    if name not in {"CALL", "SUBSCRIBE"}
]
TAKING = ["CALL_ANS:{call}", "CALL_ANS:{call}", "CALL_IGNORE:{call}", "BYE:{call}"]
WATCHING = ["LISTEN:{call}", "SUBSCRIBE:{call}", "WHISPER:{call}##AAEC"]
NUMBERS = st.integers(0, 1000)


@dataclass
class Phone:
    """What a client believes, from what it was told."""

    version: int
    offered: set[str] = field(default_factory=set)
    owned: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)


@dataclass
class Line:
    """A call as the world outside of the hub knows it."""

    incoming: bool
    owner: int | None
    since: float
    accepted: bool = False
    up: bool = False
    ending: bool = False
    must_end: bool = False
    listeners: set[int] = field(default_factory=set)

    @property
    def free(self) -> bool:
        return self.owner is None and not self.ending and (self.incoming or self.up)

    @property
    def ringing(self) -> bool:
        return self.incoming and not self.accepted and not self.up


class HubMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.hub = Hub(lambda: f"out-{next(self.numbers)}", RING_SECONDS, OWNER_SECONDS)
        self.now = 0.0
        self.phones: dict[int, Phone] = {}
        self.lines: dict[str, Line] = {}
        self.over: list[str] = ["never"]
        self.told: list[tuple[int, str]] = []

    # --- clients

    @precondition(lambda self: len(self.phones) < 4)
    @rule(version=st.sampled_from([1, 2, 2]))
    def connect(self, version: int) -> None:
        number = next(self.numbers)
        self.phones[number] = Phone(version)
        self.hub.connect(number, version)
        self.carry_out()
        assert self.phones[number].offered == {call_id for call_id, line in self.lines.items() if line.free}

    @precondition(lambda self: self.phones)
    @rule(which=NUMBERS)
    def disconnect(self, which: int) -> None:
        number = self.pick(list(self.phones), which)
        del self.phones[number]
        lost = [call_id for call_id, line in self.lines.items() if line.owner == number]
        for line in self.lines.values():
            line.listeners.discard(number)
        for call_id in lost:
            self.lines[call_id].owner, self.lines[call_id].since = None, self.now
        self.hub.disconnect(number, self.now)
        self.carry_out(lost=lost)
        for call_id in lost:
            assert self.lines[call_id].free or self.lines[call_id].ending

    @precondition(lambda self: self.phones)
    @rule(
        which=NUMBERS, message=st.text(max_size=20) | st.sampled_from(["", "BYE", "RTP:never##", "SUBSCRIBE:", "X:y"])
    )
    def talk_nonsense(self, which: int, message: str) -> None:
        number = self.pick(list(self.phones), which)
        self.hub.receive(number, message, self.now)
        self.carry_out()
        assert [(to, text.partition(":")[0]) for to, text in self.told] == [(number, "ERROR")]

    @precondition(lambda self: self.phones and len(self.lines) < 6)
    @rule(which=NUMBERS, phone=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20))
    def dial(self, which: int, phone: str) -> None:
        number = self.pick(list(self.phones), which)
        self.hub.receive(number, f"CALL:{phone}", self.now)
        (call_id,) = [output.call_id for output in self.peek() if isinstance(output, Dial)]
        self.lines[call_id] = Line(incoming=False, owner=number, since=self.now)
        self.phones[number].owned.add(call_id)
        self.carry_out()

    @precondition(lambda self: self.phones)
    @rule(which=NUMBERS, call=NUMBERS, other=NUMBERS, message=st.sampled_from(MESSAGES))
    def steer(self, which: int, call: int, other: int, message: str) -> None:
        known = [*self.lines, self.over[-1]]
        self.command(which, self.pick(known, call), self.pick(known, other), message)

    @precondition(lambda self: self.phones and self.lines)
    @rule(which=NUMBERS, call=NUMBERS, message=st.sampled_from(TAKING))
    def take_or_leave(self, which: int, call: int, message: str) -> None:
        self.command(which, self.pick(list(self.lines), call), "", message)

    @precondition(lambda self: self.phones and self.lines)
    @rule(which=NUMBERS, call=NUMBERS, message=st.sampled_from(WATCHING))
    def watch(self, which: int, call: int, message: str) -> None:
        self.command(which, self.pick(list(self.lines), call), "", message)

    def command(self, which: int, call_id: str, other_id: str, message: str) -> None:
        number = self.pick(list(self.phones), which)
        name, line = message.partition(":")[0], self.lines.get(call_id)
        if line is not None:
            self.expect(number, name, call_id, line)
        self.hub.receive(number, message.format(call=call_id, other=other_id), self.now)
        self.carry_out(asked=(number, call_id) if name == "CALL_ANS" else None)
        if line is None:
            assert [(to, text[:9]) for to, text in self.told if text[:5] == "ERROR"] in (
                [(number, "ERROR:404")],
                [(number, "ERROR:501")],
            )

    @precondition(lambda self: self.phones)
    @rule(which=NUMBERS)
    def follow_all(self, which: int) -> None:
        number = self.pick(list(self.phones), which)
        if self.phones[number].version == 2:
            self.phones[number].follows.add("*")
        self.hub.receive(number, "SUBSCRIBE:*", self.now)
        self.carry_out()

    def expect(self, number: int, name: str, call_id: str, line: Line) -> None:
        """Know what a command changes."""
        if name == "CALL_ANS" and line.free:
            line.owner = number
        elif name in {"BYE", "HANGUP"} and line.owner == number and not line.ringing:
            line.must_end = True
        elif name == "CALL_IGNORE" or (name in {"BYE", "HANGUP"} and line.ringing):
            self.phones[number].ignored |= {call_id} & self.phones[number].offered
        elif self.phones[number].version == 2:
            if name == "LISTEN":
                line.listeners.add(number)
            elif name == "SUBSCRIBE":
                self.phones[number].follows.add(call_id)
            elif name == "PART" and line.owner != number:
                line.listeners.discard(number)

    # --- calls

    @precondition(lambda self: len(self.lines) < 6)
    @rule(phone=st.text(max_size=20))
    def call_comes_in(self, phone: str) -> None:
        call_id = f"in-{next(self.numbers)}"
        self.lines[call_id] = Line(incoming=True, owner=None, since=self.now)
        self.hub.offer(call_id, phone, {"caller": phone}, self.now)
        self.carry_out()
        assert all(call_id in phone.offered for phone in self.phones.values())

    @precondition(lambda self: len(self.lines) < 3)
    @rule()
    def conversation_takes_a_call(self) -> None:
        call_id = f"own-{next(self.numbers)}"
        self.lines[call_id] = Line(incoming=True, owner=0, since=self.now, accepted=True, up=True)
        self.hub.adopt(call_id, "alice", {})
        self.carry_out()

    @precondition(lambda self: any(line.accepted or not line.incoming for line in self.lines.values()))
    @rule(which=NUMBERS)
    def call_is_answered(self, which: int) -> None:
        able = [call_id for call_id, line in self.lines.items() if line.accepted or not line.incoming]
        call_id = self.pick(able, which)
        line = self.lines[call_id]
        if line.up:
            return
        line.up = True
        ending, line.ending = line.ending, False
        self.hub.answered(call_id)
        self.carry_out(asked=(line.owner or 0, call_id))
        assert line.ending == ending, "a hang-up before the call was up is not forgotten"
        if line.owner and not ending:
            assert (line.owner, f"CALL_ANS:{call_id}") in self.told

    @precondition(lambda self: self.lines)
    @rule(which=NUMBERS, what=st.sampled_from(["ring", "digit", "transfer", "describe", "words", "turn", "answer"]))
    def something_happens(self, which: int, what: str) -> None:
        call_id = self.pick(list(self.lines), which)
        happen: dict[str, Callable[[], None]] = {
            "ring": lambda: self.hub.rings(call_id),
            "digit": lambda: self.hub.digit(call_id, "#"),
            "transfer": lambda: self.hub.transferred(call_id, 202, "Accepted#"),
            "describe": lambda: self.hub.describe(call_id, playing="##"),
            "words": lambda: self.hub.transcribed(call_id, {"text": "##"}),
            "turn": lambda: self.hub.turn_finished(call_id, {"said": "##"}),
            "answer": lambda: self.hub.refuse(self.lines[call_id].owner or 0, 488, "no#", call_id),
        }
        happen[what]()
        self.carry_out()

    @precondition(lambda self: self.lines)
    @rule(which=NUMBERS)
    def call_is_over(self, which: int) -> None:
        call_id = self.pick(list(self.lines), which)
        line = self.lines.pop(call_id)
        self.over.append(call_id)
        concerned = {
            number
            for number, phone in self.phones.items()
            if call_id in phone.offered | phone.owned or number in line.listeners or phone.follows & {call_id, "*"}
        }
        concerned |= {line.owner} if line.owner else set()
        failed = not line.incoming and not line.up
        self.hub.failed(call_id, 486, "Busy#") if failed else self.hub.ended(call_id)
        self.carry_out(ended=call_id)
        assert sorted(number for number, _ in self.told) == sorted(concerned)
        for number, text in self.told:
            assert text.startswith("CALL_FAILED:486 Busy" if failed and number == line.owner else f"BYE:{call_id}")

    @rule(seconds=st.sampled_from([1, 29, 30, 60]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        if self.hub.next_timeout() <= self.now:
            self.hub.handle_timeout(self.now)
        self.carry_out()
        assert self.hub.next_timeout() > self.now
        for line in self.lines.values():
            patience = RING_SECONDS if line.ringing else OWNER_SECONDS
            assert not line.free or line.since + patience > self.now

    # --- what the hub wants

    def pick(self, some: list[Any], which: int) -> Any:
        return some[which % len(some)]

    def peek(self) -> list[Output]:
        return list(self.hub._outputs)

    def carry_out(
        self, lost: list[str] | None = None, asked: tuple[int, str] | None = None, ended: str | None = None
    ) -> None:
        """Do what the hub wants, and check that it may want that."""
        self.told = []
        silent: list[str] = []
        for output in self.hub.take_outputs():
            match output:
                case Tell(client=number, event=event):
                    text = write_event(event)
                    assert parse_event(text) is not None
                    self.told.append((number, text))
                    self.hear(number, text, asked)
                case Silence(call_id=call_id):
                    silent.append(call_id)
                case _:
                    self.act(output)
        assert set(silent) <= set(lost or [])
        for phone in self.phones.values():
            if ended:
                phone.follows.discard(ended)
                assert ended not in phone.offered | phone.owned

    def act(self, output: Output) -> None:
        assert not isinstance(output, Tell)
        line = self.lines[output.call_id]
        match output:
            case Accept():
                assert line.ringing and not line.ending and line.owner in self.phones
                line.accepted = True
            case Decline():
                wanted = any(output.call_id in phone.offered for phone in self.phones.values())
                assert line.ringing and not line.ending and line.owner is None
                assert not wanted or self.now >= line.since + RING_SECONDS
                line.ending = True
            case End():
                assert line.must_end or line.owner is None
                line.ending = True
            case Perform(client=number, command=command):
                assert line.up
                whispers = isinstance(command, commands.Whisper) and number in line.listeners
                says = isinstance(command, commands.Say) and line.owner == 0
                assert line.owner == number or whispers or says
            case _:
                assert isinstance(output, Dial) and line.owner == output.client

    def hear(self, number: int, text: str, asked: tuple[int, str] | None) -> None:
        """Let a client believe what it is told, if it may be told that."""
        phone = self.phones[number]
        name, _, payload = text.partition(":")
        fields = payload.split("##")
        assert phone.version == 2 or len(fields) <= ORIGINAL[name]
        call_id = fields[-1]
        match name:
            case "RING_ANS" if len(fields) == 2 and call_id not in phone.owned:
                assert call_id not in phone.offered, "no call rings twice at a client"
                assert self.lines[call_id].free
                phone.offered.add(call_id)
                phone.ignored.discard(call_id)
            case "CALL_ANS":
                assert self.lines[call_id].owner == number and asked == (number, call_id)
                phone.offered.discard(call_id)
                phone.owned.add(call_id)
            case "CALL_IGNORE":
                phone.offered.remove(call_id)
            case "BYE":
                assert call_id not in self.lines
                phone.offered.discard(call_id)
                phone.owned.discard(call_id)
            case "CALL_FAILED":
                phone.owned -= set(self.over[-1:])
            case _:
                pass

    # --- promises

    @invariant()
    def a_call_has_the_owner_that_took_it_and_nobody_else_believes_to_have_it(self) -> None:
        for call_id, line in self.lines.items():
            assert self.hub.owner(call_id) == line.owner
            assert {number for number, phone in self.phones.items() if call_id in phone.owned} <= {line.owner}

    @invariant()
    def a_call_that_is_free_is_offered_to_all_who_did_not_ignore_it_and_another_one_to_nobody(self) -> None:
        for call_id, line in self.lines.items():
            believers = {number for number, phone in self.phones.items() if call_id in phone.offered}
            if line.free:
                assert {n for n, phone in self.phones.items() if call_id not in phone.ignored} == believers
            elif not line.ending:
                assert believers <= {line.owner}

    @invariant()
    def who_is_gone_and_what_is_over_is_forgotten(self) -> None:
        assert not self.peek()
        assert set(self.hub._calls) == set(self.lines)
        assert set(self.hub._audience.clients) == set(self.phones)
        for record in self.hub._calls.values():
            assert record.offered | record.listeners | ({record.owner} - {None, 0}) <= set(self.phones)
            assert record.listeners == self.lines[record.call_id].listeners
        for client in self.hub._audience.clients.values():
            assert client.followed <= {"*", *self.lines}

    @invariant()
    def audio_goes_to_the_owner_and_to_those_who_listen(self) -> None:
        for call_id, line in self.lines.items():
            hearers = list(self.hub.hearers(call_id))
            assert line.listeners <= set(hearers) <= line.listeners | {line.owner}
            assert len(hearers) == len(set(hearers))
            if line.owner and line.owner not in line.listeners:
                knows = line.up or self.phones[line.owner].version == 2
                assert (line.owner in hearers) == knows


HubMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


class TestTheHubKeepsItsPromises(HubMachine.TestCase):
    pass

"""Who owns and who hears which call: clients' commands and calls' events in, messages and actions out.

A call that comes in is offered to every client; the first that answers owns it. Who placed a call owns it from the
start. Audio and control are the owner's alone; others may listen, whisper to what they listen to, and follow. An owner
that is lost leaves its call up: it is offered again, and ends when nobody takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sipcore.control.actions import Accept, Decline, Dial, End, Output, Perform, Silence
from sipcore.control.audience import EVERYTHING, Audience
from sipcore.control.commands import (
    Answer,
    Bye,
    CallCommand,
    Command,
    HangUp,
    Ignore,
    Join,
    Listen,
    Part,
    PlaceCall,
    ReportTranscript,
    ReportTurn,
    Say,
    Subscribe,
    Whisper,
)
from sipcore.control.events import (
    Answered,
    CallFailed,
    Calling,
    DigitPressed,
    Ended,
    Event,
    Ignored,
    Rang,
    Refused,
    SayAsked,
    Transcribed,
    Transferred,
    TurnReported,
)
from sipcore.control.fields import Status, safe_phone
from sipcore.control.records import CallRecord, ClientRecord, State
from sipcore.control.text_protocol import named_call, parse_command
from sipcore.errors import RemoteProtocolError

LOCAL = 0
"""The owner of a call that this program's own conversation holds."""
NOBODY_THERE = 480
NEVER = float("inf")


class Hub:
    """Clients, calls, and what one may do with the other. Client ids are the driver's: 1, 2 and so on.

    After every method that changes something: carry out `take_outputs`, and call `handle_timeout` at `next_timeout`.

    Args:
        new_id: makes the id of an outgoing call.
        ring_timeout: seconds that a call is offered before it is declined with 480.
        owner_timeout: seconds that an answered call without an owner stays up.
    """

    def __init__(self, new_id: Callable[[], str], ring_timeout: float = 60.0, owner_timeout: float = 30.0) -> None:
        self._new_id = new_id
        self._ring_timeout = ring_timeout
        self._owner_timeout = owner_timeout
        self._calls: dict[str, CallRecord] = {}
        self._outputs: deque[Output] = deque()
        self._audience = Audience(self._outputs)

    def take_outputs(self) -> list[Output]:
        """Return what is to be done, in order, and forget it."""
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._audience.clients)

    def version(self, client: int) -> int:
        """Return a client's version of the protocol; the newest for the program itself."""
        return self._audience.version(client)

    def owner(self, call_id: str) -> int | None:
        """Return who owns a call."""
        call = self._calls.get(call_id)
        return call.owner if call else None

    def is_answered(self, call_id: str) -> bool:
        """Whether a call is there and was answered."""
        call = self._calls.get(call_id)
        return call is not None and call.state is State.ANSWERED

    def hearers(self, call_id: str) -> Iterable[int]:
        """Return the clients that get a call's audio. A client of version 1 does not know the id before CALL_ANS."""
        call = self._calls.get(call_id)
        if call is None:
            return ()
        if call.owner and (call.state is State.ANSWERED or self.version(call.owner) >= 2):
            return call.listeners | {call.owner}
        return tuple(call.listeners)

    # --- clients

    def connect(self, client: int, version: int) -> None:
        """A client is there; it is offered what waits."""
        self._audience.clients[client] = ClientRecord(version)
        for call in self._calls.values():
            if call.is_offered:
                self._audience.offer(call, client)

    def disconnect(self, client: int, now: float) -> None:
        """A client is gone; its calls are offered to the others."""
        self._audience.clients.pop(client, None)
        for call in self._calls.values():
            call.listeners.discard(client)
            call.offered.discard(client)
            if call.owner == client:
                self._lose_owner(call, now)
            else:
                self._decline_unwanted(call)

    def _lose_owner(self, call: CallRecord, now: float) -> None:
        call.owner = None
        if call.is_ending:
            return
        if call.state is State.DIALLING:
            self._end(call, "the client that called is gone")
            return
        call.deadline = now + self._owner_timeout
        self._outputs.append(Silence(call.call_id))
        self._audience.tell_changed(call)
        self._audience.offer_to_all(call)

    def receive(self, client: int, message: str, now: float) -> None:
        """Take a client's message; what is wrong with it is told to that client, and nothing else happens."""
        if client not in self._audience.clients:
            return
        try:
            self._obey(client, parse_command(message, self.version(client)), now)
        except RemoteProtocolError as error:
            self.refuse(client, error.status, str(error), named_call(message))

    def refuse(self, client: int, status: int, reason: str, call_id: str = "") -> None:
        """Tell a client that something was not done."""
        self._audience.tell(client, Refused(Status(status, reason), self._concerned(client, call_id)))

    def _concerned(self, client: int, call_id: str) -> str:
        """Return a call's id for a client that may get it behind a status, or a phone."""
        return call_id if self.version(client) >= 2 else ""

    # --- commands

    def _find(self, call_id: str) -> CallRecord:
        call = self._calls.get(call_id)
        if call is None:
            raise RemoteProtocolError(f"there is no call {call_id}", 404)
        return call

    def _obey(self, client: int, command: Command, now: float) -> None:
        match command:
            case PlaceCall(phone=phone):
                self._place(client, phone)
            case Subscribe(call_id=call_id):
                self._subscribe(client, call_id)
            case _:
                self._command(client, self._find(command.call_id), command)

    def _place(self, client: int, phone: str) -> None:
        call = CallRecord(self._new_id(), safe_phone(phone), "outgoing", {}, State.DIALLING, client)
        self._calls[call.call_id] = call
        if self.version(client) >= 2:
            self._audience.tell(client, Calling(call.phone, call.call_id))
        self._audience.describe_to_all(call)
        self._outputs.append(Dial(call.call_id, client, phone))

    def _subscribe(self, client: int, call_id: str) -> None:
        calls = self._calls.values() if call_id == EVERYTHING else [self._find(call_id)]
        self._audience.clients[client].followed.add(call_id)
        for call in calls:
            self._audience.describe(call, client)

    def _command(self, client: int, call: CallRecord, command: CallCommand) -> None:
        match command:
            case Answer():
                self._answer(client, call)
            case Ignore():
                self._ignore(client, call)
            case Bye() | HangUp() if call.state is State.RINGING:
                self._ignore(client, call)
            case Listen():
                call.listeners.add(client)
                self._audience.describe(call, client)
            case Part() if client in call.listeners and client != call.owner:
                call.listeners.discard(client)
            case Say():
                self._say(client, call, command)
            case Whisper() if client in call.listeners:
                self._perform(client, call, command)
            case _:
                self._check_owner(client, call)
                self._own_command(client, call, command)

    def _own_command(self, client: int, call: CallRecord, command: CallCommand) -> None:
        match command:
            case Bye() | HangUp():
                self._end(call, "")
            case ReportTranscript(data=data):
                self._audience.tell_followers(call, Transcribed(call.call_id, data))
            case ReportTurn(data=data):
                self._audience.tell_followers(call, TurnReported(call.call_id, data))
            case Join(other_id=other_id):
                self._check_owner(client, self._find(other_id))
                self._check_answered(self._find(other_id))
                self._perform(client, call, command)
            case _:
                self._perform(client, call, command)

    def _perform(self, client: int, call: CallRecord, command: CallCommand) -> None:
        self._check_answered(call)
        self._outputs.append(Perform(call.call_id, client, command))

    def _check_owner(self, client: int, call: CallRecord) -> None:
        if call.owner == client:
            return
        whose = "nobody's yet: answer it first" if call.is_offered else "another client's"
        raise RemoteProtocolError(f"call {call.call_id} is {'ending' if call.is_ending else whose}", 409)

    def _check_answered(self, call: CallRecord) -> None:
        if call.state is not State.ANSWERED:
            raise RemoteProtocolError(f"call {call.call_id} is not answered", 409)

    def _answer(self, client: int, call: CallRecord) -> None:
        if call.is_offered:
            self._give(call, client)
        else:
            self._check_owner(client, call)
        if call.state is State.ANSWERED and not call.is_ending:
            self._audience.tell(client, Answered(call.call_id))
        self._audience.tell_changed(call)

    def _give(self, call: CallRecord, client: int) -> None:
        """Let a client own a call that is offered."""
        call.owner = client
        call.deadline = NEVER
        call.offered.discard(client)
        self._audience.withdraw(call)
        if call.state is State.RINGING:
            call.state = State.ANSWERING
            self._outputs.append(Accept(call.call_id))

    def _ignore(self, client: int, call: CallRecord) -> None:
        if client not in call.offered or not call.is_offered:
            raise RemoteProtocolError(f"call {call.call_id} is not offered", 409)
        call.offered.discard(client)
        self._audience.tell(client, Ignored(call.call_id))
        self._decline_unwanted(call)

    def _say(self, client: int, call: CallRecord, command: Say) -> None:
        if call.owner == LOCAL:
            self._perform(client, call, command)
        elif call.owner in (None, client) or self.version(call.owner) < 2:
            raise RemoteProtocolError(f"nobody else holds a conversation on call {call.call_id}", 409)
        else:
            self._audience.tell(call.owner, SayAsked(call.call_id, command.text))

    # --- ends

    def _decline_unwanted(self, call: CallRecord) -> None:
        """Decline a call that every client ignored; without a client it goes on ringing."""
        if call.is_unwanted and self._audience.clients:
            self._decline(call)

    def _decline(self, call: CallRecord) -> None:
        call.is_ending = True
        call.deadline = NEVER
        self._outputs.append(Decline(call.call_id, NOBODY_THERE))

    def _end(self, call: CallRecord, reason: str) -> None:
        call.is_ending = True
        call.deadline = NEVER
        self._outputs.append(End(call.call_id, reason))

    # --- calls

    def offer(self, call_id: str, phone: str, details: Mapping[str, Any], now: float) -> None:
        """A call came in: it rings at every client. A call that had the same id is over."""
        self.ended(call_id)
        call = CallRecord(call_id, safe_phone(phone), "incoming", dict(details), State.RINGING)
        call.deadline = now + self._ring_timeout
        self._calls[call_id] = call
        self._audience.offer_to_all(call)

    def adopt(self, call_id: str, phone: str, details: Mapping[str, Any]) -> None:
        """This program's own conversation holds a call. A call that had the same id is over."""
        self.ended(call_id)
        call = CallRecord(call_id, safe_phone(phone), "incoming", dict(details), State.ANSWERED, LOCAL)
        self._calls[call_id] = call
        self._audience.describe_to_all(call)

    def describe(self, call_id: str, **details: Any) -> None:
        """Something about a call changed."""
        call = self._calls.get(call_id)
        if call is not None:
            call.details.update(details)
            self._audience.tell_changed(call)

    def rings(self, call_id: str) -> None:
        """An outgoing call rings at the far end; its client hears that once."""
        call = self._calls.get(call_id)
        if call is None or not call.owner or call.state is not State.DIALLING or call.has_rung:
            return
        call.has_rung = True
        self._audience.tell(call.owner, Rang(call.phone, self._concerned(call.owner, call_id)))

    def answered(self, call_id: str) -> None:
        """A call was answered: by us, or by the far end. One that was to end before it was up ends now."""
        call = self._calls.get(call_id)
        if call is None:
            return
        call.state = State.ANSWERED
        if call.is_ending:
            self._end(call, "it was to end before it was answered")
            return
        if call.owner:
            self._audience.tell(call.owner, Answered(call_id))
        self._audience.tell_changed(call)

    def failed(self, call_id: str, status: int, reason: str) -> None:
        """An outgoing call was not answered."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            concerned = self._concerned(call.owner or LOCAL, call_id)
            self._audience.tell_over(call, CallFailed(Status(status, reason), concerned))

    def ended(self, call_id: str) -> None:
        """A call is over."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            self._audience.tell_over(call, Ended(call_id))

    def digit(self, call_id: str, digit: str) -> None:
        """The far end pressed a key."""
        self._tell_concerned(call_id, DigitPressed(call_id, digit))

    def transferred(self, call_id: str, status: int, reason: str) -> None:
        """A transfer ended."""
        self._tell_concerned(call_id, Transferred(call_id, Status(status, reason)))

    def transcribed(self, call_id: str, data: Mapping[str, Any]) -> None:
        """This program's own conversation understood or said something."""
        self._tell_concerned(call_id, Transcribed(call_id, data))

    def turn_finished(self, call_id: str, data: Mapping[str, Any]) -> None:
        """A turn of this program's own conversation is over."""
        self._tell_concerned(call_id, TurnReported(call_id, data))

    def tell_owner(self, call_id: str, client: int, event: Event) -> None:
        """Answer a client that asked for something on a call; one that lost the call meanwhile is not told."""
        if self.owner(call_id) == client:
            self._audience.tell(client, event)

    def _tell_concerned(self, call_id: str, event: Event) -> None:
        call = self._calls.get(call_id)
        if call is not None:
            self._audience.tell_concerned(call, event)

    # --- time

    def next_timeout(self) -> float:
        """Return when `handle_timeout` is due; infinite when nothing waits."""
        return min((call.deadline for call in self._calls.values()), default=NEVER)

    def handle_timeout(self, now: float) -> None:
        """Give up what nobody took."""
        for call in self._calls.values():
            if call.deadline > now:
                continue
            if call.state is State.RINGING:
                self._decline(call)
            else:
                self._end(call, "nobody takes the call over")

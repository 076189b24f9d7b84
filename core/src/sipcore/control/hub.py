"""Who owns and who hears which call: clients' commands and calls' events in, messages and actions out.

A call that comes in is offered to every client; the first that answers owns it. Who placed a call owns it from the
start. Audio and control are the owner's alone; others may listen and follow. An owner that is lost leaves its call up:
it is offered again, and ends when nobody takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sipcore.control.actions import Accept, Decline, Dial, End, Output, Perform, Silence, Tell
from sipcore.control.commands import (
    Answer,
    Bye,
    CallCommand,
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
    Described,
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
from sipcore.control.text_protocol import parse_command
from sipcore.errors import RemoteProtocolError

LOCAL = 0
"""The owner of a call that this program's own conversation holds."""
EVERYTHING = "*"
NOBODY_THERE = 480


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
        self._clients: dict[int, ClientRecord] = {}
        self._calls: dict[str, CallRecord] = {}
        self._outputs: deque[Output] = deque()

    def take_outputs(self) -> list[Output]:
        """Return what is to be done, in order, and forget it."""
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def version(self, client: int) -> int:
        """Return a client's version of the protocol; the newest for the program itself."""
        known = self._clients.get(client)
        return known.version if known else 2

    def owner(self, call_id: str) -> int | None:
        """Return who owns a call."""
        call = self._calls.get(call_id)
        return call.owner if call else None

    def is_answered(self, call_id: str) -> bool:
        """Whether a call is there and was answered."""
        call = self._calls.get(call_id)
        return call is not None and call.state is State.ANSWERED

    def hearers(self, call_id: str) -> Iterable[int]:
        """Return the clients that get a call's audio."""
        call = self._calls.get(call_id)
        if call is None:
            return ()
        return call.listeners | {call.owner} if call.owner else call.listeners

    # --- clients

    def connect(self, client: int, version: int) -> None:
        """A client is there; it is offered what waits."""
        self._clients[client] = ClientRecord(version)
        for call in self._calls.values():
            if call.is_offered:
                self._offer(call, client)

    def disconnect(self, client: int, now: float) -> None:
        """A client is gone; its calls are offered to the others."""
        self._clients.pop(client, None)
        for call in list(self._calls.values()):
            call.listeners.discard(client)
            call.declined.discard(client)
            if call.owner == client:
                self._lose_owner(call, now)
            else:
                self._decline_if_nobody_wants(call)

    def _lose_owner(self, call: CallRecord, now: float) -> None:
        if call.state is State.DIALLING:
            self._outputs.append(End(call.call_id, "the client that called is gone"))
            call.owner = None
            return
        call.owner = None
        if call.state is State.ANSWERING:
            call.state = State.ANSWERED
        call.deadline = now + self._owner_timeout
        call.declined.clear()
        self._outputs.append(Silence(call.call_id))
        self._tell_changed(call)
        for client in self._clients:
            self._offer(call, client)

    def receive(self, client: int, message: str, now: float) -> None:
        """Take a client's message; what is wrong with it is told to that client, and nothing else happens."""
        try:
            command = parse_command(message, self._clients[client].version)
            if isinstance(command, PlaceCall):
                self._place(client, command.phone)
            elif isinstance(command, Subscribe):
                self._subscribe(client, command.call_id)
            else:
                self._command(client, self._find(command.call_id), command, now)
        except RemoteProtocolError as error:
            self.refuse(client, error.status, str(error), getattr(error, "call_id", ""))

    def refuse(self, client: int, status: int, reason: str, call_id: str = "") -> None:
        """Tell a client that something was not done."""
        concerned = call_id if self.version(client) >= 2 else ""
        self._tell(client, Refused(Status(status, reason), concerned))

    # --- commands

    def _find(self, call_id: str) -> CallRecord:
        call = self._calls.get(call_id)
        if call is None:
            raise NotAllowedError(404, f"there is no call {call_id}", call_id)
        return call

    def _place(self, client: int, phone: str) -> None:
        call_id = self._new_id()
        call = CallRecord(call_id, safe_phone(phone), "outgoing", {}, State.DIALLING, client)
        self._calls[call_id] = call
        if self.version(client) >= 2:
            self._tell(client, Calling(call.phone, call_id))
        self._outputs.append(Dial(call_id, client, phone))

    def _subscribe(self, client: int, call_id: str) -> None:
        calls = self._calls.values() if call_id == EVERYTHING else [self._find(call_id)]
        self._clients[client].followed.add(call_id)
        for call in calls:
            self._describe(call, client)

    def _command(self, client: int, call: CallRecord, command: CallCommand, now: float) -> None:
        match command:
            case Answer():
                self._answer(client, call)
            case Ignore():
                self._ignore(client, call)
            case Bye() | HangUp() if call.state is State.RINGING:
                self._ignore(client, call)
            case Listen():
                call.listeners.add(client)
                self._describe(call, client)
            case Part() if client in call.listeners and client != call.owner:
                call.listeners.discard(client)
            case Say():
                self._say(client, call, command)
            case Whisper() if client in call.listeners:
                self._outputs.append(Perform(call.call_id, client, command))
            case _:
                self._check_owner(client, call)
                self._own_command(client, call, command, now)

    def _own_command(self, client: int, call: CallRecord, command: CallCommand, now: float) -> None:
        match command:
            case Bye() | HangUp():
                self._outputs.append(End(call.call_id, ""))
            case ReportTranscript(data=data):
                self._tell_followers(call, Transcribed(call.call_id, data), but=client)
            case ReportTurn(data=data):
                self._tell_followers(call, TurnReported(call.call_id, data), but=client)
            case Join(other_id=other_id):
                self._check_owner(client, self._find(other_id))
                self._check_answered(self._find(other_id))
                self._check_answered(call)
                self._outputs.append(Perform(call.call_id, client, command))
            case _:
                self._check_answered(call)
                self._outputs.append(Perform(call.call_id, client, command))

    def _check_owner(self, client: int, call: CallRecord) -> None:
        if call.owner != client:
            whose = "nobody's yet: answer it first" if call.owner is None else "another client's"
            raise NotAllowedError(409, f"call {call.call_id} is {whose}", call.call_id)

    def _check_answered(self, call: CallRecord) -> None:
        if call.state is not State.ANSWERED:
            raise NotAllowedError(409, f"call {call.call_id} is not answered", call.call_id)

    def _answer(self, client: int, call: CallRecord) -> None:
        if call.is_offered:
            call.owner = client
            call.deadline = float("inf")
            if call.state is State.RINGING:
                call.state = State.ANSWERING
                self._outputs.append(Accept(call.call_id))
                return
        self._check_owner(client, call)
        if call.state is State.ANSWERED:
            self._tell_answered(call)

    def _ignore(self, client: int, call: CallRecord) -> None:
        if not call.is_offered:
            raise NotAllowedError(409, f"call {call.call_id} is not offered", call.call_id)
        call.declined.add(client)
        self._tell(client, Ignored(call.call_id))
        self._decline_if_nobody_wants(call)

    def _decline_if_nobody_wants(self, call: CallRecord) -> None:
        """Decline a call that rings when every client that is there ignored it."""
        if call.state is State.RINGING and self._clients and call.declined.issuperset(self._clients):
            self._outputs.append(Decline(call.call_id, NOBODY_THERE))

    def _say(self, client: int, call: CallRecord, command: Say) -> None:
        if call.owner == LOCAL:
            self._outputs.append(Perform(call.call_id, client, command))
        elif call.owner in (None, client) or self.version(call.owner) < 2:
            raise NotAllowedError(409, f"nobody holds a conversation on call {call.call_id}", call.call_id)
        else:
            self._tell(call.owner, SayAsked(call.call_id, command.text))

    # --- calls

    def offer(self, call_id: str, phone: str, details: Mapping[str, Any], now: float) -> None:
        """A call came in: it rings at every client."""
        call = CallRecord(call_id, safe_phone(phone), "incoming", dict(details), State.RINGING)
        call.deadline = now + self._ring_timeout
        self._calls[call_id] = call
        for client in self._clients:
            self._offer(call, client)

    def adopt(self, call_id: str, phone: str, details: Mapping[str, Any]) -> None:
        """This program's own conversation holds a call."""
        call = CallRecord(call_id, safe_phone(phone), "incoming", dict(details), State.ANSWERED, LOCAL)
        self._calls[call_id] = call
        self._tell_new(call)

    def describe(self, call_id: str, **details: Any) -> None:
        """Something about a call changed."""
        call = self._calls.get(call_id)
        if call is not None:
            call.details.update(details)
            self._tell_changed(call)

    def rings(self, call_id: str) -> None:
        """An outgoing call rings at the far end."""
        call = self._calls.get(call_id)
        if call is not None and call.owner:
            self._tell(call.owner, Rang(call.phone, call_id if self.version(call.owner) >= 2 else ""))
            self._tell_changed(call)

    def answered(self, call_id: str) -> None:
        """A call was answered: by us, or by the far end."""
        call = self._calls.get(call_id)
        if call is not None:
            call.state = State.ANSWERED
            self._tell_answered(call)

    def failed(self, call_id: str, status: int, reason: str) -> None:
        """An outgoing call was not answered."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        if call.owner:
            concerned = call_id if self.version(call.owner) >= 2 else ""
            self._tell(call.owner, CallFailed(Status(status, reason), concerned))
        self._tell_followers(call, Ended(call_id), but=call.owner)

    def ended(self, call_id: str) -> None:
        """A call is over."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        told = call.listeners | (call.offered - call.declined) | {call.owner}
        for client, known in self._clients.items():
            if client in told or self._follows(client, call):
                self._tell(client, Ended(call_id))
            known.followed.discard(call_id)

    def digit(self, call_id: str, digit: str) -> None:
        """The far end pressed a key."""
        self._tell_holders(call_id, DigitPressed(call_id, digit))

    def transferred(self, call_id: str, status: int, reason: str) -> None:
        """A transfer ended."""
        self._tell_holders(call_id, Transferred(call_id, Status(status, reason)))

    def transcribed(self, call_id: str, data: Mapping[str, Any]) -> None:
        """This program's own conversation understood or said something."""
        self._tell_holders(call_id, Transcribed(call_id, data))

    def turn_finished(self, call_id: str, data: Mapping[str, Any]) -> None:
        """A turn of this program's own conversation is over."""
        self._tell_holders(call_id, TurnReported(call_id, data))

    def tell_owner(self, call_id: str, client: int, event: Event) -> None:
        """Answer a client that asked for something on a call; one that lost the call meanwhile is not told."""
        if self.owner(call_id) == client:
            self._tell(client, event)

    # --- time

    def next_timeout(self) -> float:
        """Return when `handle_timeout` is due; infinite when nothing waits."""
        return min((call.deadline for call in self._calls.values()), default=float("inf"))

    def handle_timeout(self, now: float) -> None:
        """Give up what nobody took."""
        for call in self._calls.values():
            if call.deadline > now:
                continue
            call.deadline = float("inf")
            if call.state is State.RINGING:
                self._outputs.append(Decline(call.call_id, NOBODY_THERE))
            else:
                self._outputs.append(End(call.call_id, "nobody takes the call over"))

    # --- telling

    def _tell(self, client: int, event: Event) -> None:
        if client in self._clients:
            self._outputs.append(Tell(client, event))

    def _offer(self, call: CallRecord, client: int) -> None:
        call.offered.add(client)
        if self.version(client) >= 2:
            self._describe(call, client)
        self._tell(client, Rang(call.phone, call.call_id))

    def _describe(self, call: CallRecord, client: int) -> None:
        self._tell(client, Described(call.call_id, self._described(call)))

    def _described(self, call: CallRecord) -> dict[str, Any]:
        return {
            "direction": call.direction,
            "phone": call.phone,
            "state": call.state.value,
            "owner": call.owner,
            **call.details,
        }

    def _follows(self, client: int, call: CallRecord) -> bool:
        return not self._clients[client].followed.isdisjoint({call.call_id, EVERYTHING})

    def _tell_followers(self, call: CallRecord, event: Event, but: int | None = None) -> None:
        for client in self._clients:
            if client != but and self._follows(client, call):
                self._tell(client, event)

    def _tell_holders(self, call_id: str, event: Event) -> None:
        """Tell the owner and the followers, as far as they know version 2."""
        call = self._calls.get(call_id)
        if call is None:
            return
        if call.owner and self.version(call.owner) >= 2:
            self._tell(call.owner, event)
        self._tell_followers(call, event, but=call.owner)

    def _tell_new(self, call: CallRecord) -> None:
        for client, known in self._clients.items():
            if known.version >= 2:
                self._describe(call, client)

    def _tell_changed(self, call: CallRecord) -> None:
        self._tell_holders(call.call_id, Described(call.call_id, self._described(call)))

    def _tell_answered(self, call: CallRecord) -> None:
        """Tell the owner that the call is its, and whom it was offered to that it is not theirs."""
        if call.owner:
            self._tell(call.owner, Answered(call.call_id))
        for client in sorted(call.offered - call.declined - {call.owner}):
            self._tell(client, Ignored(call.call_id))
        call.offered.clear()
        self._tell_changed(call)


class NotAllowedError(RemoteProtocolError):
    """A client asked for what it may not do with a call.

    Args:
        status: the code of the ERROR.
        message: its reason.
        call_id: the call.
    """

    def __init__(self, status: int, message: str, call_id: str) -> None:
        super().__init__(message, status)
        self.call_id = call_id

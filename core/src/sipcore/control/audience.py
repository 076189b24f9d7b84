"""Who is told what: the clients, and what of a call concerns each of them."""

from __future__ import annotations

from collections import deque

from sipcore.control.actions import Output, Tell
from sipcore.control.events import Described, Ended, Event, Ignored, Rang
from sipcore.control.records import CallRecord, ClientRecord

EVERYTHING = "*"
"""What SUBSCRIBE names instead of a call, to follow all."""


class Audience:
    """The clients. An event that is not of the original's tables reaches clients of version 2 alone.

    Args:
        outputs: takes what is to be sent.

    Attributes:
        clients: by number.
    """

    def __init__(self, outputs: deque[Output]) -> None:
        self.clients: dict[int, ClientRecord] = {}
        self._outputs = outputs

    def version(self, client: int | None) -> int:
        """Return a client's version of the protocol; the newest for the program itself."""
        known = self.clients.get(client) if client else None
        return known.version if known else 2

    def tell(self, client: int, event: Event) -> None:
        """Tell one client, if it is there."""
        if client in self.clients:
            self._outputs.append(Tell(client, event))

    # --- offers

    def offer(self, call: CallRecord, client: int) -> None:
        """Let a call ring at a client; one of version 2 knows all about it before."""
        call.offered.add(client)
        if self.version(client) >= 2:
            self.describe(call, client)
        self.tell(client, Rang(call.phone, call.call_id))

    def offer_to_all(self, call: CallRecord) -> None:
        """Let a call ring at every client."""
        for client in self.clients:
            self.offer(call, client)

    def withdraw(self, call: CallRecord) -> None:
        """Tell whom a call is offered to that it is not theirs."""
        for client in sorted(call.offered):
            self.tell(client, Ignored(call.call_id))
        call.offered.clear()

    # --- what happens

    def describe(self, call: CallRecord, client: int) -> None:
        """Tell a client all about a call."""
        self.tell(client, Described(call.call_id, call.information))

    def describe_to_all(self, call: CallRecord) -> None:
        """Tell every client of version 2 all about a call that is new."""
        for client, known in self.clients.items():
            if known.version >= 2:
                self.describe(call, client)

    def tell_changed(self, call: CallRecord) -> None:
        """Tell the owner and the followers all about a call of which something changed."""
        self.tell_concerned(call, Described(call.call_id, call.information))

    def tell_concerned(self, call: CallRecord, event: Event) -> None:
        """Tell the owner, if it knows version 2, and the followers."""
        if call.owner and self.version(call.owner) >= 2:
            self.tell(call.owner, event)
        self.tell_followers(call, event)

    def tell_followers(self, call: CallRecord, event: Event) -> None:
        """Tell the followers, without the owner."""
        for client in self.clients:
            if client != call.owner and self._follows(client, call):
                self.tell(client, event)

    def tell_over(self, call: CallRecord, to_owner: Event) -> None:
        """Tell everybody who knows of a call that it is over, the owner in its own words; it is forgotten."""
        told = call.listeners | call.offered
        for client, known in self.clients.items():
            if client == call.owner:
                self.tell(client, to_owner)
            elif client in told or self._follows(client, call):
                self.tell(client, Ended(call.call_id))
            known.followed.discard(call.call_id)

    def _follows(self, client: int, call: CallRecord) -> bool:
        return not self.clients[client].followed.isdisjoint({call.call_id, EVERYTHING})

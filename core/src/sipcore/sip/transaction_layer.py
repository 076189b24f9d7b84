"""Finds the transaction that a message belongs to, and runs all their timers (RFC 3261 §17.1.3, §17.2.3, §18)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from sipcore.errors import RemoteProtocolError
from sipcore.sip.client_transaction import ClientTransaction
from sipcore.sip.message import Request, Response
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.timers import DEFAULT_TIMERS, TimerQueue, TimerValues
from sipcore.sip.transaction import Action, Address, Key, Transaction
from sipcore.sip.values import Via

EVICTION_SEARCH = 32
"""How many transactions are looked at for one to forget."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """Bytes to send, and where to."""

    data: bytes
    destination: Address


def server_key(request: Request, method: str) -> Key:
    """Return what a request shares with its retransmissions, ACK and CANCEL (§17.2.3); ``method`` is the request's.

    Branch, sent-by and method would tell; Call-ID and CSeq keep the requests of clients apart that use a branch twice.
    A branch without the magic cookie is RFC 2543's: then Request-URI and From tag join.
    """
    via = request.via
    key = (via.branch, via.sent_by, method, request.call_id, str(request.cseq.number))
    return key if via.is_unique else (*key, request.from_.tag or "", str(request.uri))


def response_address(via: Via, source: Address) -> Address:
    """Return where a response goes: the source, at the port it sent from or at sent-by's (§18.2.2, RFC 3581 §4).

    ``maddr`` is not followed: it would let anyone point our responses at a third party.
    """
    if via.parameter("rport") is not None:
        return source
    return source[0], via.port or 5060


class TransactionLayer:
    """All transactions of one user agent.

    Args:
        limit: server transactions at a time; above, the oldest answered ones are forgotten before their time.
        values: T1, T2, T4.
    """

    def __init__(self, limit: int, values: TimerValues = DEFAULT_TIMERS) -> None:
        self._limit = limit
        self._values = values
        self._servers: dict[Key, ServerTransaction] = {}
        self._clients: dict[Key, ClientTransaction] = {}
        self._merges: dict[Key, Key] = {}
        self._timers: TimerQueue[Transaction] = TimerQueue()
        self._outbox: list[Datagram] = []

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    def receive_request(self, request: Request, source: Address, now: float) -> ServerTransaction | None:
        """Take a request other than ACK; returns its transaction when it is new, None when it was met before.

        Raises:
            RemoteProtocolError: too many requests that are not answered yet (503).
        """
        key = server_key(request, request.method)
        transaction = self._servers.get(key)
        if transaction is not None:
            transaction.receive(request, now)
            self._flush(transaction)
            return None
        if len(self._servers) >= self._limit:
            self._evict()
        transaction = ServerTransaction(request, self._values)
        transaction.key = key
        transaction.merge_key = _merge_key(request)
        transaction.destination = response_address(request.via, source)
        self._servers[key] = transaction
        if transaction.merge_key is not None:
            self._merges.setdefault(transaction.merge_key, key)
        return transaction

    def _evict(self) -> None:
        """Make room: forget the oldest answered request, which only waits for copies that are late.

        Raises:
            RemoteProtocolError: of the oldest ones none is answered (503).
        """
        for key in list(islice(self._servers, EVICTION_SEARCH)):
            transaction = self._servers[key]
            if transaction.is_answered:
                transaction.discard()
                self._flush(transaction)
                return
            self._servers[key] = self._servers.pop(key)
        raise RemoteProtocolError("too many transactions", 503)

    def receive_ack(self, ack: Request, now: float) -> bool:
        """Take an ACK; returns whether it ended here, because it acknowledges a 3xx to 6xx."""
        transaction = self._servers.get(server_key(ack, "INVITE"))
        if transaction is None:
            return False
        is_user_s = transaction.receive(ack, now)
        self._flush(transaction)
        return not is_user_s

    def find_invite(self, cancel: Request) -> ServerTransaction | None:
        """Return the transaction that a CANCEL means (§9.2)."""
        return self._servers.get(server_key(cancel, "INVITE"))

    def is_merged(self, transaction: ServerTransaction) -> bool:
        """Whether the same request came by another way already (§8.2.2.2)."""
        return transaction.merge_key is not None and self._merges.get(transaction.merge_key) != transaction.key

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Send a response through its transaction."""
        transaction.send(response, now)
        self._flush(transaction)

    def request(self, request: Request, destination: Address, now: float, owner: object = None) -> ClientTransaction:
        """Send a request other than ACK; ``owner`` is whom its responses concern."""
        transaction = ClientTransaction(request, now, self._values)
        transaction.owner = owner
        transaction.key = (request.via.branch, request.method)
        transaction.destination = destination
        self._clients[transaction.key] = transaction
        self._flush(transaction)
        return transaction

    def receive_response(self, response: Response, now: float) -> ClientTransaction | None:
        """Take a response; returns its transaction when the user must see it (§17.1.3)."""
        transaction = self._clients.get((response.via.branch, response.cseq.method))
        if transaction is None:
            return None
        passes = transaction.receive(response, now)
        self._flush(transaction)
        return transaction if passes else None

    def abandon(self, transaction: ClientTransaction) -> None:
        """Forget a request whose answer never came (§9.1)."""
        self._clients.pop(transaction.key, None)

    def send(self, data: bytes, destination: Address) -> None:
        """Send what belongs to no transaction: the ACK of a 2xx, a 2xx again, a stateless answer."""
        self._outbox.append(Datagram(data, destination))

    def fail(self, destination: Address, now: float) -> list[tuple[ClientTransaction, Action]]:
        """The transport cannot reach ``destination`` (§18.4); returns the transactions that this ended."""
        ended: list[tuple[ClientTransaction, Action]] = []
        for transaction in [item for item in self._clients.values() if item.destination == destination]:
            ended += [(transaction, action) for action in transaction.fail(now)]
            self._flush(transaction)
        return ended

    def next_timeout(self) -> float | None:
        """Return when handle_timeout() is due; None for never."""
        return self._timers.next_timeout()

    def handle_timeout(self, now: float) -> list[tuple[ClientTransaction, Action]]:
        """Fire what is due; returns our requests that nobody answered."""
        ended: list[tuple[ClientTransaction, Action]] = []
        while (transaction := self._timers.pop_due(now)) is not None:
            news = transaction.handle_timeout(now)
            if Action.TIMED_OUT in news and isinstance(transaction, ClientTransaction):
                ended.append((transaction, Action.TIMED_OUT))
            self._flush(transaction)
        return ended

    def datagrams_to_send(self) -> list[Datagram]:
        """Return what must be sent now, in order, and forget it."""
        datagrams, self._outbox = self._outbox, []
        return datagrams

    def _flush(self, transaction: Transaction) -> None:
        """Collect what a transaction sends; forget it when it is over."""
        if transaction.outbox:
            for data in transaction.take_outbox():
                self._outbox.append(Datagram(data, transaction.destination))
        if not transaction.is_terminated:
            self._timers.update(transaction)
        elif isinstance(transaction, ServerTransaction):
            self._servers.pop(transaction.key, None)
            if transaction.merge_key is not None and self._merges.get(transaction.merge_key) == transaction.key:
                del self._merges[transaction.merge_key]
        else:
            self._clients.pop(transaction.key, None)


def _merge_key(request: Request) -> Key | None:
    """Return what a request shares with its copies by other ways: From tag, Call-ID, CSeq (§8.2.2.2)."""
    sender = request.from_.tag
    if sender is None or request.to.tag is not None:
        return None
    return (sender, request.call_id, str(request.cseq.number), request.method)

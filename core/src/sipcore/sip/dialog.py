"""Dialogs (RFC 3261 §12)."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

from sipcore.errors import RemoteProtocolError
from sipcore.sip.headers import Headers
from sipcore.sip.message import Request, Response
from sipcore.sip.transaction import Address
from sipcore.sip.uri import Uri
from sipcore.sip.values import NameAddress

DialogId: TypeAlias = tuple[str, str, str]
"""Call-ID, local tag, remote tag (§12)."""


class Dialog:
    """What two user agents keep of each other for as long as they talk (§12).

    Args:
        call_id: shared by both.
        local: From of our requests, with our tag.
        remote: To of our requests, with the peer's tag if it sent one.
        target: the Request-URI of our requests: the peer's Contact.
        routes: the proxies between, next one first.
        local_sequence: the number of our latest request.
        remote_sequence: the number of the peer's latest; None before its first.
    """

    __slots__ = ("call_id", "local", "local_sequence", "remote", "remote_sequence", "routes", "target")

    def __init__(
        self,
        call_id: str,
        local: NameAddress,
        remote: NameAddress,
        target: Uri,
        routes: tuple[NameAddress, ...],
        *,
        local_sequence: int,
        remote_sequence: int | None,
    ) -> None:
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.target = target
        self.routes = routes
        self.local_sequence = local_sequence
        self.remote_sequence = remote_sequence

    @classmethod
    def of_server(cls, invite: Request, tag: str, sequence: int) -> Dialog:
        """Make the dialog of an INVITE that came in, answered with ``tag`` (§12.1.1).

        An INVITE of RFC 2543 may have no Contact: then its From is the target.
        """
        remote = invite.from_
        target = remote.uri if invite.contact is None else invite.contact.uri
        routes = invite.addresses("Record-Route")
        local = invite.to.with_tag(tag)
        return cls(
            invite.call_id,
            local,
            remote,
            target,
            routes,
            local_sequence=sequence,
            remote_sequence=invite.cseq.number,
        )

    @classmethod
    def of_client(cls, invite: Request, response: Response) -> Dialog:
        """Make the dialog that a response to our INVITE opens (§12.1.2)."""
        target = invite.uri if response.contact is None else response.contact.uri
        routes = response.addresses("Record-Route")[::-1]
        number = invite.cseq.number
        return cls(
            invite.call_id, invite.from_, response.to, target, routes, local_sequence=number, remote_sequence=None
        )

    @property
    def id(self) -> DialogId:
        """Under which the peer's requests find it."""
        return (self.call_id, self.local.tag or "", self.remote.tag or "")

    def request(self, method: str, via: str, *, sequence: int | None = None) -> Request:
        """Make a request inside the dialog (§12.2.1.1), without Contact and body.

        Args:
            method: an ACK takes the INVITE's ``sequence``, any other method the next number.
            via: our Via, with a new branch.
            sequence: for ACK.
        """
        if sequence is None:
            self.local_sequence += 1
            sequence = self.local_sequence
        uri, routes = self._request_uri_and_routes()
        headers = Headers([("Via", via), ("Max-Forwards", "70")])
        for route in routes:
            headers.append("Route", str(route))
        headers.append("From", str(self.local))
        headers.append("To", str(self.remote))
        headers.append("Call-ID", self.call_id)
        headers.append("CSeq", f"{sequence} {method}")
        return Request(headers, b"", method, uri)

    def _request_uri_and_routes(self) -> tuple[Uri, tuple[NameAddress, ...]]:
        if not self.routes or self.routes[0].uri.parameter("lr") is not None:
            return self.target, self.routes
        strict = self.routes[0].uri
        uri = Uri(strict.scheme, strict.user, strict.host, strict.port, strict.parameters, "", strict.password)
        return uri, (*self.routes[1:], NameAddress(self.target))

    def receive(self, request: Request) -> None:
        """Take a request of the peer's: its number must grow, its Contact moves the target (§12.2.2).

        Raises:
            RemoteProtocolError: out of order (500).
        """
        number = request.cseq.number
        if self.remote_sequence is not None and number <= self.remote_sequence:
            raise RemoteProtocolError(f"CSeq {number} after {self.remote_sequence}", 500)
        self.remote_sequence = number
        if request.method in ("INVITE", "UPDATE"):
            self.refresh(request)

    def refresh(self, message: Request | Response) -> None:
        """Follow the Contact of a target refresh (§12.2.1.2)."""
        if message.contact is not None:
            self.target = message.contact.uri

    def next_hop(self, peer: Address) -> Address:
        """Return where our next request goes: the first route or the target, if it is an address that we can reach.

        Args:
            peer: where the peer's last message came from. It stands in for a name (nothing is looked up here) and for
                a private or loopback address that a peer on another network wrote about itself.
        """
        uri = self.routes[0].uri if self.routes else self.target
        try:
            written = ipaddress.ip_address(uri.host)
            seen = ipaddress.ip_address(peer[0])
        except ValueError:
            return peer
        is_nearer = (written.is_private and not seen.is_private) or (written.is_loopback and not seen.is_loopback)
        if written.version != seen.version or written.is_unspecified or is_nearer:
            return peer
        return uri.host, uri.port or 5060

"""Where a request for a URI is sent."""

from __future__ import annotations

import socket

import anyio

from sipcore.errors import CallFailedError
from sipcore.sip.uri import Uri

SIP_PORT = 5060


async def resolve(target: Uri) -> tuple[str, int]:
    """Where to send a request for ``target``: the address of its host (RFC 3263's A record; SRV comes later).

    Raises:
        CallFailedError: the host has no IPv4 address.
    """
    port = target.port or SIP_PORT
    try:
        found = await anyio.getaddrinfo(target.host.strip("[]"), port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise CallFailedError(503, f"the host {target.host} has no IPv4 address ({error})") from error
    return found[0][4][0], port

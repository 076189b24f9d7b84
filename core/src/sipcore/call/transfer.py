"""Blind transfer: the far end is asked to call someone else (REFER, RFC 3515)."""

from __future__ import annotations

import anyio

from sipcore.call.leg import Leg
from sipcore.errors import CallFailedError, RemoteProtocolError
from sipcore.sip.uri import Uri


class Transfer:
    """The transfers of one call, one at a time.

    Args:
        leg: the call's SIP side.
    """

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._settled = anyio.Event()
        self._settled.set()
        self._status = 0
        self._reason = ""
        leg.on_transfer_ended = self._on_ended

    async def to(self, target: str) -> None:
        """Ask the far end to call ``target``, and wait until it has.

        Raises:
            CallFailedError: 400 for a target that is no SIP URI, 491 while another transfer is under way; else what the
                far end, or the target, refused with.
            CallEndedError: the call ended meanwhile.
        """
        self._leg.check()
        uri = _parse(target)
        if not self._settled.is_set():
            raise CallFailedError(491, "another transfer of this call is under way: wait for its end")
        self._leg.refer(uri)
        self._settled = anyio.Event()
        await self._leg.while_up(self._settled.wait)
        if not 200 <= self._status < 300:
            raise CallFailedError(self._status, self._reason)

    def _on_ended(self, status: int, reason: str) -> None:
        self._status, self._reason = status, reason
        self._settled.set()


def _parse(target: str) -> Uri:
    try:
        uri = Uri.parse(target)
    except RemoteProtocolError as error:
        raise CallFailedError(400, f"{error}: sip:bob@192.168.1.10 was expected") from error
    if not uri.is_sip:
        raise CallFailedError(400, f"{target!r} is no SIP URI: sip:bob@192.168.1.10 was expected")
    return uri

"""Hold and resume, as we ask for them (RFC 3264 §8.4)."""

from __future__ import annotations

import anyio

from sipcore.call.leg import Leg
from sipcore.call.media_session import MediaSession
from sipcore.errors import CallFailedError, RemoteProtocolError


class Hold:
    """Our re-INVITEs of one call that hold the far end or resume, one at a time.

    Args:
        leg: the call's SIP side.
        media: its audio.
    """

    def __init__(self, leg: Leg, media: MediaSession) -> None:
        self._leg = leg
        self._media = media
        self._turn = anyio.Lock()
        self._settled = anyio.Event()
        self._settled.set()
        self._wanted = False
        self._failure: CallFailedError | None = None
        leg.on_offer_accepted = self._on_accepted
        leg.on_offer_refused = self._on_refused

    @property
    def is_waiting(self) -> bool:
        """Whether an offer of ours has no outcome yet."""
        return not self._settled.is_set()

    async def turn(self, *, held: bool) -> None:
        """Hold or resume, and wait until the far end agreed; nothing happens when it is so already.

        Raises:
            CallFailedError: the far end refused, or its answer cannot be used.
            CallEndedError: the call ended meanwhile.
        """
        async with self._turn:
            await self._leg.while_up(self._settled.wait)
            if self._media.held is held:
                return
            self._leg.offer(self._media.offer(held=held))
            self._settled, self._wanted, self._failure = anyio.Event(), held, None
            await self._leg.while_up(self._settled.wait)
            if self._failure is not None:
                raise self._failure

    def renew(self) -> None:
        """The far end's offer came first: ours, if it still waits, is made again after it (RFC 3264 §8)."""
        if self.is_waiting:
            self._leg.offer(self._media.offer(held=self._wanted))

    def _on_accepted(self, answer: bytes) -> None:
        try:
            self._media.accept(answer)
        except RemoteProtocolError as error:
            self._failure = CallFailedError(488, f"the answer cannot be used: {error}")
        self._settled.set()

    def _on_refused(self, status: int, reason: str) -> None:
        self._failure = CallFailedError(status, reason)
        self._settled.set()

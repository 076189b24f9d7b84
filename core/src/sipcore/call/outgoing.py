"""A call of ours that nobody has answered yet."""

from __future__ import annotations

from sipcore.call.call import Call
from sipcore.call.invitation import CallContext
from sipcore.call.leg import Leg
from sipcore.call.media_session import MediaSession
from sipcore.errors import CallFailedError, RemoteProtocolError
from sipcore.plugins.interfaces import CallAnswered


class Outgoing:
    """A call that rings there. Its `call` can be heard already, as far as the far end sends early media.

    Args:
        call: the call.
        leg: its SIP side.
        media: its offers and answers.
        context: the switchboard's.
    """

    def __init__(self, call: Call, leg: Leg, media: MediaSession, context: CallContext) -> None:
        self.call = call
        self._leg = leg
        self._media = media
        self._context = context

    async def wait_answered(self) -> None:
        """Wait for the answer.

        Raises:
            CallFailedError: it was not answered.
        """
        body = await self._leg.wait_answered()
        try:
            self._media.accept(body)
        except RemoteProtocolError as error:
            raise CallFailedError(488, f"the answer cannot be used: {error}") from error
        self._context.adopt(self.call)
        self._context.observe(CallAnswered(self.call.info))

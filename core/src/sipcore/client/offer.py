"""A call that a client may take."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from sipcore.client.call import ClientCall, Sender
from sipcore.control import commands
from sipcore.plugins.interfaces import CallInfo


class Offer:
    """A call that rings, or that lost whoever held it.

    Args:
        info: who calls whom.
        sender: the client.
        adopt: gives the client's events of this call to it, until it is over.
    """

    def __init__(self, info: CallInfo, sender: Sender, adopt: Callable[[ClientCall], None]) -> None:
        self.info = info
        self._sender = sender
        self._adopt = adopt

    @asynccontextmanager
    async def answer(self) -> AsyncGenerator[ClientCall, None]:
        """Take the call; leaving the block hangs up.

        Raises:
            CallEndedError: another client was quicker, or the caller gave up.
        """
        call = ClientCall(self.info, self._sender)
        self._adopt(call)
        try:
            await self._sender.send(commands.Answer(self.info.call_id))
            await call.wait_answered()
            yield call
        finally:
            await call.hang_up()

    async def ignore(self) -> None:
        """Leave the call to others."""
        await self._sender.send(commands.Ignore(self.info.call_id))

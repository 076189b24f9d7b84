"""``sipcore call-center``: conversations alone, on calls that a server far or near hands over the WebSocket."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio

from sipcore import __version__
from sipcore.app.config import Settings, load_settings
from sipcore.app.engines import Plan, load_greeting, plan
from sipcore.app.logs import call_context, setup_logging
from sipcore.app.run import fetch_models, stop_on_signal, tell_engines, tell_warnings
from sipcore.app.server import converse, log_event, open_talk
from sipcore.app.terminal import out
from sipcore.client import Client, Offer, connect
from sipcore.errors import CallEndedError, is_call_ended
from sipcore.plugins.interfaces import Conversation, SaysOnRequest
from sipcore.plugins.manager import PluginManager

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0


class CallCenter:
    """Takes every call that is offered, as long as there are fewer than ``most``.

    Args:
        client: the connection.
        conversation: who talks.
        most: calls at once; 0: as many as come.
    """

    def __init__(self, client: Client, conversation: Conversation, most: int = 0) -> None:
        self._client = client
        self._conversation = conversation
        self._most = most
        self._calls = 0

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Take calls until this is cancelled; ``ready`` is called when the first can come."""
        async with self._client.offers() as offers, anyio.create_task_group() as tasks:
            ready()
            async for offer in offers:
                if self._most and self._calls >= self._most:
                    logger.info("a call from %s is left to others: %d are up", offer.info.caller, self._calls)
                    await offer.ignore()
                else:
                    self._calls += 1
                    tasks.start_soon(self._take, offer)

    async def _take(self, offer: Offer) -> None:
        with call_context(offer.info.call_id):
            try:
                async with offer.answer() as call:
                    again = ", which another call centre held before" if offer.info.taken_over else ""
                    logger.info("took the call from %s for %s%s", offer.info.caller, offer.info.callee, again)
                    call.on_report = log_event
                    if isinstance(self._conversation, SaysOnRequest):
                        call.on_say = partial(self._conversation.say, call.info.call_id)
                    await converse(self._conversation, call)
                logger.info("call ended: %s", call.end_reason)
            except CallEndedError as error:
                logger.info("not taken: %s", error)
            except Exception as error:
                if not is_call_ended(error):
                    logger.exception("the conversation failed: hanging up")
            finally:
                self._calls -= 1


def run_call_center(
    url: str | None, config: Path | None, plugins: list[str] | None, pull: bool, heartbeat: Path | None
) -> None:
    """Load the engines, connect and talk, until SIGINT or SIGTERM.

    Raises:
        SipcoreError: it cannot start; the text says why and what to do.
    """
    settings = load_settings(config_file=config, overrides={"WS_URL": url})
    with setup_logging(settings, settings.call_center_log_file, terminal=True):
        manager = PluginManager()
        manager.load(plugins)
        tell_warnings(settings, manager)
        chosen = plan(settings, manager)
        fetch_models(chosen.models, pull)
        anyio.run(_serve, settings, chosen, heartbeat)


async def _serve(settings: Settings, chosen: Plan, heartbeat: Path | None) -> None:
    token = settings.ws_token.get_secret_value() if settings.ws_token else ""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(stop_on_signal, tasks.cancel_scope)
        conversation = await open_talk(settings, chosen, await load_greeting(settings.output_dir), stack)
        logger.info("connecting to %s", _shown(settings))
        client = await stack.enter_async_context(connect(settings.websocket_url, token))
        if heartbeat is not None:
            tasks.start_soon(_beat, client, heartbeat)
        center = CallCenter(client, conversation, settings.sip.max_calls)
        await center.run(lambda: _tell(settings, chosen))


async def _beat(client: Client, heartbeat: Path) -> None:
    """Touch a file as long as there is a connection: what a health check looks at."""
    while True:
        if client.is_connected:
            await anyio.Path(heartbeat).touch()
        await anyio.sleep(HEARTBEAT_SECONDS)


def _tell(settings: Settings, chosen: Plan) -> None:
    out.print(f"sipcore {__version__} call centre")
    tell_engines(chosen)
    out.print(f"Takes calls of {_shown(settings)}", markup=False)
    out.print("Stop it:       Ctrl-C\n")


def _shown(settings: Settings) -> str:
    """The server's address without its query, which may hold the token."""
    return settings.websocket_url.partition("?")[0]

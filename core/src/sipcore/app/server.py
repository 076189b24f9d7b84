"""The composition root: settings and plugins become a server that answers calls."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from sipcore.app.config import Settings
from sipcore.app.engines import Plan, load_greeting, open_conversation
from sipcore.app.gateway import Gateway
from sipcore.app.logs import call_context
from sipcore.app.metrics import Metrics
from sipcore.app.parts import endpoint_of, gateway_of, media_settings, probe_pages
from sipcore.app.replies import open_keeper
from sipcore.audio.frame import AudioFrame
from sipcore.call.call import Call
from sipcore.call.invitation import Invitation
from sipcore.call.recording import LOW_SPACE, free_bytes, recording_path, remove_old, repair_recordings
from sipcore.call.switchboard import RETRY_AFTER, Switchboard
from sipcore.client import ClientCall
from sipcore.errors import ConfigError, is_call_ended
from sipcore.media.link import MediaEngine
from sipcore.media.messages import MediaStatistics
from sipcore.plugins.interfaces import (
    CallEnded,
    CallEvent,
    Conversation,
    RecordingStarted,
    SaysOnRequest,
    TranscriptMade,
    TurnFinished,
)

logger = logging.getLogger(__name__)

LINGER_SECONDS = 5.0
"""How long a conversation may go on after its call, to note what was said."""

TIDY_SECONDS = 3600.0
"""How often files that are too old are looked for."""

Observer = Callable[[CallEvent], None]


class Server:
    """Answers calls: each gets a recording, and the conversation or a client of the WebSocket.

    Args:
        settings: checked already.
        metrics: counts what calls came to.

    Attributes:
        conversation: who talks; None: the clients.
        gateway: the clients; None: there is no WebSocket.
        all_calls: counts the calls that take up ports, outgoing ones too.
        stopping: whether calls are being hung up.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._calls = 0
        self._call_ids: set[str] = set()
        self.conversation: Conversation | None = None
        self.gateway: Gateway | None = None
        self.all_calls: Callable[[], int] = lambda: self._calls
        self.stopping = False

    @property
    def calls(self) -> int:
        """How many incoming calls are up."""
        return self._calls

    @property
    def unready(self) -> str:
        """Why no call can be taken now; empty when one can."""
        room = self._settings.session_room
        if self.stopping:
            return "stopping"
        limit = self._settings.sip.max_calls or room
        return "full" if self._calls >= limit or self.all_calls() >= room else ""

    async def answer(self, invitation: Invitation) -> None:
        """Take one call from its INVITE to its end."""
        info = invitation.info
        with call_context(info.call_id):
            logger.info("incoming call from %s for %s", info.caller, info.callee)
            limit = self._settings.sip.max_calls
            if limit and self._calls >= limit:
                logger.warning("refused with 503: sip.max_calls = %d are up", limit)
                invitation.reject(503, headers=(("Retry-After", str(RETRY_AFTER)),))
                return
            if info.call_id in self._call_ids:
                logger.warning("refused with 482: another call with this Call-ID is up")
                invitation.reject(482)
                return
            self._calls += 1
            self._call_ids.add(info.call_id)
            try:
                await self._serve(invitation)
            finally:
                self._calls -= 1
                self._call_ids.discard(info.call_id)
                if self.gateway is not None:
                    self.gateway.gone(info)

    async def _serve(self, invitation: Invitation) -> None:
        async with invitation.answer(partial(self._ring, invitation)) as call:
            self.record(call)
            logger.info("answered")
            try:
                await self._hold(call)
            except Exception as error:
                if not is_call_ended(error):
                    logger.exception("the conversation failed: hanging up")
        self.count(call)

    async def _ring(self, invitation: Invitation) -> None:
        if self.conversation is None and self.gateway is not None:
            await self.gateway.ring(invitation)
        else:
            await anyio.sleep(self._settings.sip.ring_seconds)

    async def _hold(self, call: Call) -> None:
        if self.conversation is None:
            if self.gateway is not None:
                await self.gateway.attend(call)
        elif self.gateway is None:
            await converse(self.conversation, call)
        else:
            async with self.gateway.followed(call, self._settings.assistant[0].name):
                await converse(self.conversation, call)

    def count(self, call: Call) -> None:
        """Tell what a call's media came to, when it is over."""
        if call.statistics is not None:
            log_media(call.statistics)
            self._metrics.count_media(call.statistics)

    def record(self, call: Call) -> None:
        """Record a call, if calls are recorded; one that cannot be goes on."""
        if not self._settings.recording.enabled:
            return
        try:
            path = recording_path(self._settings.recording_dir, call.info, datetime.now().astimezone())
        except OSError as error:
            logger.error("the call is not recorded: %s", error)
            return
        logger.info("recording to %s", path)
        call.record(path, self._settings.recording.channels)
        call.report(RecordingStarted(call.info, str(path)))


async def converse(conversation: Conversation, call: Call | ClientCall) -> None:
    """Let a conversation talk; one that does not notice the end of its call is cancelled a little later."""
    async with anyio.create_task_group() as tasks:

        async def end() -> None:
            await call.wait_over()
            await anyio.sleep(LINGER_SECONDS)
            logger.warning("the conversation did not end with its call: cancelled")
            tasks.cancel_scope.cancel()

        tasks.start_soon(end)
        await conversation.converse(call)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_server(
    settings: Settings, plan: Plan | None, observers: Sequence[Observer] = (), *, websocket: bool = False
) -> AsyncGenerator[Server, None]:
    """Load the engines, bind the ports and answer calls until the block is left.

    Args:
        settings: checked already.
        plan: the engines of the conversation; None: clients of the WebSocket hold the calls.
        observers: told of every event.
        websocket: whether there is a WebSocket.

    Raises:
        ConfigError: something in the settings cannot work, a port is in use …
        PluginError: an engine could not be loaded.
    """
    _tidy(settings)
    metrics = Metrics()
    server = Server(settings, metrics)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(endpoint_of(settings))
        greeting = await load_greeting(settings.output_dir)
        if websocket:
            pages = probe_pages(lambda: server.unready, metrics.page)
            gateway = gateway_of(settings, pages, greeting, server.record, server.count)
            server.gateway = await stack.enter_async_context(gateway)
        if plan is not None:
            server.conversation = await open_talk(settings, plan, greeting, stack)
            if server.gateway is not None and isinstance(server.conversation, SaysOnRequest):
                server.gateway.say = server.conversation.say
        media = await stack.enter_async_context(MediaEngine(media_settings(settings)))
        told = [log_event, metrics.observe, *([server.gateway.observe] if server.gateway else []), *observers]
        board = Switchboard(endpoint, media, settings.advertised_ip, server.answer, _fan_out(told))
        await stack.enter_async_context(board)
        server.all_calls = lambda: board.calls
        if server.gateway is not None:
            await stack.enter_async_context(server.gateway.dialling(board))
        _add_gauges(metrics, board, server.gateway)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(_keep_tidy, settings)
        try:
            yield server
        finally:
            server.stopping = True
            tasks.cancel_scope.cancel()


async def open_talk(settings: Settings, plan: Plan, greeting: AudioFrame | None, stack: AsyncExitStack) -> Conversation:
    """Load the engines of a conversation on ``stack``; what callers hear is kept, if that is wanted.

    Raises:
        SipcoreError: one could not be loaded; the text says what to do.
    """
    keep = None
    if settings.recording.keep_replies:
        keep = (await stack.enter_async_context(open_keeper(settings.response_dir))).keep
    return await open_conversation(plan, greeting, stack, keep)


def _add_gauges(metrics: Metrics, board: Switchboard, gateway: Gateway | None) -> None:
    metrics.gauge("calls_active", "Calls that there are now, ringing ones too.", lambda: board.calls)
    if gateway is not None:
        metrics.gauge("websocket_clients", "Clients of the WebSocket.", lambda: gateway.clients)


def _tidy(settings: Settings) -> None:
    """Mend what a crash left, drop what is too old."""
    if settings.recording.enabled:
        _mend(settings.recording_dir)
    _remove_old(settings)


async def _keep_tidy(settings: Settings) -> None:
    """Drop what has become too old, now and then."""
    while True:
        await anyio.sleep(TIDY_SECONDS)
        try:
            await anyio.to_thread.run_sync(_remove_old, settings)
        except OSError as error:
            logger.error("old recordings could not be removed: %s", error)


def _mend(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = free_bytes(folder)
    except OSError as error:
        problem = f"RECORDING_DIR {folder} cannot be used: {error.strerror}. Make it writable, or choose another"
        raise ConfigError(problem) from error
    if free < LOW_SPACE:
        logger.warning("RECORDING_DIR %s has %d MB left", folder, free // 1_000_000)
    for path in repair_recordings(folder):
        logger.warning("%s was cut off by a crash: repaired", path)


def _remove_old(settings: Settings) -> None:
    days, now = settings.max_recording_age_days, datetime.now().astimezone()
    folders = [settings.recording_dir] if settings.recording.enabled else []
    for folder in (*folders, settings.response_dir):
        for path in remove_old(folder, days, now):
            logger.info("%s is older than %d days: removed", path, days)


def _fan_out(observers: Sequence[Observer]) -> Observer:
    def observe(event: CallEvent) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception:
                logger.exception("an observer failed on %s", type(event).__name__)

    return observe


def log_media(statistics: MediaStatistics) -> None:
    """Write what a call's media came to."""
    logger.info(
        "media: %d packets sent, %d received, %d lost, %d late, jitter %.1f ms%s",
        statistics.packets_sent,
        statistics.packets_received,
        statistics.packets_lost,
        statistics.packets_late,
        1000 * statistics.jitter,
        "".join(f", {count} dropped ({why})" for why, count in statistics.dropped.items() if count),
    )


def log_event(event: CallEvent) -> None:
    """Write what matters of an event to the log."""
    with call_context(event.info.call_id):
        match event:
            case CallEnded(reason=reason):
                logger.info("call ended: %s", reason)
            case TranscriptMade(final=False, speaker=speaker, transcript=transcript):
                logger.debug("%s, so far: %s", speaker, transcript.text)
            case TranscriptMade(speaker=speaker, transcript=transcript):
                logger.info("%s: %s", speaker, transcript.text)
            case TurnFinished(timing=timing) if timing.first_packet is not None:
                logger.info("answered after %.0f ms", 1000 * (timing.first_packet - timing.speech_end))
            case _:
                pass

"""The composition root: settings and plugins become a server that answers calls."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from sipcore import __version__
from sipcore.app.config import Settings
from sipcore.app.engines import Plan, load_greeting, open_conversation
from sipcore.app.logs import call_context
from sipcore.app.replies import open_keeper
from sipcore.call.call import Call
from sipcore.call.invitation import Invitation
from sipcore.call.recording import LOW_SPACE, free_bytes, recording_path, remove_old, repair_recordings
from sipcore.call.switchboard import RETRY_AFTER, Switchboard
from sipcore.errors import ConfigError, is_call_ended
from sipcore.media.link import MediaEngine, MediaSettings
from sipcore.media.messages import MediaStatistics
from sipcore.net.udp import SipEndpoint
from sipcore.plugins.interfaces import (
    CallEnded,
    CallEvent,
    Conversation,
    RecordingStarted,
    TranscriptMade,
    TurnFinished,
)
from sipcore.sip.timers import TimerValues
from sipcore.sip.user_agent import UserAgentSettings

logger = logging.getLogger(__name__)

LINGER_SECONDS = 5.0
"""How long a conversation may go on after its call, to note what was said."""

TIDY_SECONDS = 3600.0
"""How often files that are too old are looked for."""

Observer = Callable[[CallEvent], None]


class Server:
    """Answers calls: each gets a recording and the conversation.

    Args:
        settings: checked already.
        conversation: who talks.
    """

    def __init__(self, settings: Settings, conversation: Conversation) -> None:
        self._settings = settings
        self._conversation = conversation
        self._calls = 0

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
            self._calls += 1
            try:
                await self._serve(invitation)
            finally:
                self._calls -= 1

    async def _serve(self, invitation: Invitation) -> None:
        async with invitation.answer(self._settings.sip.ring_seconds) as call:
            if self._settings.recording.enabled:
                self._record(call)
            logger.info("answered")
            try:
                await self._converse(call)
            except Exception as error:
                if not is_call_ended(error):
                    logger.exception("the conversation failed: hanging up")
        if call.statistics is not None:
            log_media(call.statistics)

    async def _converse(self, call: Call) -> None:
        """Let the conversation talk; what does not notice the end of the call is cancelled a little later."""
        async with anyio.create_task_group() as tasks:

            async def end() -> None:
                await call.wait_over()
                await anyio.sleep(LINGER_SECONDS)
                logger.warning("the conversation did not end with its call: cancelled")
                tasks.cancel_scope.cancel()

            tasks.start_soon(end)
            await self._conversation.converse(call)
            tasks.cancel_scope.cancel()

    def _record(self, call: Call) -> None:
        try:
            path = recording_path(self._settings.recording_dir, call.info, datetime.now().astimezone())
        except OSError as error:
            logger.error("the call is not recorded: %s", error)
            return
        logger.info("recording to %s", path)
        call.record(path, self._settings.recording.channels)
        call.report(RecordingStarted(call.info, str(path)))


@asynccontextmanager
async def open_server(
    settings: Settings, plan: Plan, observers: Sequence[Observer] = ()
) -> AsyncGenerator[Server, None]:
    """Load the engines, bind the ports and answer calls until the block is left.

    Raises:
        ConfigError: something in the settings cannot work, a port is in use …
        PluginError: an engine could not be loaded.
    """
    _tidy(settings)
    observe = _fan_out([log_event, *observers])
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(endpoint_of(settings))
        greeting = await load_greeting(settings.output_dir)
        keep = None
        if settings.recording.keep_replies:
            keep = (await stack.enter_async_context(open_keeper(settings.response_dir))).keep
        conversation = await open_conversation(plan, greeting, stack, keep)
        server = Server(settings, conversation)
        media = await stack.enter_async_context(MediaEngine(media_settings(settings)))
        await stack.enter_async_context(Switchboard(endpoint, media, settings.advertised_ip, server.answer, observe))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_keep_tidy, settings)
            yield server
            tasks.cancel_scope.cancel()


def endpoint_of(settings: Settings) -> SipEndpoint:
    """The SIP endpoint that the settings describe."""
    agent = UserAgentSettings(
        address=(settings.advertised_ip, settings.sip_local_port),
        product=f"sipcore/{__version__}",
        timers=TimerValues(t1=settings.sip.t1, t2=settings.sip.t2),
    )
    return SipEndpoint((settings.sip_local_ip, settings.sip_local_port), agent)


def media_settings(settings: Settings) -> MediaSettings:
    """The media engine's share of the settings."""
    return MediaSettings(
        address=settings.sip_local_ip,
        rtp_port_start=settings.rtp_port_start,
        rtp_port_end=settings.rtp_port_end,
        ports_per_session=settings.media.ports_per_session,
        mode=settings.media.mode,
        silence_seconds=settings.media.silence_seconds,
    )


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

"""A call: a SIP session and its media, seen as one thing."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from sipcore.audio.frame import AudioFrame
from sipcore.call.hold import Hold
from sipcore.call.leg import Leg
from sipcore.call.media_session import MediaSession
from sipcore.call.transfer import Transfer
from sipcore.errors import CallEndedError, LocalProtocolError, MediaError, RemoteProtocolError
from sipcore.media.messages import DigitReceived as DigitHeard
from sipcore.media.messages import EngineLost, MediaEvent, MediaStatistics, PeerSilent, RecordingFailed, StrangerHeard
from sipcore.plugins.interfaces import CallEvent, CallInfo, DigitReceived, Stream
from sipcore.sip.message import Request

logger = logging.getLogger(__name__)

DIGITS_WAITING = 64


class Call:
    """One call, incoming or outgoing: the `CallHandle` of a conversation in this process.

    Args:
        info: who calls whom.
        leg: its SIP side.
        media: its audio.
        observe: told of every event.
    """

    def __init__(
        self,
        info: CallInfo,
        leg: Leg,
        media: MediaSession,
        observe: Callable[[CallEvent], None],
    ) -> None:
        self._info = info
        self._leg = leg
        self._media = media
        self._channel = media.channel
        self._observe = observe
        self._digit_listeners: set[MemoryObjectSendStream[str]] = set()
        self._answered_at = 0.0
        self._hold = Hold(leg, media)
        self._transfer = Transfer(leg)
        leg.on_offer = self._on_offer
        leg.on_late_answer = self._on_late_answer
        leg.on_end = self._on_end

    # --- what a conversation sees

    @property
    def info(self) -> CallInfo:
        """Who calls whom."""
        return self._info

    @property
    def sample_rate(self) -> int:
        """Samples a second, both ways."""
        return self._channel.sample_rate

    def audio(self) -> Stream[AudioFrame]:
        """What the far end says, from now on, in 20 ms frames."""
        return self._channel.hear()

    @asynccontextmanager
    async def digits(self) -> AsyncGenerator[AsyncIterable[str], None]:
        """The keys that the far end presses, from now on. Ends with the call."""
        send, receive = anyio.create_memory_object_stream[str](DIGITS_WAITING)
        with send, receive:
            self._digit_listeners.add(send)
            if self.over:
                send.close()
            try:
                yield receive
            finally:
                self._digit_listeners.discard(send)

    async def play(self, audio: AudioFrame) -> float:
        """Queue audio; the position of its end, in seconds."""
        if audio.sample_rate != self.sample_rate:
            raise LocalProtocolError(f"audio at {audio.sample_rate} Hz on a call of {self.sample_rate} Hz: resample it")
        with self._while_up():
            return await self._channel.play(audio.pcm) / self.sample_rate

    def try_play(self, audio: AudioFrame) -> float | None:
        """Queue audio of the call's rate without waiting; its end's position in seconds, None when there is no room."""
        with self._while_up():
            end = self._channel.try_play(audio.pcm)
        return None if end is None else end / self.sample_rate

    @property
    def queued(self) -> float:
        """Seconds of audio that wait to be sent."""
        return self._channel.queued / self.sample_rate

    async def played(self, position: float) -> float | None:
        """Wait until the audio before ``position`` was sent; when that was, or None if it was cleared."""
        with self._while_up():
            return await self._channel.played(round(position * self.sample_rate))

    async def clear(self) -> float:
        """Drop what is queued; the position that was really sent, in seconds."""
        with self._while_up():
            return await self._channel.clear() / self.sample_rate

    async def send_digits(self, digits: str) -> None:
        """Send telephone events.

        Raises:
            MediaError: the far end takes none.
        """
        with self._while_up():
            self._channel.send_digits(digits)

    async def hold(self) -> None:
        """Put the far end on hold: what is queued waits, and nothing is heard of it, until `resume`.

        Raises:
            CallFailedError: the far end refuses; the call goes on as before.
        """
        await self._hold.turn(held=True)

    async def resume(self) -> None:
        """Talk again after `hold`.

        Raises:
            CallFailedError: the far end refuses; the call stays on hold.
        """
        await self._hold.turn(held=False)

    async def transfer(self, target: str) -> None:
        """Ask the far end to call ``target`` (a SIP URI) instead, with REFER; returns when it has done so.

        Raises:
            CallFailedError: the far end, or the target, refused; the call goes on as before.
        """
        await self._transfer.to(target)

    async def hang_up(self, reason: str = "") -> None:
        """End the call; see `end`."""
        self.end(reason)

    def end(self, reason: str = "") -> None:
        """End the call with BYE, the reason in a Reason header (RFC 3326); does not wait for the answer."""
        self._leg.hang_up(f'SIP;text="{quoted(reason)}"' if reason else "", reason or "bye")

    def report(self, event: CallEvent) -> None:
        """Tell the observers."""
        self._observe(event)

    # --- what the server sees

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._leg.over

    @property
    def end_reason(self) -> str:
        """Why it ended; empty while it is up."""
        return self._leg.reason

    async def wait_over(self) -> str:
        """Wait for the end; the reason."""
        return await self._leg.wait_over()

    @property
    def statistics(self) -> MediaStatistics | None:
        """What its media came to; None while it is up."""
        return self._channel.statistics

    def record(self, path: Path, channels: int) -> None:
        """Record to a WAV file: the far end (1 channel), or far end left and us right (2)."""
        with self._while_up():
            self._channel.record(path, channels=channels)

    async def watch_media(self) -> None:
        """Follow the media engine's events until the channel closes; begins with the answer."""
        self._answered_at = anyio.current_time()
        async with self._channel.events() as events:
            async for event in events:
                await self._on_media(event)

    async def _on_media(self, event: MediaEvent) -> None:
        match event:
            case DigitHeard(digit=digit):
                for listener in self._digit_listeners:
                    self._pass_on(digit, listener)
                self.report(DigitReceived(self._info, digit))
            case StrangerHeard(address=(host, port)):
                logger.warning("RTP from %s:%d is not from the far end: dropped", host, port)
            case PeerSilent(seconds=seconds) if self._media.expects_audio and self._silent_since_answer(seconds):
                logger.warning("no audio from the far end for %.0f s: the call ends", seconds)
                await self.hang_up("no audio")
            case RecordingFailed(reason=reason):
                logger.error("the recording stopped: %s", reason)
            case EngineLost():
                logger.error("the media engine is gone: the call ends")
                await self.hang_up("media engine lost")
            case _:
                pass

    def _silent_since_answer(self, seconds: float) -> bool:
        """Whether a silence belongs to the call and not to its ringing: most of it came after the answer."""
        return anyio.current_time() - self._answered_at > seconds / 2

    def _pass_on(self, digit: str, listener: MemoryObjectSendStream[str]) -> None:
        try:
            listener.send_nowait(digit)
        except anyio.WouldBlock:
            logger.warning("nobody reads the digits of call %s: %s is dropped", self._info.call_id, digit)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            logger.debug("call %s: %s came after the end", self._info.call_id, digit)

    def _on_end(self) -> None:
        self._channel.close()
        for listener in self._digit_listeners:
            listener.close()

    def _on_offer(self, request: Request) -> None:
        """A re-INVITE: hold, resume, a new address (RFC 3264 §8); one without a body asks for our offer.

        While an offer of ours waits, it is asked for another time (491): two offers of ours cannot be told apart.
        """
        if not request.body and self._hold.is_waiting:
            self._leg.refuse_offer(491)
            return
        try:
            with self._while_up():
                body = self._media.answer(request.body) if request.body else self._media.offer()
            self._leg.accept_offer(body)
            self._hold.renew()
        except RemoteProtocolError as error:
            logger.warning("call %s: a new offer is refused: %s", self._info.call_id, error)
            self._leg.refuse_offer(error.status)

    def _on_late_answer(self, body: bytes) -> None:
        try:
            with self._while_up():
                self._media.accept(body)
        except RemoteProtocolError as error:
            logger.warning("call %s: the answer to our offer cannot be used: %s", self._info.call_id, error)

    @contextmanager
    def _while_up(self) -> Generator[None]:
        self._leg.check()
        try:
            yield
        except MediaError as error:
            if not self._channel.over:
                raise
            raise CallEndedError(f"the call is over: {self._leg.reason or error}") from error


def quoted(text: str) -> str:
    """``text`` for a quoted string (RFC 3261 §25.1): one line, quotes and backslashes escaped."""
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')

"""One call as the clients of the WebSocket see it: their commands, its audio, marks as they are played."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import anyio
from anyio.abc import TaskGroup, TaskStatus

from sipcore.app.sound_files import LONGEST_SECONDS, SoundFiles
from sipcore.app.wire_audio import from_wire
from sipcore.audio.frame import AudioFrame
from sipcore.call.bridge import Bridge
from sipcore.call.call import Call
from sipcore.control.commands import (
    CallCommand,
    Clear,
    Hold,
    Mark,
    Part,
    PlayAudio,
    PlayFile,
    Resume,
    SendDigits,
    Transfer,
    Whisper,
)
from sipcore.control.events import Cleared, MarkPlayed
from sipcore.control.hub import Hub
from sipcore.errors import CallEndedError, CallFailedError, LocalProtocolError, MediaError, RemoteProtocolError
from sipcore.net.websocket import AudioFormat

logger = logging.getLogger(__name__)

COMMANDS_WAITING = 1000
MARKS_WAITING = 1000


class Desk(Protocol):
    """What an attended call needs of the gateway."""

    hub: Hub

    def flush(self) -> None:
        """Carry out what the hub wants."""
        ...

    def send_audio(self, call_id: str, frame: AudioFrame) -> None:
        """Give a frame to whoever hears the call."""
        ...

    def audio_format(self, client: int) -> AudioFormat:
        """Return the format of a client's audio."""
        ...


@dataclass(frozen=True, slots=True)
class _Marked:
    """What to do when the audio before a position was sent."""

    position: float
    on_played: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Joined:
    """Two calls that are joined."""

    bridge: Bridge
    scope: anyio.CancelScope
    ends: tuple[AttendedCall, AttendedCall]


class AttendedCall:
    """Carries out what clients ask for on one call.

    Args:
        call_id: its id in the protocol.
        call: the call.
        desk: the gateway.
        files: what PLAY may play.
        most_queued: seconds of audio that a client may send ahead.
    """

    def __init__(self, call_id: str, call: Call, desk: Desk, files: SoundFiles, most_queued: float) -> None:
        self.call_id = call_id
        self.call = call
        self._desk = desk
        self._files = files
        self._most_queued = most_queued
        self._commands, self._inbox = anyio.create_memory_object_stream[tuple[int, CallCommand]](COMMANDS_WAITING)
        self._playlist: deque[AudioFrame | Callable[[], None]] = deque()
        self._moving = 0.0
        self._file = ""
        self._marks: deque[_Marked] = deque()
        self._more = anyio.Event()
        self._marked = anyio.Event()
        self._end = 0.0
        self._clears = 0
        self._joined: _Joined | None = None
        self._tasks: TaskGroup | None = None

    # --- from outside

    def perform(self, client: int, command: CallCommand) -> None:
        """Take a client's command; it is carried out after those before it."""
        try:
            self._commands.send_nowait((client, command))
        except anyio.WouldBlock:
            self._refuse(client, 429, "too many commands wait")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._refuse(client, 404, "the call is over")

    def silence(self) -> None:
        """Drop what is queued: nobody owns it."""
        self.perform(0, Clear(self.call_id))

    def hang_up(self, reason: str) -> None:
        """End the call."""
        self.call.end(reason)

    def play(self, audio: AudioFrame) -> None:
        """Queue audio of our own."""
        self._playlist.append(audio)
        self._more.set()

    def join(self, other: AttendedCall) -> bool:
        """Let the far ends of both calls talk to each other until `part`, or one of them ends; whether that can be."""
        if self._tasks is None or other._tasks is None:
            return False
        self.part()
        other.part()
        joined = _Joined(Bridge(self.call, other.call), anyio.CancelScope(), (self, other))
        self._joined = other._joined = joined
        self._tasks.start_soon(self._talk, joined)
        return True

    def part(self) -> bool:
        """Undo `join`; whether there was anything to undo."""
        joined = self._joined
        if joined is None:
            return False
        self._separate(joined)
        for one in joined.ends:
            if one._tasks is not None and not one.call.over:
                one._tasks.start_soon(self._tell_apart, joined)
                break
        return True

    # --- the call's tasks

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Attend to the call until it ends."""
        with self._commands, self._inbox:
            try:
                async with anyio.create_task_group() as self._tasks:
                    for step in (self._hear, self._work, self._play, self._watch_marks):
                        self._tasks.start_soon(self._quietly, step)
                    task_status.started()
                    await self.call.wait_over()
                    self._tasks.cancel_scope.cancel()
            finally:
                self._tasks = None
                self.part()

    async def _quietly(self, step: Callable[[], Awaitable[None]]) -> None:
        with suppress(CallEndedError, CallFailedError):
            await step()

    async def _hear(self) -> None:
        async with self.call.audio() as frames:
            async for frame in frames:
                self._desk.send_audio(self.call_id, frame)

    async def _talk(self, joined: _Joined) -> None:
        one, other = joined.ends
        with joined.scope, suppress(CallEndedError):
            await one._start_anew()
            await other._start_anew()
            one._describe(joined=other.call_id)
            other._describe(joined=one.call_id)
            await joined.bridge.run()
        if self._joined is joined:
            self.part()

    @staticmethod
    def _separate(joined: _Joined) -> None:
        joined.scope.cancel()
        for one in joined.ends:
            one._joined = None

    @staticmethod
    async def _tell_apart(joined: _Joined) -> None:
        """Drop what the far ends did not hear of each other, then tell that each is alone."""
        for one in joined.ends:
            with suppress(CallEndedError):
                await one._start_anew()
        for one in joined.ends:
            if one._joined is None:
                one._describe(joined=None)

    async def _start_anew(self) -> None:
        """Drop what is queued, and tell the owner how far the call is."""
        await self._clear(self._desk.hub.owner(self.call_id) or 0)

    async def _work(self) -> None:
        async for client, command in self._inbox:
            try:
                await self._perform(client, command)
            except RemoteProtocolError as error:
                self._refuse(client, error.status, str(error))
            except MediaError as error:
                self._refuse(client, 488, str(error))
            except LocalProtocolError as error:
                self._refuse(client, 400, str(error))

    async def _perform(self, client: int, command: CallCommand) -> None:
        match command:
            case PlayAudio(audio=audio):
                self._queue(from_wire(audio, self._desk.audio_format(client)))
            case PlayFile(file=file):
                self._queue_file(file, await self._files.load(file))
            case Mark(name=name):
                self._mark(partial(self._echo, client, name))
            case Clear():
                await self._clear(client)
            case SendDigits(digits=digits):
                await self.call.send_digits(digits)
            case Whisper(audio=audio):
                self._whisper(from_wire(audio, self._desk.audio_format(client)))
            case Part():
                if self._joined is None:
                    raise RemoteProtocolError("the call is not joined", 409)
                self._separate(joined := self._joined)
                await self._tell_apart(joined)
            case Hold() | Resume() | Transfer():
                assert self._tasks is not None
                self._tasks.start_soon(self._quietly, partial(self._negotiate, client, command))
            case _:
                raise RemoteProtocolError("not possible on this call", 409)

    # --- playing

    def _queue(self, audio: AudioFrame) -> None:
        self._check_alone()
        if self._waiting + self.call.queued + audio.duration > self._most_queued:
            raise RemoteProtocolError("RTP_SEND_QUEUE_MAX is reached: send no faster than it is played", 429)
        self.play(audio)

    def _queue_file(self, file: str, audio: AudioFrame) -> None:
        self._check_alone()
        if self._waiting + audio.duration > LONGEST_SECONDS:
            raise RemoteProtocolError(f"at most {LONGEST_SECONDS:g} s of files can wait to be played", 429)
        self._mark(partial(self._name_file, file))
        self.play(audio)
        self._mark(partial(self._name_file, ""))

    def _check_alone(self) -> None:
        if self._joined is not None:
            raise RemoteProtocolError("the call is joined: only WHISPER can be heard", 409)

    @property
    def _waiting(self) -> float:
        """Seconds that wait for room in the call's queue."""
        return self._moving + sum(item.duration for item in self._playlist if isinstance(item, AudioFrame))

    def _mark(self, on_played: Callable[[], None]) -> None:
        if len(self._marks) + len(self._playlist) >= MARKS_WAITING:
            raise RemoteProtocolError("too many marks wait", 429)
        self._playlist.append(on_played)
        self._more.set()

    def _echo(self, client: int, name: str) -> None:
        self._desk.hub.tell_owner(self.call_id, client, MarkPlayed(self.call_id, name))
        self._desk.flush()

    def _name_file(self, file: str) -> None:
        self._file = file
        self._describe(playing=file)

    async def _clear(self, client: int) -> None:
        self._clears += 1
        self._playlist.clear()
        self._marks.clear()
        self._end = await self.call.clear()
        if self._file:
            self._name_file("")
        if client:
            self._desk.hub.tell_owner(self.call_id, client, Cleared(self.call_id, round(1000 * self._end)))
            self._desk.flush()

    def _whisper(self, audio: AudioFrame) -> None:
        if self._joined is None:
            raise RemoteProtocolError("the call is not joined: there is nobody to whisper under", 409)
        if not self._joined.bridge.whisper(self.call, audio):
            raise RemoteProtocolError("too much waits to be whispered", 429)

    async def _play(self) -> None:
        """Move the playlist to the call's queue, as there is room."""
        while True:
            while self._playlist:
                item, clears = self._playlist.popleft(), self._clears
                if isinstance(item, AudioFrame):
                    self._moving = item.duration
                    end = await self.call.play(item)
                    self._moving = 0.0
                    self._end = end if clears == self._clears else self._end
                else:
                    self._marks.append(_Marked(self._end, item))
                    self._marked.set()
            self._more = anyio.Event()
            await self._more.wait()

    async def _watch_marks(self) -> None:
        while True:
            while self._marks:
                mark = self._marks[0]
                await self.call.played(mark.position)
                if self._marks and self._marks[0] is mark:
                    self._marks.popleft()
                    mark.on_played()
            self._marked = anyio.Event()
            await self._marked.wait()

    # --- hold and transfer

    async def _negotiate(self, client: int, command: Hold | Resume | Transfer) -> None:
        status, reason = 200, "OK"
        try:
            match command:
                case Hold():
                    await self.call.hold()
                    self._describe(on_hold=True)
                case Resume():
                    await self.call.resume()
                    self._describe(on_hold=False)
                case Transfer(target=target):
                    await self.call.transfer(target)
        except CallFailedError as error:
            status, reason = error.status, error.reason
        if isinstance(command, Transfer):
            self._desk.hub.transferred(self.call_id, status, reason)
            self._desk.flush()
        elif status != 200:
            self._refuse(client, status, f"the far end refuses: {reason}")

    def _describe(self, **details: str | bool | None) -> None:
        self._desk.hub.describe(self.call_id, **details)
        self._desk.flush()

    def _refuse(self, client: int, status: int, reason: str) -> None:
        self._desk.hub.refuse(client, status, reason, self.call_id)
        self._desk.flush()

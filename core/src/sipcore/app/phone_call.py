"""``sipcore call``: one errand of the phone."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from sipcore.app.config import load_settings
from sipcore.app.destinations import resolve
from sipcore.app.engines import Choice, choose
from sipcore.app.phone import Phone, open_phone, parse_target
from sipcore.app.run import fetch_models
from sipcore.app.terminal import err
from sipcore.audio.frame import AudioFrame
from sipcore.audio.resample import Resampler
from sipcore.audio.wav import read_audio
from sipcore.call.call import Call
from sipcore.errors import CallEndedError, CallFailedError, ConfigError, SipcoreError
from sipcore.plugins import models
from sipcore.plugins.interfaces import TTS, Voice
from sipcore.plugins.manager import PluginManager

CALL_RATE = 8000
ANSWERED, NOT_ANSWERED = 0, 1
SILENCE = AudioFrame(bytes(320), CALL_RATE)
"""What is queued behind digits is played when they were sent."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What to do on a call.

    Args:
        target: whom to call.
        play: a sound file to play.
        say: a text to speak after it.
        record: where to record what is heard.
        dtmf: digits to send before anything is said.
        wait: seconds to listen first.
        duration: seconds after the answer to hang up; None: when all was said, or the far end hangs up.
        timeout: seconds to let it ring.
    """

    target: str
    play: Path | None = None
    say: str | None = None
    record: Path | None = None
    dtmf: str = ""
    wait: float = 0.0
    duration: float | None = None
    timeout: float = 60.0


def make_call(errand: Errand, as_json: bool) -> int:
    """Run the errand; the exit status. SIGINT and SIGTERM hang up.

    Raises:
        ConfigError: the errand cannot be run: no such file, no text-to-speech plugin …
    """
    check(errand)
    voice = choose_voice() if errand.say else None
    result: dict[str, Any] = {"target": errand.target, "answered": False}
    try:
        anyio.run(_run, errand, voice, result)
    except CallFailedError as error:
        result |= {"status": error.status, "reason": error.reason}
        err.print(f"sipcore: not answered: {error}", markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps(result))  # noqa: T201
    return ANSWERED if result["answered"] else NOT_ANSWERED


def check(errand: Errand) -> None:
    """Find what cannot be done, before anybody is called.

    Raises:
        ConfigError: it says what.
    """
    parse_target(errand.target)
    if errand.dtmf.strip("0123456789*#ABCDabcd"):
        raise ConfigError(f"--dtmf {errand.dtmf}: the digits are 0-9, *, # and A-D")
    record = errand.record
    if record is None:
        return
    folder = record.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"--record {record}: the folder does not exist")
    if record.exists():
        raise ConfigError(f"--record {record}: it exists already. Remove it, or choose another name")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"--record {record}: the folder cannot be written to")


def choose_voice() -> Choice:
    """The text-to-speech plugin of the settings, with its models fetched.

    Raises:
        ConfigError: there is none.
    """
    manager = PluginManager()
    manager.load(None)
    settings = load_settings()
    choice = choose(settings, manager, "tts", settings.assistant[0].tts)
    if choice is None:
        raise ConfigError("--say needs a text-to-speech plugin: pip install 'sipcore[piper]'")
    fetch_models(models.missing(choice.config))
    return choice


async def _run(errand: Errand, voice: Choice | None, result: dict[str, Any]) -> None:
    speech = await prepare(errand, voice)
    address = await local_address(errand.target)
    failure: CallFailedError | None = None
    async with open_phone(address) as phone, anyio.create_task_group() as tasks:
        await tasks.start(_hang_up_on_signal, tasks.cancel_scope)
        try:
            await _converse(phone, errand, speech, result)
        except CallFailedError as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is None and not result["answered"]:
        failure = CallFailedError(487, "given up")
    if failure is not None:
        raise failure


async def _hang_up_on_signal(scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            break
    err.print("hanging up")
    scope.cancel()


async def prepare(errand: Errand, voice: Choice | None) -> list[AudioFrame]:
    """Read and synthesise all that will be said, before anybody is called.

    Raises:
        ConfigError: the file cannot be played.
    """
    speech: list[AudioFrame] = []
    if errand.play is not None:
        try:
            speech.append(await anyio.to_thread.run_sync(read_audio, errand.play, CALL_RATE))
        except (OSError, SipcoreError) as error:
            raise ConfigError(f"--play {errand.play}: {error}") from error
    if errand.say and voice is not None:
        async with voice.provider.open(voice.config) as tts:
            speech.append(await speak(tts, errand.say))
    return speech


async def speak(tts: TTS, text: str, voice: Voice | None = None) -> AudioFrame:
    """All of ``text`` as one piece of audio at the call's rate."""
    pieces: list[AudioFrame] = []

    async def once() -> AsyncGenerator[str, None]:
        yield text

    async with tts.synthesize(once(), voice or Voice()) as frames:
        pieces.extend([frame async for frame in frames])
    if not pieces:
        return AudioFrame(b"", CALL_RATE)
    joined = AudioFrame(b"".join(piece.pcm for piece in pieces), pieces[0].sample_rate)
    samples = Resampler(joined.sample_rate, CALL_RATE).process(joined.samples, last=True)
    return AudioFrame.from_samples(samples, CALL_RATE)


async def local_address(target: str) -> str:
    """The address of this machine that the target can reach."""
    host, port = await resolve(parse_target(target))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, port))
        except OSError as error:
            raise CallFailedError(503, f"{host} cannot be reached: {error}") from error
        return probe.getsockname()[0]


async def _converse(phone: Phone, errand: Errand, speech: list[AudioFrame], result: dict[str, Any]) -> None:
    def ringing(status: int) -> None:
        err.print(f"ringing ({status})")

    err.print(f"calling {errand.target}", markup=False)
    async with phone.dial(errand.target, errand.timeout, ringing) as call:
        started = anyio.current_time()
        err.print("answered")
        result |= {"answered": True, "status": 200}
        try:
            if errand.record is not None:
                call.record(errand.record.absolute(), 1)
            with anyio.move_on_after(errand.duration):
                await _talk(call, errand, speech)
        finally:
            seconds = anyio.current_time() - started
            await call.hang_up()
            result |= {"seconds": round(seconds, 3), "ended": call.end_reason}
            err.print(f"ended after {seconds:.1f} s ({call.end_reason})", markup=False)


async def _talk(call: Call, errand: Errand, speech: list[AudioFrame]) -> None:
    try:
        await anyio.sleep(errand.wait)
        said = list(speech)
        if errand.dtmf:
            await call.send_digits(errand.dtmf.upper())
            said.insert(0, SILENCE)
        position = 0.0
        for frame in said:
            position = await call.play(frame)
        if position:
            await call.played(position)
        if errand.duration is not None or not said:
            await call.wait_over()
    except CallEndedError:
        return

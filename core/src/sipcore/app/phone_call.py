"""``sipcore call``: one errand of the phone."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from sipcore.app.config import load_settings
from sipcore.app.engines import choose
from sipcore.app.phone import Phone, open_phone, parse_target, resolve
from sipcore.app.terminal import err, pull_with_bars
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


async def make_call(errand: Errand, as_json: bool) -> int:
    """Run the errand; the exit status.

    Raises:
        ConfigError: the errand cannot be run: no such file, no text-to-speech plugin …
    """
    result: dict[str, Any] = {"target": errand.target, "answered": False}
    speech = await prepare(errand)
    address = await local_address(errand.target)
    async with open_phone(address) as phone:
        try:
            result |= await _converse(phone, errand, speech)
            status = ANSWERED
        except CallFailedError as error:
            result |= {"status": error.status, "reason": error.reason}
            err.print(f"sipcore: not answered: {error}", markup=False)
            status = NOT_ANSWERED
    if as_json:
        print(json.dumps(result))  # noqa: T201
    return status


async def prepare(errand: Errand) -> list[AudioFrame]:
    """Read and synthesise all that will be said, before anybody is called."""
    speech: list[AudioFrame] = []
    if errand.dtmf.strip("0123456789*#ABCDabcd"):
        raise ConfigError(f"--dtmf {errand.dtmf}: the digits are 0-9, *, # and A-D")
    if errand.record is not None and not errand.record.absolute().parent.is_dir():
        raise ConfigError(f"--record {errand.record}: the folder does not exist")
    if errand.play is not None:
        try:
            speech.append(await anyio.to_thread.run_sync(read_audio, errand.play, CALL_RATE))
        except (OSError, SipcoreError) as error:
            raise ConfigError(f"--play {errand.play}: {error}") from error
    if errand.say:
        async with AsyncExitStack() as stack:
            tts = await open_voice(stack)
            speech.append(await speak(tts, errand.say))
    return speech


async def open_voice(stack: AsyncExitStack) -> TTS:
    """Open the text-to-speech plugin of the settings.

    Raises:
        ConfigError: there is none.
    """
    manager = PluginManager()
    manager.load(None)
    settings = load_settings()
    choice = choose(settings, manager, "tts", settings.assistant[0].tts)
    if choice is None:
        raise ConfigError("--say needs a text-to-speech plugin: pip install 'sipcore[piper]'")
    missing = models.missing(choice.config)
    if missing:
        await anyio.to_thread.run_sync(pull_with_bars, missing, err)
    return await stack.enter_async_context(choice.provider.open(choice.config))


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


async def _converse(phone: Phone, errand: Errand, speech: list[AudioFrame]) -> dict[str, Any]:
    def ringing(status: int) -> None:
        err.print(f"ringing ({status})")

    err.print(f"calling {errand.target}", markup=False)
    async with phone.dial(errand.target, errand.timeout, ringing) as call:
        started = anyio.current_time()
        err.print("answered")
        if errand.record is not None:
            call.record(errand.record.absolute(), 1)
        with anyio.move_on_after(errand.duration):
            await _talk(call, errand, speech)
        seconds = anyio.current_time() - started
        await call.hang_up()
        err.print(f"ended after {seconds:.1f} s ({call.end_reason})", markup=False)
        return {"answered": True, "status": 200, "seconds": round(seconds, 3), "ended": call.end_reason}


async def _talk(call: Call, errand: Errand, speech: list[AudioFrame]) -> None:
    try:
        await anyio.sleep(errand.wait)
        if errand.dtmf:
            await call.send_digits(errand.dtmf.upper())
        position = 0.0
        for frame in speech:
            position = await call.play(frame)
        if position:
            await call.played(position)
        if errand.duration is not None or not (speech or errand.dtmf):
            await call.wait_over()
    except CallEndedError:
        return

"""A phone of ours that does what its command line says: ``errand.py URI hold 'wait 2' resume 'play hello.wav'``."""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import anyio
from sipcore.app.phone import open_phone
from sipcore.audio.frame import AudioFrame
from sipcore.call.call import Call
from sipcore.errors import CallFailedError


async def play(call: Call, path: Path) -> None:
    """Play a WAV file of the call's rate to its end."""
    with wave.open(str(path)) as sound:
        frame = AudioFrame(sound.readframes(sound.getnframes()), sound.getframerate())
    await call.played(await call.play(frame))


async def queue(call: Call, path: Path) -> None:
    """Queue a WAV file, as far as it fits, and go on."""
    with wave.open(str(path)) as sound:
        frame = AudioFrame(sound.readframes(sound.getnframes()), sound.getframerate())
    await call.play(frame)


async def step(call: Call, command: str) -> None:
    """Do one step of the errand."""
    match command.split():
        case ["hold"]:
            await call.hold()
        case ["resume"]:
            await call.resume()
        case ["transfer", target]:
            await call.transfer(target)
        case ["wait", seconds]:
            await anyio.sleep(float(seconds))
        case ["play", path]:
            await play(call, Path(path))
        case ["queue", path]:
            await queue(call, Path(path))
        case ["record", path]:
            call.record(Path(path), channels=1)
        case _:
            sys.exit(f"{command}: no such step")


async def run(target: str, commands: list[str]) -> None:
    """Call, do the steps, tell how each went, and hang up."""
    async with open_phone("127.0.0.1") as phone, phone.dial(target, timeout=10) as call:
        for command in commands:
            try:
                await step(call, command)
                print(f"{command}: done", flush=True)
            except CallFailedError as error:
                print(f"{command}: {error}", flush=True)


if __name__ == "__main__":
    anyio.run(run, sys.argv[1], sys.argv[2:])

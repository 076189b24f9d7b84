"""The provider's engine: a process a piece of text, its audio as it comes, killed when nobody listens any more."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from subprocess import PIPE

import anyio
from anyio.abc import ByteReceiveStream, Process
from sipcore.plugins import TTS, AudioFrame, PluginError, Voice

from sipcore_tts_espeak.catalogue import Catalogue, read_voices
from sipcore_tts_espeak.config import Config

HEADER = 44
"""Bytes of the WAV header that espeak-ng writes: its sizes are placeholders, its rate is true."""
CHUNK = 4096
"""Bytes in the longest frame: 93 ms."""
STALL = 10.0
"""Seconds without a byte after which the process is given up."""
WORDS_A_MINUTE = 175
SLOWEST, FASTEST = 80, 450

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Espeak:
    """Speaks, for all calls: at most one process a stream, whose audio waits in a pipe until it is wanted.

    Args:
        config: the settings.
        catalogue: the voices that there are.
    """

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        self._config = config
        self._catalogue = catalogue

    @asynccontextmanager
    async def synthesize(
        self, text: AsyncIterable[str], voice: Voice
    ) -> AsyncGenerator[AsyncIterable[AudioFrame], None]:
        """Speak each item of ``text``; leaving the block kills the process.

        Raises:
            PluginError: there is no such voice; while iterating: the program failed, or does not go on.
        """
        found = self._catalogue.find(Voice(voice.language or self._config.language, voice.name))
        async with aclosing(self._speak(text, self._command(found, voice.speed))) as frames:
            yield frames

    def _command(self, voice: str, speed: float) -> Sequence[str]:
        pace = round(min(max(WORDS_A_MINUTE * speed * self._config.speed, SLOWEST), FASTEST))
        volume = self._config.volume
        return [self._config.program, "-v", voice, "-s", str(pace), "-a", str(volume), "-b", "1", "--stdin", "--stdout"]

    async def _speak(self, text: AsyncIterable[str], command: Sequence[str]) -> AsyncGenerator[AudioFrame, None]:
        async for piece in text:
            words = plain(piece)
            if not words:
                continue
            process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            try:
                async for frame in _frames(process, words):
                    yield frame
            finally:
                await _end(process)


async def _frames(process: Process, words: str) -> AsyncIterator[AudioFrame]:
    """Give the program its text and take its audio.

    Raises:
        PluginError: it failed, or does not go on.
    """
    assert process.stdin is not None and process.stdout is not None
    try:
        with anyio.fail_after(STALL):
            await process.stdin.send(words.encode("utf-8", "replace"))
            await process.stdin.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # it ended already: its status says why
    rate, rest = 0, b""
    while data := await _receive(process.stdout):
        rest += data
        if not rate and len(rest) >= HEADER:
            rate, rest = int.from_bytes(rest[24:28], "little"), rest[HEADER:]
        whole = len(rest) // 2 * 2
        if rate and whole:
            yield AudioFrame(rest[:whole], rate)
            rest = rest[whole:]
    with anyio.fail_after(STALL):
        status = await process.wait()
    if status:
        raise PluginError(f"espeak-ng failed with status {status}: {await _complaint(process)}")


async def _receive(stream: ByteReceiveStream) -> bytes:
    """Read what is there; nothing at the end.

    Raises:
        PluginError: nothing comes.
    """
    try:
        with anyio.fail_after(STALL):
            return await stream.receive(CHUNK)
    except anyio.EndOfStream:
        return b""
    except TimeoutError as error:
        raise PluginError(f"espeak-ng wrote nothing for {STALL:g} s") from error


async def _complaint(process: Process) -> str:
    assert process.stderr is not None
    lines = (await _receive(process.stderr)).decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it did not say why"


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.kill()
        await process.aclose()


def plain(text: str) -> str:
    """Take out what espeak-ng would not read but obey: phonemes in ``[[ ]]``, and control characters."""
    return _CONTROL.sub(" ", text).replace("[[", "[ [").strip()


@asynccontextmanager
async def open_espeak(config: Config) -> AsyncGenerator[TTS, None]:
    """See which voices there are, and that those of the settings are among them.

    Raises:
        PluginError: the program is not there or does not work, or has no such voice; the text says what to do.
    """
    try:
        with anyio.fail_after(STALL):
            done = await anyio.run_process([config.program, "--voices"], check=False)
    except (OSError, TimeoutError) as error:
        raise PluginError(
            f"{config.program} cannot be run ({error or 'it does not end'}): install it by "
            "`apt-get install espeak-ng`, or name it in [tts.espeak] program"
        ) from error
    catalogue = read_voices(done.stdout.decode("utf-8", "replace"), config.voices)
    if done.returncode or not catalogue.languages:
        raise PluginError(
            f"{config.program} --voices names no voice (status {done.returncode}): `apt-get install --reinstall "
            "espeak-ng espeak-ng-data` brings them back"
        )
    for language in (config.language, *config.voices):
        catalogue.find(Voice(language))
    yield Espeak(config, catalogue)

"""How fast Piper speaks: real-time factors, the first clause against the whole, and many callers against one.

Run: ``.venv/bin/python bench/tts.py`` (the voice must be there: ``sipcore models pull en_US-joe-medium``).
"""

import resource
import statistics
import time

import anyio
from sipcore.plugins import Voice
from sipcore.plugins.text import SentenceSplitter
from sipcore_tts_piper.config import Config
from sipcore_tts_piper.engine import open_piper

REPLY = "We are open from Monday to Friday, from nine in the morning to five in the afternoon. Come by any time!"
ROUNDS = 5


async def once(engine, pieces):
    """Speak pieces; return seconds to the first frame, to the last, and of audio."""

    async def text():
        for piece in pieces:
            yield piece

    start = time.perf_counter()
    first, audio = 0.0, 0.0
    async with engine.synthesize(text(), Voice()) as frames:
        async for frame in frames:
            first = first or time.perf_counter() - start
            audio += frame.duration
    return first, time.perf_counter() - start, audio


async def leave(engine):
    """Return the seconds that leaving takes, and until the next sentence's first frame."""

    async def text():
        for _ in range(20):
            yield REPLY

    async with engine.synthesize(text(), Voice()) as frames:
        async for _ in frames:
            start = time.perf_counter()
            break
    left = time.perf_counter() - start
    return left, (await once(engine, ["Sure, one moment please."]))[0]


def median(rows):
    return [statistics.median(column) for column in zip(*rows, strict=True)]


async def main():
    splitter = SentenceSplitter()
    clauses = [*splitter.feed(REPLY), *splitter.flush()]
    print(f"{'threads':>7} {'piece':<10} {'first ms':>9} {'all ms':>8} {'audio s':>8} {'real-time factor':>17}")
    for threads in (1, 2):
        start = time.perf_counter()
        async with open_piper(Config(threads=threads)) as engine:
            opened = time.perf_counter() - start
            for name, pieces in (("whole", [REPLY]), ("clauses", clauses), ("a word", ["Sure,"])):
                first, whole, audio = median([await once(engine, pieces) for _ in range(ROUNDS)])
                row = f"{threads:>7} {name:<10} {first * 1e3:>9.0f} {whole * 1e3:>8.0f} {audio:>8.2f}"
                print(f"{row} {whole / audio:>17.3f}")
            left, after = median([await leave(engine) for _ in range(ROUNDS)])
            print(f"{'':>7} opened in {opened:.2f} s; leaving: {left * 1e3:.1f} ms, then a clause {after * 1e3:.0f} ms")
    async with open_piper(Config(concurrency=2)) as engine:
        alone = (await once(engine, clauses))[1]
        for callers in (2, 4):
            start = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for _ in range(callers):
                    tasks.start_soon(once, engine, clauses)
            print(f"{callers} callers at once: {(time.perf_counter() - start) / alone:.1f} times as long as one")
    print(f"memory of this process at its most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    anyio.run(main)

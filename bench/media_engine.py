"""How many calls the media engine holds on one core, and how evenly it sends, beside a C program in the same run.

    python bench/media_engine.py [--quick] [--json]

Call-frame: one packet in and one out in 20 ms. ``reference`` (C) receives, decodes, encodes and sends; ``plain`` is the
engine with the same work and its jitter buffer, rings and latching; ``full`` also records both sides in stereo. The
load generator (C) has the other core. Held: >= 99.9 % of packets sent and send error p99 < 20 ms. Trust the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
from sipcore.media.link import MediaEngine, MediaSettings

HERE = Path(__file__).parent
BASE = 10000
PORT = 9998
AT = 500
GATE_P99_MS = 20.0
RATIOS = {
    "us_per_call_frame": "cost_ratio",
    "send_p50_ms": "send_p50_ratio",
    "send_p99_ms": "send_p99_ratio",
    "calls_held": "calls_ratio",
}
"""What is also printed as a ratio to the C reference of the same run."""
CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    calls: int
    share_sent: float
    error_p50_ms: float
    error_p99_ms: float
    error_max_ms: float
    cost_us: float
    lost: int = 0

    @property
    def held(self) -> bool:
        return self.share_sent >= 0.999 and self.error_p99_ms < GATE_P99_MS and self.lost <= self.calls * 0.05


def build(folder: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("no C compiler: the bench compares with a C program (apt-get install gcc)")
    for name in ("load", "reference"):
        source = HERE / f"media_engine_{name}.c"
        subprocess.run([compiler, "-O2", "-w", "-o", str(folder / name), str(source), "-lm"], check=True)


def pin(pid: int, core: int) -> None:
    """Give each side a core, and the C programs the priority that the engine takes for itself."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


class Bench:
    def __init__(self, folder: Path, warm: float, seconds: float) -> None:
        self.folder, self.warm, self.seconds = folder, warm, seconds

    async def load(self, calls: int, pid: int) -> dict:
        """Run the generator; measure what ``pid`` used while it did."""
        arguments = [str(self.folder / "load"), *map(str, (calls, BASE, PORT, self.warm, self.seconds))]
        async with await anyio.open_process(arguments, stderr=None) as process:
            pin(process.pid, 0)
            output = b""
            while not output.startswith(b"READY"):
                output += await process.stdout.receive()
            await anyio.sleep(self.warm)
            before, begin = processor_seconds(pid), anyio.current_time()
            await anyio.sleep(self.seconds * 0.9)
            used, took = processor_seconds(pid) - before, anyio.current_time() - begin
            async for data in process.stdout:
                output += data
        return json.loads(output.split(b"\n", 1)[1]) | {"cost_us": used / (calls * 50 * took) * 1e6}

    async def reference(self, calls: int) -> Run:
        arguments = [str(self.folder / "reference"), *map(str, (calls, BASE, PORT, self.warm + self.seconds + 1.0))]
        async with await anyio.open_process(arguments, stderr=None) as process:
            pin(process.pid, 1)
            await process.stdout.receive()
            result = await self.load(calls, process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return Run(**result)

    async def engine(self, calls: int, *, record: bool) -> Run:
        seconds = self.warm + self.seconds + 2
        media = MediaSettings(
            rtp_port_start=BASE,
            rtp_port_end=BASE + 2 * calls + 1,
            ports_per_session=2,
            max_calls=calls,
            playout_seconds=seconds,
        )
        noise = np.random.default_rng(1).integers(-8000, 8000, round(seconds * 8000)).astype(np.int16).tobytes()
        async with MediaEngine(media) as engine, AsyncExitStack() as stack:
            pin(engine.pid, 1)
            channels = [await stack.enter_async_context(engine.channel(str(number))) for number in range(calls)]
            for number, channel in enumerate(channels):
                channel.connect(("127.0.0.1", PORT), payload_type=0, codec="PCMU", receive={0: "PCMU"})
                if record:
                    channel.record(self.folder / f"{calls}-{number}.wav", channels=2)
                await channel.play(noise)
            result = await self.load(calls, engine.pid)
            for channel in channels:
                channel.close()
            await asyncio.gather(*(channel.wait_closed() for channel in channels))
        for path in self.folder.glob("*.wav"):
            path.unlink()
        return Run(**result, lost=sum(channel.statistics.packets_lost for channel in channels))

    async def run(self, variant: str, calls: int) -> Run:
        run = (
            await self.reference(calls)
            if variant == "reference"
            else await self.engine(calls, record=variant == "full")
        )
        note(f"{variant:9} {run}")
        return run

    async def most(self, variant: str, first: Run) -> int:
        """The most calls held, in steps: upwards to what the first run's cost lets hope for."""
        held = first.calls if first.held else 0
        for share in (0.45, 0.65, 0.85):
            calls = int(20_000 / first.cost_us * share) // 50 * 50
            if calls <= held:
                continue
            if not (await self.run(variant, calls)).held:
                break
            held = calls
        return held


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def main(options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory(prefix="sipcore-bench-") as name:
        folder = Path(name)
        build(folder)
        bench = Bench(folder, 0.7, 2.0 if options.quick else 2.5)
        result: dict = {}
        for variant in ("reference", "full") if options.quick else ("reference", "plain", "full"):
            run = await bench.run(variant, AT)
            result[variant] = {
                "us_per_call_frame": round(run.cost_us, 2),
                "send_p50_ms": run.error_p50_ms,
                "send_p99_ms": run.error_p99_ms,
                "held_at_500": run.held,
            }
            if not options.quick:
                result[variant]["calls_held"] = await bench.most(variant, run)
        base = dict(result["reference"])
        for figures in result.values():
            for key, ratio in RATIOS.items():
                if key in figures:
                    figures[ratio] = round(figures[key] / max(0.001, base[key]), 2)
        return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="500 calls only, about 15 seconds")
    parser.add_argument("--json", action="store_true", help="print one line of JSON alone")
    chosen = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    figures = anyio.run(main, chosen)
    if chosen.json:
        print(json.dumps(figures))
    else:
        for variant, values in figures.items():
            print(variant, "  ".join(f"{name}={value}" for name, value in values.items()))

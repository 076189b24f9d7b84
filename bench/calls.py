"""How fast calls come and go, beside sipp's own C server in the same run; and how evenly calls hear us meanwhile.

    python bench/calls.py [--quick] [--json]

A call: INVITE, 180, 200, ACK, BYE, 200, from sipp, without audio of its own (ours opens and closes a media channel for
each all the same). Held: none failed and nothing had to be sent again. Gaps: the time between packets that 20 further
calls receive, by the kernel's clock; the goal is none above 60 ms. Needs sipp. Trust the ratios.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "interop"))

from phonelab import waves
from phonelab.ear import Ears
from phonelab.lab import LOOPBACK, Lab
from phonelab.program import Program, cpu_seconds, wait_until
from phonelab.server import Server
from phonelab.sipp import Sipp

RATES = (25, 50, 100, 200, 400, 800)
SECONDS = 6.0
PLAIN_CALLS = 20
ROOM = 400
RUNS = itertools.count(1)


@dataclass(frozen=True)
class Rate:
    """How one server did at one rate."""

    server: str
    wanted: int
    failed: int
    retransmissions: int
    reached: float
    cpu_ms: float

    @property
    def held(self) -> bool:
        return not self.failed and not self.retransmissions and self.reached > 0.9 * self.wanted


@dataclass(frozen=True)
class Evenness:
    """What 20 calls heard."""

    beside: str
    packets: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    above_60: int
    lost: int


class Target:
    """A server to call: where it is, and whose processor time counts."""

    def __init__(self, name: str, address: tuple[str, int], pids: Sequence[int]) -> None:
        self.name = name
        self.address = address
        self.pids = pids

    def cpu(self) -> float:
        return sum(cpu_seconds(pid) for pid in self.pids)


@contextmanager
def reference(lab: Lab, folder: Path) -> Iterator[Target]:
    """sipp as a server: C++, no media, no dialogs to speak of."""
    port = lab.ports(2)
    command = ["sipp", "-sn", "uas", "-i", LOOPBACK, "-p", str(port), "-mp", str(lab.ports(4)), "-nostdin"]
    (folder / "uas").mkdir()
    with Program(lab, command, folder / "uas", "uas") as uas:
        time.sleep(0.5)
        yield Target("sipp uas", (LOOPBACK, port), [uas.pid])


@contextmanager
def ours(lab: Lab, folder: Path, name: str, **env: str) -> Iterator[Target]:
    """``sipcore run`` with its echo."""
    greeting = waves.write(folder / "greeting.wav", waves.voice("bob"))
    with Server(lab, folder / name, calls=ROOM, greeting=greeting, env={"LOG_LEVEL": "WARNING", **env}) as server:
        server.wait_ready()
        yield Target(name, server.address, server.family())
        server.stop()


def measure(lab: Lab, folder: Path, target: Target, rate: int, seconds: float) -> Rate:
    count = round(rate * seconds)
    cpu, began = target.cpu(), time.monotonic()
    options = ("-timeout", "60s")
    run = folder / f"run{next(RUNS)}"
    with Sipp(
        lab, run, target.address, "call", count, rate, talk=0, together=ROOM, audio=False, options=options
    ) as sipp:
        counted = sipp.counted(90)
    took = time.monotonic() - began
    failed = count - counted.successful
    return Rate(
        target.name,
        rate,
        failed,
        counted.retransmissions,
        counted.successful / took,
        1000 * (target.cpu() - cpu) / count,
    )


def rates(lab: Lab, folder: Path, target: Target, wanted: Sequence[int], seconds: float) -> list[Rate]:
    """Faster and faster, until it does not hold."""
    found: list[Rate] = []
    for rate in wanted:
        found.append(measure(lab, folder, target, rate, seconds))
        if not found[-1].held:
            break
    return found


def evenness(lab: Lab, target: Target, beside: str, seconds: float) -> Evenness:
    with Ears(lab, target.address, PLAIN_CALLS) as ears:
        assert ears.call() == [200] * PLAIN_CALLS
        ears.wait(seconds)
        gaps, lost = ears.gaps(), sum(ear.lost() for ear in ears.all)
        ears.hang_up()
    return Evenness(
        beside, len(gaps.milliseconds), gaps.share(50), gaps.share(99), gaps.share(99.9), gaps.longest,
        sum(gap > 60 for gap in gaps.milliseconds), lost,
    )  # fmt: skip


@contextmanager
def busy_machine() -> Iterator[None]:
    """A program that computes on every core, at the priority of ours."""
    burn = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        spinning = [subprocess.Popen(burn) for _ in range(4)]
        for one in spinning:
            stack.callback(one.wait)
            stack.callback(one.kill)
        yield


@contextmanager
def coming_and_going(lab: Lab, folder: Path, target: Target, seconds: float) -> Iterator[None]:
    """Fifty calls a second beside the plain ones."""
    run = folder / f"run{next(RUNS)}"
    with Sipp(
        lab, run, target.address, "call", round(50 * (seconds + 2)), 50, talk=0, together=200, audio=False
    ) as sipp:
        wait_until(lambda: sipp.status is None, 1, "sipp")
        yield
        sipp.counted(60)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def show(found: list[Rate], even: list[Evenness]) -> None:
    by_rate = {rate.wanted: rate.cpu_ms for rate in found if rate.server == "sipp uas"}
    print("\nCalls set up and taken down again:\n")
    table(
        ("server", "calls/s", "reached", "failed", "sent again", "CPU ms/call", "of sipp's", "held"),
        [
            (
                r.server, str(r.wanted), f"{r.reached:.0f}", str(r.failed), str(r.retransmissions), f"{r.cpu_ms:.2f}",
                f"{r.cpu_ms / by_rate[r.wanted]:.1f} x" if by_rate.get(r.wanted) else "", "yes" if r.held else "no",
            )
            for r in found
        ],
    )  # fmt: skip
    alone = even[0]
    print(f"\nMilliseconds between the packets that {PLAIN_CALLS} calls receive:\n")
    table(
        ("beside", "gaps", "p50", "p99", "p99.9", "max", "of alone's max", "above 60", "lost"),
        [
            (
                e.beside, str(e.packets), f"{e.p50_ms:.1f}", f"{e.p99_ms:.1f}", f"{e.p999_ms:.1f}", f"{e.max_ms:.1f}",
                f"{e.max_ms / alone.max_ms:.1f} x", str(e.above_60), str(e.lost),
            )
            for e in even
        ],
    )  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="three rates, shorter")
    options.add_argument("--json", action="store_true", help="print JSON, for programs")
    asked = options.parse_args()
    wanted, seconds = (RATES[:3], 3.0) if asked.quick else (RATES, SECONDS)
    found: list[Rate] = []
    even: list[Evenness] = []
    with tempfile.TemporaryDirectory(prefix="sipcore-bench-") as scratch, Lab() as lab:
        folder = Path(scratch)
        with reference(lab, folder) as target:
            found += rates(lab, folder, target, wanted, seconds)
        with ours(lab, folder, "unrecorded", SIPCORE_RECORDING__ENABLED="false") as target:
            found += rates(lab, folder, target, wanted, seconds)
        with ours(lab, folder, "recorded") as target:
            found += rates(lab, folder, target, wanted, seconds)
            even.append(evenness(lab, target, "nothing", seconds))
            with coming_and_going(lab, folder, target, seconds):
                even.append(evenness(lab, target, "50 calls/s come and go", seconds))
            with busy_machine():
                even.append(evenness(lab, target, "4 busy programs", seconds))
    if asked.json:
        print(json.dumps({"rates": [asdict(rate) for rate in found], "gaps": [asdict(gap) for gap in even]}))
    else:
        show(found, even)


if __name__ == "__main__":
    main()

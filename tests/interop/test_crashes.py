"""What a crash costs: a killed server, a killed media engine, a full disk."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from phonelab import waves
from phonelab.ear import Ear, Ears
from phonelab.lab import Lab
from phonelab.program import alive, wait_until
from phonelab.server import Server

CALLS = 5
TALK = 3.0
TINY_DISK = (
    "unshare", *(() if os.geteuid() == 0 else ("-r",)), "-m", "sh", "-c",
    'mkdir -p recording && mount -t tmpfs -o size=64k none recording && exec "$@"', "sh",
)  # fmt: skip
"""Runs a server whose recordings lie on a disk of 64 KiB: four seconds of one call. Gone with the server."""


def recorded(paths: list[Path], said: waves.Samples) -> list[float]:
    """The seconds that can be played of each recording, each with the caller's voice in it."""
    lengths: list[float] = []
    for path in paths:
        samples, _ = waves.read(path)
        heard = waves.compare(said[: 2 * waves.RATE], samples)
        assert heard.median >= 35 and heard.lost == 0, (path, heard)
        lengths.append(len(samples) / waves.RATE)
    return lengths


def test_the_server_is_killed(start: Callable[..., Server], lab: Lab, alice: waves.Samples):
    server = start(calls=CALLS + 1)
    with Ears(lab, server.address, CALLS, alice) as ears:
        assert ears.call() == [200] * CALLS
        began = time.monotonic()
        ears.wait(TALK)
        engine = server.engine()
        server.kill()
        talked = time.monotonic() - began
    wait_until(lambda: not alive(engine), 3, "the end of the engine that lost its server")
    lengths = recorded(server.wavs(), alice)
    print(f"talked {talked:.2f} s, recorded {[f'{length:.2f}' for length in lengths]}")
    assert len(lengths) == CALLS and min(lengths) >= talked - 1.0


def test_server_and_engine_are_killed_and_the_next_start_mends(
    start: Callable[..., Server], lab: Lab, alice: waves.Samples
):
    server = start(calls=CALLS + 1)
    with Ears(lab, server.address, CALLS, alice) as ears:
        assert ears.call() == [200] * CALLS
        began = time.monotonic()
        ears.wait(TALK)
        family = server.family()
        for pid in reversed(family):
            os.kill(pid, signal.SIGKILL)
        talked = time.monotonic() - began
    server.process.wait(5)
    wait_until(lambda: not any(map(alive, family)), 3, "the end of all its processes")
    before = {path: path.read_bytes() for path in server.wavs()}
    lengths = recorded(list(before), alice)
    print(f"talked {talked:.2f} s, playable at once {[f'{length:.2f}' for length in lengths]}")
    assert len(lengths) == CALLS and min(lengths) >= talked - 1.0
    again = start(folder=server.recordings.parent, name="again", sip_port=server.sip_port)
    mended = {path: path.read_bytes() for path in again.wavs()}
    print("\n".join(again.lines("repaired")))
    assert mended.keys() == before.keys()
    assert min(recorded(list(mended), alice)) >= talked - 1.0
    again.stop()
    third = start(folder=server.recordings.parent, name="third", sip_port=server.sip_port)
    assert {path: path.read_bytes() for path in third.wavs()} == mended, "a second repair changes nothing"
    assert not third.lines("repaired")


def test_the_media_engine_is_killed(start: Callable[..., Server], lab: Lab, alice: waves.Samples):
    server = start(calls=CALLS + 1)
    with Ears(lab, server.address, CALLS, alice) as ears:
        assert ears.call() == [200] * CALLS
        began = time.monotonic()
        ears.wait(TALK)
        engine = server.engine()
        os.kill(engine, signal.SIGKILL)
        talked = time.monotonic() - began
        byes = [ear.sip.receive(2) for ear in ears.all]
        told_after = time.monotonic() - began - talked
        for ear, bye in zip(ears.all, byes, strict=True):
            ear.far_end = None
            assert bye.method == "BYE" and bye.headers["call-id"] == ear.dialog.call_id
            kept = "".join(f"{name}: {bye.headers[name]}\r\n" for name in ("via", "from", "to", "call-id", "cseq"))
            ear.sip.send(f"SIP/2.0 200 OK\r\n{kept}Content-Length: 0\r\n\r\n")
        with Ear(lab, server.address, alice) as fresh:
            answer = fresh.call(10)
            back_after = time.monotonic() - began - talked
            assert answer.status == 200
            wait_until(lambda: (fresh.speak(), fresh.hear(), len(fresh.packets) >= 50)[2], 3, "audio on a new call")
            assert fresh.hang_up().status == 200
    lengths = recorded(server.wavs()[:CALLS], alice)
    print(f"BYE to all after {1000 * told_after:.0f} ms, a new call was answered after {1000 * back_after:.0f} ms")
    print(f"talked {talked:.2f} s, recorded {[f'{length:.2f}' for length in lengths]}; {byes[0].headers.get('reason')}")
    print("\n".join(server.lines("ERROR") + server.lines("engine")))
    assert min(lengths) >= talked - 1.0
    assert re.fullmatch(r"SIP\s*;.*text=\"media engine lost\"", byes[0].headers["reason"])
    assert server.engine() != engine


def test_the_media_engine_is_killed_again_and_again(start: Callable[..., Server], lab: Lab):
    server = start(calls=2)
    for _ in range(3):
        engine = server.engine()
        os.kill(engine, signal.SIGKILL)
        with Ear(lab, server.address) as ear:
            refused = ear.call(10)
            if refused.status != 200:
                assert refused.status == 503 and int(refused.headers["retry-after"]) > 0, "asked in the very moment"
                assert ear.call_again().status == 200
            assert ear.hang_up().status == 200
        assert server.engine() != engine


def test_a_full_disk(start: Callable[..., Server], lab: Lab, alice: waves.Samples):
    server = start(calls=2, prefix=TINY_DISK)
    with Ears(lab, server.address, 2, alice) as ears:
        assert ears.call() == [200] * 2
        ears.wait(5)
        gaps, lost = ears.gaps(), sum(ear.lost() for ear in ears.all)
        assert ears.hang_up() == [200] * 2
        with Ear(lab, server.address) as late:
            assert late.call().status == 200, "calls are answered on a full disk too"
            assert late.hang_up().status == 200
    server.wait_calls_over(3)
    told = [line for line in server.lines("[ERROR]") if "No space left" in line]
    print("\n".join(told), f"\nthe calls: {gaps}", sep="")
    inside = Path(f"/proc/{server.pid}/root{server.recordings}")
    lengths = [waves.seconds(path) for path in sorted(inside.glob("*.wav"), key=lambda path: -path.stat().st_size)[:2]]
    print(f"kept on the disk: {lengths}")
    assert len(told) in {2, 3} and all("recording" in line for line in told)
    assert gaps.longest < 60 and lost == 0
    assert sum(lengths) >= 2.5, "what was recorded before stays playable"

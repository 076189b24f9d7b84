"""Many calls by sipp: none fails, nothing is left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from phonelab import waves
from phonelab.ear import Ear, Ears
from phonelab.lab import Lab
from phonelab.program import Holdings, wait_until
from phonelab.server import Server
from phonelab.sipp import Sipp
from phonelab.wire import SipSocket, sdp

MEGABYTE = 1 << 20


def settled(server: Server, before: dict[str, Holdings], seconds: float = 5.0) -> dict[str, Holdings]:
    """Wait until the server and its engine hold no more than before; what they hold then."""

    def same() -> bool:
        now = server.holdings()
        return all(
            (now[name].descriptors, now[name].threads, now[name].children)
            <= (before[name].descriptors, before[name].threads, before[name].children)
            for name in before
        )

    try:
        wait_until(same, seconds, "the server holds as little as before")
    except AssertionError as error:
        texts = [f"{name}: {before[name]} -> {now}" for name, now in server.holdings().items()]
        raise AssertionError(f"{error}\n" + "\n".join(texts)) from None
    return server.holdings()


def all_ports_free(server: Server, lab: Lab, calls: int) -> None:
    """Every port pair can be had again: so many calls at once, and then 503."""
    with Ears(lab, server.address, calls + 1) as ears:
        assert ears.call() == [200] * calls + [503]
        assert ears.hang_up() == [200] * calls


@pytest.fixture
def warm(start: Callable[..., Server], lab: Lab) -> Callable[..., Server]:
    """A server that has had a call, so that what is made once and kept is there."""

    def run(**options: object) -> Server:
        server = start(**options)
        with Ear(lab, server.address) as ear:
            assert ear.call().status == 200
            wait_until(server.wavs, 2, "its recording")
            assert ear.hang_up().status == 200
        server.wait_calls_over(1)
        return server

    return run


def test_two_hundred_calls_with_audio(warm: Callable[..., Server], lab: Lab, tmp_path: Path, greeting: Path):
    server = warm(calls=60, greeting=greeting)
    before, udp = server.holdings(), lab.udp_counters()
    with Ears(lab, server.address, 3, waves.voice("alice")) as ears:
        assert ears.call() == [200] * 3
        with Sipp(lab, tmp_path / "sipp", server.address, "call", 200, rate=10, talk=3) as sipp:
            counted = sipp.counted(60)
        assert ears.hang_up() == [200] * 3
        gaps = ears.gaps()
    server.wait_calls_over(204)
    after = settled(server, before)
    moved = {name: count - udp[name] for name, count in lab.udp_counters().items() if count != udp[name]}
    recorded = [waves.seconds(path) for path in server.wavs()[-203:]]
    silent = [path for path in server.wavs()[-203:] if waves.loudness(waves.read(path)[0]) < 100]
    print(f"{counted}\nthree calls beside them: {gaps}\nUDP: {moved}")
    print(f"recordings: {len(recorded)}, {min(recorded):.2f} to {max(recorded):.2f} s, {len(silent)} silent")
    for name in before:
        print(f"{name}: {before[name]} -> {after[name]}")
    assert counted.status == 0 and counted.successful == 200 and counted.failed == 0, sipp.errors
    assert len(recorded) == 203 and not silent
    assert sorted(recorded)[0] >= 2.9
    assert gaps.longest < 60
    assert after["server"].memory - before["server"].memory < 12 * MEGABYTE
    assert after["engine"].memory - before["engine"].memory < 12 * MEGABYTE
    all_ports_free(server, lab, 60)


def test_requests_and_responses_that_are_lost(warm: Callable[..., Server], lab: Lab, tmp_path: Path):
    server = warm(calls=40, env={"SIPCORE_SIP__T1": "0.25"})
    before = server.holdings()
    lossy = ("-lost", "8")
    with Sipp(lab, tmp_path / "sipp", server.address, "call", 100, rate=20, talk=0.5, options=lossy) as sipp:
        counted = sipp.counted(60)
    # sipp takes a repeated 200 of the INVITE for that of a BYE that was lost: such a call ends for want of an ACK
    server.wait_calls_over(101, 25)
    settled(server, before)
    print(f"one message in twelve lost: {counted}")
    assert counted.status == 0 and counted.successful == 100 and counted.failed == 0, sipp.errors
    assert counted.retransmissions > 0
    assert len(server.lines("incoming call")) == 101, "a repeated INVITE makes no second call"
    all_ports_free(server, lab, 40)


def test_callers_that_give_up_while_it_rings(warm: Callable[..., Server], lab: Lab, tmp_path: Path):
    server = warm(calls=8, env={"SIPCORE_SIP__RING_SECONDS": "0.6"})
    before = server.holdings()
    with Sipp(lab, tmp_path / "sipp", server.address, "cancel", 50, rate=20, talk=0.2) as sipp:
        counted = sipp.counted(30)
    server.wait_calls_over(51)
    settled(server, before)
    print(f"cancelled: {counted}")
    assert counted.status == 0 and counted.successful == 50, sipp.errors
    assert len(server.lines("call ended: cancelled")) == 50
    all_ports_free(server, lab, 8)


def test_no_port_is_free(start: Callable[..., Server], lab: Lab, greeting: Path):
    server = start(calls=3, greeting=greeting)
    with Ears(lab, server.address, 3, waves.voice("alice")) as ears:
        assert ears.call() == [200] * 3
        ears.wait(0.5)
        with SipSocket(lab, server.address) as fourth:
            refused = fourth.dialog().call(sdp(40000))
        ears.wait(1)
        gaps, lost = ears.gaps(), sum(ear.lost() for ear in ears.all)
        assert ears.hang_up() == [200] * 3
        with Ear(lab, server.address) as again:
            assert again.call().status == 200
            assert again.hang_up().status == 200
    print(f"{refused.status} {refused.reason}, Retry-After: {refused.headers.get('retry-after')}; the others: {gaps}")
    print("\n".join(server.lines("WARNING")[1:]))
    assert refused.status == 503 and int(refused.headers["retry-after"]) > 0
    assert gaps.longest < 60 and lost == 0
    assert [line for line in server.lines("refused with 503") if "RTP_PORT_END" in line]


def test_a_caller_that_never_acknowledges(start: Callable[..., Server], lab: Lab):
    server = start(calls=2, env={"SIPCORE_SIP__T1": "0.1"})
    before = server.holdings()
    with SipSocket(lab, server.address) as sip:
        assert sip.ask(sip.dialog().request("INVITE", sdp(40000))).status == 200
        repeated = 0
        while True:
            message = sip.receive(10)
            if message.method == "BYE":
                break
            assert message.status == 200
            repeated += 1
    print(f"200 repeated {repeated} times, then BYE")
    server.wait_calls_over(1)
    settled(server, before)
    assert repeated >= 5
    all_ports_free(server, lab, 2)

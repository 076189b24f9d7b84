"""The original's two call flows and a reconnect, on the wire: the page that shows them is made from these captures."""

import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import LOOPBACK, ROOT, Lab
from phonelab.server import Server
from phonelab.tap import Client, Passed, SipTap

PAGE = ROOT / "docs" / "reference" / "websocket-captures.md"
TONE = base64.b64encode(waves.voice("bob")[:8000].tobytes()).decode()
WRITE = bool(os.environ.get("SIPCORE_WRITE_CAPTURES"))


def written(passed: list[Passed], call_id: str) -> str:
    """The capture as the page shows it: ids and audio shortened, of audio the first message each way."""
    lines: list[str] = []
    for one in sorted(passed):
        text = one.text.replace(call_id, "{call_id}")
        text = re.sub(r"(RTP:\{call_id\}##).*", r"\1{base64_audio}", text)
        text = re.sub(r"(CALL_INFO:\{call_id\}##)(.*)", lambda found: found[1] + shortened(found[2]), text)
        line = f"{one.way:<18}{text}"
        if "RTP:" not in line or line not in lines:
            lines.append(line)
    audio = [line for line in lines if "RTP:" in line]
    others = [line for line in lines if "RTP:" not in line]
    answered = next(at for at, line in enumerate(others) if "→ client   CALL_ANS" in line)
    return "\n".join([*others[: answered + 1], *sorted(audio), *others[answered + 1 :]])


def shortened(data: str) -> str:
    """Of CALL_INFO's JSON what is the same every time."""
    known = json.loads(data)
    return json.dumps({name: known[name] for name in ("direction", "phone", "state", "owner")})


def check(title: str, capture: str) -> None:
    """Compare with the page, or write it there."""
    print(f"{title}\n{capture}")
    page = PAGE.read_text(encoding="utf-8")
    place = re.compile(rf"(## {re.escape(title)}\n.*?\n```text\n)(.*?)\n?```", re.DOTALL)
    shown = place.search(page)
    assert shown, f"{PAGE} has no capture under {title!r}"
    if WRITE:
        PAGE.write_text(place.sub(lambda found: f"{found[1]}{capture}\n```", page), encoding="utf-8")
    for side in ("phone", "client"):
        assert lines_of(capture, side) == lines_of(shown[2], side), "SIPCORE_WRITE_CAPTURES=1 writes the page anew"


def lines_of(capture: str, side: str) -> list[str]:
    """The messages to and from one side, in their order; what both sides do at the same moment has none."""
    return [line for line in capture.splitlines() if side in line[:18]]


@pytest.fixture
def serve(start: Callable[..., Server]) -> Callable[..., Server]:
    """Start `sipcore serve`."""
    return lambda **options: start(serve=True, **options)


def test_an_incoming_call_as_the_original_shows_it(
    serve: Callable[..., Server], lab: Lab, tmp_path: Path, greeting: Path, alice: waves.Samples, bob: waves.Samples
):
    server = serve(greeting=greeting)
    client = Client(lab, server.ws_port)
    caller = Baresip(lab, tmp_path / "alice", alice, dial=server.uri)
    with SipTap(lab, tmp_path, server.sip_port) as tap, caller as phone:
        call_id = client.wait_for("RING_ANS:alice##(.+)")[1]
        client.send(f"CALL_ANS:{call_id}")
        client.wait_for(f"CALL_ANS:{call_id}")
        client.wait_for(f"RTP:{call_id}##.+")
        client.send(f"RTP:{call_id}##{TONE}")
        phone.wait_established().wait_call_over(20)
        phone.quit()
        client.wait_for(f"BYE:{call_id}")
    client.close()
    heard = waves.compare(bob, phone.heard())
    said = waves.compare(alice, waves.read(server.wavs()[0])[0])
    print(f"the phone heard greeting.wav: {heard}; we recorded the phone: {said}")
    check("An incoming call", written([*client.passed, *tap.passed()], call_id))
    assert said.median >= 35 and said.lost == 0


def test_an_outgoing_call_as_the_original_shows_it(
    serve: Callable[..., Server], lab: Lab, tmp_path: Path, alice: waves.Samples
):
    with Baresip(lab, tmp_path / "bob", alice, user="bob", answers=True) as phone:
        phone.wait_ready()
        remote = {"SIP_SERVER_IP": LOOPBACK, "SIP_TRANSFER_PORT": str(phone.sip_port), "CALL_ALLOW": "bob"}
        server = serve(env=remote)
        client = Client(lab, server.ws_port)
        with SipTap(lab, tmp_path, server.sip_port) as tap:
            client.send("CALL:bob")
            client.wait_for("RING_ANS:bob")
            call_id = client.wait_for("CALL_ANS:(.+)")[1]
            client.wait_for(f"RTP:{call_id}##.+")
            client.send(f"RTP:{call_id}##{TONE}")
            phone.wait_established()
            client.send(f"BYE:{call_id}")
            client.wait_for(f"BYE:{call_id}")
            phone.wait_call_over(10)
        phone.quit()
    client.close()
    check("An outgoing call", written([*client.passed, *tap.passed()], call_id))


def test_a_client_that_comes_back_gets_its_call_back(serve: Callable[..., Server], lab: Lab, tmp_path: Path):
    server = serve()
    first = Client(lab, server.ws_port, "?v=2")
    with Baresip(lab, tmp_path / "alice", waves.silence(30), dial=server.uri) as phone:
        call_id = first.wait_for("RING_ANS:alice##(.+)")[1]
        first.send(f"CALL_ANS:{call_id}")
        first.wait_for(f"CALL_ANS:{call_id}")
        phone.wait_established()
        first.drop()
        server.wait_for("WebSocket client 1 is gone")
        again = Client(lab, server.ws_port, "?v=2")
        again.send("SUBSCRIBE:*")
        again.wait_for(rf"CALL_INFO:{call_id}##.*")
        again.wait_for(f"RING_ANS:alice##{call_id}")
        again.send(f"CALL_ANS:{call_id}")
        again.wait_for(f"CALL_ANS:{call_id}")
        again.wait_for(f"RTP:{call_id}##.+")
        again.send(f"HANGUP:{call_id}")
        again.wait_for(f"BYE:{call_id}")
        phone.wait_call_over(10)
        phone.quit()
    again.close()
    check("A client that comes back", written(again.passed, call_id))


@pytest.mark.parametrize(
    ("number", "answer"), [("bob", r"CALL_FAILED:486 .+"), ("nobody", r"CALL_FAILED:403 Forbidden \(.+\)")]
)
def test_who_is_busy_or_not_allowed_is_told(
    serve: Callable[..., Server], lab: Lab, tmp_path: Path, number: str, answer: str
):
    with Baresip(lab, tmp_path / "bob", waves.silence(20), user="bob") as phone:
        phone.wait_ready()
        remote = {"SIP_SERVER_IP": LOOPBACK, "SIP_TRANSFER_PORT": str(phone.sip_port), "CALL_ALLOW": "bob"}
        server = serve(env=remote)
        client = Client(lab, server.ws_port)
        client.send(f"CALL:{number}")
        if number == "bob":
            client.wait_for("RING_ANS:bob")
            phone.do("hangup")
        client.wait_for(answer)
        client.close()
        phone.quit()
    if number == "nobody":
        assert "client 1 may not call nobody: 403" in server.log

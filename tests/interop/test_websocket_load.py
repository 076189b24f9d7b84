"""Fifty clients on one call, one of which stops reading for a minute: nobody else notices, and it misses no event."""

import asyncio
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import LOOPBACK, Lab
from phonelab.program import holdings
from phonelab.server import Server
from websockets.asyncio.client import ClientConnection, connect

CLIENTS = 50
STUCK_SECONDS = 60.0
LONGEST_GAP = 0.060
MOST_MEMORY = 5_000_000
KEYS = "1234567890*#" * 5


@dataclass
class Listener:
    """What one client got: when each piece of audio came, and every other message."""

    times: list[float] = field(default_factory=list[float])
    events: list[str] = field(default_factory=list[str])

    async def read(self, websocket: ClientConnection) -> None:
        """Take messages until the call is over."""
        async for message in websocket:
            text = str(message)
            if text.startswith("RTP:"):
                self.times.append(time.monotonic())
            else:
                self.events.append(text)
                if text.startswith("BYE:"):
                    return

    @property
    def gaps(self) -> list[float]:
        """Seconds between one piece of audio and the next."""
        return [later - before for before, later in zip(self.times, self.times[1:], strict=False)]

    @property
    def digits(self) -> str:
        """The keys that the caller pressed."""
        return "".join(found[1] for text in self.events if (found := re.fullmatch(r"DTMF:[^#]+##(.)", text)))


async def listen(server: Server, phone: Baresip) -> tuple[list[Listener], Listener, int, int]:
    """Run the clients; the listeners, the stuck one, and the server's memory before and after."""
    url = f"{server.url}/?v=2"
    clients = [await connect(url, compression=None, max_queue=1, ping_interval=None) for _ in range(CLIENTS - 1)]
    clients.append(await connect(url, compression=None, max_queue=1, ping_interval=None, sock=small(server)))
    listeners, stuck = [Listener() for _ in clients], Listener()
    owner = clients[0]
    await owner.send("SUBSCRIBE:*")
    call_id = str(await owner.recv()).split(":")[1].split("##")[0]
    await owner.send(f"CALL_ANS:{call_id}")
    for client in clients:
        await client.send("SUBSCRIBE:*")
        await client.send(f"LISTEN:{call_id}")
    lost = clients.pop()
    listeners.pop()
    readers = [asyncio.create_task(one.read(client)) for one, client in zip(listeners, clients, strict=True)]
    await asyncio.sleep(3.0)
    before = holdings(server.pid).memory
    await asyncio.to_thread(press_keys, phone)
    after = holdings(server.pid).memory
    until = asyncio.create_task(stuck.read(lost))
    await asyncio.sleep(2.0)
    await owner.send(f"HANGUP:{call_id}")
    await asyncio.wait_for(asyncio.gather(*readers, until), 20)
    for client in (*clients, lost):
        await client.close()
    return listeners, stuck, before, after


def small(server: Server) -> socket.socket:
    """A connection whose system holds little for a client that does not read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    made.connect((LOOPBACK, server.ws_port))
    made.setblocking(False)
    return made


def press_keys(phone: Baresip) -> None:
    """Press a key a second for as long as the client is stuck."""
    started = time.monotonic()
    for number, key in enumerate(KEYS, 1):
        phone.do("sndcode", key)
        time.sleep(max(0.0, started + number * STUCK_SECONDS / len(KEYS) - time.monotonic()))


@pytest.mark.timeout(180)
def test_a_client_that_stops_reading_for_a_minute_costs_nobody_else_anything(
    start: Callable[..., Server], lab: Lab, tmp_path: Path
):
    server = start(serve=True)
    with Baresip(lab, tmp_path / "alice", waves.silence(120), dial=server.uri, seconds=170) as phone:
        server.wait_for("incoming call")
        with lab.inside():
            listeners, stuck, before, after = asyncio.run(listen(server, phone))
        phone.wait_call_over(10)
        phone.quit()
    gaps = sorted(gap for one in listeners for gap in one.gaps)
    dropped = re.findall(r"(\d+) audio messages were dropped", server.log)
    print(f"{CLIENTS} clients, one stuck for {STUCK_SECONDS:.0f} s: memory {(after - before) / 1e6:+.2f} MB")
    print(
        f"the others' audio: {len(gaps)} gaps, median {gaps[len(gaps) // 2] * 1000:.1f}, "
        f"p99.9 {gaps[int(len(gaps) * 0.999)] * 1000:.1f}, longest {gaps[-1] * 1000:.1f} ms"
    )
    print(f"the stuck one got {len(stuck.times)} pieces of audio ({dropped} dropped) and the keys {stuck.digits!r}")
    assert after - before < MOST_MEMORY
    assert gaps[int(len(gaps) * 0.999)] <= LONGEST_GAP
    assert {one.digits for one in listeners} == {KEYS}
    assert stuck.digits == KEYS
    assert sum(text.startswith("ERROR:429") for text in stuck.events) == 1

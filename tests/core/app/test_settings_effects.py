"""What the settings of the WebSocket and of its queues do. The others have tests where they take effect."""

import base64

import anyio
import pytest
from sipcore.app.config import load_settings
from sipcore.app.parts import gateway_of, media_settings
from sipcore.app.phone import open_phone
from sipcore.app.server import open_server
from sipcore.media.link import MediaEngine
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio
HOST, SIP_PORT, WS_PORT = "127.0.0.1", 26062, 26080


def settings_of(tmp_path, **overrides):
    base = {
        "SIP_LOCAL_IP": HOST,
        "SIP_LOCAL_PORT": SIP_PORT,
        "RTP_PORT_START": 26100,
        "RTP_PORT_END": 26139,
        "WS_PORT": WS_PORT,
        "media": {"mode": "thread"},
    }
    return load_settings(overrides={**base, **overrides}, environ={}, cwd=tmp_path)


async def message(websocket, start):
    with anyio.fail_after(5):
        while True:
            text = await websocket.recv()
            if text.startswith(start):
                return text


async def test_the_websocket_listens_where_it_is_told_to(tmp_path):
    made = settings_of(tmp_path, WS_HOST="127.0.0.2", WS_PORT=26081)
    async with open_server(made, None, websocket=True) as server:
        assert server.gateway.address == ("127.0.0.2", 26081)
        async with connect("ws://127.0.0.2:26081"):
            pass
    assert made.websocket_url == "ws://127.0.0.2:26081"
    assert settings_of(tmp_path, WS_URL="wss://calls.example.org").websocket_url == "wss://calls.example.org"


async def test_who_does_not_know_the_token_is_not_let_in(tmp_path):
    async with open_server(settings_of(tmp_path, WS_TOKEN="secret"), None, websocket=True):
        with pytest.raises(InvalidStatus, match="401"):
            async with connect(f"ws://{HOST}:{WS_PORT}"):
                pass
        async with connect(f"ws://{HOST}:{WS_PORT}/?token=secret"):
            pass


@pytest.mark.parametrize(("most", "refused"), [(25, True), (100, False)])
async def test_a_client_may_be_so_many_packets_ahead(tmp_path, most, refused):
    made = settings_of(tmp_path, RTP_SEND_QUEUE_MAX=most)
    second = base64.b64encode(bytes(16000)).decode()
    async with (
        open_server(made, None, websocket=True),
        open_phone(HOST, rtp_ports=(26200, 26239), mode="thread") as phone,
        connect(f"ws://{HOST}:{WS_PORT}/?v=2") as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(talk, phone)
        call_id = (await message(client, "RING_ANS:")).partition("##")[2]
        await client.send(f"CALL_ANS:{call_id}")
        await message(client, "CALL_ANS:")
        await client.send(f"RTP:{call_id}##{second}")
        await client.send(f"MARK:{call_id}##played")
        answer = await message(client, ("ERROR:", "MARK:"))
        assert answer.startswith("ERROR:429" if refused else "MARK:")
        tasks.cancel_scope.cancel()


async def talk(phone):
    async with phone.dial(f"sip:assistant@{HOST}:{SIP_PORT}") as call:
        await call.wait_over()


@pytest.mark.parametrize(("most", "lost"), [(10, True), (500, False)])
async def test_a_slow_listener_of_a_call_finds_so_many_packets(tmp_path, most, lost):
    made = settings_of(tmp_path, RTP_RECV_QUEUE_MAX=most)
    async with MediaEngine(media_settings(made)) as media, media.channel("a") as here, media.channel("b") as there:
        for one, other in ((here, there), (there, here)):
            one.connect((HOST, other.port), payload_type=0, codec="PCMU", receive={0: "PCMU"})
        async with here.hear() as frames:
            await anyio.sleep(1.0)
            await anext(aiter(frames))
            assert (frames.lost > 20) is lost


def test_the_queues_of_a_client_are_as_long_as_they_are_told_to_be(tmp_path):
    made = settings_of(tmp_path, WS_SEND_QUEUE_MAX=11, WS_RECV_QUEUE_MAX=12)
    websocket = gateway_of(made, {}, None, lambda _: None, lambda _: None)._settings.websocket
    assert (websocket.send_queue, websocket.receive_queue) == (11, 12)

"""net/websocket.py: a server on a real port of the loopback; clients by the library, and bare sockets."""

import asyncio
import logging
import socket
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from sipcore.errors import ConfigError
from sipcore.net.access import Access
from sipcore.net.websocket import LONGEST_MESSAGE, Page, WebSocketServer, WebSocketSettings
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"
TOKEN = "s3cret-t0ken"
PAGES = {
    "/healthz": lambda: Page(200, "alive\n"),
    "/readyz": lambda: Page(503, "full\n"),
    "/metrics": lambda: Page(200, "x 1\n"),
}


class Driver:
    """What a server does with its clients."""

    def __init__(self):
        self.clients = {}
        self.messages = []
        self.gone = []

    def on_connect(self, client):
        self.clients[client.number] = client

    def on_message(self, client, message):
        if message == "fail":
            raise RuntimeError("broken")
        self.messages.append(message)

    def on_disconnect(self, client):
        self.gone.append(client.number)


@asynccontextmanager
async def serving(token="", origins=(), host=HOST, **settings):
    """A server, and its URL."""
    driver = Driver()
    rules = WebSocketSettings((host, 0), Access(host, token, origins), **settings)
    async with WebSocketServer(rules, driver.on_connect, driver.on_message, driver.on_disconnect, PAGES) as server:
        driver.url = f"ws://{HOST}:{server.address[1]}"
        driver.port = server.address[1]
        yield driver


async def settled(condition, seconds=15):
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


async def status_of(url, **options):
    """What a handshake is answered with; 101 when it succeeds."""
    try:
        async with connect(url, **options):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def closed(client):
    """All messages up to the end, and its code."""
    received = []
    with suppress(ConnectionClosed), anyio.fail_after(15):
        while True:
            received.append(await client.recv())
    return received, client.close_code


async def raw(port, request):
    """The whole answer to a request that is written by hand."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request.encode("utf-8", "surrogateescape"))
    with anyio.fail_after(15):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def get(port, path, *fields):
    lines = "".join(f"{field}\r\n" for field in fields)
    return await raw(port, f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n")


class Deaf:
    """A client that shakes hands and reads nothing until it is told to."""

    def __init__(self, port):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((HOST, port))
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.socket.setblocking(False)

    async def read_all(self):
        """All that comes until the end."""
        received = bytearray()
        with anyio.fail_after(30):
            while True:
                try:
                    piece = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                received += piece
        self.socket.close()
        return bytes(received)


# --- who may connect


async def test_a_token_is_taken_in_its_three_forms_and_no_log_ever_shows_it(caplog):
    caplog.set_level(logging.DEBUG)
    async with serving(TOKEN) as driver:
        assert await status_of(driver.url, additional_headers={"Authorization": f"Bearer {TOKEN}"}) == 101
        assert await status_of(f"{driver.url}/?token={TOKEN}&v=2") == 101
        async with connect(driver.url, subprotocols=["chat", f"bearer.{TOKEN}"]) as client:
            assert client.subprotocol == f"bearer.{TOKEN}"
        await settled(lambda: len(driver.gone) == 3)
        ours = [record for record in caplog.records if not record.name.startswith("websockets.client")]
        assert ours
        assert not [record for record in ours if TOKEN in record.getMessage()]


async def test_a_wrong_and_a_missing_token_get_401_and_the_log_says_why(caplog):
    async with serving(TOKEN) as driver:
        assert await status_of(f"{driver.url}/?token=guessed") == 401
        assert await status_of(driver.url) == 401
        assert await status_of(driver.url, subprotocols=["bearer.guessed"]) == 401
        assert driver.clients == {}
    assert "refused with 401: the token is wrong" in caplog.text
    assert "refused with 401: no token was shown" in caplog.text
    assert "guessed" not in caplog.text


async def test_a_page_of_a_foreign_origin_gets_403_and_one_that_is_allowed_connects():
    async with serving(origins=["https://desk.example.org"]) as driver:
        assert await status_of(driver.url, origin="https://evil.example") == 403
        assert await status_of(driver.url, origin="https://desk.example.org") == 101


async def test_a_foreign_name_bound_to_the_loopback_address_gets_403():
    async with serving() as driver:
        answer = await raw(driver.port, "GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n\r\n")
        assert answer.startswith("HTTP/1.1 403 ")
        answer = await raw(driver.port, "GET / HTTP/1.1\r\nHost: [\r\nUpgrade: websocket\r\n\r\n")
        assert answer.startswith("HTTP/1.1 403 ")


@pytest.mark.parametrize("query", ["v=3", "v=x", "v=2&v=1&v=0&audio=mp3", "audio=mp3", "audio=PCM"])
async def test_a_version_or_an_audio_format_that_is_none_gets_400(query):
    async with serving() as driver:
        assert await status_of(f"{driver.url}/?{query}") == 400


@pytest.mark.parametrize(
    ("query", "version", "audio"), [("", 1, "pcm"), ("?v=2&audio=pcma", 2, "pcma"), ("?v=&audio=pcmu", 1, "pcmu")]
)
async def test_version_and_audio_format_are_those_asked_for(query, version, audio):
    async with serving() as driver, connect(f"{driver.url}/{query}"):
        await settled(lambda: driver.clients)
        assert (driver.clients[1].version, driver.clients[1].audio_format) == (version, audio)


async def test_more_clients_than_are_allowed_get_503_however_many_come_at_once():
    async with serving(max_clients=2) as driver:
        statuses = []

        async def come():
            try:
                async with connect(driver.url) as client:
                    statuses.append(101)
                    await client.wait_closed()
            except InvalidStatus as error:
                statuses.append(error.response.status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(come)
            await settled(lambda: len(statuses) == 6)
            assert sorted(statuses) == [101, 101, 503, 503, 503, 503]
            tasks.cancel_scope.cancel()
        await settled(lambda: len(driver.gone) == 2)
        assert await status_of(driver.url) == 101


# --- pages


async def test_probes_are_answered_and_other_paths_are_not():
    async with serving() as driver:
        answer = await get(driver.port, "/healthz?x=1")
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert answer.endswith("\r\n\r\nalive\n")
        assert "Content-Type: text/plain; charset=utf-8\r\n" in answer
        assert (await get(driver.port, "/readyz")).startswith("HTTP/1.1 503 ")
        assert (await get(driver.port, "/metrics")).endswith("x 1\n")
        for path in ("/", "/nothing", "//[", "//healthz/../healthz"):
            answer = await get(driver.port, path)
            assert answer.startswith("HTTP/1.1 404 ")
            assert "/healthz /readyz /metrics" in answer


async def test_figures_need_the_token_and_probes_do_not():
    async with serving(TOKEN) as driver:
        assert (await get(driver.port, "/healthz")).startswith("HTTP/1.1 200 ")
        answer = await get(driver.port, "/metrics")
        assert answer.startswith("HTTP/1.1 401 ")
        assert "WWW-Authenticate: Bearer\r\n" in answer
        assert (await get(driver.port, "/metrics", f"Authorization: Bearer {TOKEN}")).startswith("HTTP/1.1 200 ")
        assert (await get(driver.port, f"/metrics?token={TOKEN}")).startswith("HTTP/1.1 200 ")


async def test_figures_are_kept_from_a_foreign_name():
    async with serving() as driver:
        answer = await raw(driver.port, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert answer.startswith("HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "request_text",
    [
        "\x16\x03\x01\x02\x00\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST /healthz HTTP/1.1\r\n\r\n",
        f"GET /?token={TOKEN} HTTP/9\r\n\r\n",
        f"GET /{'x' * 20000} HTTP/1.1\r\n\r\n",
        "GET /\udcff HTTP/1.1\r\n\r\n",
        f"GET /?token=\udcff HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nAuthorization: Bearer \udcff\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_what_is_no_request_disturbs_nobody_and_fills_no_log(request_text, caplog):
    async with serving(TOKEN) as driver:
        answer = await raw(driver.port, request_text)
        assert "500" not in answer[:20]
        assert await status_of(f"{driver.url}/?token={TOKEN}") == 101
    assert "Traceback" not in caplog.text
    assert TOKEN not in caplog.text


async def test_a_port_in_use_is_said_with_what_to_do():
    async with serving() as driver:
        rules = WebSocketSettings((HOST, driver.port), Access(HOST))
        with pytest.raises(ConfigError, match=f"WS_PORT {driver.port} is in use on {HOST}: stop the other program or"):
            await WebSocketServer(rules, driver.on_connect, driver.on_message, driver.on_disconnect).__aenter__()


async def test_an_address_of_another_machine_is_said_to_be_that():
    driver = Driver()
    server = WebSocketServer(
        WebSocketSettings(("192.0.2.1", 1), Access("192.0.2.1")),
        driver.on_connect,
        driver.on_message,
        driver.on_connect,
    )
    with pytest.raises(ConfigError, match=r"WS_HOST 192\.0\.2\.1 and WS_PORT 1 cannot be listened on"):
        await server.__aenter__()
    await server.__aexit__(None, None, None)


# --- messages


async def test_messages_arrive_whole_however_they_were_cut_and_a_binary_one_as_nothing():
    async with serving() as driver, connect(driver.url) as client:
        await client.send(["BY", "E:", "call"])
        await client.send(b"\x00\x01")
        await client.send("")
        await client.send("CALL:1")
        await settled(lambda: len(driver.messages) == 4)
        assert driver.messages == ["BYE:call", "", "", "CALL:1"]


@pytest.mark.parametrize("message", ["x" * (LONGEST_MESSAGE + 1), "x" * 1_000_000, ["x" * 40_000, "x" * 40_000]])
async def test_a_message_that_is_too_long_closes_with_1009(message):
    async with serving() as driver, connect(driver.url) as client:
        with suppress(ConnectionClosed), anyio.fail_after(15):
            await client.send(message)
        assert await closed(client) == ([], 1009)
        await settled(lambda: driver.gone == [1])
        assert driver.messages == []


async def test_a_message_of_the_longest_size_is_taken():
    async with serving() as driver, connect(driver.url) as client:
        await client.send("x" * LONGEST_MESSAGE)
        await settled(lambda: driver.messages)


async def test_a_handler_that_fails_costs_that_client_alone(caplog):
    async with serving() as driver, connect(driver.url) as other, connect(driver.url) as client:
        await client.send("fail")
        assert await closed(client) == ([], 1011)
        await settled(lambda: driver.gone == [2])
        await other.send("still here")
        await settled(lambda: driver.messages == ["still here"])
    assert "closed, for a message of it failed" in caplog.text
    assert "RuntimeError: broken" in caplog.text


async def test_at_the_end_what_waits_is_sent_and_then_1001():
    async with serving() as driver:
        client = await connect(driver.url)
        await settled(lambda: driver.clients)
        for number in range(500):
            driver.clients[1].put(f"event {number}")
    assert await closed(client) == ([f"event {number}" for number in range(500)], 1001)


# --- clients that do not read


async def fill(driver, message="x" * 3000):
    """Send until the network takes no more."""
    client = driver.clients[1]
    with anyio.fail_after(30):
        while len(client.outbox) < 5:
            client.put_audio(message)
            await anyio.sleep(0)


async def test_a_client_that_does_not_read_loses_audio_and_no_event(caplog):
    caplog.set_level(logging.INFO)
    async with serving(send_queue=50) as driver:
        deaf = Deaf(driver.port)
        await settled(lambda: driver.clients)
        await fill(driver)
        client = driver.clients[1]
        begins = [client.put_audio(f"audio {number}") for number in range(200)]
        for number in range(20):
            client.put(f"event {number}.")
        assert begins.count(True) == 1
        assert client.outbox.dropped > 100
        read = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: _append(read, deaf.read_all()))
            await client.wait_idle()
            assert client.put_audio("more") is False
            client.put("last")
            await client.wait_idle()
            deaf.socket.shutdown(socket.SHUT_WR)
        text = read[0].decode("latin-1")
        assert all(f"event {number}." in text for number in range(20))
        assert "audio 199" in text
        assert "audio 0" not in text
        assert "last" in text
        await settled(lambda: driver.gone == [1])
    assert "audio messages were dropped" in caplog.text


async def _append(found, coroutine):
    found.append(await coroutine)


async def test_a_client_whose_events_pile_up_is_told_1013_once_it_reads(caplog):
    async with serving(send_queue=50) as driver:
        deaf = Deaf(driver.port)
        await settled(lambda: driver.clients)
        await fill(driver)
        for number in range(60):
            driver.clients[1].put(f"event {number}")
        await settled(lambda: "closed with 1013" in caplog.text)
        text = (await deaf.read_all()).decode("latin-1")
        assert "\x03\xf5read faster" in text
        await settled(lambda: driver.gone == [1])


async def test_a_client_whose_events_pile_up_and_that_never_reads_is_cut_off():
    async with serving(send_queue=50) as driver:
        deaf = Deaf(driver.port)
        await settled(lambda: driver.clients)
        await fill(driver)
        for number in range(60):
            driver.clients[1].put(f"event {number}")
        await settled(lambda: driver.gone == [1])
        deaf.socket.close()


async def test_the_end_waits_for_no_client_that_does_not_read():
    with anyio.fail_after(20):
        async with serving() as driver:
            deaf = Deaf(driver.port)
            await settled(lambda: driver.clients)
            await fill(driver)
    assert driver.gone == [1]
    deaf.socket.close()

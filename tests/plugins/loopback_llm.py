"""A language model's HTTP server on the loopback, for tests: the real wire format over real sockets, and its faults.

Each request gets the next of the server's answers, the last one again and again. As a program it answers every
conversation: ``python tests/plugins/loopback_llm.py --port 8000 --say "We are open from nine to five."``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

SAID = ("Hello", ", how", " can I", " help you?")


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


@dataclass(slots=True)
class Exchange:
    """One request, and the connection that its answer goes out on."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: str = "200 OK", **headers: str) -> None:
        """Send the status line and headers; ``content_type`` is ``Content-Type``."""
        lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def stream(self, content_type: str) -> None:
        """Begin a chunked answer."""
        await self.head(Content_Type=content_type, Transfer_Encoding="chunked")

    async def chunk(self, data: bytes) -> None:
        """Send a chunk of a chunked answer; an empty one is its end."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def gone(self) -> None:
        """Wait until the client closes the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(1024):
                pass


Answer: TypeAlias = Callable[[Exchange], Awaitable[None]]


@dataclass(slots=True)
class LoopbackLLM:
    """The server, while it runs.

    Attributes:
        url: where it listens, ``http://127.0.0.1:PORT``.
        requests: what was asked so far.
        connections: how many are open now.
    """

    answers: Sequence[Answer]
    url: str = ""
    requests: list[Request] = field(default_factory=list[Request])
    connections: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def idle(self) -> None:
        """Wait until no connection is open."""
        while self.connections:
            self._changed.clear()
            await self._changed.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it closes."""
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    request = await _read_request(reader)
                    answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
                    self.requests.append(request)
                    await answer(Exchange(request, reader, writer))
        finally:
            writer.close()
            self.connections -= 1
            self._changed.set()


@asynccontextmanager
async def loopback_llm(*answers: Answer, port: int = 0) -> AsyncGenerator[LoopbackLLM, None]:
    """Serve while the block runs; leaving it ends what is still being answered."""
    llm = LoopbackLLM(answers or (chat(),))
    running: set[asyncio.Task[None]] = set()

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(llm.serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(on_connection, "127.0.0.1", port)
    llm.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield llm
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


# --- good answers ----------------------------------------------------------------------------------------------------


def sse(data: str) -> bytes:
    """Return one server-sent event."""
    return f"data: {data}\n\n".encode()


def completion_chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> str:
    """Return a ``chat.completion.chunk``, as OpenAI sends it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1760000000, "model": "gpt-4o-mini"}
    return json.dumps({**head, "system_fingerprint": "fp_1", "choices": [choice], "usage": None, **more})


def tool_fragments(index: int, call_id: str, name: str, *arguments: str) -> list[Mapping[str, Any]]:
    """Return the deltas in which OpenAI streams a call of a function: id and name first, then its arguments."""
    first = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    rest = [{"index": index, "function": {"arguments": piece}} for piece in arguments]
    return [{"tool_calls": [fragment]} for fragment in (first, *rest)]


def completion(words: Sequence[str] = SAID, deltas: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Return the events of a whole reply: the role, the words, further deltas, the end, the usage, ``[DONE]``."""
    said = [{"content": word} for word in words]
    usage = {"prompt_tokens": 9, "completion_tokens": len(words), "total_tokens": 9 + len(words)}
    return [
        completion_chunk({"role": "assistant", "content": "", "refusal": None}),
        *(completion_chunk(delta) for delta in (*said, *deltas)),
        completion_chunk({}, "tool_calls" if deltas else "stop"),
        completion_chunk({}, choices=[], usage=usage),
        "[DONE]",
    ]


def events(datas: Sequence[str], *, pause: float = 0.0, content_type: str = "text/event-stream") -> Answer:
    """Answer with server-sent events."""
    return pieces([sse(data) for data in datas], pause=pause, content_type=content_type)


def pieces(chunks: Sequence[bytes], *, pause: float = 0.0, content_type: str = "text/event-stream") -> Answer:
    """Answer with these bytes, a chunk each, ``pause`` seconds between them."""

    async def answer(exchange: Exchange) -> None:
        await exchange.stream(content_type)
        for data in chunks:
            await exchange.chunk(data)
            await asyncio.sleep(pause)
        await exchange.chunk(b"")

    return answer


def chat(words: Sequence[str] = SAID, deltas: Sequence[Mapping[str, Any]] = (), *, pause: float = 0.0) -> Answer:
    """Answer as OpenAI's chat completions do."""
    return events(completion(words, deltas), pause=pause)


def whole(body: bytes, content_type: str = "application/json", status: str = "200 OK", **headers: str) -> Answer:
    """Answer with a body of known length."""

    async def answer(exchange: Exchange) -> None:
        await exchange.head(status, Content_Type=content_type, Content_Length=str(len(body)), **headers)
        await exchange.send(body)

    return answer


# --- faults ----------------------------------------------------------------------------------------------------------


def refusal(status: str, message: str = "no", code: str | None = None, **headers: str) -> Answer:
    """Answer with an error as OpenAI words it."""
    error = {"message": message, "type": code or "error", "param": None, "code": code}
    return whole(json.dumps({"error": error}).encode(), status=status, **headers)


def redirect(location: str) -> Answer:
    """Send the client elsewhere."""
    return whole(b"", status="307 Temporary Redirect", Location=location)


async def hang_up(exchange: Exchange) -> None:
    """Close the connection without a word."""
    exchange.writer.close()


async def silence(exchange: Exchange) -> None:
    """Never answer."""
    await exchange.gone()


def trickle(text: bytes, content_type: str = "text/event-stream") -> Answer:
    """Answer at a byte a second."""
    return pieces([text[at : at + 1] for at in range(len(text))], pause=1.0, content_type=content_type)


def cut_off(chunks: Sequence[bytes], content_type: str = "text/event-stream") -> Answer:
    """Close the connection in the middle of the answer."""

    async def answer(exchange: Exchange) -> None:
        await exchange.stream(content_type)
        for data in chunks:
            await exchange.chunk(data)
        exchange.writer.close()

    return answer


def stall(chunks: Sequence[bytes], content_type: str = "text/event-stream") -> Answer:
    """Begin an answer, and never go on."""

    async def answer(exchange: Exchange) -> None:
        await exchange.stream(content_type)
        for data in chunks:
            await exchange.chunk(data)
        await exchange.gone()

    return answer


def endless_line(content_type: str = "text/event-stream") -> Answer:
    """Answer with a line that never ends."""

    async def answer(exchange: Exchange) -> None:
        await exchange.stream(content_type)
        await exchange.chunk(b"data: ")
        while True:
            await exchange.chunk(b"x" * 65536)

    return answer


@contextmanager
def no_connection() -> Generator[str]:
    """A URL whose server accepts no connection and refuses none: its queue is full (Linux)."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as waiting:
        for _ in range(2):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def main() -> None:
    """Serve until the program is ended."""
    parser = argparse.ArgumentParser(description="A language model's HTTP server that always says the same.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--say", default="".join(SAID))
    given = parser.parse_args()
    words = [f"{word} " for word in given.say.split()]
    async with loopback_llm(chat(words, pause=0.02), port=given.port) as llm:
        print(f"listening on {llm.url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())

"""Lines and server-sent events out of bytes that arrive piece by piece. Pure; bounded."""

from __future__ import annotations

from sipcore.errors import PluginError


class LineReader:
    """Cuts a stream of bytes into lines.

    Args:
        longest: bytes that a line may have.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes. Returns the lines that are whole by now, without their ends (LF or CRLF).

        Raises:
            PluginError: a line is too long.
        """
        first, *more = data.split(b"\n")
        self._rest += first
        whole: list[bytes] = []
        for part in more:
            whole.append(bytes(self._rest))
            self._rest[:] = part
        if max(map(len, (self._rest, *whole))) > self._longest:
            raise PluginError(f"a line of the reply is longer than {self._longest} bytes: that is no reply to speak")
        return [_decoded(line) for line in whole]

    def flush(self) -> list[str]:
        """The stream is over. Returns what stands after the last line end, if anything does."""
        rest = _decoded(bytes(self._rest))
        self._rest.clear()
        return [rest] if rest else []


class EventReader:
    """Takes the data out of a stream of server-sent events (WHATWG HTML §9.2); other fields and comments are dropped.

    Args:
        longest: bytes that a line, and characters that an event may have.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._lines = LineReader(longest)
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes. Returns the data of each event that is whole by now.

        Raises:
            PluginError: a line or an event is too long.
        """
        return [event for line in self._lines.feed(data) for event in self._take(line)]

    def flush(self) -> list[str]:
        """The stream is over. Returns the data of a last event that no empty line ended."""
        return [event for line in (*self._lines.flush(), "") for event in self._take(line)]

    def _take(self, line: str) -> list[str]:
        field, _, value = line.partition(":")
        if line and field == "data":
            self._data.append(value.removeprefix(" "))
            if sum(map(len, self._data)) > self._longest:
                raise PluginError(f"an event of the reply is longer than {self._longest} characters")
        if line or not self._data:
            return []
        event = "\n".join(self._data)
        self._data.clear()
        return [event]


def _decoded(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")

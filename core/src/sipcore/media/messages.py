"""What the server and the media engine say to each other, and how it is framed on their pipe."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]

# --- what a channel's owner sees -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MediaStatistics:
    """What a call's media came to.

    Args:
        packets_sent: RTP packets sent.
        packets_received: valid packets of the stream, duplicates not counted.
        packets_lost: missing in the sequence (RFC 3550 §A.3).
        packets_late: came too late to be played.
        packets_reordered: came after a newer one, in time.
        dropped: packets dropped by reason: ``duplicate``, ``jump``, ``source``, ``payload_type``, ``invalid``,
            ``stranger``.
        send_errors: packets that the system refused to send.
        jitter: interarrival jitter in seconds, RFC 3550 §6.4.1.
        delay_changes: 20 ms steps by which the jitter buffer's delay was stretched or shortened.
        recorded: seconds of audio in the recording.
    """

    packets_sent: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    packets_reordered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    send_errors: int = 0
    jitter: float = 0.0
    delay_changes: int = 0
    recorded: float = 0.0


@dataclass(frozen=True, slots=True)
class FirstPacketReceived:
    """The peer's first valid packet came, at ``at`` (monotonic seconds), from ``address``."""

    at: float
    address: Address


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """The peer pressed a key: 0-9, ``*``, ``#``, A-D; ``at`` in monotonic seconds."""

    digit: str
    at: float


@dataclass(frozen=True, slots=True)
class StrangerHeard:
    """Packets come from an address that is not the peer's; they are dropped. Told once a call."""

    address: Address
    count: int


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Not one valid packet came from the peer for ``seconds``; told again for as long as it lasts."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """The peer's audio now comes from ``address`` (a NAT, or its old source fell silent); we send there."""

    address: Address


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """The peer's address cannot be reached from here; nothing is sent there."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """The recording stopped; the call goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The media engine is gone: this call has no audio any more."""


MediaEvent: TypeAlias = (
    FirstPacketReceived
    | DigitReceived
    | StrangerHeard
    | PeerSilent
    | PeerMoved
    | ConnectFailed
    | RecordingFailed
    | EngineLost
)

# --- commands: server to engine ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Open a channel: bind a pair of ports. Answered by `Opened` or `Refused`."""

    handle: int


@dataclass(frozen=True, slots=True)
class Connect:
    """Where a channel's audio goes and comes from: what SDP agreed on.

    Args:
        handle: the channel.
        remote: address and port of the peer's SDP.
        payload_type: to send.
        codec: to send, ``PCMU`` or ``PCMA``.
        receive: codec names by payload type.
        telephone_event: payload type to send digits as; None when the peer takes none.
        receive_telephone_event: payload type of digits that come in.
        send: we may send (not on hold).
        hosts: hosts besides the SDP's that the audio may come from.
        paused: we hold the peer: it gets silence, and the playout queue waits.
    """

    handle: int
    remote: Address
    payload_type: int
    codec: str
    receive: Mapping[int, str]
    telephone_event: int | None = None
    receive_telephone_event: int | None = None
    send: bool = True
    hosts: frozenset[str] = frozenset()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """Record a channel to a new file: 1 channel (the peer) or 2 (peer left, we right)."""

    handle: int
    path: str
    channels: int


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop what was queued before ring position ``upto``. Answered by `Cleared` with the same ticket."""

    handle: int
    ticket: int
    upto: int


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Send telephone events."""

    handle: int
    digits: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close a channel and free its ports. Answered by `Closed`."""

    handle: int


Command: TypeAlias = Open | Connect | Record | Clear | SendDigits | Close

# --- answers: engine to server -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine runs."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The channel is open: its row in the shared memory and its RTP port."""

    handle: int
    row: int
    port: int


@dataclass(frozen=True, slots=True)
class Refused:
    """No channel could be opened; ``ports`` says that every port is in use."""

    handle: int
    reason: str
    ports: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was queued before ring position ``upto`` is dropped; ``sent`` samples had really been sent."""

    handle: int
    ticket: int
    upto: int
    sent: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The channel is closed, its ports are free."""

    handle: int
    statistics: MediaStatistics


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that the channel's owner wants to know."""

    handle: int
    event: MediaEvent


@dataclass(frozen=True, slots=True)
class Woken:
    """A tick is over in which the clock of watched calls moved: look at their cursors."""

    rows: tuple[int, ...]


Answer: TypeAlias = Ready | Opened | Refused | Cleared | Closed | Happened | Woken

# --- framing -------------------------------------------------------------------------------------------------------

_LENGTH = struct.Struct("<I")


def encode(message: Command | Answer) -> bytes:
    """Frame a message: four octets of length, then the pickle (both ends are our own processes)."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts a stream of octets into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """Take what came; yield the messages that are whole."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield pickle.loads(body)

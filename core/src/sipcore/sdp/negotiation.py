"""Offer and answer for one audio stream (RFC 3264)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sipcore.errors import RemoteProtocolError
from sipcore.sdp.description import Attribute, Connection, MediaDescription, Origin, SessionDescription

Address: TypeAlias = tuple[str, int]
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

EVENT_NAME = "telephone-event"
"""RFC 4733's payload format: digits."""

_DIRECTIONS: dict[tuple[bool, bool], Direction] = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}
_PROTOCOLS = ("RTP/AVP", "RTP/AVPF")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([^/ ]+)/([0-9]{1,9})(?:/([0-9]{1,3}))? *")
_RTCP = re.compile(r"([0-9]{1,5})(?: +IN +IP[46] +([^ ]+))? *")


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """What a payload type means.

    Args:
        payload_type: 0 to 127.
        name: the encoding's, in any case: ``PCMU``, ``opus``, ``telephone-event`` …
        clock_rate: of the timestamps, in Hz.
        channels: 1 for mono.
        parameters: the ``fmtp`` line's, or empty.
    """

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: str = ""

    def means_same_as(self, other: PayloadFormat) -> bool:
        """Whether both are the same encoding, whatever their payload types."""
        mine = (self.name.lower(), self.clock_rate, self.channels)
        return mine == (other.name.lower(), other.clock_rate, other.channels)


STATIC_FORMATS = {
    item.payload_type: item
    for item in (
        PayloadFormat(0, "PCMU", 8000),
        PayloadFormat(3, "GSM", 8000),
        PayloadFormat(4, "G723", 8000),
        PayloadFormat(8, "PCMA", 8000),
        PayloadFormat(9, "G722", 8000),
        PayloadFormat(13, "CN", 8000),
        PayloadFormat(15, "G728", 8000),
        PayloadFormat(18, "G729", 8000),
    )
}
"""Payload types that need no rtpmap (RFC 3551 §6)."""


@dataclass(frozen=True, slots=True)
class MediaAgreement:
    """What offer and answer came to.

    Args:
        remote: where our RTP goes; its host is ``0.0.0.0`` when the peer holds in the old way (RFC 3264 §8.4).
        remote_rtcp: where our RTCP goes (RFC 3605); None for nowhere.
        format: what we send.
        receive_formats: what the payload types mean that the peer may send.
        telephone_event: the payload type to send digits with (RFC 4733); None when the peer takes none.
        direction: ours: ``sendonly`` when we speak and the peer only hears.
        ptime: milliseconds a packet that the peer wants; 20 if it does not say.
    """

    remote: Address
    remote_rtcp: Address | None
    format: PayloadFormat
    receive_formats: Mapping[int, PayloadFormat]
    telephone_event: int | None
    direction: Direction
    ptime: int = 20


def make_offer(
    local: Address,
    formats: Sequence[PayloadFormat],
    *,
    session_id: int,
    version: int,
    ptime: int = 20,
    direction: Direction = "sendrecv",
) -> SessionDescription:
    """Offer one audio stream (§5).

    Args:
        local: where we take RTP.
        formats: the best first; telephone-event is added when it is not among them.
        session_id: of the whole call.
        version: grows with each description that differs (§8).
        ptime: milliseconds a packet.
        direction: ours; ``sendonly`` or ``inactive`` holds the peer.
    """
    offered = [*formats]
    if not any(item.name.lower() == EVENT_NAME for item in offered):
        taken = {item.payload_type for item in offered}
        free = next(number for number in (101, *range(96, 128)) if number not in taken)
        offered.append(PayloadFormat(free, EVENT_NAME, 8000, parameters="0-15"))
    media = _describe(local[1], "RTP/AVP", offered, ptime, direction)
    return _session(local, session_id, version, [media])


def make_answer(
    offer: SessionDescription,
    local: Address,
    formats: Sequence[PayloadFormat],
    *,
    session_id: int,
    version: int,
    direction: Direction = "sendrecv",
) -> tuple[SessionDescription, MediaAgreement]:
    """Answer with the first of the offer's formats that we know, and refuse every other medium (§6).

    Args:
        offer: the peer's.
        local: where we take RTP.
        formats: what we can send and receive; their payload types do not matter.
        session_id: of the whole call.
        version: grows with each description that differs (§8).
        direction: what we would like; the offer may leave less of it (§6.1).

    Raises:
        RemoteProtocolError: no audio stream that we can take (488).
    """
    choices = [(media, _choose(offer, media, local, formats)) for media in offer.media]
    media, chosen = next((choice for choice in choices if choice[1] is not None), (None, None))
    if media is None or chosen is None:
        raise RemoteProtocolError("no audio stream, address and codec in the offer that we can take", 488)
    events = _find_events(_formats_of(media), chosen)
    ours = _direction(_remote_direction(offer, media), direction)
    accepted = [chosen, *events]
    ptime = _ptime(media)
    described = _describe(local[1], media.protocol, accepted, ptime, ours)
    answers = [described if other is media else _refuse(other) for other in offer.media]
    agreement = _agree(offer, media, chosen, accepted, ours)
    return _session(local, session_id, version, answers), agreement


def accept_answer(offer: SessionDescription, answer: SessionDescription) -> MediaAgreement:
    """Read the answer to our offer (§7).

    Raises:
        RemoteProtocolError: it does not answer the offer, or takes none of it (488).
    """
    if len(answer.media) != len(offer.media):
        raise RemoteProtocolError(f"{len(answer.media)} media answer {len(offer.media)} offered", 488)
    for ours, theirs in zip(offer.media, answer.media, strict=True):
        if theirs.port and theirs.kind == ours.kind == "audio":
            return _read_answer(offer, ours, answer, theirs)
    raise RemoteProtocolError("the answer refuses the audio stream", 488)


def _read_answer(
    offer: SessionDescription, ours: MediaDescription, answer: SessionDescription, theirs: MediaDescription
) -> MediaAgreement:
    offered = _formats_of(ours)
    common = [item for item in _formats_of(theirs) if any(item.means_same_as(other) for other in offered)]
    chosen = next((item for item in common if item.name.lower() != EVENT_NAME), None)
    if chosen is None or _address_of(answer, theirs) is None:
        raise RemoteProtocolError("the answer has no codec of the offer, or no address", 488)
    wanted = _remote_direction(offer, ours)
    direction = _direction(_remote_direction(answer, theirs), wanted)
    agreement = _agree(answer, theirs, chosen, offered, direction)
    events = _find_events(common, chosen)
    return MediaAgreement(
        agreement.remote,
        agreement.remote_rtcp,
        chosen,
        agreement.receive_formats,
        events[0].payload_type if events else None,
        direction,
        agreement.ptime,
    )


def _choose(
    offer: SessionDescription, media: MediaDescription, local: Address, formats: Sequence[PayloadFormat]
) -> PayloadFormat | None:
    """Return the first format of an offered medium that we can take; None when the medium does not fit."""
    if media.kind != "audio" or not media.port or media.protocol.upper() not in _PROTOCOLS:
        return None
    address = _address_of(offer, media)
    if address is None or (":" in address) != (":" in local[0]):
        return None
    known = [item for item in formats if item.name.lower() != EVENT_NAME]
    return next((item for item in _formats_of(media) if any(item.means_same_as(own) for own in known)), None)


def _formats_of(media: MediaDescription) -> list[PayloadFormat]:
    """Return what a medium's payload types mean, in order; a dynamic one without rtpmap means nothing."""
    maps = {match[1]: match for value in media.all_attributes("rtpmap") if (match := _RTPMAP.fullmatch(value))}
    lines = [value.partition(" ") for value in media.all_attributes("fmtp")]
    parameters = {number: rest for number, _, rest in lines}
    found: list[PayloadFormat] = []
    for number in media.formats:
        if not re.fullmatch("[0-9]{1,3}", number) or int(number) > 127:
            continue
        extra = parameters.get(number, "").strip()
        if (match := maps.get(number)) is not None:
            found.append(PayloadFormat(int(number), match[2], int(match[3]), int(match[4] or 1), extra))
        elif (static := STATIC_FORMATS.get(int(number))) is not None:
            found.append(PayloadFormat(static.payload_type, static.name, static.clock_rate, parameters=extra))
    return found


def _find_events(formats: Sequence[PayloadFormat], chosen: PayloadFormat) -> list[PayloadFormat]:
    """Return the telephone-event format with the codec's clock (RFC 4733 §2.1), or else with 8000 Hz; at most one."""
    events = [item for item in formats if item.name.lower() == EVENT_NAME]
    fitting = [item for item in events if item.clock_rate == chosen.clock_rate]
    return (fitting or [item for item in events if item.clock_rate == 8000])[:1]


def _agree(
    theirs: SessionDescription,
    media: MediaDescription,
    chosen: PayloadFormat,
    accepted: Sequence[PayloadFormat],
    direction: Direction,
) -> MediaAgreement:
    host = _address_of(theirs, media) or ""
    events = [item.payload_type for item in accepted if item.name.lower() == EVENT_NAME]
    return MediaAgreement(
        (host, media.port),
        _rtcp_of(media, host),
        chosen,
        {item.payload_type: item for item in accepted},
        events[0] if events else None,
        direction,
        _ptime(media),
    )


def _address_of(description: SessionDescription, media: MediaDescription) -> str | None:
    """Return the address that media goes to; None when there is none, or only a name."""
    connection = description.connection_of(media)
    try:
        return None if connection is None else str(ipaddress.ip_address(connection.address))
    except ValueError:
        return None


def _rtcp_of(media: MediaDescription, host: str) -> Address | None:
    """Return where RTCP goes: ``a=rtcp`` (RFC 3605), or the next port."""
    match = _RTCP.fullmatch(media.attribute("rtcp") or "")
    if match is not None and 0 < int(match[1]) < 65536:
        return match[2] or host, int(match[1])
    return (host, media.port + 1) if media.port < 65535 else None


def _remote_direction(description: SessionDescription, media: MediaDescription) -> tuple[bool, bool]:
    """Return whether the description's author sends and receives (§5.1, §8.4)."""
    sends = receives = True
    for section in (media, description):
        names = [name for name, value in section.attributes if value is None and name in _DIRECTIONS.values()]
        if names:
            sends, receives = next(key for key, name in _DIRECTIONS.items() if name == names[0])
            break
    address = _address_of(description, media)
    held = address is not None and ipaddress.ip_address(address).is_unspecified
    return sends, receives and not held


def _direction(remote: tuple[bool, bool], wanted: Direction | tuple[bool, bool]) -> Direction:
    """Return our direction: no more than we want, and no more than the peer's leaves (§6.1)."""
    if isinstance(wanted, str):
        wanted = next(key for key, name in _DIRECTIONS.items() if name == wanted)
    return _DIRECTIONS[wanted[0] and remote[1], wanted[1] and remote[0]]


def _ptime(media: MediaDescription) -> int:
    """Return the milliseconds a packet that the peer wants: ``ptime`` up to ``maxptime``; 20 if it is silent."""
    numbers = [media.attribute(name) or "" for name in ("ptime", "maxptime")]
    wanted, most = (int(text) if re.fullmatch("[0-9]{1,3}", text) else 0 for text in numbers)
    ptime = min(wanted or 20, most or 1000)
    return ptime if 10 <= ptime <= 200 else 20


def _describe(
    port: int, protocol: str, formats: Sequence[PayloadFormat], ptime: int, direction: Direction
) -> MediaDescription:
    attributes: list[Attribute] = []
    for item in formats:
        channels = "" if item.channels == 1 else f"/{item.channels}"
        attributes.append(("rtpmap", f"{item.payload_type} {item.name}/{item.clock_rate}{channels}"))
        if item.parameters:
            attributes.append(("fmtp", f"{item.payload_type} {item.parameters}"))
    attributes += [("ptime", str(ptime)), (direction, None)]
    return MediaDescription(
        attributes=attributes, port=port, protocol=protocol, formats=[str(item.payload_type) for item in formats]
    )


def _refuse(media: MediaDescription) -> MediaDescription:
    return MediaDescription(kind=media.kind, port=0, protocol=media.protocol, formats=media.formats)


def _session(local: Address, session_id: int, version: int, media: list[MediaDescription]) -> SessionDescription:
    kind = "IP6" if ":" in local[0] else "IP4"
    return SessionDescription(
        connection=Connection(local[0], kind),
        others=[("t", "0 0")],
        origin=Origin("-", session_id, version, local[0], kind),
        media=media,
    )

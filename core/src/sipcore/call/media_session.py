"""What SDP agreed on, applied to a media channel."""

from __future__ import annotations

from collections.abc import Collection

from sipcore.errors import LocalProtocolError
from sipcore.media.channel import MediaChannel
from sipcore.sdp.description import SessionDescription
from sipcore.sdp.negotiation import Direction, MediaAgreement, PayloadFormat, accept_answer, make_answer, make_offer

G711 = (PayloadFormat(0, "PCMU", 8000), PayloadFormat(8, "PCMA", 8000))
"""What the core speaks, in order of preference."""
EVENT = "telephone-event"
UNSPECIFIED = {"0.0.0.0", "::"}  # noqa: S104 -- what a peer writes to hold in the old way (RFC 3264 §8.4)


class MediaSession:
    """The offers and answers of one call (RFC 3264), and the channel that carries the audio.

    Args:
        channel: the open channel.
        address: the address that the far end shall send to.
        session_id: of the SDP ``o=`` line.
        hosts: further hosts that audio may come from: where the signalling comes from.
    """

    def __init__(self, channel: MediaChannel, address: str, session_id: int, hosts: Collection[str] = ()) -> None:
        self.channel = channel
        self._local = (address, channel.port)
        self._session_id = session_id
        self._version = 0
        self._hosts = frozenset(hosts)
        self._offer: SessionDescription | None = None
        self._offers_hold = False
        self._is_held_by_peer = False
        self.held = False
        """Whether we hold the far end, and it knows."""
        self.agreement: MediaAgreement | None = None

    @property
    def expects_audio(self) -> bool:
        """Whether the far end should be sending: nobody holds."""
        return self.agreement is not None and self.agreement.direction in {"sendrecv", "recvonly"}

    def offer(self, *, held: bool | None = None) -> bytes:
        """Make an offer; its answer goes to `accept`.

        Args:
            held: whether it holds the far end (RFC 3264 §8.4): ``sendonly``, or ``inactive`` when the far end holds us
                already. None: as it is.
        """
        self._version += 1
        self._offers_hold = self.held if held is None else held
        direction: Direction = "sendrecv"
        if self._offers_hold:
            direction = "inactive" if self._is_held_by_peer else "sendonly"
        self._offer = make_offer(
            self._local, G711, session_id=self._session_id, version=self._version, direction=direction
        )
        return bytes(self._offer)

    def answer(self, offer: bytes) -> bytes:
        """Answer the far end's offer and connect the channel; while we hold, we take no audio (RFC 3264 §6.1).

        Raises:
            RemoteProtocolError: 400 for broken SDP, 488 when nothing in it can be spoken.
        """
        description = SessionDescription.parse(offer)
        direction: Direction = "sendonly" if self.held else "sendrecv"
        answer, agreement = make_answer(
            description, self._local, G711, session_id=self._session_id, version=self._version + 1, direction=direction
        )
        self._version += 1
        self._is_held_by_peer = not _sends(agreement)
        self._connect(agreement)
        return bytes(answer)

    def accept(self, answer: bytes) -> None:
        """Take the far end's answer to our `offer` and connect the channel.

        Raises:
            RemoteProtocolError: the answer is broken, or does not fit the offer.
        """
        if self._offer is None:
            raise LocalProtocolError("an answer without an offer")
        agreement = accept_answer(self._offer, SessionDescription.parse(answer))
        if self._offer.media[0].attribute("inactive") is None:
            self._is_held_by_peer = not _sends(agreement)
        self.held = self._offers_hold
        self._connect(agreement)

    def _connect(self, agreement: MediaAgreement) -> None:
        self.agreement = agreement
        codecs = {number: known.name for number, known in agreement.receive_formats.items()}
        events = next((number for number, name in codecs.items() if name == EVENT), None)
        self.channel.connect(
            agreement.remote,
            payload_type=agreement.format.payload_type,
            codec=agreement.format.name,
            receive={number: name for number, name in codecs.items() if name != EVENT},
            telephone_event=agreement.telephone_event,
            receive_telephone_event=events,
            send=_sends(agreement),
            paused=self.held,
            hosts={agreement.remote[0], *self._hosts},
        )


def _sends(agreement: MediaAgreement) -> bool:
    """Whether the far end takes audio."""
    return agreement.direction in {"sendrecv", "sendonly"} and agreement.remote[0] not in UNSPECIFIED

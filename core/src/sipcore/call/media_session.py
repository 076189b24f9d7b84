"""What SDP agreed on, applied to a media channel."""

from __future__ import annotations

from collections.abc import Collection

from sipcore.errors import LocalProtocolError
from sipcore.media.channel import MediaChannel
from sipcore.sdp.description import SessionDescription
from sipcore.sdp.negotiation import MediaAgreement, PayloadFormat, accept_answer, make_answer, make_offer

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
        self.agreement: MediaAgreement | None = None

    @property
    def expects_audio(self) -> bool:
        """Whether the far end should be sending: it is not on hold."""
        return self.agreement is not None and self.agreement.direction in {"sendrecv", "recvonly"}

    def offer(self) -> bytes:
        """Make an offer; its answer goes to `accept`."""
        self._version += 1
        self._offer = make_offer(self._local, G711, session_id=self._session_id, version=self._version)
        return bytes(self._offer)

    def answer(self, offer: bytes) -> bytes:
        """Answer the far end's offer and connect the channel.

        Raises:
            RemoteProtocolError: 400 for broken SDP, 488 when nothing in it can be spoken.
        """
        description = SessionDescription.parse(offer)
        answer, agreement = make_answer(
            description, self._local, G711, session_id=self._session_id, version=self._version + 1
        )
        self._version += 1
        self._connect(agreement)
        return bytes(answer)

    def accept(self, answer: bytes) -> None:
        """Take the far end's answer to our `offer` and connect the channel.

        Raises:
            RemoteProtocolError: the answer is broken, or does not fit the offer.
        """
        if self._offer is None:
            raise LocalProtocolError("an answer without an offer")
        self._connect(accept_answer(self._offer, SessionDescription.parse(answer)))

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
            send=agreement.direction in {"sendrecv", "sendonly"} and agreement.remote[0] not in UNSPECIFIED,
            hosts={agreement.remote[0], *self._hosts},
        )

"""What the SIP tests share: two agents on a wire, and messages to feed them."""

from random import Random

import pytest
from sipcore.sip.events import InvitationReceived, OfferReceived
from sipcore.sip.parser import parse_message
from sipcore.sip.uri import Uri
from sipcore.sip.user_agent import UserAgent, UserAgentSettings
from sipcore.testing.wire import FAIR, Wire

ALICE = ("192.0.2.1", 5060)
BOB = ("192.0.2.2", 5060)
OFFER = b"v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
ANSWER = OFFER.replace(b".1", b".2")


def make_message(method="INVITE", *, to_tag="", branch="z9hG4bKone", number=1, call_id="call@alice", body=b"", **extra):
    """A request of Alice's to Bob; a field given as None is left out, underscores stand for hyphens."""
    tag = f";tag={to_tag}" if to_tag else ""
    fields = {
        "Via": f"SIP/2.0/UDP 192.0.2.1:5060;branch={branch}",
        "From": '"Alice" <sip:alice@192.0.2.1>;tag=a',
        "To": f"<sip:bob@192.0.2.2>{tag}",
        "Call-ID": call_id,
        "CSeq": f"{number} {method}",
        "Contact": "<sip:alice@192.0.2.1:5060>",
    }
    if body:
        fields["Content-Type"] = "application/sdp"
    fields |= {name.replace("_", "-"): value for name, value in extra.items() if name != "uri"}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    uri = extra.get("uri", "sip:bob@192.0.2.2")
    head = "\r\n".join([f"{method} {uri} SIP/2.0", *lines, f"Content-Length: {len(body)}"])
    return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


class Pair:
    """Alice and Bob on a wire; Bob rings and answers unless told otherwise."""

    def __init__(self, weather=FAIR, seed=0):
        self.alice = UserAgent(UserAgentSettings(ALICE, "alice"), Random(seed))
        self.bob = UserAgent(UserAgentSettings(BOB, "bob"), Random(seed + 1))
        self.wire = Wire({ALICE: self.alice, BOB: self.bob}, weather, seed=seed, on_event=self._react)
        self.bob_answers = True

    def _react(self, agent, event, now):
        if agent is not self.bob or not self.bob_answers:
            return
        if isinstance(event, InvitationReceived):
            agent.ring(event.session, now)
            agent.answer(event.session, ANSWER, now)
        elif isinstance(event, OfferReceived):
            agent.accept_offer(event.session, ANSWER, now)

    def call(self, *, seconds=1.0, body=OFFER, **arguments):
        """Alice calls Bob; returns her session's id after that time."""
        session = self.alice.invite(
            Uri.parse("sip:bob@192.0.2.2"), now=self.wire.now, body=body, destination=BOB, **arguments
        )
        self.wire.run(seconds)
        return session

    def feed_bob(self, data, source=ALICE):
        """Give Bob bytes; returns the messages that he sends at once."""
        self.bob.receive_datagram(data, source, self.wire.now)
        return self.from_bob()

    def from_bob(self):
        """What Bob has to send, parsed."""
        return [parse_message(datagram.data) for datagram in self.bob.datagrams_to_send()]

    def names(self, address):
        """The names of the events of one side."""
        return [type(event).__name__ for event in self.wire.events_of(address)]

    def event(self, kind, address=BOB):
        """The only event of that kind on one side."""
        (found,) = [event for event in self.wire.events_of(address) if isinstance(event, kind)]
        return found

    def methods(self, source, destination):
        """The first words of what went one way."""
        sent = [data for _, a, b, data in self.wire.sent if (a, b) == (source, destination)]
        return [data.split(b" ")[1 if data.startswith(b"SIP/") else 0].decode() for data in sent]

    def assert_idle(self):
        """Nothing is left on either side."""
        for agent in (self.alice, self.bob):
            assert agent.active_sessions == 0
            assert agent.active_transactions == 0
            assert agent.next_timeout() is None


@pytest.fixture
def pair():
    return Pair()


@pytest.fixture
def make_pair():
    return Pair


@pytest.fixture
def message():
    return make_message

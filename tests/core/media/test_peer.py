"""Who is let in, and where packets go."""

import math
import time

import pytest
from sipcore.errors import MediaError
from sipcore.media.peer import EARLY_PACKETS, MOVE_SILENCE, Peer, names_no_one
from sipcore.media.ports import PortPool

EXPECTS = frozenset({0})


@pytest.fixture
def peer(ports):
    pool = PortPool("127.0.0.1", [ports])
    made = Peer(pool.acquire())
    yield made
    made.close()
    pool.release(made.pair)


def visit(peer: Peer, silent_for: float = math.inf):
    time.sleep(0.01)
    return peer.visit_door(silent_for=silent_for, expects=EXPECTS)


def test_before_the_signalling_there_is_no_door(peer, phone) -> None:
    phone.send(peer.pair.port)
    assert visit(peer).moved is None
    assert peer.strangers == 0


def test_the_peers_own_early_packets_are_kept_and_no_one_elses(peer, phone, stranger) -> None:
    for _ in range(4):
        phone.send(peer.pair.port)
        stranger.send(peer.pair.port)
    peer.connect(phone.address, frozenset())

    assert len(peer.early) == EARLY_PACKETS
    with pytest.raises(BlockingIOError):
        peer.pair.rtp.recv(1000)


def test_one_packet_is_no_stream_and_two_in_sequence_are(peer, phone) -> None:
    peer.connect(("127.0.0.1", 9), frozenset())
    phone.send(peer.pair.port)
    assert visit(peer).moved is None
    phone.sequence += 5
    phone.send(peer.pair.port)
    assert visit(peer).moved is None
    phone.send(peer.pair.port)
    assert visit(peer).moved == phone.address
    phone.send(peer.pair.port, b"now it is the peer")
    assert peer.pair.rtp.recv(1000).endswith(b"now it is the peer")
    assert peer.strangers == 2


@pytest.mark.parametrize("payload", [b"", b"\x80" * 160])
def test_what_is_no_agreed_rtp_makes_no_stream(peer, phone, payload) -> None:
    peer.connect(("127.0.0.1", 9), frozenset())
    for _ in range(4):
        phone.send(peer.pair.port, payload, kind=33)
        phone.socket.sendto(b"hello", ("127.0.0.1", peer.pair.port))
    found = visit(peer)

    assert (found.moved, found.stranger, peer.strangers) == (None, None, 8)


def test_while_the_peer_speaks_nobody_takes_its_place(peer, phone) -> None:
    peer.connect(("127.0.0.1", 9), frozenset())
    for _ in range(3):
        phone.send(peer.pair.port)
    found = visit(peer, silent_for=MOVE_SILENCE / 2)
    assert (found.moved, found.stranger, found.count) == (None, phone.address, 3)

    for _ in range(3):
        phone.send(peer.pair.port)
    assert visit(peer, silent_for=MOVE_SILENCE / 2).stranger is None
    for _ in range(2):
        phone.send(peer.pair.port)
    assert visit(peer, silent_for=MOVE_SILENCE * 2).moved == phone.address


def test_a_peer_found_elsewhere_is_kept_when_the_signalling_repeats_itself(peer, phone, stranger) -> None:
    peer.connect(("127.0.0.1", 9), frozenset())
    for _ in range(2):
        phone.send(peer.pair.port)
    visit(peer)
    peer.connect(("127.0.0.1", 9), frozenset())
    assert peer.address == phone.address
    peer.connect(("0.0.0.0", 9), frozenset())
    assert peer.address == phone.address
    peer.connect(stranger.address, frozenset())
    assert peer.address == stranger.address


def test_a_peer_without_a_listener_does_not_break_the_socket(peer, phone) -> None:
    gone = phone.address
    phone.socket.close()
    peer.connect(gone, frozenset())
    peer.pair.rtp.send(b"into the void")
    time.sleep(0.01)
    peer.connect(("127.0.0.1", 9), frozenset())
    assert peer.early == []


@pytest.mark.parametrize(
    ("remote", "none"), [(("0.0.0.0", 1), True), (("::", 1), True), (("::1", 0), True), (("::1", 1), False)]
)
def test_hold_is_an_address_of_no_one(remote, none) -> None:
    assert names_no_one(remote) is none


def test_what_cannot_be_reached_is_said(peer) -> None:
    with pytest.raises(MediaError, match=r"255\.255\.255\.255 cannot be reached"):
        peer.connect(("255.255.255.255", 9), frozenset())
    with pytest.raises(MediaError, match="no IP address"):
        peer.connect(("phone.example", 9), frozenset())

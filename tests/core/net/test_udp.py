"""net/udp.py: a user agent on a real port of the loopback."""

import errno
import socket
import time

import anyio
import pytest
from sipcore.errors import ConfigError, LocalProtocolError
from sipcore.net import udp
from sipcore.net.udp import SipEndpoint
from sipcore.sip.events import (
    InvitationReceived,
    OfferReceived,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionRang,
    SessionRejected,
)
from sipcore.sip.timers import TimerValues
from sipcore.sip.uri import Uri
from sipcore.sip.user_agent import UserAgentSettings

pytestmark = pytest.mark.anyio

LOCAL = ("127.0.0.1", 0)
TARGET = Uri.parse("sip:bob@127.0.0.1")
SDP = b"v=0\r\n"


async def expect(endpoint, kind):
    """The next event, which must be of that kind."""
    with anyio.fail_after(5):
        async for event in endpoint.events():
            assert isinstance(event, kind), event
            return event
    raise AssertionError(f"the endpoint closed before {kind.__name__}")


async def test_a_call_from_one_endpoint_to_another():
    seen = []
    async with SipEndpoint(LOCAL, on_message=lambda *message: seen.append(message)) as alice, SipEndpoint(LOCAL) as bob:
        call = alice.invite(TARGET, body=SDP, destination=bob.address)
        invitation = await expect(bob, InvitationReceived)
        assert invitation.source == alice.address
        bob.ring(invitation.session)
        await expect(alice, SessionRang)
        bob.answer(invitation.session, SDP)
        await expect(alice, SessionAnswered)
        await expect(bob, SessionConfirmed)
        alice.bye(call, "SIP;cause=200")
        assert (await expect(bob, SessionEnded)).cause == "hangup"
        assert (await expect(alice, SessionEnded)).cause == "bye"
        port = bob.address[1]
    directions = [(direction, data.split(b" ")[0], address[1]) for direction, data, address in seen]
    assert directions[0] == ("out", b"INVITE", port)
    assert ("in", b"SIP/2.0", port) in directions


async def test_rejecting_and_cancelling():
    async with SipEndpoint(LOCAL) as alice, SipEndpoint(LOCAL) as bob:
        alice.invite(TARGET, body=SDP, destination=bob.address)
        bob.reject((await expect(bob, InvitationReceived)).session, 486)
        assert (await expect(alice, SessionRejected)).status == 486
        call = alice.invite(TARGET, body=SDP, destination=bob.address)
        bob.ring((await expect(bob, InvitationReceived)).session)
        await expect(alice, SessionRang)
        alice.cancel(call)
        assert (await expect(alice, SessionRejected)).status == 487


async def test_offers_within_a_call():
    async with SipEndpoint(LOCAL) as bob:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(LOCAL)
            phone.setblocking(False)

            def send(method, number, to=""):
                lines = [
                    f"{method} sip:bob@127.0.0.1 SIP/2.0",
                    f"Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{method}{number}",
                    "From: <sip:a@127.0.0.1>;tag=a",
                    f"To: <sip:bob@127.0.0.1>{to}",
                    "Call-ID: call",
                    f"CSeq: {number} {method}",
                    f"Contact: <sip:a@127.0.0.1:{phone.getsockname()[1]}>",
                    "Content-Type: application/sdp",
                ]
                phone.sendto("\r\n".join([*lines, "", "v=0\r\n"]).encode(), bob.address)

            send("INVITE", 1)
            session = (await expect(bob, InvitationReceived)).session
            bob.answer(session, SDP)
            phone.recv(9999)
            tag = phone.recv(9999).decode().split("To: <sip:bob@127.0.0.1>")[1].split("\r\n")[0]
            send("ACK", 1, tag)
            await expect(bob, SessionConfirmed)
            send("INVITE", 2, tag)
            await expect(bob, OfferReceived)
            bob.refuse_offer(session, 488)
            send("ACK", 2, tag)
            send("UPDATE", 3, tag)
            await expect(bob, OfferReceived)
            bob.accept_offer(session, SDP)
            received = [phone.recv(9999).split(b"\r\n")[0] for _ in range(3)]
            assert received == [b"SIP/2.0 100 Trying", b"SIP/2.0 488 Not Acceptable Here", b"SIP/2.0 200 OK"]


async def test_time_passes_and_unanswered_calls_fail():
    settings = UserAgentSettings(LOCAL, timers=TimerValues(t1=0.005))
    sent = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(LOCAL)
        async with SipEndpoint(LOCAL, settings, on_message=lambda *message: sent.append(message)) as alice:
            alice.invite(TARGET, body=SDP, destination=deaf.getsockname())
            assert (await expect(alice, SessionRejected)).status == 408
    assert len(sent) == 7


async def test_what_cannot_be_sent_fails_at_once():
    async with SipEndpoint(LOCAL) as alice:
        alice.invite(TARGET, body=b"x" * 70_000, destination=("127.0.0.1", 9))
        assert (await expect(alice, SessionRejected)).status == 503


def closed_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(LOCAL)
        return gone.getsockname()


@pytest.mark.skipif(udp._ERROR_QUEUE is None, reason="this system reports no ICMP errors")
async def test_a_call_to_a_closed_port_fails_at_once():
    async with SipEndpoint(LOCAL) as alice, SipEndpoint(LOCAL) as bob:
        for _ in range(3):
            alice.invite(TARGET, body=SDP, destination=closed_port())
            alice.invite(TARGET, body=SDP, destination=bob.address)
            await expect(bob, InvitationReceived)
            assert (await expect(alice, SessionRejected)).status == 503
        before = time.process_time()
        await anyio.sleep(0.2)
        assert time.process_time() - before < 0.1


@pytest.mark.skipif(udp._ERROR_QUEUE is None, reason="this system reports no ICMP errors")
async def test_an_icmp_error_for_one_peer_loses_no_message_to_another():
    async with SipEndpoint(LOCAL) as alice, SipEndpoint(LOCAL) as bob:
        alice.invite(TARGET, body=SDP, destination=closed_port())
        time.sleep(0.01)
        alice.invite(TARGET, body=SDP, destination=bob.address)
        with anyio.fail_after(0.3):
            assert isinstance(await expect(bob, InvitationReceived), InvitationReceived)
        assert (await expect(alice, SessionRejected)).status == 503


async def test_an_error_without_return_is_a_loss_like_any_other():
    async with SipEndpoint(LOCAL) as alice, SipEndpoint(LOCAL) as bob:
        alice.fail(OSError(errno.ECONNREFUSED, "refused"))
        udp._Protocol(alice).error_received(RuntimeError("no OSError"))
        alice.invite(TARGET, body=SDP, destination=bob.address)
        await expect(bob, InvitationReceived)
        assert alice.agent.active_sessions == 1


async def test_events_end_when_the_endpoint_closes():
    events = []

    async def collect(endpoint):
        async for event in endpoint.events():
            events.append(event)

    async with SipEndpoint(LOCAL) as alice, SipEndpoint(LOCAL) as bob, anyio.create_task_group() as tasks:
        tasks.start_soon(collect, bob)
        alice.invite(TARGET, body=SDP, destination=bob.address)
        while not events:
            await anyio.sleep(0.01)
        await bob.__aexit__(None, None, None)
    assert len(events) == 1
    bob.receive(b"late", LOCAL)
    bob.reject(events[0].session, 486)


async def test_when_nobody_takes_events_datagrams_are_dropped(monkeypatch):
    monkeypatch.setattr(udp, "MAX_PENDING_EVENTS", 1)
    async with SipEndpoint(LOCAL) as bob:
        for _ in range(5):
            bob.receive(b"nonsense", ("127.0.0.1", 9))
        assert bob.agent.next_event() is None
        assert len(bob._events) == 1


async def test_the_advertised_address_stands_in_our_messages():
    seen = []
    settings = UserAgentSettings(("198.51.100.7", 0), "me")
    async with SipEndpoint(LOCAL, settings, on_message=lambda *message: seen.append(message)) as alice:
        alice.invite(TARGET, body=SDP, destination=("127.0.0.1", 9))
        assert b"Contact: <sip:me@198.51.100.7:%d>" % alice.address[1] in seen[0][1]


async def test_a_port_in_use_is_explained():
    async with SipEndpoint(LOCAL) as alice:
        port = alice.address[1]
        with pytest.raises(ConfigError, match=f"SIP_LOCAL_PORT {port} is in use on 127.0.0.1: .*lsof -i :{port}"):
            await SipEndpoint(alice.address).__aenter__()


async def test_a_foreign_address_is_explained():
    with pytest.raises(ConfigError, match=r"SIP_LOCAL_IP 203\.0\.113\.1 is no address of this machine"):
        await SipEndpoint(("203.0.113.1", 0)).__aenter__()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_address_that_nobody_can_answer_to_is_explained(host):
    with pytest.raises(ConfigError, match="SIP_ADVERTISED_IP"):
        await SipEndpoint((host, 0)).__aenter__()


async def test_a_wildcard_with_an_advertised_address_is_fine():
    async with SipEndpoint(("0.0.0.0", 0), UserAgentSettings(LOCAL)) as alice:
        assert alice.address[1] > 0


async def test_ipv6():
    local = ("::1", 0)
    async with SipEndpoint(local) as alice, SipEndpoint(local) as bob:
        alice.invite(Uri.parse("sip:bob@[::1]"), body=SDP, destination=bob.address)
        assert (await expect(bob, InvitationReceived)).source == alice.address


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EACCES, "above 1023"), (errno.EMFILE, "cannot be bound: Too many open files")]
)
def test_other_failures_are_explained(number, text):
    import os

    assert text in udp._explain(OSError(number, os.strerror(number)), "127.0.0.1", 80)


async def test_a_closed_endpoint_says_so():
    endpoint = SipEndpoint(LOCAL)
    for use in (lambda: endpoint.address, lambda: endpoint.agent, lambda: endpoint.bye("x")):
        with pytest.raises(LocalProtocolError, match="async with"):
            use()
    await endpoint.__aexit__(None, None, None)

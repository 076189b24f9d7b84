"""What is wrong with a message is said to whoever sent it, with the status of the RFC; no other call notices."""

import re
from collections.abc import Callable, Iterator

import pytest
from phonelab import waves
from phonelab.ear import HEADER, Ear, Ears
from phonelab.lab import Lab
from phonelab.program import wait_until
from phonelab.server import Server
from phonelab.wire import SipSocket, sdp


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of this module: what is bad in one test must not matter in the next."""
    with Server(lab, tmp_path_factory.mktemp("bad") / "server", calls=8) as made:
        yield made.wait_ready()
        print(made.log[-6000:])
        made.stop()


@pytest.fixture
def sip(lab: Lab, server: Server) -> Iterator[SipSocket]:
    """A socket; after each test the server still answers, and holds no call."""
    with SipSocket(lab, server.address) as made:
        yield made
    with SipSocket(lab, server.address) as probe:
        assert probe.options_answered()


def without(text: str, name: str) -> str:
    """A message without one of its headers."""
    return re.sub(rf"(?im)^{name}:.*\r\n", "", text)


def changed(text: str, name: str, value: str) -> str:
    """A message with another value for one of its headers."""
    return re.sub(rf"(?im)^({name}): .*\r\n", rf"\1: {value}\r\n", text)


@pytest.mark.parametrize(
    ("what", "make", "status"),
    [
        ("no Call-ID", lambda text: without(text, "Call-ID"), 400),
        ("no CSeq", lambda text: without(text, "CSeq"), 400),
        ("no To", lambda text: without(text, "To"), 400),
        ("no From", lambda text: without(text, "From"), 400),
        ("a CSeq that is no number", lambda text: changed(text, "CSeq", "one INVITE"), 400),
        ("a CSeq of another method", lambda text: changed(text, "CSeq", "1 BYE"), 400),
        ("a CSeq above 2**31", lambda text: changed(text, "CSeq", "4294967296 INVITE"), 400),
        ("a From that is no address", lambda text: changed(text, "From", "<sip:x@;;;>>;tag"), 400),
        ("a Content-Length above the body's", lambda text: changed(text, "Content-Length", "9999"), 400),
        ("a negative Content-Length", lambda text: changed(text, "Content-Length", "-1"), 400),
        ("a version that is not SIP/2.0", lambda text: text.replace(" SIP/2.0\r\n", " SIP/7.0\r\n", 1), 505),
        ("an extension that nobody knows", lambda text: text.replace("CSeq", "Require: nothing\r\nCSeq", 1), 420),
        ("a body of another type", lambda text: changed(text, "Content-Type", "text/plain"), 415),
        ("hops that are used up", lambda text: changed(text, "Max-Forwards", "0"), 200),
        ("SDP that is none", lambda text: text.replace("v=0\r\n", "v=x\r\n"), 400),
        ("SDP without an address", lambda text: re.sub(r"c=IN IP4 \S+\r\n", "c=IN IP4\r\n", text), 400),
        ("SDP with a port that is none", lambda text: re.sub(r"m=audio \d+", "m=audio 99999", text), 400),
        ("no codec that we speak", lambda text: re.sub(r"RTP/AVP 0 8 101", "RTP/AVP 9 18 97", text), 488),
        ("no audio at all", lambda text: text.replace("m=audio", "m=video"), 488),
        ("a profile that is not RTP/AVP", lambda text: text.replace("RTP/AVP", "RTP/SAVP"), 488),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_invite_with(sip: SipSocket, server: Server, what: str, make: Callable[[str], str], status: int):
    dialog = sip.dialog()
    body = sdp(40000)
    text = dialog.request("INVITE", body)
    made = make(text)
    if "Content-Length: -1" not in made and "9999" not in made:
        head, _, rest = made.partition("\r\n\r\n")
        made = changed(head + "\r\n", "Content-Length", str(len(rest))) + "\r\n" + rest
    answer = sip.ask(made)
    print(f"{what}: {answer.status} {answer.reason}  Warning: {answer.headers.get('warning')}")
    if answer.status == 200:
        dialog.learn(answer)
        sip.send(dialog.request("ACK"))
        dialog.hang_up()
    else:
        dialog.acknowledge_refusal(answer)
    assert answer.status == status
    if answer.status in {400, 488} and "SDP" in what:
        wait_until(lambda: server.lines(dialog.call_id), 1, "a log line with the call's id")
    if status == 420:
        assert answer.headers["unsupported"] == "nothing"
    if status == 415:
        assert "application/sdp" in answer.headers["accept"]
    if status == 488:
        assert answer.headers["warning"].startswith("3") or "399" in answer.headers["warning"]


@pytest.mark.parametrize(
    ("data"),
    [
        b"",
        b"\r\n\r\n",
        b"\0" * 200,
        bytes(range(256)) * 8,
        b"INVITE",
        b"INVITE sip:a@b SIP/2.0\r\n" * 2000,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\n\r\n",
        b"\x80\x00" + b"\xff" * 170,
    ],
    ids=["nothing", "keep-alive", "zeros", "all-octets", "one-word", "long", "http", "bare-200", "stray-200", "rtp"],
)
def test_a_datagram_that_is_no_request(sip: SipSocket, server: Server, data: bytes):
    before = len(server.lines("incoming call"))
    sip.send(data)
    assert sip.options_answered()
    assert len(server.lines("incoming call")) == before


@pytest.mark.parametrize(
    ("method", "status"),
    [("BYE", 481), ("CANCEL", 481), ("INFO", 481), ("UPDATE", 481), ("PUBLISH", 405), ("SING", 501), ("OPTIONS", 200)],
)
def test_a_request_outside_any_call(sip: SipSocket, method: str, status: int):
    dialog = sip.dialog()
    if method in {"BYE", "INFO", "UPDATE"}:
        dialog.to_tag = ";tag=nobody"
    answer = sip.ask(dialog.request(method))
    print(f"{method}: {answer.status} {answer.reason}")
    assert answer.status == status or (status in {405, 501} and answer.status in {405, 501})
    if answer.status == 405:
        assert "INVITE" in answer.headers["allow"] and "BYE" in answer.headers["allow"]


def test_a_call_without_an_offer_gets_ours(lab: Lab, server: Server, sip: SipSocket):
    dialog = sip.dialog()
    answer = sip.ask(dialog.request("INVITE"))
    assert answer.status == 200 and "m=audio" in answer.body
    dialog.learn(answer)
    with lab.udp_socket(lab.ports(2)) as rtp:
        rtp.settimeout(2)
        sip.send(dialog.request("ACK", sdp(rtp.getsockname()[1])))
        data = rtp.recv(2048)
        assert len(data) == 172 and data[1] & 0x7F in {0, 8}
        assert dialog.hang_up().status == 200


def test_rtp_from_a_stranger_is_dropped_and_told_once(lab: Lab, server: Server, alice: waves.Samples):
    with Ears(lab, server.address, 1, alice) as ears:
        ear = ears.all[0]
        assert ear.call().status == 200
        ears.wait(0.5)
        with lab.udp_socket(host="127.0.0.9") as stranger:
            for number in range(100):
                noise = bytes((number * 7 + octet * 13) & 0xFF for octet in range(160))
                stranger.sendto(HEADER.pack(0x80, 0, number, number * 160, 0xBAD) + noise, ear.far_end or ("", 0))
                ears.wait(0.005)
        ears.wait(2.5)
        gaps, lost = ears.gaps(), ear.lost()
        assert ear.hang_up().status == 200
    recorded = waves.read(server.wavs()[-1])[0]
    heard = waves.compare(alice[: 3 * waves.RATE], recorded)
    told = [line for line in server.lines("127.0.0.9") if f"[call {ear.dialog.call_id}]" in line]
    print("\n".join(told), f"\nour recording of the caller: {heard}\nwhat the caller heard: {gaps}", sep="")
    assert len(told) == 1 and "is not from the far end" in told[0]
    assert heard.median >= 35 and heard.lost == 0
    assert gaps.longest < 60 and lost == 0


def test_the_recording_of_a_call_whose_names_mean_harm(lab: Lab, server: Server, sip: SipSocket):
    for call_id in ("../../../etc/x", "x" * 300, "a\\b%2e%2e%2f"):
        count = len(server.wavs())
        dialog = sip.dialog(call_id=call_id)
        text = dialog.request("INVITE", sdp(40000)).replace("<sip:tester@", "<sip:%2e%2e%2f..%2Fetc@")
        answer = sip.ask(text)
        assert answer.status == 200, answer.text
        dialog.learn(answer)
        sip.send(dialog.request("ACK").replace("<sip:tester@", "<sip:%2e%2e%2f..%2Fetc@"))
        wait_until(lambda count=count: len(server.wavs()) > count, 2, "its recording")
        assert sip.ask(dialog.request("BYE").replace("<sip:tester@", "<sip:%2e%2e%2f..%2Fetc@")).status == 200
    for path in server.wavs():
        assert path.parent == server.recordings and path.stat().st_mode & 0o777 == 0o600
    assert not list(server.recordings.parent.glob("*.wav"))


def test_a_repeated_invite_makes_one_call(sip: SipSocket, server: Server):
    dialog = sip.dialog()
    text = dialog.request("INVITE", sdp(40000))
    before = len(server.lines("incoming call"))
    for _ in range(3):
        sip.send(text)
    answer = sip.final()
    assert answer.status == 200
    dialog.learn(answer)
    sip.send(dialog.request("ACK"))
    bye = dialog.request("BYE")
    statuses = [sip.ask(bye).status for _ in range(3)]
    assert statuses == [200, 200, 200], "a repeated BYE gets the same answer"
    assert len(server.lines("incoming call")) == before + 1


def test_a_silent_peer_does_not_stop_its_call(lab: Lab, server: Server):
    with Ear(lab, server.address, speak=False) as ear:
        assert ear.call().status == 200
        wait_until(lambda: (ear.hear(), len(ear.packets) >= 25)[1], 2, "packets although none are sent")
        assert ear.hang_up().status == 200

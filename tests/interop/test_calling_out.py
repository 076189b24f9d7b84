"""``sipcore call`` calls baresip: it plays, records, sends digits, and its exit status tells how it went."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import LOOPBACK, Lab
from phonelab.phone import Phone
from phonelab.server import Server
from phonelab.wire import SipSocket, parse
from phonelab.words import Listener, word_error_rate


def test_play_and_record_are_heard_whole(lab: Lab, tmp_path: Path, alice: waves.Samples, bob: waves.Samples):
    said = waves.write(tmp_path / "hello.wav", alice)
    with Baresip(lab, tmp_path / "bob", np.concatenate([bob, waves.silence(20)]), "bob", answers=True) as callee:
        callee.wait_ready()
        options = ("--play", str(said), "--record", "heard.wav", "--duration", "7.5", "--json")
        with Phone(lab, tmp_path / "phone", callee.uri, *options) as phone:
            status = phone.wait_end(30)
        callee.wait_call_over(2)
        callee.quit()
    ours = waves.compare(alice, callee.heard())
    theirs = waves.compare(bob, waves.read(tmp_path / "phone" / "heard.wav")[0])
    print(f"baresip heard: {ours}\nwe recorded: {theirs}\n{phone.log}")
    assert status == 0, phone.log
    assert ours.median >= 35 and ours.lost == 0 and ours.slips <= 1
    assert theirs.median >= 35 and theirs.lost == 0 and theirs.slips <= 1
    result = json.loads(phone.lines("{")[-1])
    assert result["answered"] is True and result["status"] == 200 and 7.0 <= result["seconds"] <= 8.5


def test_what_it_says_is_heard_as_words(lab: Lab, tmp_path: Path, bob: waves.Samples, listener: Listener):
    sentence = "The parcel arrives on Monday morning."
    with Baresip(lab, tmp_path / "bob", np.concatenate([bob, waves.silence(20)]), "bob", answers=True) as callee:
        callee.wait_ready()
        with Phone(lab, tmp_path / "phone", callee.uri, "--say", sentence) as phone:
            status = phone.wait_end(60)
        callee.wait_call_over(2)
        callee.quit()
    heard = listener.write_down(callee.heard())
    print(f"said {sentence!r}, heard {heard!r}")
    assert status == 0, phone.log
    assert word_error_rate(sentence, heard) <= 0.2


def test_the_command_that_the_server_prints_works(start: Callable[..., Server], lab: Lab, tmp_path: Path):
    server = start()
    hello = waves.write(tmp_path / "hello.wav", waves.voice("alice"))
    (line,) = re.findall(r"from here: +sipcore call (.*)", server.log)
    target, *options = line.replace("hello.wav", str(hello)).replace("--duration 20", "--duration 7").split()
    with Phone(lab, tmp_path / "phone", target, *options) as phone:
        assert phone.wait_end(20) == 0, phone.log
    heard = waves.compare(waves.voice("alice"), waves.read(tmp_path / "phone" / "heard.wav")[0])
    print(f"the echo of it: {heard}")
    assert heard.median >= 30 and heard.lost == 0


def test_digits_arrive(lab: Lab, tmp_path: Path, bob: waves.Samples):
    with Baresip(lab, tmp_path / "bob", np.concatenate([bob, waves.silence(20)]), "bob", answers=True) as callee:
        callee.wait_ready()
        with Phone(lab, tmp_path / "phone", callee.uri, "--dtmf", "159#", "--duration", "3") as phone:
            status = phone.wait_end(30)
        callee.quit()
    print("\n".join(callee.lines("DTMF") or callee.lines("event")))
    assert status == 0, phone.log
    for digit in "159#":
        assert f"received event: '{digit}'" in callee.log or f"'{digit}'" in callee.log, callee.log[-3000:]


def test_without_an_errand_it_stays_until_the_other_side_hangs_up(lab: Lab, tmp_path: Path, bob: waves.Samples):
    with Baresip(lab, tmp_path / "bob", bob[:16000], "bob", answers=True) as callee:
        callee.wait_ready()
        with Phone(lab, tmp_path / "phone", callee.uri, "--record", "heard.wav") as phone:
            status = phone.wait_end(30)
    assert status == 0, phone.log
    assert "(hangup)" in phone.log


def test_a_busy_phone(lab: Lab, tmp_path: Path):
    busy = SipSocket(lab, (LOOPBACK, 9))
    with busy, Phone(lab, tmp_path / "phone", f"sip:bob@{LOOPBACK}:{busy.port}") as phone:
        busy.socket.settimeout(15)
        data, address = busy.socket.recvfrom(65535)
        invite = parse(data)
        kept = "".join(f"{name}: {invite.headers[name]}\r\n" for name in ("via", "from", "call-id", "cseq"))
        to = f"To: {invite.headers['to']};tag=busy\r\n"
        busy.socket.sendto(f"SIP/2.0 486 Busy Here\r\n{kept}{to}Content-Length: 0\r\n\r\n".encode(), address)
        status = phone.wait_end(10)
        ack = busy.receive(1)
    assert status == 1
    assert "sipcore: not answered: 486 Busy Here" in phone.log, phone.log
    assert ack.method == "ACK"
    assert "Traceback" not in phone.log


def test_baresip_refuses(lab: Lab, tmp_path: Path, bob: waves.Samples):
    with Baresip(lab, tmp_path / "bob", bob, "bob", answers=False) as callee:
        callee.wait_ready()
        with Phone(lab, tmp_path / "phone", callee.uri) as phone:
            phone.wait_for(r"ringing \(180\)")
            callee.do("hangup")
            status = phone.wait_end(10)
        callee.quit()
    print(phone.log)
    assert status == 1
    assert "sipcore: not answered: 4" in phone.log or "sipcore: not answered: 6" in phone.log


def test_nobody_is_there(lab: Lab, tmp_path: Path):
    with Phone(lab, tmp_path / "phone", f"sip:bob@{LOOPBACK}:{lab.ports(2)}", "--timeout", "2") as phone:
        status = phone.wait_end(12)
    print(phone.log)
    assert status == 1
    assert "sipcore: not answered: " in phone.log and "Traceback" not in phone.log


def test_it_rings_and_nobody_answers(lab: Lab, tmp_path: Path, bob: waves.Samples):
    with Baresip(lab, tmp_path / "bob", bob, "bob", answers=False) as callee:
        callee.wait_ready()
        with Phone(lab, tmp_path / "phone", callee.uri, "--timeout", "2") as phone:
            status = phone.wait_end(12)
        callee.wait_for("session closed", 2)
        callee.quit()
    assert status == 1
    assert "sipcore: not answered: 408 no answer within 2 s" in phone.log, phone.log


def test_a_call_that_was_never_meant(lab: Lab, tmp_path: Path):
    wrong = {
        "target": (("sip:",), "cannot be called"),
        "scheme": (("tel:+49123",), "sip:bob@192.168.1.10"),
        "play": (("sip:bob@127.0.0.1", "--play", "gone.wav"), "--play gone.wav: "),
        "record": (("sip:bob@127.0.0.1", "--record", "no/such/folder.wav"), "the folder does not exist"),
        "dtmf": (("sip:bob@127.0.0.1", "--dtmf", "12x"), "--dtmf 12x: the digits are 0-9, *, # and A-D"),
    }
    for name, (arguments, message) in wrong.items():
        with Phone(lab, tmp_path / name, *arguments) as phone:
            assert phone.wait_end(20) == 1, phone.log
        print(phone.log.strip())
        assert message in phone.log and "Traceback" not in phone.log

"""What the demo says it measured."""

import pytest
from sipcore.app.demo_report import Report, match
from sipcore.app.scripted_caller import Spoken
from sipcore.plugins import CallInfo, TurnFinished, TurnTiming

INFO = CallInfo("1", "incoming", "a", "b")


def turn(said="hello", heard="hi", end=10.0):
    timing = TurnTiming(end, end + 0.3, end + 0.5, end + 0.6, end + 0.7, end + 0.8)
    return TurnFinished(INFO, said, heard, False, timing)


def report(turns, barge_in=0.31, seconds=12.0):
    return Report(match([("Hello.", Spoken(9.0, 10.1))], turns), barge_in, "call.wav", seconds)


def test_latencies_count_from_the_end_of_speech_that_the_caller_saw():
    (line,) = report([turn()]).lines
    assert line.latency == {"transcript": 200, "first_token": 400, "first_audio": 600, "first_packet": 700}


def test_a_call_that_worked():
    json = report([turn()]).as_json()
    assert json["ok"] is True
    assert json["turns"][0]["understood"] == "hello"
    assert json["barge_in_ms"] == 310
    assert json["recording"] == {"path": "call.wav", "seconds": 12.0}


@pytest.mark.parametrize(
    "bad", [report([]), report([turn(heard="")]), report([turn()], barge_in=None), report([turn()], seconds=0.0)]
)
def test_a_call_that_did_not_work(bad):
    assert not bad.ok


def test_a_line_without_a_turn_has_no_figures():
    (row,) = report([turn(end=30.0)]).rows()
    assert row == ("-", "-", "-", "-", "-")

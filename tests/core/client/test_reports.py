"""client/reports.py: TRANSCRIPT and TURN, written and read back."""

import pytest
from sipcore.client.reports import transcript_data, transcript_event, turn_data, turn_event
from sipcore.plugins import CallInfo, Transcript, TranscriptMade, TurnFinished, TurnTiming

INFO = CallInfo("call-1", "incoming", "sip:alice@test", "sip:bob@test")


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("speaker", ["caller", "assistant"])
def test_a_transcript_is_read_back_as_it_was_written(speaker, final):
    event = TranscriptMade(INFO, speaker, Transcript("hello", "en", 0.875), final)
    assert transcript_event(INFO, transcript_data(event)) == event


def test_a_turn_is_read_back_as_it_was_written_and_steps_that_were_not_reached_stay_so():
    event = TurnFinished(INFO, "hello", "hi", True, TurnTiming(10.0, transcript=10.25, first_packet=11.5))
    data = turn_data(event)
    assert data["timing_ms"] == {
        "transcript": 250,
        "first_token": None,
        "first_sentence": None,
        "first_audio": None,
        "first_packet": 1500,
    }
    assert turn_event(INFO, data, 10.0) == event


@pytest.mark.parametrize("data", [{}, {"timing_ms": 7}, {"timing_ms": {"transcript": "soon", "first_token": True}}])
def test_what_is_not_said_gets_a_default(data):
    assert turn_event(INFO, data) == TurnFinished(INFO, "", "", False, TurnTiming(0.0))
    assert transcript_event(INFO, data) == TranscriptMade(INFO, "caller", Transcript("", "", 0.0))

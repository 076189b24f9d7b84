"""Where an utterance begins and ends."""

import numpy as np
import pytest
from sipcore.audio.frame import AudioFrame
from sipcore.testing.fakes import FakeDetector, loud, quiet
from sipcore.voice.assistant import TurnTaking
from sipcore.voice.endpointing import CandidateEnded, Endpointer, SpeechResumed, SpeechStarted, SpeechWentOn, TurnEnded

RULES = TurnTaking(min_speech=0.09, candidate_silence=0.25, end_silence=0.6, pre_roll=0.3, max_utterance=5.0)


def hear(*script: AudioFrame, rules: TurnTaking = RULES):
    endpointer = Endpointer(rules, FakeDetector(), 8000)
    pcm = b"".join(frame.pcm for frame in script)
    return [e for i in range(0, len(pcm), 320) for e in endpointer.hear(AudioFrame(pcm[i : i + 320], 8000))]


def test_an_utterance_has_a_start_a_candidate_end_and_an_end():
    started, candidate, ended = hear(quiet(1), loud(1), quiet(1))
    assert started == SpeechStarted(pytest.approx(1.0, abs=0.04))
    assert isinstance(candidate, CandidateEnded)
    assert ended == TurnEnded(candidate.at)
    assert candidate.at == pytest.approx(2.0, abs=0.04)


def test_the_utterance_keeps_pre_roll_and_trailing_silence():
    _, candidate, _ = hear(quiet(1), loud(1), quiet(1))
    samples = np.abs(candidate.audio.samples) > 1000
    first, last = np.flatnonzero(samples)[[0, -1]] / 8000
    assert 0.3 <= first <= 0.36
    assert candidate.audio.duration - last >= 0.2


def test_a_short_pause_is_a_candidate_that_is_taken_back():
    kinds = [type(e) for e in hear(quiet(1), loud(1), quiet(0.4), loud(1), quiet(1))]
    assert kinds == [SpeechStarted, CandidateEnded, SpeechResumed, CandidateEnded, TurnEnded]


def test_the_second_candidate_holds_both_halves():
    events = hear(quiet(1), loud(1), quiet(0.4), loud(1), quiet(1))
    assert events[3].audio.duration == pytest.approx(0.3 + 1 + 0.4 + 1 + 0.25, abs=0.1)


def test_a_click_is_no_speech():
    assert hear(quiet(1), loud(0.05), quiet(1)) == []


def test_a_click_in_a_pause_does_not_take_the_end_back():
    kinds = [type(e) for e in hear(quiet(1), loud(1), quiet(0.4), loud(0.04), quiet(1))]
    assert kinds == [SpeechStarted, CandidateEnded, TurnEnded]


def test_a_gap_inside_a_word_is_no_candidate():
    kinds = [type(e) for e in hear(quiet(1), loud(1), quiet(0.15), loud(1), quiet(1))]
    assert kinds == [SpeechStarted, CandidateEnded, TurnEnded]


def test_an_endless_utterance_is_cut():
    kinds = [type(e) for e in hear(loud(6), rules=RULES)]
    assert kinds[:3] == [SpeechStarted, CandidateEnded, TurnEnded]


def test_a_call_at_another_rate_is_resampled_for_the_detector():
    endpointer = Endpointer(RULES, FakeDetector(), 16000)
    tone = AudioFrame.from_samples(np.full(320, 8000, np.int16), 16000)
    events = [e for _ in range(50) for e in endpointer.hear(tone)]
    assert [type(e) for e in events] == [SpeechStarted]
    assert endpointer.speech == pytest.approx(1.0, abs=0.1)


def test_without_a_shortest_speech_silence_is_none_all_the_same():
    rules = TurnTaking(min_speech=0.0)
    assert hear(quiet(2), rules=rules) == []
    kinds = [type(e) for e in hear(quiet(1), loud(0.3), quiet(1), rules=rules)]
    assert kinds == [SpeechStarted, CandidateEnded, TurnEnded]


@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_a_low_threshold_still_lets_speech_end(threshold):
    kinds = [type(e) for e in hear(quiet(1), loud(1), quiet(1), rules=TurnTaking(threshold=threshold))]
    assert kinds == [SpeechStarted, CandidateEnded, TurnEnded]


def test_the_position_counts_every_sample():
    endpointer = Endpointer(RULES, FakeDetector(), 8000)
    for count in range(1, 20):
        list(endpointer.hear(quiet(0.02)))
        assert endpointer.position == pytest.approx(0.02 * count)


def test_unbroken_speech_comes_out_now_and_then_and_is_not_cut():
    rules = TurnTaking(interim=1.0)
    events = list(hear(loud(3.5), quiet(1), rules=rules))
    on = [event for event in events if isinstance(event, SpeechWentOn)]
    assert [event.at for event in on] == [pytest.approx(second, abs=0.1) for second in (1, 2, 3)]
    (candidate,) = [event for event in events if isinstance(event, CandidateEnded)]
    assert candidate.audio.duration > on[-1].audio.duration > on[0].audio.duration


def test_a_pause_begins_the_wait_anew():
    rules = TurnTaking(interim=1.0)
    events = list(hear(loud(0.8), quiet(0.4), loud(0.8), quiet(1), rules=rules))
    assert not [event for event in events if isinstance(event, SpeechWentOn)]

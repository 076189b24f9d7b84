"""An assistant's languages and voices, and that every setting reaches it."""

import dataclasses

import pytest
from sipcore.app.config_tables import AssistantSettings, TurnSettings
from sipcore.plugins import Voice
from sipcore.voice.assistant import Assistant, TurnTaking


@pytest.mark.parametrize(
    ("heard", "voice"),
    [
        ("", Voice("en-GB", "alba")),
        ("en", Voice("en-GB", "alba")),
        ("EN-us", Voice("en-US", "joe")),
        ("de", Voice("de", "eva")),
        ("de-AT", Voice("de", "eva")),
        ("fr", Voice("en-GB", "alba")),
    ],
)
def test_the_voice_is_that_of_the_language_heard(heard, voice):
    assistant = Assistant(language="en-GB", voices={"en-US": "joe", "de": "eva", "en-GB": "alba"})
    assert assistant.voice(heard) == voice


def test_every_setting_of_an_assistant_reaches_it():
    turn = {
        "vad_threshold": 0.6,
        "min_speech": 0.2,
        "candidate_silence": 0.3,
        "end_silence": 0.7,
        "pre_roll": 0.4,
        "max_utterance": 20.0,
        "barge_in": False,
        "barge_in_speech": 0.5,
    }
    plain = {
        "name": "n",
        "prompt": "p",
        "greeting": "g",
        "apology": "a",
        "patience": 9.0,
        "language": "de",
        "voices": {"de": "v"},
        "speed": 1.2,
    }
    assert turn.keys() == TurnSettings.model_fields.keys()
    engines = {"stt", "tts", "llm", "vad", "conversation", "turn"}
    assert plain.keys() | engines == AssistantSettings.model_fields.keys()
    made = AssistantSettings.model_validate({**plain, "turn": turn}).assistant()
    for name, value in plain.items():
        assert getattr(made, name) == value
    turn["threshold"] = turn.pop("vad_threshold")
    assert made.turn_taking == TurnTaking(**turn)
    assert all(value != field.default for field in dataclasses.fields(TurnTaking) for value in [turn[field.name]])

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
        "apologies": {"de": "b"},
        "patience": 9.0,
        "language": "de",
        "voices": {"de": "v"},
        "speed": 1.2,
    }
    assert turn.keys() == TurnSettings.model_fields.keys()
    elsewhere = {"stt", "tts", "llm", "vad", "identifier", "conversation", "turn", "languages"}
    assert plain.keys() | elsewhere == AssistantSettings.model_fields.keys()
    settings = AssistantSettings.model_validate({**plain, "turn": turn, "languages": ["fr"]})
    made = settings.assistant(interim=2.4)
    assert made.languages == ("de", "fr")
    for name, value in plain.items():
        assert getattr(made, name) == value
    turn["threshold"] = turn.pop("vad_threshold")
    turn["interim"] = 2.4
    assert made.turn_taking == TurnTaking(**turn)
    assert all(value != field.default for field in dataclasses.fields(TurnTaking) for value in [turn[field.name]])


def test_one_that_speaks_one_language_is_not_told_which():
    assert Assistant(prompt="P", language="fr", speaks=("fr-CA",)).prompt_in("fr") == "P"


def test_one_that_speaks_several_is_told_which_to_reply_in():
    assistant = Assistant(prompt="P", speaks=("fr-CA", "tlh"))
    assert assistant.prompt_in("en") == "P\nReply in English."
    assert assistant.prompt_in("fr-CA") == "P\nReply in French."
    assert assistant.prompt_in("tlh") == "P\nReply in the language with the code tlh."


def test_the_apology_is_in_the_language_of_the_call_if_there_is_one():
    assistant = Assistant(apology="Sorry.", apologies={"fr": "Pardon."})
    assert [assistant.apology_in(language) for language in ("en", "fr", "fr-CA")] == ["Sorry.", "Pardon.", "Pardon."]

"""Which language a call is answered in: what was heard and what was written, and when neither is believed."""

import pytest
from sipcore.plugins import LanguageGuess, Transcript
from sipcore.voice.language import LanguageChoice, reply_line

SENTENCE = "some words of a sentence"


class Identifier:
    """Says what it was told to say."""

    def __init__(self, language, confidence):
        self.guess = LanguageGuess(language, confidence)

    def identify(self, text, languages):
        return self.guess


def follow(heard, sure, written=None, likely=0.0, text=SENTENCE, current="en"):
    identifier = Identifier(written, likely) if written else None
    return LanguageChoice(("en", "fr-CA", "es"), identifier).follow(Transcript(text, heard, sure), current)


def test_both_say_french():
    assert follow("fr", 0.8, "fr-CA", 0.95) == "fr-CA"


def test_both_say_french_to_a_single_word_that_is_french_alone():
    assert follow("fr", 0.8, "fr", 0.9, text="Bonjour") == "fr-CA"


def test_the_call_stays_when_speech_to_text_doubts_its_words():
    assert follow("es", 0.35, "es", 1.0) == "en"


def test_the_call_stays_when_the_words_hardly_tell():
    assert follow("fr", 0.7, "fr", 0.4, text="OK") == "en"


def test_a_sentence_that_is_surely_spanish_is_spanish_whatever_was_heard():
    assert follow("fr", 0.8, "es", 0.99) == "es"


@pytest.mark.parametrize(("likely", "text"), [(0.7, SENTENCE), (0.99, "Radio")])
def test_where_they_differ_an_odd_word_or_a_weak_guess_changes_nothing(likely, text):
    assert follow("fr", 0.8, "es", likely, text=text) == "en"


def test_without_an_identifier_what_was_heard_counts_but_no_odd_word():
    assert follow("es", 0.8) == "es"
    assert follow("es", 0.4) == "en"
    assert follow("es", 0.8, text="OK") == "en"


def test_an_identifier_without_an_opinion_is_none():
    assert follow("es", 0.8, "en", 0.0) == "es"


def test_a_language_that_the_assistant_does_not_speak_changes_nothing():
    assert follow("de", 0.9) == "en"
    assert follow("", 0.9, current="es") == "es"


def test_nothing_said_and_nothing_to_choose_changes_nothing():
    assert follow("fr", 1.0, text="") == "en"
    assert LanguageChoice(("en",)).follow(Transcript("Bonjour à tous", "fr"), "en") == "en"


def test_a_sentence_without_spaces_is_no_odd_word():
    choice = LanguageChoice(("en", "zh"))
    assert choice.follow(Transcript("请问你们几点开门", "zh", 0.8), "en") == "zh"


def test_the_prompt_names_a_language_or_its_code():
    assert reply_line("fr-CA") == "Reply in French."
    assert reply_line("tlh") == "Reply in the language with the code tlh."

"""What a caller said is told by its language, among those that an assistant speaks."""

import pytest
from sipcore.plugins import LanguageGuess
from sipcore_language_id.identifier import Identifier, load


@pytest.fixture(scope="module")
def identifier():
    return Identifier(load())


def test_of_several_varieties_the_first_is_meant(identifier):
    assert identifier.identify("I would like to know when you open.", ["fr", "en-GB", "en-US"]).language == "en-GB"


def test_a_language_under_another_code_is_known(identifier):
    guess = identifier.identify("Jeg vil gjerne vite når dere åpner i morgen tidlig.", ["en", "nb"])
    assert guess.language == "nb"
    assert guess.confidence > 0.9


def test_the_only_language_that_it_knows_is_no_certainty(identifier):
    assert identifier.identify("I would like to know when you open.", ["tlh", "fr"]) == LanguageGuess("fr", 0.0)


def test_without_a_language_that_it_knows_the_first_is_returned_without_confidence(identifier):
    assert identifier.identify("nuqneH, qaleghqa'", ["tlh", "qya"]) == LanguageGuess("tlh", 0.0)


@pytest.mark.parametrize("text", ["OK", "Transfer", "Minute"])
def test_an_odd_word_is_not_enough_to_be_sure(identifier, text):
    assert identifier.identify(text, ["en", "es", "fr"]).confidence < 0.9

"""The contract suite of language identifiers catches one that breaks a rule, and lets a good one pass."""

import pytest
from sipcore.plugins import LanguageGuess
from sipcore.testing.language_contract import LanguageContract

WORDS = {"would": "en", "voudrais": "fr", "quisiera": "es"}


class Good:
    def identify(self, text, languages):
        found = next((language for word, language in WORDS.items() if word in text.lower()), "")
        known = [tag for tag in languages if tag.partition("-")[0] == found]
        return LanguageGuess(known[0], 0.95) if known else LanguageGuess(languages[0], 0.1)


class Guesses(Good):
    def identify(self, text, languages):
        return LanguageGuess(languages[0], 0.95)


class Wanders(Good):
    def identify(self, text, languages):
        return super().identify(text, ["en", "fr", "es"])


class DropsRegions(Good):
    def identify(self, text, languages):
        guess = super().identify(text, languages)
        return LanguageGuess(guess.language.partition("-")[0], guess.confidence)


class Narrow(Good):
    def identify(self, text, languages):
        if "tlh" in languages:
            raise ValueError(languages)
        return super().identify(text, languages)


class Chokes(Good):
    def identify(self, text, languages):
        text.encode()
        return super().identify(text, languages)


class Boasts(Good):
    def identify(self, text, languages):
        return LanguageGuess(super().identify(text, languages).language, 1.0)


class Mixes(Good):
    asked = 0

    def identify(self, text, languages):
        self.asked += 1
        return LanguageGuess(super().identify(text, languages).language, min(1.0, 0.9 + self.asked / 1000))


RULES = {
    "test_a_sentence_is_known_by_its_language": Guesses,
    "test_it_keeps_to_the_languages_given": Wanders,
    "test_a_tag_comes_back_as_it_was_given": DropsRegions,
    "test_a_language_that_it_does_not_know_is_no_failure": Narrow,
    "test_text_that_tells_nothing_is_no_failure": Chokes,
    "test_what_is_no_words_convinces_nobody": Boasts,
    "test_callers_do_not_mix": Mixes,
}


def run(rule, engine):
    more = {"text": "\ud800"} if rule == "test_text_that_tells_nothing_is_no_failure" else {}
    getattr(LanguageContract(), rule)(engine, **more)


@pytest.mark.parametrize("rule", RULES)
def test_a_good_identifier_passes(rule):
    run(rule, Good())


@pytest.mark.parametrize(("rule", "bad"), RULES.items())
def test_a_bad_identifier_is_caught(rule, bad):
    with pytest.raises((AssertionError, ValueError)):
        run(rule, bad())


def test_every_rule_is_tried():
    assert set(RULES) == {name for name in vars(LanguageContract) if name.startswith("test_")}

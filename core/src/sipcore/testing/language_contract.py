"""The contract suite of language identifiers; see `sipcore.testing.contract`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from sipcore.plugins import LanguageGuess, LanguageIdentifier
from sipcore.testing.contract import ProviderContract


class LanguageContract(ProviderContract):
    """Language identifiers.

    Attributes:
        sentences: a sentence in each of a few languages that the identifier knows, at least two.
    """

    hook = "sipcore_language"
    sentences: ClassVar[Mapping[str, str]] = {
        "en": "I would like to know when you open tomorrow morning.",
        "fr": "Je voudrais savoir à quelle heure vous ouvrez demain matin.",
        "es": "Quisiera saber a qué hora abren ustedes mañana por la mañana.",
    }

    def test_a_sentence_is_known_by_its_language(self, engine: LanguageIdentifier) -> None:
        """With a confidence that lets the core believe it."""
        for language, sentence in self.sentences.items():
            guess = engine.identify(sentence, list(self.sentences))
            assert guess.language == language
            assert 0.9 <= guess.confidence <= 1.0

    def test_it_keeps_to_the_languages_given(self, engine: LanguageIdentifier) -> None:
        """Whatever the text is in."""
        for sentence in self.sentences.values():
            for language in self.sentences:
                assert engine.identify(sentence, [language]).language == language

    def test_a_tag_comes_back_as_it_was_given(self, engine: LanguageIdentifier) -> None:
        """``fr-CA`` is French, and is called ``fr-CA``."""
        tags = [f"{language}-001" for language in self.sentences]
        for language, sentence in self.sentences.items():
            assert engine.identify(sentence, tags).language == f"{language}-001"

    def test_a_language_that_it_does_not_know_is_no_failure(self, engine: LanguageIdentifier) -> None:
        """The settings may name any: the others are told apart all the same."""
        for language, sentence in self.sentences.items():
            assert engine.identify(sentence, ["tlh", *self.sentences]).language == language
        assert engine.identify("nuqneH", ["tlh"]).language == "tlh"

    @pytest.mark.parametrize("text", ["", " ", "42", "?!", "☎️ 😀", "\x00\ud800", "a" * 10_000])
    def test_text_that_tells_nothing_is_no_failure(self, engine: LanguageIdentifier, text: str) -> None:
        """One of the languages, and a confidence."""
        guess = engine.identify(text, list(self.sentences))
        assert guess.language in self.sentences
        assert 0.0 <= guess.confidence <= 1.0

    def test_what_is_no_words_convinces_nobody(self, engine: LanguageIdentifier) -> None:
        """Nothing, a number or signs alone do not switch a call."""
        assert all(engine.identify(text, list(self.sentences)).confidence < 0.5 for text in ("", "42", "?!"))

    def test_callers_do_not_mix(self, engine: LanguageIdentifier) -> None:
        """Calls with different languages ask at once, in threads too."""
        pairs = [
            (sentence, [language, other]) for language, sentence in self.sentences.items() for other in self.sentences
        ]
        alone = [engine.identify(text, languages) for text, languages in pairs]

        def ask(pair: tuple[str, list[str]]) -> LanguageGuess:
            return engine.identify(*pair)

        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(ask, pairs * 10))
        assert together == alone * 10

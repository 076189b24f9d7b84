"""py3langid's classifier, narrowed to the languages of an assistant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sipcore.plugins import LanguageGuess

LABELS: Mapping[str, str] = {"nb": "no", "iw": "he", "in": "id", "cmn": "zh", "fil": "tl"}
"""What the model calls languages that have another code as well."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A classifier that knows a few languages only.

    Args:
        classifier: a ``py3langid.langid.LanguageIdentifier``; nothing writes to it any more.
        tags: its labels to the tags that were asked for.
        whole: whether it knows every language that was asked for.
    """

    classifier: Any
    tags: Mapping[str, str]
    whole: bool

    def identify(self, text: str) -> LanguageGuess:
        """Return the likeliest language; with one that it does not know among them, it never claims the only other."""
        label, confidence = self.classifier.classify(text)
        return LanguageGuess(self.tags[label], confidence if self.whole or len(self.tags) > 1 else 0.0)


class Identifier:
    """Tells the language of a text; safe to use from many threads and calls at once.

    Args:
        model: a ``py3langid.langid.LanguageIdentifier`` that gives probabilities, for all its languages.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._labels = frozenset[str](model.labels)
        self._choices: dict[tuple[str, ...], Choice | None] = {}

    def identify(self, text: str, languages: Sequence[str]) -> LanguageGuess:
        """Return the likeliest of ``languages``, as it stands there; with confidence 0 when nothing tells them apart.

        ``pt-BR`` is looked for as ``pt``; of several varieties of one language the first is returned. A language
        that the model does not know is never returned, unless it knows none: then it is the first.
        """
        asked = tuple(languages)
        if asked not in self._choices:
            self._choices[asked] = self._choice(asked)
        choice = self._choices[asked]
        if choice is None or not any(letter.isalpha() for letter in text):
            return LanguageGuess(asked[0], 0.0)
        return choice.identify(text)

    def _choice(self, languages: Sequence[str]) -> Choice | None:
        labels = [_label(language) for language in languages]
        tags = {label: tag for label, tag in reversed([*zip(labels, languages, strict=True)]) if label in self._labels}
        if not tags:
            return None
        classifier = copy(self._model)
        classifier.set_languages(list(tags))
        return Choice(classifier, tags, whole=self._labels.issuperset(labels))


def load() -> Any:
    """Load py3langid's model. Blocking: half a second."""
    return import_module("py3langid.langid").LanguageIdentifier.from_model_file("data/model.npz.xz", norm_probs=True)


def _label(language: str) -> str:
    primary = language.replace("_", "-").partition("-")[0].lower()
    return LABELS.get(primary, primary)

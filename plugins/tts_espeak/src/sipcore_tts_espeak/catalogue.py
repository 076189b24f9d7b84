"""Which of espeak-ng's voices speaks a language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sipcore.plugins import PluginError, Voice

_ROW = re.compile(r"\s*(\d+)\s+(\S+)\s+\S+\s+(\S+)\s+\S+\s*(.*)")
_OTHER = re.compile(r"\((\S+) (\d+)\)")
_VARIANT = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The voices of an installed espeak-ng.

    Args:
        languages: language tags in lower case to what ``-v`` takes.
        names: voices' names in lower case to what ``-v`` takes.
        chosen: the settings' own: language to a voice's language or name.
    """

    languages: Mapping[str, str]
    names: Mapping[str, str]
    chosen: Mapping[str, str]

    def find(self, voice: Voice) -> str:
        """Return what ``-v`` takes for a voice: the one that is named, else one of its language.

        Raises:
            PluginError: there is none.
        """
        tags = _tags(voice.language)
        chosen = {key.lower(): name for key, name in self.chosen.items()}
        name = voice.name or next((chosen[tag] for tag in tags if tag in chosen), "")
        if name:
            return self._named(name)
        found = next((self.languages[tag] for tag in tags if tag in self.languages), None)
        alike = (known for tag, known in sorted(self.languages.items()) if tag.startswith(f"{tags[-1]}-"))
        found = found or next(alike, None)
        if found is None:
            raise PluginError(f"espeak-ng has no voice for language {voice.language!r}: see `espeak-ng --voices`")
        return found

    def _named(self, name: str) -> str:
        base, plus, variant = name.partition("+")
        found = self.languages.get(base.lower()) or self.names.get(base.lower())
        if found is None or (plus and not _VARIANT.fullmatch(variant)):
            raise PluginError(f"espeak-ng has no voice {name!r}: see `espeak-ng --voices`")
        return f"{found}{plus}{variant}"


def read_voices(table: str, chosen: Mapping[str, str]) -> Catalogue:
    """Read what ``espeak-ng --voices`` prints. A voice's own language counts more than the others that it can do."""
    ranked: dict[str, tuple[int, str]] = {}
    names: dict[str, str] = {}
    for line in table.splitlines()[1:]:
        row = _ROW.fullmatch(line)
        if row is None:
            continue
        _, language, name, others = row.groups()
        names[name.lower()] = language
        for tag, rank in [(language, 0), *((tag, int(rank)) for tag, rank in _OTHER.findall(others))]:
            ranked[tag.lower()] = min(ranked.get(tag.lower(), (rank, language)), (rank, language))
    return Catalogue({tag: language for tag, (_, language) in ranked.items()}, names, chosen)


def _tags(language: str) -> Sequence[str]:
    """Return a language as ever wider BCP 47 tags: ``en-us``, ``en``."""
    parts = language.strip().lower().replace("_", "-").split("-")
    return tuple("-".join(parts[:length]) for length in range(len(parts), 0, -1))

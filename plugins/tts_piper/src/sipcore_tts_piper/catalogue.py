"""Which voice speaks a language, and where its files are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sipcore.plugins import ModelMissingError, PluginError, Voice, models

STANDARD_VOICES: Mapping[str, str] = {
    "en": "en_US-joe-medium",
    "en-us": "en_US-joe-medium",
    "en-gb": "en_GB-alba-medium",
    "de": "de_DE-thorsten-medium",
    "es": "es_ES-davefx-medium",
    "fr": "fr_FR-siwis-medium",
    "zh": "zh_CN-huayan-medium",
}
"""The voice of a language for which the settings and the voices' folder have none: one of the model store."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All voices that can be found: the settings' own, those of a folder, those of the model store.

    Args:
        folder: holds ``LANGUAGE/NAME.onnx``; need not be there.
        chosen: language to a voice's name or path.
    """

    folder: Path
    chosen: Mapping[str, str]

    def find(self, voice: Voice) -> Path:
        """Return the ``.onnx`` file of a voice, its ``.onnx.json`` being beside it.

        Raises:
            ModelMissingError: the voice is one of the model store and not on this machine.
            PluginError: there is no such voice.
        """
        name = voice.name or self._chosen(voice.language)
        path = self._own(name, voice.language) if name else self._first_of(voice.language)
        if path is None:
            path = self._stored(name or self._standard(voice.language))
        beside = path.with_name(f"{path.name}.json")
        if not beside.is_file():
            raise PluginError(f"voice {path} has no settings: put its {beside.name} beside it")
        return path

    def needed(self, languages: Iterable[str]) -> Sequence[str]:
        """Return the names of the model store's voices that `find` would look for, for these languages."""
        names: dict[str, None] = {}
        for language in languages:
            name = self._chosen(language)
            if _is_path(name) or (self._own(name, language) if name else self._first_of(language)):
                continue
            name = name or next((STANDARD_VOICES[tag] for tag in _tags(language) if tag in STANDARD_VOICES), "")
            if name:
                names[name] = None
        return tuple(names)

    def _chosen(self, language: str) -> str:
        chosen = {_tag(key): name for key, name in self.chosen.items()}
        return next((chosen[tag] for tag in _tags(language) if tag in chosen), "")

    def _own(self, name: str, language: str) -> Path | None:
        """Find a voice by its name in the folder, that of its language first, or by its path."""
        if _is_path(name):
            path = Path(name).expanduser()
            if not path.is_file():
                raise PluginError(f"there is no voice at {path}")
            return path
        return next((path for path in [*self._voices(language), *self._all_voices()] if path.stem == name), None)

    def _first_of(self, language: str) -> Path | None:
        return next(self._voices(language), None)

    def _voices(self, language: str) -> Iterator[Path]:
        """The folder's voices of a language: ``en-US`` for ``en-US``, then ``en``, then any other English."""
        tags = _tags(language)
        folders = sorted(
            (folder for folder in self._languages() if _tags(folder.name)[-1] == tags[-1]),
            key=lambda folder: tags.index(_tag(folder.name)) if _tag(folder.name) in tags else len(tags),
        )
        for folder in folders:
            yield from sorted(folder.glob("*.onnx"))

    def _all_voices(self) -> Iterator[Path]:
        for folder in self._languages():
            yield from sorted(folder.glob("*.onnx"))

    def _languages(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(folder for folder in self.folder.iterdir() if folder.is_dir())

    def _standard(self, language: str) -> str:
        for tag in _tags(language):
            if tag in STANDARD_VOICES:
                return STANDARD_VOICES[tag]
        raise PluginError(
            f"no voice for language {language!r}: put a Piper voice at {self.folder / language / 'NAME.onnx'} with its "
            f"NAME.onnx.json beside it, or name one in [tts.piper] voices"
        )

    def _stored(self, name: str) -> Path:
        """Find a voice in the model store."""
        try:
            folder = models.find(name)
        except ModelMissingError:
            raise
        except PluginError as error:
            raise PluginError(f"no voice is called {name!r} in {self.folder} or the model store: {error}") from error
        path = next(iter(sorted(folder.glob("*.onnx"))), None)
        if path is None:
            raise PluginError(f"model {name} holds no Piper voice: expected an .onnx file in {folder}")
        return path


def _tag(language: str) -> str:
    return language.strip().lower().replace("_", "-")


def _tags(language: str) -> Sequence[str]:
    """Return a language as ever wider BCP 47 tags: ``en-us``, ``en``."""
    parts = _tag(language).split("-")
    return tuple("-".join(parts[:length]) for length in range(len(parts), 0, -1))


def _is_path(name: str) -> bool:
    return name.endswith(".onnx")

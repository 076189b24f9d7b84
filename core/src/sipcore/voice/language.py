"""Which language a caller speaks, and how the language model is told to answer in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sipcore.plugins.interfaces import LanguageGuess, LanguageIdentifier, Transcript
from sipcore.voice.tags import primary, variety

HEARD_SURE = 0.5
"""Confidence of a transcript from which its language is believed. Prompts that Whisper base took for the wrong one of
three languages lay below 0.49, those of three words and more in the right one above 0.6."""
WRITTEN_SURE = 0.9
"""Confidence from which a text's language is believed although another was heard."""
WRITTEN_LIKELY = 0.5
"""Confidence from which a text's language bears out what was heard."""
ODD_WORD = 16
"""Bytes of UTF-8: one word up to this long is an odd word. A sign of Chinese, almost a word, takes three."""

NAMES: Mapping[str, str] = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "ga": "Irish",
    "gl": "Galician",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "ms": "Malay",
    "nb": "Norwegian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""What a language model knows a language by; one that is not here is told by its code."""


def reply_line(language: str) -> str:
    """Say in a prompt which language to reply in, such as ``Reply in French.`` in English, whatever the language is."""
    return f"Reply in {NAMES.get(primary(language), f'the language with the code {language}')}."


@dataclass(frozen=True, slots=True)
class LanguageChoice:
    """Chooses the language to answer in, among those that an assistant speaks.

    Two witnesses are asked. Speech to text *heard* a language; its guess comes from the sound, and the confidence of
    its words falls when the guess was wrong. The identifier tells the language of the *written* words; it is sure of
    sentences and useless for a word, and it believes what speech to text made of them in a wrong language.

    1. Both say the same: that one, if speech to text is sure of its words and the identifier finds it likely.
    2. They differ: the written one, if speech to text is sure of its words, the identifier is sure of the language,
       and it is more than an odd word: words of a language do not come about by chance. Else none.
    3. The identifier has no opinion, or there is no identifier: what was heard, if speech to text is sure of its
       words and it is more than an odd word.

    With none of these the call stays in the language that it is in: "OK" and a cough do not switch.

    Args:
        languages: BCP 47 tags, at least one.
        identifier: tells the language of a text; None: there is none.
    """

    languages: Sequence[str]
    identifier: LanguageIdentifier | None = None

    def follow(self, transcript: Transcript, current: str) -> str:
        """Return the language to answer ``transcript`` in, when the call is in ``current`` so far."""
        if len(self.languages) == 1 or not transcript.text:
            return current
        heard = variety(transcript.language, self.languages)
        written = self._written(transcript.text)
        sure = transcript.confidence >= HEARD_SURE
        several = " " in transcript.text or len(transcript.text.encode()) > ODD_WORD
        if not written.confidence:
            new = heard if sure and several else ""
        elif written.language == heard:
            new = heard if sure and written.confidence >= WRITTEN_LIKELY else ""
        else:
            new = written.language if sure and several and written.confidence >= WRITTEN_SURE else ""
        return new or current

    def _written(self, text: str) -> LanguageGuess:
        if self.identifier is None:
            return LanguageGuess("", 0.0)
        guess = self.identifier.identify(text, self.languages)
        return LanguageGuess(variety(guess.language, self.languages), guess.confidence)

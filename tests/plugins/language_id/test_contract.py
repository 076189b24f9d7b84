"""py3langid keeps the promises of every language identifier."""

from sipcore.testing.language_contract import LanguageContract


class TestPy3langid(LanguageContract):
    module = "sipcore_language_id"

"""How well speech was understood."""

import pytest
from sipcore.plugins.words import word_error_rate


@pytest.mark.parametrize(
    ("pairs", "rate"),
    [
        ([("When are you open?", "when are you open")], 0.0),
        ([("one two three four", "one too three")], 0.5),
        ([("one", "one two")], 1.0),
        ([("It's nine", "it's nine"), ("yes", "")], 1 / 3),
        ([], 0.0),
    ],
)
def test_word_error_rate(pairs, rate):
    assert word_error_rate(pairs) == pytest.approx(rate)

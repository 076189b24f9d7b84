"""A key reaches the server and nothing else."""

import pytest
from pydantic import BaseModel, ValidationError
from sipcore.plugins.credentials import HeaderSecret, quoted


class Config(BaseModel, hide_input_in_errors=True):
    key: HeaderSecret


@pytest.mark.parametrize(("given", "key"), [("sk-1", "sk-1"), (" sk-1\n", "sk-1"), ("", ""), (" ", "")])
def test_a_key_is_taken_without_the_space_around_it(given, key):
    config = Config(key=given)
    assert config.key.get_secret_value() == key
    assert "sk-1" not in repr(config)


@pytest.mark.parametrize("given", ["sk-1\nX-Evil: 1", "sk-1\x00", "sk-1ß", "sk-1\u200b"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(given):
    with pytest.raises(ValidationError, match="cannot be sent in a header") as caught:
        Config(key=given)
    assert "sk-1" not in str(caught.value)


def test_what_a_service_says_is_quoted_without_secrets_on_one_short_line():
    assert quoted("no,\n\tnot with sk-1-2\x1b[0m or sk-1", ["sk-1", "", "sk-1-2"]) == "no, not with **** [0m or ****"
    assert quoted("x" * 198 + "sk-1-2", ["sk-1-2"]) == "x" * 198 + "**…"
    assert quoted("") == ""

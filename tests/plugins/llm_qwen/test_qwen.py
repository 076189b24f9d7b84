"""The demo's own model answers the demo's own questions from the facts in its prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sipcore.plugins import Message
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.engine import open_qwen

PROMPT = """You answer the phone of Miller's Workshop, a demo of sipcore. Reply in one or two short sentences.
Opening hours: We are open Monday to Friday from nine to five.
Address: You find us at 12 Mill Street in Springfield, next to the station.
Anything else: A colleague will call you back."""


@pytest.mark.anyio
async def test_it_answers_from_its_prompt(pulled: Callable[[str], Path]) -> None:
    config = Config(engine="llama.cpp", temperature=0, prefix=PROMPT)
    pulled(config.chosen_model())
    history = [Message("system", PROMPT)]
    async with open_qwen(config) as chat:
        for question, fact in (("What are your opening hours?", "Friday"), ("Where can I find you?", "Mill Street")):
            history.append(Message("user", question))
            async with chat.reply(history) as deltas:
                reply = "".join([delta.text async for delta in deltas])
            assert fact in reply
            assert reply == reply.strip()
            history.append(Message("assistant", reply))

"""How fast the local model answers: a prompt that was read before against a cold one, leaving, and two callers.

Run: ``.venv/bin/python bench/llm.py [MODEL]`` (it must be there: ``sipcore models pull MODEL``).
"""

import itertools
import resource
import statistics
import sys
import time

import anyio
from sipcore.plugins import Message
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.engine import open_qwen

FACTS = """You answer the phone of Miller's Workshop, a demo of sipcore. Reply in one or two short sentences.
Opening hours: We are open Monday to Friday from nine to five.
Address: You find us at 12 Mill Street in Springfield, next to the station.
Company: We are a small family business. We repair chairs, tables and bicycles, and an estimate is free.
Anything else: A colleague will call you back."""
QUESTIONS = ["What are your opening hours?", "Where can I find you?", "Tell me about your company.", "Thank you."]


async def ask(chat, messages, stop=None):
    """Return the reply and when each token came, seconds from the question."""
    start = time.perf_counter()
    texts, times = [], []
    async with chat.reply(messages) as deltas:
        async for delta in deltas:
            texts.append(delta.text)
            times.append(time.perf_counter() - start)
            if len(texts) == stop:
                break
    return "".join(texts), times


def gap(times):
    return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


async def prompts(chat):
    """Print cold against cached first tokens, the history growing; return the cold one's seconds."""
    cold = []
    for n in range(3):
        _, times = await ask(chat, [Message("system", f"{n}. {FACTS}"), Message("user", QUESTIONS[0])], stop=1)
        cold.append(times[0])
    base = statistics.median(cold)
    print(f"{'first token':<34} {'ms':>6} {'against cold':>13}")
    print(f"{'cold prompt':<34} {base * 1e3:>6.0f} {1.0:>13.2f}")
    history = [Message("system", f"0. {FACTS}")]
    for question in QUESTIONS:
        history.append(Message("user", question))
        text, times = await ask(chat, history)
        print(f"{f'cached, {len(history)} messages':<34} {times[0] * 1e3:>6.0f} {times[0] / base:>13.2f}")
        history.append(Message("assistant", text))


async def rate(chat):
    """Print tokens a second, and how long leaving and the next first token take."""
    story = [Message("system", "You write very long stories."), Message("user", "Tell me about a chair and a table.")]
    await chat.warm([Message("system", FACTS)])
    await ask(chat, story, stop=1)
    _, times = await ask(chat, story)
    speed = (len(times) - 1) / (times[-1] - times[0])
    print(f"alone: {speed:.1f} tokens/s, longest gap {gap(times) * 1e3:.0f} ms")
    left, after = [], []
    for _ in range(5):
        async with chat.reply(story) as deltas:
            async for _ in deltas:
                start = time.perf_counter()
                break
        left.append(time.perf_counter() - start)
        after.append((await ask(chat, story, stop=1))[1][0])
    print(f"leaving: {statistics.median(left) * 1e3:.1f} ms; next first token {statistics.median(after) * 1e3:.0f} ms")
    return story, speed


async def together(chat, story, speed):
    """Print what a second caller does to the first: with a prompt that was read before, and with a cold one."""
    for name, system in (("known", FACTS), ("cold", f"Another shop. {FACTS}")):
        times = {}

        async def first(times=times):
            times["first"] = (await ask(chat, story))[1]

        async def second(times=times, system=system):
            await anyio.sleep(0.8)
            times["second"] = (await ask(chat, [Message("system", system), Message("user", QUESTIONS[1])]))[1]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            tasks.start_soon(second)
        one, two = times["first"], times["second"]
        both = (len(one) - 1) / (one[-1] - one[0])
        print(
            f"two callers, the second's prompt {name}: the first at {both / speed:.2f} of its speed, longest gap "
            f"{gap(one) * 1e3:.0f} ms; the second's first token {two[0] * 1e3:.0f} ms"
        )


async def main(model):
    start = time.perf_counter()
    async with open_qwen(Config(model=model, temperature=0, max_tokens=100)) as chat:
        print(f"{model}: opened in {time.perf_counter() - start:.1f} s")
        await prompts(chat)
        await together(chat, *await rate(chat))
    print(f"memory of this process at its most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else Config().chosen_model())

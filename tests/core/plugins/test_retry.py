"""A remote service is asked again only when that helps, and nobody waits longer than the settings say. Virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest
from sipcore.errors import PluginError
from sipcore.plugins.retry import Limits, TemporaryError, retried, retry_after
from sipcore.testing.clock import VirtualTimeLoop

pytestmark = pytest.mark.anyio

LIMITS = Limits("llm.test")


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


class Service:
    """Answers with the next script: words, seconds to wait, or an error."""

    def __init__(self, *scripts: Sequence[str | float | Exception]) -> None:
        self.scripts = list(scripts)
        self.asked: list[float] = []
        self.open = 0

    async def ask(self) -> AsyncGenerator[str, None]:
        script = self.scripts[min(len(self.asked), len(self.scripts) - 1)]
        self.asked.append(anyio.current_time())
        self.open += 1
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield step
                else:
                    await anyio.sleep(step)
        finally:
            self.open -= 1

    async def answer(self, limits: Limits = LIMITS) -> list[str]:
        return [word async for word in retried(self.ask, limits)]

    async def failure(self, limits: Limits = LIMITS) -> str:
        with pytest.raises(PluginError) as caught:
            await self.answer(limits)
        assert self.open == 0
        return str(caught.value)

    @property
    def waits(self) -> list[float]:
        return [after - before for before, after in zip(self.asked, self.asked[1:], strict=False)]


def busy(after: float = 0.0) -> TemporaryError:
    return TemporaryError("it is busy", after)


async def test_an_answer_comes_as_it_is_made():
    assert await Service(["a", 3.0, "b"]).answer() == ["a", "b"]
    assert await Service([]).answer() == []


async def test_what_may_pass_is_asked_again_a_little_later_each_time():
    service = Service([busy()], [busy()], ["a"])
    assert await service.answer() == ["a"]
    first, second = service.waits
    assert 0.25 <= first < 0.5 <= second < 1.0


async def test_many_callers_do_not_come_back_at_once():
    services = [Service([busy()], ["a"]) for _ in range(20)]
    for service in services:
        await service.answer()
    assert len({service.waits[0] for service in services}) > 10


async def test_it_is_asked_no_more_often_than_that():
    assert await Service([busy()]).failure() == "it is busy (asked 3 times)"
    assert await Service([busy()]).failure(Limits("llm.test", tries=1)) == "it is busy (asked once)"


async def test_a_service_is_left_alone_as_long_as_it_wants():
    service = Service([busy(4.0)], ["a"])
    assert await service.answer() == ["a"]
    assert service.waits == [4.0]


async def test_a_caller_does_not_wait_for_what_comes_too_late():
    service = Service([busy(10.0)], ["a"])
    assert await service.failure() == "it is busy (asked once; it is too late to ask again in 10.0 s)"
    assert anyio.current_time() == service.asked[0]


async def test_what_will_not_pass_is_not_asked_again():
    service = Service([PluginError("no such model")], ["a"])
    assert await service.failure() == "no such model"
    assert len(service.asked) == 1


async def test_what_was_begun_is_not_begun_again():
    service = Service(["a", busy()])
    assert await service.failure() == "it is busy"
    assert len(service.asked) == 1


async def test_the_first_word_has_its_time_over_all_tries():
    service = Service([6.0, busy()], [60.0])
    told = await service.failure()
    assert told == "no reply began within 10 s: raise [llm.test] first_token_timeout if the service is only slow"
    assert anyio.current_time() - service.asked[0] == pytest.approx(10.0)


async def test_every_further_word_has_its_time():
    service = Service(["a", 9.0, "b", 9.0, "c", 11.0, "d"])
    told = await service.failure()
    assert told == "the reply stopped for 10 s: raise [llm.test] token_timeout if the service is only slow"
    assert anyio.current_time() - service.asked[0] == pytest.approx(28.0)


async def test_a_caller_who_waits_between_words_is_not_the_service_s_fault():
    answer = retried(Service(["a", "b"]).ask, LIMITS)
    assert await anext(answer) == "a"
    await anyio.sleep(1000)
    assert await anext(answer) == "b"
    await answer.aclose()


async def test_leaving_ends_the_request():
    service = Service(["a", "b"])
    answer = retried(service.ask, LIMITS)
    await anext(answer)
    assert service.open == 1
    await answer.aclose()
    assert service.open == 0


async def test_cancelling_ends_the_request():
    service = Service([60.0])
    with anyio.move_on_after(1.0) as scope:
        await service.answer()
    assert scope.cancelled_caught
    assert service.open == 0


def test_retry_after_is_read_in_both_its_forms():
    assert retry_after("1.5") == 1.5
    assert retry_after(None) == retry_after("") == retry_after("soon") == retry_after("-3") == 0.0
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(seconds=30), usegmt=True)) == 0.0
    assert 3500 < retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)) <= 3600


@pytest.mark.parametrize("value", ["nan", "Tue, 99 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2020 10:00:00"])
async def test_a_retry_after_that_is_none_does_no_harm(value):
    assert await Service([busy(retry_after(value))], ["a"]).answer() == ["a"]


async def test_a_service_that_is_never_free_again_is_not_waited_for():
    assert "too late" in await Service([busy(retry_after("inf"))], ["a"]).failure()

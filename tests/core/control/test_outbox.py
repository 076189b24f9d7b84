"""What waits for a client: bounded, in order, and audio goes before control."""

from hypothesis import given
from hypothesis import strategies as st
from sipcore.control.outbox import Outbox


def taken(outbox: Outbox) -> list[str]:
    messages: list[str] = []
    while (message := outbox.take()) is not None:
        messages.append(message)
    return messages


def test_messages_are_sent_in_the_order_they_came_in() -> None:
    outbox = Outbox(10)
    outbox.put("ring")
    outbox.put_audio("a")
    outbox.put("digit")
    outbox.put_audio("b")
    outbox.put_audio("c")

    assert len(outbox) == 5
    assert taken(outbox) == ["ring", "a", "digit", "b", "c"]
    assert outbox.take() is None and len(outbox) == 0


def test_the_oldest_audio_is_dropped_when_audio_comes_too_fast() -> None:
    outbox = Outbox(3)
    for sign in "abcde":
        outbox.put_audio(sign)

    assert outbox.dropped == 2
    assert taken(outbox) == ["c", "d", "e"]


def test_audio_is_dropped_for_a_control_message() -> None:
    outbox = Outbox(3)
    for sign in "abc":
        outbox.put_audio(sign)
    outbox.put("bye")

    assert outbox.dropped == 1 and outbox.overflowing and not outbox.is_full
    assert taken(outbox) == ["b", "c", "bye"]


def test_audio_that_finds_control_alone_is_dropped_itself() -> None:
    outbox = Outbox(2)
    outbox.put("ring")
    outbox.put("bye")

    assert outbox.put_audio("a")
    assert outbox.dropped == 1 and not outbox.is_full
    assert taken(outbox) == ["ring", "bye"]


def test_a_client_that_reads_too_slowly_is_warned_once_until_it_has_caught_up() -> None:
    outbox = Outbox(2)

    assert [outbox.put_audio(sign) for sign in "abcd"] == [False, False, True, False]
    taken(outbox)
    assert not outbox.overflowing
    assert [outbox.put_audio(sign) for sign in "efg"] == [False, False, True]


def test_a_client_is_warned_too_when_control_pushed_its_audio_out() -> None:
    outbox = Outbox(2)
    outbox.put_audio("a")
    outbox.put_audio("b")
    outbox.put("digit")
    outbox.take()

    assert outbox.put_audio("c")
    assert not outbox.put_audio("d")


def test_a_client_that_leaves_control_messages_unread_cannot_be_served() -> None:
    outbox = Outbox(2)
    for message in ("a", "b"):
        outbox.put(message)
        assert not outbox.is_full
    outbox.put("c")

    assert outbox.is_full and taken(outbox) == ["a", "b"]


STEPS = st.lists(st.sampled_from(["control", "audio", "take"]), max_size=60)


@given(STEPS, st.integers(1, 5))
def test_whatever_comes_the_queue_is_bounded_and_no_control_message_is_lost(steps: list[str], limit: int) -> None:
    outbox = Outbox(limit)
    put: dict[str, list[int]] = {"control": [], "audio": []}
    sent: list[int] = []
    for number, step in enumerate(steps):
        if step == "take":
            sent += [int(message) for message in [outbox.take()] if message is not None]
        elif step == "audio":
            outbox.put_audio(str(number))
            put["audio"].append(number)
        else:
            outbox.put(str(number))
            put["control"] += [] if outbox.is_full else [number]
        assert len(outbox) <= limit
        if outbox.is_full:
            break
    sent += map(int, taken(outbox))

    assert sent == sorted(sent)
    assert [number for number in sent if number in put["control"]] == put["control"]
    assert outbox.dropped == len(put["audio"]) - sum(number in put["audio"] for number in sent)

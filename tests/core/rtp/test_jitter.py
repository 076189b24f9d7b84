"""The jitter buffer: what the listener hears, frame by frame, of streams that come in every way they may."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sipcore.rtp.jitter import DEPTH, FRAME, RING_SAMPLES, STALE_FRAMES, WINDOW, JitterBuffer, Verdict, unwrap

DELAY = DEPTH // FRAME


def tone(number: int, size: int = FRAME) -> np.ndarray:
    """Loud samples that tell which packet they came in."""
    return np.full(size, 1000 + number, np.int16)


def heard(frames: list[np.ndarray]) -> list[int]:
    """The packet number of each frame; -1 for silence."""
    return [int(frame[0]) - 1000 if frame.any() else -1 for frame in frames]


def run(arrivals: list[list[int]], start: int = 0, *, size: int = FRAME) -> tuple[JitterBuffer, list[np.ndarray]]:
    """Put the packets of each tick, then read a frame."""
    buffer, frames, newest = JitterBuffer(), [], -1
    for tick in arrivals:
        for number in tick:
            buffer.put((start + number * size) & 0xFFFFFFFF, tone(number, size), in_order=number > newest)
            newest = max(newest, number)
        frames.append(buffer.get())
    return buffer, frames


def test_a_steady_stream_comes_out_as_it_went_in_two_frames_later() -> None:
    buffer, frames = run([[n] for n in range(3 * WINDOW)], start=0xFFFFFF00)

    assert heard(frames) == [-1] * DELAY + list(range(3 * WINDOW - DELAY))
    assert (buffer.stretched, buffer.skipped, buffer.resets) == (0, 0, 0)


def test_before_the_first_packet_there_is_silence() -> None:
    assert not JitterBuffer().get().any()


@pytest.mark.parametrize("late", [1, 2])
def test_a_packet_up_to_forty_milliseconds_late_is_played_in_its_place(late: int) -> None:
    arrivals = [[n] for n in range(40)]
    arrivals[20].remove(20)
    arrivals[20 + late].append(20)

    buffer, frames = run(arrivals)

    assert heard(frames)[DELAY:] == list(range(40 - DELAY))
    assert (buffer.stretched, buffer.skipped) == (0, 0)


def test_a_packet_that_comes_too_late_is_dropped_and_moves_nothing() -> None:
    buffer, _ = run([[n] for n in range(10)])

    assert buffer.put(0, tone(0), in_order=False) is Verdict.LATE
    assert heard([buffer.get()]) == [8]


def test_a_lost_packet_is_silence_of_its_length() -> None:
    _, frames = run([[n] if n != 5 else [] for n in range(12)])

    assert heard(frames) == [-1, -1, 0, 1, 2, 3, 4, -1, 6, 7, 8, 9]


def test_packets_of_any_length_are_played_sample_by_sample() -> None:
    arrivals = [[tick // 3 * 2 + tick % 3] if tick % 3 < 2 else [] for tick in range(30)]
    _, frames = run(arrivals, size=240)

    played = np.concatenate(frames)[DEPTH:]
    assert (played[: 15 * 240] == np.repeat(np.arange(15) + 1000, 240)).all()


def test_a_stream_that_stalls_is_waited_for_and_nothing_is_lost() -> None:
    arrivals = (
        [[n] for n in range(10)] + [[] for _ in range(5)] + [[10, 11, 12, 13, 14, 15], *([n] for n in range(16, 30))]
    )
    buffer, frames = run(arrivals)

    assert [number for number in heard(frames) if number >= 0] == list(range(27 - buffer.stretched + 1))
    assert buffer.stretched == 3


def quiet_stream(ticks: int, buffer: JitterBuffer, first: int) -> None:
    for number in range(first, first + ticks):
        buffer.put(number * FRAME, np.ones(FRAME, np.int16))
        buffer.get()


def test_delay_that_a_stall_brought_is_taken_out_in_silence() -> None:
    arrivals = [[n] for n in range(10)] + [[] for _ in range(5)] + [list(range(10, 16))]
    buffer, _ = run(arrivals)
    quiet_stream(3 * WINDOW, buffer, 16)

    assert buffer.skipped == buffer.stretched == 3
    assert buffer.newest - buffer.play == DEPTH


def test_in_speech_delay_is_taken_out_only_when_it_is_long() -> None:
    arrivals = [[n] for n in range(10)] + [[] for _ in range(5)] + [list(range(10, 16)), *([n] for n in range(16, 400))]
    assert run(arrivals)[0].skipped == 0

    buffer = JitterBuffer()
    for number in range(12):
        buffer.put(number * FRAME, tone(number))
    for number in range(12, 400):
        buffer.put(number * FRAME, tone(number))
        buffer.get()
    assert buffer.skipped >= 1


def test_a_stall_longer_than_the_limit_is_not_waited_for() -> None:
    buffer, _ = run([[n] for n in range(10)] + [[] for _ in range(30)])

    assert buffer.put(10 * FRAME, tone(10)) is Verdict.LATE
    assert buffer.stretched == 0


def test_a_stream_that_stays_late_is_taken_as_it_comes() -> None:
    buffer, _ = run([[n] for n in range(10)] + [[] for _ in range(30)])
    verdicts = []
    for number in range(10, 12 + STALE_FRAMES):
        verdicts.append(buffer.put(number * FRAME, tone(number)))
        buffer.get()

    assert verdicts[-2:] == [Verdict.RESET, Verdict.BUFFERED]
    assert verdicts[0] is Verdict.LATE
    assert set(verdicts[1:-2]) == {Verdict.LATE}


@pytest.mark.parametrize("jump", [10_000_000, -10_000_000, RING_SAMPLES])
def test_a_new_clock_starts_a_new_stream_at_once(jump: int) -> None:
    buffer, _ = run([[n] for n in range(10)], start=20_000_000)
    frames = []
    for number in range(10):
        timestamp = 20_000_000 + jump + (10 + number) * FRAME & 0xFFFFFFFF
        verdict = buffer.put(timestamp, tone(number))
        frames.append(buffer.get())
        assert verdict is (Verdict.RESET if number == 0 else Verdict.BUFFERED)

    assert heard(frames) == [-1, -1, *range(8)]
    assert buffer.resets == 1


def test_the_tail_of_a_packet_that_is_partly_late_is_played() -> None:
    buffer, _ = run([[n] for n in range(5)])
    assert buffer.put(buffer.play - 100, tone(7), in_order=False) is Verdict.BUFFERED

    frame = buffer.get()
    assert (frame[:60] == 1007).all()


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=4), st.integers(0, 0xFFFFFFFF))
@settings(max_examples=50)
def test_order_and_duplicates_change_nothing_within_the_depth(order: list[int], again: list[int], start: int) -> None:
    buffer = JitterBuffer()
    lead = 10
    for number in range(lead):
        buffer.put(start + number * FRAME & 0xFFFFFFFF, tone(number))
    newest = -1
    for number in [*order, *again]:
        buffer.put(start + (lead + number) * FRAME & 0xFFFFFFFF, tone(lead + number), in_order=number > newest)
        newest = max(newest, number)

    assert heard([buffer.get() for _ in range(DELAY + lead + 6)])[DELAY:] == list(range(lead + 6))


@given(st.integers(0, 0xFFFFFFFF), st.integers(-(1 << 40), 1 << 40))
def test_unwrapping_finds_the_nearest(timestamp: int, near: int) -> None:
    extended = unwrap(timestamp, near)

    assert extended & 0xFFFFFFFF == timestamp
    assert -0x80000000 <= extended - near < 0x80000000

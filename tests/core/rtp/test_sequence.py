"""SequenceTracker: RFC 3550 §A.1 and §A.3."""

from hypothesis import given
from hypothesis import strategies as st
from sipcore.rtp.sequence import Arrival, SequenceTracker


def receive(*numbers: int) -> tuple[SequenceTracker, list[Arrival]]:
    tracker = SequenceTracker()
    return tracker, [tracker.receive(number) for number in numbers]


def test_the_number_is_extended_over_the_wrap() -> None:
    tracker, arrivals = receive(65534, 65535, 0, 1)

    assert arrivals == [Arrival.FIRST, *[Arrival.IN_ORDER] * 3]
    assert tracker.highest == 65537
    assert (tracker.expected, tracker.received, tracker.lost) == (4, 4, 0)


def test_missing_packets_are_lost_until_they_come() -> None:
    tracker, arrivals = receive(10, 13)
    assert tracker.lost == 2

    assert tracker.receive(11) is Arrival.REORDERED
    assert tracker.lost == 1
    assert arrivals[-1] is Arrival.IN_ORDER


def test_a_duplicate_counts_once_however_it_comes() -> None:
    tracker, arrivals = receive(1, 1, 2, 3, 2, 3)

    assert arrivals.count(Arrival.DUPLICATE) == 3
    assert (tracker.received, tracker.lost) == (3, 0)
    assert not Arrival.DUPLICATE.valid


def test_a_packet_from_before_the_first_is_taken_once() -> None:
    tracker, arrivals = receive(100, 98, 98, 99)

    assert arrivals == [Arrival.FIRST, Arrival.REORDERED, Arrival.DUPLICATE, Arrival.REORDERED]
    assert (tracker.expected, tracker.received) == (3, 3)


def test_a_packet_far_behind_cannot_be_told_from_a_duplicate() -> None:
    _, arrivals = receive(100, 20)

    assert arrivals == [Arrival.FIRST, Arrival.DUPLICATE]


def test_a_jump_needs_a_second_packet_to_be_believed() -> None:
    tracker, arrivals = receive(10, 11, 40000, 12, 50000, 50001)

    assert arrivals[2:] == [Arrival.JUMP, Arrival.IN_ORDER, Arrival.JUMP, Arrival.RESTART]
    assert (tracker.received, tracker.expected) == (4, 4)
    assert not Arrival.JUMP.valid


def test_a_large_gap_forgets_what_was_seen() -> None:
    tracker, arrivals = receive(0, 1000, 1000, 999)

    assert arrivals == [Arrival.FIRST, Arrival.IN_ORDER, Arrival.DUPLICATE, Arrival.REORDERED]
    assert tracker.lost == 998


@given(st.integers(0, 65535), st.lists(st.integers(0, 40), unique=True, min_size=1), st.data())
def test_what_is_received_and_lost_adds_up(start: int, offsets: list[int], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(offsets)))
    tracker, arrivals = receive(*((start + offset) % 65536 for offset in offsets + again))

    assert tracker.received == len(offsets)
    assert tracker.expected == max(offsets) - min(offsets) + 1
    assert arrivals.count(Arrival.DUPLICATE) == len(again)

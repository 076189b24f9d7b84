"""Port pairs."""

import socket

import pytest
from sipcore.errors import ConfigError, NoPortsFreeError
from sipcore.media.ports import PortPool, sessions

START = 46100


@pytest.mark.parametrize(
    ("start", "end", "step", "ports"),
    [
        (31000, 31010, 4, [31000, 31004, 31008]),
        (31001, 31010, 4, [31002, 31006]),
        (31000, 31001, 2, [31000]),
        (31000, 31008, 4, [31000, 31004]),
    ],
)
def test_a_session_has_an_even_port_and_the_next_within_the_range(start, end, step, ports) -> None:
    assert sessions(start, end, step) == ports


@pytest.mark.parametrize(
    ("start", "end", "step"), [(31000, 31000, 4), (31001, 31002, 4), (31000, 31010, 3), (0, 10, 4)]
)
def test_a_range_without_room_is_refused(start, end, step) -> None:
    with pytest.raises(ConfigError, match="RTP_PORT_START"):
        sessions(start, end, step)


def test_pairs_are_given_out_until_none_is_left_and_again_when_released() -> None:
    pool = PortPool("127.0.0.1", [START, START + 4])
    first, second = pool.acquire(), pool.acquire()
    assert [pair.port for pair in (first, second)] == [START, START + 4]
    assert first.rtcp.getsockname()[1] == START + 1

    with pytest.raises(NoPortsFreeError, match="every RTP port is in use"):
        pool.acquire()
    pool.release(first)
    again = pool.acquire()
    assert again.port == START
    again.close()
    second.close()


@pytest.mark.parametrize("held", [START, START + 1])
def test_a_port_that_another_process_holds_is_skipped_and_tried_again_later(held) -> None:
    pool = PortPool("127.0.0.1", [START, START + 4])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", held))
        pair = pool.acquire()
        assert pair.port == START + 4
        with pytest.raises(NoPortsFreeError, match="cannot be bound"):
            pool.acquire()

    again = pool.acquire()
    assert again.port == START
    again.close()
    pair.close()


def test_ipv6_is_bound_where_it_is_asked_for() -> None:
    pair = PortPool("::1", [START]).acquire()
    assert pair.rtp.getsockname()[:2] == ("::1", START)
    pair.close()

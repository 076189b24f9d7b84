"""Interarrival jitter, RFC 3550 §A.8."""

import pytest
from sipcore.rtp.statistics import InterarrivalJitter


def test_packets_on_the_beat_have_no_jitter_over_every_wrap() -> None:
    jitter = InterarrivalJitter()
    for number in range(100):
        jitter.receive((0xFFFFFFFF - 800 + 160 * number) & 0xFFFFFFFF, 5_000_000 + 160 * number)

    assert jitter.jitter == 0


def test_jitter_follows_the_formula() -> None:
    jitter = InterarrivalJitter()
    for timestamp, arrival in ((0, 0), (160, 176), (320, 320)):
        jitter.receive(timestamp, arrival)

    assert jitter.jitter == pytest.approx(16 / 16 + (16 - 1) / 16)


def test_a_new_clock_adds_no_jitter() -> None:
    jitter = InterarrivalJitter()
    jitter.receive(0, 0)
    jitter.restart()
    jitter.receive(1_000_000, 160)

    assert jitter.jitter == 0

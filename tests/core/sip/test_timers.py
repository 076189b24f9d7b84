"""sip/timers.py: the values of RFC 3261's table 4, and a queue that finds what is due."""

from hypothesis import given
from hypothesis import strategies as st
from sipcore.sip.timers import MIN_COMPACTION, TimerQueue, TimerValues


class Alarm:
    def __init__(self, deadline=None):
        self.deadline = deadline
        self.scheduled = None

    def next_timeout(self):
        return self.deadline


def test_the_defaults_are_the_rfcs():
    values = TimerValues()
    assert (values.t1, values.t2, values.t4, values.timeout) == (0.5, 4.0, 5.0, 32.0)


def test_the_earliest_comes_first():
    queue = TimerQueue()
    late, early, never = Alarm(2.0), Alarm(1.0), Alarm()
    for alarm in (late, early, never):
        queue.update(alarm)
    assert queue.next_timeout() == 1.0
    assert queue.pop_due(0.9) is None
    assert queue.pop_due(1.0) is early
    assert queue.pop_due(2.5) is late
    assert queue.pop_due(9.0) is None
    assert queue.next_timeout() is None


def test_a_changed_mind_is_respected():
    queue = TimerQueue()
    alarm = Alarm(1.0)
    queue.update(alarm)
    alarm.deadline = 3.0
    assert queue.next_timeout() == 3.0
    alarm.deadline = 0.5
    queue.update(alarm)
    assert queue.pop_due(0.5) is alarm
    alarm.deadline = None
    queue.update(alarm)
    assert queue.next_timeout() is None


def test_what_needs_no_waking_any_more_is_not_kept():
    queue = TimerQueue()
    alarms = [Alarm(float(number + 1)) for number in range(10 * MIN_COMPACTION)]
    for alarm in alarms:
        queue.update(alarm)
        if alarm is not alarms[7]:
            alarm.deadline = None
    assert len(queue._heap) <= MIN_COMPACTION
    assert queue.pop_due(99.0) is alarms[7]
    assert queue.next_timeout() is None


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 50)), max_size=60))
def test_the_queue_agrees_with_a_plain_search(changes):
    queue = TimerQueue()
    alarms = [Alarm() for _ in range(5)]
    for index, deadline in changes:
        alarms[index].deadline = deadline
        queue.update(alarms[index])
        assert queue.next_timeout() == min((a.deadline for a in alarms if a.deadline is not None), default=None)

"""sip/session.py: a 2xx is sent until its ACK comes, but not for ever (RFC 3261 §13.3.1.4)."""

import pytest
from sipcore.sip.message import Request
from sipcore.sip.session import Session, SessionState, UnacknowledgedAnswer


def make_answer():
    return UnacknowledgedAnswer(b"200", ("192.0.2.1", 5060), 1, 100.0)


def test_a_2xx_is_sent_after_t1_doubling_to_t2_for_64_t1():
    answer = make_answer()
    times = []
    while not answer.is_expired(answer.next_timeout()):
        now = answer.next_timeout()
        answer.repeat(now)
        times.append(now - 100)
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert answer.next_timeout() == 132.0


def test_a_late_alarm_does_not_make_it_hurry():
    answer = make_answer()
    answer.repeat(110.0)
    assert answer.next_timeout() == 111.0


@pytest.mark.parametrize(
    ("answer", "cancel", "state", "expected"),
    [
        (False, None, SessionState.CALLING, None),
        (True, None, SessionState.ANSWERED, 100.5),
        (False, 7.0, SessionState.CALLING, 7.0),
        (True, 7.0, SessionState.CONFIRMED, 7.0),
        (True, 7.0, SessionState.ENDED, None),
    ],
)
def test_a_session_wants_to_be_woken_for_what_is_first(answer, cancel, state, expected):
    session = Session("id", state, Request(), "tag", ("192.0.2.1", 5060))
    session.unacknowledged = make_answer() if answer else None
    session.cancel_deadline = cancel
    assert session.next_timeout() == expected

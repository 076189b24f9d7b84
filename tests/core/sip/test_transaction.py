"""sip/transaction.py: what the four machines share."""

import pytest
from sipcore.sip.client_transaction import INVITE_CLIENT, NON_INVITE_CLIENT
from sipcore.sip.server_transaction import INVITE_SERVER, NON_INVITE_SERVER
from sipcore.sip.timers import DEFAULT_TIMERS, Timer
from sipcore.sip.transaction import Action, Input, State, Transaction


@pytest.mark.parametrize("table", [INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER])
def test_every_state_of_a_table_has_a_way_out(table):
    states = {state for state, _ in table}
    assert State.TERMINATED not in states
    reached = {target for target, _ in table.values()}
    assert State.TERMINATED in reached
    assert reached - {State.TERMINATED} <= states


TABLE = {
    (State.CALLING, Timer.A): (State.CALLING, (Action.RESEND,)),
    (State.CALLING, Timer.B): (State.TERMINATED, (Action.TIMED_OUT,)),
    (State.CALLING, Input.PROVISIONAL): (State.CALLING, (Action.SEND,)),
    (State.CALLING, Input.SUCCESS): (State.TRYING, (Action.PASS,)),
    (State.TRYING, Timer.E): (State.TRYING, (Action.RESEND,)),
}


class Bell(Transaction):
    """Rings until somebody answers: a table as the four have them, made small."""

    def __init__(self, *, reliable=False):
        super().__init__(TABLE, State.CALLING, DEFAULT_TIMERS, reliable=reliable)
        self._enter(State.CALLING, 0.0)

    def _enter(self, state, now):
        self._disarm()
        if state is State.CALLING:
            self._arm_repeating(Timer.A, 0.5, now)
            self._arm(Timer.B, 20.0, now)
        elif state is State.TRYING:
            self._arm_repeating(Timer.E, 1.0, now)


def fire(transaction, until):
    times = []
    while (moment := transaction.next_timeout()) is not None and moment <= until:
        news = transaction.handle_timeout(moment)
        times += [moment] * len(transaction.take_outbox())
        if Action.TIMED_OUT in news:
            break
    return times


def test_timer_a_doubles_without_end_and_timer_e_up_to_t2():
    bell = Bell()
    assert fire(bell, 1.0) == []
    bell._run(Input.PROVISIONAL, 1.0, b"ring")
    assert bell.take_outbox() == [b"ring"]
    assert fire(bell, 19.0) == [1.5, 3.5, 7.5, 15.5]
    assert bell._run(Input.SUCCESS, 19.0) == (Action.PASS,)
    assert fire(bell, 40.0) == [20.0, 22.0, 26.0, 30.0, 34.0, 38.0]


def test_a_late_alarm_does_not_hurry():
    bell = Bell()
    bell.handle_timeout(9.0)
    assert bell.next_timeout() == 10.0


def test_nothing_repeats_over_a_reliable_transport():
    bell = Bell(reliable=True)
    assert bell.next_timeout() == 20.0
    assert bell.handle_timeout(20.0) == (Action.TIMED_OUT,)


def test_a_machine_must_say_what_its_states_arm():
    transaction = Transaction(
        {(State.TRYING, Input.REQUEST): (State.COMPLETED, ())}, State.TRYING, DEFAULT_TIMERS, reliable=False
    )
    with pytest.raises(NotImplementedError):
        transaction._run(Input.REQUEST, 0.0)


def test_a_discarded_transaction_is_silent():
    transaction = Transaction({}, State.TRYING, DEFAULT_TIMERS, reliable=False)
    transaction._arm(Timer.F, 1.0, 0.0)
    assert transaction.next_timeout() == 1.0
    transaction.discard()
    assert transaction.is_terminated
    assert transaction.next_timeout() is None


def test_what_a_table_does_not_name_changes_nothing():
    transaction = Transaction({}, State.TRYING, DEFAULT_TIMERS, reliable=False)
    assert transaction._run(Input.ACK, 0.0) == ()
    assert transaction.state is State.TRYING
    assert transaction.next_timeout() is None
    assert not transaction.is_terminated

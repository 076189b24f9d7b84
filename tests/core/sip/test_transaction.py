"""sip/transaction.py: what the four machines share."""

import pytest
from sipcore.sip.client_transaction import INVITE_CLIENT, NON_INVITE_CLIENT
from sipcore.sip.server_transaction import INVITE_SERVER, NON_INVITE_SERVER
from sipcore.sip.timers import DEFAULT_TIMERS, Timer
from sipcore.sip.transaction import Input, State, Transaction


@pytest.mark.parametrize("table", [INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER])
def test_every_state_of_a_table_has_a_way_out(table):
    states = {state for state, _ in table}
    assert State.TERMINATED not in states
    reached = {target for target, _ in table.values()}
    assert State.TERMINATED in reached
    assert reached - {State.TERMINATED} <= states


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

"""The order's state table over its full cross product, and the order's identity."""

import itertools

import pytest

from services.execution.orders import (
    FINAL_STATES,
    TABLE,
    IllegalTransitionError,
    OrderState,
    Trigger,
    client_order_id,
    next_state,
)

COLUMNS = (
    "ACCEPTED",
    "REJECTED",
    "UNKNOWN",
    "EXPIRED",
    "PARTIAL_FILL",
    "FILL",
    "CANCEL_REQUESTED",
    "CANCELLED",
    "REVERSED",
)
#: One row for each state, one column for each trigger; "-" = illegal.
EXPECTED = {
    "PREPARED": "WORKING REJECTED UNKNOWN EXPIRED PARTIALLY_FILLED FILLED - - -",
    "UNKNOWN": "WORKING REJECTED UNKNOWN EXPIRED PARTIALLY_FILLED FILLED - - -",
    "WORKING": "WORKING REJECTED - - PARTIALLY_FILLED FILLED CANCEL_PENDING CANCELLED -",
    "PARTIALLY_FILLED": "PARTIALLY_FILLED - - - PARTIALLY_FILLED FILLED CANCEL_PENDING CANCELLED PARTIALLY_FILLED",
    "CANCEL_PENDING": "CANCEL_PENDING REJECTED - - CANCEL_PENDING FILLED CANCEL_PENDING CANCELLED CANCEL_PENDING",
    "FILLED": "FILLED - - - FILLED FILLED FILLED - CANCELLED",
    "CANCELLED": "CANCELLED - - - CANCELLED FILLED CANCELLED CANCELLED CANCELLED",
    "REJECTED": "- REJECTED - - PARTIALLY_FILLED FILLED - - REJECTED",
    "EXPIRED": "WORKING - - - PARTIALLY_FILLED FILLED - - -",
}


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(OrderState, Trigger)))
def test_next_state_when_any_trigger_meets_any_state_then_follows_the_table(
    state: OrderState, trigger: Trigger
) -> None:
    expected = EXPECTED[state].split()[COLUMNS.index(trigger)]
    if expected == "-":
        with pytest.raises(IllegalTransitionError, match=f"{state} .* {trigger}"):
            next_state(state, trigger)
    else:
        assert next_state(state, trigger) is OrderState(expected)


def test_table_when_an_order_fills_then_every_state_books_it() -> None:
    for state in OrderState:
        assert (state, Trigger.FILL) in TABLE
        assert (state, Trigger.PARTIAL_FILL) in TABLE


def test_final_states_when_nothing_is_filled_then_no_request_reopens_them() -> None:
    for state, trigger in itertools.product(FINAL_STATES - {OrderState.EXPIRED}, Trigger):
        if "FILL" not in trigger and (state, trigger) in TABLE:
            after = TABLE[state, trigger]
            # A whole order of which a fill is taken back is over with less than was ordered.
            is_less = state is OrderState.FILLED and trigger is Trigger.REVERSED
            assert after is (OrderState.CANCELLED if is_less else state)


def test_client_order_id_when_made_twice_then_is_the_same_and_fits_brokers() -> None:
    first = client_order_id("acc", "2013-10-08:open:SPY:BULLISH", "entry", attempt=1)
    assert first == client_order_id("acc", "2013-10-08:open:SPY:BULLISH", "entry", attempt=1)
    assert len(first) == 28
    assert first.startswith("tb1-")
    assert first == first.lower()
    assert "=" not in first


def test_client_order_id_when_any_part_differs_then_differs() -> None:
    ids = {
        client_order_id(account, intent, leg, attempt=attempt)
        for account, intent, leg, attempt in itertools.product("ab", "xy", ("entry", "stop", "exit"), (1, 2, 11))
    }
    assert len(ids) == 2 * 2 * 3 * 3

"""Cash that the holdings set aside lies in the account and is nobody's: no equity, no budget, nothing to buy with."""

from typing import Any

import pytest

from bus.messages import MICROS, NANOS, OrderDenied, PortfolioSnapshot, ReservesStated, SubmitOrder


def reserves(tax: int, payroll: int = 0) -> ReservesStated:
    return ReservesStated(ts_event=1, ts_init=1, tax_micros=tax * MICROS, payroll_micros=payroll * MICROS)


def test_reserves_are_no_part_of_the_days_equity_and_of_its_limits(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(reserves(20_000, 5_000))

    (snapshot,) = (one for one in world.core.snapshot(world.state, world.now) if isinstance(one, PortfolioSnapshot))
    free = new_world().ready()
    free.hear(free.account(cash=100_000))
    (before,) = (one for one in free.core.snapshot(free.state, free.now) if isinstance(one, PortfolioSnapshot))

    assert snapshot.start_equity_micros == 75_000 * MICROS
    assert snapshot.loss_limit_micros * 4 == before.loss_limit_micros * 3
    assert snapshot.allocation_limit_micros * 4 == before.allocation_limit_micros * 3


def test_entry_is_never_larger_than_the_cash_that_is_not_set_aside(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(reserves(99_000))

    (order,) = [event for event in world.hear(world.signal()) if isinstance(event, SubmitOrder)] or [None]

    cost = order.reference_micros * order.qty_nanos // NANOS if order else 0
    assert cost <= 1_000 * MICROS


@pytest.mark.parametrize("tax", [100_000, 250_000])
def test_account_that_is_all_set_aside_buys_nothing(new_world: type[Any], tax: int) -> None:
    world = new_world().ready()
    world.hear(reserves(tax))

    assert [type(event) for event in world.hear(world.signal())] == [OrderDenied]


def test_reserves_stay_known_over_a_restart_and_the_next_session(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(reserves(20_000), reserves(30_000, 10_000))
    again = world.restarted()
    again.hear(again.plan(session_date="2013-10-09"), again.account(day="2013-10-09"))

    assert again.state.day.reserved_micros == 40_000 * MICROS
    assert again.state.day.start_equity_micros == 60_000 * MICROS

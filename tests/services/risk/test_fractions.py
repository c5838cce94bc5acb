"""Fractions of a share: only where the setting and the broker both allow them, in ten-thousandths."""

from typing import Any

from bus.messages import MICROS, NANOS, OrderDenied, SubmitOrder
from services.risk import portfolio as book


def test_size_when_setting_and_broker_allow_fractions_then_a_ten_thousandth_is_the_step(new_world: type[Any]) -> None:
    world = new_world(is_fractional=True).ready()
    world.hear(world.quote(bid=33_32, ask=33_33))
    (order,) = world.hear(world.signal())
    # 10,000 dollars for one of five positions at 33.33: 300.0300030003 shares.
    assert order.qty_nanos == 300_030_000_000
    assert book.allocated_micros(world.state.day.portfolio) == 9_999_999_900


def test_size_when_either_forbids_fractions_then_whole_shares(new_world: type[Any]) -> None:
    for limits, flags in (({"is_fractional": False}, {}), ({"is_fractional": True}, {"is_fractionable": False})):
        world = new_world(**limits).ready()
        world.hear(world.assets("AAA", **flags), world.quote(bid=33_32, ask=33_33))
        (order,) = world.hear(world.signal())
        assert order.qty_nanos == 300 * NANOS


def test_size_when_a_share_is_too_dear_then_a_fraction_of_it_is_bought(new_world: type[Any]) -> None:
    for is_fractional, kind in ((True, SubmitOrder), (False, OrderDenied)):
        world = new_world(is_fractional=is_fractional)
        world.hear(*({**world.inputs(), "account": world.account(cash=300)}).values())
        (event,) = world.hear(world.signal())
        assert type(event) is kind
        if isinstance(event, SubmitOrder):
            # 30 dollars for one of five positions at 50.
            assert event.qty_nanos == 600_000_000


def test_size_when_not_even_the_least_fraction_fits_then_denied_in_words(new_world: type[Any]) -> None:
    world = new_world(is_fractional=True, max_risk_per_trade_ppm=1)
    world.hear(*({**world.inputs(), "account": world.account(cash=50)}).values())
    (denied,) = world.hear(world.signal())
    assert (denied.rule, denied.value, denied.limit) == (
        "size_zero",
        "not even a fraction: MAX_RISK_PER_TRADE",
        "at least 0.0001 shares",
    )


def test_fills_of_a_fraction_when_booked_then_the_reservation_ends_to_the_micro_dollar(new_world: type[Any]) -> None:
    world = new_world(is_fractional=True).ready()
    world.hear(world.quote(bid=33_32, ask=33_33))
    (order,) = world.hear(world.signal())
    first = world.fill(shares=1, cents=33_33, qty_nanos=100_000_000_000, order_qty_nanos=order.qty_nanos)
    rest = world.fill(shares=1, cents=33_33, qty_nanos=order.qty_nanos - 100_000_000_000)
    world.hear(first)
    assert book.allocated_micros(world.state.day.portfolio) == 9_999_999_900
    world.hear(rest)
    assert book.reserved_micros(world.state.day.portfolio) == 0
    assert book.allocated_micros(world.state.day.portfolio) == 9_999_999_900
    assert world.state.day.portfolio.cash_flow_micros == -9_999_999_900
    assert world.state.day.start_equity_micros == 100_000 * MICROS

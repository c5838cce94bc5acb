"""A put before risk: what it costs is a hundred times its price, in sizes, reservations, results and limits."""

from typing import Any

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, ListedPut, OptionsListed, OrderDenied, SubmitOrder
from services.risk import portfolio as book
from services.risk.options import OptionLimits
from services.risk.valuation import Valuation

PUT = "AAA131101P00050000"  # 24 days after the session
LIMITS = OptionLimits(
    premium_max_micros=2_000 * MICROS, days_min=7, days_max=45, open_interest_min=100, spread_max_ppm=100_000
)


def listing(world: Any, symbol: str = PUT, name: str = "AAA", interest: int | None = 500, **changes: Any) -> Any:
    put = ListedPut(symbol=symbol, open_interest=interest, delta_ppm=None)
    said = OptionsListed(ts_event=1, ts_init=1, session_date=world.DAY, underlying=name, puts=(put,))
    return replace(said, **changes)


def wanted(world: Any, symbol: str = PUT, **changes: Any) -> Any:
    """Return a signal for a put with an ask of $2.50 and a stop 50 % below."""
    facts = {"direction": "BEARISH", "instrument": symbol, "reference_micros": 2_500_000, "trail_bps": 5_000}
    return world.signal("AAA", **{**facts, **changes})


@pytest.fixture
def world(new_world: type[Any]) -> Any:
    world = new_world(options=LIMITS).ready()
    world.hear(listing(world), world.quote(PUT, 2_40, 2_50), world.assets(PUT, is_fractionable=False))
    return world


def test_put_when_everything_is_known_then_whole_contracts_are_ordered_at_the_ask(world: Any) -> None:
    [order] = world.hear(wanted(world))
    assert isinstance(order, SubmitOrder)
    # $250 at risk / ($250 a contract x 50 %).
    assert (order.symbol, order.qty_nanos, order.order_type) == (PUT, 2 * NANOS, "LIMIT")
    assert (order.limit_micros, order.reference_micros, order.trail_bps) == (2_500_000, 2_500_000, 5_000)
    assert order.reason.endswith("sized by MAX_RISK_PER_TRADE")


def test_put_when_its_ask_has_a_part_of_a_cent_then_the_limit_is_the_cent_above(world: Any) -> None:
    quote = world.quote(PUT, 2_40, 2_50)
    batch = type(quote).of(
        (replace(quote.quotes[0], ask_micros=2_500_100),), ts_event=world.now, ts_init=world.now, step=9
    )
    world.hear(batch)
    [order] = world.hear(wanted(world))
    assert (order.limit_micros, order.reference_micros) == (2_510_000, 2_510_000)


def test_option_when_its_symbol_is_padded_then_denied_though_it_was_listed(world: Any) -> None:
    padded = "AAA   131101P00050000"
    world.hear(
        listing(world, padded), world.quote(padded, 2_49, 2_50), world.assets(padded), world.bars(padded, step=5)
    )
    [denied] = world.hear(wanted(world, padded))
    assert denied.rule == "option_unknown"


def test_put_when_the_premium_is_limited_then_it_sets_the_size(new_world: type[Any]) -> None:
    limits = replace(LIMITS, premium_max_micros=600 * MICROS)
    world = new_world(options=limits, max_risk_per_trade_ppm=100_000, is_fractional=True).ready()
    world.hear(listing(world), world.quote(PUT, 2_40, 2_50), world.assets(PUT))
    [order] = world.hear(wanted(world))
    assert order.qty_nanos == 2 * NANOS
    assert order.reason.endswith("sized by MAX_OPTION_PREMIUM")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"session_date": "2013-10-07"}, "option_unknown"),
        ({"interest": 99}, "option_unknown"),
        ({"interest": None}, "option_unknown"),
        ({"name": "BBB"}, "option_unknown"),
        ({"symbol": "AAA131101P00049000"}, "option_unknown"),
    ],
)
def test_put_when_it_was_not_listed_as_it_should_then_denied(
    new_world: type[Any], changes: dict[str, Any], rule: str
) -> None:
    world = new_world(options=LIMITS).ready()
    world.hear(listing(world, **changes), world.quote(PUT, 2_40, 2_50), world.assets(PUT))
    [denied] = world.hear(wanted(world))
    assert isinstance(denied, OrderDenied)
    assert denied.rule == rule


@pytest.mark.parametrize("symbol", ["AAA131011P00050000", "AAA131220P00050000"])
def test_put_when_its_expiry_is_outside_the_range_then_denied(world: Any, symbol: str) -> None:
    world.hear(listing(world, symbol), world.quote(symbol, 2_40, 2_50), world.assets(symbol))
    [denied] = world.hear(wanted(world, symbol))
    assert (denied.rule, denied.limit) == ("option_unknown", "7 to 45 days")


def test_put_when_its_market_is_wider_than_its_own_limit_then_denied(world: Any) -> None:
    world.hear(world.quote(PUT, 2_24, 2_50))
    [denied] = world.hear(wanted(world))
    assert (denied.rule, denied.limit) == ("spread", "at most 10 %")


def test_put_when_one_contract_costs_too_much_then_denied_by_premium(new_world: type[Any]) -> None:
    world = new_world(options=replace(LIMITS, premium_max_micros=249 * MICROS)).ready()
    world.hear(listing(world), world.quote(PUT, 2_40, 2_50), world.assets(PUT))
    [denied] = world.hear(wanted(world))
    assert (denied.rule, denied.value) == ("option_unknown", "$250.00 of premium")


def test_put_when_ordered_then_its_premium_is_reserved_and_when_filled_its_result_counts(world: Any) -> None:
    [order] = world.hear(wanted(world))
    assert book.reserved_micros(world.state.day.portfolio) == 500 * MICROS
    world.hear(world.fill(PUT, intent_id=order.intent_id, shares=2, cents=2_50))
    world.hear(world.quote(PUT, 2_00, 2_10))
    [shown] = world.core.snapshot(world.state, world.now)
    assert (shown.allocated_micros, shown.unrealized_micros) == (500 * MICROS, -100 * MICROS)
    [line] = shown.positions
    assert (line.entry_micros, line.last_micros, line.pnl_micros) == (2_500_000, 2_000_000, -100 * MICROS)
    portfolio, market = world.state.day.portfolio, world.state.market
    assert Valuation(portfolio).pnl_micros(market) == book.pnl_micros(portfolio, market.bids([PUT])) == -100 * MICROS


def test_put_when_sold_then_a_hundred_times_the_difference_is_realized(world: Any) -> None:
    [order] = world.hear(wanted(world))
    world.hear(world.fill(PUT, intent_id=order.intent_id, shares=2, cents=2_50))
    world.hear(world.fill(PUT, intent_id=order.intent_id, shares=2, cents=3_00, side="SELL", leg="exit"))
    portfolio = world.state.day.portfolio
    assert (portfolio.realized_micros, portfolio.cash_flow_micros) == (100 * MICROS, 100 * MICROS)


def test_put_when_its_loss_is_beyond_the_limit_then_the_kill_switch_trips(world: Any) -> None:
    world.hear(world.fill(PUT, intent_id="x", shares=100, cents=2_50))
    world.hear(world.quote(PUT, 2_30, 2_40))
    assert world.settle() == []
    world.hear(world.quote(PUT, 2_29, 2_40))
    [tripped] = world.settle()
    assert tripped.pnl_micros == -2_100 * MICROS


def test_list_when_the_process_was_restarted_then_still_known(world: Any) -> None:
    again = world.restarted()
    assert again.state.day.put_of(PUT) == ("AAA", listing(world).puts[0])


def test_list_when_a_new_session_begins_then_the_old_one_does_not_count(world: Any) -> None:
    world.hear(world.plan(session_date="2013-10-09"))
    assert world.state.day.put_of(PUT) is None

"""Every limit of size, pace and permission denies what is beyond it, in words, and a size keeps to all of them."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, ChainDisarmed, OrderDenied, SubmitOrder
from services.risk.checks import CHECKS
from services.risk.facts import Facts
from services.risk.valuation import Valuation

Prepare = Callable[[Any], object]


def _nothing(_: Any) -> None:
    return None


def _approve(world: Any, *symbols: str) -> None:
    """Approve an entry in each symbol and end it without a fill."""
    for symbol in symbols:
        assert isinstance(world.hear(world.signal(symbol))[-1], SubmitOrder)
        world.hear(world.closed(symbol))


DENIALS: list[tuple[str, dict[str, Any], Prepare, dict[str, Any], str, str]] = [
    ("defense_mode", {"is_defending": True}, _nothing, {}, "DEFENSE_MODE is true", "exits only"),
    (
        "strategy_disabled",
        {"enabled_strategies": frozenset(("mid", "close"))},
        _nothing,
        {},
        "STRAT_OPEN_ENABLED is false",
        "STRAT_OPEN_ENABLED true",
    ),
    (
        "broker_disabled",
        {"broker_name": "ALPACA", "is_broker_enabled": False},
        _nothing,
        {},
        "ALPACA_ENABLED is not true",
        "BROKER_NAME ALPACA with its switch on",
    ),
    ("restricted", {"restricted": frozenset(("AAA",))}, _nothing, {}, "AAA is restricted", "RESTRICTED_SYMBOLS"),
    (
        "restricted",
        {"restricted": frozenset(("INV",))},
        _nothing,
        {"instrument": "INV", "direction": "BEARISH"},
        "INV is restricted",
        "RESTRICTED_SYMBOLS",
    ),
    (
        "restricted",
        {"restricted": frozenset(("GME",))},
        _nothing,
        {"instrument": "GME131019P00480000"},
        "GME is restricted",
        "RESTRICTED_SYMBOLS",
    ),
    ("restricted", {"restricted": frozenset(("BRKB",))}, _nothing, {"symbol": "BRK/B"}, "BRK/B is", "RESTRICTED"),
    ("asset_unknown", {}, lambda w: w.hear(w.assets(day="2013-10-09")), {}, "nothing of AAA", "the broker knows"),
    (
        "not_tradable",
        {},
        lambda w: w.hear(w.assets("AAA", is_tradable=False)),
        {},
        "AAA is not tradable (fractions: yes, short: no)",
        "trade",
    ),
    (
        "option_unknown",
        {},
        lambda w: w.hear(
            w.quotes(AAA131019P00480000=2_00), w.bars("AAA131019P00480000", step=9), w.assets("AAA131019P00480000")
        ),
        {"instrument": "AAA131019P00480000"},
        "its premium, expiry and open interest are not known",
        "all of them known",
    ),
    ("price_collar", {}, _nothing, {"reference_micros": 40 * MICROS}, "ask $50.00 is 25.00 % from $40.00", "5 %"),
    ("price_collar", {}, _nothing, {"reference_micros": 60 * MICROS}, "is 16.67 % from $60.00", "within 5 %"),
    ("price_collar", {}, _nothing, {"reference_micros": 0}, "the signal brings no price", "within 5 %"),
    (
        "order_notional",
        {"order_notional_max_micros": 49 * MICROS},
        _nothing,
        {},
        "an order for $50.00",
        "at most $49.00",
    ),
    ("order_shares", {"order_max_nanos": NANOS - 1}, _nothing, {}, "an order of 1 shares", "at most 0.9999 shares"),
    (
        "position_per_symbol",
        {"position_per_symbol_ppm": 499},
        _nothing,
        {},
        "$0.00 held or ordered, $50.00 more",
        "at most $49.90 of AAA",
    ),
    (
        "trades_per_day",
        {"trades_per_day_max": 2},
        lambda w: _approve(w, "BBB", "CCC"),
        {},
        "2 entries were approved today",
        "at most 2",
    ),
    (
        "orders_per_second",
        {"orders_per_second_max": 2},
        lambda w: _approve(w, "BBB", "CCC"),
        {},
        "2 entries within a second",
        "at most 2",
    ),
    (
        "orders_per_minute",
        {"orders_per_minute_max": 2},
        lambda w: _approve(w, "BBB", "CCC"),
        {},
        "2 entries within a minute",
        "at most 2",
    ),
]


@pytest.mark.parametrize(("rule", "limits", "prepare", "changes", "value", "limit"), DENIALS)
def test_signal_when_beyond_one_limit_then_its_rule_denies_in_words(
    new_world: type[Any],
    rule: str,
    limits: dict[str, Any],
    prepare: Prepare,
    changes: dict[str, Any],
    value: str,
    limit: str,
) -> None:
    world = new_world(**limits).ready()
    prepare(world)

    (denied,) = world.hear(world.signal(**changes))

    assert isinstance(denied, OrderDenied)
    assert denied.rule == rule
    assert value in denied.value
    assert limit in denied.limit


def test_account_when_its_buying_power_is_less_than_its_cash_then_the_lesser_counts(new_world: type[Any]) -> None:
    for power, cash, expected in ((101, 100_000, 2), (100_000, 20_025, 40), (100_000, 100_000, 200)):
        world = new_world()
        account = replace(world.account(cash=cash), buying_power_micros=power * MICROS)
        world.hear(*({**world.inputs(), "account": account}).values())
        assert world.hear(world.signal())[-1].qty_nanos == expected * NANOS
    world = new_world()
    account = replace(world.account(), buying_power_micros=49 * MICROS)
    world.hear(*({**world.inputs(), "account": account}).values())
    (denied,) = world.hear(world.signal())
    assert (denied.rule, denied.value, denied.limit) == (
        "buying_power",
        "an order for $50.00",
        "at most $49.00 in cash and buying power",
    )


def test_buying_power_when_another_order_has_a_claim_on_it_then_only_the_rest_counts(new_world: type[Any]) -> None:
    world = new_world()
    account = replace(world.account(), buying_power_micros=10_100 * MICROS)
    world.hear(*({**world.inputs(), "account": account}).values())
    assert world.hear(world.signal())[-1].qty_nanos == 200 * NANOS
    assert world.hear(world.signal("BBB"))[-1].qty_nanos == 5 * NANOS
    (denied,) = world.hear(world.signal("CCC"))
    assert denied.rule == "buying_power"
    world.hear(world.closed("AAA"))
    assert world.hear(world.signal("CCC", signal_id="again"))[-1].qty_nanos == 1_000 * NANOS


def test_symbol_when_the_account_had_some_of_it_then_that_counts_too(new_world: type[Any]) -> None:
    # The rule that forbids a second position answers first, so this one is asked by itself.
    for held, expected in ((0, None), (100, None), (101, "$5,050.00 held or ordered, $50.00 more"), (-101, "$5,050")):
        world = new_world(position_per_symbol_ppm=50_500)
        world.hear(*({**world.inputs(), "account": world.account(AAA=held)}).values())
        check = next(one for one in CHECKS if one.rule == "position_per_symbol")
        found = check.find(world.signal(), _facts(world))
        assert (found is None) == (expected is None)
        assert found is None or found[0].startswith(str(expected))


def test_position_when_the_account_is_short_in_it_then_it_is_external_and_blocks_its_symbol(
    new_world: type[Any],
) -> None:
    world = new_world()
    world.hear(*({**world.inputs(), "account": world.account(AAA=-5)}).values())
    assert [event.rule for event in world.hear(world.signal())] == ["already_open"]
    overtaken = new_world()
    overtaken.hear(overtaken.account(AAA=-5), *overtaken.inputs().values())
    assert [event.rule for event in overtaken.hear(overtaken.signal())] == ["already_open"]


def test_pace_when_time_has_passed_then_entries_are_approved_again(new_world: type[Any]) -> None:
    world = new_world(orders_per_second_max=1, orders_per_minute_max=2).ready()

    def ask_at(offset_ns: int, symbol: str) -> str:
        world.now = world.NOW + offset_ns
        world.hear(world.quote(symbol, 19_99, 20_00))
        event = world.hear(world.signal(symbol, signal_id=f"{symbol} {offset_ns}"))[-1]
        return event.rule if isinstance(event, OrderDenied) else "approved"

    second = world.SECOND
    assert ask_at(0, "AAA") == "approved"
    assert ask_at(second - 1, "BBB") == "orders_per_second"
    assert ask_at(second, "BBB") == "approved"
    assert ask_at(60 * second - 1, "CCC") == "orders_per_minute"
    assert ask_at(60 * second, "CCC") == "approved"


def test_pace_when_the_service_restarts_then_it_is_remembered_and_a_new_session_begins_again(
    new_world: type[Any],
) -> None:
    world = new_world(trades_per_day_max=2).ready()
    _approve(world, "AAA", "BBB")
    again = world.restarted()
    assert again.state.day.pace == world.state.day.pace
    again.hear(again.quotes(CCC=10_00), again.bars("CCC", step=9))
    assert [event.rule for event in again.hear(again.signal("CCC"))] == ["trades_per_day"]
    again.hear(again.plan(session_date="2013-10-09"))
    assert again.state.day.pace.total == 0


def test_reducing_when_an_operator_stopped_an_armed_chain_then_it_denies_by_itself(new_world: type[Any]) -> None:
    world = new_world().ready()
    check = next(one for one in CHECKS if one.rule == "reducing")
    assert check.find(world.signal(), _facts(world)) is None
    world.hear(ChainDisarmed(ts_event=1, ts_init=1, detail="stopped by ann"))
    assert check.find(world.signal(), _facts(world)) == ("reducing: stopped by ann", "an armed chain")
    assert world.restarted().state.day.standing.is_reducing
    world.hear(world.armed(halt_counter=0))
    assert isinstance(world.hear(world.signal())[-1], SubmitOrder)


def test_assets_when_they_overtake_their_session_or_come_again_then_the_newest_lines_count(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    world.hear(world.assets("AAA", is_tradable=False))
    assert [event.rule for event in world.hear(world.signal())] == ["not_tradable"]
    world.hear(world.assets("AAA"))
    assert isinstance(world.hear(world.signal(signal_id="again"))[-1], SubmitOrder)
    assert world.hear(world.assets("AAA")) == [], "what is known already is not journaled"
    world.hear(world.assets("AAA", day="2013-10-09"), world.plan(session_date="2013-10-09"))
    assert world.state.day.asset_of("AAA") is not None
    assert world.state.day.asset_of("BBB") is None


def test_options_when_their_symbol_is_padded_or_not_then_both_are_recognised(new_world: type[Any]) -> None:
    check = next(one for one in CHECKS if one.rule == "option_unknown")
    world = new_world().ready()
    for instrument, is_option in (
        ("AAA   131019P00480000", True),
        ("AAA131019C00480000", True),
        ("AAA", False),
        ("BRK.B", False),
    ):
        found = check.find(world.signal(instrument=instrument), _facts(world))
        assert (found is not None) == is_option


def _facts(world: Any) -> Facts:
    return Facts(
        now_ns=world.now,
        limits=world.settings,
        day=world.state.day,
        market=world.state.market,
        valuation=Valuation(world.state.day.portfolio),
    )

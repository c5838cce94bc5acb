"""Puts at execution: guarded here, sold in time, and held against the limits at a hundred times their price."""

from typing import Any

from msgspec.structs import replace

from bus import messages as m
from services.execution.entry_checks import EntryChecks

PUT = "SPY131101P00100000"


def premium(kit: Any, step: int, bid: float, **when: int) -> m.QuoteBatch:
    return kit.quotes(step, (PUT, bid, bid + 0.10, 50, 50), **when)


def bought(rig: Any, kit: Any) -> None:
    """Hold two contracts, bought at $2.10, with a trail of 50 %."""
    rig.armed()
    rig.market(premium(kit, 1, 2.00))
    rig.give(
        kit.submit(
            symbol=PUT,
            shares=2,
            order_type="LIMIT",
            limit_micros=2_100_000,
            reference_micros=2_100_000,
            trail_bps=5_000,
        )
    )
    rig.market(premium(kit, 2, 2.00))


def test_put_when_filled_then_no_stop_is_sent_and_the_page_names_what_protects_it(rig: Any, kit: Any) -> None:
    bought(rig, kit)
    assert rig.state.intent(kit.INTENT).guarded_nanos == 2 * m.NANOS
    assert rig.state.find(kit.order_id("stop")) is None
    [shown] = rig.core.snapshot(rig.state, premium(kit, 3, 2.00).ts_event)
    assert f"no stop rests at the broker: 2 {PUT} at 1.05" in shown.warnings


def test_put_when_its_bid_falls_a_trail_below_the_best_then_everything_is_sold(rig: Any, kit: Any) -> None:
    bought(rig, kit)
    assert rig.market(premium(kit, 3, 3.00)) == []
    assert rig.market(premium(kit, 4, 1.51)) == []
    assert rig.market(kit.quotes(5, (PUT, 0.0, 1.60, 0, 50))) == [], "no bid is no price"
    events = rig.market(premium(kit, 6, 1.50))
    assert kit.names(events) == ["CloseIntent", "OrderPrepared:exit", "OrderAccepted"]
    assert events[0].reason.endswith("guarded here, as brokers take no stop for an option")
    assert kit.names(rig.market(premium(kit, 7, 1.50))) == ["OrderFilled:exit", "IntentClosed"]


def test_put_when_its_planned_exit_comes_then_it_is_sold_at_market(rig: Any, kit: Any) -> None:
    bought(rig, kit)
    assert kit.names(rig.market(premium(kit, 3, 2.00, at_s=3600))) == ["OrderPrepared:exit", "OrderAccepted"]
    order = rig.state.find(kit.order_id("exit")).prepared
    assert (order.order_type, order.qty_nanos) == ("MARKET", 2 * m.NANOS)


def test_entry_when_its_premium_is_beyond_the_notional_limit_then_refused(rig: Any, kit: Any) -> None:
    bought(rig, kit)
    entry = rig.state.find(kit.order_id("entry")).prepared
    for dollars, words in ((420, None), (419, "$420 for one entry: MAX_ORDER_NOTIONAL is $419")):
        limits = replace(kit.LIMITS, notional_max_micros=dollars * m.MICROS)
        checks = EntryChecks(limits)
        heard = premium(kit, 3, 2.00)
        checks.hear(heard)
        assert checks.refusal(rig.state, entry, heard.ts_event, is_external=False) == words

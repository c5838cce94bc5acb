"""The decider: verdicts, reservations over several signals, sessions and restarts."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.codec import FRAME_BYTES_MAX, decode_message, encode_message
from bus.messages import (
    MICROS,
    NANOS,
    FeedEnded,
    OrderAccepted,
    OrderDenied,
    Reason,
    SignalRaised,
    SubmitOrder,
)
from services.risk import portfolio as book


def test_approval_when_given_then_a_market_order_with_its_protection_and_its_times(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    reason = Reason(rule="close_above_range", value="$50.10", threshold="$50.00", passed=True)

    (order,) = world.hear(world.signal(reasons=(reason,)))

    assert isinstance(order, SubmitOrder)
    assert order.reference_micros == world.state.market.quote_of("AAA").ask_micros
    assert (order.side, order.order_type, order.qty_nanos) == ("BUY", "MARKET", 200 * NANOS)
    assert order.intent_id == f"{world.DAY}:open:AAA:BULLISH"
    assert order.trail_bps == 200
    assert order.expires_ns == world.now + 5 * world.SECOND
    assert order.cancel_at_ns == world.now + 60 * world.SECOND
    assert order.exit_at_ns == world.now + 60 * world.MINUTE
    assert "$50.10, $50.00" in order.reason
    assert "TOTAL_ALLOCATION / MAX_OPEN_POSITIONS" in order.reason


def test_approval_when_made_then_every_event_is_a_message_the_bus_takes(new_world: type[Any]) -> None:
    world = new_world().ready()
    long_reasons = tuple(Reason(rule="r", value="v" * 300, threshold="t", passed=True) for _ in range(4))
    for event in world.hear(world.signal(reasons=long_reasons)):
        assert decode_message(encode_message(event)) == event


def test_approval_when_the_signal_exits_after_the_flatten_then_the_flatten_wins(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.now = world.CLOSE - 5 * world.MINUTE - 10 * world.SECOND
    world.hear(world.quote())
    order = world.hear(world.signal(exit_at_ns=world.CLOSE))[-1]
    assert order.exit_at_ns == order.cancel_at_ns == world.CLOSE - 5 * world.MINUTE


def test_approval_when_through_an_inverse_etf_then_its_own_quote_and_symbol_count(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    order = world.hear(world.signal(instrument="INV", direction="BEARISH"))[-1]
    assert isinstance(order, SubmitOrder)
    assert (order.symbol, order.side, order.qty_nanos) == ("INV", "BUY", 333 * NANOS)


def test_approval_when_the_inverse_etf_is_levered_then_a_third_of_the_shares(new_world: type[Any]) -> None:
    world = new_world().ready()
    levered = world.signal(instrument="INV", direction="BEARISH", leverage=3, trail_bps=600)
    order = world.hear(levered)[-1]
    assert isinstance(order, SubmitOrder)
    assert (order.qty_nanos, order.trail_bps) == (111 * NANOS, 600)


def test_signal_when_told_again_then_it_gets_no_second_verdict(new_world: type[Any]) -> None:
    world = new_world().ready()
    approved, denied = world.signal("AAA"), world.signal("BBB", expires_ns=1)
    world.hear(approved, denied)
    assert world.hear(approved, denied) == []
    again = world.restarted()
    again.hear(again.quotes(AAA=50_00, BBB=20_00), again.bars("AAA", "BBB"))
    assert again.hear(approved, denied) == []


def test_market_data_and_other_messages_when_heard_then_no_events(new_world: type[Any]) -> None:
    world = new_world().ready()
    ended = FeedEnded(ts_event=1, ts_init=1, step=9, steps=9)
    accepted = OrderAccepted(ts_event=1, ts_init=1, client_order_id="c", broker_order_id="b")
    assert world.core.observe(world.state, ended) == world.state
    assert world.hear(world.quote(), world.bars("AAA", step=8), accepted) == []
    assert list(world.core.decide(world.state, ended, world.now)) == []


def test_account_when_reported_again_then_the_first_stays_the_starting_equity(new_world: type[Any]) -> None:
    world = new_world().ready()
    assert world.hear(world.account(cash=5)) == []
    assert world.state.day.start_equity_micros == 100_000 * MICROS


def test_reports_when_they_overtake_the_plan_of_a_new_session_then_they_are_kept(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    world.hear(world.account(day="2013-10-09", cash=90_000, BBB=3), world.candidates("AAA", day="2013-10-09"))
    world.hear(world.assets("AAA", day="2013-10-09"))
    assert world.state.day.start_equity_micros == 100_000 * MICROS

    world.hear(world.plan(session_date="2013-10-09"))

    assert world.state.day.start_equity_micros == 90_000 * MICROS
    assert world.state.day.portfolio.externals == {"BBB": 3 * NANOS}
    world.hear(world.quote(), world.bars("AAA", step=9))
    last = world.hear(world.signal(session_date="2013-10-09", signal_id="next day"))[-1]
    assert isinstance(last, SubmitOrder)


def test_session_when_a_new_one_begins_then_yesterdays_facts_do_not_approve(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.plan(session_date="2013-10-09"))
    denied = world.hear(world.signal(session_date="2013-10-09", signal_id="next day"))[-1]
    assert isinstance(denied, OrderDenied)
    assert denied.rule == "not_a_candidate"
    assert world.state.market.quote_of("AAA") is None
    assert world.state.market.volumes.of("AAA") is None


def test_session_when_its_plan_is_told_again_then_nothing_changes(new_world: type[Any]) -> None:
    world = new_world().ready()
    before = world.state
    assert world.hear(world.plan()) == []
    assert world.state == before


def test_restart_when_the_journal_is_folded_then_the_same_day_and_no_market_facts(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    world.hear(
        world.signal("AAA"),
        world.fill("AAA", shares=50, of=200, cents=49_50),
        world.signal("BBB"),
        world.signal("CCC", expires_ns=1),
        world.quote("AAA", 60_00, 60_01),
    )

    again = world.restarted()

    assert again.state.day == world.state.day
    assert again.state.market.marks == {}
    assert again.state.market.volumes.of("AAA") is None
    denied = again.hear(again.signal("CCC", signal_id="late"))[-1]
    assert (type(denied), denied.rule) == (OrderDenied, "unmarked_position")


def test_restart_when_the_facts_are_heard_again_then_the_same_verdict(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal("AAA"), world.fill("AAA", shares=50, of=200))
    again = world.restarted()
    facts = (
        world.quotes(AAA=50_00, BBB=20_00, CCC=10_00),
        world.bars("AAA", "BBB", "CCC", step=20),
    )
    world.hear(*facts)
    again.hear(*facts)
    assert world.hear(world.signal("CCC")) == again.hear(world.signal("CCC"))
    assert world.state.day == again.state.day


def test_snapshot_when_a_position_is_open_then_result_limits_and_marks(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal(), world.fill(shares=200), world.quote("AAA", 51_00, 51_01))
    world.hear(world.signal("BBB", expires_ns=1))

    (shown,) = world.core.snapshot(world.state, world.now)

    assert shown.start_equity_micros == 100_000 * MICROS
    assert shown.equity_micros == 100_200 * MICROS
    assert (shown.realized_micros, shown.unrealized_micros) == (0, 200 * MICROS)
    assert shown.loss_limit_micros == 2_000 * MICROS
    assert (shown.allocated_micros, shown.allocation_limit_micros) == (10_000 * MICROS, 50_000 * MICROS)
    (line,) = shown.positions
    assert (line.entry_micros, line.last_micros, line.pnl_micros) == (
        50 * MICROS,
        51 * MICROS,
        200 * MICROS,
    )
    assert [denied.rule for denied in shown.denied] == ["signal_expired"]
    assert (shown.trades, shown.trades_max) == (1, 10_000)


def test_snapshot_when_nothing_is_known_then_zeros(new_world: type[Any]) -> None:
    world = new_world()
    (shown,) = world.core.snapshot(world.state, world.now)
    assert (shown.session_date, shown.equity_micros, shown.positions, shown.denied) == ("", 0, (), ())


def test_snapshot_when_as_large_as_it_can_be_then_it_fits_one_frame(new_world: type[Any]) -> None:
    world = new_world(max_open_positions=50).ready()
    for number in range(50):
        name = f"{number:02d}" + "W" * 22
        world.hear(world.fill(name, shares=1), world.quote(name, 9_007_199_254_00, 9_007_199_254_01))
    for number in range(130):
        world.hear(world.signal(signal_id=f"{number:03d}" + "W" * 93, instrument="W" * 24, trail_bps=5000))

    (shown,) = world.core.snapshot(world.state, world.now)

    assert (len(shown.positions), len(shown.denied), shown.denied_total) == (50, 100, 130)
    assert shown.denied[-1].intent_id.startswith("129")
    assert len(encode_message(shown)) < FRAME_BYTES_MAX


@settings(max_examples=60)
@given(st.data())
def test_risk_when_any_signals_and_fills_then_never_above_a_cap_and_a_restart_knows_the_same(
    new_world: type[Any], data: st.DataObject
) -> None:
    world = new_world(max_open_positions=3).ready()
    names = [f"N{number}" for number in range(8)]
    world.hear(world.candidates(*names), world.bars(*names, step=5))
    orders: dict[str, SubmitOrder] = {}
    for _ in range(data.draw(st.integers(1, 20))):
        name, ask = data.draw(st.sampled_from(names)), data.draw(st.integers(1_00, 900_00))
        world.hear(world.quote(name, ask - 1, ask))
        portfolio = world.state.day.portfolio
        spent = book.allocated_micros(portfolio)
        for event in world.hear(world.signal(name, signal_id=f"s{len(world.journal)}")):
            if isinstance(event, SubmitOrder):
                cost = event.qty_nanos // NANOS * ask * 10_000
                assert cost * 200 <= 250 * MICROS * 10_000
                assert spent + cost <= 50_000 * MICROS
                assert cost * 3 <= 50_000 * MICROS
                orders[event.intent_id] = event
        if orders and data.draw(st.booleans()):
            _fill_one(world, orders, data)
        assert book.open_count(world.state.day.portfolio) <= 3
        world.settle()
    assert world.restarted().state.day == world.state.day


def _fill_one(world: Any, orders: dict[str, SubmitOrder], data: st.DataObject) -> None:
    intent_id = data.draw(st.sampled_from(sorted(orders)))
    order = orders.pop(intent_id)
    total = order.qty_nanos // NANOS
    shares = data.draw(st.integers(1, total))
    ask = world.state.market.quote_of(order.symbol).ask_micros // 10_000
    ids = {"intent_id": intent_id, "client_order_id": f"tb1-{intent_id}"}
    # A market order may be filled no worse here than its reservation, as a reservation at the ask promises.
    reserved = world.state.day.portfolio.exposures[intent_id].ask_micros // 10_000
    world.hear(world.fill(order.symbol, shares=shares, of=total, cents=min(ask, reserved), **ids))


def test_decide_when_it_denies_then_the_state_is_left_as_it_was(new_world: type[Any]) -> None:
    world = new_world().ready()
    before = world.state
    signal = world.signal(expires_ns=1)
    assert isinstance(signal, SignalRaised)
    world.core.decide(before, signal, world.now)
    assert world.core.decide(before, signal, world.now) == world.core.decide(before, signal, world.now)
    assert world.state is before

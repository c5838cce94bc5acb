"""Failures of the catalogue, by their ids: a death at each point around the broker, and a broker that misbehaves."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bus import messages as m
from bus.failpoints import failpoints
from services.execution.brokers.interface import OUTSIDE_PROOF, OpenOrder, RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.drain import CONFIRM_NS, DEAD_MAN_NS
from services.execution.failpoints import FAILPOINTS
from services.execution.orders import OrderState
from services.execution.recovery import RETRY_NS
from services.execution.shell import CANCEL_RETRY_NS, LEASE_WAIT_NS_MAX
from services.execution.watch import ORDERS_EVERY_NS, POSITIONS_EVERY_NS

OpenBroker = Callable[..., PaperBroker]


def _die_at(point: str, kit: Any, *, at_visit: int = 1) -> Any:
    """Die when this point is reached for the n-th time."""
    visits = 0

    def reached(name: str) -> None:
        nonlocal visits
        if name == point:
            visits += 1
            if visits == at_visit:
                raise kit.Crash

    return failpoints(reached)


def _fills(rig: Any) -> list[tuple[str, int]]:
    return [(e.execution_id, e.qty_nanos) for e in rig.journal if isinstance(e, m.OrderFilled)]


def _broker_fills(broker: Any) -> list[tuple[str, int]]:
    return [(f.execution_id, f.qty_nanos) for f in broker.executions_after("", 0)]


def _listed(broker: Any) -> list[str]:
    return [order.client_order_id for order in broker.open_orders(0)]


def _entered(open_broker: OpenBroker, kit: Any, count: int = 1, **options: Any) -> Any:
    """Return an armed rig whose entries, one in each symbol, wait at the broker."""
    rig = kit.Rig(kit.Unreliable(open_broker()), **options).armed()
    symbols = ["SPY", "QQQ", "IWM"][:count]
    rig.market(kit.quotes(1, *((symbol, 100.0, 100.02, 1000, 1000) for symbol in symbols)))
    rig.idle()
    for symbol in symbols:
        rig.give(kit.submit(intent_id=f"2013-10-08:open:{symbol}:BULLISH", symbol=symbol))
    return rig


# --- F08 to F13: death around the broker -----


@pytest.mark.parametrize("side", ["before", "after"])
def test_f08_f09_death_around_the_write_when_restarted_then_one_order_or_none_never_two(
    open_broker: OpenBroker, kit: Any, side: str
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))
    with _die_at(f"execution.submit:{side}", kit), pytest.raises(kit.Crash):
        rig.give(kit.submit())
    assert [type(e).__name__ for e in rig.journal][-1] == "OrderPrepared", "it was committed before the write"
    again = kit.Rig(open_broker(), journal=rig.journal)
    events = kit.names(again.start())
    again.give(kit.submit())
    if side == "before":
        assert events[:2] == ["OrderExpired", "IntentClosed"]
        assert _listed(again.broker) == []
    else:
        assert events[0] == "OrderAccepted"
        assert _listed(again.broker) == [kit.order_id("entry")]


def test_f10_f11_death_after_the_answer_when_restarted_then_the_acceptance_is_told_once(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))

    def die(event: m.Message) -> None:
        if isinstance(event, m.OrderAccepted):
            raise kit.Crash

    rig.failpoint = die
    with pytest.raises(kit.Crash):
        rig.give(kit.submit())
    again = kit.Rig(open_broker(), journal=rig.journal)
    assert kit.names(again.start()) == ["AccountReported"], "the journal has it; the outbox tells it"
    assert kit.names(again.market(kit.spy(2))) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]


def test_f12_death_with_fills_taken_and_not_booked_when_restarted_then_each_is_booked_once(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))
    rig.give(kit.submit())
    with _die_at("execution.fills:after", kit), pytest.raises(kit.Crash):
        rig.market(kit.spy(2, size=60))
    assert _fills(rig) == []
    again = kit.Rig(open_broker(), journal=rig.journal)
    again.start()
    again.market(kit.spy(2, size=60))
    assert _fills(again) == _broker_fills(again.broker) != []


@pytest.mark.parametrize("visit", [1, 2, 3])
@pytest.mark.parametrize("side", ["before", "after"])
def test_f13_death_in_the_middle_of_cancel_all_when_restarted_then_goes_on_until_the_broker_lists_none(
    open_broker: OpenBroker, kit: Any, visit: int, side: str
) -> None:
    rig = _entered(open_broker, kit, count=3)
    rig.gate.lapsed = DEAD_MAN_NS
    with _die_at(f"execution.drain:{side}", kit, at_visit=visit), pytest.raises(kit.Crash):
        rig.idle()
    again = kit.Rig(kit.Unreliable(open_broker()), journal=rig.journal)
    again.now_ns = rig.now_ns
    again.gate.lapsed = DEAD_MAN_NS
    again.start()
    again.idle_for(2)
    assert _listed(again.broker) == []
    assert again.state.drain.startswith("no order of ours is open at the broker since")
    again.idle_for(CONFIRM_NS / kit.SECOND)
    assert "confirmed" in again.state.drain
    assert again.halts == []


@pytest.mark.parametrize("point", FAILPOINTS)
@pytest.mark.parametrize("side", ["before", "after"])
def test_death_at_every_point_when_restarted_then_journal_and_broker_agree(
    open_broker: OpenBroker, kit: Any, point: str, side: str
) -> None:
    rig = kit.Rig(open_broker(), stop_positions="flatten")
    deaths = 0

    def live(rig: Any, first: int) -> int:
        """Play a day with an entry, a dead man and a stop; return how far it came."""
        for step in range(first, 7):
            try:
                rig.gate.lapsed = DEAD_MAN_NS if step == 3 else 0
                if step == 1:
                    rig.armed()
                if step == 2:
                    rig.give(kit.submit())
                if step == 3:
                    rig.give(kit.submit(intent_id="2013-10-08:open:QQQ:BULLISH", symbol="QQQ"))
                if step == 4:
                    rig.gap()
                rig.idle()
                rig.market(kit.quotes(step, *((s, 100.0, 100.02, 1000, 1000) for s in ("SPY", "QQQ")), at_s=step))
                if step == 6:
                    rig.stop()
                    break
                rig.boot_ns += ORDERS_EVERY_NS
                rig.idle()
            except kit.Crash:
                return step
        return 0

    with _die_at(f"{point}:{side}", kit):
        died_in = live(rig, 1)
        if died_in:
            deaths += 1
            rig = kit.Rig(open_broker(), journal=rig.journal, stop_positions="flatten")
            rig.boot_ns = 1000 * kit.SECOND
            rig.now_ns = kit.OPEN_NS + died_in * kit.SECOND
            rig.start()
            live(rig, died_in)
    assert deaths == 1, "the point was never reached"
    # A paper broker that is opened anew has heard no quote: an exit that waits there is filled by the next one.
    rig.market(kit.spy(7))
    assert _fills(rig) == _broker_fills(rig.broker)
    assert _listed(rig.broker) == []
    assert rig.state.open_intents() == []
    assert rig.halts == []
    entries = [e.client_order_id for e in rig.journal if isinstance(e, m.OrderPrepared)]
    assert len(entries) == len(set(entries))


# --- F37, F38, F42: an answer that is lost, an order that comes late, a look-up that lags -----


def test_f37_time_out_after_the_acceptance_when_looked_up_then_is_adopted_under_its_one_id(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    broker.errors["submit"] = [RetryableBrokerError("time-out")]
    broker.acts_before_failing = True
    rig.give(kit.submit())
    rig.idle_for(RETRY_NS[0] / kit.SECOND)
    assert rig.state.find(kit.order_id("entry")).state is OrderState.WORKING
    assert broker.calls.count("submit") == 1
    assert _listed(broker.real) == [kit.order_id("entry")]


def _lost_and_lagging(open_broker: OpenBroker, kit: Any) -> Any:
    """Return a rig whose entry was taken by a broker that neither answered nor finds it, and is another house."""
    broker = kit.Unreliable(open_broker())
    broker.not_found_proof = OUTSIDE_PROOF
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    rig.idle()
    broker.errors["submit"] = [RetryableBrokerError("time-out")]
    broker.acts_before_failing = True
    broker.is_lagging = True
    rig.give(kit.submit())
    return rig


def test_f42_not_found_when_said_for_less_than_a_minute_then_proves_nothing(open_broker: OpenBroker, kit: Any) -> None:
    rig = _lost_and_lagging(open_broker, kit)
    rig.idle_for(59)
    assert rig.broker.calls.count("lookup") >= OUTSIDE_PROOF.answers
    assert rig.state.find(kit.order_id("entry")).state is OrderState.UNKNOWN
    rig.broker.is_lagging = False
    rig.idle_for(30)
    assert rig.state.find(kit.order_id("entry")).state is OrderState.WORKING
    assert rig.halts == []
    assert rig.broker.calls.count("submit") == 1


def test_f42_not_found_when_said_often_over_a_minute_then_the_order_is_given_up(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _lost_and_lagging(open_broker, kit)
    rig.idle_for(90)
    assert rig.state.find(kit.order_id("entry")).state is OrderState.EXPIRED
    assert rig.halts == []


def test_f42_network_errors_when_there_is_no_answer_then_prove_nothing_and_halt_after_two_minutes(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _lost_and_lagging(open_broker, kit)
    rig.broker.errors["lookup"] = [RetryableBrokerError("reset")] * 100
    rig.broker.acts_before_failing = False
    rig.idle_for(119)
    assert rig.halts == []
    assert rig.state.find(kit.order_id("entry")).state is OrderState.UNKNOWN
    rig.idle_for(3)
    assert rig.halts == [("broker_failure", "reset")]
    assert rig.state.find(kit.order_id("entry")).state is OrderState.UNKNOWN


def test_f38_f74_an_order_that_is_accepted_late_when_given_up_then_is_cancelled_when_seen_and_the_chain_halts(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _lost_and_lagging(open_broker, kit)
    rig.idle_for(90)
    rig.broker.is_lagging = False
    events = rig.idle_for(ORDERS_EVERY_NS / kit.SECOND)
    assert [name for name in kit.names(events) if name != "OrderUnknown"] == [
        "OrderAccepted",
        "HaltRaised",
        "CancelRequested",
        "OrderCancelled",
        "IntentClosed",
    ]
    assert _listed(rig.broker.real) == []
    assert rig.halts[0][0] == "broker_anomaly"


@pytest.mark.parametrize("cause", ["halt", "dead man"])
def test_f38_f74_late_acceptance_when_the_chain_stopped_meanwhile_then_is_cancelled_within_two_seconds_of_being_seen(
    open_broker: OpenBroker, kit: Any, cause: str
) -> None:
    rig = _lost_and_lagging(open_broker, kit)
    if cause == "halt":
        rig.give(kit.halt())
    else:
        rig.gate.lapsed = DEAD_MAN_NS
    rig.idle_for(20)
    rig.broker.is_lagging = False
    rig.idle_for(2)
    assert _listed(rig.broker.real) == []
    assert rig.state.find(kit.order_id("entry")).state is OrderState.CANCELLED
    assert rig.state.drain.startswith("no order of ours is open at the broker since")


def test_f74_late_acceptance_when_it_was_confirmed_that_none_is_open_then_is_found_and_cancelled(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _lost_and_lagging(open_broker, kit)
    rig.give(kit.halt())
    rig.idle_for(100)
    assert "confirmed" in rig.state.drain
    rig.broker.is_lagging = False
    rig.idle_for(6)
    assert _listed(rig.broker.real) == []


# --- F45: cancels -----


def test_f45_a_fill_after_the_cancel_request_when_told_then_is_booked_and_protected(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    rig.broker.ignores_cancels = True
    rig.give(kit.disarm())
    assert rig.state.find(kit.order_id("entry")).state is OrderState.CANCEL_PENDING
    assert kit.names(rig.market(kit.spy(2, size=60))) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]
    assert rig.state.find(kit.order_id("entry")).state is OrderState.CANCEL_PENDING


def test_f45_a_cancel_that_the_broker_does_not_do_when_asked_five_times_then_halts_in_words_and_is_only_looked_up(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    rig.broker.ignores_cancels = True
    rig.give(kit.disarm())
    rig.idle_for(120)
    assert rig.broker.calls.count("cancel") == len(CANCEL_RETRY_NS) == 5
    assert [rule for rule, _ in rig.halts] == ["broker_failure"]
    assert "cancel it at the broker, then arm again" in rig.halts[0][1]
    rig.broker.real.cancel(kit.order_id("entry"), rig.now_ns)
    rig.idle_for(11)
    assert rig.state.find(kit.order_id("entry")).state is OrderState.CANCELLED


def test_f75_a_cancel_that_cannot_be_asked_for_when_the_broker_is_back_then_is_asked_within_ten_seconds(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    for call in ("cancel", "open_orders", "lookup", "executions_after"):
        rig.broker.errors[call] = [RetryableBrokerError("no route")] * 10_000
    rig.give(kit.halt())
    rig.idle_for(300)
    assert rig.state.drain == "NOT CONFIRMED: the broker does not answer"
    assert rig.core.snapshot(rig.state, 0)[0].drain == rig.state.drain
    asked = rig.broker.calls.count("open_orders")
    assert 300 / 10 <= asked < 60, "asked with back-off, and at least every ten seconds"
    for errors in rig.broker.errors.values():
        errors.clear()
    rig.idle_for(11)
    assert _listed(rig.broker.real) == []
    rig.idle_for(65)
    assert "confirmed" in rig.state.drain


# --- F48: what is not ours -----


def test_f48_orders_and_positions_of_others_when_seen_then_are_shown_and_left_alone(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    broker.others = [OpenOrder(client_order_id="manual-1", broker_order_id="Z", symbol="QQQ", side="BUY")]
    broker.other_positions = {"IWM": 5 * m.NANOS}
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    rig.idle()
    assert rig.state.external == (
        "EXTERNAL, not the bot's and left alone: 1 open order(s) in QQQ; 1 position(s) in IWM"
    )
    assert rig.shell.reconciled_ms() == 0
    rig.give(kit.halt())
    rig.idle_for(130)
    assert broker.calls.count("cancel") == 0
    assert "confirmed" in rig.state.drain
    assert rig.halts == []
    assert rig.core.snapshot(rig.state, 0)[0].external == rig.state.external


def test_f48_an_entry_in_a_symbol_that_somebody_else_trades_when_requested_then_is_not_sent(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    broker.others = [OpenOrder(client_order_id="", broker_order_id="Z", symbol="SPY", side="SELL")]
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    rig.idle()
    rig.give(kit.submit())
    assert kit.names(rig.idle()) == ["OrderExpired", "IntentClosed"]
    assert broker.calls.count("submit") == 0


def test_f48_an_execution_of_somebody_else_when_listed_then_is_counted_and_neither_booked_nor_a_halt(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    foreign = []
    real = rig.broker.executions_after

    def executions_after(execution_id: str, now_ns: int) -> Sequence[Any]:
        return [*real(execution_id, now_ns), *foreign]

    rig.market(kit.spy(2))
    fill = rig.broker.executions_after("", 0)[0]
    foreign.append(type(fill)(**{f: getattr(fill, f) for f in fill.__struct_fields__} | {"client_order_id": "manual"}))
    rig.broker.executions_after = executions_after
    rig.idle_for(POSITIONS_EVERY_NS / kit.SECOND)
    assert rig.halts == []
    assert "1 execution(s)" in rig.state.external
    assert len(_fills(rig)) == 1
    assert rig.shell.reconciled_ms() >= 0


def test_a_position_that_is_smaller_than_ours_when_seen_twice_then_halts_and_is_not_reconciled(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    kit.enter(rig)
    rig.idle()
    assert rig.shell.reconciled_ms() == 0
    broker.other_positions = {"SPY": -40 * m.NANOS}
    rig.idle_for(POSITIONS_EVERY_NS / kit.SECOND + 1)
    assert rig.halts[0][0] == "broker_anomaly"
    assert rig.halts[0][1].startswith("SPY: 60 at the broker, 100 by our fills")
    assert rig.shell.reconciled_ms() == -1
    rig.idle_for(60)
    assert len(rig.halts) == 1, "one halt stands for all of it"
    rig.give(kit.arm(1))
    rig.idle_for(10)
    assert len(rig.halts) == 2, "armed again without an answer"
    broker.other_positions = {}
    rig.idle_for(10)
    assert rig.shell.reconciled_ms() >= 0


def test_lists_that_lag_behind_when_right_at_the_second_look_then_halt_nothing(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    kit.enter(rig)
    broker.other_positions = {"SPY": -40 * m.NANOS}
    broker.others = [
        OpenOrder(client_order_id=key, broker_order_id="Z", symbol="SPY", side="BUY")
        for key in (kit.order_id("entry"), "tb1-lost")
    ]
    rig.gap()
    rig.idle()
    assert rig.shell.reconciled_ms() == -1
    broker.others, broker.other_positions = [], {}
    rig.idle_for(1)
    assert rig.shell.reconciled_ms() >= 0
    broker.other_positions = {"SPY": -40 * m.NANOS}
    rig.idle_for(POSITIONS_EVERY_NS / kit.SECOND - 5)
    while rig.shell.reconciled_ms() >= 0:
        rig.idle_for(0.1)
    broker.other_positions = {}
    rig.idle_for(1)
    assert rig.halts == []
    assert rig.shell.reconciled_ms() >= 0


def test_an_order_that_is_over_for_us_when_the_broker_goes_on_listing_it_then_halts_and_asks_again(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    key = kit.order_id("entry")
    rig.give(kit.disarm())
    assert rig.state.find(key).state is OrderState.CANCELLED
    rig.broker.others = [OpenOrder(client_order_id=key, broker_order_id="PO-000001", symbol="SPY", side="BUY")]
    rig.idle_for(30)
    assert [rule for rule, _ in rig.halts] == ["broker_anomaly"]
    assert 1 < rig.broker.calls.count("cancel") <= 6
    assert rig.shell.reconciled_ms() == -1


# --- reconciling in time, gaps, and the dead man -----


def test_a_fill_that_nobody_told_when_the_broker_is_looked_at_then_is_booked_within_five_seconds(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    rig.idle()
    rig.broker.real.on_quotes(kit.spy(2), "2013-10-08")
    events = rig.idle_for(ORDERS_EVERY_NS / kit.SECOND)
    assert kit.names(events) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]
    assert _fills(rig) == _broker_fills(rig.broker.real)
    assert rig.halts == []


def test_reconciled_when_it_was_clean_then_ages_and_a_silent_broker_only_lets_it_age(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()))
    assert rig.shell.reconciled_ms() == -1
    rig.armed()
    rig.idle()
    assert rig.shell.reconciled_ms() == 0
    rig.boot_ns += 3 * kit.SECOND
    assert rig.shell.reconciled_ms() == 3000
    rig.broker.errors["open_orders"] = [RetryableBrokerError("no route")] * 1000
    rig.idle_for(70)
    assert rig.shell.reconciled_ms() > 60_000
    rig.idle_for(60)
    assert [rule for rule, _ in rig.halts] == ["broker_failure"]


def test_gap_when_the_broker_does_not_answer_then_nothing_is_sent_before_it_has(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.market(kit.spy(1))
    rig.idle()
    rig.broker.errors["executions_after"] = [RetryableBrokerError("no route")]
    rig.gap()
    assert rig.shell.reconciled_ms() == -1
    assert kit.names(rig.give(kit.submit())) == ["OrderPrepared:entry"]
    assert not rig.shell.is_settled(rig.state)
    assert rig.idle() == []
    assert rig.broker.calls.count("submit") == 0
    rig.boot_ns += RETRY_NS[0]
    events = [*rig.idle(), *rig.idle()]
    assert kit.names(events) == ["OrderAccepted"]
    rig.idle()
    assert rig.shell.reconciled_ms() == 0


def test_gap_when_the_broker_filled_meanwhile_then_the_fill_is_booked_and_protected(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    rig.broker.real.on_quotes(kit.spy(2), "2013-10-08")
    assert kit.names(rig.gap()) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]


def test_halt_when_executions_cannot_be_had_then_the_entries_are_cancelled_all_the_same(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _entered(open_broker, kit)
    rig.broker.errors["executions_after"] = [RetryableBrokerError("no route")] * 1000
    rig.gap()
    rig.give(kit.disarm())
    rig.gate.lapsed = DEAD_MAN_NS
    rig.idle_for(2)
    assert _listed(rig.broker.real) == []
    assert rig.broker.calls.count("executions_after") < 6, "asked with back-off"


def test_fills_when_older_ones_are_missing_then_wait_so_that_none_is_lost(open_broker: OpenBroker, kit: Any) -> None:
    rig = _entered(open_broker, kit)
    rig.broker.real.on_quotes(kit.spy(2, size=60), "2013-10-08")
    rig.broker.errors["executions_after"] = [RetryableBrokerError("no route")]
    rig.gap()
    rig.market(kit.spy(3, size=60))
    assert _fills(rig) == []
    rig.idle_for(1)
    assert _fills(rig) == _broker_fills(rig.broker.real)
    assert len(_fills(rig)) == 2


def test_dead_man_when_leases_are_missing_for_a_second_then_entries_are_cancelled_and_stops_stay(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    kit.enter(rig)
    rig.idle()
    rig.give(kit.submit(intent_id="2013-10-08:open:QQQ:BULLISH", symbol="QQQ"))
    rig.gate.lapsed = DEAD_MAN_NS - 1
    assert rig.idle() == []
    rig.gate.lapsed = DEAD_MAN_NS
    assert kit.names(rig.idle()) == ["CancelRequested", "OrderCancelled", "IntentClosed"]
    assert _listed(rig.broker.real) == [kit.order_id("stop")]
    rig.idle_for(62)
    assert "protective orders that stay there: 1" in rig.state.drain
    rig.gate.lapsed = 0
    rig.idle()
    assert rig.state.drain == ""
    assert rig.halts == []


def test_dead_man_when_the_chain_was_never_armed_and_has_no_orders_then_asks_for_nothing(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()))
    rig.gate.lapsed = 10 * DEAD_MAN_NS
    rig.give(kit.halt())
    rig.idle_for(4)
    assert rig.state.drain == ""
    assert rig.broker.calls.count("open_orders") == 1, "only the regular look"


@pytest.mark.parametrize("by", ["halt", "kill switch"])
def test_drain_when_everything_is_sold_then_nothing_of_ours_stays_open(
    open_broker: OpenBroker, kit: Any, by: str
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()), halt_positions="flatten").armed()
    kit.enter(rig)
    rig.idle()
    rig.give(kit.halt() if by == "halt" else kit.kill())
    rig.idle()
    assert rig.state.drain == "cancelling: 1 order open at the broker", "the exit waits for a quote"
    rig.market(kit.spy(3))
    rig.idle_for(61)
    assert rig.state.drain.startswith("no order of ours is open at the broker, confirmed")
    assert rig.state.open_intents() == []


def test_an_entry_when_it_waits_for_its_permission_in_real_time_then_gives_up_after_a_minute(
    rig: Any, kit: Any
) -> None:
    rig.armed()
    rig.market(kit.spy(1))
    rig.gate.is_open = False
    rig.give(kit.submit())
    rig.idle_for(LEASE_WAIT_NS_MAX / kit.SECOND)
    assert rig.state.find(kit.order_id("entry")).state is OrderState.PREPARED
    rig.idle_for(1)
    assert rig.state.find(kit.order_id("entry")).state is OrderState.EXPIRED

"""The regular look at the broker: what is not ours, what contradicts the journal, and how old a clean look is."""

from collections.abc import Callable, Sequence
from typing import Any

from bus import messages as m
from services.execution.brokers.interface import OpenOrder, RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.orders import OrderState
from services.execution.watch import ORDERS_EVERY_NS, POSITIONS_EVERY_NS

OpenBroker = Callable[..., PaperBroker]


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
    broker.other_positions = {"IWM": 5 * m.NANOS, "DIA": -50 * m.NANOS}
    rig.idle_for(35, every=1)
    assert rig.state.external.endswith("2 position(s) in DIA (short -50), IWM")
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
    rig = kit.entered(open_broker)
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
    assert len(kit.fills(rig)) == 1
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
    rig = kit.entered(open_broker)
    key = kit.order_id("entry")
    rig.give(kit.disarm())
    assert rig.state.find(key).state is OrderState.CANCELLED
    rig.broker.others = [OpenOrder(client_order_id=key, broker_order_id="PO-000001", symbol="SPY", side="BUY")]
    rig.idle_for(30)
    assert [rule for rule, _ in rig.halts] == ["broker_anomaly"]
    assert 1 < rig.broker.calls.count("cancel") <= 6
    assert rig.shell.reconciled_ms() == -1


# --- reconciling in time -----


def test_a_fill_that_nobody_told_when_the_broker_is_looked_at_then_is_booked_within_five_seconds(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.entered(open_broker)
    rig.idle()
    rig.broker.real.on_quotes(kit.spy(2), "2013-10-08")
    events = rig.idle_for(ORDERS_EVERY_NS / kit.SECOND)
    assert kit.names(events) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]
    assert kit.fills(rig) == kit.broker_fills(rig.broker.real)
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

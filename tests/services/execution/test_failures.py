"""Failures of the catalogue, by their ids: a death at each point around the broker, and a broker that misbehaves."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from services.execution.brokers.interface import OUTSIDE_PROOF, RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.brokers.paper_books import PaperBooksError
from services.execution.cancelling import CANCEL_RETRY_NS
from services.execution.drain import CONFIRM_NS, DEAD_MAN_NS
from services.execution.failpoints import FAILPOINTS
from services.execution.orders import OrderState
from services.execution.recovery import RETRY_NS
from services.execution.sending import LEASE_WAIT_NS_MAX
from services.execution.watch import ORDERS_EVERY_NS

OpenBroker = Callable[..., PaperBroker]


# --- F08 to F13: death around the broker -----


@pytest.mark.parametrize("side", ["before", "after"])
def test_f08_f09_death_around_the_write_when_restarted_then_one_order_or_none_never_two(
    open_broker: OpenBroker, kit: Any, side: str
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))
    with kit.die_at(f"execution.submit:{side}"), pytest.raises(kit.Crash):
        rig.give(kit.submit())
    assert [type(e).__name__ for e in rig.journal][-1] == "OrderPrepared", "it was committed before the write"
    again = kit.Rig(open_broker(), journal=rig.journal)
    events = kit.names(again.start())
    again.give(kit.submit())
    if side == "before":
        assert events[:2] == ["OrderExpired", "IntentClosed"]
        assert kit.listed(again.broker) == []
    else:
        assert events[0] == "OrderAccepted"
        assert kit.listed(again.broker) == [kit.order_id("entry")]


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
    with kit.die_at("execution.fills:after"), pytest.raises(kit.Crash):
        rig.market(kit.spy(2, size=60))
    assert kit.fills(rig) == []
    again = kit.Rig(open_broker(), journal=rig.journal)
    again.start()
    again.market(kit.spy(2, size=60))
    assert kit.fills(again) == kit.broker_fills(again.broker) != []


@pytest.mark.parametrize("visit", [1, 2, 3])
@pytest.mark.parametrize("side", ["before", "after"])
def test_f13_death_in_the_middle_of_cancel_all_when_restarted_then_goes_on_until_the_broker_lists_none(
    open_broker: OpenBroker, kit: Any, visit: int, side: str
) -> None:
    rig = kit.entered(open_broker, count=3)
    rig.gate.lapsed = DEAD_MAN_NS
    with kit.die_at(f"execution.drain:{side}", at_visit=visit), pytest.raises(kit.Crash):
        rig.idle()
    again = kit.Rig(kit.Unreliable(open_broker()), journal=rig.journal)
    again.now_ns = rig.now_ns
    again.gate.lapsed = DEAD_MAN_NS
    again.start()
    again.idle_for(2)
    assert kit.listed(again.broker) == []
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

    with kit.die_at(f"{point}:{side}"):
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
    assert kit.fills(rig) == kit.broker_fills(rig.broker)
    assert kit.listed(rig.broker) == []
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
    assert kit.listed(broker.real) == [kit.order_id("entry")]


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
    assert kit.listed(rig.broker.real) == []
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
    assert kit.listed(rig.broker.real) == []
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
    assert kit.listed(rig.broker.real) == []


# --- F45: cancels -----


def test_f45_a_fill_after_the_cancel_request_when_told_then_is_booked_and_protected(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.entered(open_broker)
    rig.broker.ignores_cancels = True
    rig.give(kit.disarm())
    assert rig.state.find(kit.order_id("entry")).state is OrderState.CANCEL_PENDING
    assert kit.names(rig.market(kit.spy(2, size=60))) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]
    assert rig.state.find(kit.order_id("entry")).state is OrderState.CANCEL_PENDING


def test_f45_a_cancel_that_the_broker_does_not_do_when_asked_five_times_then_halts_in_words_and_is_only_looked_up(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.entered(open_broker)
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
    rig = kit.entered(open_broker)
    for call in ("cancel", "open_orders", "lookup", "executions_after"):
        rig.broker.errors[call] = [RetryableBrokerError("no route")] * 10_000
    rig.give(kit.halt())
    rig.idle_for(300)
    assert rig.state.drain == "NOT CONFIRMED: the broker does not answer"
    assert rig.core.snapshot(rig.state, 0)[0].drain == rig.state.drain
    asked = rig.broker.calls.count("open_orders")
    assert 300 / 5 <= asked < 80, "asked with back-off, and at least every five seconds"
    for errors in rig.broker.errors.values():
        errors.clear()
    rig.idle_for(11)
    assert kit.listed(rig.broker.real) == []
    rig.idle_for(65)
    assert "confirmed" in rig.state.drain


# --- gaps, and an entry that waits -----


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
    rig = kit.entered(open_broker)
    rig.broker.real.on_quotes(kit.spy(2), "2013-10-08")
    assert kit.names(rig.gap()) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]


def test_fills_when_older_ones_are_missing_then_wait_so_that_none_is_lost(open_broker: OpenBroker, kit: Any) -> None:
    rig = kit.entered(open_broker)
    rig.broker.real.on_quotes(kit.spy(2, size=60), "2013-10-08")
    rig.broker.errors["executions_after"] = [RetryableBrokerError("no route")]
    rig.gap()
    rig.market(kit.spy(3, size=60))
    assert kit.fills(rig) == []
    rig.idle_for(1)
    assert kit.fills(rig) == kit.broker_fills(rig.broker.real)
    assert len(kit.fills(rig)) == 2


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


def test_f59_f60_broker_books_when_they_fail_under_an_order_then_execution_ends_and_the_order_is_sent_once(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))
    rig.broker._books._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(PaperBooksError, match="is full"):
        rig.give(*(kit.submit(intent_id=f"{kit.INTENT}:{number}", shares=1) for number in range(1_000)))
    given = len(rig.broker.open_orders(0))
    assert given > 0
    again = kit.Rig(open_broker(), journal=rig.journal)
    again.start()
    at_broker = [order.client_order_id for order in again.broker.open_orders(0)]
    assert len(at_broker) == len(set(at_broker)) == given
    prepared = [e.client_order_id for e in again.journal if isinstance(e, m.OrderPrepared)]
    assert prepared[:-1] == at_broker
    assert again.state.find(prepared[-1]).state is OrderState.EXPIRED

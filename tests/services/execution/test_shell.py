"""The shell with the real paper broker: the gate, and a crash at each point of the order flow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus import messages as m
from bus.assembly import CannotStartError, Ports, Setup
from bus.testing import a_plan
from config.env_bot import parse, proposals
from config.env_bot_settings import SETTINGS
from config.identity import Identity
from config.paths import HomePaths
from services.execution.brokers import reports as r
from services.execution.brokers.interface import RetryableBrokerError, StopTradingError
from services.execution.brokers.paper import PaperBroker
from services.execution.gate import ClosedGate
from services.execution.orders import OrderState
from services.execution.recovery import RETRY_NS, UNKNOWN_NS_MAX
from services.execution.sending import LIFE_OVERLAP_NS
from services.execution.shell import build

IDENTITY = Identity(
    entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)


def enter(rig: Any, kit: Any, first_step: int = 1) -> list[m.Message]:
    """Buy 100 SPY: quotes, request, quotes."""
    rig.market(kit.spy(first_step))
    rig.give(kit.submit())
    return rig.market(kit.spy(first_step + 1))


def booked(rig: Any) -> list[m.OrderFilled]:
    return [e for e in rig.journal if isinstance(e, m.OrderFilled)]


def broker_fills(rig: Any) -> list[tuple[str, int, int]]:
    return [(f.execution_id, f.qty_nanos, f.price_micros) for f in rig.broker.executions_after("", 0)]


def assert_books_agree(rig: Any) -> None:
    """Compare execution's journal with the broker's own books: the black box after every crash."""
    assert [(f.execution_id, f.qty_nanos, f.price_micros) for f in booked(rig)] == broker_fills(rig)
    held = {}
    for fill in booked(rig):
        held[fill.symbol] = held.get(fill.symbol, 0) + (fill.qty_nanos if fill.side == "BUY" else -fill.qty_nanos)
    account = rig.broker.account("d", 0)
    assert {s: q for s, q in held.items() if q} == dict(zip(account.symbols, account.qtys_nanos, strict=True))
    ids = [e.client_order_id for e in rig.journal if isinstance(e, m.OrderPrepared)]
    assert len(ids) == len(set(ids))
    for intent in rig.state.open_intents():
        stops = sum(o.prepared.qty_nanos - o.filled_nanos for o in intent.open_orders if o.leg == "stop")
        exits = sum(o.prepared.qty_nanos - o.filled_nanos for o in intent.open_orders if o.leg == "exit")
        assert stops + exits == intent.held_nanos, "what is held is not what is protected"


def test_session_when_planned_then_account_and_deposit_are_reported_once(rig: Any, kit: Any) -> None:
    events = rig.give(a_plan())
    assert kit.names(events) == ["SessionPlanned", "CashMoved", "AccountReported"]
    assert events[1].amount_micros == events[2].cash_micros == kit.CASH
    assert events[1].ts_event == a_plan().open_ns
    assert kit.names(rig.give(a_plan("2013-10-09"))) == ["SessionPlanned", "AccountReported"]


def test_whole_life_when_nothing_goes_wrong_then_enters_protects_and_leaves(rig: Any, kit: Any) -> None:
    rig.armed()
    rig.market(kit.spy(1))
    assert kit.names(rig.give(kit.submit())) == ["OrderPrepared:entry", "OrderAccepted"]
    assert kit.names(rig.market(kit.spy(2))) == ["OrderFilled:entry", "OrderPrepared:stop", "OrderAccepted"]
    assert kit.names(rig.market(kit.spy(3, bid=110))) == []
    assert kit.names(rig.market(kit.spy(4, bid=107))) == ["OrderFilled:stop", "IntentClosed"]
    assert_books_agree(rig)


def test_exit_when_due_then_sells_at_the_next_quote_not_at_this_one(rig: Any, kit: Any) -> None:
    rig.armed()
    enter(rig, kit)
    names = kit.names(rig.market(kit.spy(3, at_s=3600)))
    assert names == ["CancelRequested", "OrderCancelled", "OrderPrepared:exit", "OrderAccepted"]
    assert kit.names(rig.market(kit.spy(4, at_s=3615))) == ["OrderFilled:exit", "IntentClosed"]
    assert_books_agree(rig)


def test_gate_when_closed_then_the_entry_waits_and_goes_when_it_opens(rig: Any, kit: Any) -> None:
    rig.armed()
    rig.market(kit.spy(1))
    rig.gate.is_open = False
    assert kit.names(rig.give(kit.submit())) == ["OrderPrepared:entry"]
    assert not rig.shell.is_settled(rig.state)
    assert rig.idle() == []
    rig.gate.is_open = True
    assert kit.names(rig.idle()) == ["OrderAccepted"]
    assert rig.shell.is_settled(rig.state)


def test_gate_when_closed_beyond_the_signals_life_then_the_entry_expires(rig: Any, kit: Any) -> None:
    rig.armed()
    rig.gate.is_open = False
    rig.give(kit.submit())
    rig.market(kit.spy(2, at_s=61))
    assert kit.names(rig.idle()) == ["OrderExpired", "IntentClosed"]
    rig.gate.is_open = True
    assert rig.idle() == []
    assert broker_fills(rig) == []


def test_gate_when_never_set_then_nothing_is_sent(open_broker: Callable[..., PaperBroker], kit: Any) -> None:
    rig = kit.Rig(open_broker())
    rig.shell.gate = ClosedGate()
    rig.armed()
    assert kit.names(rig.give(kit.submit())) == ["OrderPrepared:entry"]


def test_gate_when_closed_for_exits_then_the_stop_stays_at_the_broker(rig: Any, kit: Any) -> None:
    rig.armed()
    enter(rig, kit)
    rig.gate.lets_exits = False
    assert kit.names(rig.market(kit.spy(3, at_s=3600))) == ["CancelRequested"]
    rig.idle()
    assert kit.names(rig.market(kit.spy(4, bid=90, at_s=3615))) == ["OrderFilled:stop", "IntentClosed"]


def test_halt_when_an_order_is_unsent_then_is_never_sent(rig: Any, kit: Any) -> None:
    rig.armed()
    rig.gate.is_open = False
    rig.give(kit.submit())
    rig.give(kit.halt())
    rig.gate.is_open = True
    assert rig.idle() == []
    assert rig.state.find(kit.order_id("entry")).state is OrderState.EXPIRED


def test_submit_when_the_line_breaks_after_the_broker_took_it_then_is_adopted_not_sent_again(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    broker.errors["submit"] = [RetryableBrokerError("time-out")]
    broker.acts_before_failing = True
    assert kit.names(rig.give(kit.submit())) == ["OrderPrepared:entry", "OrderUnknown"]
    assert not rig.shell.is_settled(rig.state)
    rig.boot_ns = RETRY_NS[0]
    assert kit.names(rig.idle()) == ["OrderAccepted"]
    assert broker.calls.count("submit") == 1
    rig.market(kit.spy(2))
    assert_books_agree(rig)


def test_submit_when_the_line_breaks_before_the_broker_took_it_then_expires_for_good(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["submit"] = [RetryableBrokerError("refused")]
    rig.give(kit.submit())
    assert rig.idle() == [], "asked again before its time"
    rig.boot_ns = RETRY_NS[0]
    assert kit.names(rig.idle()) == ["OrderExpired", "IntentClosed"]
    assert broker.calls.count("submit") == 1


def test_lookup_when_it_fails_for_long_then_halts_and_keeps_the_order_unknown(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["submit"] = [RetryableBrokerError("time-out")]
    rig.give(kit.submit())
    broker.errors["lookup"] = [RetryableBrokerError("time-out")] * 50
    rig.boot_ns = RETRY_NS[0]
    rig.idle()
    seen = rig.idle_for(UNKNOWN_NS_MAX / kit.SECOND - 1, every=1)
    assert seen == []
    seen = rig.idle_for(100, every=1)
    assert kit.names(seen) == ["HaltRaised"]
    assert rig.halts == [("broker_failure", "time-out")]
    assert rig.state.find(kit.order_id("entry")).state is OrderState.UNKNOWN


def test_broker_when_it_cannot_be_worked_with_then_the_halt_is_on_disk_once(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["on_quotes"] = [StopTradingError("disk full"), StopTradingError("disk full")]
    assert kit.names(rig.market(kit.spy(1))) == ["AssetsReported", "HaltRaised"]
    assert rig.market(kit.spy(2)) == []
    assert rig.halts == [("broker_failure", "disk full")]


def test_quotes_when_the_broker_is_busy_then_the_next_batch_fills(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    rig.give(kit.submit())
    broker.errors["on_quotes"] = [RetryableBrokerError("locked")]
    assert rig.market(kit.spy(2)) == []
    assert kit.names(rig.market(kit.spy(3)))[0] == "OrderFilled:entry"


def test_cancel_when_the_line_breaks_then_is_asked_again_later(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    enter(rig, kit)
    broker.errors["cancel"] = [RetryableBrokerError("time-out")]
    assert kit.names(rig.market(kit.spy(3, at_s=3600))) == ["CancelRequested"]
    assert rig.idle() == []
    rig.boot_ns = RETRY_NS[0]
    assert kit.names(rig.idle()) == ["OrderCancelled", "OrderPrepared:exit", "OrderAccepted"]


def test_cancel_when_done_but_the_answer_is_lost_then_the_lookup_ends_it(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    enter(rig, kit)
    broker.errors["cancel"] = [RetryableBrokerError("time-out")]
    broker.acts_before_failing = True
    rig.market(kit.spy(3, at_s=3600))
    rig.boot_ns = RETRY_NS[0]
    assert "OrderPrepared:exit" in kit.names(rig.idle())
    rig.market(kit.spy(4, at_s=3615))
    assert_books_agree(rig)


def test_submit_when_the_line_repeats_the_request_then_the_order_is_adopted(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    broker.repeats_submits = True
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    assert kit.names(rig.give(kit.submit())) == ["OrderPrepared:entry", "OrderAccepted"]
    rig.market(kit.spy(2))
    assert_books_agree(rig)


def play(rig: Any, kit: Any, steps: Any) -> None:
    """Play a day: entry in two parts, a stop that trails, a timed exit."""
    for step in steps:
        if step == 2:
            rig.give(kit.submit())
        at_s = {1: 1, 2: 2, 3: 3, 4: 4, 5: 30, 6: 3600, 7: 3615}[step]
        rig.market(kit.spy(step, bid=100 + step * 0.1, size=60 if step < 5 else 1000, at_s=at_s))
        rig.idle()


def crashed_run(open_broker: Callable[..., PaperBroker], kit: Any, crash_at: int, *, after_effect: bool) -> Any:
    """Play a day, die at the n-th event (or report), rebuild from the journal and play on. Returns None at the end."""
    rig = kit.Rig(open_broker()).armed()
    count = 0

    def die(_message: m.Message) -> None:
        nonlocal count
        count += 1
        if count == crash_at:
            raise kit.Crash

    if after_effect:
        rig.report_failpoint = die
    else:
        rig.failpoint = die
    step = 1
    try:
        for step in range(1, 8):
            play(rig, kit, [step])
    except kit.Crash:
        again = kit.Rig(open_broker(), journal=rig.journal)
        again.start()
        # The request is delivered again when it was not committed, and ignored when it was.
        again.give(kit.submit()) if step == 2 else None
        for later in range(step, 8):
            play(again, kit, [later])
        return again
    return None


@pytest.mark.parametrize("after_effect", [False, True])
def test_day_when_it_crashes_at_any_point_then_nothing_is_lost_or_doubled(
    tmp_path: Path, kit: Any, after_effect: bool
) -> None:
    points = 0
    for crash_at in range(1, 60):
        opened = []

        def open_broker(
            path: Path = tmp_path / f"{after_effect}{crash_at}.db", opened: list[PaperBroker] = opened
        ) -> PaperBroker:
            opened.append(PaperBroker(path, starting_cash_micros=kit.CASH))
            return opened[-1]

        rig = crashed_run(open_broker, kit, crash_at, after_effect=after_effect)
        if rig is None:
            break
        points += 1
        assert_books_agree(rig)
        assert rig.state.open_intents() == [], f"crash point {crash_at}"
        assert rig.halts == [], f"crash point {crash_at}"
        assert rig.broker.faults() == []
        entries = [e for e in rig.journal if isinstance(e, m.OrderPrepared) and e.leg == "entry"]
        assert len(entries) == 1
        for broker in opened:
            broker.close()
    assert points > 12


def test_restart_when_fills_were_not_committed_then_they_are_booked_in_order(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))
    rig.give(kit.submit())
    # The broker filled; we died before we heard of it.
    rig.broker.on_quotes(kit.spy(2, size=60), "2013-10-08")
    rig.broker.on_quotes(kit.spy(3, size=60), "2013-10-08")
    again = kit.Rig(open_broker(), journal=rig.journal)
    events = again.start()
    assert [e.execution_id for e in events if isinstance(e, m.OrderFilled)] == ["PX-000001", "PX-000002"]
    assert kit.names(events).count("OrderPrepared:stop") == 2
    assert_books_agree(again)
    assert kit.names(kit.Rig(open_broker(), journal=again.journal).start()) == ["AccountReported"]


def test_restart_when_the_broker_does_not_answer_then_recovers_later_and_sends_nothing_twice(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    first = kit.Rig(open_broker()).armed()
    first.market(kit.spy(1))
    first.report_failpoint = lambda message: (
        (_ for _ in ()).throw(kit.Crash) if isinstance(message, r.BrokerAccepted) else None
    )
    with pytest.raises(kit.Crash):
        first.give(kit.submit())
    broker = kit.Unreliable(open_broker())
    broker.errors["executions_after"] = [RetryableBrokerError("time-out")]
    again = kit.Rig(broker, journal=first.journal)
    assert "OrderUnknown" in kit.names(again.start())
    assert not again.shell.is_settled(again.state)
    again.boot_ns = RETRY_NS[0]
    assert kit.names(again.idle()) == ["OrderAccepted"]
    assert broker.calls.count("submit") == 0


def test_restart_when_the_broker_lost_its_books_then_halts(
    tmp_path: Path, kit: Any, open_broker: Callable[..., PaperBroker]
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))
    rig.give(kit.submit())
    empty = PaperBroker(tmp_path / "other.db", starting_cash_micros=kit.CASH)
    assert "HaltRaised" in kit.names(kit.Rig(empty, journal=rig.journal).start())
    empty.close()


def make_setup(home: Path) -> Setup:
    paths = HomePaths(home)
    paths.make()
    return Setup(paths=paths, env=parse(proposals()), identity=IDENTITY)


def test_build_when_the_home_is_new_then_checks_clean_and_opens_the_account(tmp_path: Path) -> None:
    setup = make_setup(tmp_path)
    assembly = build(setup)
    assert list(assembly.self_check()) == []
    assert (tmp_path / "state" / "paper_broker.db").exists()
    state = assembly.core.initial()
    reports = assembly.shell.after_commit(state, a_plan(), 0)
    assert reports[0].amount_micros == 100_000 * m.MICROS
    assembly.shell.close()


def test_build_when_the_books_are_damaged_then_says_what_and_where(tmp_path: Path) -> None:
    setup = make_setup(tmp_path)
    (tmp_path / "state" / "paper_broker.db").write_bytes(b"this is no database, it is a text" * 40)
    with pytest.raises(CannotStartError, match=r"paper_broker\.db cannot be used"):
        build(setup)


def test_own_halt_when_committed_then_goes_through_the_runtimes_port(tmp_path: Path) -> None:
    assembly = build(make_setup(tmp_path))
    halt = m.HaltRaised(ts_event=0, ts_init=0, counter=0, source="execution", rule="broker_anomaly", detail="two")
    with pytest.raises(RuntimeError, match="before the runtime's ports"):
        assembly.shell.before_commit(halt)
    raised: list[tuple[str, str]] = []
    assembly.attach(Ports(ClosedGate(), lambda _message: None, lambda rule, text: raised.append((rule, text))))
    assembly.shell.before_commit(halt)
    assembly.shell.before_commit(
        m.HaltRaised(ts_event=0, ts_init=0, counter=4, source="watchdog", rule="x", detail="y")
    )
    assert raised == [("broker_anomaly", "two")]
    assembly.shell.close()


def test_the_first_minute_when_entries_are_looked_up_is_as_long_as_any_request_may_live() -> None:
    (lives,) = [setting for setting in SETTINGS if setting.key == "SIGNAL_TTL"]
    assert lives.unit == "seconds"
    assert int(lives.bounds[1]) * 1_000_000_000 <= LIFE_OVERLAP_NS

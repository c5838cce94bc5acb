"""What the broker says of symbols: each is reported once a session, before it is decided about."""

from collections.abc import Callable
from typing import Any

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers.interface import RetryableBrokerError, StopTradingError
from services.execution.brokers.paper import PaperBroker


def assets(events: list[m.Message]) -> list[list[str]]:
    return [[line.symbol for line in event.assets] for event in events if isinstance(event, m.AssetsReported)]


def test_symbols_when_quoted_for_the_first_time_then_are_reported_before_anything_else_and_once(
    rig: Any, kit: Any
) -> None:
    rig.armed()
    rig.market(kit.spy(1))
    rig.give(kit.submit())
    events = rig.market(kit.quotes(2, ("SPY", 100.0, 100.02, 1000, 1000), ("QQQ", 50.0, 50.02, 1000, 1000)))
    assert kit.names(events)[:2] == ["AssetsReported", "OrderFilled:entry"]
    assert assets(events) == [["QQQ"]]
    assert assets(rig.market(kit.spy(3))) == []


def test_symbols_when_a_new_session_begins_then_are_reported_again(rig: Any, kit: Any) -> None:
    rig.armed()
    assert assets(rig.market(kit.spy(1))) == [["SPY"]]
    rig.give(a_plan("2013-10-09"))
    (report,) = rig.market(kit.spy(2, at_s=90_000))
    assert (report.session_date, report.broker) == ("2013-10-09", "PAPER")
    assert report.assets == (m.AssetLine(symbol="SPY", is_tradable=True, is_fractionable=True, is_shortable=False),)


def test_symbols_when_there_is_no_session_then_wait_for_it(rig: Any, kit: Any) -> None:
    rig.start()
    assert rig.market(kit.spy(1)) == []
    rig.give(a_plan())
    assert assets(rig.market(kit.spy(2))) == [["SPY"]]


def test_symbols_when_there_are_more_than_fit_a_message_then_come_in_several(rig: Any, kit: Any) -> None:
    rig.armed()
    rows = [(f"S{number}", 10.0, 10.02, 100, 100) for number in range(1_201)]
    told = assets(rig.market(kit.quotes(1, *rows)))
    assert [len(symbols) for symbols in told] == [500, 500, 201]
    assert [symbol for symbols in told for symbol in symbols] == [row[0] for row in rows]


def test_symbols_when_the_broker_does_not_answer_then_are_asked_for_later_and_not_at_each_step(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["assets"] = [RetryableBrokerError("time-out")] * 2
    assert rig.market(kit.spy(1)) == rig.market(kit.spy(2)) == []
    assert broker.calls.count("assets") == 1
    rig.boot_ns += kit.SECOND // 2
    assert rig.market(kit.spy(3)) == []
    rig.boot_ns += kit.SECOND // 2
    assert rig.market(kit.spy(4)) == []
    assert broker.calls.count("assets") == 2
    rig.boot_ns += kit.SECOND // 2
    assert assets(rig.market(kit.spy(5))) == [["SPY"]]
    assert rig.halts == []


def test_symbols_when_the_broker_cannot_be_worked_with_then_halts(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["assets"] = [StopTradingError("the key was refused")]
    assert kit.names(rig.market(kit.spy(1))) == ["HaltRaised"]
    assert rig.halts == [("broker_failure", "the key was refused")]


def test_symbols_when_the_process_was_restarted_then_are_not_reported_again(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.Rig(open_broker()).armed()
    rig.market(kit.spy(1))
    again = kit.Rig(open_broker(), journal=rig.journal)
    again.start()
    assert again.market(kit.spy(2)) == []

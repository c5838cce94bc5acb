"""What the broker holds, told to the ledger at the close and on demand, only while nothing moves."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bus import messages as m
from bus.commands import Outcome
from bus.testing import a_plan
from services.execution.brokers.interface import RetryableBrokerError

COMMAND: dict[str, Any] = {
    "ts_event": 1, "ts_init": 1, "command_id": "c1", "expires_boot_ns": 1, "operator": "olga", "receiver": "execution",
    "halt_counter": 0, "reason": "end of month",
}  # fmt: skip


class Deciding:
    """The runtime's part, over the tests' rig."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.said: list[m.Message] = []

    @property
    def state(self) -> Any:
        return self.rig.state

    @property
    def now_ns(self) -> int:
        return self.rig.now_ns

    def decided(self, message: m.Message) -> Sequence[m.Message]:
        return self.rig.core.decide(self.rig.state, message, self.rig.now_ns)

    def follow(self, events: Sequence[m.Message]) -> None:
        for event in events:
            self.rig.state = self.rig.core.evolve(self.rig.state, event)
        self.said += events


def stated(events: Sequence[m.Message]) -> list[m.AccountStated]:
    return [event for event in events if isinstance(event, m.AccountStated)]


def order(rig: Any, kind: type[Any] = m.ReconcileNow) -> tuple[Outcome, list[m.Message]]:
    deciding = Deciding(rig)
    fields = {"entry_seq": 1} if kind is m.ReverseEntry else {}
    outcome = rig.shell.statements.on_request(kind(**(COMMAND | fields)), deciding)
    return outcome, deciding.said


@pytest.fixture
def planned(rig: Any) -> Any:
    rig.give(a_plan())
    return rig


def test_the_close_when_nothing_works_is_told_once_and_not_before(planned: Any, kit: Any) -> None:
    planned.now_ns = kit.CLOSE_NS - 1
    assert stated(planned.idle_for(1)) == []
    planned.now_ns = kit.CLOSE_NS
    (told,) = stated(planned.idle_for(1))
    assert (told.occasion, told.cash_micros, told.symbols) == ("close", kit.CASH, ())
    assert stated(planned.idle_for(5)) == []


def test_the_close_when_the_process_is_restarted_after_it_is_not_told_again(
    planned: Any, kit: Any, open_broker: Callable[..., Any]
) -> None:
    planned.now_ns = kit.CLOSE_NS
    assert len(stated(planned.idle_for(1))) == 1
    again = kit.Rig(planned.broker, journal=planned.journal)
    again.start()
    again.now_ns = kit.CLOSE_NS + 1
    assert stated(again.idle_for(1)) == []


def test_an_order_when_others_work_in_the_session_is_refused(kit: Any, open_broker: Callable[..., Any]) -> None:
    rig = kit.entered(open_broker)
    rig.market(kit.spy(2))
    assert [one.leg for one in rig.state.open_orders()] == ["stop"]
    refused, said = order(rig)
    assert (refused.is_done, said) == (False, [])
    assert "orders are working" in refused.detail


def test_the_close_when_stops_protect_over_night_is_told_with_how_many(
    kit: Any, open_broker: Callable[..., Any]
) -> None:
    rig = kit.entered(open_broker)
    rig.market(kit.spy(2))
    rig.now_ns = kit.CLOSE_NS
    (told,) = stated(rig.idle_for(2))
    assert (told.occasion, told.working_orders, told.qtys_nanos) == ("close", 1, (100 * m.NANOS,))
    (again,) = stated(order(rig)[1])
    assert (again.occasion, again.working_orders, again.cash_micros) == ("demand", 1, told.cash_micros)


def test_the_close_when_a_sale_is_not_over_waits_ten_minutes_and_is_told_all_the_same(
    kit: Any, open_broker: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    rig = kit.entered(open_broker)
    rig.now_ns = kit.CLOSE_NS
    assert [one.leg for one in rig.state.open_orders()] == ["entry"]
    assert stated(rig.idle_for(590, every=5)) == []
    (told,) = stated(rig.idle_for(20, every=5))
    assert told.working_orders >= 1
    assert "not known to be over" in caplog.text


def test_the_close_when_the_broker_does_not_answer_is_asked_for_again(
    planned: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned.now_ns = kit.CLOSE_NS
    real, calls = planned.broker.account, []

    def account(date: str, now_ns: int) -> Any:
        calls.append(date)
        if len(calls) < 3:
            raise RetryableBrokerError("no answer")
        return real(date, now_ns)

    monkeypatch.setattr(planned.broker, "account", account)
    assert len(stated(planned.idle_for(120, every=0.5))) == 1
    assert len(calls) >= 3


def test_an_order_when_nothing_works_has_the_account_told_each_time(planned: Any, kit: Any) -> None:
    outcome, said = order(planned)
    assert outcome.is_done
    assert [(told.occasion, told.cash_micros) for told in stated(said)] == [("demand", kit.CASH)]
    assert planned.state.stated_date == ""


def test_an_order_when_it_cannot_be_done_says_why(rig: Any, planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def account(_date: str, _now_ns: int) -> Any:
        raise RetryableBrokerError("the line is dead")

    monkeypatch.setattr(planned.broker, "account", account)
    assert order(planned)[0].detail == "the broker does not answer: the line is dead"
    assert order(planned, m.ReverseEntry)[0].detail == "execution does not do ReverseEntry"


def test_an_order_when_there_is_no_session_is_refused(rig: Any) -> None:
    assert order(rig)[0].detail == "the session is not planned yet"

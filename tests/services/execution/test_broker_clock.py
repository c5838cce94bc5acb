"""F55 and F57: the broker's clock and its market against ours."""

from collections.abc import Callable
from typing import Any

import pytest

from bus.testing import a_plan
from services.execution.broker_clock import BrokerClockWatch
from services.execution.brokers.interface import BrokerClock, RetryableBrokerError
from services.execution.brokers.paper import PaperBroker

SECOND = 1_000_000_000
PLAN = a_plan()
NOON = PLAN.open_ns + 3_600 * SECOND


class Asked:
    """A broker that is asked for the time only; the answer takes `takes_ns`."""

    def __init__(self) -> None:
        self.wall_ns, self.boot_ns, self.takes_ns = NOON, 0, 0
        self.ahead_ns = 0
        self.is_open = True
        self.is_embedded = False
        self.errors: list[Exception] = []
        self.asked = 0

    def clock(self, now_ns: int) -> BrokerClock | None:
        self.asked += 1
        self.wall_ns += self.takes_ns
        if self.errors:
            raise self.errors.pop()
        if self.is_embedded:
            return None
        return BrokerClock(utc_ns=self.wall_ns - self.takes_ns // 2 + self.ahead_ns, is_open=self.is_open)


@pytest.fixture
def broker() -> Asked:
    return Asked()


@pytest.fixture
def watch(broker: Any) -> BrokerClockWatch:
    return BrokerClockWatch(broker, lambda: broker.boot_ns, lambda: broker.wall_ns)


def look(watch: BrokerClockWatch, broker: Asked, plan: Any = PLAN) -> None:
    broker.boot_ns += 60 * SECOND
    watch.compare(plan, broker.wall_ns)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("ms", "shown", "off"), [(1_000, False, False), (1_001, True, False), (5_001, True, True)])
def test_skew_when_over_a_second_is_shown_and_over_five_nothing_may_be_traded(
    watch: BrokerClockWatch, broker: Asked, sign: int, ms: int, shown: bool, off: bool
) -> None:
    broker.ahead_ns = sign * ms * 1_000_000
    look(watch, broker)
    assert bool(watch.words()) is shown
    assert watch.is_off is off
    assert bool(watch.entry_refusal()) is off
    if shown:
        way = "behind" if sign > 0 else "ahead of"
        assert watch.words().startswith(f"this machine's clock is {ms} ms {way} the broker's")
    assert ("set the machine's time right" in watch.words()) is off


def test_skew_when_the_answer_took_long_then_only_what_is_certain_counts(
    watch: BrokerClockWatch, broker: Asked
) -> None:
    broker.takes_ns, broker.ahead_ns = 3 * SECOND, 6 * SECOND
    look(watch, broker)
    assert "4500 ms behind" in watch.words()
    assert not watch.is_off


def test_market_when_the_broker_says_closed_in_our_session_then_no_entries_after_a_minute(
    watch: BrokerClockWatch, broker: Asked
) -> None:
    broker.is_open = False
    for at_ns, refuses in (
        (PLAN.open_ns - 1, False),
        (PLAN.open_ns + 59 * SECOND, False),
        (PLAN.open_ns + 60 * SECOND, True),
        (PLAN.close_ns - 1, True),
        (PLAN.close_ns, False),
    ):
        broker.wall_ns = at_ns
        look(watch, broker)
        assert bool(watch.entry_refusal()) is refuses
    broker.wall_ns = NOON
    look(watch, broker)
    assert watch.words() == ("the broker holds the market to be closed, the plan of 2013-10-08 to be open: no entries")
    assert not watch.is_off, "what is held can still be sold and reconciled"
    broker.is_open = True
    look(watch, broker)
    assert watch.words() == ""


def test_clock_when_compared_then_is_asked_once_a_minute_and_sooner_after_no_answer(
    watch: BrokerClockWatch, broker: Asked
) -> None:
    broker.errors = [RetryableBrokerError("time-out")]
    broker.ahead_ns = 10 * SECOND
    watch.compare(PLAN, NOON)
    assert (broker.asked, watch.words()) == (1, "")
    broker.boot_ns += 5 * SECOND
    watch.compare(PLAN, NOON)
    assert (broker.asked, watch.is_off) == (2, True)
    broker.boot_ns += 59 * SECOND
    watch.compare(PLAN, NOON)
    assert broker.asked == 2
    broker.boot_ns += SECOND
    broker.errors = [RetryableBrokerError("time-out")]
    watch.compare(PLAN, NOON)
    assert (broker.asked, watch.is_off) == (3, True), "no answer proves nothing"


def test_clock_when_the_broker_is_embedded_then_there_is_nothing_to_compare(
    watch: BrokerClockWatch, broker: Asked
) -> None:
    broker.is_embedded = True
    look(watch, broker)
    assert (watch.words(), watch.is_off, watch.entry_refusal()) == ("", False, None)


def test_execution_when_the_clocks_are_far_apart_then_is_not_reconciled_and_keeps_the_chain_from_being_armed(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()))
    rig.broker.said_clock = BrokerClock(utc_ns=NOON, is_open=True)
    rig.armed()
    assert rig.shell.reconciled_ms() == -1
    assert "set the machine's time right before the chain is armed" in rig.shell.unready()
    assert rig.shell.unready() in rig.core.snapshot(rig.state, 0)[0].warnings
    rig.give(kit.submit())
    expired, _ = rig.idle()
    assert "this machine's clock" in expired.detail

"""A broker that is away by plan is waited for: only what it does not answer when it is needed stops the chain."""

from typing import Any

from services.execution.brokers.interface import PlannedPauseError, RetryableBrokerError
from services.execution.recovery import UNKNOWN_NS_MAX, Recovery

MINUTE_NS = 60_000_000_000
NIGHT_MINUTES = 600


class Clock:
    """Boot time that a test moves."""

    def __init__(self) -> None:
        self.now_ns = MINUTE_NS

    def __call__(self) -> int:
        return self.now_ns


def test_pause_when_it_lasts_a_night_then_nothing_halts_and_the_time_counts_from_its_end() -> None:
    clock = Clock()
    broker: Any = None
    recovery = Recovery(broker, clock)
    for _ in range(NIGHT_MINUTES):
        assert recovery.again("orders", PlannedPauseError("the gateway restarts"), 0) == ()
        clock.now_ns += MINUTE_NS
    error = RetryableBrokerError("nobody answers")
    clock.now_ns += UNKNOWN_NS_MAX - 2 * MINUTE_NS
    assert recovery.again("orders", error, 0) == ()
    clock.now_ns += 2 * MINUTE_NS
    assert [halt.rule for halt in recovery.again("orders", error, 0)] == ["broker_failure"]

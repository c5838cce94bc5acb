"""The limits on calls, on a clock that only sleep moves."""

from bisect import bisect_left

import pytest
from finnhub_server import SECOND, StillTime
from hypothesis import given
from hypothesis import strategies as st

from services.screener.call_budget import CallBudget


def most_within(times: list[int], window_ns: int) -> int:
    """Count the calls of the fullest window, wherever it begins; its end is not in it."""
    return max(bisect_left(times, start + window_ns) - at for at, start in enumerate(times))


@given(
    st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=300),
    st.integers(1, 60),
    st.integers(1, 30),
)
def test_budget_when_asked_at_any_times_then_no_window_ever_has_more(
    pauses: list[int], per_minute: int, per_second: int
) -> None:
    still = StillTime()
    budget = CallBudget(per_minute, per_second, now_ns=still.utc_ns, sleep=still.sleep)
    times = []
    for pause in pauses:
        still.ns += pause
        budget.take()
        times.append(still.ns)
    assert most_within(times, 60 * SECOND) <= per_minute
    assert most_within(times, SECOND) <= per_second


@given(st.lists(st.sampled_from([0, 0, 0, 1, SECOND // 40, SECOND, 59 * SECOND]), min_size=61, max_size=200))
def test_budget_of_a_free_key_when_asked_in_bursts_then_60_a_minute_and_30_a_second_hold(pauses: list[int]) -> None:
    still = StillTime()
    budget = CallBudget(60, 30, now_ns=still.utc_ns, sleep=still.sleep)
    times = []
    for pause in pauses:
        still.ns += pause
        budget.take()
        times.append(still.ns)
    assert most_within(times, 60 * SECOND) <= 60
    assert most_within(times, SECOND) <= 30


def test_budget_when_never_idle_then_it_is_used_to_the_full() -> None:
    still = StillTime()
    budget = CallBudget(60, 30, now_ns=still.utc_ns, sleep=still.sleep)
    start = still.ns
    for _ in range(180):
        budget.take()
    assert still.ns - start == 121 * SECOND


def test_budget_when_the_sleep_is_short_then_it_sleeps_again() -> None:
    still = StillTime()
    budget = CallBudget(1, 1, now_ns=still.utc_ns, sleep=lambda seconds: still.sleep(seconds / 2 + 1e-9))
    budget.take()
    before = still.ns
    budget.take()
    assert still.ns - before >= 60 * SECOND


def test_budget_when_the_clock_stands_still_then_it_ends_loudly() -> None:
    budget = CallBudget(1, 1, now_ns=lambda: 5, sleep=lambda _: None)
    budget.take()
    with pytest.raises(RuntimeError, match="stands still"):
        budget.take()

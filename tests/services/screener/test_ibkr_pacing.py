"""How fast Interactive Brokers is asked for history: three rules, and what a violation means."""

from hypothesis import given
from hypothesis import strategies as st

from services.screener.ibkr_pacing import (
    CONTRACT_NS,
    CONTRACT_REQUESTS_MAX,
    IDENTICAL_NS,
    PENALTY_NS,
    REQUESTS_MAX,
    WINDOW_NS,
    Pacing,
)

SECOND = 1_000_000_000


def test_request_when_it_is_the_same_then_it_waits_for_fifteen_seconds() -> None:
    pacing = Pacing()
    assert pacing.wait_ns("SPY", "SPY 1 min", 0) == 0
    pacing.made("SPY", "SPY 1 min", 0)
    assert pacing.wait_ns("SPY", "SPY 1 min", SECOND) == 14 * SECOND
    assert pacing.wait_ns("SPY", "SPY 1 day", SECOND) == 0
    assert pacing.wait_ns("SPY", "SPY 1 min", 15 * SECOND) == 0


def test_requests_when_sixty_were_made_then_the_next_waits_for_the_first_to_be_ten_minutes_old() -> None:
    pacing = Pacing()
    for number in range(60):
        pacing.made(f"N{number}", f"N{number}", number * SECOND)
    assert pacing.wait_ns("SPY", "SPY", 60 * SECOND) == 540 * SECOND


def test_contract_when_it_was_asked_for_five_times_then_it_waits_for_two_seconds() -> None:
    pacing = Pacing()
    for number in range(5):
        pacing.made("SPY", f"SPY {number}", 0)
    assert pacing.wait_ns("SPY", "SPY 6", SECOND) == SECOND
    assert pacing.wait_ns("AAPL", "AAPL", SECOND) == 0


def test_requests_when_the_pace_was_violated_all_the_same_then_nothing_is_asked_for_a_while() -> None:
    pacing = Pacing()
    pacing.violated(0)
    assert pacing.wait_ns("SPY", "SPY", 1) == PENALTY_NS - 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 30)), max_size=200))
def test_requests_when_they_wait_as_told_then_no_rule_is_ever_broken(asked: list[tuple[int, int, int]]) -> None:
    pacing, now = Pacing(), 0
    made: list[tuple[int, str, str]] = []
    for contract, kind, pause_s in asked:
        now += pause_s * SECOND
        name, request = f"N{contract}", f"N{contract} {kind}"
        now += pacing.wait_ns(name, request, now)
        assert pacing.wait_ns(name, request, now) == 0
        pacing.made(name, request, now)
        assert not [at for at, _, other in made if other == request and now - at < IDENTICAL_NS]
        assert len([at for at, other, _ in made if other == name and now - at < CONTRACT_NS]) < CONTRACT_REQUESTS_MAX
        assert len([at for at, _, _ in made if now - at < WINDOW_NS]) < REQUESTS_MAX
        made.append((now, name, request))

"""The size of an entry: each bound binds in its turn, and none is ever broken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.messages import MICROS
from services.risk.settings import RiskSettings
from services.risk.sizing import SHARES_MAX, Means, allocation_limit_micros, size_entry


def _settings(**changes: int) -> RiskSettings:
    values = {
        "total_allocation_ppm": 500_000,
        "max_risk_per_trade_ppm": 2_500,
        "max_open_positions": 5,
        "daily_loss_limit_ppm": 20_000,
        "min_volume_nanos": 0,
        "max_spread_ppm": 15_000,
        "max_quote_age_ns": 1,
        "entry_timeout_ns": 1,
    }
    return RiskSettings(**{**values, **changes})


def _means(equity: int = 100_000, allocated: int = 0, cash: int | None = None) -> Means:
    return Means(
        start_equity_micros=equity * MICROS,
        allocated_micros=allocated * MICROS,
        cash_micros=(equity if cash is None else cash) * MICROS,
    )


@pytest.mark.parametrize(
    ("means", "changes", "ask", "trail_bps", "qty", "bound"),
    [
        # 250 dollars of risk, 2.5 dollars a share.
        (_means(), {}, 50, 500, 100, "MAX_RISK_PER_TRADE"),
        # A fund of three times the leverage has its stop three times as far away: a third of the shares.
        (_means(), {}, 50, 1_500, 33, "MAX_RISK_PER_TRADE"),
        # 10,000 dollars for each of five positions.
        (_means(), {}, 50, 200, 200, "TOTAL_ALLOCATION / MAX_OPEN_POSITIONS"),
        (_means(allocated=45_000), {}, 50, 200, 100, "what is left of TOTAL_ALLOCATION"),
        (_means(cash=2_525), {}, 50, 200, 50, "the cash in the account"),
        (_means(allocated=50_000), {}, 50, 200, 0, "what is left of TOTAL_ALLOCATION"),
        (_means(allocated=60_000), {}, 50, 200, 0, "what is left of TOTAL_ALLOCATION"),
        (_means(cash=-1), {}, 50, 200, 0, "the cash in the account"),
        (_means(), {"max_open_positions": 1}, 50, 200, 250, "MAX_RISK_PER_TRADE"),
        (_means(10**9), {}, 1, 200, SHARES_MAX, "the largest order of 1,000,000 shares"),
        (_means(0), {}, 50, 200, 0, "no equity, no ask or no stop distance"),
        (_means(-5), {}, 50, 200, 0, "no equity, no ask or no stop distance"),
        (_means(), {}, 0, 200, 0, "no equity, no ask or no stop distance"),
        (_means(), {}, 50, 0, 0, "no equity, no ask or no stop distance"),
    ],
)
def test_size_when_one_bound_is_tightest_then_it_decides(
    means: Means, changes: dict[str, int], ask: int, trail_bps: int, qty: int, bound: str
) -> None:
    sizing = size_entry(_settings(**changes), means, ask_micros=ask * MICROS, trail_bps=trail_bps)
    assert (sizing.qty_shares, sizing.bound) == (qty, bound)


@pytest.mark.parametrize(("leverage", "qty"), [(1, 200), (2, 100), (3, 66)])
def test_size_when_a_fund_is_levered_then_its_exposure_keeps_to_one_share_of_the_allocation(
    leverage: int, qty: int
) -> None:
    sizing = size_entry(_settings(), _means(), ask_micros=50 * MICROS, trail_bps=100, leverage=leverage)
    assert sizing.qty_shares == qty
    assert ("leverage" in sizing.bound) is (leverage > 1)


@given(
    equity=st.integers(-(10**12), 10**15),
    allocated=st.integers(0, 10**15),
    cash=st.integers(-(10**12), 10**15),
    ask=st.integers(0, 2**53),
    trail_bps=st.integers(1, 5000),
    risk_ppm=st.integers(100, 50_000),
    allocation_ppm=st.integers(1_000, 1_000_000),
    positions=st.integers(1, 50),
    leverage=st.integers(1, 3),
)
def test_size_when_anything_then_no_limit_is_broken_and_one_share_more_would(**drawn: Any) -> None:
    settings = _settings(
        max_risk_per_trade_ppm=drawn["risk_ppm"],
        total_allocation_ppm=drawn["allocation_ppm"],
        max_open_positions=drawn["positions"],
    )
    equity, ask, trail = drawn["equity"], drawn["ask"], drawn["trail_bps"]
    means = Means(start_equity_micros=equity, allocated_micros=drawn["allocated"], cash_micros=drawn["cash"])

    leverage = drawn["leverage"]
    qty = size_entry(settings, means, ask_micros=ask, trail_bps=trail, leverage=leverage).qty_shares

    def is_within(shares: int) -> bool:
        cost = shares * ask
        allocation = allocation_limit_micros(settings, equity)
        return (
            cost * trail * 1_000_000 <= equity * drawn["risk_ppm"] * 10_000
            and cost + drawn["allocated"] <= allocation
            and cost * leverage * drawn["positions"] <= allocation
            and cost <= drawn["cash"]
            and shares <= SHARES_MAX
        )

    assert qty >= 0
    assert qty == 0 or is_within(qty)
    assert ask == 0 or equity <= 0 or not is_within(qty + 1)

"""The size of an entry: each bound binds in its turn, and none is ever broken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.messages import MICROS, NANOS
from services.risk.settings import RiskSettings
from services.risk.sizing import FRACTION_STEP_NANOS, Means, Wanted, size_entry


def _settings(world: type[Any], **changes: Any) -> RiskSettings:
    return RiskSettings(**{**world.LIMITS, **changes})


def _means(equity: int = 100_000, allocated: int = 0, cash: int | None = None, power: int | None = None) -> Means:
    return Means(
        start_equity_micros=equity * MICROS,
        allocated_micros=allocated * MICROS,
        cash_micros=(equity if cash is None else cash) * MICROS,
        buying_power_micros=(equity if power is None else power) * MICROS,
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
        (_means(power=1_010), {}, 50, 200, 20, "the account's buying power"),
        (_means(power=-1), {}, 50, 200, 0, "the account's buying power"),
        (_means(10**9), {}, 1, 200, 1_000_000, "MAX_ORDER_SHARES"),
        (_means(), {"order_max_nanos": 7 * NANOS}, 50, 200, 7, "MAX_ORDER_SHARES"),
        (_means(), {"order_notional_max_micros": 999 * MICROS}, 50, 200, 19, "MAX_ORDER_NOTIONAL"),
        (_means(), {"position_per_symbol_ppm": 30_000}, 50, 200, 60, "MAX_POSITION_PER_SYMBOL"),
        (_means(0), {}, 50, 200, 0, "no equity, no ask or no stop distance"),
        (_means(-5), {}, 50, 200, 0, "no equity, no ask or no stop distance"),
        (_means(), {}, 0, 200, 0, "no equity, no ask or no stop distance"),
        (_means(), {}, 50, 0, 0, "no equity, no ask or no stop distance"),
    ],
)
def test_size_when_one_bound_is_tightest_then_it_decides(
    new_world: type[Any], means: Means, changes: dict[str, int], ask: int, trail_bps: int, qty: int, bound: str
) -> None:
    wanted = Wanted(ask_micros=ask * MICROS, trail_bps=trail_bps)
    sizing = size_entry(_settings(new_world, **changes), means, wanted)
    assert (sizing.qty_nanos, sizing.bound) == (qty * NANOS, bound)


@pytest.mark.parametrize(("leverage", "qty"), [(1, 200), (2, 100), (3, 66)])
def test_size_when_a_fund_is_levered_then_its_exposure_keeps_to_one_share_of_the_allocation(
    new_world: type[Any], leverage: int, qty: int
) -> None:
    wanted = Wanted(ask_micros=50 * MICROS, trail_bps=100, leverage=leverage)
    sizing = size_entry(_settings(new_world), _means(), wanted)
    assert sizing.qty_nanos == qty * NANOS
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
    power=st.integers(-(10**12), 10**15),
    held_nanos=st.integers(0, 10**15),
    symbol_ppm=st.integers(1_000, 1_000_000),
    notional=st.integers(10**6, 10**13),
    order_nanos=st.integers(1, 10**6).map(lambda whole: whole * NANOS),
    step=st.sampled_from((NANOS, FRACTION_STEP_NANOS)),
)
def test_size_when_anything_then_no_limit_is_broken_and_one_share_more_would(
    new_world: type[Any], **drawn: Any
) -> None:
    limits = _settings(
        new_world,
        max_risk_per_trade_ppm=drawn["risk_ppm"],
        total_allocation_ppm=drawn["allocation_ppm"],
        max_open_positions=drawn["positions"],
        position_per_symbol_ppm=drawn["symbol_ppm"],
        order_notional_max_micros=drawn["notional"],
        order_max_nanos=drawn["order_nanos"],
    )
    equity, ask, step = drawn["equity"], drawn["ask"], drawn["step"]
    means = Means(
        start_equity_micros=equity,
        allocated_micros=drawn["allocated"],
        cash_micros=drawn["cash"],
        buying_power_micros=drawn["power"],
    )
    wanted = Wanted(
        ask_micros=ask,
        trail_bps=drawn["trail_bps"],
        leverage=drawn["leverage"],
        step_nanos=step,
        symbol_nanos=drawn["held_nanos"],
    )
    qty = size_entry(limits, means, wanted).qty_nanos

    def is_within(nanos: int) -> bool:
        cost = nanos * ask
        allocation = max(equity, 0) * drawn["allocation_ppm"] // 1_000_000
        most_of_symbol = max(equity, 0) * drawn["symbol_ppm"] // 1_000_000
        return (
            cost * drawn["trail_bps"] * 1_000_000 <= equity * drawn["risk_ppm"] * 10_000 * NANOS
            and cost + drawn["allocated"] * NANOS <= allocation * NANOS
            and cost * drawn["leverage"] <= allocation // drawn["positions"] * NANOS
            and cost <= min(drawn["cash"], drawn["power"], drawn["notional"]) * NANOS
            and cost + drawn["held_nanos"] * ask <= most_of_symbol * NANOS
            and nanos <= drawn["order_nanos"]
        )

    assert qty >= 0
    assert qty % step == 0
    assert qty == 0 or is_within(qty)
    assert ask == 0 or equity <= 0 or not is_within(qty + step)

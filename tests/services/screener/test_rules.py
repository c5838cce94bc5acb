"""The rules one by one: what is measured, what the unknown means, what switches a rule off, by part of the day."""

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, Reason, SessionPlanned
from services.screener.rules import not_applied, ratio
from services.screener.screening import Screening
from services.screener.settings import ScreenerSettings
from services.screener.universe import ScanMode, UniverseRow, scan_mode_at

SETTINGS = ScreenerSettings(
    candidates_max=100,
    source="generated",
    data_dir="",
    session_date="2013-10-08",
    symbols=(),
    seed=7,
    price_min_micros=5 * MICROS,
    price_max_micros=1_000 * MICROS,
    gap_max_bps=1_500,
    volume_min_nanos=100_000 * NANOS,
    float_min_shares=0,
)
LISTED = replace(SETTINGS, universe_source="finnhub", mics=("XNYS", "XNAS"), security_types=("Common Stock", "ADR"))
ROW = UniverseRow(
    symbol="ABC",
    prior_close_micros=48 * MICROS,
    prior_volume_nanos=2_000_000 * NANOS,
    price_micros=48_840_000,
    float_shares=50_000,
    day_close_micros=47 * MICROS,
    day_volume_nanos=90_000 * NANOS,
    mic="XNYS",
    security_type="Common Stock",
)


def reasons(row: UniverseRow, settings: ScreenerSettings, mode: ScanMode = "pre-market") -> dict[str, Reason]:
    screening = Screening((row,), settings, mode)
    found = [*screening.candidates(), *screening.rejections()]
    assert len(found) == 1
    assert (screening.candidates_total, screening.rejected_total) in {(1, 0), (0, 1)}
    return {reason.rule: reason for reason in found[0].reasons}


LIMITS = {
    "gap_min": {"gap_min_bps": 175},
    "float_max": {"float_max_shares": 50_000},
    "market_cap_min": {"market_cap_min_dollars": 300_000_000},
    "market_cap_max": {"market_cap_max_dollars": 300_000_000},
    "pe_max": {"pe_max_milli": 25_000},
    "debt_to_equity_max": {"debt_to_equity_max_milli": 1_500},
}


@pytest.mark.parametrize(
    ("rule", "change", "value", "passed"),
    [
        ("gap_min", {}, "1.75 %", True),
        ("gap_min", {"price_micros": 48_839_999}, "1.74 %", False),
        ("gap_min", {"price_micros": 40 * MICROS}, "16.66 %", True),
        ("gap_min", {"price_micros": 0}, "unknown", False),
        ("float_max", {}, "50,000 shares", True),
        ("float_max", {"float_shares": 50_001}, "50,001 shares", False),
        ("float_max", {"float_shares": 0}, "unknown", True),
        ("float_max", {"float_shares": 0, "shares_outstanding": 60_000}, "60,000 shares outstanding", False),
        ("float_max", {"float_shares": 40_000, "shares_outstanding": 60_000}, "40,000 shares", True),
        ("market_cap_min", {"market_cap_dollars": 300_000_000}, "$300,000,000", True),
        ("market_cap_min", {"market_cap_dollars": 299_999_999}, "$299,999,999", False),
        ("market_cap_min", {}, "unknown", False),
        ("market_cap_max", {"market_cap_dollars": 300_000_000}, "$300,000,000", True),
        ("market_cap_max", {"market_cap_dollars": 300_000_001}, "$300,000,001", False),
        ("market_cap_max", {}, "unknown", False),
        ("pe_max", {"pe_milli": 25_000}, "25.00", True),
        ("pe_max", {"pe_milli": 25_001}, "25.001", False),
        ("pe_max", {"pe_milli": -4_000}, "-4.00", False),
        ("pe_max", {}, "unknown", False),
        ("debt_to_equity_max", {"debt_to_equity_milli": 0}, "0.00", True),
        ("debt_to_equity_max", {"debt_to_equity_milli": 1_500}, "1.50", True),
        ("debt_to_equity_max", {"debt_to_equity_milli": 1_501}, "1.501", False),
        ("debt_to_equity_max", {"debt_to_equity_milli": -10}, "-0.01", False),
        ("debt_to_equity_max", {}, "unknown", False),
    ],
)
def test_a_limit_when_set_then_it_measures_and_says_so(
    rule: str, change: dict[str, int], value: str, passed: bool
) -> None:
    found = reasons(replace(ROW, **change), replace(SETTINGS, **LIMITS[rule]))[rule]
    assert (found.value, found.passed) == (value, passed)


def test_limits_when_not_set_then_each_is_named_with_its_setting() -> None:
    assert set(reasons(ROW, SETTINGS)) == {"price_min", "price_max", "gap", "volume", "float"}
    said = not_applied(SETTINGS)
    assert [line.split(" ")[0] for line in said] == [
        "exchange",
        "type",
        "gap_min",
        "float_max",
        "market_cap_min",
        "market_cap_max",
        "pe_max",
        "debt_to_equity_max",
        "block_list",
    ]
    assert "pe_max is not applied: SCREENER_PE_MAX is empty" in said


def test_limits_when_all_are_set_then_none_is_left_out() -> None:
    every = replace(LISTED, block_list=("XYZ",), **{k: v for limit in LIMITS.values() for k, v in limit.items()})
    assert not_applied(every) == ()
    assert len(reasons(ROW, every)) == 14


@pytest.mark.parametrize(
    ("rule", "change", "value", "passed"),
    [
        ("exchange", {}, "XNYS", True),
        ("exchange", {"mic": "OOTC"}, "OOTC", False),
        ("exchange", {"mic": ""}, "not in the universe", False),
        ("type", {"security_type": "ADR"}, "ADR", True),
        ("type", {"security_type": "Unit"}, "Unit", False),
        ("type", {"security_type": ""}, "not in the universe", False),
        ("block_list", {}, "ABC", True),
        ("block_list", {"symbol": "BAD.A"}, "BAD.A", False),
    ],
)
def test_a_listing_rule_when_the_universe_is_known_then_it_measures_and_says_so(
    rule: str, change: dict[str, str], value: str, passed: bool
) -> None:
    found = reasons(replace(ROW, **change), replace(LISTED, block_list=("BAD.A",)))[rule]
    assert (found.value, found.passed) == (value, passed)


def test_intraday_when_screened_then_the_day_so_far_counts_and_the_gap_is_from_the_prior_close() -> None:
    found = reasons(ROW, SETTINGS, "intraday")
    assert (found["volume"].value, found["volume"].passed) == ("90,000 shares today", False)
    assert found["gap"].value == "+1.75 %"


def test_after_hours_when_screened_then_the_gap_is_from_the_days_close() -> None:
    found = reasons(replace(ROW, day_volume_nanos=100_000 * NANOS), SETTINGS, "after-hours")
    assert (found["volume"].value, found["volume"].passed) == ("100,000 shares today", True)
    assert found["gap"].value == "+3.92 %"


@pytest.mark.parametrize(("mode", "passed"), [("pre-market", True), ("intraday", False), ("after-hours", False)])
def test_volume_when_unknown_then_only_the_day_before_is_taken_on_trust(mode: ScanMode, passed: bool) -> None:
    found = reasons(replace(ROW, prior_volume_nanos=0, day_volume_nanos=0), SETTINGS, mode)["volume"]
    assert (found.value, found.passed) == ("unknown", passed)


def test_after_hours_when_the_days_close_is_unknown_then_the_gap_fails() -> None:
    found = reasons(replace(ROW, day_close_micros=0), SETTINGS, "after-hours")["gap"]
    assert (found.value, found.passed) == ("unknown", False)


def test_scan_mode_when_the_time_moves_then_it_follows_the_plan() -> None:
    plan = SessionPlanned(
        ts_event=1,
        ts_init=1,
        session_date="2013-10-08",
        open_ns=10,
        close_ns=20,
        is_half_day=False,
        is_trading_day=True,
        start_open_ns=10,
        start_mid_ns=11,
        start_close_ns=12,
        flatten_ns=19,
    )
    assert [scan_mode_at(plan, now) for now in (9, 10, 19, 20)] == [
        "pre-market",
        "intraday",
        "intraday",
        "after-hours",
    ]
    assert scan_mode_at(replace(plan, is_trading_day=False), 30) == "pre-market"


@pytest.mark.parametrize(("milli", "said"), [(0, "0.00"), (796, "0.796"), (37_000, "37.00"), (-1_250, "-1.25")])
def test_ratio_when_written_then_it_is_exact(milli: int, said: str) -> None:
    assert ratio(milli) == said

"""The choice of a put: each rule in its turn, ties, and the real chain of GOOG on its half-day."""

import csv
import io
import random
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.messages import MICROS, Reason
from config.env_bot import parse, proposals
from services.strategy.puts import PutContract, choose_put
from services.strategy.settings import PutRules

OPTIONS = (Path(__file__).resolve().parents[3] / "../shared/data/lean/option/usa").resolve()
RULES = PutRules(
    expiry_days_min=7, expiry_days_max=45, delta_target_ppm=500_000, open_interest_min=100, spread_max_ppm=100_000
)
DAY = "2015-12-24"


def put(symbol: str = "P1", **changes: Any) -> PutContract:
    sound = PutContract(
        symbol=symbol,
        expiry="2016-01-15",
        strike_micros=750 * MICROS,
        bid_micros=15 * MICROS,
        ask_micros=15_500_000,
        open_interest=500,
        delta_ppm=500_000,
    )
    return replace(sound, **changes)


def chosen(*contracts: PutContract, underlying: int = 750 * MICROS, **rules: Any) -> Any:
    return choose_put(contracts, replace(RULES, **rules), session_date=DAY, underlying_micros=underlying)


def test_rules_when_read_from_the_settings_then_scaled() -> None:
    env = parse(proposals() | {"PUT_DELTA_TARGET": "0.4", "PUT_SPREAD_MAX": "7.5"})
    assert PutRules.from_env(env) == replace(RULES, delta_target_ppm=400_000, spread_max_ppm=75_000)


def test_put_when_it_passes_every_rule_then_chosen_with_the_numbers() -> None:
    choice = chosen(put())
    assert choice.chosen == put()
    assert [(reason.rule, reason.value, reason.threshold) for reason in choice.reasons] == [
        ("expiry_min", "22 days", "at least 7"),
        ("expiry_max", "22 days", "at most 45"),
        ("open_interest", "500 contracts", "at least 100"),
        ("two_sided", "bid $15.00, ask $15.50", "a bid below an ask"),
        ("spread", "3.2258 % of $15.50", "at most 10.00 %"),
        ("delta", "delta 0.5", "nearest to 0.5"),
    ]
    assert all(reason.passed for reason in choice.reasons)


@pytest.mark.parametrize(
    ("change", "rule", "value"),
    [
        ({"expiry": "2015-12-30"}, "expiry_min", "6 days"),
        ({"expiry": "2015-12-23"}, "expiry_min", "-1 days"),
        ({"expiry": "2016-02-08"}, "expiry_max", "46 days"),
        ({"open_interest": 99}, "open_interest", "99 contracts"),
        ({"open_interest": None}, "open_interest", "unknown"),
        ({"bid_micros": 0}, "two_sided", "bid $0.00, ask $15.50"),
        ({"ask_micros": 0}, "two_sided", "bid $15.00, ask $0.00"),
        ({"bid_micros": 15_500_000}, "two_sided", "bid $15.50, ask $15.50"),
        ({"bid_micros": 13_949_999}, "spread", "10.00 % of $15.50"),
        ({"delta_ppm": None}, "delta", "unknown"),
        ({"delta_ppm": 510_001}, "delta", "delta 0.51"),
    ],
)
def test_put_when_it_breaks_a_rule_then_rejected_by_it(change: dict[str, Any], rule: str, value: str) -> None:
    bad = put("BAD", **change)
    choice = chosen(bad, put("GOOD", delta_ppm=510_000))
    assert choice.chosen.symbol == "GOOD"
    (rejected,) = choice.rejected
    assert (rejected.symbol, rejected.reason.rule, rejected.reason.value) == ("BAD", rule, value)
    assert not rejected.reason.passed


@pytest.mark.parametrize(
    "edge",
    [
        {"expiry": "2015-12-31"},
        {"expiry": "2016-02-07"},
        {"open_interest": 100},
        {"bid_micros": 13_950_000},
    ],
)
def test_put_when_exactly_at_a_limit_then_it_passes(edge: dict[str, Any]) -> None:
    assert chosen(put(**edge)).chosen is not None


def test_delta_when_absent_everywhere_then_the_strike_stands_for_it() -> None:
    chain = [put(f"P{strike}", strike_micros=strike * MICROS, delta_ppm=None) for strike in (700, 735, 750, 765)]
    for target, expected in ((500_000, "P750"), (400_000, "P735"), (620_000, "P765"), (150_000, "P700")):
        choice = chosen(*chain, delta_target_ppm=target)
        assert choice.chosen.symbol == expected
        assert choice.reasons[-1].rule == "moneyness"
        assert {one.reason.rule for one in choice.rejected} == {"moneyness"}


def test_delta_and_price_when_both_are_unknown_then_none_is_chosen_and_it_is_said() -> None:
    choice = chosen(put(delta_ppm=None), underlying=0)
    assert choice.chosen is None
    assert choice.rejected[0].reason == Reason(
        rule="moneyness",
        value="the underlying's price is unknown",
        threshold="a price, where there is no delta",
        passed=False,
    )


def test_chain_when_empty_then_none() -> None:
    assert chosen() == choose_put((), RULES, session_date=DAY, underlying_micros=1)
    assert chosen().chosen is None


@pytest.mark.parametrize(
    "better",
    [
        {"bid_micros": 15_100_000},
        {"expiry": "2016-01-08"},
        {"open_interest": 501},
        {"strike_micros": 749 * MICROS},
        {"symbol": "A"},
    ],
)
def test_tie_when_two_are_as_near_then_one_rule_decides_whatever_the_order(better: dict[str, Any]) -> None:
    first, second = put("B"), put(**({"symbol": "C"} | better))
    for chain in ([first, second], [second, first]):
        choice = chosen(*chain)
        assert choice.chosen == second
        assert choice.rejected[0].reason.rule == "tie"


contracts = st.builds(
    PutContract,
    symbol=st.uuids().map(str),
    expiry=st.dates(date(2015, 12, 20), date(2016, 3, 1)).map(date.isoformat),
    strike_micros=st.integers(1, 2_000 * MICROS),
    bid_micros=st.integers(0, 60 * MICROS),
    ask_micros=st.integers(0, 60 * MICROS),
    open_interest=st.none() | st.integers(0, 1_000),
    delta_ppm=st.none() | st.integers(0, 1_000_000),
)


@given(chain=st.lists(contracts, max_size=12, unique_by=lambda one: one.symbol), seed=st.integers(0, 9))
def test_choice_when_the_chain_is_anything_then_explained_whole_and_independent_of_its_order(
    chain: list[PutContract], seed: int
) -> None:
    choice = chosen(*chain)
    said = {one.symbol for one in choice.rejected} | ({choice.chosen.symbol} if choice.chosen else set())
    assert said == {one.symbol for one in chain}
    assert all(reason.passed for reason in choice.reasons)
    assert not any(one.reason.passed for one in choice.rejected)
    shuffled = random.Random(seed).sample(chain, len(chain))
    assert chosen(*shuffled).chosen == choice.chosen


# --- the real chain -----


def micros(text: str) -> int:
    return int(text) * 100 if text else 0


def real_chain(minute: int, deltas: dict[tuple[str, int], int]) -> list[PutContract]:
    """Return GOOG's puts with their last quote up to a minute since midnight, and the morning's open interest."""
    interests = {}
    with zipfile.ZipFile(OPTIONS / "minute/goog/20151224_openinterest_american.zip") as archive:
        for name in archive.namelist():
            text = archive.read(name).decode().strip()
            interests[name.split("american_")[1]] = int(text.split(",")[1]) if text else None
    chain = []
    with zipfile.ZipFile(OPTIONS / "minute/goog/20151224_quote_american.zip") as archive:
        for name in archive.namelist():
            _, right, strike, expiry = name.removesuffix(".csv").rsplit("_", 3)
            if right != "put":
                continue
            rows = csv.reader(io.StringIO(archive.read(name).decode()))
            seen = [row for row in rows if int(row[0]) <= minute * 60_000]
            last = seen[-1] if seen else [""] * 11
            day = f"{expiry[:4]}-{expiry[4:6]}-{expiry[6:]}"
            chain.append(
                PutContract(
                    symbol=f"GOOG {expiry} P {int(strike) // 10_000}",
                    expiry=day,
                    strike_micros=int(strike) * 100,
                    bid_micros=micros(last[4]),
                    ask_micros=micros(last[9]),
                    open_interest=interests.get(name.split("american_")[1]),
                    delta_ppm=deltas.get((day, int(strike) * 100)),
                )
            )
    return chain


def real_deltas() -> dict[tuple[str, int], int]:
    """Return the deltas that were known before the day, of the contracts that have one."""
    found = {}
    with (OPTIONS / "universes/goog/20151224.csv").open(encoding="utf-8") as file:
        for row in csv.reader(file):
            if len(row) > 10 and row[2] == "P" and row[10] and float(row[10]):
                day = f"{row[0][:4]}-{row[0][4:6]}-{row[0][6:]}"
                found[day, round(float(row[1]) * MICROS)] = round(abs(float(row[10])) * 1_000_000)
    return found


def test_real_chain_when_a_put_is_wanted_then_the_naive_choice_by_delta_and_by_strike() -> None:
    if not OPTIONS.is_dir():
        return
    eleven = 11 * 60
    for deltas in (real_deltas(), {}):
        chain = real_chain(eleven, deltas)
        choice = choose_put(chain, RULES, session_date=DAY, underlying_micros=748 * MICROS)
        assert len(chain) == 1_096 == len(choice.rejected) + 1
        best = choice.chosen
        assert best is not None
        assert 7 <= (date.fromisoformat(best.expiry) - date(2015, 12, 24)).days <= 45
        assert 0 < best.bid_micros < best.ask_micros
        assert (best.ask_micros - best.bid_micros) / best.ask_micros <= 0.1
        assert (best.open_interest or 0) >= 100
        rivals = [
            one
            for one in chain
            if "2015-12-31" <= one.expiry <= "2016-02-07"
            and 0 < one.bid_micros < one.ask_micros
            and (one.ask_micros - one.bid_micros) / one.ask_micros <= 0.1
            and (one.open_interest or 0) >= 100
        ]
        assert len(rivals) > 5
        if deltas:
            known = [one for one in rivals if one.delta_ppm is not None]
            assert known
            assert abs(best.delta_ppm - 500_000) == min(abs(one.delta_ppm - 500_000) for one in known)
        else:
            away = min(abs(one.strike_micros - 748 * MICROS) for one in rivals)
            assert abs(best.strike_micros - 748 * MICROS) == away

"""The screening of all names at once against a plain one, name by name; sizes, orders and extremes."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.codec import encode_message
from bus.messages import MICROS, NANOS
from services.screener.columns import UNKNOWN, columns_of
from services.screener.core import rank
from services.screener.screening import Screening
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded, UniverseRow

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
    float_min_shares=1_000,
    gap_min_bps=50,
    float_max_shares=10**9,
    market_cap_max_dollars=10**10,
)
PRICES = st.one_of(st.sampled_from([0, 1, 2**53]), st.integers(4_000_000, 60_000_000))
ROWS = st.builds(
    UniverseRow,
    symbol=st.text("ABCXYZ", min_size=1, max_size=4),
    prior_close_micros=PRICES,
    prior_volume_nanos=st.sampled_from([0, 99_999 * NANOS, 100_000 * NANOS, 2**62]),
    price_micros=PRICES,
    float_shares=st.sampled_from([0, 999, 1_000, 10**9, 10**9 + 1]),
    shares_outstanding=st.sampled_from([0, 500, 5_000]),
    market_cap_dollars=st.sampled_from([0, 1, 10**10, 10**10 + 1]),
)


def _gap(row: UniverseRow) -> Fraction | None:
    if not row.price_micros or not row.prior_close_micros:
        return None
    return Fraction(row.price_micros - row.prior_close_micros, row.prior_close_micros)


def plain_passes(row: UniverseRow) -> bool:
    gap = _gap(row)
    shares = row.float_shares or row.shares_outstanding
    return (
        5_000_000 <= row.price_micros <= 1_000_000_000
        and gap is not None
        and Fraction("0.005") <= abs(gap) <= Fraction("0.15")
        and (not row.prior_volume_nanos or row.prior_volume_nanos >= 100_000 * NANOS)
        and (not shares or 1_000 <= shares <= 10**9)
        and 0 < row.market_cap_dollars <= 10**10
    )


@given(st.lists(ROWS, max_size=30, unique_by=lambda row: row.symbol))
def test_screening_when_compared_with_a_plain_loop_then_the_same_names_pass_in_the_same_order(
    rows: list[UniverseRow],
) -> None:
    screening = Screening(rows, SETTINGS, "pre-market")
    passed = [row for row in rows if plain_passes(row)]
    expected = sorted(
        passed, key=lambda row: (-ceil(abs(_gap(row) or 0) * 10_000), -row.prior_volume_nanos, row.symbol)
    )
    assert [one.symbol for one in screening.candidates()] == [row.symbol for row in expected]
    out = list(screening.rejections())
    assert [one.symbol for one in out] == sorted(row.symbol for row in rows if not plain_passes(row))
    assert all(any(not reason.passed for reason in one.reasons) for one in out)


@pytest.mark.parametrize(
    ("price", "prior", "signed", "size"),
    [
        (2**53, 1, 2**62, 2**62),
        (1, 2**53, -10_000, 9_999),
        (2**53, 2**53 - 1, 1, 0),
        (10_001, 10_000, 1, 1),
        (100, 100, 0, 0),
    ],
)
def test_gap_when_prices_are_extreme_then_it_never_wraps_around(price: int, prior: int, signed: int, size: int) -> None:
    row = UniverseRow(symbol="A", prior_close_micros=prior, prior_volume_nanos=0, price_micros=price, float_shares=0)
    numbers = columns_of((row,), "pre-market").numbers
    assert (numbers["gap"].tolist(), numbers["gap_at_least"].tolist()) == ([signed], [size])


def test_gap_when_a_price_is_unknown_then_so_is_the_gap() -> None:
    row = UniverseRow(symbol="A", prior_close_micros=0, prior_volume_nanos=0, price_micros=5, float_shares=0)
    assert columns_of((row,), "pre-market").numbers["gap"].tolist() == [UNKNOWN]


def _many(count: int) -> tuple[UniverseRow, ...]:
    return tuple(
        UniverseRow(
            symbol=f"A{number:05d}",
            prior_close_micros=48 * MICROS,
            prior_volume_nanos=(200_000 + number) * NANOS,
            price_micros=49 * MICROS,
            float_shares=5_000_000,
            market_cap_dollars=10**9 * (1 + number % 12),
            pe_milli=20_000,
            debt_to_equity_milli=700,
            mic="XNYS",
            security_type="Common Stock",
        )
        for number in range(count)
    )


EVERY = replace(
    SETTINGS,
    market_cap_min_dollars=1,
    pe_max_milli=30_000,
    debt_to_equity_max_milli=2_000,
    universe_source="finnhub",
    mics=("XNYS", "XNAS", "XASE", "ARCX", "BATS"),
    security_types=("Common Stock", "ADR", "ETP"),
    block_list=("BAD",),
)


def test_rank_when_every_rule_is_set_then_the_list_fits_one_frame_and_says_all_names() -> None:
    universe = UniverseLoaded(ts_event=1, ts_init=1, session_date="2013-10-08", source="made", rows=_many(7_200))
    said = rank(universe, EVERY, 2)
    assert encode_message(said)
    assert (len(said.candidates), len(said.rejected), said.rejected_total) == (100, 50, 7_100)
    # What does not fit is left out evenly, from the last rule on; what a rejected name failed is always there.
    assert {tuple(reason.rule for reason in one.reasons[:6]) for one in said.candidates} == {
        ("price_min", "price_max", "gap", "gap_min", "volume", "float")
    }
    assert all(one.reasons and not any(reason.passed for reason in one.reasons) for one in said.rejected)


def test_failures_when_counted_then_each_rule_has_its_names() -> None:
    screening = Screening(_many(240), EVERY, "pre-market")
    assert screening.failures() | {"rank": 0, "market_cap_max": 0} == dict.fromkeys(screening.failures(), 0)
    assert screening.failures()["market_cap_max"] == 40
    assert screening.failures()["rank"] == 100

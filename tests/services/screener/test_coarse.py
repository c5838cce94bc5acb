"""LEAN's coarse universe: small files made here, and the real ones against an independent query in SQL."""

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.assembly import CannotStartError
from bus.messages import MICROS, NANOS
from services.screener.coarse import coarse_rows, read_coarse
from services.screener.screening import Screening
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseRow

REAL = (Path(__file__).resolve().parents[3] / "../shared/data/lean/equity/usa/fundamental/coarse").resolve()
SETTINGS = ScreenerSettings(
    candidates_max=100,
    source="recorded",
    data_dir="",
    session_date="2014-03-25",
    symbols=(),
    seed=0,
    price_min_micros=5 * MICROS,
    price_max_micros=1_000 * MICROS,
    gap_max_bps=1_500,
    volume_min_nanos=100_000 * NANOS,
    float_min_shares=0,
)


def day(tmp_path: Path, *lines: str, name: str = "20140325.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_coarse_when_one_day_is_read_then_it_is_the_day_before(tmp_path: Path) -> None:
    rows = coarse_rows(
        read_coarse(day(tmp_path, "B X,BBB,12.01,200,2402,False,1,1", "A X,AA,55.26,100,5526,True,0.7,1"))
    )
    assert rows == (
        UniverseRow(
            symbol="AA",
            prior_close_micros=55_260_000,
            prior_volume_nanos=100 * NANOS,
            price_micros=55_260_000,
            float_shares=0,
        ),
        UniverseRow(
            symbol="BBB",
            prior_close_micros=12_010_000,
            prior_volume_nanos=200 * NANOS,
            price_micros=12_010_000,
            float_shares=0,
        ),
    )


def test_coarse_when_two_days_are_read_then_the_same_security_is_found_and_splits_are_taken_out(tmp_path: Path) -> None:
    before = read_coarse(day(tmp_path, "A X,OLD,90,100,9000,True,1,0.5", "B X,BBB,7,5,35,True,1,1", name="a.csv"))
    after = read_coarse(day(tmp_path, "A X,NEW,46,300,13800,True,1,1", "C X,CCC,3,9,27,True,1,1", name="b.csv"))
    known, unknown = sorted(coarse_rows(after, before), key=lambda row: -row.prior_close_micros)
    assert (known.symbol, known.prior_close_micros, known.prior_volume_nanos) == ("NEW", 45 * MICROS, 200 * NANOS)
    assert (known.price_micros, known.day_close_micros, known.day_volume_nanos) == (
        46 * MICROS,
        46 * MICROS,
        300 * NANOS,
    )
    assert (unknown.symbol, unknown.prior_close_micros, unknown.prior_volume_nanos) == ("CCC", 0, 0)


def test_coarse_when_a_symbol_stands_twice_then_the_most_traded_counts(tmp_path: Path) -> None:
    (line,) = read_coarse(
        day(tmp_path, "A X,BIN,5,10,50,True,1,1", "B X,BIN,6,30,180,True,1,1", "C X,BIN,7,20,1,True,1,1")
    )
    assert (line.security_id, line.volume_shares) == ("B X", 30)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("A X,AA,55.26,100,5526,True,1", "7 fields and must have 8"),
        ("A X,aa,55.26,100,5526,True,1,1", "'aa' is not a symbol"),
        ("A X,AA,-5,100,5526,True,1,1", "'-5' is not a number"),
        ("A X,AA,NaN,100,5526,True,1,1", "'NaN' is not a number"),
        ("A X,AA,55,1.5,5526,True,1,1", "'1.5' is not a number of whole shares"),
        ("A X,AA,0.00000055,15,5526,True,1,1", "too large or too fine"),
        ("A X,AA,999999999999,15,5526,True,1,1", "too large or too fine"),
        ("A X,AA,55,15,5526,True,1,0", "split factor is zero"),
    ],
)
def test_coarse_when_a_line_is_malformed_then_says_file_line_and_why(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(CannotStartError) as caught:
        read_coarse(day(tmp_path, "A X,AA,55.26,100,5526,True,1,1", line))
    assert says in str(caught.value)
    assert "20140325.csv is malformed in line 2" in str(caught.value)


def test_coarse_when_the_file_is_missing_then_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="No such file"):
        read_coarse(tmp_path / "none.csv")


#: Written without the screener: prices in cents and gaps by cross-multiplication, in SQLite.
SELECTION = """
WITH today AS (
    SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY volume DESC) AS nth FROM day WHERE file = 'after'
), yesterday AS (
    SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY volume DESC) AS nth FROM day WHERE file = 'before'
), both AS (
    SELECT t.symbol, t.cents, t.volume, y.cents AS was, abs(t.cents - y.cents) AS moved
    FROM today t JOIN yesterday y ON y.sid = t.sid AND y.nth = 1 WHERE t.nth = 1
)
SELECT symbol FROM both
WHERE cents BETWEEN :low AND :high AND volume >= :volume
  AND moved * 10000 <= :gap_max * was AND moved * 10000 >= :gap_min * was AND symbol NOT IN ('FB', 'AAPL')
ORDER BY (moved * 10000 + was - 1) / was DESC, volume DESC, symbol
"""


def selected_by_sql(limits: dict[str, int]) -> list[str]:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE day (file TEXT, sid TEXT, symbol TEXT, cents INTEGER, volume INTEGER)")
    for file, name in (("before", "20140324.csv"), ("after", "20140325.csv")):
        for line in (REAL / name).read_text().splitlines():
            sid, symbol, close, volume = line.split(",")[:4]
            whole, _, part = close.partition(".")
            cents = int(whole) * 100 + int(part.ljust(2, "0") or 0)
            db.execute("INSERT INTO day VALUES (?, ?, ?, ?, ?)", (file, sid, symbol, cents, int(volume)))
    found = [row[0] for row in db.execute(SELECTION, limits)]
    db.close()
    return found


if REAL.is_dir():

    @pytest.mark.parametrize(
        ("low", "high", "volume", "gap_min", "gap_max"),
        [
            (500, 100_000, 100_000, 0, 1_500),
            (500, 100_000, 1_000_000, 200, 1_500),
            (100, 2_000, 500_000, 500, 10_000),
            (2_000, 6_000, 0, 100, 300),
        ],
    )
    def test_real_universe_when_screened_then_the_selection_is_that_of_an_independent_query(
        low: int, high: int, volume: int, gap_min: int, gap_max: int
    ) -> None:
        settings = replace(
            SETTINGS,
            price_min_micros=low * 10_000,
            price_max_micros=high * 10_000,
            volume_min_nanos=volume * NANOS,
            gap_min_bps=gap_min,
            gap_max_bps=gap_max,
            block_list=("FB", "AAPL"),
        )
        rows = coarse_rows(read_coarse(REAL / "20140325.csv"), read_coarse(REAL / "20140324.csv"))
        screening = Screening(rows, settings, "intraday")
        limits = {"low": low, "high": high, "volume": volume, "gap_min": gap_min, "gap_max": gap_max}
        expected = selected_by_sql(limits)
        places = {each.symbol: each for each in screening.candidates()}
        assert list(places) == expected[:100]
        out = {one.symbol: one for one in screening.rejections(only_failed=True)}
        no_place = [one for one in out.values() if [reason.rule for reason in one.reasons] == ["rank"]]
        assert {one.symbol for one in no_place} == set(expected[100:])
        assert len(rows) == len(places) + len(out) == 7_061
        assert all(one.reasons for one in out.values())

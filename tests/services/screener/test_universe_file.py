"""The universe file: what is refused in words, and that a refusing disk leaves the old one; the cache of answers."""

import json
import sqlite3
from pathlib import Path

import pytest

from config.vault import Disk
from services.screener.finnhub_answers import ListedName
from services.screener.universe import UniverseRow
from services.screener.universe_cache import UniverseCache, UniverseCacheError, due
from services.screener.universe_file import (
    Fundamentals,
    Universe,
    UniverseFileError,
    UniverseName,
    joined,
    read_universe,
    write_universe,
)

NOW_S = 1_790_000_000
DAY_S = 86_400
UNIVERSE = Universe(
    format=1,
    source="made here",
    listed_at_s=NOW_S,
    built_at_s=NOW_S,
    mics=("XNYS",),
    security_types=("Common Stock",),
    listed_total=3,
    names=(
        UniverseName(symbol="AA", mic="XNYS", security_type="Common Stock"),
        UniverseName(
            symbol="BB",
            mic="XNYS",
            security_type="Common Stock",
            fundamentals=Fundamentals(
                shares_outstanding=5, market_cap_dollars=6, pe_milli=7, debt_to_equity_milli=0, fetched_at_s=NOW_S
            ),
        ),
    ),
)


def test_file_when_written_then_it_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "universe.json"
    digest = write_universe(path, UNIVERSE)
    assert read_universe(path, now_s=NOW_S + 7 * DAY_S, age_days_max=7) == UNIVERSE
    assert json.loads(path.read_text())["sha256"] == digest
    assert (path.stat().st_mode & 0o777) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["universe.json"]


def test_file_when_missing_then_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(UniverseFileError, match=r"universe.json does not exist. Build it with .*build-universe"):
        read_universe(tmp_path / "universe.json", now_s=NOW_S, age_days_max=7)


def test_file_when_any_byte_is_cut_or_changed_then_it_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "universe.json"
    write_universe(path, UNIVERSE)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        for broken in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(broken)
            with pytest.raises(UniverseFileError, match=r"universe.json is damaged.*build-universe"):
                read_universe(path, now_s=NOW_S, age_days_max=7)


def test_file_when_nested_without_end_then_it_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "universe.json"
    path.write_bytes(b'{"sha256":"","universe":' + b"[" * 100_000)
    with pytest.raises(UniverseFileError, match="damaged"):
        read_universe(path, now_s=NOW_S, age_days_max=7)


@pytest.mark.parametrize(
    ("now_s", "says"),
    [
        (NOW_S + 7 * DAY_S + DAY_S, "2026-09-21T14:13:20Z, 8 days ago; UNIVERSE_MAX_AGE allows 7"),
        (NOW_S - DAY_S - 1, "still to come. Look at this machine's clock"),
    ],
)
def test_file_when_too_old_or_from_the_future_then_it_is_refused_in_words(
    tmp_path: Path, now_s: int, says: str
) -> None:
    path = tmp_path / "universe.json"
    write_universe(path, UNIVERSE)
    with pytest.raises(UniverseFileError, match=says):
        read_universe(path, now_s=now_s, age_days_max=7)


class RefusingDisk(Disk):
    """Refuses one operation, by its number from 0."""

    def __init__(self, refused: int) -> None:
        self._left = refused

    def _count(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise OSError(28, "No space left on device")

    def write_file(self, path: Path, content: bytes) -> None:
        self._count()
        super().write_file(path, content)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)


@pytest.mark.parametrize("refused", [0, 1])
def test_file_when_the_disk_refuses_a_step_then_the_old_one_is_whole(tmp_path: Path, refused: int) -> None:
    path = tmp_path / "universe.json"
    old = Universe(**{**{f: getattr(UNIVERSE, f) for f in UNIVERSE.__struct_fields__}, "source": "old"})
    write_universe(path, old)
    with pytest.raises(OSError, match="No space"):
        write_universe(path, UNIVERSE, RefusingDisk(refused))
    assert read_universe(path, now_s=NOW_S, age_days_max=7) == old


def test_joined_when_a_name_is_listed_then_its_facts_are_added_and_else_nothing() -> None:
    rows = tuple(
        UniverseRow(symbol=symbol, prior_close_micros=1, prior_volume_nanos=2, price_micros=3, float_shares=4)
        for symbol in ("BB", "ZZ")
    )
    listed, other = joined(rows, UNIVERSE)
    assert (listed.mic, listed.shares_outstanding, listed.market_cap_dollars) == ("XNYS", 5, 6)
    assert (listed.pe_milli, listed.debt_to_equity_milli, listed.price_micros) == (7, 0, 3)
    assert other == rows[1]


def test_cache_when_opened_again_then_all_is_there(tmp_path: Path) -> None:
    cache = UniverseCache(tmp_path / "cache.db")
    assert (cache.listed_at_s(), cache.names(), cache.fundamentals()) == (0, (), {})
    twice = ListedName(symbol="AA", mic="XNYS", type="Common Stock")
    cache.put_names([twice, ListedName(symbol="AA", mic="OOTC"), ListedName(symbol="A", mic="XNAS")], NOW_S)
    known = Fundamentals(fetched_at_s=NOW_S, shares_outstanding=5, pe_milli=-7)
    cache.put("AA", known)
    cache.close()
    again = UniverseCache(tmp_path / "cache.db")
    assert again.listed_at_s() == NOW_S
    assert again.names() == (ListedName(symbol="A", mic="XNAS"), twice)
    assert again.fundamentals() == {"AA": known}
    again.put_names([], NOW_S + 1)
    assert (again.listed_at_s(), again.names()) == (NOW_S + 1, ())
    again.close()


def test_cache_when_damaged_or_of_another_version_then_says_what_to_do(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(UniverseCacheError, match=r"damaged.db is damaged.*Delete it"):
        UniverseCache(damaged)
    newer = tmp_path / "newer.db"
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(UniverseCacheError, match=r"another version of the bot \(9, this one reads 1\)"):
        UniverseCache(newer)
    with pytest.raises(UniverseCacheError, match=r"cannot be used: unable to open"):
        UniverseCache(tmp_path / "no such folder" / "cache.db")


def test_due_when_some_are_stale_then_never_asked_comes_first_and_then_the_oldest() -> None:
    known = {
        "FRESH": Fundamentals(fetched_at_s=NOW_S - 10),
        "OLD": Fundamentals(fetched_at_s=NOW_S - 101),
        "OLDER": Fundamentals(fetched_at_s=NOW_S - 200),
        "AHEAD": Fundamentals(fetched_at_s=NOW_S + 1),
    }
    names = ["OLD", "FRESH", "NEW", "OLDER", "ALSO", "AHEAD"]
    assert due(names, known, now_s=NOW_S, age_s_max=100) == ["ALSO", "NEW", "OLDER", "OLD", "AHEAD"]

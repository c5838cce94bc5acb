"""Columns and the screener's days: what is played is the same, there and back."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from bus.calendar import plan_session, read_exchange_day
from config.env_bot import parse, proposals
from replay.faults import ReplayError
from replay.sources.columns import DayColumns, day_columns, market_day
from replay.sources.port import GeneratedSource, open_lean
from services.screener.generator import generate
from services.screener.lean import LeanFolder
from services.screener.steps import MarketDay, messages

LEAN = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "lean"
PLAN = plan_session(read_exchange_day("2013-10-08"), parse(proposals()), 0)
DAYS: list[MarketDay] = [generate(PLAN, 7)] + ([LeanFolder(LEAN).load(PLAN, ())] if LEAN.is_dir() else [])


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.source[:9])
def test_a_day_when_made_into_columns_and_back_is_played_the_same(day: MarketDay) -> None:
    again = market_day(day_columns(day))
    assert list(messages(again, PLAN)) == list(messages(day, PLAN))
    assert again.rows == day.rows


def test_a_days_digest_when_one_number_changes_is_another() -> None:
    day = day_columns(DAYS[0])
    assert day.digest() == day_columns(generate(PLAN, 7)).digest()
    changed = _copy(day)
    changed.quotes.ask_sizes[-1, -1] += 1
    assert changed.digest() != day.digest()
    assert replace(day, source="another name for the same numbers").digest() == day.digest()


def test_the_generated_market_when_opened_has_every_day_and_names_its_seed() -> None:
    source = GeneratedSource(7, ("SPY", "QQQ"))
    assert source.name == "generated market, seed 7"
    assert source.days() is None
    assert source.load(PLAN).symbols == ("QQQ", "SPY")


def test_a_lean_folder_when_a_symbol_lacks_a_day_plays_the_others(lean_folder: Path) -> None:
    source = open_lean(lean_folder, ("AAA", "BBB"))
    assert source.days() == ("2013-10-07", "2013-10-08")
    assert source.load(PLAN).symbols == ("AAA",)
    with pytest.raises(ReplayError, match=r"has no minutes of CCC\. It has AAA, BBB"):
        open_lean(lean_folder, ("AAA", "CCC"))


def _copy(day: DayColumns) -> DayColumns:
    quotes = day.quotes
    arrays = {name: np.copy(getattr(quotes, name)) for name in quotes.__struct_fields__}
    return replace(day, quotes=replace(quotes, **arrays))

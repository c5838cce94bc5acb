"""What tells two sessions apart, and the sources that the bot's own readers give."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from bus.calendar import plan_session, read_exchange_day
from config.env_bot import parse, proposals
from replay.faults import ReplayError
from replay.sources.columns import digest_of
from replay.sources.port import GeneratedSource, open_lean
from services.screener.generator import generate
from services.screener.steps import MarketDay

PLAN = plan_session(read_exchange_day("2013-10-08"), parse(proposals()), 0)


def test_a_days_digest_when_one_number_changes_is_another() -> None:
    day = generate(PLAN, 7)
    assert digest_of(day) == digest_of(generate(PLAN, 7))
    changed = _copy(day)
    changed.quotes.ask_sizes[-1, -1] += 1
    assert digest_of(changed) != digest_of(day)
    assert digest_of(replace(day, source="another name for the same numbers")) == digest_of(day)


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


def _copy(day: MarketDay) -> MarketDay:
    quotes = day.quotes
    arrays = {name: np.copy(getattr(quotes, name)) for name in quotes.__struct_fields__}
    return replace(day, quotes=replace(quotes, **arrays))

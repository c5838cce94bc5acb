"""The page of candidates: every name of the screener's file, by rule; what was heard while there is none."""

from collections.abc import Callable
from typing import Any

import pytest
from chain_day import candidates

from config.env_bot import parse, proposals
from config.paths import HomePaths
from services.screener.list_file import list_path, list_text, write_list
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded, UniverseRow
from services.web.hub import StatusHub

FOLDER = "TBOT_USA_main_PAPER_BOT01"


def test_page_when_the_screener_wrote_its_file_then_it_is_read_as_it_is_written(
    configured: HomePaths, person_of: Callable[..., Any]
) -> None:
    rows = tuple(
        UniverseRow(
            symbol=symbol,
            price_micros=price,
            prior_close_micros=100_000_000,
            prior_volume_nanos=5_000_000 * 10**9,
            float_shares=10**9,
        )
        for symbol, price in (("AAPL", 103_000_000), ("PENNY", 900_000))
    )
    universe = UniverseLoaded(
        ts_event=1_741_786_200_000_000_000,
        ts_init=1,
        session_date="2025-03-12",
        scan_mode="pre-market",
        source="test",
        rows=rows,
    )
    settings = ScreenerSettings.from_env(parse(proposals()))
    write_list(list_path(configured.output, FOLDER, universe), list_text(universe, settings))
    vera = person_of("vera")
    assert "PENNY" in vera.get("/candidates?side=out").text
    assert "2 names" in vera.get("/candidates").text


def test_page_when_no_file_is_there_then_shows_what_was_said(hub: StatusHub, person_of: Callable[..., Any]) -> None:
    vera = person_of("vera")
    assert "No candidates yet" in vera.get("/candidates").text
    hub.publish(candidates())
    page = vera.get("/candidates").text
    assert "BRK.B" in page
    assert "as last heard" in page
    assert "6,961 screened out" in page
    assert "PENNY" in vera.get("/candidates?side=out").text


@pytest.mark.parametrize("query", ["list=../../x", "page=0", "page=999999", "page=x", "symbol=<b>", "rule=<b>"])
def test_page_when_the_address_is_odd_then_still_answers(
    query: str, hub: StatusHub, person_of: Callable[..., Any]
) -> None:
    hub.publish(candidates())
    answer = person_of("vera").get(f"/candidates?side=out&{query}")
    assert answer.status_code == 200
    assert "<b>" not in answer.text.replace("&lt;b&gt;", "")


def test_page_when_the_file_is_broken_then_says_which_and_shows_what_was_said(
    configured: HomePaths, hub: StatusHub, person_of: Callable[..., Any]
) -> None:
    folder = configured.output / FOLDER / "screener"
    folder.mkdir(parents=True)
    (folder / "2025-03-12_pre-market.json").write_text('{"session_date": 1}')
    hub.publish(candidates())
    answer = person_of("vera").get("/candidates")
    assert answer.status_code == 503
    assert "The list 2025-03-12_pre-market cannot be read" in answer.text
    assert "BRK.B" in answer.text

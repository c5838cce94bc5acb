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


def _write(configured: HomePaths, at_minute: int, part: Any, due: bool, **dollars: int) -> None:
    """Write a list so many minutes after the open of 2025-03-12, of names that closed at 100 dollars before."""
    ts_ns = 1_741_786_200_000_000_000 + at_minute * 60_000_000_000
    rows = tuple(
        UniverseRow(
            symbol=symbol,
            price_micros=price * 10**6,
            prior_close_micros=100_000_000,
            prior_volume_nanos=5_000_000 * 10**9,
            day_close_micros=100_000_000,
            day_volume_nanos=5_000_000 * 10**9,
            float_shares=10**9,
        )
        for symbol, price in dollars.items()
    )
    universe = UniverseLoaded(
        ts_event=ts_ns, ts_init=1, session_date="2025-03-12", scan_mode=part, source="test", rows=rows,
        due_ns=ts_ns if due else 0,
    )  # fmt: skip
    settings = ScreenerSettings.from_env(parse(proposals()))
    write_list(list_path(configured.output, FOLDER, universe), list_text(universe, settings))


def test_page_when_a_session_was_scanned_again_then_each_list_is_there_with_its_time_and_who_joined_and_left(
    configured: HomePaths, person_of: Callable[..., Any]
) -> None:
    _write(configured, -5, "pre-market", False, AAPL=103, MSFT=102)
    _write(configured, 60, "intraday", True, AAPL=103, MSFT=90_000, NEWS=104)
    _write(configured, 120, "intraday", True, AAPL=103, NEWS=104)
    _write(configured, 410, "after-hours", True, NEWS=109)
    vera = person_of("vera")
    page = vera.get("/candidates").text
    offered = [line.split("<")[0] for line in page.split('<option value="2025-03-12_')[1:]]
    assert [one.split(">", 1)[1] for one in offered] == [
        "2025-03-12, after-hours",
        "2025-03-12, intraday at 15:30 UTC",
        "2025-03-12, intraday at 14:30 UTC",
        "2025-03-12, pre-market",
    ], "the newest is first and shown"
    assert "after-hours, made at 2025-03-12 20:20:00 UTC" in page
    page = vera.get("/candidates?list=2025-03-12_intraday_1430").text
    assert "Since 2025-03-12, pre-market: 1 joined (NEWS), 1 left (MSFT)." in page
    why = vera.get("/candidates?list=2025-03-12_intraday_1430&side=out&symbol=MSFT").text
    assert "price_max: $90,000.00" in why
    assert "Since" not in vera.get("/candidates?list=2025-03-12_pre-market").text, "it is the session's first"


def test_page_when_the_list_before_is_broken_then_the_one_that_is_asked_for_is_shown_without_the_changes(
    configured: HomePaths, person_of: Callable[..., Any]
) -> None:
    _write(configured, 60, "intraday", True, AAPL=103)
    (configured.output / FOLDER / "screener" / "2025-03-12_pre-market.json").write_text("{")
    answer = person_of("vera").get("/candidates?list=2025-03-12_intraday_1430")
    assert answer.status_code == 200
    assert "AAPL" in answer.text
    assert "list-changes" not in answer.text

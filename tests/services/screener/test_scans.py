"""When the names of a session are screened again, once each, over restarts; and who keeps a place the next day."""

import pytest
from msgspec.structs import replace

from bus.codec import decode_message, encode_message
from bus.messages import MICROS, NANOS, CandidatesRanked, ScanMode, SessionPlanned
from config.env_bot import parse, proposals
from services.screener.core import ScreenerCore, ScreenerState, rank
from services.screener.scans import due_scan, kept_places
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded, UniverseRow

MINUTE = 60_000_000_000
OPEN, CLOSE = 1_000 * MINUTE, 1_390 * MINUTE
PLAN = SessionPlanned(
    ts_event=1,
    ts_init=1,
    session_date="2025-03-12",
    open_ns=OPEN,
    close_ns=CLOSE,
    is_half_day=False,
    is_trading_day=True,
    start_open_ns=OPEN,
    start_mid_ns=OPEN,
    start_close_ns=OPEN,
    flatten_ns=CLOSE - 5 * MINUTE,
)
SETTINGS = ScreenerSettings.from_env(parse(proposals() | {"SCREENER_CANDIDATES": "2"}))


@pytest.mark.parametrize(
    ("at", "due"),
    [
        (-60, None),
        (0, None),
        (29, None),
        (30, 30),
        (59, 30),
        (60, 60),
        (389, 360),
        # The exchange is closed: what was due in the session is not made any more.
        (390, None),
        (409, None),
        (410, 410),
        (500, 410),
    ],
)
def test_a_scan_when_every_half_hour_and_after_hours_then_due_at_these_minutes(at: int, due: int | None) -> None:
    expected = 0 if due is None else OPEN + due * MINUTE
    assert due_scan(PLAN, 30 * MINUTE, 20 * MINUTE, OPEN + at * MINUTE) == expected


def test_a_scan_when_switched_off_or_without_a_session_then_never_due() -> None:
    assert [due_scan(PLAN, 0, 0, OPEN + at * MINUTE) for at in (100, 389, 390, 600)] == [0, 0, 0, 0]
    assert due_scan(replace(PLAN, is_trading_day=False), MINUTE, MINUTE, CLOSE + 9 * MINUTE) == 0


def test_a_half_day_when_it_is_over_then_the_scan_after_hours_counts_from_its_own_close() -> None:
    half = replace(PLAN, close_ns=OPEN + 210 * MINUTE)
    assert due_scan(half, 30 * MINUTE, 20 * MINUTE, OPEN + 229 * MINUTE) == 0
    assert due_scan(half, 30 * MINUTE, 20 * MINUTE, OPEN + 230 * MINUTE) == OPEN + 230 * MINUTE


def row(symbol: str, dollars: int, after_hours: str = "") -> UniverseRow:
    return UniverseRow(
        symbol=symbol,
        prior_close_micros=100 * MICROS,
        prior_volume_nanos=10**6 * NANOS,
        price_micros=dollars * MICROS,
        float_shares=10**9,
        day_close_micros=100 * MICROS,
        day_volume_nanos=10**6 * NANOS,
        after_hours=after_hours,
    )


def seen(at: int, *rows: UniverseRow, mode: ScanMode = "intraday", due: int | None = None) -> UniverseLoaded:
    """Return what was seen so many minutes after the open, by a scan that was due at `due`; None = the first list."""
    ts_ns = OPEN + at * MINUTE
    due_ns = 0 if due is None else OPEN + due * MINUTE
    return UniverseLoaded(
        ts_event=ts_ns, ts_init=1, session_date="2025-03-12", source="x", rows=rows, scan_mode=mode, due_ns=due_ns
    )


class Driven:
    """A screener's core with its journal."""

    def __init__(self) -> None:
        self.core = ScreenerCore(SETTINGS)
        self.journal: list[CandidatesRanked | SessionPlanned] = []
        self.state = self.core.initial()
        self.hear(PLAN)

    def hear(self, message: SessionPlanned | UniverseLoaded) -> list[str]:
        events = self.core.decide(self.state, message, 7)
        for event in events:
            assert isinstance(event, CandidatesRanked | SessionPlanned)
            self.state = self.core.evolve(self.state, event)
            self.journal.append(event)
        return [one.symbol for event in events if isinstance(event, CandidatesRanked) for one in event.candidates]

    def restarted(self) -> ScreenerState:
        state = self.core.initial()
        for event in self.journal:
            # What a restart reads went through the journal's bytes.
            state = self.core.evolve(state, decode_message(encode_message(event)))
        return state


def test_lists_when_later_scans_come_then_each_is_said_once_and_a_restart_knows_the_newest() -> None:
    screener = Driven()
    assert screener.hear(seen(-5, row("AAA", 105), mode="pre-market")) == ["AAA"]
    assert screener.hear(seen(-4, row("BBB", 105), mode="pre-market")) == [], "a session has one first list"
    assert screener.hear(seen(31, row("BBB", 104), row("AAA", 101), due=30)) == ["BBB", "AAA"]
    assert screener.hear(seen(33, row("CCC", 104), due=30)) == [], "a restart reports the same scan again"
    screener.state = screener.restarted()
    assert screener.hear(seen(33, row("CCC", 104), due=30)) == []
    assert screener.state.candidates == ("BBB", "AAA")
    assert screener.hear(seen(61, row("CCC", 104), due=60)) == ["CCC"]
    assert [event.scan_mode for event in screener.journal if isinstance(event, CandidatesRanked)] == [
        "pre-market",
        "intraday",
        "intraday",
    ]


def test_the_list_after_hours_when_said_then_the_sessions_names_stay_and_the_next_session_knows_it() -> None:
    screener = Driven()
    screener.hear(seen(-5, row("AAA", 105), mode="pre-market"))
    assert screener.hear(seen(411, row("BBB", 104), row("CCC", 97), mode="after-hours", due=410)) == ["BBB", "CCC"]
    assert screener.state.candidates == ("AAA",), "the session is over: who was watched stays"
    assert screener.hear(seen(412, row("DDD", 104), mode="after-hours", due=410)) == []
    state = screener.restarted()
    assert kept_places(state.evening, "2025-03-13") == {
        "BBB": "place 1 after the close of 2025-03-12, +4.00 %",
        "CCC": "place 2 after the close of 2025-03-12, -3.00 %",
    }
    assert kept_places(state.evening, "2025-03-12") == {}
    assert kept_places(state.evening, "2025-03-20") == {}, "it is no news any more"
    assert kept_places(None, "2025-03-13") == {}


def test_a_list_made_late_by_the_setting_when_it_is_called_after_hours_then_it_is_the_sessions_all_the_same() -> None:
    screener = Driven()
    assert screener.hear(seen(5, row("AAA", 105), mode="after-hours")) == ["AAA"]
    assert (screener.state.candidates, screener.state.evening) == (("AAA",), None)


def test_places_when_names_keep_theirs_then_the_last_others_have_none_and_all_are_told_why() -> None:
    kept = row("KEPT", 101, "place 1 after the close of 2025-03-11, +9.00 %")
    said = rank(seen(-5, row("AAA", 107), row("BBB", 106), kept, row("LOW", 1, "place 2 after the close")), SETTINGS, 7)
    assert [one.symbol for one in said.candidates] == ["AAA", "KEPT"], "in the order of their moves"
    assert said.candidates[1].reasons[-1].value == "place 1 after the close of 2025-03-11, +9.00 %"
    out = {one.symbol: [(why.rule, why.value) for why in one.reasons if not why.passed] for one in said.rejected}
    assert out["BBB"] == [("rank", "place 3")]
    assert ("price_min", "$1.00") in out["LOW"], "a place is kept only by a name that passes"


def test_places_when_more_keep_theirs_than_there_are_then_the_best_of_them_have_one() -> None:
    rows = [row(name, dollars, "place") for name, dollars in (("AAA", 101), ("BBB", 102), ("CCC", 103))]
    assert [one.symbol for one in rank(seen(-5, *rows), SETTINGS, 7).candidates] == ["CCC", "BBB"]

"""The screener service over a day and into the next: scans before, in and after a session, over restarts."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from live_day import MINUTE, OPEN, PLAN, until
from live_screener import IDENTITY
from msgspec.structs import replace

from bus.assembly import Setup
from bus.messages import MICROS, NANOS, CandidatesRanked, SessionPlanned
from config.env_bot import parse, proposals
from config.paths import HomePaths
from services.screener.core import ScreenerCore
from services.screener.feed import MarketFeed
from services.screener.live_desk import LiveDesk
from services.screener.settings import ScreenerSettings
from services.screener.shell import ScreenerShell
from services.screener.snapshots import Snapshot, SnapshotError
from services.screener.vix import VixSource

NAMES = ("AAA", "BBB", "CCC", "DDD")
DAY_NS = 24 * 60 * MINUTE
FIRST = replace(PLAN, close_ns=OPEN + 390 * MINUTE, flatten_ns=OPEN + 385 * MINUTE)
SECOND_DAY = replace(
    FIRST,
    session_date="2025-03-13",
    **{name: getattr(FIRST, name) + DAY_NS for name in FIRST.__struct_fields__ if name.endswith("_ns")},
)
ENV = parse(
    proposals()
    | {
        "MARKET_DATA_SOURCE": "alpaca",
        "MARKET_DATA_SYMBOLS": ",".join(NAMES),
        "SCREENER_INTRADAY_EVERY": "60",
        "SCREENER_CANDIDATES": "2",
    }
)
LISTS = f"output/{IDENTITY.bot_identity}/screener"


class Prices:
    """A broker's snapshots; every name closed at 100 the day before, and costs what a test says."""

    def __init__(self) -> None:
        self.dollars = dict.fromkeys(NAMES, 100)
        self.refusal = ""
        self.asked = 0

    def snapshots(self, symbols: Iterable[str], session_date: str) -> Mapping[str, Snapshot]:
        self.asked += 1
        if self.refusal:
            raise SnapshotError(self.refusal)
        return {
            symbol: Snapshot(
                symbol=symbol,
                price_micros=self.dollars[symbol] * MICROS,
                prior_close_micros=100 * MICROS,
                prior_volume_nanos=10**6 * NANOS,
                day_close_micros=100 * MICROS,
                day_volume_nanos=10**6 * NANOS,
            )
            for symbol in symbols
        }


class World:
    """What a live source is asked for before its stream is opened."""

    words, limit_key = "a broker", "A_LIMIT"

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

    def snapshots(self) -> Prices:
        return self._prices

    def close(self) -> None:
        """Have nothing to hang up."""


class Service:
    """The screener on a clock that a test moves. `start` is a start of its process: its journal alone is left."""

    def __init__(self, home: Path) -> None:
        self.prices, self.now_ns = Prices(), OPEN - 60 * MINUTE
        self.journal: list[Any] = []
        self.home = home
        self.start()

    def start(self) -> None:
        settings = ScreenerSettings.from_env(ENV)
        world: Any = World(self.prices)
        setup = Setup(paths=HomePaths(self.home), env=ENV, identity=IDENTITY)
        self.desk = LiveDesk(settings, world, lambda: self.now_ns)
        assert self.desk.faults() == ()
        self.core = ScreenerCore(settings)
        self.shell = ScreenerShell(setup, settings, MarketFeed(settings), VixSource(ENV), desk=self.desk)
        self.state = self.core.initial()
        for event in self.journal:
            self.state = self.core.evolve(self.state, event)

    def hear(self, message: Any) -> None:
        for event in self.core.decide(self.state, message, self.now_ns):
            self.shell.before_commit(event)
            self.state = self.core.evolve(self.state, event)
            self.journal.append(event)

    def at(self, plan: SessionPlanned, minute: int) -> list[CandidatesRanked]:
        """Let it be so many minutes after the open; return the lists that are said then."""
        self.now_ns = plan.open_ns + minute * MINUTE
        before = len(self.journal)
        for _ in range(3):
            self.look()
        return [event for event in self.journal[before:] if isinstance(event, CandidatesRanked)]

    def look(self) -> None:
        for report in self.shell.on_idle(self.state, self.now_ns):
            self.hear(report)
        until(lambda: self.desk._look is None or not self.desk._look.is_alive(), "answer")


def symbols(lists: list[CandidatesRanked]) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.scan_mode, tuple(each.symbol for each in one.candidates)) for one in lists]


def files(home: Path, count: int) -> list[str]:
    """Return the lists on disk; those of later scans are written beside the loop."""
    folder = home / LISTS
    return until(
        lambda: found if len(found := sorted(path.name for path in folder.glob("*.json"))) == count else None, "lists"
    )


def test_a_day_when_scanned_before_in_and_after_its_session_then_each_list_is_said_once_and_the_next_day_knows(
    tmp_path: Path,
) -> None:
    service = Service(tmp_path)
    service.hear(FIRST)
    assert service.at(FIRST, -60) == [], "it is too early for a list"
    service.prices.dollars |= {"AAA": 103, "BBB": 102}
    assert symbols(service.at(FIRST, -5)) == [("pre-market", ("AAA", "BBB"))]
    assert service.at(FIRST, 59) == []
    service.prices.dollars |= {"CCC": 105}
    assert symbols(service.at(FIRST, 60)) == [("intraday", ("CCC", "AAA"))]
    assert service.at(FIRST, 61) == []
    service.start()
    assert service.at(FIRST, 62) == [], "a restart makes no list twice"
    assert service.at(FIRST, 119) == []
    # Two scans are missed while the process is down: the newest one that is due stands for them.
    service.start()
    assert symbols(service.at(FIRST, 250)) == [("intraday", ("CCC", "AAA"))]
    assert service.at(FIRST, 395) == []
    service.prices.dollars |= {"DDD": 96, "AAA": 100, "BBB": 100, "CCC": 101}
    assert symbols(service.at(FIRST, 410)) == [("after-hours", ("DDD", "CCC"))]
    assert service.at(FIRST, 415) == []
    assert service.state.candidates == ("CCC", "AAA")

    service.start()
    service.hear(SECOND_DAY)
    service.prices.dollars |= {"AAA": 108, "BBB": 107, "CCC": 101, "DDD": 4}
    (morning,) = service.at(SECOND_DAY, -5)
    assert symbols([morning]) == [("pre-market", ("AAA", "CCC"))], "DDD fell below the least price"
    kept = [(why.rule, why.value) for why in morning.candidates[1].reasons][-1]
    assert kept == ("after_hours", "place 2 after the close of 2025-03-12, +1.00 %")
    assert files(tmp_path, 5) == [
        "2025-03-12_after-hours.json",
        "2025-03-12_intraday_1430.json",
        "2025-03-12_intraday_1730.json",
        "2025-03-12_pre-market.json",
        "2025-03-13_pre-market.json",
    ]
    written = json.loads((tmp_path / LISTS / "2025-03-12_intraday_1430.json").read_text())
    assert [one["symbol"] for one in written["candidates"]] == ["CCC", "AAA"]
    out = {one["symbol"]: one["reasons"] for one in written["rejected"]}
    assert [(why["rule"], why["value"]) for why in out["BBB"]] == [("rank", "place 3")], "why it left"


def test_a_scan_when_the_broker_refuses_then_the_list_before_stands_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(tmp_path)
    service.hear(FIRST)
    service.prices.dollars |= {"AAA": 103}
    service.at(FIRST, -5)
    service.prices.refusal = "Alpaca gives no snapshots after 3 tries: 429, too many requests."
    asked = service.prices.asked
    assert service.at(FIRST, 60) == []
    assert service.at(FIRST, 61) == []
    assert service.prices.asked == asked + 1, "it is asked again after half a minute, not at once"
    assert service.desk.remark() == f"there is no new list: {service.prices.refusal}"
    assert service.state.candidates[0] == "AAA"
    service.prices.refusal = ""
    assert [mode for mode, _ in symbols(service.at(FIRST, 120))] == ["intraday"]
    assert service.desk.remark() == ""


def test_a_late_start_when_in_the_session_then_its_first_list_is_intraday_and_the_next_scan_follows(
    tmp_path: Path,
) -> None:
    service = Service(tmp_path)
    service.hear(FIRST)
    assert [mode for mode, _ in symbols(service.at(FIRST, 90))] == ["intraday"]
    assert service.at(FIRST, 119) == []
    assert [mode for mode, _ in symbols(service.at(FIRST, 120))] == ["intraday"]
    assert files(tmp_path, 2) == ["2025-03-12_intraday.json", "2025-03-12_intraday_1530.json"]


def test_a_start_when_after_the_close_then_the_list_after_hours_is_made_all_the_same(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.hear(FIRST)
    service.prices.dollars |= {"BBB": 105}
    assert symbols(service.at(FIRST, 412))[0][1][0] == "BBB"
    service.hear(SECOND_DAY)
    (morning,) = service.at(SECOND_DAY, -5)
    assert "after_hours" in {why.rule for one in morning.candidates for why in one.reasons}


def test_lists_when_of_many_sessions_then_those_made_within_older_ones_are_removed(tmp_path: Path) -> None:
    service = Service(tmp_path)
    folder = tmp_path / LISTS
    folder.mkdir(parents=True)
    for day in range(1, 9):
        for part in ("pre-market", "intraday_1400", "intraday_1500", "after-hours"):
            (folder / f"2025-01-{day:02d}_{part}.json").write_text("{}")
    service.hear(FIRST)
    service.at(FIRST, -5)
    left = [name for name in files(tmp_path, 8 * 4 + 1 - 3 * 2) if "intraday" in name]
    assert left == [f"2025-01-{day:02d}_intraday_{time}.json" for day in range(4, 9) for time in ("1400", "1500")]

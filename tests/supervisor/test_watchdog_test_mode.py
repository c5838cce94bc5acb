"""What the watchdog tells the keeper of TEST_MODE runs: the chain's state, the moment, positions and whose money."""

import sys
from pathlib import Path
from typing import Any

import pytest
from watchdog_rig import MS, StillClock, WatchdogRig, bot

from bus.assembly import Setup
from bus.clock import on_host
from bus.lifecycle import Moment
from bus.messages import MICROS, PortfolioSnapshot, PositionLine
from bus.test_mode import FLAG_FILE, newest_run
from bus.test_runs import Situation, TestRuns
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY

LINE = PositionLine(
    intent_id="i", strategy="open", symbol="SPY", qty_nanos=1, entry_micros=1, last_micros=1, pnl_micros=0
)

_LIVE = {"MARKET_DATA_SYMBOLS": "SPY", "ALPACA_ENABLED": "false", "IBKR_ENABLED": "false"}
ALPACA = _LIVE | {"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true", "MARKET_DATA_SOURCE": "alpaca"}
IBKR = _LIVE | {"BROKER_NAME": "IBKR", "IBKR_ENABLED": "true", "MARKET_DATA_SOURCE": "ibkr"}


class Keeper:
    """Stands in for the keeper of runs and remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Situation] = []
        self.words = "TEST_MODE: failed: OFX"
        self.is_closed = False
        self.is_under_way = False

    def look(self, now: Situation, now_ns: int) -> None:
        self.told.append(now)

    def close(self) -> None:
        self.is_closed = True


def portfolio(*lines: PositionLine) -> PortfolioSnapshot:
    values: dict[str, Any] = dict.fromkeys(
        ("start_equity_micros", "equity_micros", "allocation_limit_micros", "loss_limit_micros"), MICROS
    )
    values |= dict.fromkeys(("realized_micros", "unrealized_micros", "allocated_micros"), 0)
    return PortfolioSnapshot(
        ts_event=1, ts_init=1, session_date="2013-10-08", positions=lines, denied=(), denied_total=0, **values
    )


class Chores:
    """Stands in for what is due after a session."""

    def __init__(self) -> None:
        self.is_busy = False
        self.looks = 0
        self.words = ""

    def look(self, session: str, *, is_over: bool, now_ns: int) -> None:
        self.looks += 1


def shell(paths: HomePaths, keeper: Any, chores: Any = None, **settings: str) -> Any:
    setup = Setup(paths=paths, env=parse(proposals() | settings), identity=DEMO_IDENTITY)
    return bot.WatchdogShell(
        setup, free_bytes=lambda _path: 2**40, attendants=bot.Attendants(test_runs=keeper, after_close=chores)
    )


def test_keeper_when_the_watchdog_looks_is_told_what_decides(rig: WatchdogRig) -> None:
    keeper = Keeper()
    watchdog = shell(rig.paths, keeper)
    watchdog.on_start({}, 0)
    watchdog.on_idle({}, 0)
    assert keeper.told[-1].positions is None, "before risk has said anything nobody knows"
    assert not keeper.told[-1].is_real_money
    watchdog.on_status("risk", portfolio(LINE))
    watchdog.on_status("strategy", portfolio())
    rig.clock.ns += 1_000 * MS
    watchdog.on_idle({}, 0)
    assert keeper.told[-1].positions == 1, "only risk says what is open"
    assert keeper.told[-1].state == "STARTING"
    assert "TEST_MODE: failed: OFX" in watchdog.remark()
    watchdog.close()
    assert keeper.is_closed


def test_keeper_when_the_session_is_on_is_told_the_moment(rig: WatchdogRig) -> None:
    keeper = Keeper()
    watchdog = shell(rig.paths, keeper)
    watchdog.on_start({}, 0)
    watchdog._session_ns = watchdog._plan.open_ns - 1
    watchdog.on_idle({}, 0)
    watchdog._session_ns = watchdog._plan.close_ns
    rig.clock.ns += 1_000 * MS
    watchdog.on_idle({}, 0)
    assert [one.moment for one in keeper.told] == [Moment.PRE_OPEN, Moment.AFTER]


@pytest.mark.parametrize(
    ("settings", "is_money"),
    [
        ({}, False),
        ({**ALPACA, "ALPACA_ENDPOINT": "paper"}, False),
        ({**ALPACA, "ALPACA_ENDPOINT": "live"}, True),
        ({**IBKR, "IBKR_MODE": "paper"}, False),
        ({**IBKR, "IBKR_MODE": "live"}, True),
    ],
)
def test_keeper_when_orders_are_for_real_money_is_told_so(
    rig: WatchdogRig, settings: dict[str, str], is_money: bool
) -> None:
    keeper = Keeper()
    watchdog = shell(rig.paths, keeper, **settings)
    watchdog._look_after("")
    assert keeper.told[-1].is_real_money == is_money


def test_keeper_when_the_report_of_a_session_is_due_waits_for_it_and_it_for_a_run(rig: WatchdogRig) -> None:
    keeper, chores = Keeper(), Chores()
    watchdog = shell(rig.paths, keeper, chores)
    watchdog._look_after("2013-10-08")
    assert (chores.looks, len(keeper.told)) == (1, 1)
    chores.is_busy = True
    watchdog._look_after("2013-10-08")
    assert (chores.looks, len(keeper.told)) == (2, 1), "a report that is written would look like a change by the tests"
    chores.is_busy, keeper.is_under_way = False, True
    watchdog._look_after("2013-10-08")
    assert (chores.looks, len(keeper.told)) == (2, 2)


def test_flag_when_positions_of_real_money_are_open_is_refused_by_the_watchdog(tmp_path: Path) -> None:
    paths = HomePaths(tmp_path)
    paths.make()
    with on_host(StillClock()):
        keeper = TestRuns(paths, DEMO_IDENTITY, (sys.executable, "-c", "raise SystemExit(9)"))
        watchdog = shell(paths, keeper, **ALPACA, ALPACA_ENDPOINT="live")
        watchdog.on_status("risk", portfolio(LINE))
        (paths.control / FLAG_FILE).touch()
        watchdog._look_after("")
    found = newest_run(paths.output / DEMO_IDENTITY.bot_identity / "test_mode")
    assert found is not None
    assert (found.state, found.words.split(":")[0]) == ("refused", "1 position is open with real money")
    assert not (paths.control / FLAG_FILE).exists()

"""An error that nobody looks at in market hours stops new positions, once, and nothing else does."""

from collections.abc import Callable

import msgspec
import pytest
from flask import Flask

from bus import messages as m
from bus.clock import utc_ns
from bus.control import ControlFolder
from config.paths import HomePaths
from config.vault import Vault
from services.web.alert_watch import AlertWatch, overdue
from services.web.audit_log import AuditFilter, AuditLog
from services.web.hub import StatusHub

NOW_MS = 1_800_000_000_000
MINUTE = 60_000
OPEN_NS = 1_741_786_200_000_000_000
CLOSE_NS = OPEN_NS + 23_400_000_000_000


def plan() -> m.SessionPlanned:
    starts = dict.fromkeys(("start_open_ns", "start_mid_ns", "start_close_ns", "open_ns"), OPEN_NS)
    return m.SessionPlanned(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        session_date="2025-03-12",
        close_ns=CLOSE_NS,
        is_half_day=False,
        is_trading_day=True,
        flatten_ns=CLOSE_NS,
        **starts,
    )


@pytest.fixture
def trading(hub: StatusHub, say: Callable[..., m.Message]) -> StatusHub:
    hub.publish(plan())
    hub.publish(say("chain"))
    return hub


def test_error_when_nobody_acknowledged_it_for_so_long_then_is_overdue(trading: StatusHub) -> None:
    alert = trading.alerts.add("bad", "rejection", "execution", "refused", ts_ms=NOW_MS)
    assert overdue(trading, 15, NOW_MS + 15 * MINUTE - 1) is None
    found = overdue(trading, 15, NOW_MS + 15 * MINUTE)
    assert found is not None
    assert found.number == alert.number
    assert overdue(trading, 0, NOW_MS + 900 * MINUTE) is None


def test_error_when_it_comes_again_then_its_first_time_counts(trading: StatusHub) -> None:
    trading.alerts.add("bad", "rejection", "execution", "refused", ts_ms=NOW_MS)
    trading.alerts.add("bad", "rejection", "execution", "refused", ts_ms=NOW_MS + 14 * MINUTE)
    assert overdue(trading, 15, NOW_MS + 15 * MINUTE) is not None


def test_error_when_it_was_acknowledged_then_is_not_overdue(trading: StatusHub) -> None:
    trading.alerts.add("bad", "rejection", "execution", "refused", ts_ms=NOW_MS)
    trading.alerts.acknowledge(None, "olga", NOW_MS)
    trading.alerts.add("warn", "warning", "execution", "slow", ts_ms=NOW_MS)
    assert overdue(trading, 15, NOW_MS + 60 * MINUTE) is None


@pytest.mark.parametrize("state", ["STARTING", "DISARMED", "REDUCING", "HALTED"])
def test_error_when_the_chain_does_not_trade_then_nothing_is_stopped(
    trading: StatusHub, say: Callable[..., m.Message], state: str
) -> None:
    trading.alerts.add("bad", "rejection", "execution", "refused", ts_ms=NOW_MS)
    trading.publish(say("chain", state=state))
    assert overdue(trading, 15, NOW_MS + 60 * MINUTE) is None


@pytest.mark.parametrize("at_ns", [OPEN_NS - 1_000_000, CLOSE_NS])
def test_error_when_the_market_is_shut_then_nothing_is_stopped(
    trading: StatusHub, say: Callable[..., m.Message], at_ns: int
) -> None:
    trading.alerts.add("bad", "rejection", "execution", "refused", ts_ms=NOW_MS)
    trading.publish(msgspec.structs.replace(say("chain"), ts_event=at_ns))
    assert overdue(trading, 15, NOW_MS + 60 * MINUTE) is None


def test_watch_when_an_error_is_overdue_then_asks_for_a_stop_once_and_says_why(
    configured: HomePaths, app: Flask, trading: StatusHub
) -> None:
    watch, control = AlertWatch(app.extensions["tradebot"]), ControlFolder(configured)
    watch.look()
    assert not control.read().is_stop_requested
    trading.alerts.add("bad", "rejection", "execution", "refused", ts_ms=utc_ns() // 1_000_000 - 16 * MINUTE)
    watch.look()
    assert "alert 1 was seen by nobody for 15 minutes: refused" in control.read().stop_words
    (configured.control / "control_stop.txt").unlink()
    watch.look()
    assert not control.read().is_stop_requested, "an operator who arms again is not stopped for the same alert"
    rows = AuditLog(configured).rows(AuditFilter(action="stopped_for_alert"))
    assert [row.subject for row in rows] == ["alert 1"]


def test_watch_when_the_settings_cannot_be_read_then_goes_on(configured: HomePaths, app: Flask) -> None:
    watch = AlertWatch(app.extensions["tradebot"])
    vault = Vault(configured)
    kept = vault.open()
    broken = {**kept.settings, "UNSEEN_ERROR_MINUTES": "soon"}
    vault.replace(msgspec.structs.replace(kept, settings=broken), kept.generation)
    watch.look()
    assert not ControlFolder(configured).read().is_stop_requested

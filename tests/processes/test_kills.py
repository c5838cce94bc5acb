"""kill -9 and freezes in mid-session, on the real processes: no order doubled, no fill lost, books that balance."""

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from waiting import is_alive, until

from bus.control import ControlFolder
from bus.messages import KillSwitchTripped, OrderPrepared
from bus.processes import is_in_use
from bus.store import read_journal
from replay.books import compare_books
from replay.browser import PageError
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import ADMIN, Stage

pytestmark = pytest.mark.processes

#: Slow enough that something can happen in mid-session: a day in about ten seconds, if nothing stops it.
PACED = SessionChoice(speed="2400")
#: How soon a killed web UI answers again at the latest, in seconds.
WEB_BACK_S = 5


def _shown(stage: Stage) -> dict[str, Any]:
    try:
        return stage.browser.snapshot()
    except (OSError, ValueError):
        return {}


def _chain(stage: Stage) -> dict[str, Any]:
    return dict(_shown(stage).get("chain") or {})


def _logged_in_again(stage: Stage) -> bool:
    try:
        stage.browser.fill_in("/login", {"name": ADMIN, "password": stage.password})
    except (OSError, PageError):
        return False
    return True


def _line(stage: Stage, service: str) -> dict[str, Any]:
    return next((line for line in _chain(stage).get("services", []) if line["service"] == service), {})


def _in_mid_session(make_stage: Callable[[SessionChoice], Stage]) -> Stage:
    stage = make_stage(PACED)
    stage.arm("test")
    until(lambda: _shown(stage).get("portfolio") and _shown(stage)["portfolio"]["positions"], "no position")
    return stage


def _check_books(stage: Stage) -> None:
    """The black-box check: the broker against the ledger, and one entry order for each intent."""
    paths = stage.chain.paths
    assert compare_books(paths, DEMO_IDENTITY) == []
    prepared = [e for e in read_journal(paths.state / "execution.db") if isinstance(e, OrderPrepared)]
    entries = [e.intent_id for e in prepared if e.leg == "entry"]
    assert len(entries) == len(set(entries))
    with closing(sqlite3.connect(f"file:{paths.state / 'paper_broker.db'}?mode=ro", uri=True)) as db:
        at_broker = {row[0] for row in db.execute("SELECT client_order_id FROM orders")}
        too_much = db.execute("SELECT client_order_id FROM orders WHERE filled_nanos > qty_nanos").fetchall()
    assert at_broker <= {e.client_order_id for e in prepared}
    assert too_much == []


@pytest.mark.parametrize("service", ["screener", "strategy", "risk", "execution", "ledger"])
def test_a_killed_service_when_in_mid_session_halts_the_chain_and_loses_nothing(
    make_stage: Callable[[SessionChoice], Stage], service: str
) -> None:
    stage = _in_mid_session(make_stage)
    pid = _line(stage, service)["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: _chain(stage).get("state") == "HALTED", "no halt")
    assert service in _chain(stage)["detail"]
    until(lambda: _line(stage, service).get("status") == "up" and _line(stage, service)["pid"] != pid, "no restart")
    before = len(_shown(stage)["fills"])
    stage.arm("the service is back")
    until(stage.is_session_over, "the session does not end after the restart", 90)
    assert len(_shown(stage)["fills"]) > before
    until(lambda: _shown(stage)["portfolio"]["positions"] == [], "positions are not sold")
    stage.stop()
    _check_books(stage)


def test_the_watchdog_when_killed_comes_back_and_the_session_goes_on(
    make_stage: Callable[[SessionChoice], Stage],
) -> None:
    stage = _in_mid_session(make_stage)
    pid = int((stage.chain.paths.run / "watchdog.lock").read_text())
    os.kill(pid, signal.SIGKILL)
    until(lambda: (stage.chain.paths.run / "watchdog.lock").read_text() not in ("", str(pid)), "no restart")
    until(stage.is_session_over, "the session does not end", 90)
    assert _chain(stage)["state"] == "ACTIVE"
    stage.stop()
    _check_books(stage)


def test_the_web_ui_when_killed_does_not_stop_trading(make_stage: Callable[[SessionChoice], Stage]) -> None:
    stage = _in_mid_session(make_stage)
    pid = _line(stage, "web")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid) and stage.browser.is_up(), "the web UI is not back", WEB_BACK_S)
    until(lambda: _logged_in_again(stage), "no log-in")
    until(lambda: _chain(stage), "no status after the restart")
    assert _chain(stage)["state"] == "ACTIVE"
    until(stage.is_session_over, "the session does not end", 90)
    stage.stop()
    _check_books(stage)


def test_the_day_when_its_loss_goes_beyond_the_limit_halts_and_everything_is_sold(
    make_stage: Callable[..., Stage],
) -> None:
    stage = make_stage(PACED, DAILY_LOSS_LIMIT="0.1", MAX_RISK_PER_TRADE="0.1")
    stage.arm("test")
    until(lambda: _chain(stage).get("state") == "HALTED", "no halt")
    assert "beyond DAILY_LOSS_LIMIT $100.00" in _chain(stage)["detail"]
    until(lambda: _shown(stage)["portfolio"]["positions"] == [], "positions are not sold")
    stage.arm("armed again on the same day")
    until(stage.is_session_over, "the session does not end", 90)
    stage.stop()
    entries = [e for e in read_journal(stage.chain.paths.state / "execution.db") if isinstance(e, OrderPrepared)]
    assert not [e for e in entries if e.leg == "entry" and e.ts_init > _tripped_at(stage)]
    _check_books(stage)


def _tripped_at(stage: Stage) -> int:
    journal = read_journal(stage.chain.paths.state / "risk.db")
    (tripped,) = [event for event in journal if isinstance(event, KillSwitchTripped)]
    return tripped.ts_init


def test_a_frozen_service_when_in_mid_session_halts_the_chain(make_stage: Callable[[SessionChoice], Stage]) -> None:
    stage = _in_mid_session(make_stage)
    pid = _line(stage, "risk")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: _chain(stage).get("state") == "HALTED", "no halt")
        assert "no heartbeat from risk" in _chain(stage)["detail"]
    finally:
        os.kill(pid, signal.SIGCONT)
    stage.stop()
    _check_books(stage)


def _restart(stage: Stage) -> None:
    """Start the same home again and log in to its new web UI."""
    stage.chain.start(quiet=True)
    until(stage.browser.is_up, "no web UI")
    stage.browser.fill_in("/login", {"name": ADMIN, "password": stage.password})


def _all_up_again(stage: Stage, killed: set[int]) -> bool:
    """Say whether each service is up with another process; the page is a new one too, and needs a new log-in."""
    if not _chain(stage) and not _logged_in_again(stage):
        return False
    lines = _chain(stage).get("services", [])
    return bool(lines) and all(line["status"] == "up" and line["pid"] not in killed for line in lines)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_whole_chain_when_it_ends_in_mid_session_comes_back_disarmed_and_can_go_on(
    make_stage: Callable[[SessionChoice], Stage], how: str
) -> None:
    stage = _in_mid_session(make_stage)
    if how == "killed":
        pids = {line["pid"] for line in _chain(stage)["services"]}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        # What was on its way when they died is delivered once supervisord has them up again, not before.
        until(lambda: _all_up_again(stage, pids), "not every service is up again", 30)
        until(lambda: compare_books(stage.chain.paths, DEMO_IDENTITY) == [], "what was on its way is not booked", 30)
    stage.stop()
    _check_books(stage)
    _restart(stage)
    until(lambda: _chain(stage).get("state") in ("DISARMED", "HALTED"), "not ready after the restart")
    assert "armed" in _chain(stage)["detail"] or _chain(stage)["state"] == "HALTED"
    stage.arm("looked at it")
    until(stage.is_session_over, "the session does not end after the restart", 90)
    until(lambda: _shown(stage)["portfolio"]["positions"] == [], "positions are not sold")
    stage.stop()
    _check_books(stage)


def test_the_services_when_supervisord_is_killed_end_by_themselves(
    make_stage: Callable[[SessionChoice], Stage],
) -> None:
    stage = _in_mid_session(make_stage)
    pids = [line["pid"] for line in _chain(stage)["services"]]
    pids.append(int((stage.chain.paths.run / "watchdog.lock").read_text()))
    os.kill(int((stage.chain.paths.run / "supervisord.pid").read_text()), signal.SIGKILL)
    stage.chain.wait()
    until(lambda: not is_in_use(stage.chain.paths), "services hold their locks", 20)
    until(lambda: not any(is_alive(pid) for pid in pids), "services live on", 20)
    # They died where they stood: what was on its way is delivered after the next start.
    _restart(stage)
    until(lambda: _chain(stage).get("state") in ("DISARMED", "HALTED"), "not ready after the restart")
    stage.arm("looked at it")
    until(stage.is_session_over, "the session does not end after the restart", 90)
    stage.stop()
    _check_books(stage)


def test_the_kill_file_when_put_there_halts_the_chain_and_arming_needs_it_gone(
    make_stage: Callable[[SessionChoice], Stage],
) -> None:
    stage = _in_mid_session(make_stage)
    kill_file = stage.chain.paths.control / "kill.txt"
    kill_file.touch()
    until(lambda: _chain(stage).get("state") == "HALTED", "no halt")
    until(lambda: ControlFolder(stage.chain.paths).read().halt_counter, "no halt record")
    entries = len(_shown(stage)["orders"]["orders"])
    with pytest.raises(PageError, match=r"kill\.txt"):
        stage.browser.fill_in("/control/arm", {"reason": "too early", "password": stage.password})
    kill_file.unlink()
    assert _chain(stage)["state"] == "HALTED"
    assert len(_shown(stage)["orders"]["orders"]) >= entries
    stage.arm("the file is gone")
    until(lambda: _chain(stage).get("state") == "ACTIVE", "not armed again")
    stage.stop()
    _check_books(stage)

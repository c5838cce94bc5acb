"""A strategy whose arithmetic is wrong: from its self-check to a chain that no operator's arming makes active."""

import json
import os
import time
from pathlib import Path

import pytest

from bus.messages import OrderPrepared, SignalRaised
from bus.processes import free_port
from bus.store import read_journal
from config.env_bot import proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY
from replay.stage import Stage, StageError

pytestmark = pytest.mark.processes

#: What every interpreter of the chain reads at its start: the strategy service alone has bands ten times as wide.
BROKEN = """
import sys
if {"strategy", "services.strategy"} & set(sys.orig_argv):
    from services.strategy import indicators
    right = indicators.bands_of
    indicators.bands_of = lambda closes, rows, width: right(closes, rows, 10 * width)
"""
#: So much of the watchdog's own time is looked at after the arming: several times what an arming takes.
LOOKED_AT_MS = 5_000
REASON = "cannot start: The self-check of strategy mid failed at"


def test_a_chain_when_a_strategys_self_check_fails_then_arming_it_makes_nothing_active_and_all_are_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_home: HomePaths
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    stage = Stage(short_home, free_port())
    try:
        stage.configure(proposals(), DEMO_IDENTITY)
        with pytest.raises(StageError, match=REASON):
            stage.wait_until_ready()
        stage.browser.fill_in("/control/arm", {"reason": "all the same", "password": stage.password})
        first = state = stage.chain_state()
        while state["ts_event_ms"] < first["ts_event_ms"] + LOOKED_AT_MS:
            (line,) = [one for one in state["services"] if one["service"] == "strategy"]
            assert (state["state"], line["detail"][: len(REASON)]) == ("STARTING", REASON)
            time.sleep(0.2)
            state = stage.chain_state()
    finally:
        stage.stop()
    state = short_home.state
    assert read_journal(state / "execution.db", [OrderPrepared]) == []
    assert not (state / "strategy.db").exists() or read_journal(state / "strategy.db", [SignalRaised]) == []
    logged = [json.loads(one) for one in (short_home.output / DEMO_IDENTITY.bot_identity / "logs/strategy.log").open()]
    told = [one for one in logged if one.get("strategy") == "mid" and "instead of" in one.get("reason", "")]
    assert told, "strategy, reason, context and time stand in the log"
    assert all(one["context"] and one["timestamp"].endswith("Z") for one in told)

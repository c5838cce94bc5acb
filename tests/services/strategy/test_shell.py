"""The service as the runtime gets it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bus import inverse_etfs
from bus.assembly import CannotStartError, Setup
from bus.decider import Shell
from bus.messages import SignalRaised, SignalSuppressed
from config.identity import Identity
from config.logs import LineFormatter
from config.paths import HomePaths
from services.strategy import close, mid
from services.strategy import open as opening_range
from services.strategy.core import StrategyCore
from services.strategy.shell import build

BREAKS: dict[str, tuple[str, Any]] = {
    "open": ("_KNOWN_BARS_PERCENT", 10),
    "mid": ("TRAIL_BPS_MIN", 400),
    "close": ("share_of", lambda prices, _ppm: prices * 0),
}


def setup_of(make: Any, **env: str) -> Setup:
    identity = Identity(
        entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    return Setup(paths=HomePaths(Path("home")), env=make.settings(**env), identity=identity)


def test_build_when_settings_are_proposals_then_no_fault_and_no_world_is_touched(make: Any) -> None:
    assembly = build(setup_of(make))
    assert isinstance(assembly.core, StrategyCore)
    assert type(assembly.shell) is Shell
    assert assembly.feed is None
    assert assembly.self_check() == ()


def test_self_check_when_several_things_are_wrong_then_all_are_said(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_range, "_KNOWN_BARS_PERCENT", 10)
    monkeypatch.setattr(inverse_etfs, "faults", lambda: ("the table is wrong",))
    faults = build(setup_of(make)).self_check()
    assert faults[0] == "the table is wrong"
    assert len(faults) > 1
    assert all("The self-check of strategy open failed at 2" in fault for fault in faults[1:])


@pytest.mark.parametrize(("strategy", "broken"), [("open", opening_range), ("mid", mid), ("close", close)])
def test_self_check_when_a_strategy_fails_then_the_start_is_refused_and_logged_with_its_fields(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, strategy: str, broken: Any
) -> None:
    # Each strategy's arithmetic is broken in another place.
    monkeypatch.setattr(broken, *BREAKS[strategy])
    with pytest.raises(CannotStartError, match=f"self-check of strategy {strategy} failed"):
        build(setup_of(make)).checked()
    (record, *_) = caplog.records
    line = json.loads(LineFormatter("strategy", "JSON").format(record))
    assert (line["strategy"], line["level"], line["service"]) == (strategy, "ERROR", "strategy")
    assert line["timestamp"].endswith("Z")
    assert "instead of" in line["reason"]
    assert "name" in line["context"]
    assert line["reason"] in line["message"]
    assert re.search(r"failed at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z: ", line["message"])


def test_a_signal_when_messages_wait_too_long_is_suppressed_and_other_events_stay(make: Any) -> None:
    when_stalled = build(setup_of(make)).when_stalled
    signal = SignalRaised(
        ts_event=5,
        ts_init=6,
        signal_id="s",
        session_date="2013-10-08",
        strategy="open",
        symbol="SPY",
        direction="BULLISH",
        instrument="SPY",
        reference_micros=1,
        trail_bps=1,
        expires_ns=1,
        exit_at_ns=1,
        reasons=(),
    )
    suppressed = when_stalled(signal)
    assert isinstance(suppressed, SignalSuppressed)
    assert (suppressed.symbol, suppressed.rule) == ("SPY", "unacknowledged")
    assert when_stalled(suppressed) is suppressed

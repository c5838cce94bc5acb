"""The log of calls to a broker: a line for each, with what was asked, how it ended, and no secret."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus import messages as m
from bus.assembly import Setup
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY
from services.execution.brokers.call_log import FILE, CallLog, LoggedBroker
from services.execution.brokers.interface import Broker, RetryableBrokerError
from services.execution.shell import build

UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]


def logged(kit: Any, open_broker: Callable[..., Any], folder: Path) -> Any:
    """Return an armed rig whose broker's calls are written down."""
    double = kit.Unreliable(open_broker())
    rig = kit.Rig(LoggedBroker(double, CallLog(folder, "FAKE")))
    rig.double = double
    return rig.armed()


def test_calls_when_an_order_is_bought_then_each_has_a_line_with_what_came_back(
    kit: Any, open_broker: Callable[..., Any], tmp_path: Path
) -> None:
    rig = logged(kit, open_broker, tmp_path)
    kit.enter(rig)
    assert len(kit.fills(rig)) == 1
    found = lines(tmp_path)
    submits = [line for line in found if line["call"] == "submit"]
    assert [line["about"].split()[0] for line in submits] == [kit.order_id("entry"), kit.order_id("stop")]
    assert submits[0]["about"].endswith("BUY 100000000000 nanos SPY MARKET")
    assert {line["result"] for line in submits} == {"BrokerAccepted"}
    assert {"account", "activities", "executions", "open orders"} <= {line["call"] for line in found}
    assert all(UTC.fullmatch(line["timestamp"]) and line["broker"] == "FAKE" and line["ms"] >= 0 for line in found)
    called = [call for call in rig.double.calls if call in {"submit", "lookup", "executions_after", "open_orders"}]
    names = {"submit": "submit", "lookup": "look-up", "executions_after": "executions", "open_orders": "open orders"}
    told = [line["call"] for line in found if line["call"] in names.values()]
    assert told == [names[call] for call in called]


def test_call_when_it_fails_then_its_line_says_how_and_the_error_goes_on(
    kit: Any, open_broker: Callable[..., Any], tmp_path: Path
) -> None:
    rig = logged(kit, open_broker, tmp_path)
    rig.market(kit.spy(1))
    rig.double.errors["submit"] = [RetryableBrokerError("reset by the peer")]
    rig.give(kit.submit())
    [line] = [line for line in lines(tmp_path) if line["call"] == "submit"]
    assert line["result"] == "RetryableBrokerError: reset by the peer"
    assert any(isinstance(event, m.OrderUnknown) for event in rig.journal)


@pytest.mark.parametrize("broker", ["PAPER", "ALPACA"])
def test_build_when_the_broker_is_in_another_house_then_its_calls_are_written_down(tmp_path: Path, broker: str) -> None:
    paths = HomePaths(tmp_path)
    paths.make()
    outside = {"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true", "ALPACA_ENDPOINT": "simulator"}
    env = parse(proposals() | (outside if broker == "ALPACA" else {}))
    assembly = build(Setup(paths=paths, env=env, identity=DEMO_IDENTITY))
    # Nobody listens there: that is no fault of this check, and a call all the same.
    assembly.self_check()
    assembly.shell.close()
    folder = paths.output / DEMO_IDENTITY.bot_identity / "logs"
    assert [(line["call"], line["broker"]) for line in (lines(folder) if (folder / FILE).exists() else [])] == (
        [] if broker == "PAPER" else [("check", "ALPACA")]
    )


def test_calls_when_logged_then_every_call_of_the_port_is_handed_on() -> None:
    own = {name for name, value in vars(LoggedBroker).items() if not name.startswith("_") and value}
    port = {name for name, value in vars(Broker).items() if not name.startswith("_") and value}
    assert own == port

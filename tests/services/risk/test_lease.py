"""Risk's lease: granted only while everything it stands on is known; each fact removed in turn refuses, in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus import messages as m
from bus.assembly import Setup
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.risk.lease import lease_refusal
from services.risk.shell import build


def _hold(world: Any) -> None:
    world.hear(world.signal())
    world.hear(world.fill())


def test_lease_when_everything_is_known_then_is_granted_with_and_without_a_position(new_world: Any) -> None:
    world = new_world().ready()
    assert lease_refusal(world.state) is None
    _hold(world)
    assert lease_refusal(world.state) is None


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("plan", "risk knows no session plan"),
        ("account", "risk knows no account report for 2013-10-08"),
        ("armed", "not armed: no operator has armed the chain yet"),
    ],
)
def test_lease_when_an_input_is_missing_then_is_refused_by_its_name(new_world: Any, missing: str, words: str) -> None:
    world = new_world()
    world.hear(*(message for name, message in world.inputs().items() if name != missing))
    assert lease_refusal(world.state) == words


def test_lease_when_risk_has_not_started_then_is_refused() -> None:
    assert lease_refusal(None) == "risk has not read its journal yet"


def test_lease_when_the_account_is_of_another_day_then_is_refused(new_world: Any) -> None:
    world = new_world()
    world.hear(world.plan(), world.armed(), world.account(day="2013-10-07"))
    assert lease_refusal(world.state) == "risk knows no account report for 2013-10-08"


def _disarm(world: Any) -> None:
    world.hear(m.ChainDisarmed(ts_event=0, ts_init=0, detail="stopped by ann"))


def _halt(world: Any) -> None:
    world.hear(m.HaltRaised(ts_event=0, ts_init=0, counter=3, source="watchdog", rule="dead", detail="ledger is dead"))


def _halt_by_file(world: Any) -> None:
    world.hear(m.HaltRaised(ts_event=0, ts_init=0, counter=0, source="watchdog", rule="control_file", detail="kill"))


def _lose(world: Any) -> None:
    world.hear(world.signal())
    world.hear(world.fill(shares=400), world.quotes(AAA=40_00))
    world.settle()


def _oversell(world: Any) -> None:
    world.hear(world.fill(side="SELL"))


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (_disarm, "not armed: stopped by ann"),
        (_halt, "halt 3: ledger is dead"),
        (_halt_by_file, "not armed: kill"),
        (_lose, "the kill switch tripped this session"),
        (_oversell, "the books disagree: AAA: execution"),
    ],
)
def test_lease_when_something_stops_the_day_then_is_refused_and_says_what(
    new_world: Any, happens: Callable[[Any], None], words: str
) -> None:
    world = new_world().ready()
    happens(world)
    assert str(lease_refusal(world.state)).startswith(words)
    assert str(lease_refusal(world.restarted().state)).startswith(words), "a restart forgets why"


def test_lease_when_a_restart_has_no_bid_for_a_position_then_is_refused_until_it_is_heard(new_world: Any) -> None:
    world = new_world().ready()
    _hold(world)
    again = world.restarted()
    assert lease_refusal(again.state) == "the day's result is not known: no bid heard for AAA"
    again.hear(again.quotes(AAA=50_00))
    assert lease_refusal(again.state) is None


def test_lease_when_the_kill_switch_tripped_yesterday_then_is_granted_today(new_world: Any) -> None:
    world = new_world().ready()
    _lose(world)
    world.hear(world.fill(side="SELL", shares=400), world.closed())
    world.hear(world.plan(session_date="2013-10-09"), world.account(day="2013-10-09"))
    assert lease_refusal(world.state) is None


def test_the_service_when_it_runs_answers_from_its_newest_state(tmp_path: Path, new_world: Any) -> None:
    identity = Identity(
        entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    assembly = build(Setup(paths=HomePaths(tmp_path), env=parse(proposals()), identity=identity))
    world = new_world()
    assert assembly.lease_refusal() == "risk has not read its journal yet"
    assembly.shell.on_start(world.state, 0)
    assert assembly.lease_refusal() == "risk knows no session plan"
    world.ready()
    assembly.shell.after_commit(world.state, world.armed(), 0)
    assert assembly.lease_refusal() is None
    _hold(world)
    unmarked = world.restarted()
    assembly.shell.on_market(unmarked.state, world.quotes(BBB=20_00), 0)
    assert assembly.lease_refusal() == "the day's result is not known: no bid heard for AAA"

"""Each routine of TEST_MODE against a subject that is broken: a check that cannot fail is no check.

Those that need a session's files are in tests/processes/test_selftest.py, with real files that are then broken.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bus.keys import make_pairs
from bus.messages import ChainArmed, HaltRaised, OrderPrepared
from bus.test_mode import FLAG_FILE
from config.env_bot import proposals
from config.paths import HomePaths
from config.vault import Secrets, Vault
from replay.selftest import chain, outside
from replay.selftest.chain import halt_faults, halt_rearm, service_faults, working_entries
from replay.selftest.ground import TEST_IDENTITY, Ground, RoutineFailedError
from replay.selftest.outside import broker_dry_run, dry_run_faults, letter_faults, notification
from replay.selftest.untouched import production_untouched, sums_of
from services.execution.brokers import reports as r
from services.execution.brokers.interface import OrderRequest
from services.execution.brokers.paper import PaperBroker

UP = {"service": "risk", "status": "up", "detail": "", "outbox_depth": 0}
HALT = HaltRaised(ts_event=1, ts_init=1, counter=4, source="web", rule="operator", detail="TEST_MODE")
ARMED = ChainArmed(ts_event=1, ts_init=1, halt_counter=4, operator="ann", reason="TEST_MODE")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    production = HomePaths(tmp_path / "home")
    production.make()
    paths = HomePaths(tmp_path / "tests")
    paths.make()
    return Ground(production=production, identity=TEST_IDENTITY, paths=paths, is_live=False)


def prepared(leg: Any) -> OrderPrepared:
    return OrderPrepared(
        ts_event=1, ts_init=1, client_order_id="tb1-a", intent_id="i1", leg=leg, attempt=1, session_date="2025-03-12",
        strategy="open", symbol="AAPL", side="BUY", qty_nanos=1, order_type="LIMIT", limit_micros=1, stop_micros=0,
        trail_bps=100, expires_ns=1, cancel_at_ns=1, exit_at_ns=1, reason="breakout",
    )  # fmt: skip


# bus up


def test_services_when_one_is_down_or_none_is_told_then_fails() -> None:
    assert service_faults([UP]) == []
    assert service_faults([UP, {**UP, "service": "ledger", "status": "down", "detail": "frozen"}]) == [
        "ledger is down: frozen"
    ]
    assert service_faults([]) == ["the watchdog tells of no service"]


# broker dry run


class KeepsOrders(PaperBroker):
    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        return ()


class TakesTwice(PaperBroker):
    def submit(self, request: OrderRequest) -> r.OrderReport:
        self._count = getattr(self, "_count", 0) + 1
        ts = request.ts_ns
        return r.BrokerAccepted(
            ts_event=ts, ts_init=ts, client_order_id=request.client_order_id, broker_order_id=str(self._count)
        )


class TakesMoney(PaperBroker):
    def account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        self._asked = getattr(self, "_asked", 0) + 1
        return r.BrokerAccount(
            ts_event=1, ts_init=1, session_date="", broker="PAPER", cash_micros=-self._asked, buying_power_micros=0,
            symbols=(), qtys_nanos=(),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (KeepsOrders, "the cancel was not carried out"),
        (TakesTwice, "the same order again was answered with BrokerAccepted"),
        (TakesMoney, "cash or positions are not what they were"),
    ],
)
def test_dry_run_when_the_broker_is_broken_then_fails(ground: Ground, kind: type[PaperBroker], says: str) -> None:
    broker = kind(ground.paths.state / "broker.db", starting_cash_micros=10**10)
    faults = dry_run_faults(broker, ground)
    broker.close()
    assert says in "; ".join(faults)


def test_dry_run_when_the_broker_keeps_its_promises_then_passes(ground: Ground) -> None:
    assert "no money and no share moved" in broker_dry_run(ground)


@pytest.mark.parametrize(("name", "asked"), [("PAPER", []), ("ALPACA", ["alpaca"]), ("IBKR", ["ibkr"])])
def test_dry_run_when_the_broker_of_the_settings_shall_be_asked_then_it_is_and_a_refusal_fails(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, name: str, asked: list[str]
) -> None:
    ground.asks_broker = True
    keep(ground.production, BROKER_NAME=name)
    questions: list[bytes] = []
    answers = iter([b'{"is_in": true, "words": ["It answers."]}', b'{"is_in": false, "words": ["401."]}'])

    def command(_self: Ground, *arguments: str, home: HomePaths, given: bytes, codes: Sequence[int]) -> str:
        assert arguments == ("-m", "services.execution", "--test-connection")
        assert home == ground.production
        questions.append(given)
        return next(answers).decode()

    monkeypatch.setattr(Ground, "command", command)
    assert ("It answers." if asked else "nobody else to ask") in broker_dry_run(ground)
    assert [provider for provider in ("alpaca", "ibkr") if any(provider.encode() in one for one in questions)] == asked
    if asked:
        (ground.paths.state / "dry_run_broker.db").unlink()
        with pytest.raises(RoutineFailedError, match="does not let the bot in: 401"):
            broker_dry_run(ground)


def keep(home: HomePaths, **settings: str) -> None:
    """Make a home whose vault has these settings."""
    Vault(home).provision(
        Secrets(
            generation=0,
            settings=proposals() | settings,
            identity=TEST_IDENTITY,
            users=(),
            credentials={},
            coa={},
            curve=make_pairs(),
        )
    )


# halt and re-arm


class DeafBrowser:
    """The pages of a chain that trades on, whatever button is pressed."""

    def fill_in(self, path: str, values: dict[str, str]) -> str:
        return "/"

    def snapshot(self) -> dict[str, Any]:
        return {"fills": [{}]}


class DeafStage:
    browser = DeafBrowser()

    def arm(self, reason: str) -> None:
        return

    def chain_state(self) -> dict[str, Any]:
        return {"state": "ACTIVE", "detail": "Armed."}


def test_halt_when_the_chain_trades_on_then_fails(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_HALT_S", 0.3)
    ground.stage = DeafStage()  # type: ignore[assignment] # what the routine uses of a chain
    with pytest.raises(RoutineFailedError, match="the chain does not halt"):
        halt_rearm(ground)


def test_halt_when_execution_enters_against_it_or_never_heard_of_it_then_fails() -> None:
    assert halt_faults([prepared("entry"), HALT, prepared("exit"), ARMED, prepared("entry")], 4) == []
    assert halt_faults([HALT, prepared("entry"), ARMED], 4) == [
        "an entry order for AAPL was prepared while halt 4 stood"
    ]
    assert halt_faults([prepared("entry")], 4) == ["execution has not heard of halt 4"]
    assert halt_faults([HALT], 5) == ["execution has not heard of halt 5"]


def test_halt_when_an_entry_still_works_then_it_is_seen() -> None:
    lines = [{"symbol": "A", "leg": "entry", "state": "WORKING"}, {"symbol": "B", "leg": "stop", "state": "WORKING"}]
    assert working_entries({"orders": {"orders": lines}}) == ["A"]
    assert working_entries({"orders": None}) == []


# notification


class Letterbox:
    def __init__(self, *letters: tuple[str, str]) -> None:
        self._letters = list(letters)

    def letters(self) -> list[tuple[str, str]]:
        return self._letters


def test_notification_when_no_letter_comes_then_fails_with_what_the_watchdog_remarks(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(DeafStage):
        def chain_state(self) -> dict[str, Any]:
            return {"services": [{"detail": "notices by mail are not sent: refused"}]}

    monkeypatch.setattr(outside, "_LETTERS_S", 0.1)
    ground.stage = Told()  # type: ignore[assignment] # what the routine uses of a chain
    ground.sink = Letterbox(("[TEST] open: bought 1 SPY", "bought"))  # type: ignore[assignment] # the same
    with pytest.raises(RoutineFailedError, match=r"no letter tells of the halt.*are not sent: refused"):
        notification(ground)


def test_letters_when_one_of_each_came_then_pass() -> None:
    assert letter_faults([("HALTED: operator (and 2 more)", "bought 1 SPY\nsold 1 SPY")]) == []
    assert len(letter_faults([])) == 3


def test_notification_when_people_shall_be_written_to_and_no_way_is_set_then_fails_and_says_so(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.sends_letter = True
    ground.sink = Letterbox(("HALTED", "bought and sold"))  # type: ignore[assignment] # what the routine uses of it
    said = b'{"is_in": false, "words": ["SMTP_HOST is empty."]}'
    homes: list[HomePaths] = []

    def command(_self: Ground, *_arguments: str, home: HomePaths, given: bytes, codes: Sequence[int]) -> str:
        homes.append(home)
        assert b"provider" in given
        return said.decode()

    monkeypatch.setattr(Ground, "command", command)
    with pytest.raises(RoutineFailedError, match="mail: SMTP_HOST is empty"):
        notification(ground)
    assert homes == [ground.production, ground.production]


# production untouched


def test_production_when_a_file_changes_comes_or_goes_then_fails_and_names_it(ground: Ground) -> None:
    home = ground.production
    for name in ("kept", "gone", "changed"):
        (home.entities / name).write_text(name)
    ground.before = sums_of(home, TEST_IDENTITY, is_live=False)
    assert "All 3 files" in production_untouched(ground)
    (home.entities / "gone").unlink()
    (home.entities / "changed").write_text("other")
    (home.control / "arm.json").touch()
    with pytest.raises(RoutineFailedError) as found:
        production_untouched(ground)
    assert str(found.value) == "control/arm.json is new, entities/changed was changed, entities/gone is gone"


def test_production_when_a_chain_runs_on_it_then_only_what_it_writes_all_the_time_does_not_count(
    ground: Ground,
) -> None:
    home = ground.production
    own = home.output / TEST_IDENTITY.bot_identity
    for folder in (own / "logs", own / "test_mode" / "r", home.root / "test_home"):
        folder.mkdir(parents=True, exist_ok=True)
    before = sums_of(home, TEST_IDENTITY, is_live=True)
    for path in (home.state / "risk.db", own / "logs" / "risk.log", home.entities / "ledger.db-wal", home.run / "x"):
        path.write_text("written all the time")
    for path in (own / "test_mode" / "r" / "run.json", home.root / "test_home" / "x", home.control / FLAG_FILE):
        path.write_text("of the run itself")
    assert sums_of(home, TEST_IDENTITY, is_live=True) == before
    assert len(sums_of(home, TEST_IDENTITY, is_live=False)) == 4
    for path in (home.control / "arm.json", home.entities / "ledger.db", home.keys / "k", own / "trades.csv"):
        path.write_text("nobody should")
    assert len(sums_of(home, TEST_IDENTITY, is_live=True)) == 4

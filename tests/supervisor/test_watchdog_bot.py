"""The watchdog: one plan, one halt for each cause, a chain that is active only when all of it is ready and armed."""

import importlib.util
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from bus.assembly import CannotStartError, Ports, Setup
from bus.ballast import BALLAST_FILE, Ballast
from bus.boot_book import BOOTS_FILE
from bus.calendar import ExchangeDay
from bus.clock import SessionClock, iso_utc, on_host, utc_ns
from bus.codec import decode_message, encode_message
from bus.control import KILL_FILE, START_FILE, ControlFolder
from bus.halt import ArmRecord
from bus.lifecycle import MEANING, NO_LEASE, effects
from bus.local import OpenGate
from bus.messages import (
    MICROS,
    ChainArmed,
    ChainDisarmed,
    ChainState,
    ChainStatus,
    EntrySuspended,
    HaltRaised,
    Heartbeat,
    KillSwitchTripped,
    Message,
    ServiceName,
)
from bus.node import Node
from bus.processes import ROOT
from bus.status_file import STATUS_FILE, StatusFile, StatusRecord
from bus.store import Store
from bus.testing import CLOSE_NS, OPEN_NS, a_beat, a_deposit, a_halt, a_plan
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY

MS = 1_000_000
MIB = 1024 * 1024
TICK_NS = 250 * MS
CRITICAL: tuple[ServiceName, ...] = ("screener", "strategy", "risk", "execution", "ledger")
TRIPPED = KillSwitchTripped(
    ts_event=1, ts_init=1, session_date="2013-10-08", pnl_micros=-1500 * MICROS, limit_micros=1000 * MICROS
)
SUSPENDED = EntrySuspended(ts_event=1, ts_init=1, source_event_id="PAPER:PX-000007:FILL", detail="no such account")
ARMED = ChainArmed(ts_event=1, ts_init=1, halt_counter=0, operator="ann", reason="test")
DISARMED = ChainDisarmed(ts_event=1, ts_init=1, detail="not armed")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("watchdog_bot", ROOT / "supervisor" / "watchdog_bot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bot = _load()


class StillClock:
    """A host whose clocks stand still until a test moves them; its wall clock can be set apart from its boot clock."""

    def __init__(self) -> None:
        self.ns = 10_000 * MS
        self.set_by_ns = 0

    def boot_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return OPEN_NS + self.ns + self.set_by_ns


def _exchange_day(_day: str) -> ExchangeDay:
    return ExchangeDay(day="2013-10-08", is_session=True, open_ns=OPEN_NS, close_ns=CLOSE_NS, is_half_day=False)


class Rig:
    """A watchdog's shell on a home; time goes on by `tick` alone. A second one on the same home is a restart."""

    def __init__(self, paths: HomePaths, clock: StillClock, **settings: str) -> None:
        self.paths = paths
        self.clock = clock
        self.control = ControlFolder(paths)
        self.said: list[ChainStatus] = []
        self.raised: list[str] = []
        self.free_bytes = 1024 * MIB
        env = parse(proposals() | settings)
        self.shell = bot.WatchdogShell(
            Setup(paths=paths, env=env, identity=DEMO_IDENTITY),
            read_day=_exchange_day,
            free_bytes=lambda _path: self.free_bytes,
        )
        self.shell.attach(Ports(OpenGate(), self._hear, self._halted))

    def _hear(self, status: object) -> None:
        assert isinstance(status, ChainStatus)
        assert decode_message(encode_message(status)) == status, "what is said must pass the catalogue's own limits"
        self.said.append(status)

    def _halted(self, rule: str, detail: str) -> None:
        self.raised.append(rule)
        self.control.raise_halt_once("watchdog", rule, detail)

    def restarted(self) -> "Rig":
        """Return the watchdog as another process."""
        again = Rig(self.paths, self.clock)
        again.shell.on_start({}, 0)
        return again

    def status_file(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.paths.output / STATUS_FILE).read_bytes())
        return found

    def beat(self, *names: ServiceName, boot_id: str = "one", **changes: Any) -> None:
        for name in names:
            self.shell.on_status(name, replace(a_beat(name, boot_id), **changes))

    def tick(self, after_ns: int = TICK_NS) -> str:
        """Let the watchdog look once, and return the state that it publishes."""
        self.clock.ns += after_ns
        self.shell.on_idle({}, 0)
        return self.said[-1].state

    def tick_alive(self) -> str:
        self.beat(*CRITICAL)
        return self.tick()

    def arm(self, expires: str = "") -> None:
        self.control.arm(
            ArmRecord(
                operator="ann",
                reason="test",
                armed_at_utc=iso_utc(utc_ns()),
                halt_counter=self.control.read().halt_counter,
                generation=1,
                build="b1",
                expires=expires,
            )
        )

    def activate(self) -> None:
        self.arm()
        assert self.tick_alive() == "ACTIVE"

    def deliver(self, sender: ServiceName, message: Message) -> None:
        """Give the watchdog the first message of a stream, as the runtime does over its file on disk."""
        assembly = bot.Assembly(core=bot.WatchdogCore(), shell=self.shell)
        store = Store(self.paths.state / "watchdog.db", "NORMAL")
        node = Node("watchdog", assembly, store, clock=SessionClock(follows_feed=True), on_event=lambda _event: None)
        try:
            node.on_reliable(sender, "e", 1, message)
        finally:
            node.close()

    def halts(self) -> list[str]:
        return sorted(path.name for path in self.paths.halts.glob("*.json"))

    def newest(self) -> tuple[str, str]:
        halt = self.control.read().halt
        assert halt is not None
        return halt.rule, halt.detail


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    clock = StillClock()
    monkeypatch.setattr(bot, "build_id", lambda: "b1")
    paths = HomePaths(tmp_path)
    paths.make()
    with on_host(clock):
        yield Rig(paths, clock)


def _decided(state: dict[str, Message], message: Message) -> tuple[list[Message], dict[str, Message]]:
    core = bot.WatchdogCore()
    events = list(core.decide(state, message, 0))
    for event in events:
        state = core.evolve(state, event)
    return events, state


# --- core --------------------------------------------------------------------------------------------------------


def test_a_plan_when_new_is_passed_on_once_whenever_it_was_made() -> None:
    events, state = _decided(bot.WatchdogCore().initial(), a_plan())
    assert events == [a_plan()]
    assert _decided(state, replace(a_plan(), ts_init=99))[0] == []
    other = a_plan("2013-10-09")
    events, state = _decided(state, other)
    assert events == [other]
    assert _decided(state, replace(other, flatten_ns=CLOSE_NS))[0] != []


def test_a_halt_when_heard_again_or_out_of_order_is_passed_on_once() -> None:
    events, state = _decided({}, a_halt(2))
    assert events == [a_halt(2)]
    assert _decided(state, a_halt(2))[0] == []
    assert _decided(state, a_halt(1))[0] == []
    assert _decided(state, a_halt(3))[0] == [a_halt(3)]


@pytest.mark.parametrize("message", [TRIPPED, SUSPENDED, ARMED, DISARMED], ids=lambda m: type(m).__name__)
def test_a_message_when_it_explains_a_stop_is_journaled_and_leaves_the_memory_as_it_is(message: Message) -> None:
    _, before = _decided({}, a_plan())
    events, after = _decided(before, message)
    assert events == [message]
    assert after == before


def test_a_message_when_it_is_not_the_watchdogs_business_is_dropped() -> None:
    assert _decided({}, a_deposit())[0] == []
    assert bot.WatchdogCore().settle({}, 0) == ()
    assert bot.WatchdogCore().snapshot({}, 0) == ()


# --- the chain's state -------------------------------------------------------------------------------------------


def test_the_chain_when_services_come_up_one_by_one_starts_until_the_last_is_ready(rig: Rig) -> None:
    assert rig.tick() == "STARTING"
    for number, name in enumerate(CRITICAL):
        assert rig.tick() == "STARTING"
        assert name in rig.said[-1].detail
        rig.beat(*CRITICAL[: number + 1])
    assert rig.tick() == "DISARMED"
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"
    assert rig.said[-1].armed_by == "ann"
    assert rig.halts() == []


@pytest.mark.parametrize("missing", CRITICAL)
def test_the_chain_when_armed_but_one_service_is_missing_does_not_get_active(rig: Rig, missing: ServiceName) -> None:
    rig.arm()
    for _ in range(3):
        rig.beat(*(name for name in CRITICAL if name != missing))
        assert rig.tick() == "STARTING"
        assert f"{missing} has not been heard yet" in rig.said[-1].detail
    rig.beat(*CRITICAL)
    assert rig.tick() == "ACTIVE"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "waits for the session plan"}, "risk: waits for the session plan"),
        ({"state": "cannot start: no folder"}, "cannot start: no folder"),
        ({"outbox_depth": 3}, "3 message"),
        ({"build": "b2"}, "another build"),
    ],
)
def test_the_chain_when_a_service_is_not_ready_or_of_another_build_never_gets_ready(
    rig: Rig, changes: dict[str, Any], words: str
) -> None:
    rig.arm()
    for _ in range(3):
        rig.beat(*CRITICAL)
        rig.beat("risk", **changes)
        assert rig.tick() == "STARTING"
    assert words in rig.said[-1].detail
    assert rig.shell.lease_refusal() is not None


def test_the_chain_when_disarmed_and_a_service_falls_silent_starts_again_without_a_halt(rig: Rig) -> None:
    assert rig.tick_alive() == "DISARMED"
    assert rig.tick(2000 * MS) == "STARTING"
    assert "silent" in rig.said[-1].detail
    assert rig.halts() == []
    assert rig.tick_alive() == "DISARMED"


def test_the_chain_when_armed_for_another_build_stays_disarmed(rig: Rig) -> None:
    rig.beat(*CRITICAL)
    rig.arm()
    record = rig.control.read().arm
    assert record is not None
    rig.control.arm(replace(record, build="b2"))
    assert rig.tick() == "DISARMED"


def test_the_chain_when_stopped_by_an_operator_reduces_until_armed_again(rig: Rig) -> None:
    rig.activate()
    rig.control.request_stop("ann")
    assert rig.tick_alive() == "REDUCING"
    assert rig.halts() == []
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"


# --- the lease ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["STARTING", "DISARMED", "HALTED"])
def test_a_lease_when_the_chain_is_not_active_is_refused(rig: Rig, state: ChainState) -> None:
    rig.activate()
    assert rig.shell.lease_refusal() is None
    rig.shell._state = state
    assert state in str(rig.shell.lease_refusal())


def _stop(rig: Rig) -> None:
    rig.control.request_stop("ann")


def _halt(rig: Rig) -> None:
    rig.control.raise_halt("risk", "test", "a test")


def _wait(rig: Rig) -> None:
    rig.clock.ns += 501 * MS


def _set_clock(rig: Rig) -> None:
    rig.clock.set_by_ns = -5001 * MS


def _fill_disk(rig: Rig) -> None:
    rig.free_bytes = 256 * MIB


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_stop, "stopped: arm it again"),
        (_halt, "halted: a test"),
        (lambda rig: (rig.paths.control / START_FILE).unlink(), "control_start.txt was removed"),
        (lambda rig: (rig.paths.control / KILL_FILE).touch(), "kill.txt is present"),
        (lambda rig: (rig.paths.halts).rmdir(), "cannot be read"),
        (_wait, "no heartbeat from screener for 751 ms"),
        (lambda rig: rig.beat("ledger", ends=True), "ledger was stopped"),
        (lambda rig: rig.beat("ledger", oldest_unacked_ms=2001), "not acknowledged for over 2 s"),
        (lambda rig: rig.beat("execution", reconciled_ms=-1), "agreement with the broker"),
        (_set_clock, "the wall clock was set by -5.0 s"),
        (_fill_disk, "256 MiB free"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_a_lease_when_a_condition_is_lost_is_refused_before_the_next_look(
    rig: Rig, spoil: Callable[[Rig], object], words: str
) -> None:
    rig.activate()
    assert rig.shell.lease_refusal() is None
    spoil(rig)
    assert words in str(rig.shell.lease_refusal())


def test_an_active_chain_when_it_gets_no_lease_says_why_and_what_that_stops(rig: Rig) -> None:
    rig.activate()
    assert (rig.said[-1].detail, rig.said[-1].stopped) == (MEANING["ACTIVE"], "Nothing.")
    rig.beat(*CRITICAL)
    rig.beat("execution", reconciled_ms=-1)
    assert rig.tick() == "ACTIVE"
    assert "No lease is granted now: execution has not found itself in agreement" in rig.said[-1].detail
    assert rig.said[-1].stopped == NO_LEASE.stopped
    assert rig.halts() == []


def test_the_wall_clock_when_set_a_little_is_shown_and_when_set_far_ends_the_leases(rig: Rig) -> None:
    rig.activate()
    rig.clock.set_by_ns = 1500 * MS
    rig.tick_alive()
    assert "Warning: the wall clock was set by +1.5 s" in rig.said[-1].detail
    assert rig.shell.lease_refusal() is None
    rig.clock.set_by_ns = 6000 * MS
    rig.tick_alive()
    assert "No lease is granted now: the wall clock was set by +6.0 s" in rig.said[-1].detail
    assert "Warning" not in rig.said[-1].detail


def test_an_arm_record_when_its_session_is_over_is_turned_into_a_stop(rig: Rig) -> None:
    rig.shell.on_start({}, 0)
    rig.beat(*CRITICAL)
    rig.arm(expires="2013-10-08")
    assert rig.tick() == "ACTIVE"
    rig.beat(*CRITICAL)
    rig.beat("execution", ts_event=CLOSE_NS - 1)
    assert rig.tick() == "ACTIVE"
    rig.beat("execution", ts_event=CLOSE_NS)
    assert "the session of 2013-10-08, which is over" in str(rig.shell.lease_refusal())
    rig.beat(*(name for name in CRITICAL if name != "execution"))
    assert rig.tick() == "REDUCING"
    assert "the session of 2013-10-08, which is over" in rig.said[-1].detail
    assert rig.control.read().is_stop_requested
    assert rig.halts() == []


def test_an_arm_record_when_for_another_session_never_makes_the_chain_active(rig: Rig) -> None:
    rig.shell.on_start({}, 0)
    rig.arm(expires="2013-10-07")
    for _ in range(3):
        assert rig.tick_alive() != "ACTIVE"
    assert "2013-10-07" in rig.said[-1].detail


# --- halts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", CRITICAL)
@pytest.mark.parametrize("state", ["ACTIVE", "REDUCING"])
def test_a_critical_service_when_silent_in_an_armed_chain_halts_it_with_name_and_age(
    rig: Rig, service: ServiceName, state: str
) -> None:
    rig.activate()
    if state == "REDUCING":
        rig.control.request_stop("ann")
        assert rig.tick_alive() == "REDUCING"
    rig.shell._liveness.pulses[service].heard_ns = rig.clock.ns - 5000 * MS
    rig.beat(*(name for name in CRITICAL if name != service))
    assert rig.tick() == "HALTED"
    rule, detail = rig.newest()
    assert rule == "service_silent"
    assert f"{service} (5250 ms)" in detail
    assert not [name for name in CRITICAL if name != service and name in detail]
    assert service in rig.said[-1].detail
    assert rig.shell.lease_refusal() is not None
    rig.tick()
    rig.tick()
    assert rig.halts() == ["000001.json"]


def test_the_services_when_all_are_silent_are_named_in_one_halt(rig: Rig) -> None:
    rig.activate()
    assert rig.tick(60_000 * MS) == "HALTED"
    assert all(name in rig.newest()[1] for name in CRITICAL)
    assert rig.halts() == ["000001.json"]


@pytest.mark.parametrize("service", CRITICAL)
def test_a_critical_service_when_restarted_in_an_armed_chain_halts_it_with_its_name(
    rig: Rig, service: ServiceName
) -> None:
    rig.activate()
    rig.beat(service, boot_id="two")
    assert rig.newest()[0] == "service_restarted"
    assert f"{service} was restarted" in rig.newest()[1]
    rig.beat(*(name for name in CRITICAL if name != service))
    assert rig.tick() == "HALTED"


def test_a_service_when_restarted_before_arming_does_not_halt(rig: Rig) -> None:
    assert rig.tick_alive() == "DISARMED"
    rig.beat("risk", boot_id="two")
    rig.tick()
    assert rig.halts() == []


def test_the_web_ui_when_silent_or_restarted_does_not_halt_but_is_shown(rig: Rig) -> None:
    rig.beat("web")
    rig.activate()
    rig.clock.ns += 60_000 * MS
    assert rig.tick_alive() == "ACTIVE"
    web = next(line for line in rig.said[-1].services if line.service == "web")
    assert web.status == "down"
    rig.beat("web", boot_id="two")
    assert rig.tick_alive() == "ACTIVE"
    assert next(line for line in rig.said[-1].services if line.service == "web").restarts == 1
    assert rig.halts() == []


def test_a_heartbeat_when_it_names_another_service_than_its_sender_counts_for_nobody(rig: Rig) -> None:
    rig.shell.on_status("web", a_beat("risk"))
    rig.shell.on_status("risk", a_plan())
    assert "risk" not in rig.shell._liveness.pulses


def test_the_kill_file_when_present_raises_one_halt_and_not_one_for_each_tick(rig: Rig) -> None:
    rig.activate()
    (rig.paths.control / KILL_FILE).touch()
    for _ in range(5):
        assert rig.tick_alive() == "HALTED"
    assert rig.halts() == ["000001.json"]
    assert rig.newest()[0] == "kill_file"
    assert KILL_FILE in rig.said[-1].detail


def test_the_kill_file_when_the_arm_record_is_unreadable_raises_one_halt_and_not_one_for_each_tick(rig: Rig) -> None:
    rig.activate()
    (rig.paths.control / "arm.json").write_bytes(b"{broken")
    (rig.paths.control / KILL_FILE).touch()
    for _ in range(5):
        assert rig.tick_alive() == "HALTED"
    assert rig.halts() == ["000001.json"]


def test_the_kill_file_when_removed_leaves_the_chain_halted_until_armed(rig: Rig) -> None:
    rig.activate()
    (rig.paths.control / KILL_FILE).touch()
    assert rig.tick_alive() == "HALTED"
    (rig.paths.control / KILL_FILE).unlink()
    assert rig.tick_alive() == "HALTED"
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"


def test_the_kill_file_when_used_a_second_time_halts_as_the_first_time(rig: Rig) -> None:
    rig.activate()
    for count in (1, 2):
        (rig.paths.control / KILL_FILE).touch()
        assert rig.tick_alive() == "HALTED"
        (rig.paths.control / KILL_FILE).unlink()
        assert rig.tick_alive() == "HALTED", "only an operator arms again"
        assert len(rig.halts()) == count
        rig.activate()


@pytest.mark.parametrize(
    ("sender", "event", "rule", "words"),
    [
        ("risk", TRIPPED, "daily_loss_limit", ("$1,500.00", "$1,000.00")),
        ("ledger", SUSPENDED, "ledger_suspended", ("PAPER:PX-000007:FILL", "no such account")),
    ],
)
def test_an_event_when_the_chain_cannot_go_on_with_it_halts_once_with_the_reason(
    rig: Rig, sender: ServiceName, event: Message, rule: str, words: tuple[str, ...]
) -> None:
    rig.activate()
    for _ in range(2):
        rig.deliver(sender, event)
    assert rig.halts() == ["000001.json"]
    assert rig.newest()[0] == rule
    assert all(word in rig.newest()[1] for word in words)
    assert rig.tick_alive() == "HALTED"


def test_an_event_when_it_is_a_plan_or_a_halt_of_somebody_else_raises_no_halt(rig: Rig) -> None:
    for event in (a_plan(), a_halt(), ARMED, DISARMED):
        rig.shell.before_commit(event)
        assert rig.shell.after_commit({}, event, 0) == ()
    assert rig.halts() == []


def test_a_tripped_kill_switch_when_its_halt_could_not_be_written_halts_after_the_restart(rig: Rig) -> None:
    class FullDisk(ControlFolder):
        def raise_halt(self, source: str, rule: str, detail: str) -> Any:
            raise OSError(28, "No space left on device")

    rig.control = FullDisk(rig.paths)
    with pytest.raises(OSError, match="No space left"):
        rig.deliver("risk", TRIPPED)
    Rig(rig.paths, rig.clock).deliver("risk", TRIPPED)
    assert rig.newest()[0] == "daily_loss_limit"


def test_the_chain_when_armed_after_a_halt_must_be_ready_again_before_it_is_active(rig: Rig) -> None:
    rig.activate()
    rig.control.raise_halt("risk", "test", "a test")
    assert rig.tick_alive() == "HALTED"
    assert "a test" in rig.said[-1].detail
    rig.arm()
    rig.beat(*CRITICAL)
    rig.beat("ledger", outbox_depth=1)
    assert rig.tick() == "STARTING"
    assert rig.shell.lease_refusal() is not None
    assert rig.tick_alive() == "ACTIVE"


# --- plan and status ---------------------------------------------------------------------------------------------


def test_the_plan_when_the_watchdog_starts_is_made_of_the_calendar_and_shown(rig: Rig) -> None:
    (plan,) = rig.shell.on_start({}, 0)
    assert (plan.session_date, plan.open_ns, plan.close_ns) == ("2013-10-08", OPEN_NS, CLOSE_NS)
    rig.activate()
    minute = 60_000 * MS
    for now_ns, said in (
        (0, "IDLE"),
        (OPEN_NS - 61 * minute, "IDLE"),
        (OPEN_NS - minute, "PRE_OPEN"),
        (OPEN_NS, "ANALYZING"),
        (OPEN_NS + 15 * minute, "TRADING"),
        (OPEN_NS + 135 * minute, "MONITORING"),
        (CLOSE_NS - 5 * minute, "FLATTENING"),
        (CLOSE_NS, "CLOSED"),
    ):
        rig.beat(*CRITICAL, ts_event=now_ns)
        rig.tick()
        assert (rig.said[-1].session_date, rig.said[-1].bot_state) == ("2013-10-08", said)


def test_the_bot_when_the_chain_moves_follows_it(rig: Rig) -> None:
    rig.shell.on_start({}, 0)
    rig.tick()
    assert (rig.said[-1].state, rig.said[-1].bot_state) == ("STARTING", "PROVISIONED")
    rig.activate()
    _stop(rig)
    rig.tick_alive()
    assert rig.said[-1].bot_state == "REDUCING"
    _halt(rig)
    rig.tick_alive()
    assert rig.said[-1].bot_state == "HALTED"
    rig.beat("web", state="cannot start: the port is taken")
    rig.tick_alive()
    assert (rig.said[-1].state, rig.said[-1].bot_state) == ("HALTED", "ERROR")


@pytest.mark.parametrize("positions", ["keep", "flatten"])
def test_the_status_when_halted_says_what_is_stopped_by_the_setting(rig: Rig, positions: str) -> None:
    other = Rig(rig.paths, rig.clock, HALT_POSITIONS=positions)
    other.control.raise_halt("risk", "test", "a test")
    other.tick_alive()
    assert (other.said[-1].stopped, other.said[-1].goes_on) == effects("HALTED", positions)
    assert ("sold now" in other.said[-1].stopped) is (positions == "flatten")


def test_the_watchdog_when_the_day_is_not_in_the_calendar_cannot_start_and_says_so_to_readers_outside(
    rig: Rig,
) -> None:
    def no_such_day(day: str) -> ExchangeDay:
        raise CannotStartError(f"Not a day: {day}")

    shell = bot.WatchdogShell(
        Setup(paths=rig.paths, env=parse(proposals()), identity=DEMO_IDENTITY), read_day=no_such_day
    )
    with pytest.raises(CannotStartError, match="Not a day"):
        shell.on_start({}, 0)
    assert rig.status_file()["bot_state"] == "ERROR"
    assert "Not a day" in rig.status_file()["detail"]


def test_the_status_when_asked_for_more_often_is_published_five_times_a_second(rig: Rig) -> None:
    for _ in range(100):
        rig.clock.ns += 20 * MS
        rig.shell.on_idle({}, 0)
    assert len(rig.said) == 10


def test_the_watchdog_when_built_is_one_assembly_of_core_and_shell(rig: Rig) -> None:
    assembly = bot.build(Setup(paths=rig.paths, env=parse(proposals()), identity=DEMO_IDENTITY))
    assert isinstance(assembly.core, bot.WatchdogCore)
    assert "STARTING" in str(assembly.lease_refusal())
    assembly.on_status("risk", a_beat("risk"))
    assert isinstance(assembly.shell._liveness.pulses["risk"].beat, Heartbeat)
    assert isinstance(assembly.core.decide({}, a_halt(), 0)[0], HaltRaised)


def test_the_chain_when_a_message_is_not_acknowledged_for_too_long_halts(rig: Rig) -> None:
    rig.activate()
    rig.beat(*CRITICAL)
    rig.beat("risk", oldest_unacked_ms=5000)
    assert rig.tick() == "ACTIVE"
    rig.beat(*CRITICAL)
    rig.beat("risk", oldest_unacked_ms=5001)
    assert rig.tick() == "HALTED"
    assert rig.newest() == ("message_stuck", "messages of risk are not acknowledged for over 5 s")


# --- restarts ----------------------------------------------------------------------------------------------------


def test_the_chain_when_the_watchdog_alone_was_restarted_goes_on(rig: Rig) -> None:
    rig.activate()
    again = rig.restarted()
    assert again.shell.lease_refusal() is not None
    again.beat(*CRITICAL[:-1])
    assert again.tick() == "STARTING"
    assert again.tick_alive() == "ACTIVE"
    assert again.shell.lease_refusal() is None
    assert again.halts() == []


@pytest.mark.parametrize("others", [(name,) for name in CRITICAL] + [CRITICAL, CRITICAL[1:3]], ids=" ".join)
def test_the_chain_when_more_than_the_watchdog_was_restarted_waits_for_an_operator(
    rig: Rig, others: tuple[ServiceName, ...]
) -> None:
    rig.activate()
    again = rig.restarted()
    for _ in range(4):
        again.beat(*(name for name in CRITICAL if name not in others))
        again.beat(*others, boot_id="two")
        assert again.tick() != "ACTIVE"
        assert again.shell.lease_refusal() is not None
    assert again.said[-1].state == "DISARMED"
    named = "the chain" if others == CRITICAL else ", ".join(others)
    assert f"{named} was started anew since the chain was armed" in again.said[-1].detail
    assert again.halts() == []
    again.arm()
    again.beat(*(name for name in CRITICAL if name not in others))
    again.beat(*others, boot_id="two")
    assert again.tick() == "ACTIVE"


def test_the_chain_when_the_run_folder_is_empty_after_a_reboot_waits_for_an_operator(rig: Rig) -> None:
    rig.activate()
    (rig.paths.run / BOOTS_FILE).unlink()
    again = rig.restarted()
    assert again.tick_alive() == "DISARMED"
    assert "the chain was started anew" in again.said[-1].detail


def test_the_chain_when_armed_while_the_watchdog_was_away_waits_for_an_operator(rig: Rig) -> None:
    rig.activate()
    rig.clock.ns += TICK_NS
    rig.arm()
    again = rig.restarted()
    assert again.tick_alive() == "DISARMED"


def test_a_service_when_restarted_between_arming_and_active_stops_the_chain(rig: Rig) -> None:
    rig.arm()
    rig.beat("risk")
    assert rig.tick() == "STARTING"
    rig.beat(*CRITICAL)
    rig.beat("risk", boot_id="two")
    assert rig.tick() == "DISARMED"
    assert "risk was started anew" in rig.said[-1].detail


def test_a_service_when_restarted_after_it_died_and_the_chain_was_armed_again_belongs_to_it(rig: Rig) -> None:
    rig.activate()
    rig.clock.ns += 1000 * MS
    rig.beat(*(name for name in CRITICAL if name != "risk"))
    assert rig.tick(0) == "HALTED"
    rig.arm()
    rig.beat(*CRITICAL, boot_id="one")
    rig.shell._liveness.pulses["risk"].heard_ns -= 1000 * MS
    assert rig.tick(TICK_NS) == "STARTING"
    rig.beat(*(name for name in CRITICAL if name != "risk"))
    rig.beat("risk", boot_id="two")
    assert rig.tick() == "ACTIVE"


def test_a_service_when_restarted_four_times_in_a_minute_halts_the_chain_even_before_it_is_armed(rig: Rig) -> None:
    assert rig.tick_alive() == "DISARMED"
    for number in range(4):
        assert rig.halts() == []
        rig.clock.ns += 1000 * MS
        rig.beat("risk", boot_id=f"again{number}")
    assert rig.newest() == ("crash_loop", "risk was restarted more than 3 times in a minute")
    rig.tick()
    assert rig.said[-1].state == "HALTED"


def test_the_web_ui_when_in_a_crash_loop_does_not_halt(rig: Rig) -> None:
    for number in range(9):
        rig.beat("web", boot_id=f"again{number}")
    assert rig.halts() == []


def test_a_service_when_restarted_as_another_build_halts_by_that_rule(rig: Rig) -> None:
    rig.activate()
    rig.beat("risk", boot_id="two", build="b2")
    assert rig.newest()[0] == "mixed_build"
    assert "risk (b2)" in rig.newest()[1]
    assert rig.raised == ["mixed_build"]


# --- disk --------------------------------------------------------------------------------------------------------


def test_the_disk_when_nearly_full_halts_an_armed_chain_and_no_other(rig: Rig) -> None:
    rig.free_bytes = 0
    assert rig.tick_alive() == "DISARMED"
    rig.free_bytes = 300 * MIB
    rig.activate()
    rig.free_bytes = 255 * MIB
    assert rig.tick_alive() == "HALTED"
    assert rig.newest()[0] == "disk_full"
    rig.tick_alive()
    assert rig.halts() == ["000001.json"]


def test_the_reserve_when_the_disk_runs_out_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.ballast.BALLAST_BYTES", MIB)
    rig.shell._ballast = Ballast(rig.paths)
    rig.free_bytes = 2000 * MIB
    rig.shell.on_start({}, 0)
    reserve = rig.paths.state / BALLAST_FILE
    assert reserve.exists()
    rig.free_bytes = 65 * MIB
    rig.tick()
    assert reserve.exists()
    rig.free_bytes = 63 * MIB
    rig.tick()
    assert not reserve.exists()
    rig.tick()


# --- stops and acknowledgements ----------------------------------------------------------------------------------


def test_a_service_when_stopped_in_an_armed_chain_halts_it_as_stopped_once_its_time_out_is_over(rig: Rig) -> None:
    rig.activate()
    rig.beat(*CRITICAL)
    rig.beat("risk", ends=True)
    assert rig.tick() == "ACTIVE"
    assert "No lease is granted now: risk was stopped" in rig.said[-1].detail
    for _ in range(3):
        rig.beat(*(name for name in CRITICAL if name != "risk"))
        rig.tick()
    assert rig.newest() == ("service_stopped", "risk was stopped while the chain was armed")
    assert rig.halts() == ["000001.json"]


def test_the_start_file_when_removed_by_any_shell_stops_the_chain(rig: Rig) -> None:
    rig.activate()
    (rig.paths.control / START_FILE).unlink()
    assert rig.tick_alive() == "REDUCING"
    assert "control_start.txt was removed" in rig.said[-1].detail
    assert rig.halts() == []


def test_a_halt_when_services_acknowledge_it_is_shown_and_told_when_complete(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.activate()
    rig.control.raise_halt("risk", "test", "x" * 400)
    with caplog.at_level(logging.INFO):
        rig.beat(*CRITICAL[:-1], halt_counter=1)
        rig.beat("ledger")
        rig.tick()
        assert "Halt 1 acknowledged by 4 of 5 services (waiting for ledger)." in rig.said[-1].detail
        assert "acknowledged" not in caplog.text
        rig.clock.ns += 30 * MS
        rig.beat("ledger", halt_counter=1)
        rig.tick(TICK_NS - 30 * MS)
        rig.tick_alive()
    assert "Halt 1 acknowledged by all 5 services." in rig.said[-1].detail
    assert caplog.text.count("halt 1 acknowledged by all 5 services after 280 ms") == 1
    rig.arm()
    rig.tick_alive()
    assert "acknowledged" not in rig.said[-1].detail


def test_the_watchdog_when_it_halts_tells_everybody_through_its_port_and_without_one_the_disk(rig: Rig) -> None:
    rig.activate()
    rig.clock.ns += 1000 * MS
    rig.tick()
    assert rig.raised == ["service_silent"]
    alone = bot.WatchdogShell(Setup(paths=rig.paths, env=parse(proposals()), identity=DEMO_IDENTITY))
    alone.before_commit(TRIPPED)
    assert rig.newest()[0] == "daily_loss_limit"


# --- the status file ---------------------------------------------------------------------------------------------


def test_the_status_file_when_nothing_changes_is_written_once_a_second(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    keep = StatusFile.write

    def write(file: StatusFile, record: StatusRecord) -> bool:
        written.append(record.state)
        return keep(file, record)

    monkeypatch.setattr(StatusFile, "write", write)
    for _ in range(40):
        rig.tick_alive()
    assert written == ["DISARMED"] * 10
    rig.activate()
    assert written[10:] == ["ACTIVE"]
    rig.control.raise_halt("risk", "test", "a test")
    rig.tick_alive()
    assert written[11:] == ["HALTED"]
    said = rig.status_file()
    assert (said["state"], said["halt"]["detail"], said["armed_by"]) == ("HALTED", "a test", "ann")
    assert [line["service"] for line in said["services"]] == [*CRITICAL, "web"]
    assert said["services"][0]["status"] == "up"


def test_the_status_file_when_it_cannot_be_written_does_not_stop_the_watchdog(rig: Rig) -> None:
    (rig.paths.output / STATUS_FILE).mkdir()
    rig.activate()
    assert rig.tick_alive() == "ACTIVE"
    assert rig.shell.lease_refusal() is None


def test_a_turn_when_nothing_changed_reads_no_file_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.activate()
    monkeypatch.setattr(rig.shell._control, "read", lambda: pytest.fail("read again"))
    for _ in range(10):
        assert rig.tick_alive() == "ACTIVE"
        assert rig.shell.lease_refusal() is None

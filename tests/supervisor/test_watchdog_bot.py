"""The watchdog: one plan, a chain that is active only when all of it is ready and armed, and what it says of it."""

from typing import Any

import pytest
from msgspec.structs import replace
from watchdog_rig import ARMED, CRITICAL, DISARMED, MS, SUSPENDED, TRIPPED, WatchdogRig, bot

from bus.assembly import CannotStartError, Setup
from bus.calendar import ExchangeDay
from bus.lifecycle import effects
from bus.messages import HaltRaised, Heartbeat, Message, ServiceName
from bus.status_file import STATUS_FILE, StatusFile, StatusRecord
from bus.testing import CLOSE_NS, OPEN_NS, a_beat, a_deposit, a_fill, a_halt, a_plan
from config.env_bot import parse, proposals
from config.paths import HomePaths
from config.vault import Secrets, Vault
from replay.session import DEMO_IDENTITY


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


def test_the_chain_when_services_come_up_one_by_one_starts_until_the_last_is_ready(rig: WatchdogRig) -> None:
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
def test_the_chain_when_armed_but_one_service_is_missing_does_not_get_active(
    rig: WatchdogRig, missing: ServiceName
) -> None:
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
    rig: WatchdogRig, changes: dict[str, Any], words: str
) -> None:
    rig.arm()
    for _ in range(3):
        rig.beat(*CRITICAL)
        rig.beat("risk", **changes)
        assert rig.tick() == "STARTING"
    assert words in rig.said[-1].detail
    assert rig.shell.lease_refusal() is not None


def test_the_chain_when_disarmed_and_a_service_falls_silent_starts_again_without_a_halt(rig: WatchdogRig) -> None:
    assert rig.tick_alive() == "DISARMED"
    assert rig.tick(2000 * MS) == "STARTING"
    assert "silent" in rig.said[-1].detail
    assert rig.halts() == []
    assert rig.tick_alive() == "DISARMED"


def test_the_chain_when_armed_for_another_build_stays_disarmed(rig: WatchdogRig) -> None:
    rig.beat(*CRITICAL)
    rig.arm()
    record = rig.control.read().arm
    assert record is not None
    rig.control.arm(replace(record, build="b2"))
    assert rig.tick() == "DISARMED"


def test_the_chain_when_stopped_by_an_operator_reduces_until_armed_again(rig: WatchdogRig) -> None:
    rig.activate()
    rig.control.request_stop("ann")
    assert rig.tick_alive() == "REDUCING"
    assert rig.halts() == []
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"


# --- plan and status ---------------------------------------------------------------------------------------------


def test_the_plan_when_the_watchdog_starts_is_made_of_the_calendar_and_shown(rig: WatchdogRig) -> None:
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
        (OPEN_NS + 210 * minute, "MONITORING"),
        (OPEN_NS + 300 * minute, "ANALYZING"),
        (OPEN_NS + 330 * minute, "TRADING"),
        (OPEN_NS + 360 * minute, "MONITORING"),
        (CLOSE_NS - 5 * minute, "FLATTENING"),
        (CLOSE_NS, "CLOSED"),
    ):
        rig.beat(*CRITICAL, ts_event=now_ns)
        rig.tick()
        assert (rig.said[-1].session_date, rig.said[-1].bot_state) == ("2013-10-08", said)


def test_the_bot_when_the_chain_moves_follows_it(rig: WatchdogRig) -> None:
    rig.shell.on_start({}, 0)
    rig.tick()
    assert (rig.said[-1].state, rig.said[-1].bot_state) == ("STARTING", "PROVISIONED")
    rig.activate()
    rig.control.request_stop("ann")
    rig.tick_alive()
    assert rig.said[-1].bot_state == "REDUCING"
    rig.control.raise_halt("risk", "test", "a test")
    rig.tick_alive()
    assert rig.said[-1].bot_state == "HALTED"
    rig.beat("web", state="cannot start: the port is taken")
    rig.tick_alive()
    assert (rig.said[-1].state, rig.said[-1].bot_state) == ("HALTED", "ERROR")


@pytest.mark.parametrize("positions", ["keep", "flatten"])
def test_the_status_when_halted_says_what_is_stopped_by_the_setting(rig: WatchdogRig, positions: str) -> None:
    other = WatchdogRig(rig.paths, rig.clock, HALT_POSITIONS=positions)
    other.control.raise_halt("risk", "test", "a test")
    other.tick_alive()
    assert (other.said[-1].stopped, other.said[-1].goes_on) == effects("HALTED", positions)
    assert ("sold now" in other.said[-1].stopped) is (positions == "flatten")


def test_the_watchdog_when_the_day_is_not_in_the_calendar_cannot_start_and_says_so_to_readers_outside(
    rig: WatchdogRig,
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


def test_the_status_when_asked_for_more_often_is_published_five_times_a_second(rig: WatchdogRig) -> None:
    for _ in range(100):
        rig.clock.ns += 20 * MS
        rig.shell.on_idle({}, 0)
    assert len(rig.said) == 10


def provision(paths: HomePaths, settings: dict[str, str]) -> Setup:
    secrets = Secrets(
        generation=0,
        settings=settings,
        identity=DEMO_IDENTITY,
        users=(),
        credentials={},
        coa={},
        curve={},
    )
    Vault(paths).provision(secrets)
    return Setup(paths=paths, env=parse(settings), identity=DEMO_IDENTITY)


def test_the_watchdog_when_the_secrets_cannot_be_read_does_not_start(rig: WatchdogRig) -> None:
    with pytest.raises(CannotStartError, match="not configured"):
        bot.build(Setup(paths=rig.paths, env=parse(proposals()), identity=DEMO_IDENTITY))


def test_the_watchdog_tells_of_a_halt_and_of_fills_and_shows_when_it_could_not(rig: WatchdogRig) -> None:
    nobody = {"SMTP_HOST": "localhost", "SMTP_PORT": "1", "SMTP_SECURITY": "NONE"}
    addresses = {"SMTP_FROM": "bot@example.org", "SMTP_TO": "a@example.org"}
    wishes = {"NOTIFY_ON_FILL": "true"}
    assembly = bot.build(provision(rig.paths, proposals() | nobody | addresses | wishes))

    assembly.on_status("execution", a_fill())
    assembly.shell.after_commit({}, a_halt(), 0)
    assembly.shell.close()

    assert "notices by mail are not sent, 2 are lost: localhost:1 did not take the mail" in assembly.remark()


def test_the_watchdog_when_built_is_one_assembly_of_core_and_shell(rig: WatchdogRig) -> None:
    assembly = bot.build(provision(rig.paths, proposals()))
    assert isinstance(assembly.core, bot.WatchdogCore)
    assert "STARTING" in str(assembly.lease_refusal())
    assembly.on_status("risk", a_beat("risk"))
    assert isinstance(assembly.shell._liveness.pulses["risk"].beat, Heartbeat)
    assert isinstance(assembly.core.decide({}, a_halt(), 0)[0], HaltRaised)


# --- the status file ---------------------------------------------------------------------------------------------


def test_the_status_file_when_nothing_changes_is_written_once_a_second(
    rig: WatchdogRig, monkeypatch: pytest.MonkeyPatch
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
    assert [line["service"] for line in said["services"]] == [*CRITICAL, "holdings", "web"]
    assert said["services"][0]["status"] == "up"


def test_the_status_file_when_it_cannot_be_written_does_not_stop_the_watchdog(rig: WatchdogRig) -> None:
    (rig.paths.output / STATUS_FILE).mkdir()
    rig.activate()
    assert rig.tick_alive() == "ACTIVE"
    assert rig.shell.lease_refusal() is None


def test_a_turn_when_nothing_changed_reads_no_file_again(rig: WatchdogRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.activate()
    monkeypatch.setattr(rig.shell._control, "read", lambda: pytest.fail("read again"))
    for _ in range(10):
        assert rig.tick_alive() == "ACTIVE"
        assert rig.shell.lease_refusal() is None

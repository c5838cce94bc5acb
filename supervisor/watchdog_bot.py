"""The watchdog: plans the session, watches every service, grants the lease, and halts the chain.

Decides: the chain's state, and whether a lease may be granted. Hears: heartbeats and events of every service, the
kill switch, the control folder. Says: the session plan, the chain's state, leases, halts.
Owns: state/watchdog.db, state/ballast.bin, run/boots.json, output/status.json, and the runs of TEST_MODE.
Halts on: a dead, frozen, stopped or restarted service, a crash loop, a mixed build, messages that are not
acknowledged, a full disk, a tripped kill switch, an entry the ledger cannot book, and the file control/kill.txt. The
web service and the holdings are watched but do not halt the chain: trading does not depend on them.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from bus.after_close import AfterClose
from bus.assembly import Assembly, CannotStartError, Ports, Setup
from bus.ballast import BALLAST_BYTES, Ballast, free_bytes_at
from bus.boot_book import BootBook
from bus.build import build_id
from bus.calendar import ExchangeDay, read_exchange_day, read_exchange_sessions, session_windows
from bus.clock import boot_ns, utc_ns
from bus.control import KILL_FILE, ControlFolder
from bus.day_planner import DayPlanner
from bus.decider import Shell
from bus.halt import ControlState
from bus.halt_acks import HaltAcks
from bus.heartbeat import CRASH_LOOP_RESTARTS_MAX, Liveness
from bus.lifecycle import MEANING, Moment, SessionWindows, Trigger, bot_state, effects, moment_at, next_state
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
    MarketMessage,
    Message,
    OrderFilled,
    PortfolioSnapshot,
    ServiceName,
    SessionPlanned,
    StatusMessage,
)
from bus.new_settings import waiting_generation
from bus.notifier import Notifier, notifier_of
from bus.routes import OPTIONAL_SERVICES, SERVICES
from bus.service import run_service
from bus.status_file import StatusFile, bare_record, status_record
from bus.test_mode import HOME_FOLDER
from bus.test_runs import Situation, TestRuns
from bus.vital_signs import ARMED_STATES, VitalSigns, mixed_build_words
from config import generation_pin
from config.live_source import is_real_money
from config.vault import Vault, VaultError

logger = logging.getLogger(__name__)

_STATUS_NS: Final = 200_000_000
_FILE_NS: Final = 1_000_000_000
_PLAN_AGAIN_NS: Final = 600_000_000_000
_TEXT_MAX: Final = 400
WATCHED: Final[tuple[ServiceName, ...]] = tuple(s for s in SERVICES if s != "watchdog")
CRITICAL: Final[tuple[ServiceName, ...]] = tuple(s for s in WATCHED if s not in OPTIONAL_SERVICES)


class WatchdogCore:
    """Keeps what must survive a restart: the session plan and the halts that were passed on."""

    def initial(self) -> dict[str, Message]:
        """Return an empty memory."""
        return {}

    def observe(self, state: dict[str, Message], _data: MarketMessage) -> dict[str, Message]:
        """Return the state: the watchdog hears no market data."""
        return state

    def decide(self, state: dict[str, Message], message: Message, _now_ns: int) -> Sequence[Message]:
        """Pass on a new plan and a new halt; keep arming, the kill switch and suspended entries in the journal."""
        match message:
            case SessionPlanned():
                before = state.get("plan")
                is_known = isinstance(before, SessionPlanned) and _same_plan(before, message)
                return [] if is_known else [message]
            case HaltRaised():
                last = state.get("halt")
                is_known = isinstance(last, HaltRaised) and last.counter >= message.counter
                return [] if is_known else [message]
            case KillSwitchTripped() | EntrySuspended() | ChainArmed() | ChainDisarmed():
                return [message]
            case _:
                return []

    def evolve(self, state: dict[str, Message], event: Message) -> dict[str, Message]:
        """Remember the newest plan and halt."""
        if isinstance(event, SessionPlanned):
            return {**state, "plan": event}
        if isinstance(event, HaltRaised):
            return {**state, "halt": event}
        return state

    def settle(self, _state: dict[str, Message], _now_ns: int) -> Sequence[Message]:
        """Return nothing: the watchdog has no steps."""
        return ()

    def snapshot(self, _state: dict[str, Message], _now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing: the shell publishes ChainStatus in its own rhythm."""
        return ()


def _loss_words(event: KillSwitchTripped) -> str:
    """Return what the kill switch found: the day's loss, or with DAILY_LOSS_FROM peak how far it fell from its best."""
    loss, limit = _dollars(event.peak_micros - event.pnl_micros), _dollars(event.limit_micros)
    if event.peak_micros:
        return f"the day fell {loss} from its best of {_dollars(event.peak_micros)}, beyond DAILY_LOSS_LIMIT {limit}"
    return f"the day's loss {loss} is beyond DAILY_LOSS_LIMIT {limit}"


def _dollars(micros: int) -> str:
    return f"${Decimal(micros) / MICROS:,.2f}"


def _same_plan(first: SessionPlanned, second: SessionPlanned) -> bool:
    """Compare two plans without the time they were made."""
    return all(getattr(first, name) == getattr(second, name) for name in first.__struct_fields__ if name != "ts_init")


@dataclass(frozen=True)
class Attendants:
    """What the real process has beside its watch.

    Args:
        ballast: disk space to set aside at the start.
        notifier: tells people who do not look at the page.
        after_close: does what is due once after each session.
        test_runs: starts the runs of TEST_MODE.
    """

    ballast: Ballast | None = None
    notifier: Notifier | None = None
    after_close: AfterClose | None = None
    test_runs: TestRuns | None = None


class WatchdogShell(Shell[dict[str, Message]]):
    """Reads the calendar, listens to heartbeats, raises halts, publishes the chain's state.

    Args:
        setup: the home, settings and identity.
        read_day: returns a day of the exchange's calendar.
        read_sessions: returns its sessions from one day to another.
        free_bytes: returns the free space where a path is.
        attendants: what the real process alone has.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        read_day: Callable[[str], ExchangeDay] = read_exchange_day,
        read_sessions: Callable[[str, str], tuple[ExchangeDay, ...]] = read_exchange_sessions,
        free_bytes: Callable[[Path], int] = free_bytes_at,
        attendants: Attendants | None = None,
    ) -> None:
        self._setup = setup
        attendants = attendants or Attendants()
        self._notifier = attendants.notifier
        self._after_close = attendants.after_close
        self._test_runs = attendants.test_runs
        self._positions: int | None = None
        self._ballast = attendants.ballast
        self._planner = DayPlanner(setup.env, read_day, read_sessions)
        self._free_bytes = free_bytes
        self._control = ControlFolder(setup.paths)
        self._liveness = Liveness(setup.env.whole("HEARTBEAT_TIMEOUT"))
        self._boots = BootBook(setup.paths.run, CRITICAL)
        self._acks = HaltAcks(CRITICAL)
        self._status_file = StatusFile(setup.paths)
        self._ports: Ports | None = None
        self._state: ChainState = "STARTING"
        self._session_ns = 0
        self._status_due = 0
        self._file_due = 0
        self._plan_due = 0
        self._in_file: tuple[object, ...] = ()
        self._started_at = utc_ns() - boot_ns()
        self._plan: SessionPlanned | None = None
        self._windows: SessionWindows | None = None

    def attach(self, ports: Ports) -> None:
        """Take the runtime's ports."""
        self._ports = ports

    def lease_refusal(self) -> str | None:
        """Return the first condition of a lease that is not met at this moment, in words; None when all are."""
        return self._signs(self._control.current()).lease_refusal()

    def on_start(self, state: dict[str, Message], now_ns: int) -> Sequence[Message]:
        """Plan the session of the day that the operator chose, or live of today, and note to whom the arm was given."""
        if self._ballast:
            self._ballast.make(self._free_bytes(self._setup.paths.root))
        self._boots.begin(self._control.read().arm)
        try:
            plan = self._planner.first(utc_ns())
        except CannotStartError as error:
            self._status_file.write(bare_record("ERROR", str(error)))
            raise
        known = state.get("plan")
        return self._take(known if isinstance(known, SessionPlanned) and _same_plan(known, plan) else plan)

    def _take(self, plan: SessionPlanned) -> Sequence[Message]:
        self._plan = plan
        self._windows = session_windows(plan, self._setup.env)
        return [plan]

    def before_commit(self, event: Message) -> None:
        """Halt the chain for what other services could not go on with."""
        if isinstance(event, KillSwitchTripped):
            self._halt("daily_loss_limit", _loss_words(event))
        elif isinstance(event, EntrySuspended):
            self._halt("ledger_suspended", f"the ledger cannot book {event.source_event_id}: {event.detail}")

    def after_commit(self, state: dict[str, Message], event: Message, now_ns: int) -> Sequence[Message]:
        """Tell people of a halt; it has been on disk and on the bus for long."""
        if self._notifier and isinstance(event, HaltRaised):
            self._notifier.hear(event)
        return ()

    def close(self) -> None:
        """Send the notices that wait, as far as two seconds reach."""
        if self._notifier:
            self._notifier.close()

        if self._after_close:
            self._after_close.close()
        if self._test_runs:
            self._test_runs.close()

    def remark(self) -> str:
        """Return what a person should see: notices not sent, a report or archive that failed, a run of TEST_MODE."""
        words = (
            self._after_close.words if self._after_close else "",
            self._notifier.remark() if self._notifier else "",
            self._test_runs.words if self._test_runs else "",
        )
        return "; ".join(word for word in words if word)[:_TEXT_MAX]

    def on_status(self, sender: ServiceName, message: Message) -> None:
        """Note a heartbeat; the first one of a restarted critical service halts an armed chain. Tell of fills."""
        if self._notifier and isinstance(message, OrderFilled):
            self._notifier.hear(message)
        if isinstance(message, PortfolioSnapshot) and sender == "risk":
            self._positions = len(message.positions)
        if not isinstance(message, Heartbeat) or message.service != sender:
            return
        is_restart = self._liveness.hear(message, boot_ns())
        if sender == "execution":
            self._session_ns = message.ts_event
        if is_restart and sender in CRITICAL:
            self._on_restart(sender)
        self._tell_acks()

    def _on_restart(self, service: ServiceName) -> None:
        if self._state in ARMED_STATES:
            if self._liveness.of_other_build((service,), build_id()):
                self._halt("mixed_build", mixed_build_words(self._liveness, (service,), build_id()))
            else:
                failed = self._liveness.failed((service,))
                why = f", and {self._liveness.pulses[service].beat.state}" if failed else ""
                self._halt("service_restarted", f"{service} was restarted while the chain was armed{why}")
        if self._liveness.is_crash_loop(service, boot_ns()):
            self._halt("crash_loop", f"{service} was restarted more than {CRASH_LOOP_RESTARTS_MAX} times in a minute")

    def on_idle(self, state: dict[str, Message], now_ns: int) -> Sequence[Message]:
        """Watch, then say how the chain is, five times a second."""
        if boot_ns() < self._status_due:
            return ()
        self._status_due = boot_ns() + _STATUS_NS
        self._watch()
        self._move()
        status = self._status()
        if self._ports:
            self._ports.publish(status)
        self._write_file(status)
        self._look_after(status.session_date)
        return self._plan_next()

    def _look_after(self, session_date: str) -> None:
        """See to the processes that are started beside the watch."""
        moment = moment_at(self._windows, self._session_ns)
        # One at a time: the files that the first one writes are production's, and the second one shows that those stay.
        is_tested = self._test_runs is not None and self._test_runs.is_under_way
        if self._after_close and not is_tested:
            # A halted chain has a bot state of its own: the session is over all the same.
            self._after_close.look(session_date, is_over=moment is Moment.AFTER, now_ns=boot_ns())
        if self._test_runs and not (self._after_close and self._after_close.is_busy):
            money = is_real_money(self._setup.env)
            self._test_runs.look(Situation(self._state, moment, self._positions, money), boot_ns())

    def _plan_next(self) -> Sequence[Message]:
        """Plan the next session when this one is over, where the days follow each other by themselves."""
        if boot_ns() < self._plan_due:
            return ()
        try:
            plan = self._planner.due(utc_ns())
        except CannotStartError as error:
            self._plan_due = boot_ns() + _PLAN_AGAIN_NS
            self._halt("calendar", f"the next session cannot be planned: {error}")
            return ()
        if plan is None or self._turns_to_new_settings():
            return ()
        return self._take(plan)

    def _turns_to_new_settings(self) -> bool:
        """Let every service start anew where other settings wait; an operator arms again, knowing them."""
        generation = waiting_generation(self._setup.paths, self._setup.generation)
        if not generation:
            return False
        if self._control.read().refusal(build_id()) is None:
            self._control.request_stop(f"watchdog: the settings of generation {generation} take effect: arm again")
            self._move()
        generation_pin.move(self._setup.paths, generation)
        logger.info("the session is over: the chain turns to the settings of generation %d", generation)
        return True

    def _watch(self) -> None:
        control = self._control.current()
        # Looked at by itself: a control folder that cannot be read does not hide it.
        if (self._setup.paths.control / KILL_FILE).exists():
            self._halt("kill_file", f"the file control/{KILL_FILE} is present; remove it before arming again")
        signs = self._signs(control)
        if signs.free_bytes < BALLAST_BYTES and self._ballast:
            self._ballast.release()
        for rule, detail in signs.halts():
            self._halt(rule, detail)
        self._guard_permission(control)
        self._tell_acks()

    def _guard_permission(self, control: ControlState) -> None:
        """Turn an arm record into a stop when its session is over, or when it was given to other processes."""
        if control.arm is None or control.refusal(build_id()) is not None:
            return
        if control.arm.is_over(self._plan, self._session_ns):
            self._control.request_stop(f"watchdog: armed for the session of {control.arm.expires}, which is over")
            return
        if self._setup.generation not in (0, control.arm.generation):
            self._control.request_stop(f"watchdog: armed for the settings of generation {control.arm.generation}")
            return
        strangers = self._boots.strangers(control.arm, self._liveness.boot_ids(CRITICAL, boot_ns()))
        if strangers:
            everything = strangers == CRITICAL
            named = "the chain" if everything else ", ".join(strangers)
            self._control.request_stop(f"watchdog: {named} was started anew since the chain was armed")

    def _signs(self, control: ControlState) -> VitalSigns:
        """Look at everything that decides whether the chain may go on."""
        permission = control.refusal(build_id())
        if permission is None and control.arm and control.arm.is_over(self._plan, self._session_ns):
            permission = f"armed for the session of {control.arm.expires}, which is over"
        now = boot_ns()
        return VitalSigns(
            state=self._state,
            permission=permission,
            origin=self._boots.refusal(control.arm),
            liveness=self._liveness,
            critical=CRITICAL,
            build=build_id(),
            now_ns=now,
            drift_ns=utc_ns() - now - self._started_at,
            free_bytes=self._free_bytes(self._setup.paths.root),
        )

    def _halt(self, rule: str, detail: str) -> None:
        """Raise a halt, once while the same rule stands unanswered."""
        if self._ports:
            self._ports.raise_halt(rule, detail)
            self._tell_acks()
        elif self._control.raise_halt_once("watchdog", rule, detail):
            logger.error("HALT %s: %s", rule, detail)

    def _tell_acks(self) -> None:
        """Note a new halt and who has acted on it; say once when all have."""
        control = self._control.current()
        if control.is_halted():
            self._acks.note_halt(control.halt_counter, boot_ns())
        line = self._acks.note_beats(self._liveness, boot_ns())
        if line:
            logger.info("%s", line)

    def _move(self) -> None:
        control = self._control.current()
        is_unready = self._liveness.unready(CRITICAL, build_id(), boot_ns()) is not None
        refusal = control.refusal(build_id())
        is_halted = control.is_halted()
        # Whoever armed the chain armed these processes and no others, as far as is known.
        may_begin = refusal is None and self._boots.refusal(control.arm) is None
        for trigger, holds in (
            (Trigger.HALT, is_halted),
            (Trigger.STOPPED, refusal is not None and not is_halted),
            (Trigger.ARMED, refusal is None and self._state == "HALTED"),
            (Trigger.READY, not is_unready),
            (Trigger.UNREADY, is_unready),
            (Trigger.ARMED, may_begin and not is_unready),
        ):
            if holds:
                self._state = next_state(self._state, trigger)

    def _status(self) -> ChainStatus:
        now = self._session_ns
        control = self._control.current()
        signs = self._signs(control)
        lease_refusal = signs.lease_refusal()
        said = effects(self._state, self._setup.env.word("HALT_POSITIONS"), has_lease=lease_refusal is None)
        return ChainStatus(
            ts_event=now,
            ts_init=utc_ns(),
            state=self._state,
            bot_state=bot_state(
                self._state, moment_at(self._windows, now), has_failed=bool(self._liveness.failed(WATCHED))
            ),
            stopped=said.stopped,
            goes_on=said.goes_on,
            detail=self._detail(control, signs, lease_refusal),
            session_date=self._plan.session_date if self._plan else "",
            halt_counter=control.halt_counter,
            armed_by=control.arm.operator if control.arm else "",
            services=self._liveness.table(WATCHED, boot_ns()),
            clock_drift_ms=signs.drift_ns // 1_000_000,
        )

    def _detail(self, control: ControlState, signs: VitalSigns, lease_refusal: str | None) -> str:
        words = [MEANING[self._state]]
        refusal = control.refusal(build_id())
        if self._state == "STARTING":
            words.append(self._liveness.unready(CRITICAL, build_id(), boot_ns()) or "")
        elif self._state in ("HALTED", "REDUCING") and refusal:
            words.append(f"Reason: {refusal}.")
        elif self._state == "DISARMED" and control.is_stop_requested and refusal:
            words.append(f"{refusal}.")
        elif self._state == "ACTIVE" and lease_refusal:
            words.append(f"No lease is granted now: {lease_refusal}.")
        acks = self._acks.words(control.halt_counter) if control.is_halted() else ""
        # The reason may be long; how far a halt has come must not be cut off by it.
        tail = " ".join(word for word in (acks, *(f"Warning: {one}." for one in signs.warnings())) if word)
        head = " ".join(word for word in words if word)
        return f"{head[: _TEXT_MAX - len(tail) - 1]} {tail}".strip()

    def _write_file(self, status: ChainStatus) -> None:
        """Write status.json once a second and at each change of state."""
        shown = (status.state, status.bot_state, status.halt_counter, status.stopped)
        if shown == self._in_file and boot_ns() < self._file_due:
            return
        self._in_file, self._file_due = shown, boot_ns() + _FILE_NS
        halt = self._control.current().halt
        self._status_file.write(status_record(status, halt=halt, plan=self._plan, windows=self._windows))


def assembled(setup: Setup, attendants: Attendants) -> Assembly[dict[str, Message]]:
    """Put the watchdog together with what it is given."""
    shell = WatchdogShell(setup, attendants=attendants)
    return Assembly(
        core=WatchdogCore(),
        shell=shell,
        attach=shell.attach,
        on_status=shell.on_status,
        lease_refusal=shell.lease_refusal,
        remark=shell.remark,
    )


def build(setup: Setup) -> Assembly[dict[str, Message]]:
    """Put the real process's watchdog together.

    Raises:
        CannotStartError: the secrets cannot be read any more.
    """
    try:
        notifier = notifier_of(setup.env, Vault(setup.paths).open(setup.generation))
    except VaultError as error:
        raise CannotStartError(str(error)) from error
    after_close = AfterClose(setup.paths.state, (sys.executable, str(Path(__file__).with_name("after_close.py"))))
    # TEST_MODE inside a test's own home would start homes within homes: there the flag means nothing.
    is_for_tests = setup.paths.root.name == HOME_FOLDER
    tests = None if is_for_tests else TestRuns(setup.paths, setup.identity, (sys.executable, "-m", "replay.selftest"))
    return assembled(setup, Attendants(Ballast(setup.paths), notifier, after_close, tests))


if __name__ == "__main__":
    sys.exit(run_service("watchdog", build))

"""The watchdog: plans the session, watches every service, grants the lease, and halts the chain.

Decides: the chain's state. Hears: heartbeats and events of every service, the kill switch, the control folder.
Says: the session plan, the chain's state, leases, halts. Owns: state/watchdog.db.
Halts on: a dead, frozen or restarted service, a tripped kill switch, an entry the ledger cannot book, and the file
control/kill.txt. The web service is watched but does not halt the chain: trading does not depend on it.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

from bus.assembly import Assembly, Ports, Setup
from bus.build import build_id
from bus.calendar import plan_session, read_exchange_day
from bus.clock import boot_ns, utc_ns
from bus.control import KILL_FILE, ControlFolder
from bus.decider import Shell
from bus.heartbeat import Liveness
from bus.lifecycle import MEANING, Trigger, next_state, phase_at
from bus.messages import (
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
    ServiceName,
    SessionPlanned,
    StatusMessage,
)
from bus.routes import SERVICES
from bus.service import run_service

logger = logging.getLogger(__name__)

_STATUS_NS: Final = 200_000_000
_UNACKED_MS_MAX: Final = 5_000
#: The wall clock may be stepped a little between two readings of when this machine was booted.
_BOOT_TOLERANCE_S: Final = 600
#: In the run folder: which start of the chain this is.
RUN_MARK_FILE: Final = "chain_run.txt"
WATCHED: Final[tuple[ServiceName, ...]] = tuple(s for s in SERVICES if s != "watchdog")
CRITICAL: Final[tuple[ServiceName, ...]] = tuple(s for s in WATCHED if s != "web")


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


def _same_plan(first: SessionPlanned, second: SessionPlanned) -> bool:
    """Compare two plans without the time they were made."""
    return all(getattr(first, name) == getattr(second, name) for name in first.__struct_fields__ if name != "ts_init")


class WatchdogShell(Shell[dict[str, Message]]):
    """Reads the calendar, listens to heartbeats, raises halts, publishes the chain's state."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._control = ControlFolder(setup.paths)
        self._liveness = Liveness(setup.env.whole("HEARTBEAT_TIMEOUT"))
        self._ports: Ports | None = None
        self._state: ChainState = "STARTING"
        self._session_ns = 0
        self._status_due = 0
        self._plan: SessionPlanned | None = None

    def attach(self, ports: Ports) -> None:
        """Take the runtime's ports."""
        self._ports = ports

    def lease_refusal(self) -> str | None:
        """Return why no lease is granted: only an active or reducing chain gets one."""
        return None if self._state in ("ACTIVE", "REDUCING") else f"the chain is {self._state}"

    def on_start(self, state: dict[str, Message], now_ns: int) -> Sequence[Message]:
        """Plan the session of the day that the operator chose; a chain that was started anew waits to be armed."""
        if self._is_cold_start() and self._control.read().refusal(build_id()) is None:
            self._control.request_stop("watchdog: the chain was started anew")
        day = read_exchange_day(self._setup.env.word("MARKET_DATA_DATE"))
        plan = plan_session(day, self._setup.env, utc_ns())
        known = state.get("plan")
        self._plan = known if isinstance(known, SessionPlanned) and _same_plan(known, plan) else plan
        return [plan]

    def _is_cold_start(self) -> bool:
        """Tell whether the chain was started anew, and not this process alone: another parent, or another boot."""
        booted_at_s = (utc_ns() - boot_ns()) // 1_000_000_000
        mark = f"{os.getppid()} {booted_at_s // _BOOT_TOLERANCE_S}"
        path = self._setup.paths.run / RUN_MARK_FILE
        known = path.read_text(encoding="utf-8") if path.is_file() else ""
        path.write_text(mark, encoding="utf-8")
        return known != mark

    def before_commit(self, event: Message) -> None:
        """Halt the chain for what other services could not go on with."""
        if isinstance(event, KillSwitchTripped):
            loss = f"${-event.pnl_micros / 1_000_000:,.2f}"
            limit = f"${event.limit_micros / 1_000_000:,.2f}"
            self._halt("daily_loss_limit", f"the day's loss {loss} is beyond DAILY_LOSS_LIMIT {limit}")
        elif isinstance(event, EntrySuspended):
            self._halt("ledger_suspended", f"the ledger cannot book {event.source_event_id}: {event.detail}")

    def on_status(self, sender: ServiceName, message: Message) -> None:
        """Note a heartbeat; the first one of a restarted critical service halts an armed chain."""
        if not isinstance(message, Heartbeat) or message.service != sender:
            return
        is_restart = self._liveness.hear(message, boot_ns())
        if sender == "execution":
            self._session_ns = message.ts_event
        if is_restart and sender in CRITICAL and self._state in ("ACTIVE", "REDUCING"):
            self._halt("service_restarted", f"{sender} was restarted while the chain was armed")

    def on_idle(self, state: dict[str, Message], now_ns: int) -> Sequence[Message]:
        """Watch, then say how the chain is, five times a second."""
        if boot_ns() < self._status_due:
            return ()
        self._status_due = boot_ns() + _STATUS_NS
        self._watch()
        self._move()
        if self._ports:
            self._ports.publish(self._status())
        return ()

    def _watch(self) -> None:
        if (self._setup.paths.control / KILL_FILE).exists():
            self._halt("kill_file", f"the file control/{KILL_FILE} is present; remove it before arming again")
        silent = self._liveness.silent(CRITICAL, boot_ns())
        if silent and self._state in ("ACTIVE", "REDUCING"):
            ages = ", ".join(f"{name} ({self._liveness.age_ms(name, boot_ns())} ms)" for name in silent)
            self._halt("service_silent", f"no heartbeat from {ages}: dead or frozen")
        stuck = self._liveness.stuck(CRITICAL, _UNACKED_MS_MAX)
        if stuck and self._state in ("ACTIVE", "REDUCING"):
            self._halt("message_stuck", f"messages of {' and '.join(stuck)} are not acknowledged for over 5 s")

    def _halt(self, rule: str, detail: str) -> None:
        """Raise a halt, once while the same rule stands unanswered."""
        if self._control.raise_halt_once("watchdog", rule, detail):
            logger.error("HALT %s: %s", rule, detail)

    def _move(self) -> None:
        control = self._control.read()
        is_unready = self._liveness.unready(CRITICAL, build_id(), boot_ns()) is not None
        refusal = control.refusal(build_id())
        for trigger, holds in (
            (Trigger.HALT, control.is_halted()),
            (Trigger.STOPPED, refusal is not None and not control.is_halted()),
            (Trigger.ARMED, refusal is None and self._state == "HALTED"),
            (Trigger.READY, not is_unready),
            (Trigger.UNREADY, is_unready),
            (Trigger.ARMED, refusal is None and not is_unready),
        ):
            if holds:
                self._state = next_state(self._state, trigger)

    def _status(self) -> ChainStatus:
        now = self._session_ns
        control = self._control.read()
        return ChainStatus(
            ts_event=now,
            ts_init=utc_ns(),
            state=self._state,
            bot_state=phase_at(self._plan, now),
            stopped="",
            goes_on="",
            detail=self._detail(control.refusal(build_id())),
            session_date=self._plan.session_date if self._plan else "",
            halt_counter=control.halt_counter,
            armed_by=control.arm.operator if control.arm else "",
            services=self._liveness.table(WATCHED, boot_ns()),
        )

    def _detail(self, refusal: str | None) -> str:
        if self._state == "STARTING":
            waiting = self._liveness.unready(CRITICAL, build_id(), boot_ns())
            return f"{MEANING['STARTING']} {waiting or ''}".strip()[:400]
        if self._state in ("HALTED", "REDUCING") and refusal:
            return f"{MEANING[self._state]} Reason: {refusal}"[:400]
        return MEANING[self._state]


def build(setup: Setup) -> Assembly[dict[str, Message]]:
    """Put the watchdog together."""
    shell = WatchdogShell(setup)
    return Assembly(
        core=WatchdogCore(),
        shell=shell,
        attach=shell.attach,
        on_status=shell.on_status,
        lease_refusal=shell.lease_refusal,
    )


if __name__ == "__main__":
    sys.exit(run_service("watchdog", build))

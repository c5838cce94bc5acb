"""output/status.json: the chain's state for readers outside, such as monitoring. Written whole or not at all."""

import logging
import os
from typing import Any, Final

import msgspec

from bus.clock import iso_utc, utc_ns
from bus.halt import HaltRecord
from bus.lifecycle import BOT_MEANING, UNCONFIGURED, SessionWindows
from bus.messages import BotState, ChainState, ChainStatus, SessionPlanned
from config.paths import HomePaths

logger = logging.getLogger(__name__)
STATUS_FILE: Final = "status.json"
#: The watchdog writes once a second; a reader that finds an older file knows that nobody writes it any more.
VALID_FOR_MS: Final = 3_000


class StatusTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The day's times, ISO 8601 UTC; empty on a day without a session. `session_utc` is the session's clock."""

    session_utc: str = ""
    open_utc: str = ""
    flatten_utc: str = ""
    close_utc: str = ""
    analyses_utc: tuple[tuple[str, str], ...] = ()
    entries_utc: tuple[tuple[str, str], ...] = ()


class StatusRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds. `valid_for_ms` counts from `written_at_utc`."""

    state: ChainState
    bot_state: BotState
    stopped: str
    goes_on: str
    detail: str
    session_date: str
    times: StatusTimes
    halt_counter: int
    halt: HaltRecord | None
    armed_by: str
    services: tuple[dict[str, Any], ...]
    written_at_utc: str
    valid_for_ms: int


class StatusFile:
    """The one writer of the file; a failure is logged once and never raised."""

    def __init__(self, paths: HomePaths) -> None:
        self._path = paths.output / STATUS_FILE
        self._part = paths.output / f".{STATUS_FILE}.part"
        self._is_failing = False

    def write(self, record: StatusRecord) -> bool:
        """Replace the file; return whether it could be written."""
        try:
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(record))
            os.replace(self._part, self._path)
        except OSError as error:
            if not self._is_failing:
                logger.warning("%s cannot be written: %s; trading does not depend on it", self._path, error)
            self._is_failing = True
            return False
        self._is_failing = False
        return True


def status_record(
    status: ChainStatus, *, halt: HaltRecord | None, plan: SessionPlanned | None, windows: SessionWindows | None
) -> StatusRecord:
    """Return what the file says of a ChainStatus.

    Args:
        status: what is published at the same moment.
        halt: the newest halt record, answered or not.
        plan: the day's plan.
        windows: the day's windows.
    """
    return StatusRecord(
        state=status.state,
        bot_state=status.bot_state,
        stopped=status.stopped,
        goes_on=status.goes_on,
        detail=status.detail,
        session_date=status.session_date,
        times=_times(status.ts_event, plan, windows),
        halt_counter=status.halt_counter,
        halt=halt,
        armed_by=status.armed_by,
        # On the bus a line of the table is a list; readers outside get names.
        services=tuple(msgspec.structs.asdict(line) for line in status.services),
        written_at_utc=iso_utc(utc_ns()),
        valid_for_ms=VALID_FOR_MS,
    )


def bare_record(bot_state: BotState, detail: str = "") -> StatusRecord:
    """Return what the file says before there is a chain: not configured, or a watchdog that cannot start."""
    return StatusRecord(
        state="STARTING",
        bot_state=bot_state,
        stopped=UNCONFIGURED.stopped if bot_state == "UNCONFIGURED" else "Everything: the watchdog cannot start.",
        goes_on=UNCONFIGURED.goes_on if bot_state == "UNCONFIGURED" else "Protective stops that rest at the broker.",
        detail=detail or BOT_MEANING[bot_state],
        session_date="",
        times=StatusTimes(),
        halt_counter=0,
        halt=None,
        armed_by="",
        services=(),
        written_at_utc=iso_utc(utc_ns()),
        valid_for_ms=VALID_FOR_MS,
    )


def _times(session_ns: int, plan: SessionPlanned | None, windows: SessionWindows | None) -> StatusTimes:
    session_utc = iso_utc(session_ns) if session_ns else ""
    if plan is None or windows is None or not plan.is_trading_day:
        return StatusTimes(session_utc=session_utc)
    return StatusTimes(
        session_utc=session_utc,
        open_utc=iso_utc(plan.open_ns),
        flatten_utc=iso_utc(plan.flatten_ns),
        close_utc=iso_utc(plan.close_ns),
        analyses_utc=tuple((iso_utc(start), iso_utc(end)) for start, end in windows.analyses),
        entries_utc=tuple((iso_utc(start), iso_utc(end)) for start, end in windows.entries),
    )

"""What a person has to look at: halts, refusals, breaks, silence. Kept until somebody says that it was seen.

An alert that comes again before it was seen is counted, not repeated. The list survives a restart of the web
interface in one small file.
"""

import logging
import os
import re
import threading
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus import messages as m
from services.web import frames

Level = Literal["warn", "bad"]
ALERTS_MAX: Final = 300
TEXT_MAX: Final = 500
#: The watchdog says its status four times a second; longer than this is a silence that is worth an alert.
SILENCE_MS_MAX: Final = 3_000
_NUMBERS: Final = re.compile(r"[0-9][0-9.,:]*")
log = logging.getLogger(__name__)


class Alert(Struct, frozen=True, kw_only=True):
    """One thing to look at. `times` is how often it came; `seen_by` is empty until somebody acknowledged it.

    `ts_ms` is when it came last, `first_ms` when it came first.
    """

    number: int
    ts_ms: int
    level: Level
    kind: str
    source: str
    text: str
    times: int = 1
    seen_by: str = ""
    seen_ms: int = 0
    first_ms: int = 0


class AlertBook:
    """Thread-safe list of alerts, in a file where one is given."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._alerts: list[Alert] = _read(path)
        self._has_unsaved = False

    def add(self, level: Level, kind: str, source: str, text: str, *, ts_ms: int) -> Alert:
        """Keep an alert, or count it with the one that says the same apart from its numbers and is not yet seen."""
        text = text[:TEXT_MAX]
        with self._lock:
            for index, known in enumerate(self._alerts):
                if not known.seen_by and (known.kind, known.source, _core(known.text)) == (kind, source, _core(text)):
                    again = replace(known, text=text, ts_ms=ts_ms, times=known.times + 1)
                    self._alerts[index] = again
                    self._has_unsaved = True
                    return again
            number = max((alert.number for alert in self._alerts), default=0) + 1
            made = Alert(number=number, ts_ms=ts_ms, level=level, kind=kind, source=source, text=text, first_ms=ts_ms)
            self._alerts.append(made)
            self._forget()
            self._save()
            return made

    def acknowledge(self, number: int | None, by: str, at_ms: int) -> int:
        """Mark one alert as seen, or all with None; return how many that were not seen before."""
        with self._lock:
            found = [
                index
                for index, alert in enumerate(self._alerts)
                if not alert.seen_by and number in {None, alert.number}
            ]
            for index in found:
                self._alerts[index] = replace(self._alerts[index], seen_by=by, seen_ms=at_ms)
            if found:
                self._save()
            return len(found)

    def newest_first(self) -> list[Alert]:
        """Return every alert, the one that came last first."""
        with self._lock:
            return sorted(self._alerts, key=lambda alert: (alert.ts_ms, alert.number), reverse=True)

    def unseen(self) -> int:
        """Return how many nobody has acknowledged."""
        with self._lock:
            return sum(1 for alert in self._alerts if not alert.seen_by)

    def last_bad_of(self, source: str) -> Alert | None:
        """Return the newest error of a service that nobody has acknowledged."""
        found = [alert for alert in self.newest_first() if alert.source == source and not alert.seen_by]
        return next((alert for alert in found if alert.level == "bad"), None)

    def close(self) -> None:
        """Save what was only counted."""
        with self._lock:
            if self._has_unsaved:
                self._save()

    def _forget(self) -> None:
        """Keep the list short: what was seen goes first, then the oldest."""
        while len(self._alerts) > ALERTS_MAX:
            seen = next((alert for alert in self._alerts if alert.seen_by), self._alerts[0])
            self._alerts.remove(seen)

    def _save(self) -> None:
        self._has_unsaved = False
        if self._path is None:
            return
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            part.write_bytes(msgspec.json.encode(self._alerts))
            part.chmod(0o600)
            os.replace(part, self._path)
        except OSError:
            # The list is in memory and shown; only a restart would lose it.
            log.exception("the alerts cannot be kept in %s", self._path)


def alert_of(message: m.Message, symbol: str = "") -> tuple[Level, str, str] | None:
    """Return level, kind and words of what a message is an alert for, None for most; `symbol` is of its order."""
    match message:
        case m.HaltRaised() | m.KillSwitchTripped():
            return "bad", "halt", frames.sentence(message)
        case m.OrderRejected():
            return "bad", "rejection", f"The broker refused an order{_for(symbol)}: {message.detail}"
        case m.OrderUnknown():
            return "warn", "order unknown", f"Nobody knows whether an order{_for(symbol)} arrived: {message.detail}"
        case m.EntrySuspended():
            return "bad", "books", f"The ledger cannot book {message.source_event_id}: {message.detail}"
        case m.BooksCompared() if message.detail:
            return "bad", "books", f"{message.detail}. Say what it is on the page Reconciliation."
        case m.LedgerSnapshot() if message.imbalance:
            return "bad", "books", f"Debits and credits of {message.ledger} differ by {message.imbalance}."
        case m.OrdersSnapshot() if message.warnings:
            return "warn", "warning", message.warnings
        case _:
            return None


def stopped_words(receiver: str, stop: m.StoppedStream) -> str:
    """Return what a stopped stream means for whoever reads the list."""
    return f"{receiver} takes nothing more from {stop.sender}: {stop.detail}. An operator must answer."


def _for(symbol: str) -> str:
    return f" for {symbol}" if symbol else ""


def _core(text: str) -> str:
    """Return a text without its numbers: a clock that is 2100 ms behind and then 2200 ms is one thing."""
    return _NUMBERS.sub("#", text)


def _read(path: Path | None) -> list[Alert]:
    if path is None:
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Alert])[-ALERTS_MAX:]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError):
        log.exception("the alerts in %s cannot be read: the list begins anew", path)
        return []

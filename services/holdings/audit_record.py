"""The record of a night or a payout: one JSON file, written once, read-only, chained to the one before it.

`events` are all that the night heard, decided and said, in order, each with its UTC time; `actions` are what it did,
one line each: what the specification asks of a log. A correction is a record of its own.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bus.clock import iso_utc
from bus.messages import (
    NANOS,
    BookedFill,
    BooksReported,
    GainsAllocated,
    HoldingsOrderEnded,
    HoldingsOrderRequested,
    Message,
    NightBegan,
    NightEnded,
    NightStepped,
    ReserveAllocated,
    ReservePaidOut,
)

_NAME: Final = re.compile(r"^(\d{6})-([0-9]{4}-[0-9]{2}-[0-9]{2})\.json$")
_GENESIS: Final = "0" * 64
_ACTIONS: Final = {"SELL_FOR_REBALANCE": "REBALANCE_SELL", "SELL_FOR_FLOAT": "TOP_UP_SELL", "BUY": "BUY"}


class AuditError(Exception):
    """A record cannot be written, or the chain of records is broken; the message names the file."""


def actions_of(events: Sequence[Message]) -> list[dict[str, Any]]:
    """Return what a night did, one line for each movement, with the balances that the ledger had after it.

    Amounts are in micro-dollars and quantities in billionths of a share, as in the ledger; `seqs` are the entries.
    """
    found: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    orders: dict[str, tuple[HoldingsOrderRequested, str]] = {}
    kind = ""
    for event in events:
        match event:
            case NightStepped():
                kind = event.kind
            case HoldingsOrderRequested():
                action = "REBALANCE_BUY" if event.side == "BUY" and _is_rebalance(events) else _ACTIONS.get(kind, kind)
                orders[event.intent_id] = (event, action)
            case HoldingsOrderEnded() if event.execution_ids and event.intent_id in orders:
                request, action = orders[event.intent_id]
                waiting.append(_order_line(request, event, action))
            case ReserveAllocated():
                waiting.append(_reserve_line(event))
            case BooksReported() if waiting and not event.missing:
                found += (_booked(line, event) for line in waiting)
                waiting = []
            case _:
                pass
    return found


def record_of(events: Sequence[Message], *, ledger_head: str, previous: str) -> bytes:
    """Return the record of a night that has ended, or of a payout alone; the same events give the same bytes."""
    began, ended = events[0], events[-1]
    if isinstance(ended, ReservePaidOut):
        return _bytes_of(_payout_content(ended), ledger_head, previous)
    if not (isinstance(began, NightBegan) and isinstance(ended, NightEnded)):
        raise AuditError("A night's record begins with NightBegan and ends with NightEnded: this is a fault.")
    content = {
        "run_id": ended.run_id,
        "session_date": ended.session_date,
        "began_utc": iso_utc(began.ts_event),
        "ended_utc": iso_utc(ended.ts_event),
        "outcome": ended.outcome,
        "detail": ended.detail,
        "is_rebalance": ended.is_rebalance,
        "watermark_seq": ended.watermark_seq,
        "allocations": [msgspec.to_builtins(one) for one in events if isinstance(one, GainsAllocated)],
        "actions": actions_of(events),
        "events": [{"at_utc": iso_utc(one.ts_event), **msgspec.to_builtins(one)} for one in events],
    }
    return _bytes_of(content, ledger_head, previous)


def _bytes_of(content: dict[str, Any], ledger_head: str, previous: str) -> bytes:
    whole = {**content, "ledger_head": ledger_head, "prev_sha256": previous}
    return (json.dumps(whole, indent=1, ensure_ascii=True) + "\n").encode()


class AuditFolder:
    """The folder of one bot's records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def records(self) -> list[Path]:
        """Return every record, oldest first."""
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if _NAME.match(path.name))

    def has(self, number: int) -> bool:
        """Tell whether a record is there."""
        return any(path.name.startswith(f"{number:06d}-") for path in self.records())

    def write(self, number: int, events: Sequence[Message], ledger_head: str) -> Path:
        """Write a record, once: one that is there already stays as it is.

        Raises:
            AuditError: the disk refuses it, or the record before it is missing.
        """
        path = self._folder / f"{number:06d}-{_day_of(events[-1])}.json"
        if path.exists():
            return path
        content = record_of(events, ledger_head=ledger_head, previous=self._previous(number))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._put(path, content)
        except OSError as error:
            raise AuditError(f"The record {path} cannot be written: {error}. Free the disk, start again.") from error
        return path

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the chain: a record that is missing, was changed, or can be written to."""
        previous = _GENESIS
        for place, path in enumerate(self.records(), 1):
            content = path.read_bytes()
            try:
                record = json.loads(content)
            except ValueError:
                yield f"{path} is no JSON: restore it from a backup"
                return
            if int(path.name[:6]) != place:
                yield f"record {place} is missing before {path}: restore it from a backup"
                return
            if record.get("prev_sha256") != previous:
                yield f"the record before {path} was changed: restore it from a backup"
                return
            previous = hashlib.sha256(content).hexdigest()

    def _previous(self, number: int) -> str:
        if number == 1:
            return _GENESIS
        for path in self.records():
            if int(path.name[:6]) == number - 1:
                return hashlib.sha256(path.read_bytes()).hexdigest()
        raise AuditError(f"Record {number - 1} is missing in {self._folder}: restore it from a backup.")

    def _put(self, path: Path, content: bytes) -> None:
        """Let the whole file appear at once, durable and read-only; an existing one is never replaced."""
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        # A link to a name that exists is refused, where a rename would replace it.
        os.link(part, path)
        part.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _day_of(event: Message) -> str:
    return event.session_date if isinstance(event, NightEnded) else iso_utc(event.ts_event)[:10]


def _payout_content(event: ReservePaidOut) -> dict[str, Any]:
    """Return a payout with the fields that a night has: whoever reads records reads both."""
    at_utc = iso_utc(event.ts_event)
    action = {
        "at_utc": at_utc,
        "action": f"{event.purpose}_PAYOUT",
        "symbol": "",
        "qty_nanos": 0,
        "context": f"{event.reason} ({event.operator})",
        "ids": [event.activity_id],
        "total_micros": event.amount_micros,
        "price_micros": 0,
        "gain_micros": 0,
        "seqs": [event.seq],
        "cash_micros": event.cash_micros,
        "tax_reserve_micros": event.tax_reserve_micros,
        "payroll_reserve_micros": event.payroll_reserve_micros,
    }
    return {
        "run_id": event.activity_id,
        "session_date": _day_of(event),
        "began_utc": at_utc,
        "ended_utc": at_utc,
        "outcome": "PAID",
        "detail": event.reason,
        "is_rebalance": False,
        "watermark_seq": event.seq,
        "allocations": [],
        "actions": [action],
        "events": [{"at_utc": at_utc, **msgspec.to_builtins(event)}],
    }


def _is_rebalance(events: Sequence[Message]) -> bool:
    return any(isinstance(one, NightStepped) and one.is_rebalance for one in events)


def _order_line(request: HoldingsOrderRequested, ended: HoldingsOrderEnded, action: str) -> dict[str, Any]:
    return {
        "at_utc": iso_utc(ended.ts_event),
        "action": action,
        "symbol": request.symbol,
        "qty_nanos": ended.filled_nanos,
        "context": request.reason,
        "ids": list(ended.execution_ids),
    }


def _reserve_line(event: ReserveAllocated) -> dict[str, Any]:
    return {
        "at_utc": iso_utc(event.ts_event),
        "action": f"{event.purpose}_ALLOCATION",
        "symbol": "",
        "qty_nanos": 0,
        "context": event.basis,
        "ids": [event.activity_id],
    }


def _booked(line: dict[str, Any], books: BooksReported) -> dict[str, Any]:
    """Return a line with what the ledger has booked of it, and what the accounts held then."""
    entries: list[BookedFill] = [one for one in books.booked if one.event_id in line["ids"]]
    total = abs(sum(one.amount_micros for one in entries))
    return {
        **line,
        "total_micros": total,
        "price_micros": total * NANOS // line["qty_nanos"] if line["qty_nanos"] else 0,
        "gain_micros": sum(one.gain_micros for one in entries),
        "seqs": [one.seq for one in entries],
        "cash_micros": books.cash_micros,
        "tax_reserve_micros": books.tax_reserve_micros,
        "payroll_reserve_micros": books.payroll_reserve_micros,
    }

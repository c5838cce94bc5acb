"""The black-box facts after a session: the broker's books, the ledger and the halts on disk, each read by itself."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from arena import Arming

from bus.clock import boot_ns, utc_ns
from bus.halt import HaltRecord
from bus.messages import OrderPrepared
from bus.store import read_journal
from config.paths import HomePaths
from replay.books import compare_books
from replay.session import DEMO_IDENTITY

#: No order that adds exposure reaches the broker later than this after a halt was on disk.
LATE_NS = 1_000_000_000


def faults(paths: HomePaths, seen_ns: Mapping[str, int], armings: Sequence[Arming]) -> list[str]:
    """Return one sentence for each fact that does not hold."""
    prepared = [e for e in read_journal(paths.state / "execution.db") if isinstance(e, OrderPrepared)]
    return [
        *compare_books(paths, DEMO_IDENTITY),
        *_order_faults(paths, prepared),
        *_ledger_faults(paths),
        *_late_entries(paths, prepared, seen_ns, armings),
    ]


def _order_faults(paths: HomePaths, prepared: Sequence[OrderPrepared]) -> list[str]:
    books = paths.state / "paper_broker.db"
    known = {event.client_order_id for event in prepared}
    entries = [event.intent_id for event in prepared if event.leg == "entry"]
    twice = sorted({intent for intent in entries if entries.count(intent) > 1})
    at_broker = [row[0] for row in _rows(books, "SELECT client_order_id FROM orders")]
    held = _rows(books, "SELECT symbol, qty_nanos FROM positions WHERE qty_nanos <> 0")
    open_still = _rows(books, "SELECT client_order_id FROM orders WHERE state = 'WORKING'")
    too_much = _rows(books, "SELECT client_order_id FROM orders WHERE filled_nanos > qty_nanos")
    return [
        *(f"intent {intent} has more than one entry order" for intent in twice),
        *(f"order {name} is at the broker and in no journal" for name in at_broker if name not in known),
        *(f"{symbol} is not flat: {qty} nano-shares" for symbol, qty in held),
        *(f"order {name} still works at the broker" for (name,) in open_still),
        *(f"order {name} is filled beyond its quantity" for (name,) in too_much),
    ]


def _ledger_faults(paths: HomePaths) -> list[str]:
    ledger = paths.entities / DEMO_IDENTITY.entity_folder / DEMO_IDENTITY.ledger_file
    unbalanced = _rows(
        ledger, "SELECT tx_seq, commodity, sum(amount) FROM posting GROUP BY 1, 2 HAVING sum(amount) <> 0"
    )
    return [f"entry {tx} of the ledger has {total} {commodity} too much" for tx, commodity, total in unbalanced]


def _late_entries(
    paths: HomePaths, prepared: Sequence[OrderPrepared], seen_ns: Mapping[str, int], armings: Sequence[Arming]
) -> list[str]:
    """Return the entry orders that came later than LATE_NS after a halt that stood at that moment."""
    found = []
    for counter, committed_ns in halts(paths):
        answered = min((a.asked_ns for a in armings if a.answers >= counter), default=boot_ns())
        found += [
            f"entry {event.client_order_id} came {(at - committed_ns) // 1_000_000} ms after halt {counter}"
            for event in prepared
            if event.leg == "entry"
            and (at := seen_ns.get(event.client_order_id, 0)) > committed_ns + LATE_NS
            and at < answered
        ]
    return found


def halts(paths: HomePaths) -> list[tuple[int, int]]:
    """Return (number, boot nanoseconds) of each halt: the time of its bytes, a moment before they are synced."""
    booted_ns = utc_ns() - boot_ns()
    return [
        (msgspec.json.decode(path.read_bytes(), type=HaltRecord).counter, path.stat().st_mtime_ns - booted_ns)
        for path in sorted(paths.halts.glob("*.json"))
    ]


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()

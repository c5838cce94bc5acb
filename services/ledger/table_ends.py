"""Where the tables of a ledger end, and its open lots: what the rows of the next entry follow from.

They are read from the file once and then kept in step with what is written, because nobody else writes. They are never
believed: the triggers compare each new row with the file, and whoever writes forgets all of it after any failure.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from services.ledger.lots import Lot, LotChange, after_change

_LAST: Final = (
    "SELECT (SELECT coalesce(max(seq), 0) FROM tx), (SELECT coalesce(max(lot_id), 0) FROM lot), "
    "(SELECT coalesce(max(close_id), 0) FROM lot_close), (SELECT coa_version FROM coa_metadata)"
)


class LotQueue(Struct, kw_only=True, gc=False):
    """The open lots of a commodity, oldest first, with their numbers; `last_pos` is the last place ever given."""

    ids: list[int]
    lots: tuple[Lot, ...]
    last_pos: int


class TableEnds:
    """What an open ledger's next rows follow from."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.forget()

    def forget(self) -> None:
        """Read everything from the file again when it is needed next."""
        self._is_known = False
        self._link = self._seq = self._lot_id = self._close_id = self._version = 0
        self._hash = ""
        self._commodities: set[str] = set()
        self._queues: dict[str, LotQueue] = {}

    @property
    def tip(self) -> tuple[int, str]:
        """Return the number and the hash of the newest link."""
        self._know()
        return self._link, self._hash

    @property
    def seq(self) -> int:
        """Return the number of the newest entry, 0 in an empty ledger."""
        self._know()
        return self._seq

    @property
    def chart_version(self) -> int:
        """Return the active version of the chart of accounts."""
        self._know()
        return self._version

    @property
    def lot_id(self) -> int:
        """Return the number of the newest lot."""
        self._know()
        return self._lot_id

    @property
    def close_id(self) -> int:
        """Return the number of the newest close."""
        self._know()
        return self._close_id

    def knows_commodity(self, symbol: str) -> bool:
        """Tell whether the ledger has this commodity."""
        if symbol in self._commodities:
            return True
        is_there = self.db.execute("SELECT 1 FROM commodity WHERE symbol = ?", (symbol,)).fetchone() is not None
        if is_there:
            self._commodities.add(symbol)
        return is_there

    def queue(self, commodity: str) -> LotQueue:
        """Return the open lots of a commodity as they are now."""
        found = self._queues.get(commodity)
        if found is None:
            found = self._queues[commodity] = _queue_in(self.db, commodity)
        return found

    def wrote(self, tip: tuple[int, str], commodities: Iterable[str], *, seq: int, lots: int, closes: int) -> None:
        """Move on by an entry: its link, what it counts, its number, and how many lots and closes it has."""
        self._link, self._hash = tip
        self._commodities.update(commodities)
        self._seq = seq
        self._lot_id += lots
        self._close_id += closes

    def changed(self, change: LotChange, opened_ids: list[int]) -> None:
        """Do to a queue what an entry does to it."""
        queue = self.queue(change.commodity)
        lots = after_change(queue.lots, change)
        emptied = {close.index for close in change.closes if close.left_nanos == 0}
        ids = [lot_id for index, lot_id in enumerate(queue.ids) if index not in emptied] + opened_ids
        self._queues[change.commodity] = LotQueue(ids=ids, lots=lots, last_pos=queue.last_pos + len(opened_ids))

    def forget_queue(self, commodity: str) -> None:
        """Read a queue from the file again: a reversal has changed it."""
        self._queues.pop(commodity, None)

    def _know(self) -> None:
        if self._is_known:
            return
        self._link, self._hash = self.db.execute("SELECT link, hash FROM chain ORDER BY link DESC LIMIT 1").fetchone()
        self._seq, self._lot_id, self._close_id, self._version = self.db.execute(_LAST).fetchone()
        self._is_known = True


def _queue_in(db: sqlite3.Connection, commodity: str) -> LotQueue:
    """Read the open lots of a commodity from the newest back.

    Open lots are the end of the queue, save for those that were taken back.
    """
    ids: list[int] = []
    lots: list[Lot] = []
    rows = db.execute(
        "SELECT l.lot_id, l.acquired_at_ns, l.qty, l.cost, coalesce(c.qty_left, l.qty), coalesce(c.cost_left, l.cost), "
        "c.kind = 'REVERSAL' AND c.qty > 0, l.account_code FROM lot AS l LEFT JOIN lot_close AS c ON c.close_id = "
        "(SELECT close_id FROM lot_close WHERE lot_id = l.lot_id ORDER BY close_id DESC LIMIT 1) "
        "WHERE l.commodity = ? ORDER BY l.queue_pos DESC",
        (commodity,),
    )
    for lot_id, acquired_ns, qty, cost, qty_left, cost_left, is_taken_back, account in rows:
        if qty_left == 0:
            if is_taken_back:
                continue
            break
        ids.append(lot_id)
        lots.append(
            Lot(
                acquired_ns=acquired_ns,
                qty_nanos=qty,
                cost_micros=cost,
                closed_nanos=qty - qty_left,
                closed_micros=cost - cost_left,
                account=account,
            )
        )
    (last_pos,) = db.execute("SELECT coalesce(max(queue_pos), 0) FROM lot WHERE commodity = ?", (commodity,)).fetchone()
    return LotQueue(ids=ids[::-1], lots=tuple(lots[::-1]), last_pos=last_pos)

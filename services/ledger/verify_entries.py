"""Check entries one after the other: balance, accounts, lots first in first out, gains, reversals. Reads rows alone."""

import sqlite3
from collections import deque
from typing import Any, Final

import msgspec
from msgspec import Struct

from bus.messages import round_to_cent
from services.ledger import accounts
from services.ledger.coa_utils_ledger import Account, content_hash
from services.ledger.lots import is_long_term

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
_ACCOUNT_FIELDS: Final = ("code", "name", "type", "unit_rule", "lot_rule", "parent", "status")
_CASH: Final = frozenset(accounts.CASH_ACCOUNTS)
_COST: Final = frozenset(accounts.COST_ACCOUNTS)


class BrokenRowError(Exception):
    """A row contradicts the rows before it; the message says which, and how."""


class OpenLot(Struct):
    """What the rows so far leave in a lot."""

    lot_id: int
    open_tx: int
    account: str
    commodity: str
    acquired_ns: int
    qty: int
    cost: int
    qty_left: int
    cost_left: int


class EntryChecker:
    """What is known of the ledger up to the entry that is checked next."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.currency = accounts.CURRENCY
        self.seq = 0
        self.cash_micros = 0
        self.units: dict[str, int] = {}
        self._version = 0
        #: code -> (unit rule) of the accounts that are open.
        self._open_accounts: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._queues: dict[str, deque[OpenLot]] = {}
        self._open: dict[int, OpenLot] = {}
        self._lots = self._closes = 0
        self._queue_ends: dict[str, int] = {}

    def take_chart(self, rows: Rows, version: int) -> None:
        """Make a version of the chart of accounts the active one.

        Raises:
            BrokenRowError: it is not the next, or its accounts are not those that were recorded.
        """
        header = rows["coa_version"][0]
        if header[0] != version:
            raise BrokenRowError(f"the versions of the chart of accounts skip from {version - 1} to {header[0]}")
        stored = tuple(
            msgspec.convert(dict(zip(_ACCOUNT_FIELDS, row[1:], strict=True)), Account) for row in rows["coa_account"]
        )
        if content_hash(stored) != header[5]:
            raise BrokenRowError("its accounts are not the ones that were recorded")
        self._version = version
        self._open_accounts = {account.code: account.unit_rule for account in stored if account.status == "OPEN"}

    def take_commodity(self, row: Row) -> None:
        """Know a commodity from now on."""
        self._kinds[row[0]] = row[1]

    def check(self, rows: Rows) -> None:
        """Check the next entry.

        Raises:
            BrokenRowError: saying what is wrong with it.
        """
        header = rows["tx"][0]
        seq, event_type, gain, occurred_ns, version, reverses = (
            header[0], header[2], header[5], header[6], header[8], header[9],
        )  # fmt: skip
        if seq != self.seq + 1:
            raise BrokenRowError(f"it follows entry {self.seq}: entries are missing")
        if version != self._version:
            raise BrokenRowError(f"it is made under version {version} of the chart, but {self._version} was active")
        self._check_lines(rows["posting"])
        if rows["lot"] or rows["lot_close"] or gain:
            self._check_lots(rows, event_type, occurred_ns, reverses)
        elif any(row[2] in _COST or row[2] == accounts.UNITS_IN_CUSTODY for row in rows["posting"]):
            raise BrokenRowError("it moves cost or units, but no lots")
        if reverses is not None:
            self._check_reversal(rows["posting"], reverses)
        self.seq = seq

    def _check_lines(self, lines: list[Row]) -> None:
        sums: dict[str, int] = {}
        number = 0
        for _, line_no, account, commodity, amount in lines:
            number += 1
            if line_no != number:
                raise BrokenRowError(f"line {number} is missing")
            is_money = commodity == self.currency
            if self._open_accounts.get(account) != ("BASE" if is_money else "UNITS") or commodity not in self._kinds:
                raise BrokenRowError(f"line {line_no}: account {account} is not open, or may not hold {commodity}")
            sums[commodity] = sums.get(commodity, 0) + amount
            if account in _CASH:
                self.cash_micros += amount
            elif account == accounts.UNITS_IN_CUSTODY:
                self.units[commodity] = self.units.get(commodity, 0) + amount
        if number < 2:
            raise BrokenRowError(f"it has {number} lines, and an entry has two or more")
        for commodity, total in sums.items():
            if total:
                raise BrokenRowError(f"its lines do not balance in {commodity}: the sum is {total}, not 0")

    def _check_lots(self, rows: Rows, event_type: str, occurred_ns: int, reverses: int | None) -> None:
        moved: dict[str, int] = {}
        gains: dict[str, int] = {}
        for row in rows["lot_close"]:
            lot = self._close(row, occurred_ns, reverses)
            moved[lot.account] = moved.get(lot.account, 0) - row[5]
            moved[lot.commodity] = moved.get(lot.commodity, 0) - row[4]
            account = accounts.gain_accounts(lot.commodity)[row[10] == "LT"]
            gains[account] = gains.get(account, 0) + row[7]
        if reverses is None:
            _check_proceeds(rows["lot_close"])
        opened = [self._take_lot(row) for row in rows["lot"]]
        for lot in opened:
            moved[lot.account] = moved.get(lot.account, 0) + lot.cost
            moved[lot.commodity] = moved.get(lot.commodity, 0) + lot.qty
        if event_type == "SPLIT" and [lot.cost for lot in opened] != [row[5] for row in rows["lot_close"]]:
            raise BrokenRowError("the split changes the cost of a lot")
        _check_sums(rows, moved, gains)
        if reverses is not None:
            for commodity in {lot.commodity for lot in opened} | {key for key in moved if key in self._queues}:
                _check_queue(self._queues.get(commodity, deque()), commodity)

    def _take_lot(self, row: Row) -> OpenLot:
        lot_id, open_tx, account, commodity, queue_pos, acquired_ns, qty, cost = row
        if lot_id != self._lots + 1 or queue_pos != self._queue_ends.get(commodity, 0) + 1:
            raise BrokenRowError(f"lot {lot_id} is not the next one, or not at the end of its queue")
        self._lots, self._queue_ends[commodity] = lot_id, queue_pos
        queue = self._queues.setdefault(commodity, deque())
        if queue and queue[-1].acquired_ns > acquired_ns:
            raise BrokenRowError(f"lot {lot_id} is older than the lot ahead of it")
        lot = OpenLot(lot_id, open_tx, account, commodity, acquired_ns, qty, cost, qty, cost)
        queue.append(lot)
        self._open[lot_id] = lot
        return lot

    def _close(self, row: Row, occurred_ns: int, reverses: int | None) -> OpenLot:
        close_id, lot_id, _, _, qty, cost, proceeds, gain, qty_left, cost_left, term = row
        if close_id != self._closes + 1:
            raise BrokenRowError(f"lot close {close_id} follows lot close {self._closes}")
        self._closes = close_id
        lot = self._first_in(lot_id) if reverses is None else self._any(lot_id, reverses)
        if lot.qty_left - qty != qty_left or lot.cost_left - cost != cost_left or gain != proceeds - cost:
            raise BrokenRowError(f"close {close_id} misstates what it takes from lot {lot_id}, or what it gains")
        if reverses is None:
            through = lot.qty - qty_left
            wanted = lot.cost if qty_left == 0 else min(round_to_cent(lot.cost * through, lot.qty), lot.cost)
            if lot.cost - cost_left != wanted:
                raise BrokenRowError(f"close {close_id} takes a cost of {cost} from lot {lot_id}: not its share")
            if term != ("LT" if is_long_term(lot.acquired_ns, occurred_ns) else "ST"):
                raise BrokenRowError(f"close {close_id} has the term {term}: lot {lot_id} was not held so long")
        lot.qty_left, lot.cost_left = qty_left, cost_left
        if qty_left == 0:
            del self._open[lot_id]
            self._queues[lot.commodity].remove(lot)
        return lot

    def _first_in(self, lot_id: int) -> OpenLot:
        """The lot, which must be the oldest of its queue that has anything left."""
        lot = self._open.get(lot_id)
        if lot is None or self._queues[lot.commodity][0] is not lot:
            raise BrokenRowError(f"it takes from lot {lot_id}, which is not the oldest open lot of its queue")
        return lot

    def _any(self, lot_id: int, reverses: int) -> OpenLot:
        """The lot of a reversal: open, or closed before and given back now."""
        row = self._db.execute(
            "SELECT lot_id, open_tx, account_code, commodity, acquired_at_ns, qty, cost FROM lot WHERE lot_id = ?",
            (lot_id,),
        ).fetchone()
        if row is None or not self._db.execute(
            "SELECT 1 FROM lot_close WHERE lot_id = ?1 AND tx_seq = ?2 UNION SELECT 1 FROM lot WHERE lot_id = ?1 "
            "AND open_tx = ?2", (lot_id, reverses),
        ).fetchone():  # fmt: skip
            raise BrokenRowError(f"it reverses entry {reverses}, but takes from lot {lot_id}, which that did not touch")
        lot = self._open.get(lot_id)
        if lot is None:
            lot = self._open[lot_id] = _empty_lot(row)
            queue = self._queues.setdefault(row[3], deque())
            queue.insert(sum(1 for other in queue if other.lot_id < lot_id), lot)
        return lot

    def _check_reversal(self, lines: list[Row], reverses: int) -> None:
        was = self._db.execute(
            "SELECT account_code, commodity, sum(amount) FROM posting WHERE tx_seq = ? GROUP BY 1, 2", (reverses,)
        ).fetchall()
        sums: dict[tuple[str, str], int] = {(code, commodity): amount for code, commodity, amount in was}
        for _, _, account, commodity, amount in lines:
            sums[account, commodity] = sums.get((account, commodity), 0) + amount
        if any(sums.values()) or not was:
            raise BrokenRowError(f"it is not the exact negation of entry {reverses}")


def _empty_lot(row: Row) -> OpenLot:
    lot_id, open_tx, account, commodity, acquired_ns, qty, cost = row
    return OpenLot(lot_id, open_tx, account, commodity, acquired_ns, qty, cost, 0, 0)


def _check_proceeds(closes: list[Row]) -> None:
    """A sale's proceeds are shared out by quantity, to the cent, with the rest on the last lot."""
    sales = [row for row in closes if row[3] == "SALE"]
    if len(sales) < 2:
        return
    units, paid = sum(row[4] for row in sales), sum(row[6] for row in sales)
    taken = given = 0
    for row in sales:
        taken += row[4]
        given += row[6]
        if given != (paid if taken == units else round_to_cent(paid * taken, units)):
            raise BrokenRowError(f"close {row[0]} has not its share of the proceeds")


def _check_sums(rows: Rows, moved: dict[str, int], gains: dict[str, int]) -> None:
    """Cost, units and gains on the lines are those of the lots."""
    booked: dict[str, int] = {}
    for _, _, account, commodity, amount in rows["posting"]:
        if account in _COST:
            booked[account] = booked.get(account, 0) + amount
        elif account == accounts.UNITS_IN_CUSTODY:
            booked[commodity] = booked.get(commodity, 0) + amount
        elif account in _GAINS:
            booked[account] = booked.get(account, 0) - amount
    wanted = {key: value for key, value in (moved | gains).items() if value}
    if {key: value for key, value in booked.items() if value} != wanted:
        raise BrokenRowError("its lines differ from the cost, the units or the gains of its lots")
    if rows["tx"][0][5] != sum(gains.values()):
        raise BrokenRowError(f"its gain of {rows['tx'][0][5]} is not that of its lots, {sum(gains.values())}")


def _check_queue(queue: deque[OpenLot], commodity: str) -> None:
    """First in, first out leaves at most the oldest lot partly used."""
    if any(lot.qty_left != lot.qty for lot in list(queue)[1:]):
        raise BrokenRowError(f"it leaves lots of {commodity} used out of their order")


_GAINS: Final = frozenset(
    {
        accounts.GAIN_SHORT_TERM,
        accounts.GAIN_LONG_TERM,
        accounts.OPTION_GAIN_SHORT_TERM,
        accounts.OPTION_GAIN_LONG_TERM,
    }
)

"""First-in-first-out lots: what a sale's shares had cost, to the cent. Pure; shared by core and book.

A lot keeps its *total* cost, never a cost per share. A partial sale takes cost by cumulative rounding: what
is taken so far is always the exact share of the total, rounded once to the cent, so nothing drifts, and the
last sale takes the rest.
"""

from collections.abc import Sequence
from datetime import date
from typing import Literal

from msgspec import Struct

from bus.messages import EntryPosted, round_to_cent
from services.ledger import accounts

_NS_PER_DAY = 86_400 * 1_000_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

Term = Literal["ST", "LT"]


class BrokenEntryError(Exception):
    """An entry contradicts the entries before it: a fault of the program, or a damaged journal."""


class Lot(Struct, frozen=True, kw_only=True):
    """Shares bought together. `closed_` is what sales have taken so far."""

    acquired_ns: int
    qty_nanos: int
    cost_micros: int
    closed_nanos: int = 0
    closed_micros: int = 0

    @property
    def left_nanos(self) -> int:
        """Return the shares still held."""
        return self.qty_nanos - self.closed_nanos

    @property
    def left_micros(self) -> int:
        """Return the cost of the shares still held."""
        return self.cost_micros - self.closed_micros


class LotClose(Struct, frozen=True, kw_only=True):
    """What one sale took from one lot. `index` is the lot's place among the open lots, from 0."""

    index: int
    qty_nanos: int
    cost_micros: int
    proceeds_micros: int
    left_nanos: int
    left_micros: int
    term: Term

    @property
    def gain_micros(self) -> int:
        """Return what the sale gained on this lot; negative = lost."""
        return self.proceeds_micros - self.cost_micros


class LotMove(Struct, frozen=True, kw_only=True):
    """What an entry does to lots: units in (positive) or out, their cost, and a sale's gross proceeds."""

    commodity: str
    units_nanos: int
    cost_micros: int
    proceeds_micros: int


def is_long_term(acquired_ns: int, sold_ns: int) -> bool:
    """Tell whether shares were held for more than one year, by UTC trade dates.

    Regular sessions begin and end within one UTC day, so the UTC date is the exchange's date. The day after
    the acquisition counts as the first; a 29 February has its anniversary on the 28th.
    Source: IRS Publication 550 (2024), "Long-term or short-term".
    """
    acquired = date.fromordinal(_EPOCH_ORDINAL + acquired_ns // _NS_PER_DAY)
    sold = date.fromordinal(_EPOCH_ORDINAL + sold_ns // _NS_PER_DAY)
    day = 28 if (acquired.month, acquired.day) == (2, 29) else acquired.day
    return sold > date(acquired.year + 1, acquired.month, day)


def units_open(lots: Sequence[Lot]) -> int:
    """Return the billionths of a share that all lots still hold."""
    return sum(lot.left_nanos for lot in lots)


def close_first_in(lots: Sequence[Lot], qty_nanos: int, proceeds_micros: int, sold_ns: int) -> tuple[LotClose, ...]:
    """Take a sale's shares from the oldest lots on; the proceeds are shared out by quantity, to the cent.

    Raises:
        BrokenEntryError: the lots hold fewer shares than are sold; the core refuses such a fill before.
    """
    held = units_open(lots)
    if not 0 < qty_nanos <= held:
        raise BrokenEntryError(f"A sale takes {qty_nanos} billionths of a share from lots that hold {held}.")
    closes: list[LotClose] = []
    taken = paid = 0
    for index, lot in enumerate(lots):
        part = min(lot.left_nanos, qty_nanos - taken)
        if part == 0:
            break
        taken += part
        paid_now = proceeds_micros if taken == qty_nanos else round_to_cent(proceeds_micros * taken, qty_nanos)
        cost = _cost_through(lot, lot.closed_nanos + part) - lot.closed_micros
        closes.append(
            LotClose(
                index=index,
                qty_nanos=part,
                cost_micros=cost,
                proceeds_micros=paid_now - paid,
                left_nanos=lot.left_nanos - part,
                left_micros=lot.left_micros - cost,
                term="LT" if is_long_term(lot.acquired_ns, sold_ns) else "ST",
            )
        )
        paid = paid_now
    return tuple(closes)


def after_closes(lots: Sequence[Lot], closes: Sequence[LotClose]) -> tuple[Lot, ...]:
    """Return the lots that are still open after a sale."""
    changed = list(lots)
    for close in closes:
        lot = changed[close.index]
        changed[close.index] = Lot(
            acquired_ns=lot.acquired_ns,
            qty_nanos=lot.qty_nanos,
            cost_micros=lot.cost_micros,
            closed_nanos=lot.closed_nanos + close.qty_nanos,
            closed_micros=lot.closed_micros + close.cost_micros,
        )
    return tuple(lot for lot in changed if lot.left_nanos)


def amount_on(entry: EntryPosted, account: str) -> int:
    """Return the sum of an entry's lines on one account, in the commodity's own scale."""
    return sum(line.amount for line in entry.lines if line.account == account)


def lot_move(entry: EntryPosted) -> LotMove | None:
    """Read from an entry's lines what it does to lots; None where it moves no shares."""
    units = [line for line in entry.lines if line.account == accounts.UNITS_IN_CUSTODY]
    if not units:
        return None
    cost = amount_on(entry, accounts.EQUITIES_AT_COST)
    return LotMove(
        commodity=units[0].commodity,
        units_nanos=sum(line.amount for line in units),
        cost_micros=cost,
        proceeds_micros=-amount_on(entry, accounts.GAIN_SHORT_TERM) - amount_on(entry, accounts.GAIN_LONG_TERM) - cost,
    )


def closes_of(entry: EntryPosted, move: LotMove, lots: Sequence[Lot]) -> tuple[LotClose, ...]:
    """Derive again what a booked sale took from the open lots, and check that the entry says the same.

    Raises:
        BrokenEntryError: the entry's cost or gain is not what these lots give.
    """
    closes = close_first_in(lots, -move.units_nanos, move.proceeds_micros, entry.ts_event)
    cost = sum(close.cost_micros for close in closes)
    gain = sum(close.gain_micros for close in closes)
    short_term = sum(close.gain_micros for close in closes if close.term == "ST")
    told = (-move.cost_micros, entry.gain_micros, -amount_on(entry, accounts.GAIN_SHORT_TERM))
    if told != (cost, gain, short_term):
        raise BrokenEntryError(
            f"Entry {entry.seq} ({entry.source_event_id}) books cost {-move.cost_micros} and gain "
            f"{entry.gain_micros} micro-dollars, but the open lots of {move.commodity} give {cost} and "
            f"{gain}."
        )
    return closes


def _cost_through(lot: Lot, closed_nanos: int) -> int:
    """Cost of the lot's first `closed_nanos`, rounded once."""
    if closed_nanos == lot.qty_nanos:
        return lot.cost_micros
    # A cost that is no whole number of cents could round up past the whole of it.
    return min(round_to_cent(lot.cost_micros * closed_nanos, lot.qty_nanos), lot.cost_micros)

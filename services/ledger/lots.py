"""First-in-first-out lots: what a sale's shares had cost, to the cent. Pure; shared by core and book.

A lot keeps its *total* cost, never a cost per share. A partial sale takes cost by cumulative rounding: what
is taken so far is always the exact share of the total, rounded once to the cent, so nothing drifts, and the
last sale takes the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Literal

from msgspec import Struct

from bus.messages import EntryPosted, round_to_cent
from services.ledger import accounts

_NS_PER_DAY = 86_400 * 1_000_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
#: Of a year without a 29 February; nobody has held anything longer than a year for so few days.
_YEAR_DAYS = 365

Term = Literal["ST", "LT"]
CloseKind = Literal["SALE", "EXPIRE", "EXERCISE", "SPLIT"]
#: How an entry of a type closes lots; every other type sells.
_CLOSE_KINDS: dict[str, CloseKind] = {"EXPIRE": "EXPIRE", "SPLIT": "SPLIT"}


class BrokenEntryError(Exception):
    """An entry contradicts the entries before it: a fault of the program, or a damaged journal."""


class Lot(Struct, frozen=True, kw_only=True, gc=False):
    """Shares bought together. `closed_` is what sales have taken so far; `account` carries their cost."""

    acquired_ns: int
    qty_nanos: int
    cost_micros: int
    closed_nanos: int = 0
    closed_micros: int = 0
    account: str = accounts.EQUITIES_AT_COST

    @property
    def left_nanos(self) -> int:
        """Return the shares still held."""
        return self.qty_nanos - self.closed_nanos

    @property
    def left_micros(self) -> int:
        """Return the cost of the shares still held."""
        return self.cost_micros - self.closed_micros


class LotClose(Struct, frozen=True, kw_only=True, gc=False):
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


class LotChange(Struct, frozen=True, kw_only=True, gc=False):
    """What an entry does to the lots of one commodity: first `closes`, then `opens`."""

    commodity: str
    kind: CloseKind
    closes: tuple[LotClose, ...] = ()
    opens: tuple[Lot, ...] = ()


def is_long_term(acquired_ns: int, sold_ns: int) -> bool:
    """Tell whether shares were held for more than one year, by UTC trade dates.

    Regular sessions begin and end within one UTC day, so the UTC date is the exchange's date. The day after
    the acquisition counts as the first; a 29 February has its anniversary on the 28th.
    Source: IRS Publication 550 (2024), "Long-term or short-term".
    """
    acquired_day, sold_day = acquired_ns // _NS_PER_DAY, sold_ns // _NS_PER_DAY
    if sold_day - acquired_day <= _YEAR_DAYS:
        return False
    acquired = date.fromordinal(_EPOCH_ORDINAL + acquired_day)
    sold = date.fromordinal(_EPOCH_ORDINAL + sold_day)
    day = 28 if (acquired.month, acquired.day) == (2, 29) else acquired.day
    return sold > date(acquired.year + 1, acquired.month, day)


def units_open(lots: Sequence[Lot]) -> int:
    """Return the billionths of a share that all lots still hold."""
    return sum([lot.qty_nanos - lot.closed_nanos for lot in lots])


def first_lots(lots: Sequence[Lot], qty_nanos: int) -> Sequence[Lot]:
    """Return the lots that a sale of so much takes its shares from, all or a part; the lots hold at least that."""
    taken = 0
    for index, lot in enumerate(lots):
        if taken >= qty_nanos or not lot.left_nanos:
            return lots[:index]
        taken += lot.left_nanos
    return lots


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
            account=lot.account,
        )
    return tuple(lot for lot in changed if lot.left_nanos)


def lot_changes(entry: EntryPosted, open_lots: Callable[[str], Sequence[Lot]]) -> tuple[LotChange, ...]:
    """Derive from an entry's lines what it does to lots, and check that the lots give the same cost and gain.

    `open_lots` returns the open lots of a commodity, oldest first. An entry that takes back another one does the
    opposite of what that did to the lots, so for it there is nothing to derive.

    Raises:
        BrokenEntryError: the entry's cost or gain is not what these lots give.
    """
    if entry.reverses_seq:
        return ()
    units: dict[str, list[int]] = {}
    sums: dict[str, int] = {}
    for line in entry.lines:
        sums[line.account] = sums.get(line.account, 0) + line.amount
        if line.account == accounts.UNITS_IN_CUSTODY:
            units.setdefault(line.commodity, []).append(line.amount)
    if not units:
        return ()
    changes = tuple(
        _change(entry, commodity, amounts, open_lots(commodity), sums=sums) for commodity, amounts in units.items()
    )
    gain = sum([close.gain_micros for change in changes for close in change.closes])
    if gain != entry.gain_micros:
        raise BrokenEntryError(
            f"Entry {entry.seq} ({entry.source_event_id}) books a gain of {entry.gain_micros} micro-dollars, but the "
            f"open lots of {', '.join(units)} give {gain}."
        )
    return changes


def after_change(lots: Sequence[Lot], change: LotChange) -> tuple[Lot, ...]:
    """Return the lots that are open after a change."""
    return (*after_closes(lots, change.closes), *change.opens)


def split_lots(lots: Sequence[Lot], units_nanos: int) -> tuple[Lot, ...]:
    """Return the lots after a split that leaves `units_nanos` in all: same cost, same time of purchase.

    The units are shared out by cumulative rounding down to a billionth, so that they add up exactly.
    """
    held = units_open(lots)
    opened: list[Lot] = []
    before = after = 0
    for lot in lots:
        before += lot.left_nanos
        through = units_nanos * before // held
        qty = through - after
        opened.append(Lot(acquired_ns=lot.acquired_ns, qty_nanos=qty, cost_micros=lot.left_micros, account=lot.account))
        after = through
    return tuple(opened)


def gain_by_term(closes: Sequence[LotClose]) -> tuple[int, int]:
    """Return what was gained short-term and long-term, in micro-dollars."""
    short_term = sum(close.gain_micros for close in closes if close.term == "ST")
    return short_term, sum(close.gain_micros for close in closes) - short_term


def at_cost(closes: Sequence[LotClose]) -> tuple[LotClose, ...]:
    """Return the closes with their cost as proceeds: what they cost lives on elsewhere, so nothing is gained."""
    return tuple(
        LotClose(
            index=close.index,
            qty_nanos=close.qty_nanos,
            cost_micros=close.cost_micros,
            proceeds_micros=close.cost_micros,
            left_nanos=close.left_nanos,
            left_micros=close.left_micros,
            term=close.term,
        )
        for close in closes
    )


def _change(
    entry: EntryPosted, commodity: str, units: Sequence[int], lots: Sequence[Lot], *, sums: Mapping[str, int]
) -> LotChange:
    """What an entry does to the lots of one commodity; `sums` is what its lines are in all on each account."""
    known = accounts.cost_accounts(commodity)
    account = next((code for code in known if code in sums), known[0])
    kind = _close_kind(entry, commodity)
    moved, cost = sum(units), sums.get(account, 0)
    if kind == "SPLIT":
        out = -sum(amount for amount in units if amount < 0)
        closes = at_cost(close_first_in(lots, out, 0, entry.ts_event))
        opened = split_lots(lots, moved + out)
        return LotChange(commodity=commodity, kind=kind, closes=closes, opens=opened)
    if moved > 0:
        opened = (Lot(acquired_ns=entry.ts_event, qty_nanos=moved, cost_micros=cost, account=account),)
        return LotChange(commodity=commodity, kind=kind, opens=opened)
    short_account, long_account = accounts.gain_accounts(commodity)
    gains = -sums.get(short_account, 0), -sums.get(long_account, 0)
    closes = close_first_in(lots, -moved, max(sum(gains) - cost, 0), entry.ts_event)
    if kind == "EXERCISE":
        closes = at_cost(closes)
    taken = sum([close.cost_micros for close in closes])
    if (-cost, gains) != (taken, gain_by_term(closes)):
        raise BrokenEntryError(
            f"Entry {entry.seq} ({entry.source_event_id}) books cost {-cost} and gain {sum(gains)} micro-dollars, but "
            f"the open lots of {commodity} give {taken} and {sum(gain_by_term(closes))}."
        )
    return LotChange(commodity=commodity, kind=kind, closes=closes)


def _close_kind(entry: EntryPosted, commodity: str) -> CloseKind:
    # Of an exercise only the contracts end by it: the shares of a put that is exercised are sold.
    if entry.event_type == "EXERCISE" and commodity == accounts.unit_commodity(entry.symbol):
        return "EXERCISE"
    return _CLOSE_KINDS.get(entry.event_type, "SALE")


def _cost_through(lot: Lot, closed_nanos: int) -> int:
    """Cost of the lot's first `closed_nanos`, rounded once."""
    if closed_nanos == lot.qty_nanos:
        return lot.cost_micros
    # A cost that is no whole number of cents could round up past the whole of it.
    return min(round_to_cent(lot.cost_micros * closed_nanos, lot.qty_nanos), lot.cost_micros)

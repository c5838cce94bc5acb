"""Check the books that were read, entry by entry, before anything is made of them. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Final

from services.ledger import accounts
from services.ledger.figures import dollars
from services.ledger.reading import Books, Entry

FINDINGS_MAX: Final = 20
_GAINS: Final = frozenset(accounts.GAIN_ACCOUNTS)


def findings(books: Books) -> tuple[str, ...]:
    """Return one sentence for each fault, the first twenty at most; empty where the books are sound.

    Checked are that every entry balances in each commodity, that the accounts with lots hold the cost of their lots,
    that units in custody are the open lots, that booked gains are those of the lots, and that assets equal
    liabilities, equity and result.
    """
    return tuple(islice(_all(books), FINDINGS_MAX))


def _all(books: Books) -> Iterator[str]:
    for entry in books.entries:
        yield from _entry_faults(books, entry)
    yield from _lot_faults(books)
    worth = sum(
        line.amount
        for entry in books.entries
        for line in entry.lines
        if line.commodity == accounts.CURRENCY and (kind := books.accounts.get(line.account)) and kind.type != "MEMO"
    )
    if worth:
        yield f"Assets differ from liabilities, equity and result by {dollars(worth)} dollars."


def _entry_faults(books: Books, entry: Entry) -> Iterator[str]:
    sums: defaultdict[str, int] = defaultdict(int)
    for line in entry.lines:
        sums[line.commodity] += line.amount
        if line.account not in books.accounts:
            yield f"Entry {entry.seq} uses account {line.account}, which the chart of accounts does not have."
    for commodity, total in sums.items():
        if total:
            yield f"Entry {entry.seq} does not balance: its lines in {commodity} sum to {total}, not 0."
    gain = sum(close.gain for close in entry.closed)
    if not gain == entry.gain_micros == -entry.amount_on(_GAINS):
        yield (
            f"Entry {entry.seq} books a gain of {dollars(-entry.amount_on(_GAINS))} dollars, says "
            f"{dollars(entry.gain_micros)}, and its lots give {dollars(gain)}."
        )


def _lot_faults(books: Books) -> Iterator[str]:
    cost: defaultdict[str, int] = defaultdict(int)
    units: defaultdict[str, int] = defaultdict(int)
    for lot, qty, left in books.open_lots(max((entry.occurred_ns for entry in books.entries), default=0) + 1):
        sign = -1 if books.lot_accounts.get(lot.account, False) else 1
        cost[lot.account] += sign * left
        units[lot.commodity] += sign * qty
        if qty < 0 or left < 0:
            yield f"Lot {lot.lot_id} of {lot.commodity} has less than nothing left."
    held, booked = _booked(books)
    for commodity in sorted(held.keys() | units.keys()):
        if held[commodity] != units[commodity]:
            yield f"{commodity}: {held[commodity]} units are in custody, but the open lots have {units[commodity]}."
    for account in sorted(booked.keys() | cost.keys()):
        if booked[account] != cost[account]:
            yield (
                f"Account {account} holds {dollars(booked[account])} dollars, but its open lots cost "
                f"{dollars(cost[account])}."
            )


def _booked(books: Books) -> tuple[defaultdict[str, int], defaultdict[str, int]]:
    """Units in custody by commodity, and the balances of the accounts with lots."""
    held: defaultdict[str, int] = defaultdict(int)
    booked: defaultdict[str, int] = defaultdict(int)
    for entry in books.entries:
        for line in entry.lines:
            if line.account == accounts.UNITS_IN_CUSTODY:
                held[line.commodity] += line.amount
            elif line.account in books.lot_accounts:
                booked[line.account] += line.amount
    return held, booked

"""Write the books for beancount, so that another program books the same lots and gains again.

A purchase gives its total cost and a label for its lot; a sale names no lot and no gain: beancount takes the oldest
shares by its own first-in-first-out booking and works out the gain, which the file then compares with the ledger's.
An entry that was taken back is left out together with its reversal.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from typing import Final

from services.ledger import accounts
from services.ledger.arguments import add_whole_export, export_whole
from services.ledger.ofx_text import money, plain, units
from services.ledger.reading import Books, Entry, Line, LotRow, Period, utc_day

_ROOTS: Final = {
    "ASSET": "Assets", "LIABILITY": "Liabilities", "EQUITY": "Equity", "INCOME": "Income", "EXPENSE": "Expenses",
    "MEMO": "Equity:Memo",
}  # fmt: skip
_GAIN_CODES: Final = frozenset(accounts.GAIN_ACCOUNTS)
_GAINS: Final = "Income:RealizedGains"
#: beancount works out a gain to the cent, the ledger the cost of each lot to the cent.
_CENT_MICROS: Final = 10_000
_NAME: Final = re.compile(r"[A-Z](?:[A-Z0-9'._-]{0,22}[A-Z0-9])?")
_RESERVED: Final = frozenset({"TRUE", "FALSE", "NULL", accounts.CURRENCY})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of `export-beancount`."""
    add_whole_export(parser)


def run(args: argparse.Namespace) -> int:
    """Export the books; return 0, or raise what `export_whole` raises."""
    return export_whole(args, "beancount", export_beancount)


def export_beancount(books: Books, period: Period) -> bytes:
    """Return the books until the end of a period as a beancount file: the same bytes for the same books."""
    entries = [entry for entry in books.until(period.end_ns) if entry.seq not in books.undone]
    # beancount knows days only, and keeps the order of the file within one.
    entries.sort(key=lambda entry: (utc_day(entry.occurred_ns), entry.seq))
    parts = [
        f'option "title" "{books.identity.bot_identity}"',
        'option "operating_currency" "USD"',
        'option "booking_method" "FIFO"',
        "",
        *_opens(books, entries),
        *(line for entry in entries for line in _transaction(books, entry)),
        *_assertions(books, entries, period.last + timedelta(days=1)),
    ]
    return ("\n".join(parts) + "\n").encode()


def currency_name(commodity: str) -> str:
    """Return what beancount calls a commodity: the symbol itself where it may, else one made from it."""
    if commodity not in _RESERVED and _NAME.fullmatch(commodity):
        return commodity
    letters = "".join(sign for sign in commodity.upper() if sign.isascii() and sign.isalnum())
    return f"X-{letters[:14]}-{sha256(commodity.encode()).hexdigest()[:6].upper()}"


def account_name(books: Books, code: str) -> str:
    """Return what beancount calls an account; realized gains are one account, for beancount knows no terms."""
    return _GAINS if code in _GAIN_CODES else f"{_ROOTS[books.accounts[code].type]}:{code}"


def _opens(books: Books, entries: list[Entry]) -> Iterator[str]:
    first = min((utc_day(entry.occurred_ns) for entry in entries), default=date(1970, 1, 1))
    codes = {line.account for entry in entries for line in _lines(books, entry)}
    codes |= {lot.account for entry in entries for lot in entry.opened}
    names = {account_name(books, code): books.accounts[code].name for code in codes - _GAIN_CODES}
    if any(entry.closed for entry in entries) or codes & _GAIN_CODES:
        names[_GAINS] = "Realized gain or loss, all terms"
    for name, title in sorted(names.items()):
        yield f"{first} open {name}"
        yield f'  name: "{_quoted(title)}"'
    yield ""


def _transaction(books: Books, entry: Entry) -> Iterator[str]:
    yield f'{utc_day(entry.occurred_ns)} * "{_quoted(entry.event_type)}" "{_quoted(entry.description)}"'
    yield f"  seq: {entry.seq}"
    for close in entry.closed:
        lot = books.lots[close.lot_id]
        # A short lot is closed by a purchase.
        sign = 1 if _is_short(books, lot) else -1
        yield f"  {account_name(books, lot.account)}  {_quantity(books, lot, sign * close.qty)} {{}}"
    for lot in entry.opened:
        sign = -1 if _is_short(books, lot) else 1
        cost = f'{{{{{money(lot.cost)} USD, {utc_day(lot.acquired_ns)}, "L{lot.lot_id}"}}}}'
        yield f"  {account_name(books, lot.account)}  {_quantity(books, lot, sign * lot.qty)} {cost}"
    for line in _lines(books, entry):
        if line.account not in _GAIN_CODES:
            yield f"  {account_name(books, line.account)}  {money(line.amount)} USD"
    if entry.closed and not entry.opened:
        yield f"  {_GAINS}"
        yield f"    booked: {money(-entry.gain_micros)} USD"
    yield ""


def _lines(books: Books, entry: Entry) -> Iterator[Line]:
    """The lines in dollars, save those of accounts with lots: beancount holds the lots themselves."""
    for line in entry.lines:
        if line.commodity == accounts.CURRENCY and line.account not in books.lot_accounts:
            yield line


def _assertions(books: Books, entries: list[Entry], day: date) -> Iterator[str]:
    sums: defaultdict[str, int] = defaultdict(int)
    held: defaultdict[tuple[str, str], int] = defaultdict(int)
    closes = 0
    for entry in entries:
        closes += len(entry.closed)
        for line in _lines(books, entry):
            sums[account_name(books, line.account)] += line.amount
        for lot in entry.opened:
            held[account_name(books, lot.account), lot.commodity] += -lot.qty if _is_short(books, lot) else lot.qty
        for close in entry.closed:
            lot = books.lots[close.lot_id]
            held[account_name(books, lot.account), lot.commodity] -= -close.qty if _is_short(books, lot) else close.qty
    for name, amount in sorted(sums.items()):
        tolerance = closes * _CENT_MICROS if name == _GAINS else 0
        yield f"{day} balance {name}  {money(amount)} ~ {money(tolerance)} USD"
    for (name, commodity), qty in sorted(held.items()):
        left = units(qty, books.commodities[commodity].scale)
        yield f"{day} balance {name}  {left} ~ 0 {currency_name(commodity)}"


def _is_short(books: Books, lot: LotRow) -> bool:
    return books.lot_accounts[lot.account]


def _quantity(books: Books, lot: LotRow, qty: int) -> str:
    return f"{units(qty, books.commodities[lot.commodity].scale)} {currency_name(lot.commodity)}"


def _quoted(text: str) -> str:
    return plain(text, 400).replace("\\", "\\\\").replace('"', '\\"')

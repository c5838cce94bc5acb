"""Write the books for hledger: every posting as it is, each with the balance that its account has after it.

hledger adds the lines up again on its own; one cent too many anywhere and `hledger check` fails.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from services.ledger import accounts
from services.ledger.arguments import add_whole_export, export_whole
from services.ledger.ofx_text import money, plain, units
from services.ledger.reading import Books, Entry, Period, utc_day

_TYPES: Final = {"ASSET": "A", "LIABILITY": "L", "EQUITY": "E", "INCOME": "R", "EXPENSE": "X", "MEMO": "A"}
_DESCRIPTION_LENGTH_MAX: Final = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of `export-hledger`."""
    add_whole_export(parser)


def run(args: argparse.Namespace) -> int:
    """Export the books; return 0, or raise what `export_whole` raises."""
    return export_whole(args, "hledger", export_hledger)


def export_hledger(books: Books, period: Period) -> bytes:
    """Return the books until the end of a period as a journal of hledger: the same bytes for the same books."""
    entries = sorted(books.until(period.end_ns), key=lambda entry: (utc_day(entry.occurred_ns), entry.seq))
    used = sorted({line.account for entry in entries for line in entry.lines})
    held = sorted({line.commodity for entry in entries for line in entry.lines} - {accounts.CURRENCY})
    parts = [
        f"; {books.identity.bot_identity}",
        "commodity 1000.000000 USD",
        *(f'commodity 1000.{"0" * books.commodities[name].scale} "{name}"' for name in held),
        *(f"account {_account(books, code)}  ; type:{_TYPES[books.accounts[code].type]}" for code in used),
        "",
        *_journal(books, entries),
    ]
    return ("\n".join(parts) + "\n").encode()


def _journal(books: Books, entries: list[Entry]) -> Iterator[str]:
    balances: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        # A semicolon would start a comment.
        described = plain(entry.description, _DESCRIPTION_LENGTH_MAX).replace(";", ",")
        yield f"{utc_day(entry.occurred_ns)} ({entry.seq}) {described}"
        for line in entry.lines:
            balances[line.account, line.commodity] += line.amount
            balance = balances[line.account, line.commodity]
            yield (
                f"    {_account(books, line.account)}  {_amount(books, line.commodity, line.amount)}"
                f" = {_amount(books, line.commodity, balance)}"
            )
        yield ""


def _account(books: Books, code: str) -> str:
    # Two spaces end an account's name, and a semicolon starts a comment.
    name = plain(books.accounts[code].name, 120).replace(";", ",")
    return f"{books.accounts[code].type.lower()}:{code} {name}"


def _amount(books: Books, commodity: str, amount: int) -> str:
    if commodity == accounts.CURRENCY:
        return f"{money(amount)} USD"
    return f'{units(amount, books.commodities[commodity].scale)} "{commodity}"'

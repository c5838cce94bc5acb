"""Print the books: `trial-balance` and `entries`. Read-only, also while the service is writing."""

import sqlite3
import sys
from collections.abc import Callable, Sequence

import msgspec

from bus.clock import iso_utc
from bus.messages import EntryPosted
from config.paths import HomePaths, home_paths
from config.vault import Vault, VaultError
from services.ledger import accounts
from services.ledger.book import Balance, Book, LedgerError, open_book
from services.ledger.figures import dollars, shares
from services.ledger.provision import ledger_path

_USAGE = "usage: python -m services.ledger [trial-balance | entries] [--json]"
_NAME_WIDTH = 44


def run_report(arguments: Sequence[str], paths: HomePaths | None = None) -> int:
    """Print what is asked for; return 0, or 1: no sound ledger, or 2: a wrong command line."""
    verb, flags = arguments[0], list(arguments[1:])
    if verb not in _VERBS or flags not in ([], ["--json"]):
        sys.stderr.write(f"There is no '{' '.join(arguments)}'. {_USAGE}\n")
        return 2
    paths = home_paths() if paths is None else paths
    try:
        identity = Vault(paths).open().identity
        book = open_book(ledger_path(paths, identity), identity, may_write=False)
    except (VaultError, LedgerError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        text, is_sound = _VERBS[verb](book, as_json=bool(flags))
    except sqlite3.Error as error:
        sys.stderr.write(f"The ledger cannot be read now: {error}. Try again in a moment.\n")
        return 1
    finally:
        book.close()
    sys.stdout.write(text + "\n")
    return 0 if is_sound else 1


def trial_balance(book: Book, *, as_json: bool) -> tuple[str, bool]:
    """Return the trial balance, and whether it balances."""
    balances, totals = book.balances(), book.totals()
    money = [balance for balance in balances if balance.commodity == accounts.CURRENCY and balance.amount]
    units = [b for b in balances if b.code == accounts.UNITS_IN_CUSTODY and b.amount]
    debit = sum(balance.amount for balance in money if balance.amount > 0)
    credit = -sum(balance.amount for balance in money if balance.amount < 0)
    is_sound = debit == credit and not any(totals.values())
    if as_json:
        return _trial_balance_json(money, units, totals, is_sound=is_sound), is_sound
    lines = [f"{'code':<6}{'account':<{_NAME_WIDTH}}{'debit':>18}{'credit':>18}"]
    lines += [_money_line(balance) for balance in money]
    lines.append(f"{'':<6}{'total':<{_NAME_WIDTH}}{dollars(debit):>18}{dollars(credit):>18}")
    lines.append("")
    lines.append("units in custody")
    lines += [f"  {balance.commodity:<24}{shares(balance.amount):>20}" for balance in units] or ["  none"]
    lines.append("")
    lines += [f"{name} {'sums to zero' if total == 0 else f'IS OUT BY {total}'}" for name, total in totals.items()]
    lines += [] if totals else ["no entries yet"]
    return "\n".join(lines), is_sound


def list_entries(book: Book, *, as_json: bool) -> tuple[str, bool]:
    """Return every entry with its lines, oldest first."""
    if as_json:
        return msgspec.json.encode(list(book.entries())).decode(), True
    blocks = [_entry_block(entry) for entry in book.entries()]
    return "\n".join(blocks) if blocks else "no entries yet", True


_VERBS: dict[str, Callable[..., tuple[str, bool]]] = {"trial-balance": trial_balance, "entries": list_entries}


def _money_line(balance: Balance) -> str:
    debit = dollars(balance.amount) if balance.amount > 0 else ""
    credit = dollars(-balance.amount) if balance.amount < 0 else ""
    return f"{balance.code:<6}{balance.name:<{_NAME_WIDTH}.{_NAME_WIDTH - 1}}{debit:>18}{credit:>18}"


def _trial_balance_json(
    money: Sequence[Balance], units: Sequence[Balance], totals: dict[str, int], *, is_sound: bool
) -> str:
    value = {
        "accounts": [
            {
                "code": balance.code,
                "name": balance.name,
                "type": balance.type,
                "debit_micros": max(balance.amount, 0),
                "credit_micros": max(-balance.amount, 0),
            }
            for balance in money
        ],
        "debit_micros": sum(balance.amount for balance in money if balance.amount > 0),
        "credit_micros": -sum(balance.amount for balance in money if balance.amount < 0),
        "units_nanos": {balance.commodity: balance.amount for balance in units},
        "sums": totals,
        "balances": is_sound,
    }
    return msgspec.json.encode(value).decode()


def _entry_block(entry: EntryPosted) -> str:
    head = f"{entry.seq:>6}  {iso_utc(entry.ts_event)}  {entry.event_type:<10}  {entry.description}"
    lines = [
        f"{'':>8}{line.account:<6}{line.commodity:<26}"
        f"{dollars(line.amount) if line.commodity == accounts.CURRENCY else shares(line.amount):>22}"
        for line in entry.lines
    ]
    return "\n".join([head, f"{'':>8}{entry.source_event_id}", *lines])

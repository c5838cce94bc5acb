"""Print the books: the verbs `trial-balance` and `entries`. Read-only, also while the service is writing."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from bus.clock import iso_utc
from bus.messages import EntryPosted
from services.ledger import accounts
from services.ledger.arguments import add_last_day, add_ledger, add_period, period_of
from services.ledger.book import Balance
from services.ledger.figures import dollars, shares
from services.ledger.findings import findings
from services.ledger.reading import Books, Period, read_books, read_posted

_NAME_WIDTH = 44


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of `trial-balance` and of `entries`."""
    add_ledger(parser)
    if parser.prog.endswith("trial-balance"):
        add_last_day(parser)
    else:
        add_period(parser)
    parser.add_argument("--json", action="store_true", help="for a program: whole numbers, in the ledger's own scale")


def run(args: argparse.Namespace) -> int:
    """Print what is asked for; return 0, or 1 where the books have a finding.

    Raises:
        LedgerError: there is no sound ledger, or the days are the wrong way round.
    """
    books = read_books(args.paths, args.ledger)
    period = period_of(args, books)
    if args.verb == "trial-balance":
        text, is_sound = trial_balance(books, period, as_json=args.json)
    else:
        wanted = {entry.seq for entry in books.within(period)}
        posted = [entry for entry in read_posted(args.paths, args.ledger) if entry.seq in wanted]
        text, is_sound = list_entries(posted, as_json=args.json), True
    sys.stdout.write(text + "\n")
    found = findings(books)
    sys.stderr.write("".join(f"Finding: {finding}\n" for finding in found))
    return 0 if is_sound and not found else 1


def balances_at(books: Books, end_ns: int) -> tuple[Balance, ...]:
    """Return every account that was used before a moment, by code, and by commodity within it."""
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entry in books.until(end_ns):
        for line in entry.lines:
            sums[line.account, line.commodity] += line.amount
    return tuple(
        Balance(code=code, name=account.name, type=account.type, commodity=commodity, amount=amount)
        for (code, commodity), amount in sorted(sums.items())
        if (account := books.accounts.get(code)) is not None
    )


def trial_balance(books: Books, period: Period, *, as_json: bool) -> tuple[str, bool]:
    """Return the trial balance at the end of a period, and whether it balances."""
    balances = balances_at(books, period.end_ns)
    totals: dict[str, int] = {}
    for balance in sorted(balances, key=lambda each: each.commodity):
        totals[balance.commodity] = totals.get(balance.commodity, 0) + balance.amount
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


def list_entries(entries: Sequence[EntryPosted], *, as_json: bool) -> str:
    """Return entries with their lines, as the ledger keeps them."""
    if as_json:
        return msgspec.json.encode(entries).decode()
    return "\n".join(_entry_block(entry) for entry in entries) or "no entries yet"


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

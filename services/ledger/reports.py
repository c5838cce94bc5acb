"""The verb `reports`: statements, gains and trades of a period, as one page of HTML or as JSON."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from services.ledger.arguments import add_ledger, add_out, add_period, deliver, period_of
from services.ledger.findings import findings
from services.ledger.ofx_text import money
from services.ledger.reading import Books, Period, read_books
from services.ledger.report_page import page
from services.ledger.report_tables import REPORTS, Table
from services.ledger.wash_sales import RULES, Rule


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of `reports`."""
    add_ledger(parser)
    add_period(parser)
    add_out(parser)
    parser.add_argument("--format", choices=("html", "json"), default="html", help="a page to read and print, or JSON")
    parser.add_argument("--only", choices=tuple(REPORTS), action="append", help="this report alone; may be repeated")
    parser.add_argument(
        "--wash-rule", choices=tuple(RULES), default="us-same-security-1", help="rule version of the tax view"
    )


def run(args: argparse.Namespace) -> int:
    """Write the reports; return 0, or 1 where the books have a finding, which the reports then show.

    Raises:
        LedgerError: there is no sound ledger, or the days are the wrong way round.
        OSError: the file cannot be written.
    """
    books = read_books(args.paths, args.ledger)
    period = period_of(args, books)
    found = findings(books)
    tables = make_reports(books, period, args.wash_rule, args.only or tuple(REPORTS))
    write = page if args.format == "html" else as_json
    deliver(args.out, write(books, period, tables, found), f"{len(tables)} reports until {period.last} UTC.")
    sys.stderr.write("".join(f"Finding: {finding}\n" for finding in found))
    return 1 if found else 0


def make_reports(books: Books, period: Period, rule: Rule, names: Sequence[str]) -> tuple[Table, ...]:
    """Return the named reports, each once, in the order in which they are shown."""
    return tuple(make(books, period, rule) for name, make in REPORTS.items() if name in names)


def as_json(books: Books, period: Period, tables: Sequence[Table], found: Sequence[str]) -> bytes:
    """Return the reports for a program: dollars as text with two places, more where there is a part of a cent."""
    value = {
        "bot": books.identity.bot_identity,
        "currency": "USD",
        "from": None if period.first is None else str(period.first),
        "to": str(period.last),
        "is_sound": not found,
        "findings": list(found),
        "reports": {
            table.key: {
                "title": table.title,
                "note": table.note,
                "rows": [_row(table, row) for row in table.rows],
                "totals": [_row(table, row) for row in table.totals],
            }
            for table in tables
        },
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _row(table: Table, row: Sequence[Any]) -> dict[str, str | None]:
    return {
        column.key: money(cell) if column.kind == "money" and isinstance(cell, int) else cell
        for column, cell in zip(table.columns, row, strict=True)
    }

"""The chart of accounts as pages and files show it: accounts as a tree, Markdown and CSV. Pure.

What may be changed is decided by the ledger (services/ledger/coa_utils_ledger.py); nothing here changes anything.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from bus.messages import LedgerCell
from services.web.frames import dollars

TYPES: Final = ("ASSET", "LIABILITY", "EQUITY", "INCOME", "EXPENSE")
#: Balances are shown the way their accounts grow: debts, equity and income with the sign turned.
_GROWS_BY_CREDIT: Final = ("LIABILITY", "EQUITY", "INCOME")
_CSV_HEAD: Final = ("code", "name", "type", "parent", "status", "takes_postings", "is_used", "balance_usd", "units")


class AccountLine(Struct, frozen=True, kw_only=True):
    """One account in the order of the tree; `depth` 0 is the top. Balances in micro-dollars, as its type grows."""

    code: str
    name: str
    type: str
    parent: str
    depth: int
    is_open: bool
    is_heading: bool
    is_used: bool
    balance_micros: int
    with_below_micros: int
    units: str


def tree_of(rows: Iterable[Mapping[str, LedgerCell]]) -> list[AccountLine]:
    """Return the accounts of the ledger's answer `accounts`, which is in the order of the tree already."""
    return [_line(row) for row in rows]


def _line(row: Mapping[str, LedgerCell]) -> AccountLine:
    kind = str(row["type"])
    sign = -1 if kind in _GROWS_BY_CREDIT else 1
    return AccountLine(
        code=str(row["code"]),
        name=str(row["account"]),
        type=kind,
        parent=str(row["parent"]),
        depth=_whole(row["depth"]),
        is_open=row["status"] == "OPEN",
        is_heading=row["unit_rule"] == "NONE",
        is_used=bool(row["is_used"]),
        balance_micros=sign * _whole(row["balance"]),
        with_below_micros=sign * _whole(row["balance_with_below"]),
        units=str(row["units"] or ""),
    )


def _whole(value: LedgerCell) -> int:
    return value if isinstance(value, int) else 0


def markdown(lines: Sequence[AccountLine], *, version: str, title: str) -> str:
    """Return the chart as a Markdown table, its tree as indents."""
    head = ["| Code | Account | Type | State | Balance, $ |", "|---|---|---|---|---:|"]
    body = [
        f"| {line.code} | {'&nbsp;&nbsp;' * 2 * line.depth}{_escaped(line.name)} | {line.type.lower()} | "
        f"{'open' if line.is_open else 'closed'}{', heading' if line.is_heading else ''} | "
        f"{dollars(line.with_below_micros)} |"
        for line in lines
    ]
    note = "Balances include the accounts below; debts, equity and income are positive when they grow."
    return "\n".join(
        [f"# Chart of accounts of {_escaped(title)}", "", f"{version.capitalize()}. {note}", "", *head, *body, ""]
    )


def csv_text(lines: Sequence[AccountLine]) -> str:
    """Return the chart as CSV, with each account's own balance."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    for line in lines:
        writer.writerow(
            (
                line.code,
                _harmless(line.name),
                line.type,
                line.parent,
                "OPEN" if line.is_open else "CLOSED",
                "no" if line.is_heading else "yes",
                "yes" if line.is_used else "no",
                dollars(line.balance_micros),
                line.units,
            )
        )
    return out.getvalue()


def _escaped(text: str) -> str:
    """Return text that is no markup in a cell of a Markdown table."""
    for sign in ("\\", "|", "<", ">", "*", "_", "`", "[", "]"):
        text = text.replace(sign, f"\\{sign}")
    return text


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

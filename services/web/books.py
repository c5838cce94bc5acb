"""What pages ask of the books and order there: questions with their pages of rows, commands with their answers.

The ledger's file is opened by the ledger alone; pages ask by message and say plainly when nobody answers.
"""

import csv
import io
import secrets as random_ids
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from flask import request

from bus.clock import boot_ns, utc_ns
from bus.commands import COMMAND_VALID_NS
from bus.messages import LEDGER_ROWS_MAX, MICROS, AskLedger, LedgerCell, LedgerKind, LedgerPage, OperatorCommand
from services.web import security
from services.web.forms import Refusal, given_reason
from services.web.frames import dollars, grouped, shares
from services.web.site import site

ANSWER_TIMEOUT_S: Final = 7.0
ROWS_A_PAGE: Final = 50
#: An export is at most so many pages of rows; more than that is for the ledger's own command line.
EXPORT_PAGES_MAX: Final = 100
#: Columns whose whole numbers are micro-dollars.
MONEY: Final = frozenset(
    {
        "amount", "balance", "balance_with_below", "price", "gross", "commission", "fees", "gain", "proceeds", "cost",
        "opening", "debits", "credits", "closing_debit", "closing_credit", "expected", "actual", "difference",
    }
)  # fmt: skip
NUMBERS: Final = MONEY | {"quantity", "entry", "line"}
_NO_ANSWER: Final = "The ledger does not answer: is it up? The dashboard's table of services says."


class BooksError(Exception):
    """The books did not give what was asked; the message says why, `code` is the status to answer with."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


def ask(kind: LedgerKind, **wanted: Any) -> LedgerPage:
    """Return one page of an answer of the books.

    Raises:
        BooksError: nobody answered, or the question cannot be answered as it is put.
    """
    now = utc_ns()
    values = {"rows_max": ROWS_A_PAGE, **{name: value for name, value in wanted.items() if value not in {"", None}}}
    question = AskLedger(
        ts_event=now,
        ts_init=now,
        command_id=random_ids.token_hex(16),
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS,
        operator=security.current_user().name,
        receiver="ledger",
        kind=kind,
        **values,
    )
    said = site().bus.command(question, ANSWER_TIMEOUT_S)
    if said is None:
        raise BooksError(_NO_ANSWER, 503)
    if not said.is_done:
        raise BooksError(f"The ledger says: {said.detail}", 409)
    try:
        return msgspec.json.decode(said.body, type=LedgerPage)
    except msgspec.MsgspecError as error:
        raise BooksError(f"The ledger's answer cannot be read ({error}): does it run another build?", 503) from error


def order(kind: type[OperatorCommand], /, **wanted: Any) -> Refusal | str:
    """Give the books a command with the form's reason; return what the service answers, or why it did nothing."""
    now = utc_ns()
    command = kind(
        ts_event=now,
        ts_init=now,
        command_id=random_ids.token_hex(16),
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS,
        operator=security.current_user().name,
        reason=given_reason(),
        halt_counter=site().control.read().halt_counter,
        **wanted,
    )
    said = site().bus.command(command, ANSWER_TIMEOUT_S)
    if said is None:
        valid_s = COMMAND_VALID_NS // 1_000_000_000
        return Refusal(503, f"Nobody answered. The order may still be carried out within {valid_s} s; look again then.")
    if not said.is_done:
        return Refusal(409, f"{command.receiver} refuses: {said.detail}. Nothing was changed.")
    return said.detail


def every_row(kind: LedgerKind, **wanted: Any) -> LedgerPage:
    """Return all rows of an answer, page after page, for an export.

    Raises:
        BooksError: as `ask`; or there are more rows than an export may have.
    """
    first = ask(kind, **wanted, rows_max=LEDGER_ROWS_MAX)
    if first.pages > EXPORT_PAGES_MAX:
        most = EXPORT_PAGES_MAX * LEDGER_ROWS_MAX
        raise BooksError(f"{first.rows_total:,} rows are more than an export of {most:,}: choose fewer days.", 409)
    rest = [ask(kind, **wanted, rows_max=LEDGER_ROWS_MAX, page=number).rows for number in range(2, first.pages + 1)]
    return msgspec.structs.replace(first, rows=tuple(row for page in (first.rows, *rest) for row in page))


def cell_text(column: str, cell: LedgerCell) -> str:
    """Return a cell as people read it."""
    if cell is None or cell == "":
        return "–"  # noqa: RUF001 - the dash that stands for "none" in every table
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return grouped(dollars(cell)) if column in MONEY else str(cell)
    return cell


def value_text(name: str, value: LedgerCell) -> str:
    """Return a field of an entry as people read it; empty for what is said again in another field, or is nothing."""
    if value in {None, ""} or name.endswith("_ns"):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_micros") or name in MONEY:
            return grouped(dollars(value))
        # Shares and contracts have nine places in the books.
        if name.endswith("_nanos") or name == "qty":
            return grouped(shares(value))
    return cell_text(name, value)


def records(page: LedgerPage, part: str = "rows") -> list[dict[str, LedgerCell]]:
    """Return the rows, or the totals, by column name."""
    return [dict(zip(page.columns, row, strict=True)) for row in getattr(page, part)]


def csv_text(page: LedgerPage) -> str:
    """Return a page as CSV: dollars with their places, the totals at the end."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(page.columns)
    writer.writerows(_csv_rows(page.columns, (*page.rows, *page.totals)))
    return out.getvalue()


def _csv_rows(columns: Sequence[str], rows: Sequence[Sequence[LedgerCell]]) -> Iterator[list[str]]:
    for row in rows:
        yield [_csv_cell(column, cell) for column, cell in zip(columns, row, strict=True)]


def _csv_cell(column: str, cell: LedgerCell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return dollars(cell) if column in MONEY else str(cell)
    return harmless(str(cell))


def harmless(text: str) -> str:
    """Return words that no spreadsheet takes for a formula; a negative quantity stays a number."""
    is_formula = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(text)
    return f"'{text}" if is_formula else text


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def micros_of(text: str) -> int:
    """Return dollars as typed in micro-dollars.

    Raises:
        BooksError: they are no amount of money.
    """
    try:
        value = Decimal(text.replace(",", "").replace("$", "").strip())
        micros = value * MICROS
    except InvalidOperation:
        raise BooksError(f"'{text[:40]}' is no amount in dollars, such as 1250.00.", 400) from None
    if not value.is_finite() or micros != micros.to_integral_value() or abs(micros) > 2**62:
        raise BooksError(f"'{text[:40]}' is no amount in dollars, such as 1250.00.", 400)
    return int(micros)


def page_number() -> int:
    """Return the page that the address asks for, 1 for any other word."""
    text = request.args.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def given(name: str, chars_max: int = 100) -> str:
    """Return a word of the address, cut."""
    return request.args.get(name, "").strip()[:chars_max]

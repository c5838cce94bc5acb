"""Questions and orders to the books, from pages: what the ledger answers, ready to be shown, or why there is nothing.

The web interface never opens the ledger: it asks over the bus (docs/protocol.md, "Commands and questions").
"""

import secrets as random_ids
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from bus.clock import boot_ns, utc_ns
from bus.commands import COMMAND_VALID_NS
from bus.messages import (
    LEDGER_ROWS_MAX,
    AskLedger,
    ChangeCoa,
    ExplainSuspense,
    LedgerCell,
    LedgerKind,
    LedgerPage,
    ReconcileNow,
    ReverseEntry,
    RunHoldings,
    ServiceName,
)
from services.web import security
from services.web.forms import Refusal, given_reason
from services.web.frames import dollars, grouped
from services.web.site import site

ANSWER_S: Final = 6.0
#: An export of more pages than this is asked for in parts.
EXPORT_PAGES_MAX: Final = 500
NO_ANSWER: Final = (
    "The ledger does not answer: is it up? The dashboard's table of services says so. Load the page again in a moment."
)
CellKind = Literal["text", "money", "number", "time", "flag"]
Order = ChangeCoa | ReverseEntry | ExplainSuspense | ReconcileNow | RunHoldings


class Column(Struct, frozen=True, kw_only=True):
    """A column as a page shows it: the ledger's name of it, its head, and what it holds."""

    name: str
    head: str
    kind: CellKind = "text"

    @property
    def label(self) -> str:
        """Return the head, with the mark that the table's macro knows numbers by."""
        return f"#{self.head}" if self.kind in ("money", "number") else self.head


class Answer(Struct, frozen=True, kw_only=True):
    """What became of a question: a page, or in words why there is none."""

    page: LedgerPage | None
    fault: str = ""

    def rows(self) -> list[dict[str, LedgerCell]]:
        """Return the rows with the ledger's own names of their cells."""
        page = self.page
        return [dict(zip(page.columns, row, strict=True)) for row in page.rows] if page else []

    def totals(self) -> list[dict[str, LedgerCell]]:
        """Return the rows of sums in the same way."""
        page = self.page
        return [dict(zip(page.columns, row, strict=True)) for row in page.totals] if page else []


def ask(kind: LedgerKind, **wanted: Any) -> Answer:
    """Put one question to the ledger.

    Args:
        kind: which question.
        wanted: the fields of AskLedger that count for it.
    """
    now = utc_ns()
    try:
        question = msgspec.convert(
            {
                "ts_event": now,
                "ts_init": now,
                "command_id": random_ids.token_hex(16),
                "expires_boot_ns": boot_ns() + COMMAND_VALID_NS,
                "operator": security.current_user().name,
                "receiver": "ledger",
                "kind": kind,
                **wanted,
            },
            AskLedger,
        )
    except msgspec.ValidationError as error:
        return Answer(page=None, fault=f"This cannot be asked: {error}.")
    said = site().bus.command(question, ANSWER_S)
    if said is None:
        return Answer(page=None, fault=NO_ANSWER)
    if not said.is_done:
        return Answer(page=None, fault=said.detail)
    try:
        return Answer(page=msgspec.json.decode(said.body, type=LedgerPage))
    except msgspec.MsgspecError:
        return Answer(page=None, fault="The ledger answers in words of another version: restart the whole chain.")


def ask_all(kind: LedgerKind, **wanted: Any) -> Iterator[Answer]:
    """Ask for every page, one after the other; the last one has a fault when something was in the way."""
    for number in range(1, EXPORT_PAGES_MAX + 1):
        answer = ask(kind, page=number, rows_max=LEDGER_ROWS_MAX, **wanted)
        yield answer
        if answer.page is None or number >= answer.page.pages:
            return
    yield Answer(page=None, fault=f"There are more than {EXPORT_PAGES_MAX * LEDGER_ROWS_MAX:,} rows: ask for less.")


def order(kind: type[Order], receiver: ServiceName = "ledger", **fields: Any) -> str | Refusal:
    """Give one command, with the reason of the form, and put it into the audit log.

    Returns:
        What the service says it did, or why nothing was changed.
    """
    here, now = site(), utc_ns()
    try:
        command = msgspec.convert(
            {
                "ts_event": now,
                "ts_init": now,
                "command_id": random_ids.token_hex(16),
                "expires_boot_ns": boot_ns() + COMMAND_VALID_NS,
                "operator": security.current_user().name,
                "receiver": receiver,
                "halt_counter": here.control.read().halt_counter,
                "reason": given_reason(),
                **fields,
            },
            kind,
        )
    except msgspec.ValidationError as error:
        return Refusal(400, f"This cannot be ordered: {error}. Nothing was changed.")
    said = here.bus.command(command, ANSWER_S)
    words = said.detail if said else "no answer"
    told = ", ".join(f"{name} {value}" for name, value in fields.items() if value not in ("", None, False))
    here.audit.record(f"ordered_{kind.__name__}", told or receiver, after=f"{given_reason()}: {words}")
    if said is None:
        return Refusal(
            504, f"{receiver} did not answer in {ANSWER_S:.0f} s. Look whether it was done before you order it again."
        )
    return words if said.is_done else Refusal(409, f"{receiver} refuses: {words}. Nothing was changed.")


def shown(column: Column, row: Mapping[str, LedgerCell]) -> str:
    """Return a cell as text for people: dollars with cents, times to the second, nothing for what is not there."""
    value = row.get(column.name)
    if value is None or value == "":
        return ""
    match column.kind:
        case "money":
            return grouped(dollars(value)) if isinstance(value, int) else str(value)
        case "time":
            return str(value)[:19].replace("T", " ")
        case "flag":
            return "yes" if value else "no"
        case _:
            return str(value)


def exported(column: Column, row: Mapping[str, LedgerCell]) -> str:
    """Return a cell for a CSV file: money without signs between thousands, and no text that a sheet would reckon."""
    value = row.get(column.name)
    if value is None:
        return ""
    if column.kind == "money" and isinstance(value, int):
        return dollars(value)
    text = str(value)
    return f"'{text}" if column.kind == "text" and text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

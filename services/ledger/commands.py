"""Carry out operators' commands on the books: a changed chart, a reversal, an explained difference."""

from collections.abc import Sequence
from typing import Final

from bus.clock import utc_now, utc_ns
from bus.commands import Deciding, Outcome
from bus.messages import (
    BookWashSales,
    ChangeCoa,
    EntryPosted,
    EntrySuspended,
    ExplainSuspense,
    PayReserve,
    ReverseEntry,
)
from services.ledger.book import Book
from services.ledger.coa_utils_ledger import CoaError, changed_chart
from services.ledger.events import EntryReversed, PayoutOrdered, SuspenseExplained
from services.ledger.failures import BackupError, LedgerError
from services.ledger.hash_chain import Value
from services.ledger.tax_versions import prefix_of

_NOTE_LENGTH_MAX: Final = 400
Command = ChangeCoa | ReverseEntry | ExplainSuspense | PayReserve


def carry_out(command: Command, book: Book, deciding: Deciding) -> Outcome:
    """Do what an operator ordered and write down that it was, or say in words why not.

    Raises:
        BackupError: the write could not be kept; the service ends.
    """
    outcome = _done(command, book, deciding)
    if outcome.is_done:
        about = command.code if isinstance(command, ChangeCoa) else outcome.detail.partition(":")[0]
        payload: dict[str, Value] = {"command": command.command_id, "reason": command.reason, "done": outcome.detail}
        book.audit(command.operator, type(command).__name__, about, payload=payload, at_ns=utc_ns())
    return outcome


def book_wash_sales(command: BookWashSales, book: Book, found: Sequence[tuple[Value, ...]]) -> Outcome:
    """Book what was found as the next version of a year's tax view, unless the newest says the same."""
    prefix = prefix_of(command.rule, command.year)
    newest = book.newest_wash_sales(prefix)
    if (not newest and not found) or (newest and book.wash_sales(f"{prefix}{newest}") == list(found)):
        return Outcome(is_done=True, detail=f"Nothing has changed: version {newest} of {command.year} stands.")
    version = f"{prefix}{newest + 1}"
    try:
        book.book_wash_sales(version, found, command.operator, at_ns=utc_ns())
    except BackupError:
        raise
    except LedgerError as error:
        return Outcome(is_done=False, detail=str(error))
    return Outcome(is_done=True, detail=f"{len(found)} wash sales of {command.year} are booked as {version}.")


def _done(command: Command, book: Book, deciding: Deciding) -> Outcome:
    match command:
        case ChangeCoa():
            return _change_chart(command, book)
        case ReverseEntry():
            original = book.entry(command.entry_seq)
            if original is None:
                return Outcome(is_done=False, detail=f"there is no entry {command.entry_seq}")
            return _book(EntryReversed.of(command, original), book, deciding)
        case ExplainSuspense():
            if refusal := _account_refusal(command.account, book):
                return Outcome(is_done=False, detail=refusal)
            return _book(SuspenseExplained.of(command), book, deciding)
        case PayReserve():
            return _book(PayoutOrdered.of(command), book, deciding)


def _change_chart(command: ChangeCoa, book: Book) -> Outcome:
    version, chart = book.chart()
    if version != command.coa_version:
        detail = f"the chart of accounts is at version {version} by now, not {command.coa_version}: look again"
        return Outcome(is_done=False, detail=detail)
    try:
        changed = changed_chart(chart, command, book.used_accounts())
    except CoaError as error:
        return Outcome(is_done=False, detail=" ".join(error.faults))
    note = f"{command.action} {command.code}: {command.reason}"[:_NOTE_LENGTH_MAX]
    at_utc = utc_now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    try:
        made = book.new_chart(changed, command.operator, note, at_utc=at_utc, at_ns=utc_ns())
    except BackupError:
        raise
    except LedgerError as error:
        return Outcome(is_done=False, detail=str(error))
    return Outcome(is_done=True, detail=f"The chart of accounts is at version {made}.")


def _book(report: EntryReversed | SuspenseExplained | PayoutOrdered, book: Book, deciding: Deciding) -> Outcome:
    """Book what an operator ordered as everything else is booked; what the core refuses leaves no trace."""
    if book.last_seq() != deciding.state.last_seq:
        return Outcome(is_done=False, detail="the last fills before a crash are not told again yet: try again soon")
    events = deciding.decided(report)
    for event in events:
        if isinstance(event, EntrySuspended):
            return Outcome(is_done=False, detail=event.detail)
    posted = [event for event in events if isinstance(event, EntryPosted)]
    if not posted:
        return Outcome(is_done=False, detail="it is booked already")
    deciding.follow(events)
    return Outcome(is_done=True, detail=f"Entry {posted[-1].seq}: {posted[-1].description}")


def _account_refusal(code: str, book: Book) -> str:
    """Why a difference cannot be explained on an account of the active chart."""
    account = next((each for each in book.chart()[1] if each.code == code), None)
    if account is None:
        return f"there is no account {code}"
    if account.status != "OPEN" or account.unit_rule != "BASE" or account.lot_rule != "NONE":
        return f"account {code} takes no dollars: choose an open account of income, expense or equity"
    if account.type not in ("INCOME", "EXPENSE", "EQUITY"):
        return f"account {code} is {account.type}: choose an account of income, expense or equity"
    return ""

"""Carry out operators' commands on the books: a changed chart, a reversal, an explained difference."""

from typing import Final

from bus.clock import utc_now, utc_ns
from bus.commands import Deciding, Outcome
from bus.messages import ChangeCoa, EntryPosted, EntrySuspended, ExplainSuspense, ReverseEntry
from services.ledger.book import Book
from services.ledger.coa_utils_ledger import CoaError, changed_chart
from services.ledger.events import EntryReversed, SuspenseExplained
from services.ledger.failures import BackupError, LedgerError

_NOTE_LENGTH_MAX: Final = 400
Command = ChangeCoa | ReverseEntry | ExplainSuspense


def carry_out(command: Command, book: Book, deciding: Deciding) -> Outcome:
    """Do what an operator ordered, or say in words why not.

    Raises:
        BackupError: the write could not be kept; the service ends.
    """
    match command:
        case ChangeCoa():
            return _change_chart(command, book)
        case ReverseEntry():
            original = book.entry(command.entry_seq)
            if original is None:
                return Outcome(is_done=False, detail=f"there is no entry {command.entry_seq}")
            return _book(EntryReversed.of(command, original), deciding)
        case ExplainSuspense():
            if refusal := _account_refusal(command.account, book):
                return Outcome(is_done=False, detail=refusal)
            return _book(SuspenseExplained.of(command), deciding)


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


def _book(report: EntryReversed | SuspenseExplained, deciding: Deciding) -> Outcome:
    """Book what an operator ordered as everything else is booked; what the core refuses leaves no trace."""
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

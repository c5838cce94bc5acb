"""The ledger's world: the ledger file. An entry is in the file before the journal says that it happened."""

from collections.abc import Sequence

from bus.assembly import Assembly, CannotStartError, Setup
from bus.clock import utc_now
from bus.decider import Shell
from bus.messages import EntryPosted, Message
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.book import Book, LedgerError, open_book
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.figures import dollars
from services.ledger.lots import units_open
from services.ledger.provision import ensure_ledger, ledger_path, pending_request, read_request
from services.ledger.settings import LedgerSettings


class LedgerShell(Shell[LedgerState]):
    """Opens the ledger file at start, creates it where the web interface asked so, writes each entry."""

    def __init__(self, paths: HomePaths, identity: Identity, *, is_buffered: bool = False) -> None:
        self._is_buffered = is_buffered
        self._paths = paths
        self._identity = identity
        self._book: Book | None = None

    def on_start(self, state: LedgerState, now_ns: int) -> Sequence[Message]:
        """Open the ledger file and compare it with the journal.

        Raises:
            CannotStartError: there is no sound ledger, or it is not the one that the journal tells of.
        """
        self.close()
        try:
            # The wall clock, not the session's: a replayed day does not change when the ledger was created.
            path = ensure_ledger(self._paths, self._identity, utc_now())
            self._book = open_book(path, self._identity, may_write=True, is_buffered=self._is_buffered)
        except LedgerError as error:
            raise CannotStartError(str(error)) from error
        if difference := _difference(state, self._book):
            self.close()
            raise CannotStartError(
                f"The ledger {path} and the ledger service's journal {self._paths.state / 'ledger.db'} "
                "differ: "
                f"{difference}. Restore the one that is out of date from its backup, so that both are of "
                "the same time."
            )
        return ()

    def before_commit(self, event: Message) -> None:
        """Write an entry to the ledger file; after a crash the same entry comes again and is only verified.

        Raises:
            LedgerError: the ledger refuses the entry; nothing is acknowledged, so the fill is told again.
        """
        if not isinstance(event, EntryPosted):
            return
        if self._book is None:
            raise LedgerError("The ledger is not open, so nothing is booked. Start the ledger service again.")
        self._book.post(event)

    def close(self) -> None:
        """Release the ledger file."""
        if self._book is not None:
            self._book.close()
            self._book = None


def build(setup: Setup) -> Assembly[LedgerState]:
    """Put the ledger together; the ledger file is touched at start, not here."""

    def self_check() -> Sequence[str]:
        try:
            request = pending_request(setup.paths)
            path = ledger_path(setup.paths, setup.identity)
            if request is not None and not path.exists():
                read_request(request)
            else:
                open_book(path, setup.identity, may_write=False).close()
        except LedgerError as error:
            return (str(error),)
        return ()

    return Assembly(
        core=LedgerCore(LedgerSettings.from_env(setup.env), setup.identity.ledger_file),
        shell=LedgerShell(setup.paths, setup.identity, is_buffered=setup.is_buffered),
        self_check=self_check,
    )


def _difference(state: LedgerState, book: Book) -> str:
    """What is wrong between journal and ledger; after a crash the ledger may be one entry ahead."""
    written = book.last_seq()
    if written not in (state.last_seq, state.last_seq + 1):
        return f"the journal tells of {state.last_seq} entries, the ledger has {written}"
    if (source := book.source_of(state.last_seq)) != state.last_source_id:
        return f"entry {state.last_seq} is {state.last_source_id} in the journal and {source} in the ledger"
    if written > state.last_seq:
        # The fill of this entry was never acknowledged: it is told again, and gives the same entry.
        return ""
    known = {commodity: left for commodity, lots in state.lots.items() if (left := units_open(lots))}
    if known != (held := book.open_units()):
        return f"open shares are {known} by the journal and {held} by the ledger, in billionths"
    cost = sum(lot.left_micros for lots in state.lots.values() for lot in lots)
    if cost != (booked := book.open_cost()):
        return f"open lots cost {dollars(cost)} by the journal and {dollars(booked)} by the ledger"
    return ""

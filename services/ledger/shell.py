"""The ledger's world: the ledger file and its backups. An entry is in both before the journal says that it happened."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bus.assembly import Assembly, CannotStartError, Ports, Setup
from bus.clock import NS_PER_SECOND, utc_now
from bus.commands import Deciding, Outcome, Pending, refuse_request
from bus.decider import Shell
from bus.messages import (
    AskLedger,
    ChangeCoa,
    EntryPosted,
    ExplainSuspense,
    Message,
    OperatorRequest,
    ReverseEntry,
)
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.backup_ledgers import prune
from services.ledger.book import Book, LedgerError, open_book
from services.ledger.commands import carry_out
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.failures import BackupError
from services.ledger.figures import dollars
from services.ledger.head_file import head_path
from services.ledger.lots import units_open
from services.ledger.provision import ensure_ledger, ledger_path, pending_request, read_request
from services.ledger.question_desk import QuestionDesk
from services.ledger.safekeeping import Safekeeping
from services.ledger.settings import BackupSettings, LedgerSettings

logger = logging.getLogger(__name__)
_END_S: Final = 5
_CHECKOUT: Final = Path(__file__).parents[2]


class LedgerShell(Shell[LedgerState]):
    """Opens the ledger file at start, creates it where the web interface asked so, writes each entry.

    A replay's ledger (`Setup.is_buffered`) has no backups: nobody resumes it, and it can be made again.
    """

    def __init__(
        self, paths: HomePaths, identity: Identity, backups: BackupSettings, *, is_buffered: bool = False
    ) -> None:
        self._is_buffered = is_buffered
        self._paths = paths
        self._identity = identity
        self._backups = backups
        self._book: Book | None = None
        self._keeping: Safekeeping | None = None
        self._copying: subprocess.Popen[bytes] | None = None
        self._ports: Ports | None = None
        self._questions: QuestionDesk | None = None

    def attach(self, ports: Ports) -> None:
        """Take the runtime's ports: a base that cannot be made halts the chain."""
        self._ports = ports

    def on_start(self, state: LedgerState, now_ns: int) -> Sequence[Message]:
        """Open the ledger file and compare it with its backups and with the journal.

        Raises:
            CannotStartError: there is no sound ledger, it is not the one that the journal tells of, or it cannot be
                backed up.
        """
        self.close()
        faults: list[str] = []
        try:
            path = ensure_ledger(self._paths, self._identity, self._creation_time(now_ns))
            self._book = open_book(path, self._identity, may_write=True, is_buffered=self._is_buffered)
        except LedgerError as error:
            raise CannotStartError(str(error)) from error
        if not self._is_buffered:
            try:
                self._begin_keeping(self._book, path)
            except BackupError as error:
                faults.append(str(error))
        if difference := _difference(state, self._book):
            faults.append(
                f"The ledger {path} and the ledger service's journal {self._paths.state / 'ledger.db'} differ: "
                f"{difference}. Restore the one that is out of date from its backup, so that both are of the same time."
            )
        if faults:
            self.close()
            raise CannotStartError(" ".join(faults))
        return ()

    def before_commit(self, event: Message) -> None:
        """Write an entry to the ledger file; after a crash the same entry comes again and is only verified.

        Raises:
            LedgerError: the ledger or its backup refuses the entry; nothing is acknowledged, so the fill stays in
                execution's outbox, on disk, and is told again.
        """
        if not isinstance(event, EntryPosted):
            return
        if self._book is None:
            raise LedgerError("The ledger is not open, so nothing is booked. Start the ledger service again.")
        self._book.post(event)

    def on_idle(self, state: LedgerState, now_ns: int) -> Sequence[Message]:
        """Let a helper process make a new base when enough was written since the last (LEDGER_BASE_EVERY)."""
        if self._keeping is None:
            return ()
        if self._copying is not None:
            code = self._copying.poll()
            if code is not None:
                self._copying = None
                self._base_ended(self._keeping, code, now_ns)
        elif self._keeping.links_since_base >= self._backups.base_every_links:
            self._keeping.links_since_base = 0
            ledger = ledger_path(self._paths, self._identity)
            command = [sys.executable, "-m", "services.ledger", "backup", "--ledger", str(ledger)]
            self._copying = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=_CHECKOUT)  # noqa: S603 - own verb
        return ()

    def on_request(self, request: OperatorRequest, deciding: Deciding) -> Outcome | Pending:
        """Answer a question about the books, or carry out an operator's command on them."""
        if self._book is None:
            return Outcome(is_done=False, detail="the ledger is not open: see why on the status page")
        match request:
            case AskLedger():
                return self._question_desk().ask(request)
            case ChangeCoa() | ReverseEntry() | ExplainSuspense():
                return carry_out(request, self._book, deciding)
            case _:
                return refuse_request(request, deciding)

    def close(self) -> None:
        """Release the ledger file and its backups."""
        if self._questions is not None:
            self._questions.close()
            self._questions = None
        if self._copying is not None:
            # An unfinished copy has no manifest, so it does not count.
            self._copying.terminate()
            self._copying.wait(_END_S)
            self._copying = None
        if self._book is not None:
            self._book.close()
            self._book = None
        if self._keeping is not None:
            self._keeping.close()
            self._keeping = None

    def _question_desk(self) -> QuestionDesk:
        # Most ledgers are never asked in a run: the thread begins with the first question.
        if self._questions is None:
            self._questions = QuestionDesk(ledger_path(self._paths, self._identity))
        return self._questions

    def _creation_time(self, now_ns: int) -> datetime:
        # A replayed day does not change when a ledger was created, but a replay's own ledger is the same every time.
        return datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC) if self._is_buffered else utc_now()

    def _begin_keeping(self, book: Book, path: Path) -> None:
        self._keeping = Safekeeping(path, head_path(self._paths, path.name))
        for note in self._keeping.begin(book):
            logger.warning("the ledger at its start: %s", note)
        book.keeper = self._keeping

    def _base_ended(self, keeping: Safekeeping, code: int, now_ns: int) -> None:
        if code != 0:
            self._alarm(
                f"no new base of the ledger could be made in {keeping.folder.bases}: exit code {code}, see the log"
            )
            return
        try:
            keeping.base_was_made()
            prune(
                keeping.folder,
                bases_kept=self._backups.bases_kept,
                redo_days_kept=self._backups.redo_days_kept,
                now_ns=now_ns,
            )
        except BackupError as error:
            self._alarm(str(error))

    def _alarm(self, words: str) -> None:
        logger.error("%s", words)
        if self._ports is not None:
            self._ports.raise_halt("ledger_backup", words)


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

    shell = LedgerShell(setup.paths, setup.identity, BackupSettings.from_env(setup.env), is_buffered=setup.is_buffered)
    return Assembly(
        core=LedgerCore(LedgerSettings.from_env(setup.env), setup.identity.ledger_file),
        shell=shell,
        self_check=self_check,
        attach=shell.attach,
        on_request=shell.on_request,
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

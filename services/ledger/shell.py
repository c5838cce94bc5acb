"""The ledger's world: the ledger file and its backups. An entry is in both before the journal says that it happened."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bus.assembly import Assembly, CannotStartError, Ports, Setup
from bus.clock import NS_PER_SECOND, boot_ns, utc_now
from bus.commands import Deciding, Outcome, Pending, refuse_request
from bus.decider import Shell
from bus.messages import (
    AskLedger,
    BooksCompared,
    BookWashSales,
    ChangeCoa,
    EntryPosted,
    ExplainSuspense,
    Message,
    OperatorRequest,
    PayReserve,
    ReverseEntry,
)
from config.identity import Identity
from config.paths import HomePaths
from services.ledger import accounts
from services.ledger.backup_ledgers import prune
from services.ledger.book import Book, LedgerError, open_book
from services.ledger.commands import book_wash_sales, carry_out
from services.ledger.comparing import assertions_of
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.deeds import read_note, waiting
from services.ledger.failures import BackupError
from services.ledger.figures import dollars
from services.ledger.head_file import head_path
from services.ledger.lots import units_open
from services.ledger.provision import ensure_ledger, ledger_path, pending_request, read_request
from services.ledger.question_desk import QuestionDesk
from services.ledger.safekeeping import Safekeeping
from services.ledger.settings import BackupSettings, LedgerSettings
from services.ledger.trade_logs import LogFormat, TradeLogs

logger = logging.getLogger(__name__)
_END_S: Final = 5
#: About 4 MiB: a start reads so much in a moment.
_LINKS_IN_LOG: Final = 50
_UNREADY_MAX: Final = 400
_NICE: Final = "10"
_CHECKOUT: Final = Path(__file__).parents[2]


class LedgerShell(Shell[LedgerState]):
    """Opens the ledger file at start, creates it where the web interface asked so, writes each entry.

    A replay's ledger (`Setup.is_buffered`) has no backups: nobody resumes it, and it can be made again.
    """

    def __init__(
        self,
        paths: HomePaths,
        identity: Identity,
        backups: BackupSettings,
        *,
        is_buffered: bool = False,
        trade_logs: TradeLogs | None = None,
    ) -> None:
        self._is_buffered = is_buffered
        self._trade_logs = trade_logs
        self._paths = paths
        self._identity = identity
        self._backups = backups
        self._book: Book | None = None
        self._keeping: Safekeeping | None = None
        self._copying: subprocess.Popen[bytes] | None = None
        self._ports: Ports | None = None
        self._questions: QuestionDesk | None = None
        self._differences = ""
        self._notes_due_ns = 0
        self._links_seen = 0

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
        if difference := _difference(state, self._book, self._keeping):
            faults.append(
                f"The ledger {path} and the ledger service's journal {self._paths.state / 'ledger.db'} differ: "
                f"{difference}. Restore the one that is out of date from its backup, so that both are of the same time."
            )
        if faults:
            self.close()
            raise CannotStartError(" ".join(faults))
        self._note_differences(self._book)
        return ()

    def before_commit(self, event: Message) -> None:
        """Write an entry to the ledger file; after a crash the same entry comes again and is only verified.

        Raises:
            LedgerError: the ledger or its backup refuses the entry; nothing is acknowledged, so the fill stays in
                execution's outbox, on disk, and is told again.
        """
        self.before_commits((event,))

    def after_commit(self, state: LedgerState, event: Message, now_ns: int) -> Sequence[Message]:
        """Write the line of a booked execution into its strategy's log."""
        if self._trade_logs is not None and isinstance(event, EntryPosted):
            self._trade_logs.note(event)
        return ()

    def before_commits(self, events: Sequence[Message]) -> None:
        """Write entries that are committed together in one transaction, with one sync; see `before_commit`.

        Raises:
            LedgerError: as there. Those before the refused one are in the ledger then, and only verified next time.
        """
        entries: list[EntryPosted] = []
        for event in events:
            if isinstance(event, EntryPosted):
                entries.append(event)
            elif isinstance(event, BooksCompared):
                # What is asserted is what the books hold at that place among the entries.
                self._post(entries)
                entries = []
                self._assert_balances(event)
        self._post(entries)

    def _post(self, entries: Sequence[EntryPosted]) -> None:
        if not entries:
            return
        if self._book is None:
            raise LedgerError("The ledger is not open, so nothing is booked. Start the ledger service again.")
        self._book.post_all(entries)
        if self._differences or any(line.account == accounts.SUSPENSE for entry in entries for line in entry.lines):
            self._note_differences(self._book)

    def _assert_balances(self, event: BooksCompared) -> None:
        if self._book is None:
            raise LedgerError("The ledger is not open, so nothing is compared. Start the ledger service again.")
        for scope, commodity, expected, source in assertions_of(event):
            self._book.assert_balance(scope, commodity, expected, source=source, at_ns=event.ts_event)
        if event.detail:
            logger.error("the books differ from the broker: %s", event.detail)
        self._note_differences(self._book)

    def _note_differences(self, book: Book) -> None:
        self._differences = book.differences()

    def unready(self) -> str:
        """Return why the chain may not be armed: the broker and the books differ, and nobody has explained it."""
        if not self._differences:
            return ""
        return f"broker and books differ: {self._differences}. See Reconciliation."[:_UNREADY_MAX]

    def on_idle(self, state: LedgerState, now_ns: int) -> Sequence[Message]:
        """Let a helper process make a new base when enough was written since the last (LEDGER_BASE_EVERY)."""
        if self._keeping is None:
            return ()
        self._take_notes(self._keeping)
        if self._book is not None and self._is_idle(self._keeping):
            self._keeping.links_in_log = 0
            self._book.take_log_in()
        if self._copying is not None:
            code = self._copying.poll()
            if code is not None:
                self._copying = None
                self._base_ended(self._keeping, code, now_ns)
        elif self._keeping.links_since_base >= self._backups.base_every_links:
            self._keeping.links_since_base = 0
            ledger = ledger_path(self._paths, self._identity)
            # It yields to every service: fills are booked meanwhile.
            verb = ["backup", "--nice", _NICE, "--ledger", str(ledger)]
            command = [sys.executable, "-m", "services.ledger", *verb]
            self._copying = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=_CHECKOUT)  # noqa: S603 - own verb
        return ()

    def on_request(self, request: OperatorRequest, deciding: Deciding) -> Outcome | Pending:
        """Answer a question about the books, or carry out an operator's command on them."""
        if self._book is None:
            return Outcome(is_done=False, detail="the ledger is not open: see why on the status page")
        match request:
            case AskLedger():
                return self._question_desk().ask(request)
            case BookWashSales():
                return self._wash_sales(request, self._book)
            case ChangeCoa() | ReverseEntry() | ExplainSuspense() | PayReserve():
                return carry_out(request, self._book, deciding)
            case _:
                return refuse_request(request, deciding)

    def _wash_sales(self, command: BookWashSales, book: Book) -> Outcome | Pending:
        """Work wash sales out in the questions' thread; book them here, for one thread alone writes."""
        pending = self._question_desk().find(command)
        if isinstance(pending, Outcome):
            return pending

        def look() -> Outcome | None:
            found = pending()
            return found if found is None or isinstance(found, Outcome) else book_wash_sales(command, book, found)

        return look

    def _is_idle(self, keeping: Safekeeping) -> bool:
        """Tell whether there is something in the write-ahead log, and nothing has come since the last look."""
        before, self._links_seen = self._links_seen, keeping.links_in_log
        return keeping.links_in_log >= _LINKS_IN_LOG and before == keeping.links_in_log

    def _take_notes(self, keeping: Safekeeping) -> None:
        """Write what the command line's verbs did into the audit trail, once each."""
        if self._book is None or boot_ns() < self._notes_due_ns:
            return
        self._notes_due_ns = boot_ns() + NS_PER_SECOND
        for path in waiting(ledger_path(self._paths, self._identity)):
            deed = read_note(path)
            if deed is None:
                logger.warning("a note of what was done with the ledger cannot be read; it is in quarantine: %s", path)
                path.replace(keeping.folder.quarantine / path.name)
                continue
            if not self._book.was_audited(deed.actor, deed.action, deed.at_ns):
                self._book.audit(deed.actor, deed.action, deed.about, payload=deed.payload, at_ns=deed.at_ns)
            path.unlink()

    def close(self) -> None:
        """Release the ledger file, its backups and the logs."""
        if self._trade_logs is not None:
            self._trade_logs.close()
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
            self._questions = QuestionDesk(ledger_path(self._paths, self._identity), self._identity)
        return self._questions

    def _creation_time(self, now_ns: int) -> datetime:
        # A replayed day does not change when a ledger was created, but a replay's own ledger is the same every time.
        return datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC) if self._is_buffered else utc_now()

    def _begin_keeping(self, book: Book, path: Path) -> None:
        self._keeping = Safekeeping(path, head_path(self._paths, path.name))
        for note in self._keeping.begin(book):
            logger.warning("the ledger at its start: %s", note)
        book.keep_with(self._keeping)

    def _base_ended(self, keeping: Safekeeping, code: int, now_ns: int) -> None:
        if code != 0:
            self._alarm(
                f"no new base of the ledger could be made in {keeping.folder.bases} and restored again: exit code "
                f"{code}, see the log"
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

    # A replay has tables of its trades, and no logs of the operator's.
    logs = None if setup.is_buffered else _trade_logs(setup)
    shell = LedgerShell(
        setup.paths,
        setup.identity,
        BackupSettings.from_env(setup.env),
        is_buffered=setup.is_buffered,
        trade_logs=logs,
    )
    return Assembly(
        core=LedgerCore(LedgerSettings.from_env(setup.env), setup.identity.ledger_file),
        shell=shell,
        self_check=self_check,
        attach=shell.attach,
        commits_together=True,
        unready=shell.unready,
        on_request=shell.on_request,
    )


def _trade_logs(setup: Setup) -> TradeLogs:
    # LOG_FORMAT: one for all logs.
    log_format: LogFormat = "CSV" if setup.env.word("LOG_FORMAT") == "CSV" else "JSON"
    return TradeLogs(setup.paths.output / setup.identity.bot_identity / "logs", log_format)


def _difference(state: LedgerState, book: Book, keeping: Safekeeping | None) -> str:
    """What is wrong between journal and ledger; after a crash the ledger may be ahead by what is committed together."""
    written = book.last_seq()
    is_one_commit = written - state.last_seq <= 1 or (
        keeping is not None and keeping.committed_together(state.last_seq + 1, book.head())
    )
    if written < state.last_seq or not is_one_commit:
        return f"the journal tells of {state.last_seq} entries, the ledger has {written}"
    if (source := book.source_of(state.last_seq)) != state.last_source_id:
        return f"entry {state.last_seq} is {state.last_source_id} in the journal and {source} in the ledger"
    if written > state.last_seq:
        # The fills of these entries were never acknowledged: they are told again, and give the same entries.
        return ""
    known = {commodity: left for commodity, lots in state.lots.items() if (left := units_open(lots))}
    if known != (held := book.open_units()):
        return f"open shares are {known} by the journal and {held} by the ledger, in billionths"
    cost = sum(lot.left_micros for lots in state.lots.values() for lot in lots)
    if cost != (booked := book.open_cost()):
        return f"open lots cost {dollars(cost)} by the journal and {dollars(booked)} by the ledger"
    return ""

"""Answers questions about the books in a thread of its own, over a read-only connection: the service goes on meanwhile.

A question sees the ledger as it was at one moment. One that takes too long is given up, so that a reader never keeps
the write-ahead log from being taken into the file for long.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from bus.clock import boot_ns
from bus.commands import Outcome, Pending
from bus.messages import AskLedger, LedgerKind, LedgerPage
from services.ledger import page_queries, page_tables
from services.ledger.page_queries import QuestionError

_QUESTIONS_MAX: Final = 16
_ANSWER_NS_MAX: Final = 5_000_000_000
#: An answer fits into a frame with its margin.
BODY_BYTES_MAX: Final = 60 * 1024
_STEPS_BETWEEN_LOOKS: Final = 10_000
_END_S: Final = 6
_Answer = Callable[[sqlite3.Connection, AskLedger], LedgerPage]
ANSWERS: Final[dict[LedgerKind, _Answer]] = {
    "journal": page_queries.journal,
    "entry": page_queries.entry,
    "accounts": page_tables.account_tree,
    "trades": page_queries.trades,
    "trace": page_queries.trace,
    "trial_balance": page_tables.trial_balance,
    "income_statement": page_tables.income_statement,
    "balance_sheet": page_tables.balance_sheet,
    "gains": page_queries.gains,
    "coa": page_tables.chart,
    "coa_versions": page_tables.chart_versions,
    "coa_diff": page_tables.chart_diff,
    "reconciliation": page_tables.reconciliation,
    "audit": page_tables.audit,
}


def answer(ledger: Path, ask: AskLedger) -> Outcome:
    """Return the page that a question is about, or in words why there is none."""
    until_ns = boot_ns() + _ANSWER_NS_MAX
    try:
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            db.set_progress_handler(lambda: boot_ns() > until_ns, _STEPS_BETWEEN_LOOKS)
            db.execute("BEGIN")
            page = ANSWERS[ask.kind](db, ask)
    except QuestionError as error:
        return Outcome(is_done=False, detail=str(error))
    except sqlite3.OperationalError as error:
        if boot_ns() > until_ns:
            return Outcome(is_done=False, detail="the answer takes longer than 5 s: ask for fewer days")
        return Outcome(is_done=False, detail=f"the ledger cannot be read now: {error}")
    except sqlite3.DatabaseError as error:
        return Outcome(is_done=False, detail=f"the ledger cannot be read: {error}. Verify it.")
    body = msgspec.json.encode(page)
    if len(body) > BODY_BYTES_MAX:
        fits = max(1, len(page.rows) * BODY_BYTES_MAX // len(body) - 1)
        return Outcome(is_done=False, detail=f"{len(page.rows)} rows are too much for one answer: ask for {fits}")
    return Outcome(is_done=True, detail="", body=body)


class QuestionDesk:
    """One thread that answers one question after the other."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._questions: queue.Queue[tuple[AskLedger, list[Outcome]] | None] = queue.Queue(_QUESTIONS_MAX)
        self._thread = threading.Thread(target=self._run, name="ledger-questions", daemon=True)
        self._thread.start()

    def ask(self, question: AskLedger) -> Outcome | Pending:
        """Take a question, and return what gives its answer once it is there."""
        answers: list[Outcome] = []
        try:
            self._questions.put_nowait((question, answers))
        except queue.Full:
            return Outcome(is_done=False, detail="too many questions wait: ask again soon")
        return lambda: answers[0] if answers else None

    def close(self) -> None:
        """End the thread after the question that it is at."""
        while True:
            try:
                self._questions.get_nowait()
            except queue.Empty:
                break
        self._questions.put(None)
        self._thread.join(_END_S)

    def _run(self) -> None:
        while (item := self._questions.get()) is not None:
            question, answers = item
            answers.append(answer(self._ledger, question))

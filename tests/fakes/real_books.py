"""A bus whose ledger is the real one: pages ask it and order it as they do a running service."""

import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bus import messages as m
from bus.codec import CommandAnswer
from bus.commands import Outcome
from bus.halt import HaltRecord
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.book import open_book
from services.ledger.coa_utils_ledger import load_template
from services.ledger.commands import carry_out
from services.ledger.provision import ProvisionRequest, create_ledger, ledger_path
from services.ledger.question_desk import answer

#: The month of events that the ledger's own tests post.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "services" / "ledger"))
from posted_books import Poster, post_every_event


class Deciding:
    """The runtime's part of a command."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    @property
    def state(self) -> Any:
        return self._poster.state

    def decided(self, message: m.Message) -> Any:
        return self._poster.core.decide(self._poster.state, message, message.ts_init)

    def follow(self, events: Any) -> None:
        self._poster.take(events)


class RealBooks:
    """Answers like a running ledger; `is_up` False = nobody answers."""

    def __init__(self, paths: HomePaths, identity: Identity, *, is_empty: bool = False) -> None:
        self.path = ledger_path(paths, identity)
        self.is_up = True
        self.heard: list[m.OperatorRequest] = []
        self._identity = identity
        self._lock = threading.Lock()
        created = datetime(2025, 2, 1, tzinfo=UTC)
        create_ledger(self.path, identity, ProvisionRequest(coa=load_template(), currency_code="USD"), created)
        book = open_book(self.path, identity, may_write=True)
        self._poster = Poster(book) if is_empty else post_every_event(book)
        if not is_empty:
            at_ns = self._poster.posted[-1].ts_init
            book.assert_balance("CASH", "USD", 1, source="BROKER", at_ns=at_ns)
            book.audit("olga", "EXPORT", "ofx", payload={"to": "a.ofx"}, at_ns=at_ns)
        book.close()

    def tell_halt(self, record: HaltRecord) -> None:
        """Do nothing: no test halts here."""

    def command(self, message: m.OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        assert timeout_s > 0
        self.heard.append(message)
        if not self.is_up:
            return None
        outcome = self._outcome(message)
        return CommandAnswer(message.command_id, outcome.is_done, outcome.detail, outcome.body)

    def _outcome(self, message: m.OperatorRequest) -> Outcome:
        match message:
            case m.AskLedger():
                return answer(self.path, message)
            case m.ChangeCoa() | m.ReverseEntry() | m.ExplainSuspense() | m.PayReserve():
                with self._lock:
                    self._poster.book = book = open_book(self.path, self._identity, may_write=True)
                    try:
                        return carry_out(message, book, Deciding(self._poster))
                    finally:
                        book.close()
            case _:
                return Outcome(is_done=True, detail="the broker is asked")

"""Post to a ledger in a process that kills itself (SIGKILL) in the midst of a write, again and again; check each time.

    python tests/services/ledger/kill_rounds.py FOLDER ROUNDS

Each round a child opens the ledger as the service does, goes on where it stands, and dies at one step of a write, now
of one entry, now of a group. Then this process opens it as the next start does. It prints how often each step was met.
"""

import os
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bus.failpoints import failpoints
from bus.messages import EntryPosted
from bus.testing import a_deposit, a_fill
from config.identity import Identity
from services.ledger.book import Book, open_book
from services.ledger.coa_utils_ledger import load_template
from services.ledger.core import LedgerCore
from services.ledger.head_file import read_head
from services.ledger.provision import ProvisionRequest, create_ledger
from services.ledger.redo import Write, read_writes
from services.ledger.safekeeping import Safekeeping
from services.ledger.settings import LedgerSettings
from services.ledger.verify import verify_file

IDENTITY = Identity(
    entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)
POINTS = [
    f"{step}:{side}"
    for step in ("ledger.posting", "ledger.redo", "ledger.file_commit", "ledger.head")
    for side in ("before", "after")
]
GROUP = 4


def entries_of(count: int) -> list[EntryPosted]:
    """Return the entries that the rounds book one after the other: a deposit, then purchases and sales."""
    core = LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=0), "books")
    state, posted = core.initial(), []
    for number in range(count):
        message = a_deposit()
        if number:
            fill = a_fill(f"PX-{number}", "BUY" if number % 3 else "SELL", 2 if number % 3 else 3, 100 + number % 7)
            symbol = ("AAPL", "MSFT")[(number - 1) // 3 % 2]
            moment = fill.ts_event + number
            message = msgspec.structs.replace(fill, symbol=symbol, ts_event=moment, ts_init=moment)
        for event in core.decide(state, message, message.ts_init):
            if isinstance(event, EntryPosted):
                state = core.evolve(state, event)
                posted.append(event)
    return posted


def open_all(ledger: Path, head: Path) -> tuple[Book, Safekeeping]:
    """Open a ledger with its backups, as the service does at its start."""
    book = open_book(ledger, IDENTITY, may_write=True)
    keeping = Safekeeping(ledger, head)
    keeping.begin(book)
    book.keep_with(keeping)
    return book, keeping


def size_of(number: int) -> int:
    """Return how many entries a round commits together."""
    return GROUP if number // len(POINTS) % 2 else 1


def is_in_group(number: int) -> bool:
    """Tell whether a round dies between the entries of one commit."""
    return size_of(number) > 1 and POINTS[number % len(POINTS)].startswith("ledger.posting")


def die_in_a_write(ledger: Path, head: Path, entries: list[EntryPosted], number: int) -> None:
    """Post until the point of this round is met for the third time, and kill this process there."""
    point, met = POINTS[number % len(POINTS)], 0

    def die(name: str) -> None:
        nonlocal met
        met += name == point
        if met == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    book, _ = open_all(ledger, head)
    fresh = entries[book.last_seq() :]
    size = size_of(number)
    with failpoints(die):
        for begin in range(0, len(fresh), size):
            book.post_all(fresh[begin : begin + size])


def check(ledger: Path, head: Path, entries: list[EntryPosted], at_least: int) -> int:
    """Open it as the next start does; every file tells the same, and nothing that was committed is missing."""
    book, keeping = open_all(ledger, head)
    booked = [msgspec.structs.replace(entry, ts_init=0) for entry in book.entries()]
    assert booked == [msgspec.structs.replace(entry, ts_init=0) for entry in entries[: len(booked)]]
    writes = [item for item in read_writes(keeping.folder.redo, book.genesis()) if isinstance(item, Write)]
    assert [write.seq for write in writes] == list(range(1, len(booked) + 1))
    assert len(booked) >= at_least
    tip = book.head()
    assert read_head(head) == tip
    assert writes[-1].head == tip
    book.close()
    keeping.close()
    verdict = verify_file(ledger, tip)
    assert (verdict.faults, verdict.head) == ((), tip)
    return len(booked)


def main(folder: Path, rounds: int) -> None:
    """Play the rounds; an assertion fails where a death has left something else than it must."""
    ledger, head = folder / "entities" / "ACME_USA" / "books.db", folder / "state" / "books.head"
    head.parent.mkdir(parents=True)
    request = ProvisionRequest(coa=load_template(), currency_code="USD")
    create_ledger(ledger, IDENTITY, request, datetime(2025, 3, 12, tzinfo=UTC))
    entries = entries_of((rounds + 1) * 3 * GROUP)
    met: Counter[str] = Counter()
    booked = 0
    for number in range(rounds):
        child = os.fork()
        if child == 0:
            try:
                die_in_a_write(ledger, head, entries, number)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"round {number} did not die"
        # Two commits were whole when the third write met its point; inside of a group it is the first that is not.
        met[POINTS[number % len(POINTS)]] += 1
        booked = check(ledger, head, entries, booked + (0 if is_in_group(number) else 2 * size_of(number)))
    sys.stdout.buffer.write(msgspec.json.encode({"met": met, "booked": booked}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

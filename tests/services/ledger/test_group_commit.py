"""Entries written together, and the one sync of a write: what a death or a power cut leaves, and the next start."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.assembly import CannotStartError
from bus.failpoints import failpoints
from bus.messages import NANOS, CashMoved, EntryPosted, Message, OrderFilled
from config.identity import Identity
from config.paths import HomePaths
from services.ledger import connection
from services.ledger.backup_ledgers import BackupFolder
from services.ledger.book import Book, open_book
from services.ledger.core import LedgerCore
from services.ledger.failures import LedgerError
from services.ledger.head_file import head_path, read_head
from services.ledger.redo import read_writes, segments
from services.ledger.restore import Target, restore
from services.ledger.safekeeping import Safekeeping
from services.ledger.verify import digest_of, verify_file

STEPS = ("ledger.posting", "ledger.redo", "ledger.file_commit", "ledger.head")
GROUP = 10


class Keeping:
    """A ledger with its redo log and head, opened and closed as the service does."""

    def __init__(self, ledger: Path, identity: Identity, paths: HomePaths) -> None:
        self.ledger, self.identity = ledger, identity
        self.head = head_path(paths, ledger.name)
        self.folder = BackupFolder(ledger)
        self.book: Book | None = None
        self.keeping: Safekeeping | None = None

    def open(self) -> Book:
        self.book = open_book(self.ledger, self.identity, may_write=True)
        self.keeping = Safekeeping(self.ledger, self.head)
        self.keeping.begin(self.book)
        self.book.keep_with(self.keeping)
        return self.book

    def close(self) -> None:
        if self.book and self.keeping:
            self.book.close()
            self.keeping.close()

    def digest(self) -> str:
        with closing(sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True)) as db:
            return digest_of(db)

    def writes(self) -> list[Any]:
        assert self.book
        return list(read_writes(self.folder.redo, self.book.genesis()))


@pytest.fixture
def kept(ledger: Path, identity: Identity, paths: HomePaths) -> Iterator[Keeping]:
    made = Keeping(ledger, identity, paths)
    yield made
    made.close()


@pytest.fixture
def entries(core: LedgerCore, deposit: CashMoved, fill: Callable[..., OrderFilled]) -> list[EntryPosted]:
    """A deposit, then purchases and sales of three symbols, partial ones too."""
    state, posted = core.initial(), []
    told: list[Message] = [deposit]
    for number in range(12):
        symbol = ("AAPL", "MSFT", "QQQ")[number % 3]
        told.append(fill("BUY", symbol, 3 * NANOS, 100_000_000 + number, commission_micros=350_000))
        told.append(fill("SELL", symbol, 2 * NANOS, 101_000_000 + number))
    for message in told:
        for event in core.decide(state, message, message.ts_init):
            assert isinstance(event, EntryPosted)
            state = core.evolve(state, event)
            posted.append(event)
    return posted


def test_a_group_when_posted_gives_the_same_ledger_as_one_by_one(
    kept: Keeping, entries: list[EntryPosted], tmp_path: Path
) -> None:
    book = kept.open()
    for begin in range(0, len(entries), GROUP):
        book.post_all(entries[begin : begin + GROUP])
    grouped = kept.digest()
    assert [write.seq for write in kept.writes()] == [entry.seq for entry in entries]
    assert book.head() == read_head(kept.head)
    assert verify_file(kept.ledger, read_head(kept.head)).faults == ()
    book.post_all(entries)
    assert kept.digest() == grouped
    # Restored through the redo log it was posted one by one, and it is the same at each entry, also inside a group.
    singles = restore(kept.folder, Target(), tmp_path / "all.db")
    assert singles == book.head()
    for seq in (3, GROUP, GROUP + 4):
        head = restore(kept.folder, Target(seq=seq), tmp_path / f"{seq}.db")
        assert (head.seq, head.hash) == (seq, book.hash_at(head.link))


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_group_when_the_process_dies_in_it_is_there_whole_or_not_and_goes_on(
    kept: Keeping, entries: list[EntryPosted], step: str, side: str
) -> None:
    book = kept.open()
    book.post_all(entries[:5])

    def die(name: str) -> None:
        if name == f"{step}:{side}":
            raise KeyboardInterrupt

    with failpoints(die), pytest.raises(KeyboardInterrupt):
        book.post_all(entries[5 : 5 + GROUP])
    kept.close()
    book = kept.open()
    assert book.last_seq() in (5, 5 + GROUP)
    book.post_all(entries[5 : 5 + GROUP])
    book.post_all(entries)
    assert [entry.seq for entry in book.entries()] == [entry.seq for entry in entries]
    assert [write.seq for write in kept.writes()] == [entry.seq for entry in entries]
    assert verify_file(kept.ledger, read_head(kept.head)).faults == ()


@pytest.mark.parametrize("lost_lines", range(GROUP + 1))
@pytest.mark.parametrize("torn", [0, 1, 100])
def test_a_group_when_its_redo_lines_are_cut_anywhere_is_booked_up_to_there_and_then_whole(
    kept: Keeping, entries: list[EntryPosted], lost_lines: int, torn: int
) -> None:
    book = kept.open()
    book.post_all(entries[:5])

    def die(name: str) -> None:
        if name == "ledger.redo:after":
            raise KeyboardInterrupt

    with failpoints(die), pytest.raises(KeyboardInterrupt):
        book.post_all(entries[5 : 5 + GROUP])
    kept.close()
    segment = segments(kept.folder.redo)[-1]
    lines = segment.read_bytes().splitlines(keepends=True)
    whole = sum(map(len, lines[: len(lines) - lost_lines]))
    os.truncate(segment, min(whole + torn, segment.stat().st_size) if lost_lines else whole)
    book = kept.open()
    assert book.last_seq() == 5 + GROUP - lost_lines
    book.post_all(entries)
    assert book.last_seq() == len(entries)
    assert verify_file(kept.ledger, read_head(kept.head)).faults == ()


def test_a_group_when_one_of_it_is_refused_books_those_before_it_and_names_it(
    kept: Keeping, entries: list[EntryPosted]
) -> None:
    book = kept.open()
    broken = [*entries[:7], msgspec.structs.replace(entries[7], symbol="", lines=entries[7].lines[1:]), *entries[8:]]
    with pytest.raises(LedgerError, match=r"refused entry 8 .*booked whole or not at all") as refused:
        book.post_all(broken)
    assert "entries" not in str(refused.value).split("refused", 1)[1][:10]
    assert book.last_seq() == 7
    assert [write.seq for write in kept.writes()] == list(range(1, 8))
    book.post_all(entries)
    assert book.last_seq() == len(entries)


def test_the_ledger_file_when_it_is_kept_is_not_synced_with_each_commit(kept: Keeping) -> None:
    book = kept.open()
    book._db.set_authorizer(None)
    assert book._db.execute("PRAGMA synchronous").fetchone() == (1,), (
        "NORMAL: the sync of the redo log is the one that counts"
    )
    with closing(sqlite3.connect(":memory:")) as other:
        connection.harden(other)
        assert other.execute("PRAGMA synchronous").fetchone() == (2,), "FULL where nothing else is kept"


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("head", ["as it is", "older", "torn"])
def test_a_power_cut_when_the_ledger_file_had_not_been_synced_loses_nothing(
    kept: Keeping, entries: list[EntryPosted], share: float, head: str
) -> None:
    """The redo log alone was synced: of the write-ahead log any beginning may be left, and any state of the head."""
    book = kept.open()
    book.post(entries[0])
    old_head = kept.head.read_bytes()
    for entry in entries[1:12]:
        book.post(entry)
    book.post_all(entries[12:])
    before = kept.digest()
    # As the disk has it: the copies are made while the service is up, so nothing is tidied up by a close.
    wal = Path(f"{kept.ledger}-wal")
    on_disk = {kept.ledger: kept.ledger.read_bytes(), wal: wal.read_bytes()[: int(wal.stat().st_size * share)]}
    on_disk[kept.head] = {"as it is": kept.head.read_bytes(), "older": old_head, "torn": old_head[:77] + b"\0" * 60}[
        head
    ]
    kept.close()
    for path, data in on_disk.items():
        path.write_bytes(data)
    Path(f"{kept.ledger}-shm").unlink(missing_ok=True)
    book = kept.open()
    assert book.last_seq() == len(entries)
    assert kept.digest() == before
    assert verify_file(kept.ledger, read_head(kept.head)).faults == ()


def test_a_power_cut_when_the_redo_log_was_lost_as_well_is_found(kept: Keeping, entries: list[EntryPosted]) -> None:
    book = kept.open()
    for entry in entries:
        book.post(entry)
    wal = Path(f"{kept.ledger}-wal")
    ledger = kept.ledger.read_bytes()
    kept.close()
    kept.ledger.write_bytes(ledger)
    wal.unlink(missing_ok=True)
    segment = segments(kept.folder.redo)[-1]
    os.truncate(segment, len(segment.read_bytes().splitlines(keepends=True)[0]))
    with pytest.raises(LedgerError, match="its end was cut off"):
        kept.open()


# --- the service ------------------------------------------------------------------------------------------------


def _together(journal: Any, messages: list[Message], *, crash: bool = False) -> list[Message]:
    """Hear messages as the runtime does those that have arrived together."""
    state, events = journal.state, []
    for message in messages:
        for event in journal.assembly.core.decide(state, message, message.ts_init + 5):
            state = journal.assembly.core.evolve(state, event)
            events.append(event)
    journal.assembly.shell.before_commits(events)
    if not crash:
        journal.events += events
    return events


@pytest.mark.parametrize("crash", [False, True])
def test_fills_when_they_arrive_together_are_one_commit_and_are_booked_once_after_a_crash(
    start: Callable[..., Any], ledger: Path, day: list[Message], crash: bool
) -> None:
    first = start()
    first.hear(day[0])
    _together(first, day[1:], crash=crash)
    first.assembly.shell.close()
    second = start(first.events)
    assert second.assembly.shell._book.last_seq() == 5
    told = _together(second, day)
    assert len(told) == (4 if crash else 0)
    assert [event.seq for event in second.events] == [1, 2, 3, 4, 5]
    assert verify_file(ledger).faults == ()


def test_start_when_the_journal_is_older_than_one_commit_is_refused(
    start: Callable[..., Any], ledger: Path, day: list[Message]
) -> None:
    first = start()
    first.hear(day[0])
    _together(first, day[1:3])
    _together(first, day[3:])
    first.assembly.shell.close()
    with pytest.raises(CannotStartError, match="tells of 1 entries, the ledger has 5"):
        start(first.events[:1])
    start(first.events[:3])


def test_the_log_when_nothing_comes_is_taken_into_the_file_and_not_while_fills_come(
    start: Callable[..., Any],
    ledger: Path,
    deposit: CashMoved,
    fill: Callable[..., OrderFilled],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = start()
    shell = journal.assembly.shell
    journal.hear(deposit)
    taken: list[int] = []
    real = Book.take_log_in

    def take(book: Book) -> None:
        taken.append(book.last_seq())
        real(book)

    monkeypatch.setattr(Book, "take_log_in", take)
    for _ in range(60):
        journal.hear(fill("BUY", "AAPL", NANOS, 100_000_000))
        shell.on_idle(journal.state, 0)
    assert taken == []
    size = ledger.stat().st_size
    shell.on_idle(journal.state, 0)
    shell.on_idle(journal.state, 0)
    assert taken == [61]
    assert ledger.stat().st_size > size
    assert verify_file(ledger).faults == ()


def test_the_log_when_the_disk_refuses_it_stops_the_ledger_in_words(kept: Keeping, entries: list[EntryPosted]) -> None:
    book = kept.open()
    book.post_all(entries)
    book._db.close()
    with pytest.raises(LedgerError, match="cannot take its log in"):
        book.take_log_in()

"""The ledger: durable posts beside a bare append and a bare SQLite commit of the same rounds, verifying, restoring.

    python bench/ledger_bench.py [--entries 1000 100000] [--posts 200] [--drill 1000]

A post has one sync, that of the redo log, as the bare loops have; ten entries that arrive together have one for all.
The processor's time a post tells what a machine that does nothing else would take.
"""

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from measure import Row, print_table, quantile

from bus.messages import CashMoved, EntryPosted, OrderFilled
from bus.testing import a_deposit, a_fill
from config.identity import Identity
from services.ledger.book import Book, open_book
from services.ledger.coa_utils_ledger import load_template
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.hash_chain import Head
from services.ledger.head_file import HeadFile
from services.ledger.provision import ProvisionRequest, create_ledger
from services.ledger.restore import Target, restore
from services.ledger.safekeeping import Safekeeping
from services.ledger.settings import LedgerSettings
from services.ledger.verify import digest_of, verify_file

_LINKS_IN_LOG: Final = 50
_CHECKOUT: Final = Path(__file__).parent.parent
_IDENTITY: Final = Identity(
    entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BENCH"
)
_BYTES: Final = 1_500
_SYMBOLS: Final = 50
_ROWS_A_COMMIT: Final = 8
_BETWEEN_S: Final = 0.001


class Ledger:
    """A ledger that is filled quickly, and then posted to as the service does."""

    def __init__(self, root: Path) -> None:
        self.path = root / "entities" / "ACME_USA" / "bench.db"
        self.head_path = root / "state" / "bench.head"
        self.head_path.parent.mkdir(parents=True)
        request = ProvisionRequest(coa=load_template(), currency_code="USD")
        create_ledger(self.path, _IDENTITY, request, datetime(2025, 3, 3, tzinfo=UTC))
        self.core = LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=0), "bench")
        self.state: LedgerState = self.core.initial()
        self.number = 0

    def fill(self, entries: int) -> None:
        """Book entries without a commit for each, as a replay does."""
        book = open_book(self.path, _IDENTITY, may_write=True, is_buffered=True)
        while self.state.last_seq < entries:
            book.post(self.entry())
        file = HeadFile(self.head_path)
        file.write(book.head())
        file.close()
        book.close()

    def entry(self) -> EntryPosted:
        """Return the next entry: each symbol is bought, and then sold."""
        self.number += 1
        message: CashMoved | OrderFilled = a_deposit()
        if self.number > 1:
            side, place = ("BUY", "SELL")[self.number % 2], self.number // 2 % _SYMBOLS
            fill = a_fill(f"PX-{self.number:07d}", "BUY" if side == "BUY" else "SELL")
            message = msgspec.structs.replace(fill, ts_event=fill.ts_event + self.number, symbol=f"S{place}")
        (entry,) = self.core.decide(self.state, message, message.ts_init)
        assert isinstance(entry, EntryPosted)
        self.state = self.core.evolve(self.state, entry)
        return entry

    def open(self) -> tuple[Book, Safekeeping]:
        """Open it as the service does."""
        book = open_book(self.path, _IDENTITY, may_write=True)
        keeping = Safekeeping(self.path, self.head_path)
        keeping.begin(book)
        book.keep_with(keeping)
        return book, keeping


class Bare:
    """What the disk and SQLite give by themselves: one append, one commit of one entry's rows, one of ten."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "append.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._db = sqlite3.connect(folder / "bare.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c INTEGER)")

    def append(self) -> None:
        """Append as many bytes as a redo line has, and sync them."""
        os.write(self._file, b"\0" * _BYTES)
        getattr(os, "fdatasync", os.fsync)(self._file)  # macOS has no fdatasync

    def commit(self, entries: int = 1) -> None:
        """Commit the rows of entries into one plain table."""
        self._db.execute("BEGIN IMMEDIATE")
        rows = [("1010", "USD", number) for number in range(_ROWS_A_COMMIT * entries)]
        self._db.executemany("INSERT INTO row (a, b, c) VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")


def timed_us(work: Callable[[], object]) -> float:
    """Return the microseconds that a call takes, after a short rest."""
    time.sleep(_BETWEEN_S)
    begin = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begin) / 1_000


def measure_posts(ledger: Ledger, bare: Bare, posts: int, *, with_bases: bool) -> list[Row]:
    """Post, append and commit in turn; `with_bases`: while a helper process makes one whole copy after the other."""
    book, keeping = ledger.open()
    is_over = threading.Event()

    def copy() -> None:
        command = [sys.executable, "-m", "services.ledger", "backup", "--ledger", str(ledger.path)]
        while not is_over.is_set():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=_CHECKOUT)

    copier = threading.Thread(target=copy) if with_bases else None
    ours: list[float] = []
    appended: list[float] = []
    committed: list[float] = []
    tens: list[float] = []
    our_tens: list[float] = []
    used = 0.0
    try:
        if copier is not None:
            copier.start()
        for _ in range(posts):
            entry = ledger.entry()
            began = time.thread_time()
            ours.append(timed_us(lambda entry=entry: book.post(entry)))  # type: ignore[misc]  # it is bound at once
            used += time.thread_time() - began
            appended.append(timed_us(bare.append))
            committed.append(timed_us(bare.commit))
            tens.append(timed_us(lambda: bare.commit(10)))
            if keeping.links_in_log >= _LINKS_IN_LOG:
                # The service does it when nothing comes.
                book.take_log_in()
                keeping.links_in_log = 0
            group = [ledger.entry() for _ in range(10)]
            our_tens.append(timed_us(lambda group=group: book.post_all(group)))  # type: ignore[misc]  # as above
    finally:
        is_over.set()
        if copier is not None:
            copier.join()
        book.close()
        keeping.close()
    size = f"{ledger.state.last_seq // 1000 * 1000:,} entries{', bases being made' if with_bases else ''}"
    rows = [
        Row(f"post at {size}: {name} / {what}", quantile(ours, share), "us", quantile(other, share))
        for what, other in (("append + sync", appended), ("SQLite commit", committed))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
    rows.append(Row(f"posts a second at {size}", 1e6 * posts / sum(ours), "/s", 1e6 * posts / sum(appended)))
    rows.append(Row("processor's time a post", 1e6 * used / posts, "us"))
    rows.append(Row("ten entries a commit: p50 / SQLite's", quantile(our_tens, 0.5), "us", quantile(tens, 0.5)))
    rows.append(Row("ten entries a commit: posts a second", 1e7 * posts / sum(our_tens), "/s", 1e7 * posts / sum(tens)))
    return rows


def measure_verify(ledger: Ledger) -> list[Row]:
    """Verify the whole file; the processor's time tells what an idle machine would take."""
    wall, used = time.perf_counter(), time.process_time()
    verdict = verify_file(ledger.path)
    wall, used = time.perf_counter() - wall, time.process_time() - used
    assert verdict.faults == (), verdict.faults
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Row(f"verify {verdict.entries:,} entries", verdict.entries / wall, "/s"),
        Row("the same by the processor's time", verdict.entries / used, "/s"),
        Row("most memory of this process so far", memory, "MiB"),
    ]


def drill(root: Path, writes: int) -> list[Row]:
    """Post so many writes, and restore through every one of them: each must be what the ledger was."""
    ledger = Ledger(root)
    book, keeping = ledger.open()
    digests: dict[int, str] = {}
    for _ in range(writes):
        book.post(ledger.entry())
        digests[book.head().link] = digest_of(book._db)  # noqa: SLF001 - the digest is of the open file
    seen: dict[int, str] = {}

    def note(restored: Book, head: Head) -> None:
        seen[head.link] = digest_of(restored._db)  # noqa: SLF001 - the digest is of the open file

    begin = time.perf_counter()
    restore(keeping.folder, Target(), root / "restored.db", note)
    took = time.perf_counter() - begin
    assert seen == digests, "a restored ledger is not what the living one was"
    begin = time.perf_counter()
    restore(keeping.folder, Target(), root / "again.db")
    book.close()
    keeping.close()
    return [
        Row(f"drill: {writes:,} writes, each equal to the ledger then", took, "s"),
        Row("restored writes a second, verified at the end", writes / (time.perf_counter() - begin), "/s"),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 100_000], help="sizes to measure at")
    parser.add_argument("--posts", type=int, default=200, help="posts of each measurement")
    parser.add_argument("--drill", type=int, default=0, metavar="WRITES", help="restore through so many writes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder:
        root = Path(folder)
        ledger, bare = Ledger(root / "home"), Bare(root)
        for entries in sorted(args.entries):
            ledger.fill(entries)
            rows = [
                *measure_posts(ledger, bare, args.posts, with_bases=False),
                *measure_posts(ledger, bare, args.posts, with_bases=True),
                *measure_verify(ledger),
            ]
            print_table(f"The ledger at {entries:,} entries", rows)
        if args.drill:
            print_table("The restore drill", drill(root / "drill", args.drill))
    return 0


if __name__ == "__main__":
    sys.exit(main())

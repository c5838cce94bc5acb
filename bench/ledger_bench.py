"""The ledger: durable posts beside a bare append and a bare SQLite commit of the same rows, verifying, restoring.

    python bench/ledger_bench.py [--postings 1000 100000 1000000] [--posts 200] [--drill 1000]

Sizes are in postings, the lines of entries: a trade has four. A post is one whole entry. It has one sync, that of the
redo log, as the bare append has; ten entries that arrive together have one for all. Two things are posted in turn with
it. "The same rows" are those rows in the same tables and indexes of a copy of the ledger, without any rule, any hash
and any redo log: SQLite's own limit for them. "A plain ledger" has what every ledger has, headers, lines, a unique key,
two indexes and a trigger that balances them, and so neither lots, nor details of trades, nor a chain: what a program
without proofs would do. A trade has four lines and writes nine rows; a deposit has two lines and a settlement three,
and they write a header and a link beside their lines. The processor's time tells what a machine that does nothing else
would take: the disk's answer is not in it.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from measure import Goal, Row, print_table, quantile

from bus.messages import CashMoved, EntryPosted, OrderFilled
from bus.testing import a_deposit, a_fill
from config.identity import Identity
from services.ledger.book import Book, open_book
from services.ledger.coa_utils_ledger import load_template
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.entry_rows import insert_link
from services.ledger.hash_chain import Head
from services.ledger.head_file import HeadFile
from services.ledger.provision import ProvisionRequest, create_ledger
from services.ledger.recipes import draft_settlement
from services.ledger.redo import Write
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
_GROUP: Final = 10
#: So many groups follow each other without a rest, and so many rounds apart.
_GROUPS_A_BLOCK: Final = 5
_ROUNDS_A_BLOCK: Final = 10
_BETWEEN_S: Final = 0.001
#: Does a verb, and tells its peak in KiB. What getrusage says begins with the memory of the process that started it.
_TELLS_MEMORY: Final = """
import pathlib, re, resource, sys
from services.ledger.verbs import run_verb
code = run_verb(sys.argv[1:])
status = pathlib.Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
print(peak.group(1) if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""
_PLAIN_SCHEMA: Final = """
CREATE TABLE tx (
    seq INTEGER PRIMARY KEY, source_event_id TEXT NOT NULL UNIQUE, occurred_at_ns INTEGER NOT NULL,
    description TEXT NOT NULL
) STRICT;
CREATE INDEX tx_by_time ON tx (occurred_at_ns);
CREATE TABLE posting (
    tx_seq INTEGER NOT NULL, line_no INTEGER NOT NULL, account_code TEXT NOT NULL, commodity TEXT NOT NULL,
    amount INTEGER NOT NULL, PRIMARY KEY (tx_seq, line_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX posting_by_account ON posting (account_code, commodity);
INSERT INTO tx SELECT seq, source_event_id, occurred_at_ns, description FROM ledger.tx;
INSERT INTO posting SELECT tx_seq, line_no, account_code, commodity, amount FROM ledger.posting;
CREATE TRIGGER tx_balances BEFORE INSERT ON tx BEGIN
    SELECT RAISE(ABORT, 'the entry does not balance') WHERE EXISTS (
        SELECT 1 FROM posting WHERE tx_seq = NEW.seq GROUP BY commodity HAVING sum(amount) <> 0);
END;
"""
_POST_GOAL: Final = Goal(3)
_GROWTH_GOAL: Final = Goal(1.2)
_COPIES_GOAL: Final = Goal(5)
_GROUP_GOAL: Final = Goal(10_000, is_at_most=False, is_ratio=False)
_VERIFY_GOAL: Final = Goal(15_000, is_at_most=False, is_ratio=False)


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
        self.number = self.deposits = self.settlements = self.postings = 0

    def fill(self, postings: int) -> None:
        """Book entries without a commit for each, as a replay does, until there are so many lines."""
        book = open_book(self.path, _IDENTITY, may_write=True, is_buffered=True)
        while self.postings < postings:
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
        return self._decided(message)

    def cash_entry(self) -> EntryPosted:
        """Return the next entry of two lines."""
        self.deposits += 1
        return self._decided(msgspec.structs.replace(a_deposit(), activity_id=f"B-{self.deposits:07d}"))

    def settlement_entry(self) -> EntryPosted:
        """Return the next entry of three lines: what was sold and bought is settled, or unsettled again."""
        self.settlements += 1
        sign = 1 if self.settlements % 2 else -1
        entry = EntryPosted(
            ts_event=0,
            ts_init=0,
            seq=self.state.last_seq + 1,
            event_type="SETTLEMENT",
            source_event_id=f"PAPER:{self.settlements}:SETTLEMENT",
            description="Settled: 5,000.00 of sales, 3,000.00 of purchases",
            symbol="",
            gain_micros=0,
            lines=draft_settlement(sign * 5_000_000_000, sign * -3_000_000_000).lines,
        )
        return self._follow(entry)

    def _decided(self, message: CashMoved | OrderFilled) -> EntryPosted:
        (entry,) = self.core.decide(self.state, message, message.ts_init)
        assert isinstance(entry, EntryPosted)
        return self._follow(entry)

    def _follow(self, entry: EntryPosted) -> EntryPosted:
        self.state = self.core.evolve(self.state, entry)
        self.postings += len(entry.lines)
        return entry

    def open(self) -> tuple[Book, "Listening"]:
        """Open it as the service does."""
        book = open_book(self.path, _IDENTITY, may_write=True)
        keeping = Listening(self.path, self.head_path)
        keeping.begin(book)
        book.keep_with(keeping)
        return book, keeping


class Listening(Safekeeping):
    """Keeps writes as the service does, and lets them be seen."""

    def __init__(self, ledger: Path, head_path: Path) -> None:
        super().__init__(ledger, head_path)
        self.seen: list[Sequence[Write]] = []

    def keep(self, writes: Sequence[Write]) -> None:
        """Put writes on disk, and remember them."""
        super().keep(writes)
        self.seen.append(writes)

    def take_seen(self) -> list[Sequence[Write]]:
        """Return the commits since the last call."""
        seen, self.seen = self.seen, []
        return seen


class Bare:
    """What the disk and SQLite give by themselves."""

    def __init__(self, ledger: Path, folder: Path) -> None:
        self._file = os.open(folder / "append.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        copy = folder / "bare.db"
        copy.unlink(missing_ok=True)
        shutil.copyfile(ledger, copy)
        self._db = sqlite3.connect(copy, isolation_level=None)
        rules = self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for (name,) in rules:
            self._db.execute(f"DROP TRIGGER {name}")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA cache_size = -32768")

        self._plain = _plain_ledger(ledger, folder / "plain.db")

    def append(self) -> None:
        """Append as many bytes as a redo line has, and sync them."""
        os.write(self._file, b"\0" * _BYTES)
        getattr(os, "fdatasync", os.fsync)(self._file)  # macOS has no fdatasync

    def commit(self, writes: Sequence[Write]) -> None:
        """Commit the rows of writes, and nothing else."""
        self._db.execute("BEGIN IMMEDIATE")
        for write in writes:
            for link in write.links:
                insert_link(self._db, link)
        self._db.execute("COMMIT")

    def commit_plainly(self, writes: Sequence[Write]) -> None:
        """Commit the headers and the lines of writes to a plain ledger."""
        db = self._plain
        db.execute("BEGIN IMMEDIATE")
        for write in writes:
            rows = write.links[-1].rows
            db.executemany("INSERT INTO posting VALUES (?, ?, ?, ?, ?)", rows["posting"])
            seq, source, _, _, description, _, occurred_ns, *_ = rows["tx"][0]
            db.execute("INSERT INTO tx VALUES (?, ?, ?, ?)", (seq, source, occurred_ns, description))
        db.execute("COMMIT")

    def close(self) -> None:
        """Release the files."""
        os.close(self._file)
        self._db.close()
        self._plain.close()


def _plain_ledger(ledger: Path, path: Path) -> sqlite3.Connection:
    """Return a plain ledger with the entries that a ledger has."""
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("ATTACH ? AS ledger", (str(ledger),))
    db.executescript(_PLAIN_SCHEMA)
    db.execute("DETACH ledger")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cache_size = -32768")
    return db


class Times:
    """Microseconds of calls, by the wall's clock and by the processor's."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.used: list[float] = []

    def take(self, work: Callable[[], object]) -> None:
        """Call after a short rest, and note how long it took."""
        time.sleep(_BETWEEN_S)
        wall, used = time.perf_counter_ns(), time.thread_time_ns()
        work()
        self.used.append((time.thread_time_ns() - used) / 1_000)
        self.wall.append((time.perf_counter_ns() - wall) / 1_000)

    def at(self, share: float) -> float:
        """Return the microseconds of the wall's clock below which this share of all calls lies."""
        return quantile(self.wall, share)

    def per_second(self, entries: int) -> float:
        """Return how many a second, of so many entries a call."""
        return 1e6 * entries * len(self.wall) / sum(self.wall)

    def per_busy_second(self, entries: int) -> float:
        """Return how many a second of the processor's time."""
        return 1e6 * entries * len(self.used) / sum(self.used)

    @property
    def mean_used(self) -> float:
        """Return the processor's microseconds of one call."""
        return sum(self.used) / len(self.used)


class Posts:
    """What was measured at one size: our posts and the bare ones, taken in turn."""

    def __init__(self, ledger: Ledger, bare: Bare, posts: int, *, with_copies: bool) -> None:
        self.ours, self.appends, self.commits, self.plain = Times(), Times(), Times(), Times()
        kinds = {"trades": ledger.entry, "settlements": ledger.settlement_entry, "deposits": ledger.cash_entry}
        self.tens = {kind: Tens() for kind in kinds}
        book, keeping = ledger.open()
        is_over = threading.Event()

        def copy() -> None:
            verb = ["backup", "--nice", "10", "--ledger", str(ledger.path)]
            command = [sys.executable, "-m", "services.ledger", *verb]
            while not is_over.is_set():
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=_CHECKOUT)

        copier = threading.Thread(target=copy) if with_copies else None
        try:
            if copier is not None:
                copier.start()
            for number in range(posts):
                self._round(ledger, book, keeping, bare)
                if number % _ROUNDS_A_BLOCK == 0:
                    for kind, make in kinds.items():
                        groups = [[make() for _ in range(_GROUP)] for _ in range(_GROUPS_A_BLOCK)]
                        self.tens[kind].take(book, keeping, bare, groups)
        finally:
            is_over.set()
            if copier is not None:
                copier.join()
            book.close()
            keeping.close()

    def _round(self, ledger: Ledger, book: Book, keeping: Listening, bare: Bare) -> None:
        entry = ledger.entry()
        self.ours.take(lambda: book.post(entry))
        self.appends.take(bare.append)
        (one,) = keeping.take_seen()
        self.commits.take(lambda: bare.commit(one))
        self.plain.take(lambda: bare.commit_plainly(one))
        if keeping.links_in_log >= _LINKS_IN_LOG:
            # The service does it when nothing comes.
            book.take_log_in()
            keeping.links_in_log = 0

    def rows(self) -> list[Row]:
        """Return the rows of the table."""
        rows = [
            Row(f"post: {name} / {what}", self.ours.at(share), "us", other.at(share), goal)
            for what, other, one in (
                ("append + sync", self.appends, _POST_GOAL),
                ("the same rows", self.commits, None),
                ("a plain ledger's", self.plain, None),
            )
            for name, share, goal in (("p50", 0.5, one), ("p99", 0.99, None))
        ]
        rows += [
            Row("posts a second / appends", self.ours.per_second(1), "/s", self.appends.per_second(1)),
            Row("processor's time of a post / the same rows", self.ours.mean_used, "us", self.commits.mean_used),
            Row("the same of an append + sync", self.appends.mean_used, "us"),
        ]
        for kind, tens in self.tens.items():
            rows += tens.rows(f"ten {kind} a commit")
        return rows


class Tens:
    """Ten entries of one kind a commit: ours, the same rows alone, and a plain ledger's, in turn."""

    def __init__(self) -> None:
        self._ours, self._same, self._plain = Times(), Times(), Times()

    def take(self, book: Book, keeping: Listening, bare: Bare, groups: list[list[EntryPosted]]) -> None:
        """Post groups one after the other, and then the same entries to the bare files."""
        self._ours.take(lambda: _each(book.post_all, groups))
        seen = keeping.take_seen()
        self._same.take(lambda: _each(bare.commit, seen))
        self._plain.take(lambda: _each(bare.commit_plainly, seen))

    def rows(self, name: str) -> list[Row]:
        """Return the rows of the table."""
        each = _GROUP * _GROUPS_A_BLOCK
        ours, same, plain = self._ours, self._same, self._plain
        return [
            Row(f"{name}, by the clock: entries a second / a plain ledger's", ours.per_second(each), "/s",
                plain.per_second(each), _GROUP_GOAL),
            Row(f"{name}, by the processor: entries a second / a plain ledger's", ours.per_busy_second(each), "/s",
                plain.per_busy_second(each)),
            Row(f"{name}, by the processor: entries a second / the same rows", ours.per_busy_second(each), "/s",
                same.per_busy_second(each)),
        ]  # fmt: skip


def _each(work: Callable[[Any], object], items: Sequence[Any]) -> None:
    for item in items:
        work(item)


def growth_rows(ledgers: dict[int, Ledger], posts: int) -> list[Row]:
    """Post to ledgers of every size in turn, and return how much longer it takes in a large one."""
    opened = {size: (*ledger.open(), Times()) for size, ledger in ledgers.items()}
    for _ in range(posts):
        for size, (book, keeping, times) in opened.items():
            entry = ledgers[size].entry()
            times.take(lambda book=book, entry=entry: book.post(entry))  # type: ignore[misc]  # both are bound at once
            if keeping.links_in_log >= _LINKS_IN_LOG:
                book.take_log_in()
                keeping.links_in_log = 0
    for book, keeping, _ in opened.values():
        book.close()
        keeping.close()
    smallest = min(ledgers)
    first, rows = opened[smallest][2], []
    for size in sorted(ledgers)[1:]:
        times, what = opened[size][2], f"{size:,} / {smallest:,} postings"
        rows += [
            Row(f"post, p50: {what}", times.at(0.5), "us", first.at(0.5), _GROWTH_GOAL),
            Row(f"post, p99: {what}", times.at(0.99), "us", first.at(0.99)),
            Row(f"processor's time of a post: {what}", times.mean_used, "us", first.mean_used, _GROWTH_GOAL),
        ]
    return rows


def memory_of(verb: str, ledger: Path) -> float:
    """Return the most memory in MiB that a verb of the command line has needed, by its own account."""
    command = [sys.executable, "-c", _TELLS_MEMORY, verb, "--ledger", str(ledger)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_CHECKOUT)
    return int(done.stdout.split()[-1]) / 1024


def measure_verify(ledger: Ledger) -> list[Row]:
    """Verify the whole file; the processor's time tells what an idle machine would take."""
    wall, used = time.perf_counter(), time.process_time()
    verdict = verify_file(ledger.path)
    wall, used = time.perf_counter() - wall, time.process_time() - used
    assert verdict.faults == (), verdict.faults
    return [
        Row(f"verify {verdict.entries:,} entries", verdict.entries / wall, "/s", goal=_VERIFY_GOAL),
        Row("the same by the processor's time", verdict.entries / used, "/s"),
        Row("the ledger's file", ledger.path.stat().st_size / 2**20, "MiB"),
        *(Row(f"most memory of `{verb}`", memory_of(verb, ledger.path), "MiB") for verb in ("verify", "backup")),
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
    parser.add_argument(
        "--postings", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="sizes to measure at"
    )
    parser.add_argument("--posts", type=int, default=200, help="posts of each measurement")
    parser.add_argument("--drill", type=int, default=0, metavar="WRITES", help="restore through so many writes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder:
        root = Path(folder)
        ledgers = {size: Ledger(root / str(size)) for size in sorted(args.postings)}
        for size, ledger in ledgers.items():
            ledger.fill(size)
            bare = Bare(ledger.path, root)
            alone = Posts(ledger, bare, args.posts, with_copies=False)
            beside = Posts(ledger, bare, args.posts, with_copies=True)
            bare.close()
            print_table(f"The ledger at {size:,} postings", [*alone.rows(), *measure_verify(ledger)])
            rows = [
                Row(f"post, {name}: while copies are made / without", beside.ours.at(share), "us",
                    alone.ours.at(share), goal)
                for name, share, goal in (("p50", 0.5, None), ("p99", 0.99, _COPIES_GOAL))
            ]  # fmt: skip
            print_table("The same while one whole copy is made after the other", [*rows, *beside.rows()])
        if len(ledgers) > 1:
            print_table("How a post grows, by ledgers of each size in turn", growth_rows(ledgers, args.posts))
        if args.drill:
            print_table("The restore drill", drill(root / "drill", args.drill))
    return 0


if __name__ == "__main__":
    sys.exit(main())

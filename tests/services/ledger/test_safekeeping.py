"""Redo log, bases and head: what a death, a full disk, a failing sync or a strange hand leaves, and the next start."""

import errno
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.assembly import CannotStartError, Ports, Setup
from bus.failpoints import failpoints
from bus.messages import MICROS, NANOS, EntryPosted, Message, OrderFilled
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.backup_ledgers import BackupFolder, make_base, prune
from services.ledger.book import Book, open_book
from services.ledger.connection import harden
from services.ledger.failures import BackupError, LedgerError
from services.ledger.head_file import head_line, head_path, read_head
from services.ledger.provision import ledger_path
from services.ledger.redo import Write, read_writes, segments
from services.ledger.shell import build
from services.ledger.table_ends import TableEnds
from services.ledger.verify import open_reader, verify_file

STEPS = ("ledger.posting", "ledger.redo", "ledger.file_commit", "ledger.head")


class Home:
    """The files of one ledger."""

    def __init__(self, paths: HomePaths, identity: Identity) -> None:
        self.ledger = ledger_path(paths, identity)
        self.head = head_path(paths, identity.ledger_file)
        self.backups = BackupFolder(self.ledger)

    def writes(self, genesis: str) -> list[Any]:
        return list(read_writes(self.backups.redo, genesis))

    def newest_segment(self) -> Path:
        return segments(self.backups.redo)[-1]


@pytest.fixture
def home(paths: HomePaths, identity: Identity) -> Home:
    return Home(paths, identity)


@pytest.fixture
def booked(start: Callable[..., Any], ask: Callable[..., Path], day: list[Message]) -> Any:
    """A service that has booked three entries."""
    ask()
    journal = start()
    for message in day[:3]:
        journal.hear(message)
    return journal


def test_entry_when_posted_then_redo_ledger_and_head_have_it(booked: Any, home: Home) -> None:
    book: Book = booked.assembly.shell._book
    writes = home.writes(book.genesis())
    assert [write.seq for write in writes] == [1, 2, 3]
    assert writes[-1].head == book.head() == read_head(home.head)
    assert home.newest_segment().stat().st_mode & 0o777 == 0o600
    (base,) = home.backups.manifests()
    assert (base.seq, base.link) == (0, 3)
    assert verify_file(home.ledger, read_head(home.head)).faults == ()


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_service_when_it_dies_at_a_step_then_the_fill_is_booked_once_and_all_files_agree(
    booked: Any, start: Callable[..., Any], day: list[Message], home: Home, step: str, side: str
) -> None:
    def die(name: str) -> None:
        if name == f"{step}:{side}":
            raise KeyboardInterrupt

    with failpoints(die), pytest.raises(KeyboardInterrupt):
        booked.hear(day[3])
    booked.assembly.shell.close()
    again = start(booked.events)
    book: Book = again.assembly.shell._book
    kept_at = (step, side) not in {("ledger.posting", "before"), ("ledger.posting", "after"), ("ledger.redo", "before")}
    assert book.last_seq() == (4 if kept_at else 3)
    for message in (day[3], day[3], day[4]):
        again.hear(message)
    assert (book.last_seq(), len(again.events)) == (5, 5)
    assert [write.seq for write in home.writes(book.genesis())] == [1, 2, 3, 4, 5]
    assert verify_file(home.ledger, read_head(home.head)).faults == ()
    assert read_head(home.head) == book.head()


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, after: int = 0) -> Iterator[None]:
    """Let a call to the system fail, after so many that succeed."""
    real, calls = getattr(os, name), 0

    def fail(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(number, os.strerror(number))
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        yield


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize(("call", "after"), [("write", 0), ("fdatasync", 0), ("pwrite", 0)])
def test_entry_when_the_backup_disk_fails_then_refused_and_booked_once_when_it_is_back(
    booked: Any, start: Callable[..., Any], day: list[Message], home: Home, monkeypatch: pytest.MonkeyPatch,
    call: str, after: int, number: int,
) -> None:  # fmt: skip
    with failing(monkeypatch, call, number, after), pytest.raises(BackupError, match=os.strerror(number)):
        booked.hear(day[3])
    if call == "write" or (call, after) == ("fdatasync", 0):
        # The redo log comes before the commit; the ledger takes nothing more from this process.
        with pytest.raises(LedgerError, match="closed"):
            booked.hear(day[3])
    booked.assembly.shell.close()
    again = start(booked.events)
    for message in (day[3], day[3], day[4]):
        again.hear(message)
    assert again.assembly.shell._book.last_seq() == 5
    assert verify_file(home.ledger, read_head(home.head)).faults == ()


def test_start_when_the_backup_folder_cannot_be_written_then_cannot_start_and_says_so(
    booked: Any, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    booked.assembly.shell.close()
    with failing(monkeypatch, "fsync", errno.ENOSPC), pytest.raises(CannotStartError, match=r"backups.*No space left"):
        start(booked.events)
    start(booked.events)


class RefusedCommit(sqlite3.Connection):
    """Refuses one commit by a rule, as a row that points nowhere does."""

    refuses = False

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]  # as the book calls it
        if self.refuses and sql == "COMMIT":
            self.refuses = False
            raise sqlite3.IntegrityError("FOREIGN KEY constraint failed")
        return super().execute(sql, *values)


def test_entry_when_its_commit_is_refused_by_a_rule_then_the_redo_log_does_not_keep_it(
    booked: Any, day: list[Message], home: Home
) -> None:
    book: Book = booked.assembly.shell._book
    book._db.close()
    book._db = db = sqlite3.connect(home.ledger, isolation_level=None, factory=RefusedCommit)
    book._ends = TableEnds(db)
    harden(db)
    db.refuses = True  # type: ignore[attr-defined]  # it is a RefusedCommit
    with pytest.raises(LedgerError, match="FOREIGN KEY"):
        booked.hear(day[3])
    assert [write.seq for write in home.writes(book.genesis())] == [1, 2, 3]
    booked.hear(day[3])
    assert [write.seq for write in home.writes(book.genesis())] == [1, 2, 3, 4]


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_start_when_the_last_redo_line_is_torn_then_it_is_set_aside_and_the_fill_is_booked(
    booked: Any, start: Callable[..., Any], day: list[Message], home: Home, cut: int
) -> None:
    def die(name: str) -> None:
        if name == "ledger.redo:after":
            raise KeyboardInterrupt

    with failpoints(die), pytest.raises(KeyboardInterrupt):
        booked.hear(day[3])
    booked.assembly.shell.close()
    segment = home.newest_segment()
    os.truncate(segment, segment.stat().st_size - cut)
    again = start(booked.events)
    (kept,) = home.backups.quarantine.iterdir()
    assert kept.name.endswith(".torn")
    again.hear(day[3])
    genesis = again.assembly.shell._book.genesis()
    assert [write.seq for write in home.writes(genesis)] == [1, 2, 3, 4]


def edited(segment: Path, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    segment.write_bytes(b"".join(edit(segment.read_bytes().splitlines(keepends=True))))


def resigned(line: bytes, old: bytes, new: bytes) -> bytes:
    """Change a line and give it a right length and check sum."""
    payload = line[20:-1].replace(old, new)
    assert payload != line[20:-1]
    return f"{len(payload):010d} {zlib.crc32(payload):08x} ".encode() + payload + b"\n"


def test_start_when_a_redo_line_in_the_middle_was_changed_then_cannot_start(
    booked: Any, start: Callable[..., Any], home: Home
) -> None:
    booked.assembly.shell.close()
    edited(home.newest_segment(), lambda lines: [*lines[:-1], lines[-1].replace(b"PX-2", b"PX-9"), lines[-1]])
    with pytest.raises(CannotStartError, match="cannot be read from byte"):
        start(booked.events)


def test_start_when_a_redo_line_was_forged_with_its_check_sum_then_cannot_start(
    booked: Any, start: Callable[..., Any], day: list[Message], home: Home
) -> None:
    def die(name: str) -> None:
        if name == "ledger.redo:after":
            raise KeyboardInterrupt

    with failpoints(die), pytest.raises(KeyboardInterrupt):
        booked.hear(day[3])
    booked.assembly.shell.close()
    edited(home.newest_segment(), lambda lines: [*lines[:-1], resigned(lines[-1], b"AAPL at 120", b"AAPL at 999")])
    with pytest.raises(CannotStartError, match="hash of the link is not that of its rows"):
        start(booked.events)


def test_start_when_the_ledger_is_an_old_copy_then_the_redo_log_brings_it_to_the_newest(
    booked: Any, start: Callable[..., Any], day: list[Message], home: Home
) -> None:
    with closing(sqlite3.connect(home.ledger)) as db, closing(sqlite3.connect(home.ledger.with_suffix(".old"))) as old:
        db.backup(old)
    for message in day[3:]:
        booked.hear(message)
    booked.assembly.shell.close()
    home.ledger.with_suffix(".old").replace(home.ledger)
    for end in ("-wal", "-shm"):
        Path(f"{home.ledger}{end}").unlink(missing_ok=True)
    again = start(booked.events)
    assert again.assembly.shell._book.last_seq() == 5
    assert verify_file(home.ledger, read_head(home.head)).faults == ()


def test_start_when_the_end_of_the_ledger_and_of_the_redo_log_is_missing_then_cannot_start(
    booked: Any, start: Callable[..., Any], home: Home
) -> None:
    with closing(sqlite3.connect(home.ledger.with_suffix(".old"))) as old:
        base = home.backups.base_of(home.backups.manifests()[0])
        with closing(sqlite3.connect(f"{base.as_uri()}?mode=ro", uri=True)) as db:
            db.backup(old)
    booked.assembly.shell.close()
    for end in ("", "-wal", "-shm"):
        Path(f"{home.ledger}{end}").unlink(missing_ok=True)
    home.ledger.with_suffix(".old").replace(home.ledger)
    for segment in segments(home.backups.redo):
        segment.unlink()
    with pytest.raises(CannotStartError, match="its end was cut off"):
        start(booked.events)


def test_start_when_the_redo_log_is_lost_then_a_new_base_covers_the_ledger_before_anything_is_booked(
    booked: Any, start: Callable[..., Any], day: list[Message], home: Home
) -> None:
    booked.assembly.shell.close()
    for segment in segments(home.backups.redo):
        segment.unlink()
    again = start(booked.events)
    assert [manifest.seq for manifest in home.backups.manifests()] == [0, 3]
    again.hear(day[3])


def test_start_when_the_head_is_torn_then_the_redo_log_stands_for_it_and_without_that_cannot_start(
    booked: Any, start: Callable[..., Any], home: Home
) -> None:
    booked.assembly.shell.close()
    home.head.write_text(home.head.read_text()[:50])
    start(booked.events).assembly.shell.close()
    assert read_head(home.head) is not None
    home.head.write_text("torn")
    for segment in segments(home.backups.redo):
        segment.unlink()
    with pytest.raises(CannotStartError, match="damaged"):
        start(booked.events)
    home.head.unlink()
    with pytest.raises(CannotStartError, match=r"neither its head .* verify --accept"):
        start(booked.events)


def test_start_when_the_head_is_of_other_rows_then_cannot_start(
    booked: Any, start: Callable[..., Any], home: Home
) -> None:
    booked.assembly.shell.close()
    head = read_head(home.head)
    assert head is not None
    home.head.write_text(head_line(msgspec.structs.replace(head, hash="a" * 64)))
    with pytest.raises(CannotStartError, match="is another than the one in its head"):
        start(booked.events)


def test_redo_log_when_another_process_has_begun_the_segment_then_refused(booked: Any, home: Home) -> None:
    keeping = booked.assembly.shell._keeping
    keeping._redo.begin_segment()
    book: Book = booked.assembly.shell._book
    (home.backups.redo / f"{book.head().link + 1:012d}.redo").write_text("somebody")
    with pytest.raises(BackupError, match="File exists"):
        book.audit("x", "y", "z", payload={}, at_ns=1)


def test_base_when_the_copy_is_not_sound_then_it_does_not_count(booked: Any, home: Home) -> None:
    with closing(sqlite3.connect(home.ledger)) as db:
        db.execute("DROP TRIGGER tx_update")
        db.commit()
    with pytest.raises(BackupError, match="trigger tx_update is missing"):
        make_base(home.ledger, home.backups)
    assert len(list(home.backups.bases.iterdir())) == 2


def test_entry_when_a_copy_is_being_read_then_is_booked_meanwhile_and_the_copy_is_of_before(
    booked: Any, day: list[Message], home: Home, tmp_path: Path
) -> None:
    with closing(open_reader(home.ledger)) as reader, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        reader.execute("BEGIN")
        assert reader.execute("SELECT max(seq) FROM tx").fetchone() == (3,)
        # The reader is in the midst of its copy all the while: neither an entry nor the log's end waits for it.
        booked.hear(day[3])
        booked.assembly.shell._book.take_log_in()
        booked.hear(day[4])
        assert booked.assembly.shell._book.last_seq() == 5
        reader.backup(copy)
        assert copy.execute("SELECT max(seq) FROM tx").fetchone() == (3,)


def test_start_when_a_copy_was_not_finished_then_it_is_removed(
    booked: Any, start: Callable[..., Any], home: Home
) -> None:
    booked.assembly.shell.close()
    (home.backups.bases / "new77.part").write_bytes(b"half")
    rehearsal = home.backups.root / "rehearsal-x"
    rehearsal.mkdir()
    (rehearsal / "restored.db").write_bytes(b"half")
    start(booked.events)
    assert sorted(path.suffix for path in home.backups.bases.iterdir()) == [".db", ".json"]
    assert not rehearsal.exists()


def test_prune_when_bases_are_many_then_the_newest_stay_and_redo_before_them_goes_once_it_is_old(
    booked: Any, home: Home, fill: Callable[..., OrderFilled]
) -> None:
    keeping = booked.assembly.shell._keeping
    for _ in range(3):
        booked.hear(fill("BUY", "AAPL", NANOS, MICROS))
        make_base(home.ledger, home.backups)
        keeping.base_was_made()
    now_ns = booked.assembly.shell._book.head().recorded_at_ns
    assert [m.seq for m in home.backups.manifests()] == [0, 4, 5, 6]
    assert len(segments(home.backups.redo)) == 3
    assert prune(home.backups, bases_kept=2, redo_days_kept=1, now_ns=now_ns) != []
    assert [m.seq for m in home.backups.manifests()] == [5, 6]
    assert len(segments(home.backups.redo)) == 3
    make_base(home.ledger, home.backups)
    gone = prune(home.backups, bases_kept=1, redo_days_kept=0, now_ns=now_ns + 1)
    assert [path.suffix for path in gone] == [".json", ".db", ".redo", ".redo"]


def test_prune_when_the_base_that_stays_is_damaged_then_nothing_is_removed(booked: Any, home: Home) -> None:
    booked.assembly.shell._book.audit("x", "y", "z", payload={}, at_ns=1)
    manifest = make_base(home.ledger, home.backups)
    path = home.backups.base_of(manifest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BackupError, match=r"Nothing was removed .* was changed since"):
        prune(home.backups, bases_kept=1, redo_days_kept=0, now_ns=2**62)
    assert len(home.backups.manifests()) == 2


def test_buffered_ledger_when_played_twice_then_the_same_bytes_and_nothing_beside_it(
    setup: Setup, ask: Callable[..., Path], day: list[Message], home: Home
) -> None:
    found = []
    for _ in range(2):
        ask()
        assembly = build(_buffered(setup))
        state = assembly.core.initial()
        assembly.shell.on_start(state, 0)
        for message in day:
            for event in assembly.core.decide(state, message, 0):
                assembly.shell.before_commit(event)
                state = assembly.core.evolve(state, event)
        assembly.shell.close()
        assert not home.backups.root.exists()
        found.append(open_digest(home.ledger))
        for path in home.ledger.parent.iterdir():
            path.unlink()
    assert found[0] == found[1]


def _buffered(setup: Setup) -> Setup:
    return Setup(paths=setup.paths, env=setup.env, identity=setup.identity, is_buffered=True)


def open_digest(ledger: Path) -> str:
    verdict = verify_file(ledger)
    assert verdict.faults == ()
    assert verdict.head is not None
    return verdict.head.hash


def test_service_when_enough_was_written_then_a_helper_makes_a_base_and_a_failure_halts(
    booked: Any, home: Home, identity: Identity
) -> None:
    halts: list[tuple[str, str]] = []
    shell = booked.assembly.shell
    shell.attach(Ports(gate=None, publish=lambda _m: None, raise_halt=lambda *told: halts.append(told)))  # type: ignore[arg-type]  # it asks for no gate
    shell._keeping.links_since_base = 10**9
    shell.on_idle(booked.state, 0)
    shell._copying.wait()
    shell.on_idle(booked.state, 0)
    assert [manifest.seq for manifest in home.backups.manifests()] == [0, 3]
    assert halts == []
    shell._keeping.links_since_base = 10**9
    home.ledger.rename(home.ledger.with_suffix(".away"))
    shell.on_idle(booked.state, 0)
    shell._copying.wait()
    shell.on_idle(booked.state, 0)
    home.ledger.with_suffix(".away").rename(home.ledger)
    assert [rule for rule, _ in halts] == ["ledger_backup"]


def test_write_when_read_back_then_it_is_the_same(booked: Any, home: Home) -> None:
    book: Book = booked.assembly.shell._book
    for write in home.writes(book.genesis()):
        assert isinstance(write, Write)
        assert msgspec.json.decode(msgspec.json.encode(write), type=Write) == write
    assert isinstance(booked.events[0], EntryPosted)
    assert open_book(home.ledger, booked.assembly.shell._identity, may_write=False).last_seq() == 3

"""The restore drill: every write of a run can be restored, to a number and to a time, and is what it was."""

import re
import sqlite3
import zlib
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.messages import MICROS, NANOS, Message, OrderFilled
from config.identity import Identity
from config.paths import HomePaths
from services.ledger import backup_command, drill, restore_command
from services.ledger.backup_ledgers import BackupFolder, make_base
from services.ledger.book import Book, open_book
from services.ledger.coa_utils_ledger import stored_accounts
from services.ledger.failures import BackupError
from services.ledger.hash_chain import Head
from services.ledger.head_file import read_head
from services.ledger.provision import ledger_path
from services.ledger.redo import segments
from services.ledger.restore import Target, rehearse, restore, target_of
from services.ledger.verbs import run_verb, wants_verb
from services.ledger.verify import digest_of, verify_file

T0 = 1_700_000_000_000_000_000
#: What the drill books, one write after the other, and restores through.
WRITES = 1_000


class Run:
    """A service that has booked, and what its ledger was after each write: by its head's link, a digest."""

    def __init__(self, journal: Any, ledger: Path) -> None:
        self.journal = journal
        self.ledger = ledger
        self.book: Book = journal.assembly.shell._book
        self.folder = BackupFolder(ledger)
        self.digests: dict[int, str] = {}
        self.heads: list[Head] = []
        self.note()

    def note(self) -> None:
        self.heads.append(self.book.head())
        self.digests[self.heads[-1].link] = digest_of(self.book._db)

    def hear(self, message: Message) -> None:
        self.journal.hear(message)
        self.note()


@pytest.fixture
def run(start: Callable[..., Any], ask: Callable[..., Path], paths: HomePaths, identity: Identity) -> Run:
    ask()
    return Run(start(), ledger_path(paths, identity))


@pytest.fixture
def day_run(run: Run, day: list[Message]) -> Run:
    for message in day:
        run.hear(message)
    return run


def digest_at(path: Path) -> str:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return digest_of(db)


def test_every_write_when_restored_then_it_equals_the_living_ledger_at_that_point(
    run: Run, fill: Callable[..., OrderFilled], tmp_path: Path
) -> None:
    for number in range(WRITES):
        side = "SELL" if number % 3 == 2 else "BUY"
        run.hear(fill(side, f"S{number // 3 % 7}", NANOS, (100 + number % 11) * MICROS, commission_micros=1_000))
        if number == WRITES // 2:
            run.book.audit("ops", "LOOK", "books", payload={"n": number}, at_ns=T0)
            run.note()
            make_base(run.ledger, run.folder)
            run.journal.assembly.shell._keeping.base_was_made()
    # One pass from the first base meets every write on its way, another from the second base.
    second = run.folder.bases / f"{run.folder.manifests()[1].link:012d}.json"
    for away in (True, False):
        if away:
            second.rename(second.with_suffix(".away"))
        else:
            second.with_suffix(".away").rename(second)
        seen: dict[int, str] = {}

        def note(book: Book, head: Head, seen: dict[int, str] = seen) -> None:
            seen[head.link] = digest_of(book._db)

        head = restore(run.folder, Target(), tmp_path / f"all{away}.db", note)
        assert head == run.heads[-1]
        assert seen == {link: run.digests[link] for link in seen}
        assert len(seen) == (WRITES + 1 if away else WRITES // 2 - 1)


@pytest.mark.parametrize("seq", [0, 1, 3, 5])
def test_entry_when_restored_by_its_number_then_the_file_is_sound_and_the_same(
    day_run: Run, tmp_path: Path, identity: Identity, seq: int
) -> None:
    to = tmp_path / "was.db"
    head = restore(day_run.folder, Target(seq=seq), to)
    assert head.seq == seq
    assert digest_at(to) == day_run.digests[head.link]
    assert read_head(Path(f"{to}.head")) == head
    assert to.stat().st_mode & 0o777 == 0o600
    book = open_book(to, identity, may_write=True)
    assert book.last_seq() == seq
    book.close()


def test_ledger_when_restored_by_time_then_what_was_recorded_by_then(
    run: Run, fill: Callable[..., OrderFilled], tmp_path: Path
) -> None:
    # The rig's clock stands still: entries are recorded when they were told, at the least.
    created = run.heads[0].recorded_at_ns
    for second in (1, 2, 3):
        at_ns = created + second * NANOS
        run.hear(fill("BUY", "AAPL", NANOS, MICROS, ts_event=at_ns, ts_init=at_ns))
    for second in (0, 1, 2, 3, 9):
        head = restore(run.folder, Target(at_ns=created + second * NANOS + 5), tmp_path / f"{second}.db")
        assert head.seq == min(second, 3)
    with pytest.raises(BackupError, match="No sound base"):
        restore(run.folder, Target(at_ns=created - NANOS), tmp_path / "before.db")


def test_chart_of_accounts_when_changed_then_it_is_restored_too(day_run: Run, tmp_path: Path) -> None:
    chart = [account for account in stored_accounts(day_run.book._db, 1) if account.code != "9190"]
    day_run.book.new_chart(chart, "web", "no contra", at_utc="2030-01-01T00:00:00.000000Z", at_ns=T0)
    day_run.note()
    restore(day_run.folder, Target(), tmp_path / "x.db")
    assert digest_at(tmp_path / "x.db") == day_run.digests[day_run.heads[-1].link]
    restore(day_run.folder, Target(seq=4), tmp_path / "y.db")
    with closing(sqlite3.connect(tmp_path / "y.db")) as db:
        assert db.execute("SELECT coa_version FROM coa_metadata").fetchone() == (1,)


def test_restore_when_the_file_exists_then_refused_and_it_is_not_touched(day_run: Run) -> None:
    before = day_run.ledger.read_bytes()
    with pytest.raises(BackupError, match="never written over"):
        restore(day_run.folder, Target(), day_run.ledger)
    assert day_run.ledger.read_bytes() == before


def test_restore_when_the_number_is_beyond_the_log_then_refused_and_no_file_has_the_name(
    day_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="reach only to entry 5, not to 9"):
        restore(day_run.folder, Target(seq=9), tmp_path / "x.db")
    assert not (tmp_path / "x.db").exists()


def rewritten(segment: Path, number: int, edit: Callable[[bytes], bytes]) -> None:
    """Change one line of a segment, with a right length and check sum; an empty one is left out."""
    lines = segment.read_bytes().splitlines(keepends=True)
    payload = edit(lines[number][20:-1])
    lines[number] = f"{len(payload):010d} {zlib.crc32(payload):08x} ".encode() + payload + b"\n" if payload else b""
    segment.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("number", "edit", "words"),
    [
        (2, lambda _line: b"", "has a gap"),
        (2, lambda line: line.replace(b'"AAPL at', b'"AAPL  at').replace(b"AAPL at 100", b"AAPL at 101"), "hash"),
        (2, lambda line: re.sub(rb'"hash":"[0-9a-f]{64}"', b'"hash":"' + b"0" * 64 + b'"', line), "hash"),
        (0, lambda line: re.sub(rb'"genesis":"[0-9a-f]{64}"', b'"genesis":"0"', line), "another ledger"),
        (0, lambda line: re.sub(rb'"schema_sha256":"[0-9a-f]{64}"', b'"schema_sha256":"1"', line), "another schema"),
        (2, lambda _line: b"[[[[", "no record"),
    ],
)
def test_restore_when_the_redo_log_was_changed_then_refused(
    day_run: Run, tmp_path: Path, number: int, edit: Callable[[bytes], bytes], words: str
) -> None:
    rewritten(segments(day_run.folder.redo)[0], number, edit)
    with pytest.raises(BackupError, match=words):
        restore(day_run.folder, Target(), tmp_path / "x.db")
    assert not (tmp_path / "x.db").exists()


def test_restore_when_the_newest_base_is_damaged_then_an_older_one_stands_for_it(day_run: Run, tmp_path: Path) -> None:
    manifest = make_base(day_run.ledger, day_run.folder)
    path = day_run.folder.base_of(manifest)
    path.chmod(0o600)
    path.write_bytes(b"x" * 100)
    head = restore(day_run.folder, Target(), tmp_path / "x.db")
    assert head == day_run.heads[-1]


@pytest.mark.parametrize("text", ["yesterday", "-1", "2025-03-12", "2025-03-12T20:00:00"])
def test_target_when_it_is_no_number_and_no_time_with_a_zone_then_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither the number of an entry nor a time"):
        target_of(text)


def test_target_when_read_then_number_time_or_the_newest() -> None:
    assert target_of("") == Target()
    assert target_of("17") == Target(seq=17)
    assert target_of("2023-11-14T23:13:20.5+01:00") == Target(at_ns=T0 + NANOS // 2)
    assert target_of("2023-11-14T22:13:20Z") == Target(at_ns=T0)


def test_verbs_when_run_then_they_restore_copy_and_drill(
    day_run: Run, tmp_path: Path, paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, to = str(day_run.ledger), tmp_path / "out.db"
    assert wants_verb(["restore"])
    assert run_verb(["restore", "--ledger", ledger, "--at", "3", "--to", str(to)], paths) == 0
    assert verify_file(to).entries == 3
    assert "entry 3 " in capsys.readouterr().out
    assert run_verb(["restore", "--ledger", ledger, "--at", "x", "--to", str(to)], paths) == 1
    assert run_verb(["restore", "--ledger", ledger], paths) == 2
    assert run_verb(["verify"], paths) == 1
    assert backup_command.run(Namespace(ledger=ledger, nice=0)) == 0
    assert backup_command.run(Namespace(ledger=str(tmp_path / "none.db"), nice=0)) == 1
    assert drill.run(Namespace(ledger=ledger, points=4)) == 0
    assert "restored 4 points" in capsys.readouterr().out
    assert backup_command.run(Namespace(ledger=ledger, nice=0)) == 0
    rewritten(segments(day_run.folder.redo)[0], 1, lambda _line: b"[]")
    assert drill.run(Namespace(ledger=ledger, points=4)) == 1
    assert restore_command.run(Namespace(ledger=ledger, at="4", to=str(to))) == 1


def test_backup_when_made_is_restored_from_the_copy_before_it(
    day_run: Run, fill: Callable[..., OrderFilled], capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup_command.run(Namespace(ledger=str(day_run.ledger), nice=0)) == 0
    assert "the copy of entry 0 and the redo log since then give the same" in capsys.readouterr().out
    day_run.hear(fill("BUY", "QQQ", NANOS, 100 * MICROS))
    base = make_base(day_run.ledger, day_run.folder)
    before = rehearse(day_run.folder, base)
    assert before is not None
    assert before.seq == 5
    assert list(day_run.folder.root.glob("rehearsal-*")) == []


def test_backup_when_the_redo_log_before_it_is_lost_then_says_so_and_the_copy_stays(
    day_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for segment in segments(day_run.folder.redo):
        segment.unlink()
    assert backup_command.run(Namespace(ledger=str(day_run.ledger), nice=0)) == 1
    assert "do not give what the base of entry 5 holds: they reach link 3 of" in capsys.readouterr().err
    assert [manifest.seq for manifest in day_run.folder.manifests()] == [0, 5]


def test_rehearsal_when_the_copy_holds_something_else_then_refused(day_run: Run) -> None:
    base = msgspec.structs.replace(make_base(day_run.ledger, day_run.folder), digest="0" * 64)
    with pytest.raises(BackupError, match="do not give what the base of entry 5 holds"):
        rehearse(day_run.folder, base)

"""What is done from the command line comes into the audit trail, once, and never keeps a verb from its work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.clock import boot_ns
from bus.messages import Message
from config.paths import HomePaths
from services.ledger.backup_ledgers import BackupFolder
from services.ledger.deeds import TAKEN_MAX, leave_note, read_note, waiting
from services.ledger.verbs import AUDITED, VERBS, run_verb
from services.ledger.verify import verify_file


@pytest.fixture
def running(start: Callable[..., Any], ledger: Path, day: list[Message]) -> Any:
    journal = start()
    for message in day:
        journal.hear(message)
    return journal


def trail(journal: Any) -> list[tuple[str, str, str]]:
    rows = journal.assembly.shell._book._db.execute(
        "SELECT action, object, payload_json FROM audit_trail WHERE action <> 'CREATE' ORDER BY id"
    )
    return rows.fetchall()


def take(journal: Any) -> None:
    journal.assembly.shell._notes_due_ns = 0
    journal.assembly.shell.on_idle(journal.state, boot_ns())


def test_verbs_when_they_were_run_are_in_the_trail_of_the_service(
    running: Any, ledger: Path, paths: HomePaths, tmp_path: Path
) -> None:
    out = tmp_path / "a.ofx"
    named = ("--ledger", str(ledger))
    assert run_verb(["export-ofx", *named, "--out", str(out)], paths) == 0
    assert run_verb(["verify", *named], paths) == 0
    assert run_verb(["restore", *named, "--to", str(tmp_path / "r.db"), "--at", "3"], paths) == 0
    assert run_verb(["drill", *named, "--points", "2"], paths) == 0
    assert run_verb(["trial-balance", *named], paths) == 0
    take(running)
    assert [(action, about) for action, about, _ in trail(running)] == [
        ("EXPORT_OFX", str(out)),
        ("VERIFY", ledger.name),
        ("RESTORE", str(tmp_path / "r.db")),
        ("DRILL", ledger.name),
    ]
    assert '"at":"3"' in trail(running)[2][2]
    take(running)
    assert len(trail(running)) == 4
    running.assembly.shell.close()
    assert verify_file(ledger).faults == ()


def test_a_finding_when_a_verb_has_one_is_in_the_trail_as_well(running: Any, ledger: Path, paths: HomePaths) -> None:
    head = paths.state / "other.head"
    head.write_text("no head")
    assert run_verb(["verify", "--ledger", str(ledger), "--head", str(head)], paths) == 1
    take(running)
    assert [(row[0], row[2]) for row in trail(running)] == [("VERIFY", '{"exit_code":1}')]


def test_notes_when_the_service_died_between_row_and_removal_are_written_once(running: Any, ledger: Path) -> None:
    leave_note(ledger, "VERIFY", "x", {"exit_code": 0})
    (note,) = waiting(ledger)
    kept = note.read_bytes()
    take(running)
    note.write_bytes(kept)
    take(running)
    assert (len(trail(running)), waiting(ledger)) == (1, [])


def test_a_note_when_it_cannot_be_read_is_set_aside_and_the_books_go_on(running: Any, ledger: Path) -> None:
    folder = BackupFolder(ledger)
    (folder.deeds / "00000000000000000001-x.deed").write_bytes(b"{" * 20_000)
    leave_note(ledger, "VERIFY", "x", {})
    take(running)
    assert [row[0] for row in trail(running)] == ["VERIFY"]
    assert [path.suffix for path in folder.quarantine.iterdir()] == [".deed"]


def test_notes_when_there_are_many_are_taken_in_turns(running: Any, ledger: Path) -> None:
    for number in range(TAKEN_MAX + 3):
        leave_note(ledger, "VERIFY", str(number), {})
    take(running)
    assert len(waiting(ledger)) == 3
    take(running)
    assert [row[1] for row in trail(running)] == [str(number) for number in range(TAKEN_MAX + 3)]


def test_a_note_when_the_ledger_has_no_service_is_not_left(ledger: Path) -> None:
    leave_note(ledger, "VERIFY", "x", {})
    assert not BackupFolder(ledger).root.exists()


def test_a_note_when_the_disk_refuses_it_is_no_failure(
    running: Any, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    leave_note(ledger, "VERIFY", "x", {})
    assert waiting(ledger) == []


def test_a_note_when_made_says_who_and_when(running: Any, ledger: Path) -> None:
    leave_note(ledger, "DRILL", "", {"points": "3"})
    deed = read_note(waiting(ledger)[0])
    assert deed is not None
    assert deed.actor.endswith("(command line)")
    assert (deed.about, deed.payload) == ("-", {"points": "3"})


def test_every_audited_verb_is_a_verb() -> None:
    assert set(AUDITED) < set(VERBS)

"""The store: all of a commit or nothing of it, and everything back after a restart."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bus.codec import encode_message
from bus.delivery import OutboxRow
from bus.store import Store, StoreError, read_journal
from bus.testing import a_fill, a_plan

_PAGE = 4096


def test_a_store_when_opened_again_has_journal_outbox_and_cursor(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", "NORMAL")
    rows = [
        ("risk", OutboxRow(1, 4, b"one")),
        ("risk", OutboxRow(2, 4, b"two")),
        ("ledger", OutboxRow(1, 4, b"x")),
    ]
    store.commit([a_plan(), a_fill()], rows, ("watchdog", "e", 9))
    store.forget_acked({"risk": 1})
    epoch = store.epoch
    store.close()
    again = Store(tmp_path / "s.db", "NORMAL")
    assert list(again.events()) == [a_plan(), a_fill()]
    assert again.epoch == epoch
    links = again.links(("risk", "ledger"), 0)
    assert [(row.seq, row.step, row.payload) for row in links["risk"].rows] == [(2, 4, b"two")]
    assert links["ledger"].last == 1
    cursor = again.cursors(("watchdog", "risk"))
    assert (cursor["watchdog"].epoch, cursor["watchdog"].seq) == ("e", 9)
    assert cursor["risk"].seq == 0


def test_a_stream_when_its_sender_dies_again_before_it_is_welcome_keeps_what_it_had_before_the_first_death(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "s.db", "NORMAL")
    store.commit([], [("risk", OutboxRow(1, 0, b"one"))], None)
    for seq in (2, 3):
        assert store.links(("risk",), 0)["risk"].base == 1
        store.commit([], [("risk", OutboxRow(seq, 0, b"made, never sent"))], None)
        store.close()
        store = Store(tmp_path / "s.db", "NORMAL")
    store.drop_base("risk")
    assert store.links(("risk",), 0)["risk"].base == 3
    store.close()


def test_a_commit_when_one_row_fails_leaves_nothing_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", "FULL")
    store.commit([], [("risk", OutboxRow(1, 0, b"one"))], None)
    with pytest.raises(sqlite3.IntegrityError):
        store.commit([a_fill()], [("risk", OutboxRow(1, 0, b"again"))], ("watchdog", "e", 1))
    assert list(store.events()) == []
    assert store.cursors(("watchdog",))["watchdog"].seq == 0


def test_a_commit_when_another_process_holds_the_file_for_too_long_leaves_nothing_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", "FULL")
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.commit([a_fill()], [("risk", OutboxRow(1, 0, b"one"))], ("watchdog", "e", 1))
        other.execute("ROLLBACK")
    assert list(store.events()) == []
    store.commit([a_fill()], [("risk", OutboxRow(1, 0, b"one"))], ("watchdog", "e", 1))
    assert list(store.events()) == [a_fill()]
    store.close()


def test_a_store_when_the_file_is_not_a_database_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"this is no database at all" * 50)
    with pytest.raises(StoreError, match="restore the file from a backup"):
        Store(tmp_path / "s.db", "NORMAL")


@pytest.mark.parametrize("page", [2, 5, -2])
def test_a_store_when_a_page_of_it_is_damaged_is_not_opened(tmp_path: Path, page: int) -> None:
    path = tmp_path / "s.db"
    store = Store(path, "NORMAL")
    store.commit([a_fill() for _ in range(200)], [], None)
    store.close()
    content = bytearray(path.read_bytes())
    at = (page if page > 0 else len(content) // _PAGE + page) * _PAGE
    content[at : at + _PAGE] = b"\xa5" * _PAGE
    path.write_bytes(content)
    with pytest.raises(StoreError, match="restore the file from a backup"):
        Store(path, "NORMAL")
    assert path.read_bytes() == content, "what can still be read of it is left as it is"


def test_read_journal_when_the_service_never_ran_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has this chain ever run"):
        read_journal(tmp_path / "none.db")


def test_read_journal_when_the_store_is_open_elsewhere_reads_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", "NORMAL")
    store.commit([a_fill()], [], None)
    assert [encode_message(event) for event in read_journal(tmp_path / "s.db")] == [encode_message(a_fill())]
    store.close()


def test_read_journal_when_asked_for_a_part_then_gives_the_newest_that_name_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", "NORMAL")
    fills = [msgspec.structs.replace(a_fill(), execution_id=f"x{number}") for number in range(5)]
    store.commit(fills, [], None)
    path = tmp_path / "s.db"
    assert read_journal(path, newest=2) == fills[3:]
    assert read_journal(path, [type(fills[0])], about=["x1", "x3"]) == [fills[1], fills[3]]
    assert read_journal(path, about=["x1", "x3"], newest=1) == [fills[3]]
    assert read_journal(path, about=["x%"]) == []
    store.close()


def test_quarantine_when_flooded_keeps_a_thousand(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", "NORMAL")
    for _ in range(1005):
        store.quarantine("risk", "bad", b"x")
    count = sqlite3.connect(tmp_path / "s.db").execute("SELECT count(*) FROM quarantine").fetchone()[0]
    assert count == 1000

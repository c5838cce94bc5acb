"""The chain and its verifier: forged entries are refused, and edits behind dropped triggers are found at their row."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.messages import MICROS, NANOS, EntryPosted, Message, OrderFilled
from config.identity import Identity
from services.ledger.book import Book, LedgerError, open_book
from services.ledger.connection import harden
from services.ledger.core import LedgerCore
from services.ledger.entry_rows import insert_link
from services.ledger.hash_chain import COLUMNS, Head, Link, link_hash, sealed
from services.ledger.head_file import HeadError, HeadFile, head_line, read_head
from services.ledger.verify import digest_of, verify_file

NOW = 1_700_000_100_000_000_000
ROOT = Path(__file__).parents[3]


@pytest.fixture
def full(book: Book, core: LedgerCore, day: list[Message], fill: Callable[..., OrderFilled]) -> Book:
    """Five entries of a day and a last sale: entry 6 sells MSFT."""
    state = core.initial()
    for message in (*day, fill("SELL", "MSFT", NANOS, 410 * MICROS)):
        for event in core.decide(state, message, NOW):
            assert isinstance(event, EntryPosted)
            book.post(event)
            state = core.evolve(state, event)
    return book


def rows_of(full: Book) -> list[str]:
    return [repr(full._db.execute(f"SELECT * FROM {table}").fetchall()) for table in ("chain", *COLUMNS)]


def header(full: Book, **changes: Any) -> list[Any]:
    """The header of an entry 7 that would be right."""
    row = dict.fromkeys(COLUMNS["tx"], 0) | {
        "seq": 7, "source_event_id": "PAPER:X:DEPOSIT", "event_type": "DEPOSIT", "symbol": "", "description": "",
        "coa_version": 1, "reverses_seq": None, "link": full.head().link + 1,
    }  # fmt: skip
    return list((row | changes).values())


def lines(*parts: tuple[str, str, int], seq: int = 7) -> list[list[Any]]:
    return [[seq, number, *part] for number, part in enumerate(parts, start=1)]


PAIR = (("1010", "USD", 5), ("3010", "USD", -5))
#: What a program could try that knows how to compute the hash: only the rules are left to refuse it.
FORGED: dict[str, Callable[[Book], dict[str, Any]]] = {
    "unbalanced": lambda b: {"posting": lines(PAIR[0], ("3010", "USD", -4)), "tx": [header(b)]},
    "balanced across commodities": lambda b: {
        "posting": lines(("1010", "USD", 5), ("9090", "AAPL", -5)), "tx": [header(b)],
    },
    "one line": lambda b: {"posting": lines(PAIR[0]), "tx": [header(b)]},
    "no line": lambda b: {"tx": [header(b)]},
    "the same source again": lambda b: {
        "posting": lines(*PAIR), "tx": [header(b, source_event_id="PAPER:A-1:DEPOSIT")],
    },
    "a stale chart": lambda b: {"posting": lines(*PAIR), "tx": [header(b, coa_version=2)]},
    "a skipped number": lambda b: {"posting": lines(*PAIR, seq=8), "tx": [header(b, seq=8)]},
    "an account that is not in the chart": lambda b: {
        "posting": lines(("7777", "USD", 5), PAIR[1]), "tx": [header(b)],
    },
    "units on a cash account": lambda b: {
        "posting": lines(("1010", "AAPL", 5), ("9090", "AAPL", -5)), "tx": [header(b)],
    },
    "cost without a lot": lambda b: {"posting": lines(("1210", "USD", 5), ("1010", "USD", -5)), "tx": [header(b)]},
    "a gain without a close": lambda b: {
        "posting": lines(("1010", "USD", 5), ("4010", "USD", -5)), "tx": [header(b, gain_micros=5)],
    },
    "a sale that jumps the queue": lambda b: {
        "posting": lines(("1210", "USD", -220 * MICROS), ("1010", "USD", 220 * MICROS), ("9010", "AAPL", -2 * NANOS),
                         ("9090", "AAPL", 2 * NANOS)),
        "lot_close": [[4, 1, 7, "SALE", 2 * NANOS, 220 * MICROS, 220 * MICROS, 0, 3 * NANOS, 330 * MICROS, "ST"]],
        "tx": [header(b)],
    },
    "a reversal of nothing": lambda b: {
        "posting": lines(*PAIR), "tx": [header(b, event_type="REVERSAL", reverses_seq=99)],
    },
    "a reversal that is no negation": lambda b: {
        "posting": lines(*PAIR), "tx": [header(b, event_type="REVERSAL", reverses_seq=1)],
    },
    "a reversal without its lots": lambda b: {
        "posting": lines(("1210", "USD", -1_000 * MICROS), ("1010", "USD", 1_000 * MICROS)),
        "tx": [header(b, event_type="REVERSAL", reverses_seq=5)],
    },
    "a reversal under another name": lambda b: {
        "posting": lines(("1010", "USD", -100_000 * MICROS), ("3010", "USD", 100_000 * MICROS)),
        "tx": [header(b, event_type="DEPOSIT", reverses_seq=1)],
    },
    "the detail of another trade": lambda b: {
        "posting": lines(*PAIR), "tx": [header(b)],
        "trade_detail": [[6, "BUY", "AAPL", 1, 1, 1, 0, 0, "", "", "", "", ""]],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_entry_when_forged_with_a_right_hash_then_a_rule_refuses_it(full: Book, name: str) -> None:
    before = rows_of(full)
    rows = {table: values for table, values in FORGED[name](full).items() if values}
    head = full.head()
    link = sealed("TX", NOW, (head.link, head.hash), rows)
    full._db.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError):  # noqa: PT012 - some rules are asked at the commit
        insert_link(full._db, link)
        full._db.execute("COMMIT")
    if full._db.in_transaction:
        full._db.execute("ROLLBACK")
    assert rows_of(full) == before


def forged_link(full: Book, **changes: Any) -> Link:
    head = full.head()
    whole = sealed("TX", NOW, (head.link, head.hash), {"posting": lines(*PAIR), "tx": [header(full)]})
    return msgspec.structs.replace(whole, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hash": "0" * 64}, "hash of the link is not that of its rows"),
        ({"prev_hash": "0" * 64}, "hash of the link before"),
        ({"link": 99}, "numbered from 1"),
        ({"kind": "AUDIT"}, "hash of the link is not"),
        ({"recorded_at_ns": 1}, "hash of the link is not"),
    ],
)
def test_link_when_wrong_then_refused(full: Book, changes: dict[str, Any], words: str) -> None:
    link = forged_link(full, **changes)
    full._db.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError, match=words):
        insert_link(full._db, msgspec.structs.replace(link, rows=forged_link(full).rows) if "kind" not in changes
                    else msgspec.structs.replace(link, kind="TX", hash="1" * 64))  # fmt: skip
    full._db.execute("ROLLBACK")


def test_entry_when_it_has_no_link_then_it_cannot_be_committed(full: Book) -> None:
    link = forged_link(full)
    full._db.execute("BEGIN")
    full._db.executemany("INSERT INTO posting VALUES (?, ?, ?, ?, ?)", link.rows["posting"])
    marks = ", ".join("?" * len(COLUMNS["tx"]))
    full._db.executemany(f"INSERT INTO tx ({', '.join(COLUMNS['tx'])}) VALUES ({marks})", link.rows["tx"])
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        full._db.execute("COMMIT")
    full._db.execute("ROLLBACK")


def test_ledger_when_sound_then_no_fault_and_its_head(full: Book, ledger: Path) -> None:
    full.audit("ops", "EXPORT", "ofx", payload={"to": "x"}, at_ns=NOW)
    assert full.assert_balance("UNITS", "AAPL", 5 * NANOS, source="BROKER", at_ns=NOW)
    assert not full.assert_balance("CASH", "USD", 1, source="BROKER", at_ns=NOW)
    verdict = verify_file(ledger, full.head())
    assert (verdict.faults, verdict.entries, verdict.links) == ((), 6, 14)
    assert verdict.head == full.head()


def test_rows_that_are_no_entries_when_false_then_refused(full: Book) -> None:
    with pytest.raises(LedgerError, match="no more than the loss"):
        full.book_wash_sales("rule 2025 v1", [[1, 3, 5, 5, 5, 3]], "olga", at_ns=NOW)
    with pytest.raises(LedgerError, match="JSON"):
        full._add("AUDIT", "audit_trail", [NOW, "x", "ledger", "x", "x", "{", None], NOW)
    with pytest.raises(LedgerError, match="not that of the ledger"):
        full._add("ASSERTION", "balance_assertion", [NOW, "CASH", "USD", 5, 5, "BROKER", 1], NOW)


def tamper(ledger: Path, *statements: str) -> None:
    """Edit as somebody with the file does: every trigger is dropped before, and put back after."""
    with closing(sqlite3.connect(ledger)) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        for _, sql in triggers:
            db.execute(sql)
        db.commit()


EDITS: dict[str, tuple[str, str]] = {
    "UPDATE tx SET description = 'x' WHERE seq = 3": ("entry 3 ", "was changed"),
    "UPDATE tx SET occurred_at_ns = 1 WHERE seq = 2": ("entry 2 ", "was changed"),
    "UPDATE posting SET amount = amount * 2 WHERE tx_seq = 4": ("entry 4 ", "was changed"),
    "UPDATE posting SET account_code = '1030' WHERE tx_seq = 1 AND line_no = 1": ("entry 1 ", "was changed"),
    "UPDATE lot SET cost = cost + 1 WHERE lot_id = 2": ("entry 3 ", "was changed"),
    "UPDATE lot_close SET term = 'LT' WHERE close_id = 1": ("entry 4 ", "was changed"),
    "UPDATE trade_detail SET price_micros = 1 WHERE tx_seq = 5": ("entry 5 ", "was changed"),
    "DELETE FROM trade_detail WHERE tx_seq = 5": ("entry 5 ", "was changed"),
    "DELETE FROM posting WHERE tx_seq = 6": ("entry 6 ", "was changed"),
    "DELETE FROM tx WHERE seq = 3": ("link 7 seals 0 rows of tx", "missing"),
    "DELETE FROM chain WHERE link = 6": ("link 7 follows link 5", "missing"),
    "UPDATE commodity SET multiplier = 100 WHERE symbol = 'AAPL'": ("row AAPL of commodity", "was changed"),
    "UPDATE coa_account SET name = 'x' WHERE code = '1010'": ("row 1 of coa_version", "was changed"),
    "UPDATE coa_version SET author = 'x'": ("row 1 of coa_version", "was changed"),
    "UPDATE audit_trail SET actor = 'x'": ("row 1 of audit_trail", "was changed"),
    "UPDATE coa_metadata SET entity_code = 'OTHER'": ("row 1 of coa_version", "hash of the link before"),
    "INSERT INTO posting VALUES (9, 1, '1010', 'USD', 5)": ("a row of posting (9, 1)", "no row that is in the chain"),
    "UPDATE chain SET hash = lower(hex(zeroblob(32))) WHERE link = 10": ("entry 5 ", "was changed"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_ledger_when_edited_behind_dropped_triggers_then_the_first_broken_row_is_named(
    full: Book, ledger: Path, identity: Identity, edit: str
) -> None:
    full.close()
    tamper(ledger, edit)
    (fault,) = verify_file(ledger).faults
    where, what = EDITS[edit]
    assert where in fault
    assert what in fault
    with pytest.raises(LedgerError):
        open_book(ledger, identity, may_write=True)


def test_ledger_when_a_trigger_stays_dropped_then_it_and_the_broken_row_are_named(full: Book, ledger: Path) -> None:
    full.close()
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("DROP TRIGGER posting_update")
        db.execute("UPDATE posting SET amount = 7 WHERE tx_seq = 1 AND line_no = 1")
        db.commit()
    faults = verify_file(ledger).faults
    assert faults[0] == "the trigger posting_update is missing"
    assert faults[1].startswith("entry 1 (link 4, PAPER:A-1:DEPOSIT) was changed")


def resealed(ledger: Path, edit: str) -> None:
    """Edit, and then seal the whole chain anew, as somebody does who has the program."""
    tamper(ledger, edit)
    with closing(sqlite3.connect(ledger)) as db:
        rows = db.execute("SELECT link, kind, recorded_at_ns, prev_hash FROM chain ORDER BY link").fetchall()
        updates, prev = [], rows[0][3]
        for link, kind, recorded, _ in rows:
            content = content_of(db, kind, link)
            new = link_hash(kind, link, recorded, prev, rows=content)
            updates.append(f"UPDATE chain SET prev_hash = '{prev}', hash = '{new}' WHERE link = {link}")
            prev = new
    tamper(ledger, *updates)


def content_of(db: sqlite3.Connection, kind: str, link: int) -> dict[str, Any]:
    def select(table: str, where: str, order: str) -> list[Any]:
        return db.execute(f"SELECT {', '.join(COLUMNS[table])} FROM {table} WHERE {where} ORDER BY {order}").fetchall()

    if kind == "TX":
        (seq,) = db.execute("SELECT seq FROM tx WHERE link = ?", (link,)).fetchone()
        return {
            "posting": select("posting", f"tx_seq = {seq}", "2"), "lot": select("lot", f"open_tx = {seq}", "1"),
            "lot_close": select("lot_close", f"tx_seq = {seq}", "1"),
            "trade_detail": select("trade_detail", f"tx_seq = {seq}", "1"), "tx": select("tx", f"seq = {seq}", "1"),
        }  # fmt: skip
    if kind == "COA":
        return {"coa_version": select("coa_version", "1", "1"), "coa_account": select("coa_account", "1", "2")}
    table = {"COMMODITY": "commodity", "AUDIT": "audit_trail"}[kind]
    return {table: select(table, f"link = {link}", "1")}


#: Edits that are sealed again are seen by what they contradict, and by the head that is kept outside.
RESEALED: dict[str, str] = {
    "UPDATE posting SET amount = amount + 1 WHERE tx_seq = 2 AND line_no = 1": "entry 2 .* do not balance in USD",
    "UPDATE lot_close SET cost = cost + 10000, gain = gain - 10000, cost_left = cost_left - 10000 WHERE close_id = 2":
    "entry 4 .* not its share",
    "UPDATE lot_close SET term = 'LT' WHERE close_id = 1": "entry 4 .* not held so long",
    "UPDATE lot_close SET lot_id = 2 WHERE close_id = 1": "entry 4 .* not the oldest open lot",
    "UPDATE tx SET gain_micros = gain_micros + 1 WHERE seq = 4": "entry 4 .* gain",
    "UPDATE posting SET account_code = '1000' WHERE tx_seq = 1 AND line_no = 1": "entry 1 .* is not open",
    "UPDATE lot SET qty = qty + 1 WHERE lot_id = 3": "entry 5 .* differ from the cost, the units",
    "UPDATE coa_account SET name = 'x' WHERE code = '1010'": "not the ones that were recorded",
}  # fmt: skip


@pytest.mark.parametrize("edit", RESEALED)
def test_ledger_when_edited_and_sealed_again_then_the_row_contradicts_the_books(
    full: Book, ledger: Path, edit: str
) -> None:
    full.close()
    resealed(ledger, edit)
    (fault,) = verify_file(ledger).faults
    assert re.search(RESEALED[edit], fault), fault


def test_ledger_when_rewritten_without_a_contradiction_then_only_its_head_shows_it(full: Book, ledger: Path) -> None:
    head = full.head()
    full.close()
    resealed(ledger, "UPDATE tx SET description = 'harmless' WHERE seq = 6")
    assert verify_file(ledger).faults == ()
    (fault,) = verify_file(ledger, head).faults
    assert "is another than the one whose hash is kept outside" in fault


def test_ledger_when_its_end_is_cut_off_then_its_head_shows_it(full: Book, ledger: Path) -> None:
    head = full.head()
    full.close()
    cut = [f"DELETE FROM {table} WHERE {column} = 6" for table, column in
           (("posting", "tx_seq"), ("lot_close", "tx_seq"), ("trade_detail", "tx_seq"), ("tx", "seq"))]  # fmt: skip
    tamper(ledger, *cut, f"DELETE FROM chain WHERE link = {head.link}")
    assert verify_file(ledger).faults == ()
    (fault,) = verify_file(ledger, head).faults
    assert "the head that is kept outside tells of link 11 (entry 6)" in fault


def test_ledger_when_of_version_1_then_refused_in_words(ledger: Path, identity: Identity) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(LedgerError, match="schema is of version 1, and this program books in version 4"):
        open_book(ledger, identity, may_write=True)


def test_digest_when_anything_differs_then_another(full: Book, ledger: Path) -> None:
    before = digest_of(full._db)
    assert digest_of(full._db) == before
    full.audit("ops", "LOOK", "x", payload={}, at_ns=NOW)
    assert digest_of(full._db) != before


ODD = '"\\/\b\f\n\r\t\x1f\x7f\u2028é😀'
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


@settings(max_examples=150, deadline=None)
@given(
    text=st.one_of(TEXTS, st.sampled_from(['"\\/\b\f\n\r\t\x1f\x7f\u2028é😀'])), number=st.integers(-(2**63), 2**63 - 1)
)
def test_hash_when_a_text_is_odd_then_sqlite_and_this_program_agree(text: str, number: int) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        harden(db)
        (told,) = db.execute(
            "SELECT tbot_ledger_sha256(json_array('AUDIT', 1, 2, 'p', "
            "json((SELECT json_group_array(json_array(?, ?, NULL))))))",
            (text, number),
        ).fetchone()
    assert told == link_hash("AUDIT", 1, 2, "p", rows={"audit_trail": [[text, number, None]]})


def test_head_file_when_written_then_read_back_and_when_changed_an_error(tmp_path: Path) -> None:
    head, path = Head(link=7, seq=4, hash="a" * 64, recorded_at_ns=NOW), tmp_path / "x.head"
    assert read_head(path) is None
    file = HeadFile(path)
    file.write(msgspec.structs.replace(head, link=6))
    file.write(head)
    file.close()
    assert read_head(path) == head
    assert path.read_text() == head_line(head)
    for wrong in (head_line(head).replace("link=000000000007", "link=000000000009"), head_line(head)[:80], ""):
        path.write_text(wrong)
        with pytest.raises(HeadError, match="damaged"):
            read_head(path)


def test_verify_command_when_run_then_its_exit_code_tells(full: Book, ledger: Path) -> None:
    full.close()
    command = [sys.executable, "-m", "services.ledger", "verify", "--ledger", str(ledger)]
    sound = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (sound.returncode, sound.stdout[:36]) == (0, "sound: 6 entries in 11 links, newest")
    tamper(ledger, "UPDATE posting SET amount = 5 WHERE tx_seq = 3 AND line_no = 2")
    broken = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    assert "entry 3 (link 7, PAPER:PX-2:FILL) was changed" in broken.stdout

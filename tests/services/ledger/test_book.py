"""The ledger file under attack: whatever is not a whole, balanced, new entry of the service is refused."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.messages import NANOS, EntryPosted, Message, PostingLine
from config.identity import Identity
from services.ledger.book import Book, LedgerError, open_book
from services.ledger.coa_utils_ledger import stored_accounts
from services.ledger.core import LedgerCore
from services.ledger.hash_chain import COLUMNS
from services.ledger.lots import BrokenEntryError

RECENT = 1_700_000_100_000_000_000


@pytest.fixture
def entries(core: LedgerCore, day: list[Message]) -> list[EntryPosted]:
    state, made = core.initial(), []
    for message in day:
        (entry,) = core.decide(state, message, RECENT)
        state = core.evolve(state, entry)
        made.append(entry)
    return made


@pytest.fixture
def full(book: Book, entries: list[EntryPosted]) -> Book:
    for entry in entries:
        book.post(entry)
    return book


def with_lines(entry: EntryPosted, *lines: tuple[str, str, Any]) -> EntryPosted:
    made = tuple(PostingLine(account=account, commodity=unit, amount=amount) for account, unit, amount in lines)
    return msgspec.structs.replace(entry, seq=6, source_event_id="PAPER:NEW:FILL", gain_micros=0, lines=made)


def dump(book: Book) -> list[str]:
    tables = ("coa_metadata", "chain", *COLUMNS)
    return [repr(book._db.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]


def test_post_when_entries_are_sound_then_read_back_the_same(full: Book, entries: list[EntryPosted]) -> None:
    assert list(full.entries()) == entries
    assert set(full.totals().values()) == {0}
    assert full.open_units() == {"AAPL": 5 * NANOS, "MSFT": 2_500_000_000}


def test_post_when_sold_then_lot_closes_tell_cost_gain_and_rest(full: Book) -> None:
    rows = full._db.execute("SELECT lot_id, tx_seq, qty, cost, gain, qty_left, cost_left, term FROM lot_close")
    assert rows.fetchall() == [
        (1, 4, 10 * NANOS, 1_000_000_000, 200_000_000, 0, 0, "ST"),
        (2, 4, 5 * NANOS, 550_000_000, 50_000_000, 5 * NANOS, 550_000_000, "ST"),
    ]


def test_post_when_repeated_then_nothing_changes(full: Book, entries: list[EntryPosted]) -> None:
    before = dump(full)
    for entry in entries:
        full.post(msgspec.structs.replace(entry, ts_init=entry.ts_init + 1))
    assert dump(full) == before


@pytest.mark.parametrize("change", [{"gain_micros": 1}, {"description": "x"}, {"seq": 9}, {"ts_event": 1}])
def test_post_when_repeated_differently_then_error_and_nothing_changes(
    full: Book, entries: list[EntryPosted], change: dict[str, Any]
) -> None:
    before = dump(full)
    with pytest.raises(LedgerError, match="not the same"):
        full.post(msgspec.structs.replace(entries[3], **change))
    assert dump(full) == before


@pytest.mark.parametrize("seq", [1, 5, 7])
def test_post_when_number_is_not_the_next_then_error(full: Book, entries: list[EntryPosted], seq: int) -> None:
    with pytest.raises(LedgerError, match="cannot follow entry 5"):
        full.post(msgspec.structs.replace(entries[0], seq=seq, source_event_id="PAPER:A-2:DEPOSIT"))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([("1010", "USD", 5), ("3010", "USD", -4)], "does not balance"),
        ([("1010", "USD", 5), ("9090", "AAPL", -5)], "does not balance"),
        ([("9090", "AAPL", 5), ("9090", "MSFT", -5)], "does not balance"),
        ([("1010", "USD", 5)], "two lines"),
        ([], "two lines"),
        ([("1010", "USD", 0), ("3010", "USD", 0)], "CHECK"),
        ([("7777", "USD", 5), ("3010", "USD", -5)], "not open"),
        ([("1000", "USD", 5), ("3010", "USD", -5)], "not open"),
        ([("1010", "AAPL", 5), ("9090", "AAPL", -5)], "not open"),
        ([("9090", "USD", 5), ("3010", "USD", -5)], "not open"),
        ([("1210", "USD", 5), ("1010", "USD", -5)], "differs from the lots"),
        ([("1220", "USD", 5), ("1010", "USD", -5)], "differs from the lots"),
        ([("1010", "USD", 5), ("4010", "USD", -5)], "realized gain differs"),
        ([("1010", "USD", 2**63 - 1), ("1030", "USD", 2**63 - 1), ("3010", "USD", -5)], "overflow"),
    ],
)
def test_post_when_entry_is_unsound_then_refused_whole(
    full: Book, entries: list[EntryPosted], lines: Any, words: str
) -> None:
    before = dump(full)
    with pytest.raises(LedgerError, match=words):
        full.post(with_lines(entries[0], *lines))
    assert dump(full) == before


@pytest.mark.parametrize("amount", [1.5, "12", True, 1.0])
def test_post_when_amount_is_no_integer_then_refused(full: Book, entries: list[EntryPosted], amount: Any) -> None:
    with pytest.raises(LedgerError, match="no whole number"):
        full.post(with_lines(entries[0], ("1010", "USD", amount), ("3010", "USD", -1)))


def test_post_when_sale_exceeds_lots_then_refused(full: Book, entries: list[EntryPosted]) -> None:
    sale = with_lines(
        entries[3],
        ("1210", "USD", -5),
        ("1010", "USD", 5),
        ("9010", "AAPL", -6 * NANOS),
        ("9090", "AAPL", 6 * NANOS),
    )
    before = dump(full)
    with pytest.raises(BrokenEntryError):
        full.post(sale)
    assert dump(full) == before


NEXT = "(SELECT max(link) + 1 FROM chain)"
LINE = "INSERT INTO posting (tx_seq, line_no, account_code, commodity, amount) VALUES "
HEAD = (
    "INTO tx (seq, source_event_id, event_type, symbol, description, gain_micros, occurred_at_ns, "
    "recorded_at_ns, coa_version, link) VALUES "
)
CLOSE = (
    "INSERT INTO lot_close (close_id, lot_id, tx_seq, kind, qty, cost, proceeds, gain, qty_left, cost_left, term) "
    "VALUES "
)
LOT = "INSERT INTO lot (lot_id, open_tx, account_code, commodity, queue_pos, acquired_at_ns, qty, cost) VALUES "
SOUND_LINES = LINE + "(6, 1, '1010', 'USD', 5), (6, 2, '3010', 'USD', -5); "
OWN_ATTACKS = {
    "update a header": "UPDATE tx SET gain_micros = 7 WHERE seq = 4",
    "update a line": "UPDATE posting SET amount = amount + 1",
    "update a lot": "UPDATE lot SET cost = 0",
    "update a close": "UPDATE lot_close SET term = 'LT'",
    "update a commodity": "UPDATE commodity SET scale = 2",
    "update an account": "UPDATE coa_account SET name = 'x'",
    "update a version": "UPDATE coa_version SET author = 'x'",
    "delete a header": "DELETE FROM tx WHERE seq = 5",
    "delete a line": "DELETE FROM posting",
    "delete a lot": "DELETE FROM lot",
    "delete a close": "DELETE FROM lot_close",
    "delete an account": "DELETE FROM coa_account WHERE code = '1900'",
    "delete the metadata": "DELETE FROM coa_metadata",
    "replace a header": "INSERT OR REPLACE " + HEAD + "(5, 'x', 'BUY', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "replace by source id": SOUND_LINES
    + "REPLACE " + HEAD + "(6, 'PAPER:A-1:DEPOSIT', 'D', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "replace a line": "REPLACE INTO posting VALUES (5, 1, '1010', 'USD', 5)",
    "replace a lot": "REPLACE INTO lot VALUES (1, 2, '1210', 'AAPL', 1, 1, 1, 1)",
    "replace a commodity": "REPLACE INTO commodity VALUES ('USD', 'EQUITY', 9, 1, " + NEXT + ")",
    "replace the metadata": "REPLACE INTO coa_metadata VALUES (1, 'EUR', 'X', 'Y', 1, 'a', 'b')",
    "replace an account":
    "REPLACE INTO coa_account VALUES (1, '1010', 'x', 'ASSET', 'BASE', 'NONE', '', 'OPEN')",
    "upsert a header": "INSERT " + HEAD + "(5, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ") "
    "ON CONFLICT (seq) DO UPDATE SET gain_micros = 9",
    "upsert a line": LINE + "(5, 1, '1010', 'USD', 5) ON CONFLICT DO UPDATE SET amount = 9",
    "ignore an unbalanced set": LINE.replace("INSERT", "INSERT OR IGNORE")
    + "(6, 1, '1010', 'USD', 5), (6, 2, '3010', 'USD', -4); "
    + "INSERT OR IGNORE " + HEAD + "(6, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "a REAL amount": LINE + "(6, 1, '1010', 'USD', 1.5)",
    "a late line": LINE + "(5, 9, '1010', 'USD', 5)",
    "a skipped line number": LINE + "(6, 2, '1010', 'USD', 5)",
    "a gap in the lines": LINE + "(6, 1, '1010', 'USD', 5), (6, 3, '3010', 'USD', -5); "
    + "INSERT " + HEAD + "(6, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "a line on no account": LINE + "(6, 1, '1010', 'USD', 5), (6, 2, '3011', 'USD', -5); "
    + "INSERT " + HEAD + "(6, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "lines without header": SOUND_LINES,
    "a skipped number": SOUND_LINES + "INSERT " + HEAD + "(7, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "the same source again": SOUND_LINES
    + "INSERT " + HEAD + "(6, 'PAPER:A-1:DEPOSIT', 'D', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "another chart's version": SOUND_LINES + "INSERT " + HEAD + "(6, 'x', 'B', '', '', 0, 1, 1, 2, " + NEXT + ")",
    "a misstated gain": SOUND_LINES + "INSERT " + HEAD + "(6, 'x', 'B', '', '', 3, 1, 1, 1, " + NEXT + ")",
    "a lot without lines": LOT + "(4, 6, '1210', 'AAPL', 3, 1800000000000000000, 5, 5); "
    + SOUND_LINES + "INSERT " + HEAD + "(6, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "a lot of a sealed entry": LOT + "(4, 5, '1210', 'AAPL', 3, 1800000000000000000, 5, 5)",
    "a lot that jumps the queue": LOT + "(4, 6, '1210', 'AAPL', 3, 1, 5, 5)",
    "a lot out of its place": LOT + "(4, 6, '1210', 'AAPL', 9, 1800000000000000000, 5, 5)",
    "a lot in a cash account": LOT + "(4, 6, '1010', 'AAPL', 3, 1800000000000000000, 5, 5)",
    "over-consuming a lot": CLOSE + "(3, 2, 6, 'SALE', 6000000000, 0, 0, 0, -1000000000, 550000000, 'ST')",
    "misstating what is left": CLOSE + "(3, 2, 6, 'SALE', 1000000000, 0, 0, 0, 5000000000, 550000000, 'ST')",
    "misstating a lot's gain": CLOSE
    + "(3, 2, 6, 'SALE', 1000000000, 110000000, 120000000, 5, 4000000000, 440000000, 'ST')",
    "leaving cost in an empty lot": CLOSE + "(3, 2, 6, 'SALE', 5000000000, 0, 0, 0, 0, 550000000, 'ST')",
    "closing a lot of nobody": CLOSE + "(3, 99, 6, 'SALE', 1, 0, 0, 0, 0, 0, 'ST')",
    "editing a frozen chart":
    "INSERT INTO coa_account VALUES (1, '1999', 'x', 'ASSET', 'BASE', 'NONE', '', 'OPEN')",
    "renaming the entity":
    "UPDATE coa_metadata SET entity_code = 'X', coa_version = 2, last_updated_utc = 'z'",
    "a version without accounts": "UPDATE coa_metadata SET coa_version = 2, last_updated_utc = '9'",
    "a version that is no web edit":
    "INSERT INTO coa_version VALUES (2, 'z', 'x', 'SEED', '', hex(zeroblob(32)), " + NEXT + ")",
    "dropping a trigger": "DROP TRIGGER tx_update",
    "dropping a table": "DROP TABLE lot_close",
    "altering a table": "ALTER TABLE tx ADD COLUMN x INTEGER",
    "switching triggers off": "PRAGMA recursive_triggers = OFF",
    "a trigger of their own": "CREATE TRIGGER x BEFORE INSERT ON tx BEGIN SELECT 1; END",
}  # fmt: skip


@pytest.mark.parametrize("attack", OWN_ATTACKS)
def test_service_connection_when_attacked_then_refused_and_unchanged(full: Book, attack: str) -> None:
    before = dump(full)
    full._db.execute("BEGIN")
    with pytest.raises(sqlite3.Error) as refusal:  # noqa: PT012 - one attack is several statements
        for statement in OWN_ATTACKS[attack].split("; "):
            full._db.execute(statement)
        full._db.execute("COMMIT")
    if full._db.in_transaction:
        full._db.execute("ROLLBACK")
    # A rule refused it, and not SQL that is badly written.
    assert refusal.type is sqlite3.IntegrityError or "not authorized" in str(refusal.value)
    assert dump(full) == before


def new_chart(full: Book, *, edit: str = "", without: str = "x") -> None:
    """Make version 2 of the chart: 1010 becomes equity, another account is closed, or one is left out."""
    changed = {"type": "EQUITY"} if edit == "1010" else {"status": "CLOSED"}
    chart = [
        msgspec.structs.replace(account, **changed) if account.code == edit else account
        for account in stored_accounts(full._db, 1)
        if account.code != without
    ]
    full.new_chart(chart, "web", "", at_utc="2030-01-01T00:00:00.000000Z", at_ns=RECENT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"without": "1010"}, "may not vanish"),
        ({"edit": "1010"}, "change its type"),
        ({"edit": "3010"}, "balance may not be closed"),
    ],
)
def test_new_chart_when_it_breaks_used_accounts_then_refused(full: Book, changes: dict[str, Any], words: str) -> None:
    before = dump(full)
    with pytest.raises(LedgerError, match=words):
        new_chart(full, **changes)
    assert dump(full) == before


def test_new_chart_when_unused_account_is_closed_then_accepted_and_old_entries_keep_their_version(
    full: Book,
) -> None:
    new_chart(full, edit="1900")
    assert full._db.execute("SELECT DISTINCT coa_version FROM tx").fetchall() == [(1,)]
    with pytest.raises(sqlite3.IntegrityError, match="frozen"):
        full._db.execute("INSERT INTO coa_account VALUES (2, '1999', 'x', 'ASSET', 'BASE', 'NONE', '', 'OPEN')")


def test_lot_close_when_it_jumps_the_queue_then_refused(book: Book, entries: list[EntryPosted]) -> None:
    for entry in entries[:3]:
        book.post(entry)
    with pytest.raises(sqlite3.IntegrityError, match="first in, first out"):
        book._db.execute(CLOSE + "(1, 2, 4, 'SALE', 5, 0, 0, 0, 9999999995, 1100000000, 'ST')")


FOREIGN_ATTACKS = {
    "insert a line": LINE + "(6, 1, '1010', 'USD', 5)",
    "insert a header": "INSERT " + HEAD + "(6, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ")",
    "insert a lot": LOT + "(4, 6, '1210', 'AAPL', 3, 1800000000000000000, 5, 5)",
    "insert a close": CLOSE + "(3, 2, 6, 'SALE', 1, 0, 0, 0, 4999999999, 550000000, 'ST')",
    "insert a commodity": "INSERT INTO commodity VALUES ('X', 'EQUITY', 9, 1, " + NEXT + ")",
    "insert an account": "INSERT INTO coa_account VALUES (2, '1', 'x', 'ASSET', 'BASE', 'NONE', '', 'OPEN')",
    "insert a version": "INSERT INTO coa_version VALUES (2, 'z', 'x', 'WEB', '', hex(zeroblob(32)), " + NEXT + ")",
    "insert metadata": "INSERT INTO coa_metadata VALUES (2, 'USD', 'A', 'B', 1, 'a', 'b')",
    "update metadata": "UPDATE coa_metadata SET coa_version = 2",
    "update a line": "UPDATE posting SET amount = 1",
    "delete a line": "DELETE FROM posting",
    "replace a header": "REPLACE " + HEAD + "(5, 'x', 'B', '', '', 0, 1, 1, 1, " + NEXT + ")",
}


@pytest.mark.parametrize("attack", FOREIGN_ATTACKS)
def test_foreign_client_when_it_writes_then_refused_and_unchanged(full: Book, ledger: Path, attack: str) -> None:
    before = dump(full)
    client = sqlite3.connect(ledger)
    with pytest.raises(sqlite3.Error) as refusal:
        client.execute(FOREIGN_ATTACKS[attack])
    client.close()
    assert refusal.type is sqlite3.IntegrityError or "tbot_ledger_writer" in str(refusal.value)
    assert dump(full) == before


def tampered(ledger: Path, *statements: str) -> None:
    db = sqlite3.connect(ledger)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["DROP TRIGGER tx_update"], "trigger tx_update is missing"),
        (["CREATE TABLE extra (a)"], "table extra does not belong"),
        (
            ["DROP TRIGGER tx_update", "CREATE TRIGGER tx_update BEFORE UPDATE ON tx BEGIN SELECT 1; END"],
            "changed",
        ),
        (["DROP INDEX lot_by_tx"], "index lot_by_tx is missing"),
    ],
)
def test_open_when_schema_differs_then_error_names_the_object(
    ledger: Path, identity: Identity, statements: Any, words: str
) -> None:
    tampered(ledger, *statements)
    with pytest.raises(LedgerError, match=words):
        open_book(ledger, identity, may_write=True)


def trigger_of(ledger: Path, name: str) -> str:
    db = sqlite3.connect(ledger)
    (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    db.close()
    return str(sql)


@pytest.mark.parametrize(
    ("trigger", "statement", "words"),
    [
        (
            "posting_update",
            "UPDATE posting SET amount = amount + 1 WHERE tx_seq = 2 AND line_no = 1",
            "does not balance",
        ),
        ("tx_delete", "DELETE FROM tx WHERE seq = 2", "some are missing"),
        ("posting_update", "UPDATE posting SET tx_seq = 77 WHERE tx_seq = 5", "rows that do not exist"),
        (
            "coa_account_update",
            "UPDATE coa_account SET name = 'x' WHERE code = '1010'",
            "not the one that was recorded",
        ),
        ("coa_metadata_delete", "DELETE FROM coa_metadata", "coa_metadata table is empty"),
    ],
)
def test_open_when_rows_were_tampered_behind_a_dropped_trigger_then_error(
    full: Book, ledger: Path, identity: Identity, trigger: str, statement: str, words: str
) -> None:
    sql = trigger_of(ledger, trigger)
    tampered(ledger, f"DROP TRIGGER {trigger}", statement, sql)
    with pytest.raises(LedgerError, match=words):
        open_book(ledger, identity, may_write=True)


def test_open_when_ledger_is_of_another_entity_then_error_names_both(ledger: Path, identity: Identity) -> None:
    with pytest.raises(LedgerError, match="belongs to ACME in USA, but this bot is OTHER"):
        open_book(ledger, msgspec.structs.replace(identity, entity_code="OTHER"), may_write=True)


def test_open_when_file_is_missing_then_error_says_how_it_is_made(tmp_path: Path, identity: Identity) -> None:
    with pytest.raises(LedgerError, match=r"no ledger at .* bootstrap page"):
        open_book(tmp_path / "none.db", identity, may_write=True)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("content", [b"", b"this is no database at all" * 100])
def test_open_when_file_is_no_ledger_then_readable_error(tmp_path: Path, identity: Identity, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="Trading stays stopped"):
        open_book(path, identity, may_write=True)


def test_open_when_pages_are_damaged_then_readable_error(full: Book, ledger: Path, identity: Identity) -> None:
    full.close()
    raw = bytearray(ledger.read_bytes())
    for page in range(4096, len(raw) - 4096, 4096):
        raw[page : page + 64] = b"\xa5" * 64
    ledger.write_bytes(bytes(raw))
    with pytest.raises(LedgerError, match="Trading stays stopped"):
        open_book(ledger, identity, may_write=True)


def test_read_only_book_when_it_writes_then_refused(
    full: Book, ledger: Path, identity: Identity, entries: list[EntryPosted]
) -> None:
    reader = open_book(ledger, identity, may_write=False)
    with pytest.raises(LedgerError, match="refused"):
        reader.post(with_lines(entries[0], ("1010", "USD", 5), ("3010", "USD", -5)))
    assert reader.last_seq() == 5
    reader.close()


def test_writer_when_open_then_durable_settings_are_on(full: Book) -> None:
    full._db.set_authorizer(None)
    values = {
        name: full._db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "busy_timeout")
    }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "busy_timeout": 5_000,
    }


def test_times_when_read_by_others_then_utc_text(full: Book) -> None:
    row = full._db.execute("SELECT occurred_at_utc, recorded_at_utc FROM tx WHERE seq = 1").fetchone()
    assert row == ("2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z")


def test_buffered_book_when_an_entry_is_refused_then_the_others_are_kept_until_it_is_closed(
    ledger: Path, identity: Identity, entries: list[EntryPosted]
) -> None:
    buffered = open_book(ledger, identity, may_write=True, is_buffered=True)
    for entry in entries:
        buffered.post(entry)
    with pytest.raises(LedgerError):
        buffered.post(with_lines(entries[0], ("1010", "USD", 5)))
    other = open_book(ledger, identity, may_write=False)
    assert list(other.entries()) == []
    other.close()
    buffered.close()
    other = open_book(ledger, identity, may_write=False)
    assert list(other.entries()) == entries
    other.close()


def test_buffered_book_when_it_is_read_then_what_waits_is_in_it(
    ledger: Path, identity: Identity, entries: list[EntryPosted]
) -> None:
    buffered = open_book(ledger, identity, may_write=True, is_buffered=True)
    for entry in entries:
        buffered.post(entry)
    assert buffered.last_seq() == len(entries)
    assert list(buffered.entries()) == entries
    assert set(buffered.totals().values()) == {0}
    buffered.post(entries[0])
    with pytest.raises(LedgerError, match="not the same"):
        buffered.post(msgspec.structs.replace(entries[0], description="another"))
    buffered.close()


def test_buffered_book_when_an_entry_that_waits_breaks_a_rule_then_closing_says_so_and_keeps_those_before(
    ledger: Path, identity: Identity, entries: list[EntryPosted]
) -> None:
    buffered = open_book(ledger, identity, may_write=True, is_buffered=True)
    for entry in entries:
        buffered.post(entry)
    buffered.post(with_lines(entries[0], ("0000", "USD", 5), ("3010", "USD", -5)))
    with pytest.raises(LedgerError, match="refused entry 6"):
        buffered.close()
    other = open_book(ledger, identity, may_write=False)
    assert list(other.entries()) == entries
    other.close()


def test_buffered_book_when_a_ledger_has_entries_then_those_are_compared_and_new_ones_follow(
    full: Book, ledger: Path, identity: Identity, entries: list[EntryPosted]
) -> None:
    full.close()
    buffered = open_book(ledger, identity, may_write=True, is_buffered=True)
    buffered.post(entries[-1])
    with pytest.raises(LedgerError, match="cannot follow"):
        buffered.post(msgspec.structs.replace(entries[-1], seq=9, source_event_id="PAPER:NEW:FILL"))
    buffered.close()


def test_buffered_book_when_balances_are_asserted_then_the_file_has_them_where_they_were_said(
    ledger: Path, identity: Identity, entries: list[EntryPosted]
) -> None:
    at_ns = entries[-1].ts_init
    buffered = open_book(ledger, identity, may_write=True, is_buffered=True)
    buffered.post(entries[0])
    assert not buffered.assert_balance("CASH", "USD", 1, source="BROKER", at_ns=at_ns)
    for entry in entries[1:]:
        buffered.post(entry)
    assert not buffered.assert_balance("UNITS", "AAPL", 1, source="BROKER", at_ns=at_ns)
    assert "in the books" in buffered.differences()
    buffered.close()
    other = open_book(ledger, identity, may_write=True, is_buffered=True)
    assert "in the books" in other.differences()
    held = other.open_units().get("AAPL", 0)
    assert other.assert_balance("UNITS", "AAPL", held, source="BROKER", at_ns=at_ns + 1)
    assert other.differences() == ""
    other.close()
    plain = open_book(ledger, identity, may_write=False)
    assert list(plain.entries()) == entries
    assert plain.differences() == ""
    plain.close()

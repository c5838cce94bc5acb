"""The ledger's start and its writes: creation on request, recovery after a crash, clear refusals."""

import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.assembly import CannotStartError, Setup
from bus.failpoints import failpoints
from bus.messages import MICROS, NANOS, CashMoved, EntryPosted, Message, OrderFilled
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.book import LedgerError, open_book
from services.ledger.coa_utils_ledger import TEMPLATE_FILE, load_template
from services.ledger.core import LedgerCore
from services.ledger.provision import ProvisionRequest, create_ledger, ensure_ledger, ledger_path
from services.ledger.shell import build


def coa_without(code: str) -> dict:
    coa = msgspec.json.decode(TEMPLATE_FILE.read_bytes())
    coa["accounts"] = [account for account in coa["accounts"] if account["code"] != code]
    return coa


def test_start_when_requested_then_ledger_is_created_with_metadata_and_request_is_gone(
    start: Callable[..., Any], ask: Callable[..., Path], paths: HomePaths, identity: Identity
) -> None:
    ask()
    start()
    path = paths.entities / "ACME_USA" / "ACME_USA_main_PAPER_BOT01_BOT_ledger.db"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(paths.control.iterdir()) == []
    reader = sqlite3.connect(path)
    row = reader.execute(
        "SELECT currency_code, entity_code, jurisdiction_code, coa_version, "
        "created_at_utc = last_updated_utc FROM coa_metadata"
    ).fetchone()
    count = reader.execute("SELECT count(*) FROM coa_account").fetchone()[0]
    reader.close()
    assert row == ("USD", "ACME", "USA", 1, 1)
    assert count == len(load_template().accounts)


def test_start_when_no_ledger_and_no_request_then_cannot_start_and_nothing_is_made(
    start: Callable[..., Any], paths: HomePaths
) -> None:
    with pytest.raises(CannotStartError, match=r"There is no ledger at .* bootstrap page"):
        start()
    assert list(paths.entities.rglob("*")) == []


def test_start_when_ledger_and_request_then_cannot_start_and_both_stay(
    start: Callable[..., Any], ask: Callable[..., Path], ledger: Path
) -> None:
    request, before = ask(), ledger.read_bytes()
    with pytest.raises(CannotStartError, match="A ledger is never replaced"):
        start()
    assert request.exists()
    assert ledger.read_bytes() == before


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"coa": coa_without("1210")}, "Account 1210 is missing"),
        ({"coa": 7}, "not a chart of accounts"),
        ({"currency_code": "EUR"}, "currency EUR"),
        ({"currency_code": None}, "malformed"),
    ],
)
def test_start_when_request_is_bad_then_cannot_start_and_nothing_is_made(
    start: Callable[..., Any], ask: Callable[..., Path], paths: HomePaths, parts: dict[str, Any], words: str
) -> None:
    request = ask(**parts)
    with pytest.raises(CannotStartError, match=words):
        start()
    assert request.exists()
    assert list(paths.entities.rglob("*")) == []


def test_start_when_crashed_before_creation_then_taken_request_is_finished(
    start: Callable[..., Any], ask: Callable[..., Path], paths: HomePaths, identity: Identity
) -> None:
    ask().replace(paths.control / "provision_ledger.taken.json")
    folder = ledger_path(paths, identity).parent
    folder.mkdir()
    (folder / (identity.ledger_file + ".building")).write_bytes(b"half a file")
    start()
    assert list(paths.control.iterdir()) == []
    assert ledger_path(paths, identity).is_file()
    assert not (folder / (identity.ledger_file + ".building")).exists()


def test_start_when_crashed_after_creation_then_taken_request_is_removed(
    start: Callable[..., Any], ask: Callable[..., Path], paths: HomePaths, ledger: Path
) -> None:
    ask().replace(paths.control / "provision_ledger.taken.json")
    before = ledger.read_bytes()
    start().assembly.shell.close()
    assert list(paths.control.iterdir()) == []
    assert ledger.stat().st_size >= len(before)


def test_start_when_folder_cannot_be_made_then_error_names_it(
    ask: Callable[..., Path], paths: HomePaths, identity: Identity
) -> None:
    ask()
    (paths.entities / "ACME_USA").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be created"):
        ensure_ledger(paths, identity, datetime(2025, 3, 12, tzinfo=UTC))


def test_restart_when_day_was_booked_then_same_state_and_books(
    start: Callable[..., Any], ask: Callable[..., Path], day: list[Message]
) -> None:
    ask()
    first = start()
    for message in day:
        first.hear(message)
    first.assembly.shell.close()
    second = start(first.events)
    assert second.state == first.state
    assert [event for message in day for event in second.hear(message)] == []


@pytest.mark.parametrize("lost", range(5))
def test_restart_when_crash_came_between_ledger_and_journal_then_fill_is_booked_once(
    start: Callable[..., Any],
    ask: Callable[..., Path],
    day: list[Message],
    paths: HomePaths,
    identity: Identity,
    lost: int,
) -> None:
    ask()
    first = start()
    for message in day[:lost]:
        first.hear(message)
    first.hear(day[lost], crash=True)
    first.assembly.shell.close()
    second = start(first.events)
    for message in day[lost:]:
        second.hear(message)
    second.assembly.shell.close()
    book = open_book(ledger_path(paths, identity), identity, may_write=False)
    assert [entry.source_event_id for entry in book.entries()] == [e.source_event_id for e in second.events]
    assert len(second.events) == len(day)
    book.close()


def test_restart_when_another_fill_comes_instead_then_error_and_nothing_is_booked(
    start: Callable[..., Any], ask: Callable[..., Path], day: list[Message]
) -> None:
    ask()
    first = start()
    first.hear(day[0])
    first.hear(day[1], crash=True)
    first.assembly.shell.close()
    second = start(first.events)
    with pytest.raises(LedgerError, match="cannot follow entry 2"):
        second.hear(day[4])


@pytest.mark.parametrize(("kept", "words"), [(0, "tells of 0 entries, the ledger has 5"), (3, "tells of 3")])
def test_restart_when_journal_is_older_than_ledger_then_cannot_start(
    start: Callable[..., Any], ask: Callable[..., Path], day: list[Message], kept: int, words: str
) -> None:
    ask()
    first = start()
    for message in day:
        first.hear(message)
    first.assembly.shell.close()
    with pytest.raises(CannotStartError, match=words):
        start(first.events[:kept])


def test_restart_when_ledger_is_older_than_journal_then_cannot_start(
    start: Callable[..., Any],
    ask: Callable[..., Path],
    day: list[Message],
    setup: Setup,
    paths: HomePaths,
    identity: Identity,
) -> None:
    ask()
    first = start()
    for message in day[:2]:
        first.hear(message)
    first.assembly.shell.close()
    ledger_path(paths, identity).unlink()
    ask()
    with pytest.raises(CannotStartError, match="tells of 2 entries, the ledger has 0"):
        start(first.events)


def test_restart_when_same_length_but_other_entries_then_cannot_start(
    start: Callable[..., Any],
    ask: Callable[..., Path],
    day: list[Message],
    fill: Callable[..., OrderFilled],
    deposit: CashMoved,
) -> None:
    ask()
    first = start()
    first.hear(day[0])
    first.hear(day[1])
    first.assembly.shell.close()
    buy = first.events[1]
    assert isinstance(buy, EntryPosted)
    with pytest.raises(CannotStartError, match=r"entry 2 is OTHER in the journal"):
        start([first.events[0], msgspec.structs.replace(buy, source_event_id="OTHER")])
    lines = tuple(
        msgspec.structs.replace(line, amount=line.amount * 2) if line.account.startswith("90") else line
        for line in buy.lines
    )
    with pytest.raises(CannotStartError, match="open shares"):
        start([first.events[0], msgspec.structs.replace(buy, lines=lines)])


def test_before_commit_when_not_started_then_error(
    setup: Setup, start: Callable[..., Any], ask: Callable[..., Path], day: list[Message]
) -> None:
    ask()
    entry = start().hear(day[0])[0]
    with pytest.raises(LedgerError, match="not open"):
        build(setup).shell.before_commit(entry)


def test_before_commit_when_suspended_then_ledger_is_not_touched(
    start: Callable[..., Any],
    ask: Callable[..., Path],
    fill: Callable[..., OrderFilled],
    paths: HomePaths,
    identity: Identity,
) -> None:
    ask()
    journal = start()
    journal.hear(fill("SELL", "AAPL", NANOS, MICROS))
    assert len(journal.events) == 1
    book = open_book(ledger_path(paths, identity), identity, may_write=False)
    assert book.last_seq() == 0
    book.close()


def test_self_check_when_there_is_no_ledger_then_fault_and_when_requested_none(
    setup: Setup, ask: Callable[..., Path], paths: HomePaths
) -> None:
    assembly = build(setup)
    assert "There is no ledger" in assembly.self_check()[0]
    ask(currency_code="EUR")
    assert "currency EUR" in assembly.self_check()[0]
    ask()
    assert assembly.self_check() == ()
    assert list(paths.entities.iterdir()) == []


def test_self_check_when_ledger_is_sound_then_no_fault(setup: Setup, ledger: Path) -> None:
    assert build(setup).self_check() == ()


TRADES = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["AAPL", "MSFT", "USD"]),
        st.integers(1, 9 * NANOS),
        st.integers(1, MICROS),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trades=TRADES)
def test_ledger_file_when_trades_are_random_then_it_agrees_with_the_core(
    tmp_path_factory: pytest.TempPathFactory,
    identity: Identity,
    core: LedgerCore,
    fill: Callable[..., OrderFilled],
    trades: list[Any],
) -> None:
    path = tmp_path_factory.mktemp("random") / "ledger.db"
    create_ledger(
        path,
        identity,
        ProvisionRequest(coa=load_template(), currency_code="USD"),
        datetime(2025, 3, 12, tzinfo=UTC),
    )
    book, state = open_book(path, identity, may_write=True), core.initial()
    for is_buy, symbol, qty, price in trades:
        for event in core.decide(state, fill("BUY" if is_buy else "SELL", symbol, qty, price), 1):
            if isinstance(event, EntryPosted):
                book.post(event)
            state = core.evolve(state, event)
    assert set(book.totals().values()) <= {0}
    assert book.last_seq() == state.last_seq
    assert book.open_cost() == sum(lot.left_micros for lots in state.lots.values() for lot in lots)
    assert book.open_units() == {name: sum(lot.left_nanos for lot in lots) for name, lots in state.lots.items() if lots}
    book.close()


def _hear_all(journal: Any, messages: Iterable[Message]) -> None:
    for message in messages:
        journal.hear(message)


def test_before_commit_when_the_disk_is_full_then_nothing_is_booked_and_the_fill_is_booked_once_when_there_is_space(
    start: Callable[..., Any],
    ask: Callable[..., Path],
    fill: Callable[..., OrderFilled],
    deposit: CashMoved,
    paths: HomePaths,
    identity: Identity,
) -> None:
    ask()
    journal = start()
    journal.hear(deposit)
    db = journal.assembly.shell._book._db
    db.set_authorizer(None)
    db.execute("PRAGMA max_page_count = 1")
    heard = [fill("BUY", "AAPL", NANOS, 100_000_000) for _ in range(2_000)]
    with pytest.raises(LedgerError, match=r"is full.*booked whole or not at all"):
        _hear_all(journal, heard)
    booked = len(journal.events) - 1
    assert booked > 0
    with pytest.raises(LedgerError, match="closed"):
        journal.hear(heard[booked])
    book = open_book(ledger_path(paths, identity), identity, may_write=False)
    assert (book.last_seq(), set(book.totals().values())) == (booked + 1, {0})
    assert book.open_units() == {"AAPL": booked * NANOS}
    book.close()
    again = start(journal.events)
    for one in (heard[booked], heard[booked]):
        again.hear(one)
    assert len(again.events) == booked + 2
    assert again.assembly.shell._book.open_units() == {"AAPL": (booked + 1) * NANOS}


@pytest.mark.parametrize("side", ["before", "after"])
def test_before_commit_when_it_dies_inside_an_entry_then_no_part_of_it_is_in_the_ledger(
    start: Callable[..., Any], ask: Callable[..., Path], day: list[Message], side: str
) -> None:
    ask()
    journal = start()
    journal.hear(day[0])

    def die(name: str) -> None:
        if name == f"ledger.posting:{side}":
            raise KeyboardInterrupt

    with failpoints(die), pytest.raises(KeyboardInterrupt):
        journal.hear(day[1])
    journal.assembly.shell.close()
    again = start(journal.events)
    book = again.assembly.shell._book
    assert (book.last_seq(), book.open_units()) == (1, {})
    again.hear(day[1])
    assert (book.last_seq(), book.open_units()) == (2, {"AAPL": 10 * NANOS})

"""Every kind of event through the file, the checks, the reports, OFX and the exports: nothing is left out."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from beancount import loader
from made_books import DOLLAR, MARCH
from ofx_checker import faults_of
from ofx_readers import read_by_all
from posted_books import post_every_event
from test_oracles import hledger_says, sums_of

from bus.messages import CashKind, EntryPosted
from config.identity import Identity
from config.paths import HomePaths
from services.ledger import events
from services.ledger.book import open_book
from services.ledger.events import LedgerEvent
from services.ledger.export_beancount import export_beancount
from services.ledger.export_hledger import export_hledger
from services.ledger.findings import findings
from services.ledger.generate_ofx import generate_ofx
from services.ledger.reading import Books, Period, read_books
from services.ledger.report_page import page
from services.ledger.report_tables import REPORTS
from services.ledger.reports import as_json, make_reports
from services.ledger.verify import verify_file

WHOLE = Period(first=None, last=MARCH.last)


@pytest.fixture
def posted(ledger: Path, identity: Identity) -> list[EntryPosted]:
    """The entries of a ledger that was told every kind of event."""
    book = open_book(ledger, identity, may_write=True)
    poster = post_every_event(book)
    book.close()
    return poster.posted


@pytest.fixture
def books(posted: list[EntryPosted], ledger: Path, paths: HomePaths) -> Books:
    return read_books(paths, ledger)


def reports(books: Books) -> dict[str, Any]:
    tables = make_reports(books, WHOLE, "us-same-security-1", tuple(REPORTS))
    assert all(table.title in page(books, WHOLE, tables, []).decode() for table in tables)
    return msgspec.json.decode(as_json(books, WHOLE, tables, findings(books)))["reports"]


def test_the_month_when_posted_has_every_kind_of_event(posted: list[EntryPosted]) -> None:
    kinds = {entry.event_type for entry in posted}
    of_events = {
        events.Traded: {"BUY", "SELL"},
        events.CashChanged: set(get_args(CashKind)),
        events.ShareSplit: {"SPLIT"},
        events.OptionExpired: {"EXPIRE"},
        events.OptionExercised: {"EXERCISE"},
        events.ReserveMoved: {"TAX_RESERVE", "PAYROLL_RESERVE"},
        events.ReservePaid: {"TAX_PAID", "PAYROLL_PAID"},
        events.PayoutWithdrawn: {"PAYOUT_WITHDRAWN"},
        events.SuspenseBooked: {"SUSPENSE"},
        events.SuspenseCleared: {"SUSPENSE_CLEARED"},
        events.Reversed: {"REVERSAL"},
    }
    assert set(of_events) == set(get_args(LedgerEvent)), "an event of a new kind is not in the month yet"
    assert kinds == set().union(*of_events.values())


def test_the_file_when_every_event_is_in_it_is_sound(books: Books, ledger: Path) -> None:
    assert verify_file(ledger).faults == ()
    assert findings(books) == ()


def test_reports_when_every_event_is_booked_agree_with_each_other(books: Books, posted: list[EntryPosted]) -> None:
    report = reports(books)
    sheet = {row["account"]: row["amount"] for row in report["balance_sheet"]["totals"]}
    assert len(set(sheet.values())) == 1, sheet
    result = next(row["amount"] for row in report["income_statement"]["totals"] if "Result" in row["account"])
    assert result == next(
        r["amount"] for r in report["balance_sheet"]["rows"] if r["account"] == "Result of the period"
    )
    undone = {entry.reverses_seq for entry in posted if entry.reverses_seq}
    standing = [e for e in posted if e.seq not in undone and not e.reverses_seq]
    gain = sum(entry.gain_micros for entry in standing)
    lots = report["realized_gains"]["totals"]
    assert round(sum(float(row["gain"]) for row in lots) * DOLLAR) == gain
    assert len(report["trades"]["rows"]) >= len([e for e in standing if e.event_type in ("BUY", "SELL")])


def test_ofx_when_every_event_is_booked_has_no_fault_and_every_movement_of_cash(books: Books) -> None:
    document = generate_ofx(books, WHOLE)
    assert faults_of(document) == []
    assert generate_ofx(books, WHOLE) == document


def test_ofx_when_every_event_is_booked_is_read_alike_by_all_others(books: Books, tmp_path: Path) -> None:
    read_by_all(generate_ofx(books, WHOLE), tmp_path / "every.ofx")


def test_beancount_when_every_event_is_booked_finds_no_fault(books: Books, tmp_path: Path) -> None:
    file = tmp_path / "every.beancount"
    file.write_bytes(export_beancount(books, WHOLE))
    checked = subprocess.run([sys.executable, "-m", "beancount.scripts.check", file], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    entries, errors, _ = loader.load_file(str(file))
    assert errors == []
    assert Counter(type(entry).__name__ for entry in entries)["Transaction"] >= len(books.entries) - len(books.undone)


def test_hledger_when_every_event_is_booked_adds_up_and_has_every_entry(books: Books, tmp_path: Path) -> None:
    journal = export_hledger(books, WHOLE).decode()
    assert not any(sums_of(journal).values())
    assert hledger_says(journal, tmp_path / "every.journal") == 0
    assert len(re.findall(r"^2025-\d\d-\d\d", journal, re.MULTILINE)) == len(books.entries)

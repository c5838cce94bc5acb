"""Wash sales booked as versions of the tax view: the examples of IRS Publication 550, worked out anew when told to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ordering import COMMON, Deciding
from posted_books import Poster
from test_question_desk import ask

from bus.commands import Outcome
from bus.messages import BookWashSales
from config.identity import Identity
from services.ledger.book import Book
from services.ledger.commands import book_wash_sales
from services.ledger.events import Reversed
from services.ledger.question_desk import answer, wash_sales
from services.ledger.verify import verify_file


def order(year: int = 2025, rule: Any = "us-same-security-1") -> BookWashSales:
    return BookWashSales(**COMMON, year=year, rule=rule)


def book_year(book: Book, ledger: Path, identity: Identity, **fields: Any) -> str:
    command = order(**fields)
    found = wash_sales(ledger, identity, command)
    assert not isinstance(found, Outcome), found
    outcome = book_wash_sales(command, book, found)
    assert outcome.is_done
    return outcome.detail


def versions(book: Book) -> list[tuple[Any, ...]]:
    return book._db.execute(
        "SELECT rule_version, qty / 1000000000, disallowed / 1000000, basis_added / 1000000 FROM wash_adjustment "
        "ORDER BY id"
    ).fetchall()


def first_example(p: Poster) -> None:
    """Publication 550: 100 bought for 1,000, sold for 750, 100 bought for 800 within 30 days: 250 disallowed."""
    p.cash("DEPOSIT", "2025-01-02 15:00:00", 10_000)
    p.trade("BUY", "XYZ", "2025-02-03 15:00:00", 100, 10)
    p.trade("SELL", "XYZ", "2025-03-03 15:00:00", 100, 7.5)
    p.trade("BUY", "XYZ", "2025-03-20 15:00:00", 100, 8)


def test_the_first_example_when_booked_is_a_version_that_is_booked_once(
    book: Book, ledger: Path, identity: Identity
) -> None:
    first_example(Poster(book))
    assert book_year(book, ledger, identity) == "1 wash sales of 2025 are booked as us-same-security-1 2025 v1."
    assert versions(book) == [("us-same-security-1 2025 v1", 100, 250, 250)]
    assert "version 1 of 2025 stands" in book_year(book, ledger, identity)
    assert "version 0 of 2024 stands" in book_year(book, ledger, identity, year=2024)
    book.close()
    assert verify_file(ledger).faults == ()


def test_three_blocks_when_a_replacement_is_taken_back_have_a_new_version_beside_the_old(
    book: Book, ledger: Path, identity: Identity
) -> None:
    """Publication 550: blocks at 158, 100 and 95, 300 sold at 125, 250 bought: 3,300 of the first are disallowed."""
    p = Poster(book)
    p.cash("DEPOSIT", "2024-01-02 15:00:00", 200_000)
    for day, price in (("2024-09-20", 158), ("2024-10-20", 100), ("2024-10-25", 95)):
        p.trade("BUY", "XYZ", f"{day} 15:00:00", 100, price)
    p.trade("SELL", "XYZ", "2025-01-15 15:00:00", 300, 125)
    again = p.trade("BUY", "XYZ", "2025-01-20 15:00:00", 250, 125)
    book_year(book, ledger, identity)
    assert versions(book) == [("us-same-security-1 2025 v1", 100, 3300, 3300)]
    p.tell(Reversed, "2025-01-21 15:00:00", original=again, reason="booked in error")
    assert "0 wash sales of 2025 are booked as us-same-security-1 2025 v2" in book_year(book, ledger, identity)
    assert "version 2 of 2025 stands" in book_year(book, ledger, identity)
    p.trade("BUY", "XYZ", "2025-01-22 15:00:00", 40, 120)
    book_year(book, ledger, identity)
    assert versions(book)[1:] == [("us-same-security-1 2025 v3", 40, 1320, 1320)]
    book.close()
    assert verify_file(ledger).faults == ()


@pytest.mark.parametrize("rule", ["us-same-security-1", "us-with-calls-1"])
def test_a_year_when_ordered_from_the_service_is_booked_and_shown(
    start: Callable[..., Any], ledger: Path, rule: str
) -> None:
    journal = start()
    first_example(Poster(journal.assembly.shell._book))
    pending = journal.assembly.on_request(order(rule=rule), Deciding(journal))
    while (outcome := pending()) is None:
        pass
    assert outcome.is_done, outcome.detail
    body = answer(ledger, ask("wash_sales", text=rule)).body
    assert body.count(rule.encode()) == 1
    assert b"250000000" in body


def test_a_year_when_the_ledger_cannot_be_read_is_refused_in_words(tmp_path: Path, identity: Identity) -> None:
    found = wash_sales(tmp_path / "none.db", identity, order())
    assert isinstance(found, Outcome)
    assert "cannot be read" in found.detail

"""The pages of the books in a real Chromium, over a real ledger: what each role sees, does and may not."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "services" / "web"))

from books_bus import BooksBus, booked, deposit

from config.identity import Identity
from config.paths import HomePaths
from config.users import User

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
IDENTITY = Identity(
    entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)


@pytest.fixture
def books() -> Iterator[list[BooksBus]]:
    """Collect the ledgers that a test opened, and close them."""
    opened: list[BooksBus] = []
    yield opened
    for bus in opened:
        bus.close()


@pytest.fixture
def at(
    serve: Callable[..., Any], log_in_at: Callable[..., Page], password_hash: str, books: list[BooksBus]
) -> Callable[[str, str], Page]:
    """Log a user in at an interface with a booked ledger, and open a page."""

    def bus_of(paths: HomePaths) -> BooksBus:
        books.append(booked(paths, IDENTITY))
        return books[-1]

    users = (
        User(name="olga", password_hash=password_hash, role="operator"),
        User(name="vera", password_hash=password_hash, role="viewer"),
    )
    where = serve(users=users, bus_of=bus_of)

    def enter(name: str, path: str) -> Page:
        page = log_in_at(where, name)
        page.goto(f"{where.address}{path}")
        return page

    return enter


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("journal", "/journal"),
        ("entry", "/journal/3"),
        ("coa", "/coa"),
        ("coa-versions", "/coa/versions"),
        ("reconciliation", "/reconciliation"),
        ("reports", "/reports?kind=income_statement"),
        ("gains", "/reports?kind=gains"),
    ],
)
def test_page_is_accessible_and_fits_at_both_widths_and_in_both_colours(
    at: Callable[[str, str], Page], check_page: Callable[[Page, str], None], name: str, path: str
) -> None:
    page = at("olga", path)

    expect(page.get_by_role("navigation").get_by_role("link", name="Journal").first).to_be_attached()
    check_page(page, f"books-{name}")


def test_operator_follows_an_account_to_its_lines_and_takes_an_entry_back(at: Callable[[str, str], Page]) -> None:
    page = at("olga", "/coa")
    page.get_by_role("link", name="1010 Cash - float").click()
    expect(page.get_by_label("Account")).to_have_value("1010")
    page.get_by_role("link", name="3", exact=True).click()
    page.get_by_label("Reason").fill("booked twice by hand")
    page.get_by_label("Your password again").fill(PASSWORD)
    page.get_by_role("button", name="Take entry 3 back").click()

    expect(page.get_by_text("Taken back. Entry 4")).to_be_visible()
    page.get_by_role("link", name="entry 4").click()
    expect(page.get_by_text("This entry takes back entry 3.")).to_be_visible()


def test_operator_adds_an_account_and_sees_it_in_the_tree(at: Callable[[str, str], Page]) -> None:
    page = at("olga", "/coa")
    form = page.get_by_role("form", name="Change the chart")
    form.get_by_label("Code").fill("5950")
    form.get_by_label("Name").fill("Research <b>data</b>")
    form.get_by_label("Below").select_option("5000")
    form.get_by_label("Type").select_option("EXPENSE")
    form.get_by_label("Reason").fill("the auditor asked for it")
    form.get_by_label("Your password again").fill(PASSWORD)
    form.get_by_role("button", name="Change the chart").click()

    expect(page.get_by_role("link", name="5950 Research <b>data</b>")).to_be_visible()
    expect(page.get_by_text("Version 2. It is made here")).to_be_visible()


def test_viewer_reads_and_cannot_change(at: Callable[[str, str], Page]) -> None:
    page = at("vera", "/coa")
    expect(page.get_by_role("link", name="1010 Cash - float")).to_be_visible()
    expect(page.get_by_role("form", name="Change the chart")).to_have_count(0)
    page.goto(page.url.replace("/coa", "/journal/3"))
    expect(page.get_by_role("button", name="Take entry 3 back")).to_have_count(0)


def test_filter_survives_paging_and_the_empty_answer_says_so(
    at: Callable[[str, str], Page], books: list[BooksBus]
) -> None:
    page = at("vera", "/journal")
    for number in range(60):
        books[0].hear(deposit(f"M{number}", number + 1))
    page.get_by_label("Account").fill("1010")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    assert "account=1010" in page.url

    page.get_by_label("Words").fill("no such words")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("No line is like this.")).to_be_visible()

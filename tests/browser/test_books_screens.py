"""The screens of the books on the real ledger: happy path, the role that may not, empty, and a ledger that is away."""

from collections.abc import Callable
from typing import Any

import pytest
from canaries import PASSWORD
from playwright.sync_api import Page, expect
from real_books import RealBooks

from config.users import User

pytestmark = pytest.mark.browser
SCREENS = {
    "journal": "/books/journal",
    "accounts": "/books/accounts",
    "versions": "/books/accounts/versions",
    "reconciliation": "/books/reconciliation",
    "reports": "/books/reports",
}


@pytest.fixture
def people(password_hash: str) -> tuple[User, ...]:
    return (
        User(name="olga", password_hash=password_hash, role="operator"),
        User(name="vera", password_hash=password_hash, role="viewer"),
    )


def test_books_when_looked_at_then_every_screen_is_accessible_and_offers_a_viewer_nothing_to_change(
    serve: Callable[..., Any],
    log_in_at: Callable[[Any, str], Page],
    people: tuple[User, ...],
    check_page: Callable[[Page, str], None],
) -> None:
    served = serve(users=people, bus_of=RealBooks)
    page = log_in_at(served, "vera")
    for name, path in SCREENS.items():
        page.goto(f"{served.address}{path}")
        expect(page.locator("main table").first).to_be_visible()
        assert page.locator("main form[method=post]").count() == 0
        check_page(page, f"books-{name}")
    page.goto(f"{served.address}/books/entry?seq=2")
    expect(page.locator("#lines tbody tr").first).to_be_visible()
    check_page(page, "books-entry")


def test_reconciliation_when_an_operator_tells_a_dividend_then_its_forms_are_accessible_and_it_is_told(
    serve: Callable[..., Any],
    log_in_at: Callable[[Any, str], Page],
    people: tuple[User, ...],
    check_page: Callable[[Page, str], None],
) -> None:
    served = serve(users=people, bus_of=RealBooks)
    page = log_in_at(served, "olga")
    page.goto(f"{served.address}/books/reconciliation")
    check_page(page, "books-reconciliation-operator")
    page.get_by_label("What happened").select_option("DIVIDEND")
    page.get_by_label("Symbol").fill("SPY")
    page.get_by_label("Dollars, or contracts").fill("12.34")
    page.locator("#reason-told").fill("statement of March")
    page.locator("#password-told").fill(PASSWORD)
    page.get_by_role("button", name="Tell it").click()
    expect(page.get_by_text("Execution answers")).to_be_visible()


def test_chart_when_an_operator_changes_it_then_the_tree_and_the_versions_have_it(
    serve: Callable[..., Any],
    log_in_at: Callable[[Any, str], Page],
    people: tuple[User, ...],
    check_page: Callable[[Page, str], None],
) -> None:
    served = serve(users=people, bus_of=RealBooks)
    page = log_in_at(served, "olga")
    page.goto(f"{served.address}/books/accounts")
    form = page.get_by_role("form", name="Add an account")
    form.get_by_label("Code").fill("5999")
    form.get_by_label("Name").fill("Coffee")
    form.get_by_label("Type").select_option("EXPENSE")
    form.get_by_label("Below").select_option("5000")
    form.get_by_label("Reason").fill("needed")
    form.get_by_label("Your password again").fill(PASSWORD)
    form.get_by_role("button").click()
    expect(page.locator("#accounts")).to_contain_text("Coffee")
    page.locator("summary", has_text="Rename").click()
    rename = page.get_by_role("form", name="Rename")
    rename.get_by_label("New name").fill("Tea")
    rename.get_by_label("Reason").fill("healthier")
    rename.get_by_role("button").click()
    expect(page.locator("#accounts")).to_contain_text("Tea")
    check_page(page, "books-accounts-operator")
    page.get_by_role("link", name="Versions").click()
    expect(page.locator("#changes")).to_contain_text("Coffee")
    expect(page.locator("#versions tbody tr")).to_have_count(3)


def test_journal_when_filtered_then_the_address_keeps_it_and_an_entry_is_taken_back(
    serve: Callable[..., Any], log_in_at: Callable[[Any, str], Page], people: tuple[User, ...]
) -> None:
    served = serve(users=people, bus_of=RealBooks)
    page = log_in_at(served, "olga")
    page.goto(f"{served.address}/books/journal")
    page.get_by_label("Text", exact=True).fill("interest")
    page.get_by_role("button", name="Show").click()
    assert "text=interest" in page.url
    page.locator("#journal a").last.click()
    page.get_by_label("Reason").fill("booked twice")
    page.get_by_label("Your password again").fill(PASSWORD)
    page.get_by_role("button", name="back").click()
    expect(page.get_by_text("The ledger answers: Entry")).to_be_visible()
    expect(page.locator("main")).to_contain_text("taken back by entry")


def test_books_when_empty_then_each_screen_says_what_will_be_there(
    serve: Callable[..., Any], log_in_at: Callable[[Any, str], Page], people: tuple[User, ...]
) -> None:
    served = serve(users=people, bus_of=lambda paths, identity: RealBooks(paths, identity, is_empty=True))
    page = log_in_at(served, "vera")
    for path, words in (
        ("journal", "The books are empty"),
        ("reconciliation", "Nothing was compared yet"),
        ("reports", "Nothing is booked in these days"),
    ):
        page.goto(f"{served.address}/books/{path}")
        expect(page.get_by_text(words)).to_be_visible()


def test_books_when_the_ledger_is_away_then_say_so(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None], expected_faults: list[str]
) -> None:
    # Without a bus nobody answers; the browser notes the status of such an answer in its console.
    expected_faults.append("status of 503")
    page = log_in("vera")
    page.goto(f"{site.address}/books/journal")
    expect(page.get_by_role("alert").first).to_contain_text("The ledger does not answer")
    check_page(page, "books-away")

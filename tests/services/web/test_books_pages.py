"""The pages of the books, on the real ledger: what they show, what they change, and what they say when it is away."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from real_books import RealBooks

from bus import messages as m
from config.paths import HomePaths
from config.vault import Vault
from services.web import books
from services.web.app import create_app
from services.web.audit_log import AuditFilter
from services.web.hub import StatusHub
from services.web.site import Site

PAGES = ("/books/journal", "/books/accounts", "/books/accounts/versions", "/books/reconciliation", "/books/reports")


@pytest.fixture
def ledger(configured: HomePaths) -> RealBooks:
    return RealBooks(configured, Vault(configured).open().identity)


@pytest.fixture
def site_with_books(configured: HomePaths, ledger: RealBooks) -> Flask:
    return create_app(configured, StatusHub(), bus=ledger)


@pytest.fixture
def enter(site_with_books: Flask, new_person: Callable[..., Any]) -> Callable[[str], Any]:
    def person(name: str) -> Any:
        made = new_person(site_with_books)
        assert made.log_in(name).status_code == 303
        return made

    return person


def actions(app: Flask) -> list[str]:
    site: Site = app.extensions["tradebot"]
    return [row.action for row in site.audit.log.rows(AuditFilter())]


def test_journal_when_shown_then_has_debit_credit_and_balance_of_each_line(enter: Callable[[str], Any]) -> None:
    vera = enter("vera")
    page = vera.get("/books/journal?account=1010&from=2025-02-27&to=2025-02-27").text
    assert "200,000.00" in page
    assert "Page 1 of" in vera.get("/books/journal").text
    assert "No line fits this filter" in vera.get("/books/journal?symbol=NONE").text


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("from=yesterday", 409, "is no day"),
        ("min=much", 400, "is no amount in dollars"),
        ("min=nan", 400, "is no amount"),
        ("page=9999999", 200, "Journal"),
        ("text=<script>", 200, "Journal"),
    ],
)
def test_journal_when_the_filter_is_odd_then_says_what_is_wrong(
    query: str, code: int, words: str, enter: Callable[[str], Any]
) -> None:
    answer = enter("vera").get(f"/books/journal?{query}")
    assert answer.status_code == code
    assert words in answer.text
    assert "<script>" not in answer.text.partition("<main")[2]


def test_export_when_taken_then_has_every_line_of_the_filter(
    enter: Callable[[str], Any], site_with_books: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    vera = enter("vera")
    rows = list(csv.DictReader(io.StringIO(vera.get("/books/journal.csv?symbol=AAPL").text)))
    assert {row["symbol"] for row in rows} == {"AAPL"}
    by_unit = [row for row in rows if row["commodity"] == "USD"]
    assert sum(round(float(row["amount"]) * 100) for row in by_unit) == 0, "debits and credits are equal"
    assert "exported" in actions(site_with_books)
    monkeypatch.setattr(books, "EXPORT_PAGES_MAX", 0)
    assert vera.get("/books/journal.csv").status_code == 303


def test_entry_when_taken_back_then_a_further_one_stands_and_both_say_so(
    enter: Callable[[str], Any], site_with_books: Flask, ledger: RealBooks
) -> None:
    olga, vera = enter("olga"), enter("vera")
    address = "/books/entry?seq=1"
    assert "Take it back" not in vera.get(address).text
    wrong = olga.post("/books/entry", {"seq": "1", "reason": "typed twice", "password": "no"}, form_on=address)
    assert wrong.status_code == 401
    fields = {"seq": "1", "reason": "typed twice", "password": olga.password}
    refused = olga.post("/books/entry", fields, form_on=address)
    later = olga.post("/books/entry", {**fields, "seq": "9999"}, form_on=address)
    assert "there is no entry 9999" in later.text
    assert refused.status_code in {303, 409}, refused.text
    newest = next(row for row in ledger._poster.posted[::-1] if row.event_type == "INTEREST")
    done = olga.post("/books/entry", {**fields, "seq": str(newest.seq)}, form_on=address)
    assert done.status_code == 303, done.text
    assert f"entry {newest.seq}" in olga.get("/books/journal").text or "takes back" in olga.get("/books/journal").text
    assert "taken back" in olga.get(f"/books/entry?seq={newest.seq}").text
    assert "entry_reversed" in actions(site_with_books)


def test_chart_when_changed_then_the_next_version_has_it_and_the_diff_says_what(
    enter: Callable[[str], Any], site_with_books: Flask
) -> None:
    olga = enter("olga")
    fields = {
        "action": "add", "code": "5999", "name": "Coffee", "parent": "5000", "account_type": "EXPENSE",
        "coa_version": "1", "reason": "needed", "password": olga.password,
    }  # fmt: skip
    assert olga.post("/books/accounts", fields).status_code == 303
    page = olga.get("/books/accounts").text
    assert "Coffee" in page
    assert "Version 2" in page
    old = olga.post("/books/accounts", {**fields, "code": "5998"})
    assert old.status_code == 409
    assert "is at version 2 by now" in old.text
    assert "5999" in olga.get("/books/accounts/versions").text
    assert "coa_changed" in actions(site_with_books)


def test_chart_when_an_account_has_postings_then_the_refusal_names_what_blocks(enter: Callable[[str], Any]) -> None:
    olga = enter("olga")
    fields = {
        "action": "deactivate", "code": "1010", "account_type": "ASSET", "coa_version": "1", "reason": "tidy",
        "password": olga.password,
    }  # fmt: skip
    answer = olga.post("/books/accounts", fields)
    assert answer.status_code == 409
    assert "ledger refuses:" in answer.text
    assert "1010" in answer.text


@pytest.mark.parametrize(
    "change",
    [
        {"action": "delete"},
        {"code": ""},
        {"coa_version": "x"},
        {"action": "add", "account_type": "GOLD"},
        {"reason": ""},
    ],
)
def test_chart_when_the_form_is_odd_then_nothing_is_ordered(
    change: dict[str, str], enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    olga = enter("olga")
    fields = {
        "action": "rename", "code": "1010", "name": "x", "account_type": "ASSET", "coa_version": "1", "reason": "r",
        "password": olga.password,
    }  # fmt: skip
    assert olga.post("/books/accounts", {**fields, **change}).status_code == 400
    assert not any(isinstance(one, m.ChangeCoa) for one in ledger.heard)


def test_chart_when_an_account_of_units_is_renamed_then_its_type_is_not_asked(enter: Callable[[str], Any]) -> None:
    olga = enter("olga")
    fields = {"action": "rename", "code": "9110", "name": "Memo", "coa_version": "1", "reason": "short"}
    assert olga.post("/books/accounts", {**fields, "password": olga.password}).status_code == 303
    assert "Memo" in olga.get("/books/accounts").text


@pytest.mark.parametrize(("kind", "words"), [("md", "| Code | Account |"), ("csv", "code,account,type")])
def test_chart_when_exported_then_is_sent_and_lies_in_the_output(
    kind: str, words: str, enter: Callable[[str], Any], configured: HomePaths
) -> None:
    answer = enter("olga").post("/books/accounts/export", {"format": kind}, form_on="/books/accounts")
    assert words in answer.text
    path = configured.output / "TBOT_USA_main_PAPER_BOT01" / "ledgers" / f"coa_v1.{kind}"
    assert path.read_bytes().decode() == answer.text


def test_reconciliation_when_something_differs_then_says_how_much_and_an_operator_compares_again(
    enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    olga, vera = enter("olga"), enter("vera")
    page = vera.get("/books/reconciliation").text
    assert "differs" in page
    assert "Compare now" not in page
    assert olga.post("/books/reconciliation", {"reason": ""}).status_code == 400
    assert olga.post("/books/reconciliation", {"reason": "after a break"}).status_code == 303
    assert isinstance(ledger.heard[-1], m.ReconcileNow)
    assert "the broker is asked" in olga.get("/books/reconciliation").text


@pytest.mark.parametrize("amount", ["", "x", "0", "nan", "1e400", "0.0000001"])
def test_suspense_when_the_amount_is_none_then_nothing_is_ordered(
    amount: str, enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    olga = enter("olga")
    fields = {"amount": amount, "account": "4900", "reason": "r", "password": olga.password}
    answer = olga.post("/books/reconciliation/suspense", fields, form_on="/books/reconciliation")
    assert answer.status_code == 400
    assert not any(isinstance(one, m.ExplainSuspense) for one in ledger.heard)


ACTIVITIES = "/books/reconciliation/activity"


def test_activity_when_an_operator_tells_it_then_execution_is_ordered_with_what_was_typed(
    enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    olga = enter("olga")
    common = {"reason": "statement of March", "password": olga.password}
    money = {"kind": "DIVIDEND", "symbol": "spy", "amount": "12.34", "day": "2025-03-12"}
    assert olga.post(ACTIVITIES, money | common, form_on="/books/reconciliation").status_code == 303
    told = ledger.heard[-1]
    assert isinstance(told, m.TellActivity)
    assert (told.kind, told.symbol, told.amount_micros, told.day) == ("DIVIDEND", "SPY", 12_340_000, "2025-03-12")
    contracts = {"kind": "EXPIRY", "symbol": "SPY250321P00500000", "amount": "2"}
    olga.post(ACTIVITIES, contracts | common, form_on="/books/reconciliation")
    assert (ledger.heard[-1].qty_nanos, ledger.heard[-1].amount_micros) == (2 * m.NANOS, 0)
    split = {"kind": "SPLIT", "symbol": "SPY", "new": "4", "old": "1"}
    olga.post(ACTIVITIES, split | common, form_on="/books/reconciliation")
    assert (ledger.heard[-1].numerator, ledger.heard[-1].denominator) == (4, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "GIFT"},
        {"kind": "FEE", "amount": "-1"},
        {"kind": "FEE", "amount": "x"},
        {"kind": "SPLIT", "new": "1.5", "old": "1"},
        {"kind": "SPLIT", "new": "0", "old": "1"},
        {"kind": "FEE", "amount": "1", "password": "wrong"},
    ],
)
def test_activity_when_it_makes_no_sense_or_the_password_is_wrong_then_nothing_is_ordered(
    fields: dict[str, str], enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    olga = enter("olga")
    typed = {"reason": "r", "password": olga.password} | fields
    answer = olga.post(ACTIVITIES, typed, form_on="/books/reconciliation")
    assert answer.status_code in {400, 401, 403}
    assert not any(isinstance(one, m.TellActivity) for one in ledger.heard)


@pytest.mark.parametrize(
    "report", ["trial_balance", "income_statement", "balance_sheet", "gains", "trades", "audit", "nonsense"]
)
def test_report_when_shown_and_exported_then_both_have_the_same_rows(
    report: str, enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    vera = enter("vera")
    assert vera.get(f"/books/reports?report={report}").status_code == 200
    text = vera.get(f"/books/reports.csv?report={report}").text
    answer = next(one for one in ledger.heard[::-1] if isinstance(one, m.AskLedger))
    assert answer.kind == ("trial_balance" if report == "nonsense" else report)
    assert len(list(csv.reader(io.StringIO(text)))) > 1


@pytest.mark.parametrize("path", PAGES)
def test_pages_when_the_ledger_is_away_then_say_so_and_do_not_break(
    path: str, enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    ledger.is_up = False
    answer = enter("olga").get(path)
    assert answer.status_code == 503
    assert "The ledger does not answer: is it up?" in answer.text


def test_cells_when_shown_then_money_is_grouped_and_formulas_are_harmless() -> None:
    assert books.cell_text("amount", -1_234_567_500_000) == "-1,234,567.50"
    assert books.cell_text("entry", 12) == "12"
    assert books.cell_text("is_ok", cell=False) == "no"
    assert books.harmless("=1+1") == "'=1+1"
    assert books.harmless("-10.5") == "-10.5"
    assert books.harmless("-x") == "'-x"


def test_trades_when_the_books_have_sales_then_they_are_counted_by_each_grouping(enter: Callable[[str], Any]) -> None:
    vera = enter("vera")
    by_day = vera.get("/trades?by=day").text
    assert "In the books by day" in by_day
    assert "2025-03-05" in by_day
    assert "2025-03</td>" in vera.get("/trades?by=month").text
    assert "No sale is booked in these days" in vera.get("/trades?from=2030-01-01").text
    assert "No sale is booked in these days" in vera.get("/trades?strategy=mid").text
    assert "is no day" in vera.get("/trades?from=never").text


def test_trades_when_only_a_part_is_fetched_again_then_the_books_are_not_asked(
    enter: Callable[[str], Any], ledger: RealBooks
) -> None:
    vera = enter("vera")
    before = len(ledger.heard)
    answer = vera.client.get("/trades", headers={"Accept": "text/html", "X-TradeBot-Part": "trades-live"})
    assert answer.status_code == 200
    assert len(ledger.heard) == before

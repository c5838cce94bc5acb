"""The pages of the books over a real ledger: journal, entries, chart, reconciliation, reports; roles, and no answer."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from books_bus import BooksBus, booked, deposit
from flask import Flask
from markupsafe import escape

from bus.messages import ChangeCoa, ExplainSuspense, ReconcileNow, ReverseEntry
from config.identity import Identity
from config.paths import HomePaths
from services.web.app import create_app
from services.web.audit_log import AuditFilter
from services.web.hub import StatusHub

IDENTITY = Identity(
    entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)
PASSWORD = "correct horse battery"
REASONED = {"reason": "as the auditor asked", "password": PASSWORD}


@pytest.fixture
def bus(configured: HomePaths) -> Iterator[BooksBus]:
    made = booked(configured, IDENTITY)
    yield made
    made.close()


@pytest.fixture
def app(configured: HomePaths, bus: Any) -> Flask:
    return create_app(configured, StatusHub(), bus=bus)


def test_journal_shows_every_line_with_balance_and_escapes_what_is_booked(person_of: Callable[[str], Any]) -> None:
    page = person_of("vera").get("/journal")

    assert page.status_code == 200
    assert "10,000.00" in page.text
    assert "<script>alert" not in page.text
    assert page.text.count('<td data-label="Entry"') >= 6


def test_journal_when_filtered_keeps_the_filter_in_the_address_and_the_export(person_of: Callable[[str], Any]) -> None:
    vera = person_of("vera")

    page = vera.get("/journal?account=1010&amount_min=9999.99&symbol=&first_day=2025-03-01&last_day=2025-03-31")
    assert page.text.count('<td data-label="Entry"') == 1
    address = "/journal/csv?first_day=2025-03-01&amp;last_day=2025-03-31&amp;account=1010&amp;amount_min=9999.99"
    assert address in page.text
    rows = list(csv.reader(io.StringIO(vera.get(address.replace("&amp;", "&")).text)))
    assert rows[0][:3] == ["entry", "time_utc", "description"]
    assert rows[1][6:8] == ["10000.00", "10000.00"]
    assert rows[-1] == ["1 lines"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("amount_min=lots", "is not an amount"),
        ("amount_max=NaN", "is not an amount"),
        ("first_day=yesterday", "yesterday"),
        ("first_day=2025-04-01&last_day=2025-03-01", "after the last day"),
    ],
)
def test_journal_when_the_filter_makes_no_sense_says_so(
    person_of: Callable[[str], Any], query: str, words: str
) -> None:
    page = person_of("vera").get(f"/journal?{query}")

    assert page.status_code in (422, 503)
    assert str(escape(words)) in page.text


def test_entry_when_opened_shows_lines_lots_and_what_the_broker_told(person_of: Callable[[str], Any]) -> None:
    page = person_of("vera").get("/journal/3")

    assert page.status_code == 200
    for words in ("Lot close 1", "Trade detail 1", "tb1-E2", "The role operator may take entries back"):
        assert words in page.text, words
    assert person_of("vera").get("/journal/999").status_code == 404


def test_entry_when_taken_back_is_booked_as_another_one_and_shown_so(
    person_of: Callable[[str], Any], bus: BooksBus
) -> None:
    olga = person_of("olga")

    done = olga.post("/journal/3/reverse", REASONED, form_on="/journal/3")

    assert done.status_code == 303
    assert [type(order) for order in bus.ordered] == [ReverseEntry]
    page = olga.get("/journal/3")
    assert "taken back" in page.text
    assert "/journal/4" in page.text
    again = olga.post("/journal/3/reverse", REASONED, form_on="/journal")
    assert again.status_code == 409
    assert "Nothing was changed" in again.text


@pytest.mark.parametrize(
    ("data", "code"), [({"password": PASSWORD}, 400), ({"reason": "x", "password": "wrong one entirely"}, 401)]
)
def test_entry_is_not_taken_back_without_reason_or_password(
    person_of: Callable[[str], Any], bus: BooksBus, data: dict[str, str], code: int
) -> None:
    assert person_of("olga").post("/journal/3/reverse", data, form_on="/journal/3").status_code == code
    assert bus.ordered == []


def test_chart_when_shown_is_the_tree_with_balances(person_of: Callable[[str], Any]) -> None:
    page = person_of("vera").get("/coa")

    assert "Version 1." in page.text
    assert 'id="account-1010"' in page.text
    assert "10,015.00" in page.text
    assert "Change the chart" not in page.text


def test_chart_when_changed_is_the_next_version_with_its_difference(
    person_of: Callable[[str], Any], bus: BooksBus, configured: HomePaths
) -> None:
    olga = person_of("olga")
    change = {"coa_version": "1", "action": "add", "code": "5950", "name": "Research | data", "parent": "5000",
              "account_type": "EXPENSE"}  # fmt: skip

    assert olga.post("/coa", {**change, **REASONED}).status_code == 303
    assert [type(order) for order in bus.ordered] == [ChangeCoa]
    assert "Research | data" in olga.get("/coa").text
    versions = olga.get("/coa/versions").text
    assert "from version 1 to version 2" in versions
    assert "as the auditor asked" in versions

    stale = olga.post("/coa", {**change, "code": "5951", **REASONED})
    assert stale.status_code == 409
    assert "look again" in stale.text
    assert 'value="5951"' in stale.text

    assert olga.post("/coa/export", form_on="/coa").status_code == 303
    folder = configured.output / IDENTITY.bot_identity / "ledgers"
    assert sorted(path.name for path in folder.iterdir()) == ["chart_of_accounts_v2.csv", "chart_of_accounts_v2.md"]
    assert "Research \\| data" in (folder / "chart_of_accounts_v2.md").read_text()
    rows = list(csv.DictReader(io.StringIO(olga.get("/coa/download/csv").text)))
    assert next(row for row in rows if row["code"] == "5950")["name"] == "Research | data"
    assert olga.get("/coa/download/exe").status_code == 404


def test_account_with_postings_does_not_go_away(person_of: Callable[[str], Any]) -> None:
    closed = person_of("olga").post("/coa", {"coa_version": "1", "action": "deactivate", "code": "1010", **REASONED})

    assert closed.status_code == 409
    assert "Nothing was changed" in closed.text


def test_reconciliation_shows_a_difference_and_suspense_and_books_what_it_was(
    person_of: Callable[[str], Any], bus: BooksBus
) -> None:
    olga = person_of("olga")
    empty = olga.get("/reconciliation").text
    assert "Nothing was compared yet" in empty
    assert "Say what stands in suspense" not in empty

    asked = olga.post("/reconciliation/compare", {"reason": "month end"}, form_on="/reconciliation")
    assert asked.status_code == 303
    assert [type(order) for order in bus.ordered] == [ReconcileNow]

    refused = olga.post(
        "/reconciliation/explain", {"amount": "1.0000001", "account": "4120", **REASONED}, form_on="/reconciliation"
    )
    assert refused.status_code == 400
    none_there = olga.post(
        "/reconciliation/explain", {"amount": "5.00", "account": "4120", **REASONED}, form_on="/reconciliation"
    )
    assert [type(order) for order in bus.ordered][-1] is ExplainSuspense
    assert none_there.status_code in (303, 409)


@pytest.mark.parametrize("kind", ["income_statement", "balance_sheet", "trial_balance", "gains", "trades"])
def test_report_when_shown_has_its_sums_and_its_export_has_the_same_rows(
    person_of: Callable[[str], Any], kind: str
) -> None:
    vera = person_of("vera")

    page = vera.get(f"/reports?kind={kind}&first_day=2025-03-01&last_day=2025-03-31")
    rows = list(csv.reader(io.StringIO(vera.get(f"/reports/csv?kind={kind}&first_day=2025-03-01").text)))

    assert page.status_code == 200
    assert '<tr class="total">' in page.text
    assert len(rows) > 2
    assert "15.00" in page.text


def test_report_of_days_that_are_none_is_refused(person_of: Callable[[str], Any]) -> None:
    vera = person_of("vera")

    for query in (
        "first_day=2025-3-1",
        "first_day=2025-02-30",
        "last_day=--to",
        "first_day=2025-04-01&last_day=2025-03-01",
    ):
        assert vera.get(f"/reports?{query}").status_code == 422, query


def test_file_for_other_programs_is_written_by_the_ledger_and_downloaded(
    person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    vera = person_of("vera")

    done = vera.post("/reports/file/ofx", {"first_day": "2025-03-01", "last_day": "2025-03-31"}, form_on="/reports")

    assert done.status_code == 200
    assert b"<OFX>" in done.data
    assert "attachment" in done.headers["Content-Disposition"]
    assert len(list((configured.output / IDENTITY.bot_identity / "ledgers").glob("ledger_ofx_*.ofx"))) == 1
    assert vera.post("/reports/file/exe", form_on="/reports").status_code == 404


PAGES = ("/journal", "/journal/1", "/coa", "/coa/versions", "/reconciliation", "/reports")


@pytest.mark.parametrize("path", PAGES)
def test_page_when_the_ledger_does_not_answer_says_so(
    person_of: Callable[[str], Any], bus: BooksBus, path: str
) -> None:
    bus.is_deaf = True

    page = person_of("olga").get(path)

    assert page.status_code in (404, 503)
    assert "The ledger does not answer" in page.text


@pytest.mark.parametrize("path", ["/coa", "/journal/3/reverse", "/reconciliation/compare", "/reconciliation/explain"])
def test_viewer_may_not_change_the_books(person_of: Callable[[str], Any], bus: BooksBus, path: str) -> None:
    refused = person_of("vera").post(path, REASONED, form_on="/reports")

    assert refused.status_code == 403
    assert bus.ordered == []


def test_every_order_is_in_the_audit_log(person_of: Callable[[str], Any], app: Flask, bus: BooksBus) -> None:
    bus.hear(deposit("D2", 5))
    person_of("olga").post("/journal/4/reverse", REASONED, form_on="/journal/4")

    rows = app.extensions["tradebot"].audit.log.rows(AuditFilter(action="ordered_ReverseEntry"))

    assert [row.actor for row in rows] == ["olga"]
    assert "as the auditor asked: Entry 5" in rows[0].after

"""Reports of a period: figures a person can check by hand, as JSON and as a page."""

import re
from datetime import date
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from made_books import DOLLAR, MARCH, Maker, at, month

from services.ledger.findings import FINDINGS_MAX, findings
from services.ledger.reading import Books, Line, Period
from services.ledger.report_page import page
from services.ledger.report_tables import REPORTS
from services.ledger.reports import as_json, make_reports

ALL = Period(first=None, last=date(2025, 3, 31))


def reports(books: Books, period: Period = MARCH, rule: Any = "us-same-security-1") -> dict[str, Any]:
    tables = make_reports(books, period, rule, tuple(REPORTS))
    value = msgspec.json.decode(as_json(books, period, tables, findings(books)))
    assert value["is_sound"]
    return value["reports"]


def column(report: Any, key: str, value: str, part: str = "rows") -> dict[str, str]:
    """Key of each row -> the figure of one column."""
    return {row[key]: row[value] for row in report[part]}


def test_income_statement_when_a_month_is_asked_for_then_gains_income_and_costs() -> None:
    report = reports(month().books())["income_statement"]
    assert column(report, "code", "amount") == {
        "4010": "124.82", "4030": "-240.00", "4110": "3.12", "4120": "1.07",
        "5010": "2.40", "5020": "0.37", "5060": "0.50", "5120": "20.00",
    }  # fmt: skip
    assert column(report, "account", "amount", "totals") == {
        "Total income": "-110.99", "Total expenses": "23.27", "Result of the period": "-134.26",
    }  # fmt: skip


def test_balance_sheet_when_a_month_ends_then_both_sides_are_equal() -> None:
    report = reports(month().books())["balance_sheet"]
    assert column(report, "account", "amount")["Cash - float (settled, operating)"] == "97185.4666"
    assert column(report, "account", "amount")["Result of the period"] == "-134.26"
    assert set(column(report, "section", "amount", "totals").values()) == {"98865.74"}


def test_balance_sheet_when_the_period_begins_later_then_the_result_before_is_apart() -> None:
    late = Period(first=date(2025, 3, 10), last=date(2025, 3, 31))
    figures = column(reports(month().books(), late)["balance_sheet"], "account", "amount")
    # 79.88 and 85.00 of gains, less 2.40 of commissions and 0.12 of fees.
    assert figures["Result before the period"] == "162.36"
    assert figures["Result of the period"] == "-296.62"


def test_trial_balance_when_a_month_is_asked_for_then_what_was_and_what_moved_give_what_is() -> None:
    report = reports(month().books())["trial_balance"]
    cash = next(row for row in report["rows"] if row["code"] == "1010")
    assert (cash["opening"], cash["closing_debit"], cash["closing_credit"]) == ("100000.00", "97185.4666", None)
    (total,) = report["totals"]
    assert total["opening"] == "0.00"
    assert total["debits"] == total["credits"] == "9667.1434"
    assert total["closing_debit"] == total["closing_credit"] == "100129.01"


def test_units_when_a_month_is_asked_for_then_in_and_out() -> None:
    rows = {row["symbol"]: row for row in reports(month().books())["units"]["rows"]}
    assert rows["AAPL"] == {"symbol": "AAPL", "opening": "0", "received": "16", "given": "7.5", "closing": "8.5"}
    assert rows["USD"]["closing"] == "0"


def test_gains_when_lots_were_sold_then_splits_and_reversals_are_not_among_them() -> None:
    report = reports(month().books())["realized_gains"]
    assert [(row["entry"], row["symbol"], row["gain"]) for row in report["rows"]] == [
        ("5", "AAPL", "79.88"), ("6", "AAPL250620C00200000", "85.00"), ("14", "MSFT", "20.00"),
        ("18", "AAPL250620C00200000", "-325.00"), ("20", "AAPL", "24.94"),
    ]  # fmt: skip
    short = report["rows"][2]
    assert (short["proceeds"], short["cost"]) == ("2000.00", "1980.00")
    assert column(report, "term", "gain", "totals") == {"ST": "-115.18", "LT": "0.00"}


def test_tax_lots_when_a_loss_is_washed_then_code_adjustment_and_the_lot_it_goes_to() -> None:
    made = Maker()
    made.buy("X", "2024-01-10 15:00:00", 100, 1000)
    made.sell("X", "2024-12-20 15:00:00", 100, 750, commission=1)
    made.buy("X", "2025-01-06 15:00:00", 60, 480)
    year = Period(first=date(2024, 1, 1), last=date(2024, 12, 31))
    found = reports(made.books(), year)
    (row,) = found["tax_lots"]["rows"]
    assert row == {
        "part": "I", "description": "100 X", "acquired": "2024-01-10", "sold": "2024-12-20", "proceeds": "749.00",
        "basis": "1000.00", "code": "W", "adjustment": "150.60", "gain": "-100.40",
    }  # fmt: skip
    (wash,) = found["wash_sales"]["rows"]
    assert (wash["purchase_entry"], wash["replacement"], wash["disallowed"]) == ("3", "60 X", "150.60")
    assert wash["days_added"] == "345"
    assert "Rule us-same-security-1" in found["tax_lots"]["note"]
    (plain,) = reports(made.books(), year, "none")["tax_lots"]["rows"]
    assert (plain["code"], plain["gain"]) == ("", "-251.00")


def test_trades_when_listed_then_price_costs_and_cash_of_each() -> None:
    report = reports(month().books())["trades"]
    option = report["rows"][2]
    assert (option["side"], option["quantity"], option["price"], option["gross"]) == ("BUY", "2", "3.25", "-650.00")
    assert (option["commission"], option["fees"], option["cash"]) == ("1.30", "0.04", "-651.34")
    assert report["totals"][0]["symbol"] == "10 trades"


def test_reports_when_the_ledger_is_empty_then_totals_are_zero_and_the_page_says_none() -> None:
    books = Maker().books()
    assert reports(books)["trades"]["totals"][0]["cash"] == "0.00"
    tables = make_reports(books, MARCH, "none", ["trades", "units"])
    assert [table.key for table in tables] == ["units", "trades"]
    assert page(books, MARCH, tables, ()).count(b"None in this period.") == 2


class Reader(HTMLParser):
    """Checks that every element is closed where it must be, and keeps names, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_page_when_read_then_it_is_whole_escaped_and_needs_nothing_else() -> None:
    made = month()
    hostile = '<script>alert("x")</script><img src=http://example.com/x>'
    made.entries[1] = msgspec.structs.replace(made.entries[1], description=hostile)
    books = made.books()
    data = page(books, MARCH, make_reports(books, MARCH, "us-same-security-1", tuple(REPORTS)), ("<i>finding</i>",))
    reader = Reader()
    reader.feed(data.decode())
    assert reader.open == []
    tags = {tag for tag, _ in reader.seen}
    assert not tags & {"script", "img", "link", "iframe", "i"}
    assert not [attrs for _, attrs in reader.seen if {"src", "onload", "style"} & attrs.keys()]
    assert all(attrs["href"].startswith("#") for tag, attrs in reader.seen if tag == "a")
    text = "".join(reader.text)
    assert hostile in text
    assert "<i>finding</i>" in text
    assert "97,185.4666" in text
    assert not re.search(r"url\(|@import|https?://", data.decode().replace("http://example.com/x", ""))
    ids = [attrs["id"] for _, attrs in reader.seen if "id" in attrs]
    assert len(ids) == len(set(ids)) == len(REPORTS)


def damaged(books: Books, seq: int, number: int, change: int) -> Books:
    """The same books with one line changed."""
    entry = books.entries[seq - 1]
    line = entry.lines[number]
    lines = list(entry.lines)
    lines[number] = Line(account=line.account, commodity=line.commodity, amount=line.amount + change)
    entries = list(books.entries)
    entries[seq - 1] = msgspec.structs.replace(entry, lines=tuple(lines))
    return Books(
        identity=books.identity,
        is_named=True,
        accounts=books.accounts,
        commodities=books.commodities,
        entries=tuple(entries),
    )


def test_findings_when_books_are_sound_then_none() -> None:
    assert findings(month().books()) == ()


@pytest.mark.parametrize(
    ("seq", "number", "words"),
    [
        (1, 0, ("Entry 1 does not balance", "Assets differ")),
        (2, 0, ("Entry 2 does not balance", "Account 1210 holds")),
        (5, 4, ("Entry 5 books a gain of", "Entry 5 does not balance")),
        (2, 3, ("AAPL: ", "Entry 2 does not balance")),
    ],
)
def test_findings_when_a_line_was_changed_then_they_name_it(seq: int, number: int, words: tuple[str, ...]) -> None:
    found = findings(damaged(month().books(), seq, number, 10_000))
    for word in words:
        assert any(finding.startswith(word) for finding in found), found


def test_findings_when_two_changes_cancel_out_then_they_are_still_seen() -> None:
    books = damaged(damaged(month().books(), 1, 0, 10_000), 17, 0, -10_000)
    assert [finding.split(":")[0] for finding in findings(books)] == [
        "Entry 1 does not balance",
        "Entry 17 does not balance",
    ]


def test_findings_when_there_are_many_then_the_first_are_told() -> None:
    made = Maker()
    for number in range(FINDINGS_MAX + 5):
        made.add("DEPOSIT", f"2025-03-03 10:{number:02d}:00", [("1010", "USD", DOLLAR), ("3010", "USD", -DOLLAR - 1)])
    assert len(findings(made.books())) == FINDINGS_MAX


def test_books_when_cut_at_a_moment_then_lots_are_those_of_then() -> None:
    books = month().books()
    assert [(lot.commodity, qty) for lot, qty, _ in books.open_lots(at("2025-03-05 00:00:00"))] == [
        ("AAPL", 10**10),
        ("BRK.B", 2_500_000_000),
        ("AAPL250620C00200000", 2 * 10**9),
    ]

"""Questions to the books: pages that agree with the reports, in bounds, while the service goes on."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_books import DOLLAR, MARCH
from posted_books import Poster, post_every_event

from bus.codec import FRAME_BYTES_MAX
from bus.commands import Outcome
from bus.messages import AskLedger, LedgerKind, LedgerPage
from config.identity import Identity
from config.paths import HomePaths
from services.ledger import question_desk
from services.ledger.book import open_book
from services.ledger.question_desk import ANSWERS, QuestionDesk, answer
from services.ledger.reading import Period, read_books
from services.ledger.reports import make_reports

RULE = "us-same-security-1"


@pytest.fixture
def poster(ledger: Path, identity: Identity) -> Poster:
    book = open_book(ledger, identity, may_write=True)
    poster = post_every_event(book)
    book.audit("olga", "EXPORT", "ofx", payload={"to": "a.ofx"}, at_ns=poster.posted[-1].ts_init)
    book.assert_balance("CASH", "USD", 1, source="BROKER", at_ns=poster.posted[-1].ts_init)
    book.assert_balance("UNITS", "QQQ", 2 * 10**9, source="BROKER", at_ns=poster.posted[-1].ts_init)
    book.close()
    return poster


def ask(kind: LedgerKind, **fields: Any) -> AskLedger:
    base = AskLedger(
        ts_event=0, ts_init=0, command_id="q", expires_boot_ns=1, operator="olga", receiver="ledger", kind=kind
    )
    return msgspec.structs.replace(base, **fields)


def page(ledger: Path, kind: LedgerKind, **fields: Any) -> LedgerPage:
    outcome = answer(ledger, ask(kind, **fields))
    assert outcome.is_done, outcome.detail
    return msgspec.json.decode(outcome.body, type=LedgerPage)


def records(found: LedgerPage, part: str = "rows") -> list[dict[str, Any]]:
    return [dict(zip(found.columns, row, strict=True)) for row in getattr(found, part)]


def table(ledger: Path, paths: HomePaths, name: str, period: Period = MARCH) -> Any:
    (made,) = make_reports(read_books(paths, ledger), period, RULE, (name,))
    return made


MARCH_DAYS = {"first_day": "2025-03-01", "last_day": "2025-03-31"}


def test_every_kind_when_asked_has_an_answer_of_cells_for_its_columns(poster: Poster, ledger: Path) -> None:
    for kind in ANSWERS:
        more = {"order": "tb1-1", "entry_seq": 2} if kind in ("trace", "entry") else {}
        found = page(ledger, kind, **more)
        # A chart that was never changed has no differences: see test_commands.
        assert found.rows or kind == "coa_diff"
        assert {len(row) for row in (*found.rows, *found.totals)} <= {len(found.columns)}, kind


@pytest.mark.parametrize("name", ["trial_balance", "income_statement", "balance_sheet"])
def test_a_statement_when_asked_is_the_report_of_the_same_days(
    poster: Poster, ledger: Path, paths: HomePaths, name: Any
) -> None:
    report = table(ledger, paths, name.replace("_", "-"))
    found = page(ledger, name, rows_max=200, **MARCH_DAYS)

    def plain(rows: Any) -> list[tuple[Any, ...]]:
        return [tuple(cell or 0 if not isinstance(cell, str) else cell for cell in row) for row in rows]

    assert plain(found.rows) == plain(report.rows)
    assert plain(found.totals) == plain(report.totals)


def test_gains_when_asked_are_the_report_newest_first(poster: Poster, ledger: Path, paths: HomePaths) -> None:
    report = table(ledger, paths, "realized-gains")
    found = records(page(ledger, "gains", rows_max=200, **MARCH_DAYS))
    keys = ("symbol", "term", "proceeds", "cost", "gain")
    told = [(str(row["entry"]), *(row[key] for key in keys)) for row in reversed(found)]
    assert told == [(row[0], row[1], row[5], *row[6:]) for row in report.rows]
    totals = records(page(ledger, "gains", **MARCH_DAYS), "totals")
    assert {row["term"]: row["gain"] for row in totals} == {row[5]: row[-1] for row in report.totals}


def test_trades_when_asked_have_sums_without_what_was_taken_back(poster: Poster, ledger: Path) -> None:
    found = page(ledger, "trades", rows_max=200)
    rows = records(found)
    fills = [entry for entry in poster.posted if entry.trade]
    assert [row["entry"] for row in rows] == [entry.seq for entry in reversed(fills)]
    assert [row["symbol"] for row in rows if row["is_undone"]] == ["SPY"]
    (total,) = records(found, "totals")
    assert total["gross"] == sum(row["gross"] for row in rows if not row["is_undone"])
    assert total["gain"] == sum(row["gain"] for row in rows if not row["is_undone"])
    assert found.rows_total == len(fills)


def test_journal_when_paged_gives_every_line_once_with_the_balance_after_it(poster: Poster, ledger: Path) -> None:
    lines: list[dict[str, Any]] = []
    for number in range(1, 100):
        found = page(ledger, "journal", page=number, rows_max=7)
        lines += records(found)
        if number == found.pages:
            break
    posted = [(e.seq, line.account, line.commodity) for e in poster.posted for line in e.lines]
    assert [(row["entry"], row["account"], row["commodity"]) for row in reversed(lines)] == posted
    assert found.rows_total == len(posted)
    balance = 0
    for row in reversed([row for row in lines if row["account"] == "1010"]):
        balance += row["amount"]
        assert row["balance"] == balance
    assert balance == sum(line.amount for e in poster.posted for line in e.lines if line.account == "1010")


def test_journal_when_filtered_keeps_the_true_balance(poster: Poster, ledger: Path) -> None:
    found = records(page(ledger, "journal", account="1010", text="dividend on aapl", first_day="2025-03-11"))
    (row,) = found
    seq = row["entry"]
    whole = sum(line.amount for e in poster.posted if e.seq <= seq for line in e.lines if line.account == "1010")
    assert (row["amount"], row["balance"]) == (round(3.12 * DOLLAR), whole)
    small = records(page(ledger, "journal", amount_min_micros=40 * DOLLAR, amount_max_micros=50 * DOLLAR))
    assert {abs(row["amount"]) for row in small} <= set(range(40 * DOLLAR, 50 * DOLLAR + 1))
    assert {row["commodity"] for row in small} == {"USD"}


def test_trace_when_an_order_was_taken_back_has_its_lines_and_those_of_the_reversal(
    poster: Poster, ledger: Path
) -> None:
    wrong = next(entry for entry in poster.posted if entry.symbol == "SPY" and entry.trade)
    assert wrong.trade
    rows = records(page(ledger, "trace", order=wrong.trade.order_id))
    taken_back = next(entry for entry in poster.posted if entry.reverses_seq == wrong.seq)
    assert {row["entry"] for row in rows} == {wrong.seq, taken_back.seq}
    assert sum(row["amount"] for row in rows if row["commodity"] == "USD") == 0


def test_accounts_when_asked_are_a_tree_whose_headings_hold_what_is_below(poster: Poster, ledger: Path) -> None:
    rows = {row["code"]: row for row in records(page(ledger, "accounts", rows_max=200))}
    below = [row for row in rows.values() if row["parent"] == "1000"]
    assert rows["1000"]["balance_with_below"] == sum(row["balance"] for row in below)
    assert (rows["1000"]["depth"], rows["1010"]["depth"], rows["1010"]["is_used"]) == (0, 1, True)
    assert "2 QQQ" in rows["9010"]["units"]


def test_reconciliation_and_audit_when_asked_are_newest_first(poster: Poster, ledger: Path) -> None:
    units, cash = records(page(ledger, "reconciliation"))
    assert (units["commodity"], units["expected"], units["is_ok"]) == ("QQQ", "2", True)
    assert (cash["is_ok"], cash["difference"]) == (False, 1 - cash["actual"])
    (row,) = records(page(ledger, "audit", text="EXPORT"))
    assert (row["actor"], row["object"]) == ("olga", "ofx")
    assert page(ledger, "audit", text="nothing like it").rows == ()


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("journal", {"first_day": "2025-13-01"}, "is no day"),
        ("journal", {"first_day": "2025-03-02", "last_day": "2025-03-01"}, "after the last day"),
        ("entry", {"entry_seq": 10_000}, "There is no entry 10000"),
        ("coa", {"version": 2}, "There is no version 2"),
        ("trace", {}, "Name 1 to 50"),
    ],
)
def test_a_question_when_it_makes_no_sense_is_refused_in_words(
    poster: Poster, ledger: Path, kind: Any, fields: dict[str, Any], words: str
) -> None:
    outcome = answer(ledger, ask(kind, **fields))
    assert (outcome.is_done, outcome.body) == (False, b"")
    assert words in outcome.detail


def test_an_answer_when_it_does_not_fit_into_a_frame_says_how_many_rows_do(
    poster: Poster, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert question_desk.BODY_BYTES_MAX < FRAME_BYTES_MAX
    monkeypatch.setattr(question_desk, "BODY_BYTES_MAX", 2_000)
    outcome = answer(ledger, ask("journal"))
    assert "rows are too much for one answer: ask for" in outcome.detail
    fits = int(outcome.detail.rsplit(" ", 1)[1])
    assert answer(ledger, ask("journal", rows_max=fits)).is_done


def test_an_answer_when_it_takes_too_long_is_given_up(
    poster: Poster, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question_desk, "_ANSWER_NS_MAX", -1)
    monkeypatch.setattr(question_desk, "_STEPS_BETWEEN_LOOKS", 1)
    assert "ask for fewer days" in answer(ledger, ask("journal")).detail


def test_the_desk_when_asked_answers_in_another_thread_and_ends(poster: Poster, ledger: Path) -> None:
    desk = QuestionDesk(ledger)
    pending = [desk.ask(ask("trial_balance")) for _ in range(3)]
    outcomes: list[Outcome] = []
    while len(outcomes) < len(pending):
        outcomes = [each for p in pending if not isinstance(p, Outcome) and (each := p()) is not None]
    desk.close()
    assert all(outcome.is_done for outcome in outcomes)


def test_the_desk_when_too_many_wait_refuses(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuestionDesk, "_run", lambda _self: None)
    desk = QuestionDesk(ledger)
    said = [desk.ask(ask("audit")) for _ in range(17)]
    assert [isinstance(each, Outcome) for each in said] == [False] * 16 + [True]
    desk.close()

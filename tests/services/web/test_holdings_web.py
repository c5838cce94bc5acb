"""The page of the holdings: what is held, what is set, what the nights did, and what leaves it."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from flask import Flask

from bus.messages import MICROS, NANOS, FundLine, HoldingsSnapshot, PayReserve, RunHoldings
from config.holdings import DEFAULTS, HoldingsSettings
from config.paths import HomePaths
from config.vault import Vault
from services.web.audit_log import AuditFilter
from services.web.hub import StatusHub

FORM = {
    "is_enabled": "yes",
    "is_auto_rebalance": "yes",
    "float_percent": "12.5",
    "tax_percent": "25",
    "payroll_percent": "10",
    "band_percent": "5",
    "rebalance_months": "3",
    "weights": "custom",
    "symbol_0": "schd",
    "weight_0": "60",
    "symbol_1": "SCHY",
    "weight_1": "40",
    "how": "save",
    "reason": "a test",
    "password": "correct horse battery",
}


def snapshot() -> HoldingsSnapshot:
    funds = (
        FundLine(
            symbol="SCHD", qty_nanos=2 * NANOS, price_micros=80 * MICROS, value_micros=160 * MICROS, weight_bps=6_400,
            target_bps=5_000,
        ),
        FundLine(
            symbol="SCHY", qty_nanos=3 * NANOS, price_micros=30 * MICROS, value_micros=90 * MICROS, weight_bps=3_600,
            target_bps=5_000,
        ),
    )  # fmt: skip
    return HoldingsSnapshot(
        ts_event=0,
        ts_init=0,
        as_of_date="2025-03-10",
        phase="waits for the end of the session",
        outcome="2025-03-10: done",
        cash_micros=1_072 * MICROS,
        float_target_micros=1_000 * MICROS,
        tax_reserve_micros=200 * MICROS,
        payroll_reserve_micros=80 * MICROS,
        due_micros=0,
        carry_micros=0,
        funds=funds,
        last_rebalance="2025-03-10",
        next_rebalance="2025-09-10",
    )


def write_record(home: HomePaths, **changes: Any) -> None:
    folder = home.output / "TBOT_USA_main_PAPER_BOT01" / "holdings"
    folder.mkdir(parents=True, exist_ok=True)
    action = {
        "at_utc": "2025-03-10T19:55:01.000Z",
        "action": "BUY",
        "symbol": "SCHD",
        "qty_nanos": 2 * NANOS,
        "price_micros": 80 * MICROS,
        "total_micros": 160 * MICROS,
        "gain_micros": 0,
        "cash_micros": 1_072 * MICROS,
        "tax_reserve_micros": 200 * MICROS,
        "payroll_reserve_micros": 80 * MICROS,
        "context": "cash is above the float",
    }
    other = {**action, "action": "TAX_ALLOCATION", "symbol": "", "qty_nanos": 0, "context": "20.00 % of $1,000.00"}
    record = {"session_date": "2025-03-10", "outcome": "DONE", "detail": "", "actions": [action, other], **changes}
    (folder / "000001-2025-03-10.json").write_text(json.dumps(record))


@pytest.fixture
def olga(person_of: Callable[[str], Any]) -> Any:
    return person_of("olga")


def test_the_page_shows_what_is_held_beside_its_targets(olga: Any, hub: StatusHub) -> None:
    hub.publish(snapshot())
    text = olga.get("/holdings").text
    for words in ("1,072.00", "200.00", "80.00", "2025-09-10", "SCHD", "14.00 % above", "14.00 % below"):
        assert words in text


def test_the_page_without_a_night_says_so(olga: Any) -> None:
    text = olga.get("/holdings").text
    assert "No night has been yet" in text
    assert "switched off" in text
    assert 'value="SCHD"' in text


def test_settings_when_saved_are_in_the_vault_and_in_the_audit_log(
    olga: Any, app: Flask, configured: HomePaths
) -> None:
    before = Vault(configured).open()
    keys = {path.name: path.read_bytes() for path in configured.keys.glob("*.key")}
    answer = olga.post("/holdings/settings", FORM, form_on="/holdings")
    assert answer.status_code == 303
    after = Vault(configured).open()
    assert after.generation == before.generation + 1
    found = HoldingsSettings.from_vault(after.holdings)
    assert found.weights_bps == {"SCHD": 6_000, "SCHY": 4_000}
    assert (found.float_bps, found.rebalance_months, found.band_bps, found.is_enabled) == (1_250, 3, 500, True)
    assert after.settings == before.settings
    new = {path.name: path.read_bytes() for path in configured.keys.glob("*.key") if path.name not in keys}
    assert len(new) == 1
    assert not set(new.values()) & set(keys.values()), "an old key is used again"
    assert after.generation in Vault(configured).backups(), "the generation has its copy"
    rows = app.extensions["tradebot"].audit.log.rows(AuditFilter())
    assert {row.subject for row in rows if row.action == "holdings_changed"} >= {"etfs", "float_percent"}
    assert [row.actor for row in rows if row.action == "holdings_saved"] == ["olga"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight_1": "30"}, "add up to 90.00 %"),
        ({"symbol_1": "SH"}, "SH is traded by the strategies too"),
        ({"tax_percent": "<b>"}, "tax_percent is"),
        ({"rebalance_months": "4"}, "set 3, 6 or 12"),
    ],
)
def test_settings_when_wrong_change_nothing_and_are_shown_again(
    olga: Any, configured: HomePaths, changes: dict[str, str], words: str
) -> None:
    answer = olga.post("/holdings/settings", {**FORM, **changes}, form_on="/holdings")
    assert answer.status_code == 422
    assert words in answer.text
    assert "<b>" not in answer.text
    assert 'value="12.5"' in answer.text
    assert Vault(configured).open().holdings == {}


@pytest.mark.parametrize("changes", [{"reason": ""}, {"password": "wrong"}])
def test_settings_without_a_reason_or_the_password_change_nothing(
    olga: Any, configured: HomePaths, changes: dict[str, str]
) -> None:
    answer = olga.post("/holdings/settings", {**FORM, **changes}, form_on="/holdings")
    assert answer.status_code in {400, 401}
    assert Vault(configured).open().holdings == {}


@pytest.mark.parametrize(
    ("how", "weights"),
    [("equal", ("50.00", "50.00")), ("rescale", ("75.00", "25.00")), ("actual", ("64.00", "36.00"))],
)
def test_weights_when_worked_out_are_shown_and_not_saved(
    olga: Any, configured: HomePaths, hub: StatusHub, how: str, weights: tuple[str, str]
) -> None:
    hub.publish(snapshot())
    form = {**FORM, "how": how, "weight_0": "30", "weight_1": "10"}
    text = olga.post("/holdings/settings", form, form_on="/holdings").text
    assert all(f'value="{weight}"' in text for weight in weights)
    assert Vault(configured).open().holdings == {}


def test_weights_are_worked_out_without_the_password(olga: Any) -> None:
    text = olga.get("/holdings").text
    for how in ("equal", "actual", "rescale"):
        assert f'value="{how}" formnovalidate' in text


def test_movements_are_listed_filtered_and_given_away(olga: Any, configured: HomePaths) -> None:
    write_record(configured)
    assert "20.00 % of $1,000.00" in olga.get("/holdings").text
    assert "20.00 % of $1,000.00" not in olga.get("/holdings?action=BUY").text
    rows = list(csv.DictReader(io.StringIO(olga.get("/holdings/movements.csv").text)))
    assert [row["action"] for row in rows] == ["BUY", "TAX_ALLOCATION"]
    assert (rows[0]["quantity"], rows[0]["price"], rows[0]["total"], rows[0]["tax_reserve"]) == (
        "2",
        "80.00",
        "160.00",
        "200.00",
    )
    assert json.loads(olga.get("/holdings/report.json").text)["actions"][0]["symbol"] == "SCHD"
    record = olga.get("/holdings/nights/000001-2025-03-10.json")
    assert json.loads(record.text)["outcome"] == "DONE"
    assert "attachment" in record.headers["Content-Disposition"]


def test_movements_are_filtered_by_kind_fund_and_days_and_exported_as_filtered(
    olga: Any, configured: HomePaths
) -> None:
    write_record(configured)
    first = configured.output / "TBOT_USA_main_PAPER_BOT01" / "holdings" / "000001-2025-03-10.json"
    later = json.loads(first.read_text())
    later["session_date"], later["actions"][0]["symbol"] = "2025-03-11", "SCHY"
    (first.parent / "000002-2025-03-11.json").write_text(json.dumps(later))

    def symbols(query: str) -> list[str]:
        return [one["symbol"] for one in json.loads(olga.get(f"/holdings/report.json?{query}").text)["actions"]]

    assert symbols("") == ["SCHY", "", "SCHD", ""]
    assert symbols("action=BUY") == ["SCHY", "SCHD"]
    assert symbols("fund=schd") == ["SCHD"]
    assert symbols("since=2025-03-11") == ["SCHY", ""]
    assert symbols("until=2025-03-10&action=BUY") == ["SCHD"]
    assert symbols("action=%3Cb%3E&since=yesterday") == ["SCHY", "", "SCHD", ""]
    page = olga.get("/holdings?fund=SCHD&since=2025-03-01").text
    assert "/holdings/movements.csv?fund=SCHD&amp;since=2025-03-01" in page
    assert "Nothing of this kind" in olga.get("/holdings?fund=NONE").text


def test_the_allocation_is_exported_and_printed(olga: Any, configured: HomePaths, hub: StatusHub) -> None:
    write_record(configured)
    hub.publish(snapshot())
    rows = {row["fund"]: row for row in csv.DictReader(io.StringIO(olga.get("/holdings/report.csv").text))}
    assert (rows["SCHD"]["shares"], rows["SCHD"]["weight_percent"], rows["SCHD"]["off_percent"]) == (
        "2",
        "64.00",
        "14.00",
    )
    assert (rows["Free cash"]["value"], rows["All"]["value"]) == ("1072.00", "1602.00")
    assert "1,602.00" in olga.get("/holdings").text
    text = olga.get("/holdings/report").text
    for words in ("Holdings and allocation", "1,602.00", "SCHD", "-14.00", "tax allocation"):
        assert words in text
    assert olga.get("/holdings/report.xml").status_code == 404


PAYOUT = {"amount": "50.00", "reason": "wages of March", "password": FORM["password"]}


def test_a_payout_is_ordered_of_the_ledger_with_a_reason_and_the_password(olga: Any, bus: Any, hub: StatusHub) -> None:
    hub.publish(snapshot())
    assert "$80.00" in olga.get("/holdings/pay/PAYROLL").text
    answer = olga.post("/holdings/pay/PAYROLL", PAYOUT)
    assert answer.status_code == 303
    [command] = [one for one in bus.commands if isinstance(one, PayReserve)]
    assert (command.receiver, command.purpose, command.amount_micros) == ("ledger", "PAYROLL", 50 * MICROS)
    assert (command.reason, command.operator, command.is_withdrawn) == ("wages of March", "olga", False)
    olga.post("/holdings/pay/TAX", {**PAYOUT, "is_withdrawn": "yes"})
    assert bus.commands[-1].is_withdrawn


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"amount": "much"}, 400, "is no amount in dollars"),
        ({"amount": "0"}, 400, "must be above zero"),
        ({"amount": "-5"}, 400, "must be above zero"),
        ({"reason": ""}, 400, "Give a reason"),
        ({"password": "wrong"}, 401, "password is wrong"),
    ],
)
def test_a_payout_that_is_not_in_order_is_not_ordered(
    olga: Any, bus: Any, changes: dict[str, str], code: int, words: str
) -> None:
    answer = olga.post("/holdings/pay/TAX", {**PAYOUT, **changes})
    assert answer.status_code == code
    assert words in answer.text
    assert not any(isinstance(one, PayReserve) for one in bus.commands)


def test_a_payout_that_the_ledger_refuses_says_why_and_keeps_what_was_typed(olga: Any, bus: Any) -> None:
    bus.answer = (False, "90.00 dollars are more than the tax reserve holds: 80.00")
    answer = olga.post("/holdings/pay/TAX", PAYOUT)
    assert answer.status_code == 409
    assert "more than the tax reserve holds" in answer.text
    assert 'value="wages of March"' in answer.text
    assert olga.get("/holdings/pay/RENT").status_code == 404


def test_a_payout_when_nothing_was_heard_of_the_reserve_then_says_so_and_names_no_amount(olga: Any) -> None:
    page = olga.get("/holdings/pay/TAX").text
    assert "Nothing was heard of the tax reserve yet" in page
    assert "$0.00" not in page


def test_a_viewer_pays_nothing(person_of: Callable[[str], Any], bus: Any) -> None:
    vera = person_of("vera")
    assert vera.get("/holdings/pay/TAX").status_code == 403
    assert "/holdings/pay" not in vera.get("/holdings").text
    assert vera.get("/holdings/report").status_code == 200


def test_a_run_under_way_is_shown_with_its_step(olga: Any, hub: StatusHub) -> None:
    hub.publish(msgspec.structs.replace(snapshot(), phase="SELLING"))
    text = olga.get("/holdings").text
    assert '<li aria-current="step">selling</li>' in text
    assert "is under way: selling" in text


@pytest.mark.parametrize("name", ["..%2f..%2fstate%2frisk.db", "000002-2025-03-10.json", "x.json"])
def test_a_record_that_is_not_there_is_not_found(olga: Any, configured: HomePaths, name: str) -> None:
    write_record(configured)
    assert olga.get(f"/holdings/nights/{name}").status_code == 404


def test_a_viewer_sees_and_does_not_change(person_of: Callable[[str], Any], configured: HomePaths) -> None:
    write_record(configured, detail="<script>alert(1)</script>")
    vera = person_of("vera")
    text = vera.get("/holdings").text
    assert "<script>alert" not in text
    assert 'action="/holdings/settings"' not in text


def test_the_form_knows_every_setting() -> None:
    assert set(DEFAULTS) <= {*FORM, "etfs"}


@pytest.mark.parametrize("kind", ["rebalance", "top-up"])
def test_a_run_is_previewed_and_then_ordered_with_a_reason_and_the_password(olga: Any, bus: Any, kind: str) -> None:
    page = f"/holdings/run/{kind}"
    assert "There is no preview" in olga.get(page).text
    bus.commands.clear()
    assert olga.post(page, {"reason": "", "password": FORM["password"]}).status_code == 400
    answer = olga.post(page, {"reason": "a test", "password": FORM["password"]})
    assert answer.status_code == 303
    ordered = [one for one in bus.commands if isinstance(one, RunHoldings)]
    assert [(one.is_rebalance, one.receiver, one.operator) for one in ordered] == [
        (kind == "rebalance", "holdings", "olga")
    ]


def test_a_run_that_is_refused_or_unanswered_says_so(olga: Any, bus: Any) -> None:
    form = {"reason": "a test", "password": FORM["password"]}
    bus.answer = (False, "the holdings are switched off")
    assert "switched off" in olga.post("/holdings/run/rebalance", form).text
    bus.answer = None
    assert olga.post("/holdings/run/rebalance", form).status_code == 503

"""The page of the holdings: a rebalance from preview to result, a payout, who may not, nothing yet, no answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from canaries import PASSWORD
from chain_day import chain
from playwright.sync_api import Page, expect

from bus import messages as m
from bus.codec import CommandAnswer
from bus.halt import HaltRecord
from config.identity import Identity
from config.paths import HomePaths
from config.users import User
from config.vault import Vault
from services.web.hub import StatusHub

pytestmark = pytest.mark.browser
SETTINGS = {"is_enabled": True, "etfs": {"SCHD": "50", "SCHY": "30", "VXUS": "20"}}
PLAN = ["at the prices of 2025-06-10", "sell $9,412.30 of SCHD", "set aside $412.18 for tax", "cash then $10,411.02"]
FUNDS = (
    ("SCHD", 1_204, 27_840_000, 5_622, 5_000),
    ("SCHY", 812, 25_110_000, 3_418, 3_000),
    ("VXUS", 92, 62_400_000, 960, 2_000),
)


def snapshot(**changes: Any) -> m.HoldingsSnapshot:
    funds = tuple(
        m.FundLine(
            symbol=symbol,
            qty_nanos=shares * m.NANOS + 125_000_000,
            price_micros=price,
            value_micros=shares * price,
            weight_bps=weight,
            target_bps=target,
        )
        for symbol, shares, price, weight, target in FUNDS
    )
    said = m.HoldingsSnapshot(
        ts_event=0,
        ts_init=0,
        as_of_date="2025-06-10",
        phase="waits for the end of the session",
        outcome="2025-06-10: done",
        cash_micros=6_112_480_000,
        float_target_micros=6_240_000_000,
        tax_reserve_micros=1_402_310_000,
        payroll_reserve_micros=560_920_000,
        due_micros=0,
        carry_micros=0,
        funds=funds,
        last_rebalance="2025-03-10",
        next_rebalance="2025-09-10",
    )
    return msgspec.structs.replace(said, **changes)


class HoldingsBus:
    """Answers as the holdings and the ledger would; `is_up` False = nobody does."""

    def __init__(self, _paths: HomePaths, _identity: Identity) -> None:
        self.is_up = True
        self.heard: list[m.OperatorRequest] = []

    def tell_halt(self, record: HaltRecord) -> None:
        """Do nothing: no test halts here."""

    def command(self, message: m.OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        assert timeout_s > 0
        self.heard.append(message)
        if not self.is_up:
            return None
        match message:
            case m.PreviewHoldings():
                return CommandAnswer(message.command_id, True, "; ".join(PLAN), msgspec.json.encode(PLAN))
            case m.RunHoldings():
                return CommandAnswer(message.command_id, True, "The run begins now")
            case _:
                return CommandAnswer(message.command_id, True, "Entry 112: Payroll paid: 250.00")


def write_records(paths: HomePaths) -> None:
    folder = Path(paths.output) / "TBOT_USA_main_PAPER_BOT01" / "holdings"
    folder.mkdir(parents=True)
    lines = [
        ("TAX_ALLOCATION", "", 0, 0, 164_200_000, "20.00 % of $821.00, and what was due"),
        ("PAYROLL_ALLOCATION", "", 0, 0, 65_680_000, "10.00 % of $656.80, and what was due"),
        ("TOP_UP_SELL", "SCHD", 12_500_000_000, 27_840_000, 348_000_000, "cash is below the float: $348.00 of SCHD"),
        ("REBALANCE_BUY", "VXUS", 4_250_000_000, 62_400_000, 265_200_000, "cash is above the float: $265.20 of VXUS"),
    ]
    actions = [
        {
            "at_utc": f"2025-06-10T19:55:0{place}.000Z",
            "action": action,
            "symbol": symbol,
            "qty_nanos": qty,
            "price_micros": price,
            "total_micros": total,
            "gain_micros": 0,
            "cash_micros": 6_112_480_000,
            "tax_reserve_micros": 1_402_310_000,
            "payroll_reserve_micros": 560_920_000,
            "context": context,
            "ids": [f"X-{place}"],
            "seqs": [place],
        }
        for place, (action, symbol, qty, price, total, context) in enumerate(lines, 1)
    ]
    record = {"session_date": "2025-06-10", "outcome": "DONE", "detail": "", "actions": actions}
    (folder / "000042-2025-06-10.json").write_text(json.dumps(record))


@pytest.fixture
def people(password_hash: str) -> tuple[User, ...]:
    return (
        User(name="olga", password_hash=password_hash, role="operator"),
        User(name="vera", password_hash=password_hash, role="viewer"),
    )


@pytest.fixture
def served(serve: Callable[..., Any], people: tuple[User, ...]) -> Any:
    made = serve(users=people, bus_of=HoldingsBus)
    vault = Vault(made.paths)
    secrets = vault.open()
    vault.replace(msgspec.structs.replace(secrets, holdings=SETTINGS), secrets.generation)
    write_records(made.paths)
    made.hub.publish(snapshot())
    return made


def test_a_rebalance_goes_from_its_preview_over_its_steps_to_its_result(
    served: Any, log_in_at: Callable[[Any, str], Page], check_page: Callable[[Page, str], None]
) -> None:
    page, hub = log_in_at(served, "olga"), served.hub
    page.goto(f"{served.address}/holdings")
    expect(page.locator("#funds")).to_contain_text("6.22 % above")
    expect(page.locator("#funds svg").first).to_be_visible()
    check_page(page, "holdings")
    page.get_by_role("link", name="Rebalance now").click()
    expect(page.locator("main")).to_contain_text("sell $9,412.30 of SCHD")
    check_page(page, "holdings-run")
    page.get_by_label("Reason").fill("drifted too far")
    page.get_by_label("Your password again").fill(PASSWORD)
    page.get_by_role("button", name="Rebalance").click()
    expect(page.get_by_text("The run begins now")).to_be_visible()
    # What the service says meanwhile comes by itself, once the page has its live link and the first state.
    expect(page.locator("#link-state[data-link=up]")).to_be_attached()
    page.wait_for_timeout(500)
    for phase in ("SELLING", "BUYING"):
        hub.publish(snapshot(phase=phase))
        expect(page.locator("[aria-current=step]")).to_have_text(phase.lower())
    check_page(page, "holdings-under-way")
    hub.publish(snapshot(outcome="2025-06-10-2: done", last_rebalance="2025-06-10"))
    expect(page.locator("#holdings-phase")).to_contain_text("2025-06-10-2: done")
    expect(page.locator("#holdings-rebalance-note")).to_have_text("last 2025-06-10")


def test_funds_are_added_rescaled_taken_out_and_saved(served: Any, log_in_at: Callable[[Any, str], Page]) -> None:
    page = log_in_at(served, "olga")
    page.goto(f"{served.address}/holdings")
    page.get_by_label("Fund 4", exact=True).fill("avuv")
    page.get_by_label("weight of fund 4 in percent").fill("25")
    page.get_by_role("button", name="Rescale to 100 %").click()
    expect(page.get_by_label("weight of fund 1 in percent")).to_have_value("20.00")
    page.get_by_role("button", name="Set to what is held").click()
    expect(page.get_by_label("weight of fund 2 in percent")).to_have_value("56.22")
    page.get_by_label("Fund 1", exact=True).fill("")
    page.get_by_role("button", name="Equal weights").click()
    expect(page.get_by_label("weight of fund 1 in percent")).to_have_value("33.34")
    page.get_by_text("More funds, up to 20").click()
    expect(page.get_by_label("Fund 20", exact=True)).to_be_visible()
    page.get_by_label("Reason").fill("a fund less")
    page.get_by_label("Your password again").fill(PASSWORD)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved with generation")).to_be_visible()


def test_a_reserve_is_paid_out_and_what_was_done_is_filtered_and_printed(
    served: Any, log_in_at: Callable[[Any, str], Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in_at(served, "olga")
    page.goto(f"{served.address}/holdings")
    page.get_by_role("link", name="Pay payroll").click()
    page.get_by_label("Amount in dollars").fill("250.00")
    check_page(page, "holdings-pay")
    page.get_by_label("To whom, and for what").fill("wages of June")
    page.get_by_label("Your password again").fill(PASSWORD)
    page.get_by_role("button", name="Book the payout").click()
    expect(page.get_by_text("The ledger answers: Entry 112")).to_be_visible()
    page.get_by_label("Fund", exact=True).fill("VXUS")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#nights")).to_contain_text("rebalance buy")
    expect(page.locator("#nights")).not_to_contain_text("tax allocation")
    page.get_by_role("link", name="to print").click()
    expect(page.locator("#movements tbody tr")).to_have_count(1)
    check_page(page, "holdings-report")
    page.emulate_media(media="print")
    expect(page.locator(".topbar")).to_be_hidden()
    expect(page.locator("#allocation")).to_be_visible()


def test_a_viewer_is_offered_nothing_to_change(
    served: Any, log_in_at: Callable[[Any, str], Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in_at(served, "vera")
    page.goto(f"{served.address}/holdings")
    expect(page.locator("#funds")).to_be_visible()
    assert page.locator("main form[method=post]").count() == 0
    assert page.get_by_role("link", name="now").count() == 0
    check_page(page, "holdings-viewer")
    for path in ("run/rebalance", "pay/TAX"):
        answer = page.request.get(f"{served.address}/holdings/{path}")
        assert answer.status == 403


def test_holdings_without_a_night_or_without_the_service_say_so(
    serve: Callable[..., Any],
    people: tuple[User, ...],
    log_in_at: Callable[[Any, str], Page],
    check_page: Callable[[Page, str], None],
) -> None:
    buses: list[HoldingsBus] = []

    def silent(paths: HomePaths, identity: Identity) -> HoldingsBus:
        buses.append(HoldingsBus(paths, identity))
        buses[0].is_up = False
        return buses[0]

    made = serve(users=people, bus_of=silent)
    assert isinstance(made.hub, StatusHub)
    page = log_in_at(made, "olga")
    page.goto(f"{made.address}/holdings")
    expect(page.get_by_text("Nothing is known yet")).to_be_visible()
    expect(page.get_by_text("No night has been yet")).to_be_visible()
    check_page(page, "holdings-empty")
    page.goto(f"{made.address}/holdings/run/top-up")
    expect(page.get_by_text("the holdings service does not answer")).to_be_visible()
    check_page(page, "holdings-away")


def test_holdings_when_the_watchdog_falls_silent_then_say_stale_and_grey_the_figures(
    served: Any, log_in_at: Callable[[Any, str], Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in_at(served, "vera")
    served.hub.publish(chain("ACTIVE"))
    page.goto(f"{served.address}/holdings")
    expect(page.locator("#stale")).to_be_visible(timeout=10_000)
    expect(page.locator("#holdings-live")).to_have_class("stacked is-stale")
    check_page(page, "holdings-stale")

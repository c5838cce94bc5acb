"""What a person sees and does, from the first configuration to the kill switch."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from bus import messages as m
from bus.clock import utc_ns
from bus.control import ControlFolder
from bus.lifecycle import EFFECTS, MEANING
from config.bootstrap_token import BootstrapToken
from config.vault import Vault
from services.web.hub import StatusHub

pytestmark = pytest.mark.browser
OPEN_NS = 1_741_786_200_000_000_000
MINUTE_NS = 60 * 1_000_000_000
PASSWORD = "correct horse battery"


def reason(rule: str, *, passed: bool) -> m.Reason:
    return m.Reason(rule=rule, value="$101.50", threshold="$5.00 to $1000.00", passed=passed)


def position(symbol: str, pnl: int) -> m.PositionLine:
    return m.PositionLine(
        intent_id=f"i-{symbol}",
        strategy="open",
        symbol=symbol,
        qty_nanos=40 * m.NANOS,
        entry_micros=101_500_000,
        last_micros=101_500_000 + pnl // 40,
        pnl_micros=pnl,
    )


def portfolio(equity: int, minute: int) -> m.PortfolioSnapshot:
    at = OPEN_NS + minute * MINUTE_NS
    return m.PortfolioSnapshot(
        ts_event=at,
        ts_init=at,
        session_date="2025-03-12",
        start_equity_micros=100_000 * m.MICROS,
        equity_micros=equity,
        realized_micros=210 * m.MICROS,
        unrealized_micros=equity - 100_210 * m.MICROS,
        loss_limit_micros=2_000 * m.MICROS,
        allocated_micros=12_180 * m.MICROS,
        allocation_limit_micros=50_000 * m.MICROS,
        positions=(position("AAPL", 84_200_000), position("BRK.B", -12_600_000)),
        denied=(),
        denied_total=1,
    )


def order(symbol: str, leg: m.Leg, state: str, why: str) -> m.OrderLine:
    return m.OrderLine(
        client_order_id=f"tb1-{symbol}-{leg}",
        intent_id=f"i-{symbol}",
        leg=leg,
        strategy="open",
        symbol=symbol,
        side="BUY" if leg == "entry" else "SELL",
        qty_nanos=40 * m.NANOS,
        filled_nanos=40 * m.NANOS if state == "FILLED" else 0,
        average_micros=101_500_000 if state == "FILLED" else 0,
        order_type="LIMIT" if leg == "entry" else "TRAILING_STOP",
        stop_micros=0 if leg == "entry" else 99_470_000,
        state=state,
        reason=why,
        ts_ns=OPEN_NS + 16 * MINUTE_NS,
    )


def service(name: m.ServiceName) -> m.ServiceHealth:
    return m.ServiceHealth(
        service=name, status="up", pid=100, age_ms=120, restarts=0, step=390, outbox_depth=0, detail="ready"
    )


def chain(state: m.ChainState = "ACTIVE") -> m.ChainStatus:
    return m.ChainStatus(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        state=state,
        bot_state="TRADING",
        stopped=EFFECTS[state].stopped,
        goes_on=EFFECTS[state].goes_on,
        detail=MEANING[state],
        session_date="2025-03-12",
        halt_counter=0,
        armed_by="olga",
        services=tuple(service(name) for name in ("screener", "strategy", "risk", "execution", "ledger")),
    )


def candidates() -> m.CandidatesRanked:
    names = ("AAPL", "BRK.B", "MSFT", "NVDA")
    return m.CandidatesRanked(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        session_date="2025-03-12",
        source="generated",
        candidates=tuple(
            m.Candidate(
                symbol=name,
                rank=rank,
                score=100 - rank,
                prior_close_micros=100_000_000,
                price_micros=101_500_000,
                gap_bps=150 * rank - 300,
                reasons=(reason("price", passed=True), reason("gap", passed=True)),
            )
            for rank, name in enumerate(names, 1)
        ),
        rejected=(m.Rejection(symbol="PENNY", reasons=(reason("price", passed=False),)),),
        rejected_total=6_961,
    )


def denied(value: str = "2.10 %") -> m.OrderDenied:
    return m.OrderDenied(
        ts_event=OPEN_NS + 20 * MINUTE_NS,
        ts_init=OPEN_NS,
        intent_id="i-X",
        session_date="2025-03-12",
        strategy="open",
        symbol="MSFT",
        side="BUY",
        rule="max_spread",
        value=value,
        limit="1.50 %",
    )


def fill(symbol: str) -> m.OrderFilled:
    return m.OrderFilled(
        ts_event=OPEN_NS + 16 * MINUTE_NS,
        ts_init=OPEN_NS,
        execution_id=f"e-{symbol}",
        client_order_id=f"tb1-{symbol}-entry",
        broker_order_id="b1",
        intent_id=f"i-{symbol}",
        leg="entry",
        session_date="2025-03-12",
        strategy="open",
        symbol=symbol,
        side="BUY",
        qty_nanos=40 * m.NANOS,
        price_micros=101_500_000,
        commission_micros=0,
        cumulative_qty_nanos=40 * m.NANOS,
        order_qty_nanos=40 * m.NANOS,
        broker="PAPER",
        reason="closed above the range of 09:30 to 09:45",
    )


def play_a_day(hub: StatusHub) -> None:
    """Publish what a chain says by late morning."""
    hub.publish(candidates())
    for minute in range(120):
        wave = (minute % 17 - 8) * 11 + minute * 3 - 100
        hub.publish(portfolio((100_000 + wave) * m.MICROS, minute))
    for symbol in ("AAPL", "BRK.B"):
        hub.publish(fill(symbol))
    lines = [order(symbol, "entry", "FILLED", "breakout above 101.20") for symbol in ("AAPL", "BRK.B")]
    lines += [order(symbol, "stop", "WORKING", "trailing stop 2 %") for symbol in ("AAPL",)]
    lines += [order("NVDA", "entry", "REJECTED", "insufficient buying power")]
    hub.publish(
        m.OrdersSnapshot(ts_event=OPEN_NS + 119 * MINUTE_NS, ts_init=OPEN_NS, orders=tuple(lines), orders_total=4)
    )
    hub.publish(denied())
    hub.publish(
        m.LedgerSnapshot(
            ts_event=OPEN_NS,
            ts_init=OPEN_NS,
            ledger="TBOT_USA_main_PAPER_BOT01_BOT_ledger.db",
            entries=3,
            imbalance=0,
            cash_micros=87_820 * m.MICROS,
            realized_micros=210 * m.MICROS,
            suspended=0,
        )
    )
    hub.publish(chain())


def test_configuration_when_filled_in_then_leads_to_log_in_and_dashboard(
    serve: Callable[..., Any], clean_page: Page, check_page: Callable[[Page, str], None]
) -> None:
    site = serve()
    clean_page.goto(site.address)
    expect(clean_page.get_by_role("heading", name="First configuration")).to_be_visible()
    check_page(clean_page, "configuration")
    clean_page.get_by_label("One-time token").fill(BootstrapToken(site.paths, utc_ns).issue())
    clean_page.get_by_label("MAX_OPEN_POSITIONS").fill("900")
    clean_page.get_by_label("Password", exact=True).fill("short")
    clean_page.get_by_role("button", name="Save").click()
    expect(clean_page.get_by_role("alert")).to_contain_text("3 faults: nothing was saved")
    check_page(clean_page, "configuration-faults")
    assert not Vault(site.paths).is_provisioned()
    clean_page.get_by_label("One-time token").fill(BootstrapToken(site.paths, utc_ns).issue())
    clean_page.get_by_label("MAX_OPEN_POSITIONS").fill("4")
    clean_page.get_by_label("Password", exact=True).fill(PASSWORD)
    clean_page.get_by_label("Password again").fill(PASSWORD)
    clean_page.get_by_role("button", name="Save").click()
    expect(clean_page.get_by_role("heading", name="Log in")).to_be_visible()
    check_page(clean_page, "login")
    clean_page.get_by_label("User name").fill("admin")
    clean_page.get_by_label("Password").fill(PASSWORD)
    clean_page.get_by_role("button", name="Log in").click()
    expect(clean_page.locator("#chain-pill")).to_have_text("no status yet")
    check_page(clean_page, "dashboard-empty")
    assert Vault(site.paths).open().settings["MAX_OPEN_POSITIONS"] == "4"


def test_dashboard_when_the_chain_speaks_then_shows_it_without_a_reload(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    play_a_day(site.hub)
    page = log_in()
    expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
    expect(page.locator("#equity")).to_have_text("$100,169.00")
    expect(page.locator("#day-pnl")).to_have_text("▲ +$169.00")
    positions = page.locator("#positions tbody tr")
    expect(positions).to_have_count(2)
    expect(positions.nth(0)).to_contain_text("99.47")
    expect(positions.nth(1)).to_contain_text("no stop rests")
    expect(page.locator("#orders")).to_contain_text("insufficient buying power")
    expect(page.locator("#denied")).to_contain_text("max_spread")
    expect(page.locator("#services tbody tr")).to_have_count(5)
    expect(page.locator("#curve canvas").first).to_be_visible()
    expect(page.locator("#clock")).to_contain_text("New York")
    page.get_by_text("As a table").click()
    expect(page.locator("#curve-rows tbody tr")).to_have_count(120)
    site.hub.publish(portfolio(98_750 * m.MICROS, 120))
    expect(page.locator("#curve-rows tbody tr").first).to_contain_text("98,750.00")
    page.get_by_text("As a table").click()
    expect(page.locator("#day-pnl")).to_have_text("▼ -$1,250.00")
    expect(page.locator("#loss")).to_have_text("62.50 %")
    site.hub.publish(chain("HALTED"))
    expect(page.locator("#chain-pill")).to_have_text("HALTED")
    expect(page.locator("#chain-words")).to_contain_text("Only an operator can arm again")
    expect(page.locator("#stopped-words")).to_have_text(EFFECTS["HALTED"].stopped)
    expect(page.locator("#goes-on-words")).to_have_text(EFFECTS["HALTED"].goes_on)
    site.hub.publish(chain())
    check_page(page, "dashboard")


def test_filters_when_changed_then_tables_follow(site: Any, log_in: Callable[..., Page]) -> None:
    play_a_day(site.hub)
    page = log_in("vera")
    expect(page.locator("#orders tbody tr")).to_have_count(4)
    page.get_by_label("Which orders").select_option("refused")
    expect(page.locator("#orders tbody tr")).to_have_count(1)
    page.get_by_label("Which names").select_option("out")
    expect(page.locator("#candidates")).to_contain_text("PENNY")
    expect(page.locator("#candidates")).to_contain_text("\u2717 price $101.50 ($5.00 to $1000.00)")
    expect(page.locator("#candidates-count")).to_have_text("1 of 6,961")
    page.get_by_label("Which events").select_option("bad")
    expect(page.locator("#events-empty")).to_have_text("None of this kind.")


def test_dashboard_when_the_watchdog_falls_silent_then_says_stale_and_recovers(
    site: Any, log_in: Callable[..., Page]
) -> None:
    site.hub.publish(chain())
    page = log_in()
    expect(page.locator("#chain-pill")).to_contain_text("stale", timeout=10_000)
    expect(page.locator("#stale")).to_be_visible()
    site.hub.publish(chain())
    expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
    expect(page.locator("#stale")).to_be_hidden()


def test_dashboard_when_text_is_markup_then_no_script_runs(site: Any, log_in: Callable[..., Page]) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    site.hub.publish(denied(evil))
    page = log_in("vera")
    expect(page.locator("#denied")).to_contain_text("<img src=x")
    expect(page.locator("#events")).to_contain_text("<script>")
    assert page.locator("main img, main td script").count() == 0
    assert "owned" not in page.title()


def test_kill_when_confirmed_then_halts_and_focus_begins_on_cancel(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    play_a_day(site.hub)
    page = log_in()
    page.get_by_role("link", name="Kill switch").click()
    expect(page.get_by_role("link", name="Cancel")).to_be_focused()
    check_page(page, "kill")
    page.get_by_label("Type KILL to confirm").fill("KILL")
    page.get_by_label("Reason").fill("drill")
    page.get_by_role("button", name="Halt the chain now").click()
    expect(page.get_by_text("Halt 1 is on disk")).to_be_visible()
    assert ControlFolder(site.paths).read().is_halted()


def a_beat(*stopped: m.StoppedStream) -> m.Heartbeat:
    return m.Heartbeat(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        service="execution",
        build="b",
        boot_id="one",
        pid=1,
        step=0,
        state="ready",
        outbox_depth=0,
        oldest_unacked_ms=0,
        rejected_messages=0,
        stopped_streams=stopped,
    )


def test_stopped_streams_when_heard_then_dashboard_leads_to_the_page_where_they_are_answered(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    words = "risk does not fit to execution: 214 messages were taken from it, and it knows of 198"
    unread = "execution cannot read message 31 of watchdog: not a message of the catalogue: invalid byte 0xc1"
    ControlFolder(site.paths).raise_halt("execution", "regressed_producer", words)
    page = log_in()
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    expect(page.locator("#stopped")).to_be_hidden()
    site.hub.publish(
        a_beat(
            m.StoppedStream(sender="risk", rule="regressed_producer", seq=198, detail=words),
            m.StoppedStream(sender="watchdog", rule="poison_message", seq=31, detail=unread),
        )
    )
    expect(page.locator("#stopped")).to_be_visible()
    check_page(page, "dashboard-stopped")
    page.get_by_role("link", name="See what stopped it, and answer").click()
    expect(page.get_by_role("heading", name="From risk to execution")).to_be_visible()
    check_page(page, "streams")
    form = page.get_by_role("form", name="From watchdog to execution")
    form.get_by_label("Reason").fill("seen, not needed")
    form.get_by_label("Your password again").fill("not the password")
    form.get_by_role("button", name="Skip this one message").click()
    expect(page.get_by_role("alert")).to_contain_text("The password is wrong. Nothing was changed.")
    expect(form.get_by_label("Reason")).to_have_value("seen, not needed")
    page.goto(f"{site.address}/control/arm")
    check_page(page, "arm-stopped")
    page.goto(site.address)
    expect(page.locator("#stopped")).to_be_visible()
    site.hub.publish(a_beat())
    expect(page.locator("#stopped")).to_be_hidden()


def test_arm_when_script_is_off_then_form_works_all_the_same(
    site: Any, browser: Any, browser_context_args: dict[str, Any]
) -> None:
    context = browser.new_context(**browser_context_args, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.address}/login")
    page.get_by_label("User name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Arm").click()
    page.get_by_label("Reason").fill("morning check")
    page.get_by_label("Your password again").fill(PASSWORD)
    page.get_by_role("button", name="Arm", exact=True).click()
    expect(page.get_by_text("Armed. The chain becomes active")).to_be_visible()
    record = ControlFolder(site.paths).read().arm
    assert record is not None
    assert record.operator == "olga"
    context.close()


def test_theme_when_chosen_then_page_keeps_it(site: Any, log_in: Callable[..., Page]) -> None:
    page = log_in()
    page.emulate_media(color_scheme="light")
    page.locator("summary", has_text="olga").click()
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert site.address in page.url


def test_session_when_it_ends_elsewhere_then_page_leads_to_the_log_in(site: Any, log_in: Callable[..., Page]) -> None:
    page = log_in()
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    page.evaluate(
        "async () => { const csrf_token = document.querySelector('[name=csrf_token]').value;"
        " await fetch('/logout', {method: 'POST', body: new URLSearchParams({csrf_token})}); }"
    )
    site.hub.publish(chain())
    page.wait_for_url(f"{site.address}/login")

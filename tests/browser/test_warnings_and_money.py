"""What a person must not miss: what execution warns of, what the loss is counted from, and whose money it is."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from bus import messages as m
from bus.clock import utc_ns
from bus.heartbeat import Liveness
from bus.lifecycle import EFFECTS, MEANING
from config.bootstrap_token import BootstrapToken
from config.users import User

pytestmark = pytest.mark.browser
AT_NS = 1_741_789_800_000_000_000


def orders(**words: str) -> m.OrdersSnapshot:
    return m.OrdersSnapshot(ts_event=AT_NS, ts_init=AT_NS, orders=(), orders_total=0, **words)


def portfolio(peak_micros: int) -> m.PortfolioSnapshot:
    return m.PortfolioSnapshot(
        ts_event=AT_NS,
        ts_init=AT_NS,
        session_date="2025-03-12",
        start_equity_micros=100_000 * m.MICROS,
        equity_micros=100_100 * m.MICROS,
        realized_micros=100 * m.MICROS,
        unrealized_micros=0,
        loss_limit_micros=2_000 * m.MICROS,
        allocated_micros=0,
        allocation_limit_micros=50_000 * m.MICROS,
        positions=(),
        denied=(),
        denied_total=0,
        peak_micros=peak_micros,
    )


def chain_of(*beats: m.Heartbeat) -> m.ChainStatus:
    """Return what the watchdog says after these heartbeats."""
    heard = Liveness(timeout_ms=2_000)
    for beat in beats:
        heard.hear(beat, AT_NS)
    return m.ChainStatus(
        ts_event=AT_NS,
        ts_init=AT_NS,
        state="ACTIVE",
        bot_state="TRADING",
        stopped=EFFECTS["ACTIVE"].stopped,
        goes_on=EFFECTS["ACTIVE"].goes_on,
        detail=MEANING["ACTIVE"],
        session_date="2025-03-12",
        halt_counter=0,
        armed_by="olga",
        services=heard.table(tuple(beat.service for beat in beats), AT_NS),
    )


def beat(service: m.ServiceName, **changes: Any) -> m.Heartbeat:
    values: dict[str, Any] = {
        "build": "b",
        "boot_id": "one",
        "pid": 1,
        "step": 0,
        "state": "ready",
        "outbox_depth": 0,
        "oldest_unacked_ms": 0,
        "rejected_messages": 0,
    }
    return m.Heartbeat(ts_event=AT_NS, ts_init=AT_NS, service=service, **{**values, **changes})


def test_orders_when_execution_warns_then_its_words_stand_above_them_until_they_are_over(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    page = log_in()
    notes = page.locator("#orders-notes")
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    site.hub.publish(portfolio(0))
    site.hub.publish(orders())
    expect(page.locator("#equity")).to_have_text("$100,100.00")
    expect(notes).to_be_hidden()
    site.hub.publish(
        orders(
            warnings=f"this machine's clock is 2100 ms behind the broker's; {evil}",
            drain="NOT CONFIRMED: the broker does not answer",
            external="EXTERNAL, not the bot's and left alone: 2 position(s) in KO, TSLA (short -5)",
        )
    )
    expect(notes).to_be_visible()
    expect(notes.locator("dt")).to_have_text(["Warning", "Open orders", "At the broker"])
    expect(notes).to_contain_text("2100 ms behind the broker's; <img src=x")
    expect(notes).to_contain_text("NOT CONFIRMED: the broker does not answer")
    expect(notes).to_contain_text("TSLA (short -5)")
    assert page.locator("main img").count() == 0
    assert "owned" not in page.title()
    check_page(page, "dashboard-warnings")
    site.hub.publish(orders(external="EXTERNAL, not the bot's and left alone: 1 position(s) in KO"))
    expect(notes.locator("dt")).to_have_text(["At the broker"])
    site.hub.publish(orders())
    expect(notes).to_be_hidden()


def test_tables_when_words_are_long_then_all_of_them_are_within_the_panels(
    site: Any, log_in: Callable[..., Page]
) -> None:
    why = "open bullish on UMBZ: close $17.23, above $17.2172 (range high $17.20 + 0.10 %); sized by "
    line = m.OrderLine(
        client_order_id="tb1-a",
        intent_id="i1",
        leg="stop",
        strategy="open",
        symbol="UMBZ",
        side="SELL",
        qty_nanos=362 * m.NANOS,
        filled_nanos=0,
        average_micros=101_250_000,
        order_type="TRAILING_STOP",
        stop_micros=16_983_400,
        state="CANCELLED",
        reason=f"{why}TOTAL_ALLOCATION / MAX_OPEN_POSITIONS",
        ts_ns=AT_NS,
    )
    page = log_in("vera")
    page.set_viewport_size({"width": 1280, "height": 900})
    site.hub.publish(m.OrdersSnapshot(ts_event=AT_NS, ts_init=AT_NS, orders=(line,), orders_total=1))
    site.hub.publish(chain_of(beat("screener", remark="market data: whole, of a simulated exchange")))
    denial = m.OrderDenied(
        ts_event=AT_NS,
        ts_init=AT_NS,
        intent_id="i2",
        session_date="2025-03-12",
        strategy="open",
        symbol="BRK.B",
        side="BUY",
        rule="max_open_positions_of_a_strategy",
        value="the kill switch tripped this session",
        limit="not tripped",
    )
    site.hub.publish(denial)
    expect(page.locator("#orders tbody tr")).to_contain_text("MAX_OPEN_POSITIONS")
    expect(page.locator("#services tbody tr")).to_contain_text("simulated exchange")
    expect(page.locator("#denied tbody tr")).to_contain_text("not tripped")
    for name in ("orders", "services", "denied"):
        hidden = page.locator(f"#{name}").evaluate("e => e.parentElement.scrollWidth - e.parentElement.clientWidth")
        assert hidden == 0, f"{name} hides {hidden} px"


def test_loss_when_it_is_counted_from_the_days_best_then_tiles_and_feed_name_it(
    site: Any, log_in: Callable[..., Page]
) -> None:
    page = log_in("vera")
    site.hub.publish(portfolio(0))
    expect(page.locator("#loss")).to_have_text("0.00 %")
    expect(page.locator("#loss-note")).to_have_text("limit $2,000.00")
    site.hub.publish(portfolio(600 * m.MICROS))
    expect(page.locator("#loss")).to_have_text("25.00 %")
    expect(page.locator("#loss-note")).to_have_text("limit $2,000.00 below the day's best")
    expect(page.locator("#day-pnl-note")).to_have_text("0.10 % of the day's start, best ▲ +$600.00")
    tripped = m.KillSwitchTripped(
        ts_event=AT_NS,
        ts_init=AT_NS,
        session_date="2025-03-12",
        pnl_micros=-1_500 * m.MICROS,
        limit_micros=2_000 * m.MICROS,
        peak_micros=600 * m.MICROS,
    )
    site.hub.publish(tripped)
    expect(page.locator("#events")).to_contain_text("$2100.00 below its best of $600.00")


def test_services_when_one_has_a_remark_or_dropped_something_then_the_table_says_it(
    site: Any, log_in: Callable[..., Page]
) -> None:
    page = log_in("vera")
    lag = "live data is 3 s behind"
    site.hub.publish(chain_of(beat("screener", remark=lag), beat("execution", dropped_messages=7), beat("risk")))
    rows = page.locator("#services tbody tr")
    expect(rows.nth(0)).to_contain_text(f"ready; {lag}")
    expect(rows.nth(1)).to_contain_text("ready; dropped 7 broadcast(s) while it waited")
    expect(rows.nth(2).locator("td").last).to_have_text("ready")


def test_pages_when_the_account_is_live_then_real_money_is_loud_on_each(
    serve: Callable[..., Any],
    log_in_at: Callable[[Any, str], Page],
    password_hash: str,
    check_page: Callable[[Page, str], None],
) -> None:
    live = {"BROKER_NAME": "ALPACA", "ALPACA_ENDPOINT": "live", "MARKET_DATA_SOURCE": "alpaca"}
    served = serve(users=(User(name="olga", password_hash=password_hash, role="operator"),), settings=live)
    page = log_in_at(served, "olga")
    expect(page.locator("#venue")).to_have_text("ALPACA · REAL MONEY")
    expect(page.locator("#prices")).to_have_text("Prices: live, Alpaca iex")
    expect(page.locator("#real-money")).to_have_text("REAL MONEY: orders go to the live account at Alpaca.")
    check_page(page, "dashboard-live")
    page.get_by_role("link", name="Arm").click()
    expect(page.locator("#real-money")).to_be_visible()
    expect(page.locator("main .facts")).to_contain_text("REAL MONEY: orders go to the live account at Alpaca.")
    check_page(page, "arm-live")


def test_pages_when_no_money_is_at_stake_then_the_header_says_the_kind_of_account(
    site: Any, log_in: Callable[..., Page]
) -> None:
    page = log_in("vera")
    expect(page.locator("#venue")).to_have_text("PAPER · simulator")
    expect(page.locator("#prices")).to_have_text("Prices: generated")
    expect(page.locator("#real-money")).to_have_count(0)


def test_configuration_when_the_market_data_key_is_no_key_then_its_field_says_so_and_is_empty_again(
    serve: Callable[..., Any], clean_page: Page
) -> None:
    page, served = clean_page, serve()
    page.goto(served.address)
    page.get_by_label("One-time token").fill(BootstrapToken(served.paths, utc_ns).issue())
    page.get_by_label("MARKET_DATA_SOURCE").select_option("alpaca")
    page.get_by_label("MARKET_DATA_SYMBOLS").fill("SPY,AAPL")
    page.get_by_label("Alpaca market data key").fill("two words")
    page.get_by_label("broker_code").fill("ALPACA")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("3 faults: nothing was saved")
    key = page.get_by_label("Alpaca market data key")
    expect(key).to_have_attribute("type", "password")
    expect(key).to_have_value("")
    expect(page.locator("#alpaca_data_key-fault1")).to_contain_text("An API key is one word")
    expect(page.locator("#alpaca_data_secret-fault1")).to_contain_text("needs a key and its secret for market data")
    expect(page.locator("#broker_code-fault1")).to_contain_text("it must be BROKER_NAME, PAPER")

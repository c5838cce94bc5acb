"""Each screen: the happy path, the role that may not, empty, and stale; accessible at both widths in both colours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chain_day import chain, heard, play_a_day, play_trades
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
LOOKED_AT = ("/candidates", "/trades", "/alerts", "/logs", "/help")


def write_list(site: Any) -> None:
    folder = site.paths.output / "TBOT_USA_main_PAPER_BOT01" / "screener"
    folder.mkdir(parents=True)
    names = [f"N{number:04d}" for number in range(250)]
    rule = {"value": "$1.20", "threshold": "$5.00 to $1000.00", "passed": False}
    content = {
        "session_date": "2025-03-12",
        "scan_mode": "pre-market",
        "source": "generated",
        "made_at": "2025-03-12T13:00:00Z",
        "names": 251,
        "failed_by_rule": {"price_min": 240, "gap_min": 10},
        "not_applied": [],
        "candidates": [
            {
                "symbol": "AAPL",
                "rank": 1,
                "score": 99,
                "prior_close_micros": 100_000_000,
                "price_micros": 101_500_000,
                "gap_bps": 150,
                "reasons": [{"rule": "price_min", **rule, "value": "$101.50", "passed": True}],
            }
        ],
        "rejected": [
            {"symbol": name, "reasons": [{"rule": "price_min" if number < 240 else "gap_min", **rule}]}
            for number, name in enumerate(names)
        ],
    }
    (folder / "2025-03-12_pre-market.json").write_text(json.dumps(content))


def write_log(site: Any, service: str, *lines: tuple[str, str]) -> Path:
    folder: Path = site.paths.output / "TBOT_USA_main_PAPER_BOT01" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{service}.log"
    with path.open("a") as out:
        for number, (level, message) in enumerate(lines):
            record = {"timestamp": f"2025-03-12T14:00:{number:02d}.000Z", "level": level, "service": service}
            out.write(json.dumps({**record, "logger": f"services.{service}", "message": message}) + "\n")
    return path


def test_screens_when_there_is_nothing_then_each_says_what_will_be_there(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in("vera")
    for path in LOOKED_AT:
        page.goto(f"{site.address}{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        check_page(page, f"{path.strip('/')}-empty")
    page.goto(f"{site.address}/orders/chain?intent=nobody")
    expect(page.get_by_text("Nothing is known of it here")).to_be_visible()


def test_candidates_when_a_list_is_written_then_every_name_is_paged_and_filtered_by_rule(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    write_list(site)
    page = log_in("vera")
    page.goto(f"{site.address}/candidates")
    expect(page.locator("#candidates")).to_contain_text("AAPL")
    check_page(page, "candidates-in")
    page.get_by_label("Names").select_option("out")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#candidates tbody tr")).to_have_count(100)
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#candidates tbody tr")).to_have_count(50)
    page.get_by_label("Failed rule").select_option("gap_min")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#candidates tbody tr")).to_have_count(10)
    expect(page.locator("#candidates")).to_contain_text("gap_min: $1.20 failed, $5.00 to $1000.00")
    check_page(page, "candidates-out")


def test_trades_when_the_chain_trades_then_the_page_follows_and_leads_to_the_chain_of_each(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in("vera")
    page.goto(f"{site.address}/trades")
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    play_trades(site.hub)
    site.hub.publish(chain())
    expect(page.locator("#trades tbody tr")).to_have_count(2)
    expect(page.locator("#statistics")).to_contain_text("▲ +$99.88")
    with heard(site.hub):
        check_page(page, "trades")
        page.get_by_role("link", name="TSLA").click()
        for words in ("breakout", "every check passed", "accepted by the broker", "trailing stop 2 %", "Entry 9"):
            expect(page.locator("#chain-live")).to_contain_text(words)
        check_page(page, "order-chain")
    page.goto(f"{site.address}/orders/chain?intent=i-NVDA")
    expect(page.locator("#chain-live")).to_contain_text("refused by the broker: 403: insufficient buying power")
    check_page(page, "order-refused")


def test_alerts_when_one_comes_then_a_notice_says_it_and_an_operator_marks_it_as_seen(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in()
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    play_trades(site.hub)
    expect(page.locator("#toasts")).to_contain_text("The broker refused an order for NVDA: 403")
    expect(page.locator("#alerts-link")).to_have_text("Alerts (1)")
    page.get_by_role("button", name="Close notice 1").click()
    expect(page.locator("#toasts .toast-own")).to_have_count(0)
    page.locator("#alerts-link").click()
    expect(page.locator("#alerts tbody tr")).to_have_count(1)
    check_page(page, "alerts")
    page.get_by_role("button", name="Seen: alert 1").click()
    expect(page.locator("#alerts")).to_contain_text("by olga")
    expect(page.locator("#alerts-link")).to_have_text("Alerts")


def test_alerts_when_a_viewer_looks_then_there_is_no_button(site: Any, log_in: Callable[..., Page]) -> None:
    play_trades(site.hub)
    page = log_in("vera")
    page.goto(f"{site.address}/alerts")
    expect(page.locator("#alerts")).to_contain_text("not yet")
    expect(page.locator("main").get_by_role("button")).to_have_count(0)


@pytest.mark.plants_a_secret
def test_logs_when_followed_then_new_lines_come_and_a_pause_keeps_them_away(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    write_log(site, "risk", ("INFO", "ready"), ("WARNING", f"odd: api_key={'k' * 64}"))
    write_log(site, "execution", ("ERROR", "the broker <b>does not</b> answer"))
    page = log_in("vera")
    page.goto(f"{site.address}/logs")
    expect(page.locator("#logs tbody tr")).to_have_count(3)
    expect(page.locator("#logs")).to_contain_text("api_key=[secret]")
    expect(page.locator("#logs")).to_contain_text("<b>does not</b>")
    check_page(page, "logs")
    page.get_by_label("At least").select_option("WARNING")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#logs tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Follow").click()
    write_log(site, "risk", ("INFO", "not shown"), ("ERROR", "fresh"))
    expect(page.locator("#logs")).to_contain_text("fresh", timeout=10_000)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    expect(page.locator("#logs")).not_to_contain_text("not shown")


def test_help_when_the_chain_is_halted_then_marks_what_is_now(site: Any, log_in: Callable[..., Page]) -> None:
    site.hub.publish(chain("HALTED"))
    page = log_in("vera")
    page.goto(f"{site.address}/help")
    now = page.locator(".help-state", has_text="now")
    expect(now).to_have_count(1)
    expect(now).to_contain_text("HALTED")


def test_trades_when_the_watchdog_falls_silent_then_says_stale_and_greys_the_figures(
    site: Any, log_in: Callable[..., Page]
) -> None:
    play_trades(site.hub)
    play_a_day(site.hub)
    page = log_in("vera")
    page.goto(f"{site.address}/trades")
    expect(page.locator("#stale")).to_be_visible(timeout=10_000)
    expect(page.locator("#trades-live")).to_have_class("stacked is-stale")

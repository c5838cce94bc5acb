"""The live link: one stream for all tabs, what a lost link looks like, focus over live changes, weight of the page."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from chain_day import chain, play_a_day, play_trades, portfolio
from playwright.sync_api import Page, expect

from bus import messages as m

pytestmark = pytest.mark.browser
TABS = 8
#: Cumulative layout shift that counts as good. Source: web.dev/articles/cls, 2025.
JUMP_MAX = 0.1
RAW_BYTES_MAX, GZIP_BYTES_MAX, OTHER_PAGE_BYTES_MAX = 600 * 1024, 150 * 1024, 400 * 1024


def test_tabs_when_many_are_open_then_share_one_stream_and_another_takes_over(
    site: Any, log_in: Callable[..., Page]
) -> None:
    play_a_day(site.hub)
    tabs = [log_in("vera")]
    for _ in range(TABS - 1):
        tabs.append(tabs[0].context.new_page())
        tabs[-1].goto(site.address)
    for tab in tabs:
        expect(tab.locator("#equity")).to_have_text("$100,169.00")
    assert site.hub.client_count() == 1
    leader = tabs[0]
    leader.goto("about:blank")
    for tab in tabs[1:]:
        expect(tab.locator("#link-state")).to_have_attribute("data-link", "up")
    site.hub.publish(portfolio(100_500 * m.MICROS, 121))
    for tab in tabs[1:]:
        expect(tab.locator("#equity")).to_have_text("$100,500.00")
    for tab in tabs[1:]:
        tab.close()


def test_link_when_it_is_lost_then_says_so_and_comes_back_by_itself(
    site: Any, log_in: Callable[..., Page], expected_faults: list[str]
) -> None:
    expected_faults.append("net::ERR_FAILED")
    play_a_day(site.hub)
    page = log_in("vera")
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    for pattern in ("**/stream", "**/api/snapshot"):
        page.route(pattern, lambda route: route.abort())
    # More than a browser's queue holds, at once: the hub drops it, as it drops one that does not keep up.
    while site.hub.client_count():
        for _ in range(300):
            site.hub.publish(chain())
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("#link-state")).to_have_text("no link to the server, connecting again")
    expect(page.locator("#live")).to_have_class("is-stale")
    page.unroute_all()
    expect(page.locator("#lost")).to_be_hidden(timeout=15_000)
    site.hub.publish(portfolio(100_500 * m.MICROS, 121))
    expect(page.locator("#equity")).to_have_text("$100,500.00")


def test_focus_when_a_table_changes_under_it_then_stays_where_it_is(site: Any, log_in: Callable[..., Page]) -> None:
    play_a_day(site.hub)
    page = log_in("vera")
    link = page.locator("#positions").get_by_role("link", name="BRK.B")
    link.focus()
    site.hub.publish(portfolio(99_000 * m.MICROS, 122))
    expect(page.locator("#equity")).to_have_text("$99,000.00")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("BRK.B")


def test_zone_when_chosen_then_tables_and_steps_read_in_it(site: Any, log_in: Callable[..., Page]) -> None:
    play_a_day(site.hub)
    page = log_in("vera")
    expect(page.locator("#fills thead")).to_contain_text("New York")
    expect(page.locator("#fills tbody tr").first).to_contain_text("09:46:00")
    expect(page.locator("#timeline li[aria-current=step]")).to_have_text("09:30 Strategy open")
    expect(page.locator("#timeline-next")).to_have_text("Strategy mid in 00:01:00")
    page.locator("summary", has_text="vera").click()
    page.get_by_label("Times in").select_option("UTC")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("#fills thead")).to_contain_text("UTC")
    expect(page.locator("#fills tbody tr").first).to_contain_text("13:46:00")
    expect(page.locator("#timeline li").last).to_have_text("20:00 Market closes")


def test_dashboard_when_it_fills_with_figures_then_nothing_jumps(
    site: Any, clean_page: Page, log_in: Callable[..., Page]
) -> None:
    clean_page.add_init_script(
        "window.jumped = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "one => { window.jumped += one.hadRecentInput ? 0 : one.value; }))"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    play_trades(site.hub)
    play_a_day(site.hub)
    page = log_in("olga")
    page.goto(site.address)
    expect(page.locator("#equity")).to_have_text("$100,169.00")
    expect(page.locator("#curve canvas").first).to_be_visible()
    for minute in range(121, 126):
        site.hub.publish(portfolio(100_169 * m.MICROS, minute))
        site.hub.publish(chain())
    expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
    assert page.evaluate("window.jumped") <= JUMP_MAX


def test_pages_when_loaded_then_weigh_no_more_than_their_limit(site: Any, log_in: Callable[..., Page]) -> None:
    play_a_day(site.hub)
    page = log_in("vera")
    raw, packed = weight(page, site.address)
    assert raw <= RAW_BYTES_MAX
    assert packed <= GZIP_BYTES_MAX
    for path in ("/trades", "/logs", "/alerts"):
        page.goto(f"{site.address}{path}")
        assert weight(page, site.address)[0] <= OTHER_PAGE_BYTES_MAX, path


def weight(page: Page, address: str) -> tuple[int, int]:
    """Return the bytes of the page with all that it loads, as they are and compressed."""
    names: list[str] = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    files = [name for name in {page.url, *names} if name.startswith(address) and "/stream" not in name]
    bodies = [page.request.get(name).body() for name in files]
    return sum(map(len, bodies)), sum(len(gzip.compress(body)) for body in bodies)

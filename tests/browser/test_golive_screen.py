"""The page before money: what a viewer sees of a new home, and a tick that comes while the page is open."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from bus import messages as m

pytestmark = pytest.mark.browser
TS = 1_741_786_200_000_000_000


def test_going_live_when_opened_then_is_accessible_and_says_what_to_do(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in("vera")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Going live").click()
    expect(page.get_by_role("heading", name="Going live")).to_be_visible()
    expect(page.locator("[data-shown=no]")).to_have_count(6)
    assert page.locator("main form").count() == 0, "nothing can be ticked by hand"
    check_page(page, "going-live")


def test_going_live_when_the_broker_agrees_then_its_tick_comes_by_itself(
    site: Any, log_in: Callable[..., Page]
) -> None:
    page = log_in("vera")
    page.goto(f"{site.address}/going-live")
    expect(page.locator("#fact-broker")).to_have_attribute("data-shown", "no")
    beat = m.Heartbeat(
        ts_event=TS,
        ts_init=TS,
        service="execution",
        build="b",
        boot_id="one",
        pid=1,
        step=0,
        state="ready",
        outbox_depth=0,
        oldest_unacked_ms=0,
        rejected_messages=0,
        reconciled_ms=700,
    )
    status = m.ChainStatus(
        ts_event=TS,
        ts_init=TS,
        state="DISARMED",
        bot_state="IDLE",
        stopped="Everything.",
        goes_on="Nothing.",
        detail="",
        session_date="2025-03-12",
        halt_counter=0,
        armed_by="",
        services=(),
    )
    for _ in range(40):
        site.hub.publish(beat)
        site.hub.publish(status)
        page.wait_for_timeout(100)
        if page.locator("#fact-broker").get_attribute("data-shown") == "yes":
            break
    expect(page.locator("#fact-broker")).to_have_attribute("data-shown", "yes")

"""The way around: the navigation at both widths, the keyboard, the time zone, the style guide."""

from collections.abc import Callable
from typing import Any

import pytest
from canaries import PASSWORD
from playwright.sync_api import BrowserContext, Page, expect

from config.users import User

pytestmark = pytest.mark.browser


def test_navigation_when_the_page_is_wide_then_leads_from_page_to_page(log_in: Callable[..., Page]) -> None:
    page = log_in()
    page.set_viewport_size({"width": 1440, "height": 900})
    nav = page.get_by_role("navigation", name="Pages")
    expect(nav.get_by_role("link", name="Dashboard")).to_have_attribute("aria-current", "page")
    nav.get_by_role("link", name="Stopped streams").click()
    expect(page.get_by_role("heading", name="Stopped streams")).to_be_visible()
    expect(nav.get_by_role("link", name="Stopped streams")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_contain_text("Stopped streams")


def test_navigation_when_the_page_is_narrow_then_unfolds_without_a_script(
    site: Any, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{site.address}/login")
    page.get_by_label("User name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    nav = page.get_by_role("navigation", name="Pages")
    expect(nav).to_have_count(0)
    page.locator("summary", has_text="Pages").click()
    nav.get_by_role("link", name="Stopped streams").click()
    expect(page.get_by_role("heading", name="Stopped streams")).to_be_visible()


def test_skip_link_when_the_keyboard_comes_first_to_it_then_leads_to_the_content(log_in: Callable[..., Page]) -> None:
    page = log_in("vera")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_style_guide_when_shown_then_every_component_is_accessible(
    serve: Callable[..., Any],
    log_in_at: Callable[[Any, str], Page],
    password_hash: str,
    check_page: Callable[[Page, str], None],
) -> None:
    served = serve(users=(User(name="vera", password_hash=password_hash, role="viewer"),), has_styleguide=True)
    page = log_in_at(served, "vera")
    page.goto(f"{served.address}/styleguide")
    expect(page.get_by_role("heading", name="Style guide")).to_be_visible()
    check_page(page, "styleguide")

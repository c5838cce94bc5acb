"""The pages over TLS, through a proxy: log-in, live figures, cookies that travel over TLS alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chain_day import chain
from playwright.sync_api import Page, expect
from tls_proxy import TlsProxy, make_certificate

from config.users import User

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Believe the certificate that the test has made."""
    return {**browser_context_args, "ignore_https_errors": True}


@pytest.fixture
def proxied(serve: Callable[..., Any], password_hash: str, tmp_path: Path) -> Iterator[tuple[Any, str]]:
    olga = User(name="olga", password_hash=password_hash, role="operator")
    site = serve(users=(olga,), origin="https://bot.example.org")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    proxy = TlsProxy(make_certificate(tmp_path, "bot.example.org"), int(site.address.rpartition(":")[2]), headers)
    yield site, f"https://127.0.0.1:{proxy.port}"
    proxy.close()


def test_pages_when_over_tls_then_are_live_and_their_cookies_secure(
    proxied: tuple[Any, str], clean_page: Page, log_in_to: Callable[[str, str], Page]
) -> None:
    site, address = proxied
    page = log_in_to(address, "olga")
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    site.hub.publish(chain())
    expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert {"__Host-tradebot", "__Host-tradebot_browser"} <= set(cookies)
    assert all(cookie["secure"] and cookie["httpOnly"] for cookie in cookies.values())
    page.get_by_role("link", name="Kill switch").click()
    page.get_by_label("Type KILL to confirm").fill("KILL")
    page.get_by_label("Reason").fill("drill")
    page.get_by_role("button", name="Halt the chain now").click()
    expect(page.get_by_text("Halt 1 is on disk")).to_be_visible()

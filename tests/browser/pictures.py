"""A picture of every page in both themes at both widths, to be looked at by a person; no test, so it runs by its name.

    pytest tests/browser/pictures.py    # into test-results/pictures, or the folder that $PICTURES names

Each file is named by phase, what the page shows, page, width and theme: main-filled-trades-360-dark.png. Pages of the
main phase are taken filled, empty, stale, without the link, and as the roles see them that may not do everything.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from chain_day import heard, play_a_day, play_trades
from msgspec import structs
from planted_secrets import provision
from playwright.sync_api import Page, expect
from real_books import RealBooks
from test_every_page import ROLES, EmptyBooks, pages_of
from test_holdings_pages import SETTINGS, snapshot, write_records
from test_screens import write_list, write_log

from bus import messages as m
from config.users import User
from config.vault import Vault

pytestmark = pytest.mark.browser
FOLDER: Final = Path(os.environ.get("PICTURES", "test-results/pictures"))
SIZES: Final = ((1440, 900), (360, 740))
#: Pages of one thing, by the thing that the filled home has.
OF_ONE_THING: Final = {"orders.chain": "?intent=i-TSLA", "journal.show_entry": "?seq=3"}
LIVE: Final = ("/", "/trades", "/holdings", "/candidates")


@pytest.fixture
def people(password_hash: str) -> tuple[User, ...]:
    return tuple(User(name=name, password_hash=password_hash, role=role) for name, role in ROLES.items())


def take(page: Page, name: str) -> None:
    """Take a page as it is at both widths in both themes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]  # two of its words
            page.wait_for_function("s => document.documentElement.dataset.bsTheme === s", arg=theme)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=FOLDER / f"{name}-{width}-{theme}.png", full_page=True)


def test_first_phases(serve: Callable[..., Any], clean_page: Page) -> None:
    site = serve()
    clean_page.goto(f"{site.address}/configuration")
    take(clean_page, "bootstrap-configuration")
    clean_page.get_by_role("button", name="Save").last.click()
    take(clean_page, "bootstrap-configuration_refused")
    provision(site.paths.root)
    clean_page.goto(site.address)
    take(clean_page, "registration-registration")


def test_log_in(site: Any, clean_page: Page) -> None:
    clean_page.goto(f"{site.address}/login")
    take(clean_page, "main-log_in")
    clean_page.get_by_label("User name").fill("olga")
    clean_page.get_by_label("Password").fill("wrong wrong wrong")
    clean_page.get_by_role("button", name="Log in").click()
    take(clean_page, "main-log_in_refused")


def stopped(site: Any) -> None:
    """Let one stream be stopped."""
    stop = m.StoppedStream(
        sender="risk", rule="regressed_producer", seq=198, detail="198 after 200: it lost its journal"
    )
    site.hub.publish(
        m.Heartbeat(
            ts_event=1, ts_init=1, service="execution", build="b", boot_id="one", pid=1, step=0, state="ready",
            outbox_depth=0, oldest_unacked_ms=0, rejected_messages=0, stopped_streams=(stop,),
        )
    )  # fmt: skip


def test_pages_when_filled(serve: Callable[..., Any], people: tuple[User, ...], log_in_at: Callable[..., Page]) -> None:
    site = serve(users=people, bus_of=RealBooks, has_styleguide=True)
    write_list(site)
    write_log(site, "risk", *([("INFO", "started"), ("WARNING", "MSFT: spread 2.10 %"), ("ERROR", "x" * 300)] * 6))
    write_records(site.paths)
    vault = Vault(site.paths)
    vault.replace(structs.replace(vault.open(), holdings=SETTINGS), vault.generation())
    site.hub.publish(snapshot())
    play_trades(site.hub)
    play_a_day(site.hub)
    stopped(site)
    page = log_in_at(site, "adam")
    with heard(site.hub):
        for endpoint, path in (*pages_of(site)[1], ("styleguide", "/styleguide")):
            page.goto(f"{site.address}{path}{OF_ONE_THING.get(endpoint, '')}")
            expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
            for close in page.get_by_role("button", name="Close notice").all():
                close.click()
            take(page, f"main-filled-{endpoint.replace('.', '_')}")


def test_pages_when_empty(serve: Callable[..., Any], people: tuple[User, ...], log_in_at: Callable[..., Page]) -> None:
    site = serve(users=people, bus_of=EmptyBooks)
    page = log_in_at(site, "adam")
    for endpoint, path in pages_of(site)[1]:
        page.goto(f"{site.address}{path}")
        take(page, f"main-empty-{endpoint.replace('.', '_')}")


@pytest.mark.parametrize("name", ["vera", "olga"])
def test_pages_when_a_role_may_not_do_everything(
    serve: Callable[..., Any], people: tuple[User, ...], log_in_at: Callable[..., Page], name: str
) -> None:
    site = serve(users=people, bus_of=RealBooks)
    play_trades(site.hub)
    play_a_day(site.hub)
    page = log_in_at(site, name)
    with heard(site.hub):
        for path in ("/", "/books/journal", "/holdings", "/settings", "/users", "/account"):
            page.goto(f"{site.address}{path}")
            take(page, f"main-{ROLES[name]}-{path.strip('/').replace('/', '_') or 'dashboard'}")


def test_pages_when_stale_and_without_the_link(
    serve: Callable[..., Any],
    people: tuple[User, ...],
    log_in_at: Callable[..., Page],
    expected_faults: list[str],
) -> None:
    expected_faults.append("ERR_")
    site = serve(users=people, bus_of=RealBooks)
    play_trades(site.hub)
    play_a_day(site.hub)
    page = log_in_at(site, "adam")
    for path in LIVE:
        page.goto(f"{site.address}{path}")
        expect(page.locator("#stale")).to_be_visible(timeout=10_000)
        take(page, f"main-stale-{path.strip('/') or 'dashboard'}")
    page.goto(site.address)
    expect(page.locator("#equity")).to_have_text("$100,169.00")
    for pattern in ("**/stream", "**/api/snapshot"):
        page.route(pattern, lambda route: route.abort())
    site.hub.close()
    expect(page.locator("#lost")).to_be_visible(timeout=10_000)
    take(page, "main-lost-dashboard")

"""Every page of the navigation's table, also those that come later: each role, empty, and stale."""

from collections.abc import Callable
from typing import Any

import pytest
from chain_day import chain, play_a_day, play_trades
from flask import Flask
from playwright.sync_api import Page, expect
from real_books import RealBooks

from config.users import Role, User
from services.web import navigation, security
from services.web.app import create_app
from services.web.hub import StatusHub

pytestmark = pytest.mark.browser
ROLES: dict[str, Role] = {"vera": "viewer", "olga": "operator", "adam": "admin"}
#: What the path of some pages names.
OF_WHAT = {"kind": "rebalance", "purpose": "TAX"}
#: Pages that are of one thing, which the address names: without it they say that there is none.
OF_ONE_THING = {"orders.chain", "journal.show_entry", "holdings.preview"}


class EmptyBooks(RealBooks):
    """A ledger in which nothing is booked."""

    def __init__(self, *where: Any) -> None:
        super().__init__(*where, is_empty=True)


@pytest.fixture
def place(serve: Callable[..., Any], password_hash: str) -> Any:
    users = tuple(User(name=name, password_hash=password_hash, role=role) for name, role in ROLES.items())
    return serve(users=users, bus_of=EmptyBooks)


def pages_of(site: Any) -> tuple[Flask, list[tuple[str, str]]]:
    """Return the endpoints of all pages, each with its path."""
    app = create_app(site.paths, StatusHub())
    with app.test_request_context():
        adapter = app.url_map.bind("127.0.0.1")
        rules = {rule.endpoint: rule for rule in app.url_map.iter_rules()}
        found = [
            (
                page.endpoint,
                adapter.build(page.endpoint, {name: OF_WHAT[name] for name in rules[page.endpoint].arguments}),
            )
            for page in navigation.PAGES
        ]
    return app, found


@pytest.mark.parametrize("name", ROLES)
def test_pages_when_asked_by_a_role_then_open_or_say_which_permission_lacks(
    place: Any, log_in_at: Callable[[Any, str], Page], name: str
) -> None:
    app, pages = pages_of(place)
    page = log_in_at(place, name)
    refused = 0
    for endpoint, path in pages:
        permission = security.permission_of(app, endpoint)
        assert permission is not None, endpoint
        answer = page.goto(f"{place.address}{path}")
        assert answer is not None
        main = page.locator("main")
        expect(main.get_by_role("heading", level=1)).to_be_visible()
        in_menu = page.locator(f'nav.side a[href="{path}"]').count()
        if permission in security.PERMISSIONS[ROLES[name]]:
            assert answer.status < 300 or endpoint in OF_ONE_THING, endpoint
            assert in_menu == (0 if navigation.page_of(endpoint).parent else 1), endpoint  # type: ignore[union-attr]  # it is of the table
        else:
            refused += 1
            assert answer.status == 403, endpoint
            expect(main).to_contain_text(f"your role '{ROLES[name]}' does not have the permission '{permission}'")
            assert (in_menu, main.locator("form").count()) == (0, 0), endpoint
    assert (refused == 0) == (name == "adam")


def test_pages_when_there_is_nothing_to_show_then_none_is_blank(
    place: Any, log_in_at: Callable[[Any, str], Page]
) -> None:
    page = log_in_at(place, "adam")
    for endpoint, path in pages_of(place)[1]:
        page.goto(f"{place.address}{path}")
        main = page.locator("main")
        expect(main.get_by_role("heading", level=1)).to_be_visible()
        # A table without rows says in its panel why there are none.
        for table in main.locator("table").all():
            panel = table.locator("xpath=ancestor::*[contains(@class, 'panel')][1]")
            is_told = (
                not table.is_visible() or table.locator("tbody tr").count() or panel.locator(".empty:visible").count()
            )
            assert is_told, f"{endpoint} has a table that says nothing: {panel.inner_text()}"
        assert len(main.inner_text().split()) > 5, endpoint


def test_pages_when_the_watchdog_falls_silent_then_each_says_stale_and_greys_what_is_live(
    place: Any, log_in_at: Callable[[Any, str], Page]
) -> None:
    play_trades(place.hub)
    play_a_day(place.hub)
    page = log_in_at(place, "adam")
    expect(page.locator("#stale")).to_be_visible(timeout=10_000)
    for endpoint, path in pages_of(place)[1]:
        page.goto(f"{place.address}{path}")
        expect(page.locator("#stale")).to_be_visible(timeout=10_000)
        expect(page.locator("#chain-pill")).to_contain_text("stale")
        for live in page.locator("[data-live]").all():
            assert "is-stale" in (live.get_attribute("class") or ""), endpoint
    place.hub.publish(chain())
    expect(page.locator("#stale")).to_be_hidden()

"""The pages a person can go to: one table for the navigation, the breadcrumb and the titles.

A page's permission is not said here: its view carries it, so the navigation can never offer what the view refuses.
"""

from dataclasses import dataclass
from typing import Final, Literal

from flask import Flask, url_for

from services.web import security

Group = Literal["Trading", "Books", "Bot", "People"]
GROUPS: Final[tuple[Group, ...]] = ("Trading", "Books", "Bot", "People")


@dataclass(frozen=True)
class Page:
    """One page: the endpoint of its view, its name, and its place.

    `parent` is the endpoint of the page that leads to it; such a page stands in the breadcrumb, not in the navigation.
    `forms` are the endpoints that take its forms, and show it again when something is wrong with them.
    """

    endpoint: str
    label: str
    group: Group
    parent: str = ""
    forms: tuple[str, ...] = ()


#: In the order of the navigation. A blueprint that adds a page adds its line here.
PAGES: Final[tuple[Page, ...]] = (
    Page("dashboard.show", "Dashboard", "Trading"),
    Page("control.show_arm", "Arm", "Trading", parent="dashboard.show", forms=("control.arm",)),
    Page("control.show_stop", "Pause entries", "Trading", parent="dashboard.show", forms=("control.stop",)),
    Page("control.show_kill", "Kill switch", "Trading", parent="dashboard.show", forms=("control.kill",)),
    Page("candidates.show", "Candidates", "Trading"),
    Page("trades.show", "Trades", "Trading"),
    Page("orders.chain", "Order", "Trading", parent="trades.show"),
    Page("journal.show", "Journal", "Books"),
    Page("journal.show_entry", "Entry", "Books", parent="journal.show", forms=("journal.reverse",)),
    Page("coa.show", "Chart of accounts", "Books", forms=("coa.change", "coa.export")),
    Page("coa.show_versions", "Versions", "Books", parent="coa.show"),
    Page(
        "reconciliation.show",
        "Reconciliation",
        "Books",
        forms=("reconciliation.reconcile", "reconciliation.explain", "reconciliation.tell"),
    ),
    Page("reports.show", "Reports", "Books"),
    Page("ledger_files.show", "Files", "Books", forms=("ledger_files.export",)),
    Page("holdings.show", "Holdings", "Books", forms=("holdings.save",)),
    Page("holdings.preview", "Run", "Books", parent="holdings.show", forms=("holdings.run",)),
    Page("holdings.show_payout", "Payout", "Books", parent="holdings.show", forms=("holdings.pay",)),
    Page("holdings.report", "Report", "Books", parent="holdings.show"),
    Page("alerts.show", "Alerts", "Bot", forms=("alerts.acknowledge",)),
    Page("logs.show", "Logs", "Bot"),
    Page("streams.show", "Stopped streams", "Bot", forms=("streams.resolve",)),
    Page("settings.show", "Settings", "Bot", forms=("settings.edit", "settings.review", "settings.save")),
    Page("settings.show_history", "History of settings", "Bot", parent="settings.show"),
    Page("settings.show_identity", "Identity", "Bot", parent="settings.show"),
    Page(
        "credentials.show",
        "Credentials",
        "Bot",
        forms=("credentials.test", "credentials.replace", "credentials.forget"),
    ),
    Page(
        "backups.show", "Backups", "Bot", forms=("backups.verify", "backups.verify_archive", "backups.verify_secrets")
    ),
    Page("test_mode.show", "Test mode", "Bot", forms=("test_mode.start", "test_mode.stop")),
    Page("golive.show", "Going live", "Bot"),
    Page("help.show", "Help", "Bot"),
    Page(
        "account.show",
        "My account",
        "People",
        forms=(
            "account.change_password",
            "account.begin_second_factor",
            "account.confirm_second_factor",
            "account.remove_second_factor",
            "account.renew_recovery_codes",
            "account.end_sessions",
        ),
    ),
    Page(
        "users.show",
        "Users",
        "People",
        forms=(
            "users.add",
            "users.change_role",
            "users.disable",
            "users.enable",
            "users.reset_password",
            "users.remove_second_factor",
            "users.end_sessions",
        ),
    ),
    Page("audit.show", "Audit log", "People", forms=("audit.verify",)),
)
_BY_ENDPOINT: Final = {name: page for page in PAGES for name in (page.endpoint, *page.forms)}


@dataclass(frozen=True)
class Link:
    """One link as the page shows it; `is_open` marks the page itself, or the one it belongs to."""

    url: str
    label: str
    is_current: bool
    is_open: bool


@dataclass(frozen=True)
class Place:
    """Where a page stands: its group, its parent where it has one, its own name."""

    group: Group
    parent: Link | None
    label: str


def page_of(endpoint: str | None) -> Page | None:
    """Return the page of an endpoint, None for what stands in no navigation."""
    return _BY_ENDPOINT.get(endpoint or "")


def menu(app: Flask, endpoint: str | None) -> tuple[tuple[Group, tuple[Link, ...]], ...]:
    """Return the groups with the links that whoever asks may follow; a group without any is left out."""
    here = page_of(endpoint)
    open_endpoint = (here.parent or here.endpoint) if here else ""
    found = []
    for group in GROUPS:
        links = tuple(
            Link(url_for(page.endpoint), page.label, page is here, page.endpoint == open_endpoint)
            for page in PAGES
            if page.group == group and not page.parent and _may_open(app, page.endpoint)
        )
        if links:
            found.append((group, links))
    return tuple(found)


def place(endpoint: str | None) -> Place | None:
    """Return where the page of an endpoint stands; None for what stands in no navigation."""
    here = page_of(endpoint)
    if here is None:
        return None
    above = page_of(here.parent)
    parent = Link(url_for(above.endpoint), above.label, is_current=False, is_open=True) if above else None
    return Place(here.group, parent, here.label)


def _may_open(app: Flask, endpoint: str) -> bool:
    permission = security.permission_of(app, endpoint)
    return permission is not None and security.may(permission)

"""The pages of the account, of the users and of the audit log, in a real Chromium."""

import re
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from canaries import PASSWORD
from playwright.sync_api import Page, expect

from bus.clock import NS_PER_SECOND, utc_ns
from config.user_rules import user_named
from config.users import User
from config.vault import Vault
from services.web.audit_log import AuditFilter, AuditLog

pytestmark = pytest.mark.browser
CheckPage = Callable[[Page, str], None]
LogIn = Callable[[Any, str], Page]


@pytest.fixture
def place(serve: Callable[..., Any], password_hash: str) -> Any:
    """A web interface with a user of each role."""
    roles = {"adam": "admin", "olga": "operator", "vera": "viewer"}
    return serve(
        users=tuple(User(name=name, password_hash=password_hash, role=role) for name, role in roles.items())  # type: ignore[arg-type] # each is a Role
    )


def confirm(section: Any) -> None:
    field = section.get_by_label("Your password again")
    if field.count():
        field.first.fill(PASSWORD)


def test_account_when_a_second_factor_is_set_up_then_logging_in_takes_a_code(
    place: Any, log_in_at: LogIn, check_page: CheckPage
) -> None:
    page = log_in_at(place, "vera")
    page.goto(f"{place.address}/account")
    check_page(page, "account")
    section = page.locator("section", has_text="With a second factor")
    confirm(section)
    section.get_by_role("button", name="Set it up").click()
    check_page(page, "account-set-up")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    secret = page.locator("ol code").inner_text()
    page.get_by_label("Code", exact=True).fill(pyotp.TOTP(secret).at(utc_ns() // NS_PER_SECOND))
    page.get_by_role("button", name="Switch the second factor on").click()
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    assert page.locator(".codes li").count() == 10
    check_page(page, "account-codes")
    code = page.locator(".codes code").first.inner_text()
    page.context.clear_cookies()
    page.goto(f"{place.address}/login")
    page.get_by_label("User name").fill("vera")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The user name, the password or the code is wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code, if you have set one up").fill(code)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Dashboard").wait_for(state="attached")


def test_users_when_one_is_added_and_disabled_then_the_page_and_the_audit_log_say_so(
    place: Any, log_in_at: LogIn, check_page: CheckPage
) -> None:
    page = log_in_at(place, "adam")
    page.goto(f"{place.address}/users")
    check_page(page, "users")
    add = page.locator("section", has=page.get_by_role("heading", name="Add a user"))
    add.get_by_label("User name").fill("ida")
    add.get_by_label("First password").fill("short")
    confirm(add)
    add.get_by_role("button", name="Add the user").click()
    expect(page.get_by_role("alert")).to_contain_text("it must have at least 15. Nothing was changed.")
    check_page(page, "users-refused")
    add.get_by_label("First password").fill("first words of an admin")
    confirm(add)
    add.get_by_role("button", name="Add the user").click()
    expect(page.get_by_text("ida can log in.")).to_be_visible()
    olga = page.locator("section", has=page.get_by_role("heading", name="olga"))
    olga.get_by_text("Change olga").click()
    check_page(page, "users-open")
    olga.get_by_role("button", name="Disable olga").click()
    expect(page.get_by_text("olga cannot log in any more")).to_be_visible()
    assert not user_named(Vault(place.paths).open().users, "olga").is_active
    page.goto(f"{place.address}/audit")
    check_page(page, "audit")
    expect(page.get_by_role("cell", name="user_disabled")).to_be_visible()
    page.get_by_label("What", exact=True).select_option("user_added")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile(r"what=user_added"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Text").fill("no such text")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No row matches these filters.")).to_be_visible()
    check_page(page, "audit-empty")
    page.get_by_role("button", name="Verify the whole log").click()
    expect(page.get_by_text(re.compile(r"All \d+ rows are as they were written"))).to_be_visible()
    assert AuditLog(place.paths).verify().fault == ""
    assert {row.actor for row in AuditLog(place.paths).rows(AuditFilter())} == {"adam"}


@pytest.mark.parametrize(("name", "path"), [("olga", "/users"), ("vera", "/users"), ("olga", "/audit")])
def test_page_when_the_role_forbids_it_then_says_so(
    place: Any, log_in_at: LogIn, check_page: CheckPage, name: str, path: str
) -> None:
    page = log_in_at(place, name)
    page.goto(f"{place.address}{path}")
    expect(page.get_by_text("does not have the permission")).to_be_visible()
    check_page(page, f"refused-{name}-{path[1:]}")

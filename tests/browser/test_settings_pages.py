"""Settings, credentials and backups as a person sees them: happy, refused, empty, in conflict, wide and narrow."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from canaries import PASSWORD
from playwright.sync_api import BrowserContext, Page, expect

from config.connection_check import Answer
from config.env_bot import proposals
from config.users import User
from config.vault import Vault
from services.web import backups_web, credentials_web
from services.web.backups_web import Base, Ledger, Segment
from services.web.short_process import Job, Outcome

pytestmark = pytest.mark.browser
LEDGER = Ledger(
    ledger="/srv/tradebot/home/entities/TBOT_USA/TBOT_USA_main_PAPER_BOT01_BOT_ledger.db",
    entry=1204,
    link=1210,
    covered_link=1210,
    bases=tuple(
        Base(
            link=link,
            entry=link - 6,
            recorded_at_utc="2025-03-12T13:00:00.000000000Z",
            size_bytes=90_112 + link,
            file=f"/srv/b/{link:012d}.db",
        )
        for link in (6, 506, 1006)
    ),
    redo=(Segment(first_link=1007, size_bytes=70_001, file="/srv/r/000000001007.redo"),),
)


@pytest.fixture
def served(serve: Callable[..., Any], password_hash: str) -> Any:
    """A configured web interface with an administrator, adam, and a viewer, vera."""
    return serve(
        users=(
            User(name="adam", password_hash=password_hash, role="admin"),
            User(name="vera", password_hash=password_hash, role="viewer"),
        )
    )


@pytest.fixture
def adam(served: Any, log_in_at: Callable[[Any, str], Page]) -> Page:
    return log_in_at(served, "adam")


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Stand in for the ledger's verbs; returns what was run."""
    jobs: list[Job] = []

    def run(_paths: Any, job: Job) -> Outcome:
        jobs.append(job)
        listed = msgspec.json.encode(LEDGER).decode()
        said = "sound: 1204 entries in 1210 links, newest hash 5f2c\n"
        return Outcome(code=0, out=listed if "--json" in job.arguments else said, err="")

    monkeypatch.setattr(backups_web, "run", run)
    return jobs


def store(served: Any, **changes: str) -> None:
    """Save settings as somebody else does."""
    vault = Vault(served.paths)
    secrets = vault.open()
    after = msgspec.structs.replace(secrets, settings={**secrets.settings, **changes})
    vault.replace(after, secrets.generation)


def confirm(page: Page, reason: str) -> None:
    page.get_by_label("Reason").fill(reason)
    page.get_by_label("Your password again").fill(PASSWORD)


@pytest.mark.parametrize("path", ["/settings", "/settings/history", "/settings/identity", "/credentials", "/backups"])
def test_pages_when_a_viewer_asks_then_says_which_permission_lacks(
    served: Any, log_in_at: Callable[[Any, str], Page], ledger: list[Job], path: str
) -> None:
    page = log_in_at(served, "vera")
    page.goto(f"{served.address}{path}")
    expect(page.locator("main")).to_contain_text("your role 'viewer' does not have the permission")


def test_settings_when_found_changed_reviewed_and_confirmed_then_saved(
    adam: Page, served: Any, check_page: Callable[[Page, str], None]
) -> None:
    adam.goto(f"{served.address}/settings")
    check_page(adam, "settings")
    adam.get_by_label("Find a setting").fill("daily loss")
    expect(adam.locator("#find-count")).to_contain_text(f"of {len(proposals())} settings")
    expect(adam.get_by_label("DAILY_LOSS_LIMIT")).to_be_visible()
    expect(adam.get_by_label("LOG_FORMAT")).to_be_hidden()
    adam.get_by_label("DAILY_LOSS_LIMIT").fill("3")
    expect(adam.locator("#change-count")).to_have_text("1 changed, not saved yet")
    sent: list[str] = []
    adam.on("request", lambda one: sent.append(one.post_data or "") if one.method == "POST" else None)
    adam.get_by_role("button", name="Review the changes").click()
    names = {pair.split("=")[0] for pair in sent[0].split("&")}
    assert {name for name in names if not name.startswith(("was.", "csrf"))} == {"DAILY_LOSS_LIMIT"}
    expect(adam.get_by_text("This raises a limit from 2 to 3")).to_be_visible()
    check_page(adam, "settings-review")
    confirm(adam, "a trial of wider limits")
    adam.get_by_role("button", name="Save as a new generation").click()
    expect(adam.get_by_text("The dangers of this change are not confirmed")).to_be_visible()
    adam.get_by_label("I have read this").check()
    # The password counts for five minutes, so it may be asked again or not.
    if adam.get_by_label("Your password again").count():
        adam.get_by_label("Your password again").fill(PASSWORD)
    adam.get_by_role("button", name="Save as a new generation").click()
    expect(adam.get_by_text("Saved as generation 2: 1 changed.")).to_be_visible()
    assert Vault(served.paths).open().settings["DAILY_LOSS_LIMIT"] == "3"
    adam.get_by_label("only those that differ from their proposal").check()
    expect(adam.locator("#find-count")).to_have_text(f"1 of {len(proposals())} settings")
    adam.get_by_role("link", name="changed by adam").click()
    expect(adam.locator("#history tbody tr")).to_have_count(1)
    check_page(adam, "settings-history")


def test_settings_when_something_is_wrong_then_the_fault_is_named_and_one_click_away(
    adam: Page, served: Any, check_page: Callable[[Page, str], None]
) -> None:
    adam.goto(f"{served.address}/settings")
    adam.get_by_label("MAX_SPREAD").fill("9")
    adam.get_by_label("TRADING_DAYS").fill("Mon,Funday")
    adam.get_by_role("button", name="Review the changes").click()
    expect(adam.get_by_role("alert")).to_contain_text("2 faults: nothing was saved")
    expect(adam.get_by_label("MAX_SPREAD")).to_have_value("9")
    expect(adam.get_by_label("MAX_SPREAD")).to_have_attribute("aria-invalid", "true")
    check_page(adam, "settings-faults")
    adam.get_by_role("alert").get_by_role("link", name="MAX_SPREAD is 9").click()
    assert adam.url.endswith("#MAX_SPREAD")


def test_settings_when_somebody_else_saved_then_both_are_shown_and_the_choice_goes_on(
    adam: Page, served: Any, check_page: Callable[[Page, str], None]
) -> None:
    adam.goto(f"{served.address}/settings")
    adam.get_by_label("MAX_OPEN_POSITIONS").fill("3")
    adam.get_by_label("MAX_ORDER_SHARES").fill("500")
    store(served, MAX_OPEN_POSITIONS="4", LOG_FORMAT="CSV")
    adam.get_by_role("button", name="Review the changes").click()
    expect(adam.get_by_role("heading", name="Somebody else saved first")).to_be_visible()
    expect(adam.locator("#theirs tbody tr")).to_have_count(2)
    check_page(adam, "settings-conflict")
    adam.get_by_label("Take what you typed").check()
    adam.get_by_role("button", name="Review the changes again").click()
    confirm(adam, "fewer positions")
    adam.get_by_role("button", name="Save as a new generation").click()
    expect(adam.get_by_text("Saved as generation 3: 2 changed.")).to_be_visible()
    saved = Vault(served.paths).open().settings
    assert (saved["MAX_OPEN_POSITIONS"], saved["MAX_ORDER_SHARES"], saved["LOG_FORMAT"]) == ("3", "500", "CSV")


def test_settings_when_of_an_older_version_then_new_ones_are_marked_and_saved(
    adam: Page, served: Any, check_page: Callable[[Page, str], None]
) -> None:
    vault = Vault(served.paths)
    secrets = vault.open()
    older = {key: text for key, text in secrets.settings.items() if key not in {"PRICE_COLLAR", "LOG_FORMAT"}}
    vault.replace(msgspec.structs.replace(secrets, settings={**older, "SETTING_OF_OLD": "1"}), secrets.generation)
    adam.goto(f"{served.address}/settings")
    expect(adam.get_by_text("2 are new")).to_be_visible()
    expect(adam.get_by_text("new in this version")).to_have_count(2)
    check_page(adam, "settings-upgrade")
    adam.get_by_role("button", name="Review the changes").click()
    confirm(adam, "update")
    adam.get_by_role("button", name="Save as a new generation").click()
    expect(adam.get_by_text("Saved as generation 3: 3 changed.")).to_be_visible()
    assert vault.open().settings == proposals()


def test_history_when_nothing_was_changed_and_identity_then_say_so(
    adam: Page, served: Any, check_page: Callable[[Page, str], None]
) -> None:
    adam.goto(f"{served.address}/settings/history")
    expect(adam.get_by_text("Nothing was changed yet")).to_be_visible()
    adam.goto(f"{served.address}/settings/identity")
    expect(adam.get_by_text("home of its own")).to_be_visible()
    check_page(adam, "identity")


def test_credentials_when_entered_tested_and_saved_then_set_and_nothing_of_them_is_shown(
    adam: Page, served: Any, check_page: Callable[[Page, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        Answer(is_in=False, words=("Alpaca refuses the keys alpaca_trading_key and alpaca_trading_secret.",)),
        Answer(is_in=True, words=("Alpaca's paper account answers: no money.",)),
    ]

    def run(_paths: Any, _job: Job) -> Outcome:
        answer = answers.pop(0)
        return Outcome(code=0 if answer.is_in else 1, out=msgspec.json.encode(answer).decode(), err="")

    monkeypatch.setattr(credentials_web, "run", run)
    adam.goto(f"{served.address}/credentials")
    check_page(adam, "credentials-empty")
    box = adam.locator("#provider-alpaca")
    for words in ("Not let in. Alpaca refuses the keys", "Alpaca, trading: replaced with generation 2"):
        # Open after a refusal, closed before.
        if not box.get_by_label("Alpaca trading key", exact=True).is_visible():
            box.get_by_text("Enter", exact=False).first.click()
        box.get_by_label("Alpaca trading key", exact=True).fill("PKCANARY0KEY")
        box.get_by_label("Alpaca trading secret", exact=True).fill("canary0secret")
        box.get_by_label("Reason").fill("first keys")
        if box.get_by_label("Your password again").count():
            box.get_by_label("Your password again").fill(PASSWORD)
        box.get_by_role("button", name="Save", exact=True).click()
        expect(adam.get_by_text(words)).to_be_visible()
    assert "CANARY" not in adam.content().upper()
    expect(box.get_by_text("✓ set")).to_have_count(2)
    box.locator("summary").first.click()
    check_page(adam, "credentials")


def test_backups_when_opened_and_verified_then_lists_says_and_offers_no_restore(
    adam: Page, served: Any, ledger: list[Job], check_page: Callable[[Page, str], None]
) -> None:
    adam.goto(f"{served.address}/backups")
    expect(adam.locator("#bases tbody tr")).to_have_count(3)
    adam.get_by_role("button", name="Verify the ledger").click()
    expect(adam.get_by_text("sound: 1204 entries in 1210 links")).to_be_visible()
    expect(adam.get_by_role("button", name="Restore")).to_have_count(0)
    check_page(adam, "backups")


def test_backups_when_there_is_no_ledger_then_the_page_says_when_it_is_made(
    adam: Page, served: Any, check_page: Callable[[Page, str], None]
) -> None:
    adam.goto(f"{served.address}/backups")
    expect(adam.get_by_text("it is made when the ledger service first starts")).to_be_visible()
    check_page(adam, "backups-empty")


def test_settings_when_there_is_no_script_then_it_works_all_the_same(
    served: Any, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{served.address}/login")
    page.get_by_label("User name").fill("adam")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.goto(f"{served.address}/settings")
    expect(page.locator("#find")).to_be_hidden()
    page.get_by_label("MAX_OPEN_POSITIONS").fill("2")
    page.get_by_role("button", name="Review the changes").click()
    expect(page.locator("#changes tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Back to the form").click()
    expect(page.get_by_label("MAX_OPEN_POSITIONS")).to_have_value("2")
    page.get_by_role("button", name="Review the changes").click()
    confirm(page, "fewer positions")
    page.get_by_role("button", name="Save as a new generation").click()
    expect(page.get_by_text("Saved as generation 2: 1 changed.")).to_be_visible()

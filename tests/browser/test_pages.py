"""What a person sees and does, from the first configuration to the kill switch."""

from collections.abc import Callable
from typing import Any

import pytest
from canaries import PASSWORD
from chain_day import OPEN_NS, chain, denied, heard, play_a_day, play_trades, portfolio
from playwright.sync_api import BrowserContext, Page, expect

from bus import messages as m
from bus.clock import utc_ns
from bus.control import ControlFolder
from bus.lifecycle import EFFECTS
from config.bootstrap_token import BootstrapToken
from config.vault import Vault

pytestmark = pytest.mark.browser


def test_first_steps_when_filled_in_then_lead_to_log_in_and_dashboard(
    serve: Callable[..., Any], clean_page: Page, check_page: Callable[[Page, str], None]
) -> None:
    site = serve()
    clean_page.goto(site.address)
    expect(clean_page.get_by_role("heading", name="First configuration")).to_be_visible()
    check_page(clean_page, "configuration")
    clean_page.get_by_label("One-time token").fill(BootstrapToken(site.paths, utc_ns).issue())
    clean_page.get_by_label("MAX_OPEN_POSITIONS").fill("900")
    clean_page.get_by_role("button", name="Save").click()
    expect(clean_page.get_by_role("alert")).to_contain_text("1 fault: nothing was saved")
    check_page(clean_page, "configuration-faults")
    assert not Vault(site.paths).is_provisioned()
    clean_page.get_by_label("One-time token").fill(BootstrapToken(site.paths, utc_ns).issue())
    clean_page.get_by_label("MAX_OPEN_POSITIONS").fill("4")
    clean_page.get_by_role("button", name="Save").click()
    expect(clean_page.get_by_role("heading", name="Registration")).to_be_visible()
    check_page(clean_page, "registration")
    clean_page.get_by_label("Password", exact=True).fill("short")
    clean_page.get_by_role("button", name="Register").click()
    expect(clean_page.get_by_role("alert")).to_contain_text("2 faults: nothing was saved")
    check_page(clean_page, "registration-faults")
    clean_page.get_by_label("Password", exact=True).fill(PASSWORD)
    clean_page.get_by_label("Password again").fill(PASSWORD)
    clean_page.get_by_role("button", name="Register").click()
    expect(clean_page.get_by_role("heading", name="Log in")).to_be_visible()
    check_page(clean_page, "login")
    clean_page.get_by_label("User name").fill("admin")
    clean_page.get_by_label("Password").fill(PASSWORD)
    clean_page.get_by_role("button", name="Log in").click()
    expect(clean_page.locator("#chain-pill")).to_have_text("no status yet")
    check_page(clean_page, "dashboard-empty")
    assert Vault(site.paths).open().settings["MAX_OPEN_POSITIONS"] == "4"


def test_dashboard_when_the_chain_speaks_then_shows_it_without_a_reload(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    play_trades(site.hub)
    play_a_day(site.hub)
    page = log_in()
    expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
    expect(page.locator("#equity")).to_have_text("$100,169.00")
    expect(page.locator("#day-pnl")).to_have_text("▲ +$169.00")
    positions = page.locator("#positions tbody tr")
    expect(positions).to_have_count(2)
    expect(positions.nth(0)).to_contain_text("99.47")
    expect(positions.nth(1)).to_contain_text("no stop rests")
    expect(page.locator("#orders")).to_contain_text("insufficient buying power")
    expect(page.locator("#denied")).to_contain_text("max_spread")
    expect(page.locator("#services tbody tr")).to_have_count(5)
    expect(page.locator("#curve canvas").first).to_be_visible()
    expect(page.locator("#clock")).to_contain_text("New York")
    page.get_by_text("As a table").click()
    expect(page.locator("#curve-rows tbody tr")).to_have_count(120)
    site.hub.publish(portfolio(98_750 * m.MICROS, 120))
    expect(page.locator("#curve-rows tbody tr").first).to_contain_text("98,750.00")
    page.get_by_text("As a table").click()
    expect(page.locator("#day-pnl")).to_have_text("▼ -$1,250.00")
    expect(page.locator("#loss")).to_have_text("62.50 %")
    site.hub.publish(chain("HALTED"))
    expect(page.locator("#chain-pill")).to_have_text("HALTED")
    expect(page.locator("#chain-words")).to_contain_text("Only an operator can arm again")
    expect(page.locator("#stopped-words")).to_have_text(EFFECTS["HALTED"].stopped)
    expect(page.locator("#goes-on-words")).to_have_text(EFFECTS["HALTED"].goes_on)
    site.hub.publish(portfolio(100_169 * m.MICROS, 121))
    with heard(site.hub):
        expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
        check_page(page, "dashboard")


def test_filters_when_changed_then_tables_follow(site: Any, log_in: Callable[..., Page]) -> None:
    play_a_day(site.hub)
    page = log_in("vera")
    expect(page.locator("#orders tbody tr")).to_have_count(4)
    page.get_by_label("Which orders").select_option("refused")
    expect(page.locator("#orders tbody tr")).to_have_count(1)
    page.get_by_label("Which names").select_option("out")
    expect(page.locator("#candidates")).to_contain_text("PENNY")
    expect(page.locator("#candidates")).to_contain_text("\u2717 price $101.50 ($5.00 to $1000.00)")
    expect(page.locator("#candidates-count")).to_have_text("1 of 6,961")
    page.get_by_label("Which events").select_option("bad")
    expect(page.locator("#events-empty")).to_have_text("None of this kind.")


def test_dashboard_when_the_watchdog_falls_silent_then_says_stale_and_recovers(
    site: Any, log_in: Callable[..., Page]
) -> None:
    site.hub.publish(chain())
    page = log_in()
    expect(page.locator("#chain-pill")).to_contain_text("stale", timeout=10_000)
    expect(page.locator("#stale")).to_be_visible()
    site.hub.publish(chain())
    expect(page.locator("#chain-pill")).to_have_text("ACTIVE")
    expect(page.locator("#stale")).to_be_hidden()


def test_dashboard_when_text_is_markup_then_no_script_runs(site: Any, log_in: Callable[..., Page]) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    site.hub.publish(denied(evil))
    page = log_in("vera")
    expect(page.locator("#denied")).to_contain_text("<img src=x")
    expect(page.locator("#events")).to_contain_text("<script>")
    assert page.locator("main img, main td script").count() == 0
    assert "owned" not in page.title()


def test_kill_when_confirmed_then_halts_and_focus_begins_on_cancel(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    play_a_day(site.hub)
    page = log_in()
    page.get_by_role("link", name="Kill switch").click()
    expect(page.get_by_role("link", name="Cancel")).to_be_focused()
    check_page(page, "kill")
    page.get_by_label("Type KILL to confirm").fill("KILL")
    page.get_by_label("Reason").fill("drill")
    page.get_by_role("button", name="Halt the chain now").click()
    expect(page.get_by_text("Halt 1 is on disk")).to_be_visible()
    assert ControlFolder(site.paths).read().is_halted()


def a_beat(*stopped: m.StoppedStream) -> m.Heartbeat:
    return m.Heartbeat(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        service="execution",
        build="b",
        boot_id="one",
        pid=1,
        step=0,
        state="ready",
        outbox_depth=0,
        oldest_unacked_ms=0,
        rejected_messages=0,
        stopped_streams=stopped,
    )


def test_stopped_streams_when_heard_then_dashboard_leads_to_the_page_where_they_are_answered(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    words = "risk does not fit to execution: 214 messages were taken from it, and it knows of 198"
    unread = "execution cannot read message 31 of watchdog: not a message of the catalogue: invalid byte 0xc1"
    ControlFolder(site.paths).raise_halt("execution", "regressed_producer", words)
    page = log_in()
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    expect(page.locator("#stopped")).to_be_hidden()
    site.hub.publish(
        a_beat(
            m.StoppedStream(sender="risk", rule="regressed_producer", seq=198, detail=words),
            m.StoppedStream(sender="watchdog", rule="poison_message", seq=31, detail=unread),
        )
    )
    expect(page.locator("#stopped")).to_be_visible()
    check_page(page, "dashboard-stopped")
    page.get_by_role("link", name="See what stopped it, and answer").click()
    expect(page.get_by_role("heading", name="From risk to execution")).to_be_visible()
    check_page(page, "streams")
    form = page.get_by_role("form", name="From watchdog to execution")
    form.get_by_label("Reason").fill("seen, not needed")
    form.get_by_label("Your password again").fill("not the password")
    form.get_by_role("button", name="Skip this one message").click()
    expect(page.get_by_role("alert")).to_contain_text("The password is wrong. Nothing was changed.")
    expect(form.get_by_label("Reason")).to_have_value("seen, not needed")
    page.goto(f"{site.address}/control/arm")
    check_page(page, "arm-stopped")
    page.goto(site.address)
    expect(page.locator("#stopped")).to_be_visible()
    site.hub.publish(a_beat())
    expect(page.locator("#stopped")).to_be_hidden()


def test_controls_when_script_is_off_then_their_forms_work_all_the_same(
    site: Any, new_context: Callable[..., BrowserContext]
) -> None:
    context = new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.address}/login")
    page.get_by_label("User name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Arm").click()
    page.get_by_label("Reason").fill("morning check")
    page.get_by_label("Your password again").fill(PASSWORD)
    page.get_by_role("button", name="Arm", exact=True).click()
    expect(page.get_by_text("Armed. The chain becomes active")).to_be_visible()
    record = ControlFolder(site.paths).read().arm
    assert record is not None
    assert record.operator == "olga"
    page.get_by_role("link", name="Pause entries").click()
    page.get_by_label("Reason").fill("lunch")
    page.get_by_role("button", name="Stop new positions").click()
    assert ControlFolder(site.paths).read().is_stop_requested
    page.get_by_role("link", name="Kill switch").click()
    page.get_by_label("Reason").fill("drill")
    page.get_by_label("Type KILL to confirm").fill("kill?")
    page.get_by_role("button", name="Halt the chain now").click()
    assert not ControlFolder(site.paths).read().is_halted()
    page.get_by_label("Type KILL to confirm").fill("KILL")
    page.get_by_role("button", name="Halt the chain now").click()
    expect(page.get_by_text("Halt 1 is on disk")).to_be_visible()
    assert ControlFolder(site.paths).read().is_halted()


def test_theme_when_chosen_then_page_keeps_it(site: Any, log_in: Callable[..., Page]) -> None:
    page = log_in()
    page.emulate_media(color_scheme="light")
    page.locator("summary", has_text="olga").click()
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert site.address in page.url


def test_session_when_it_ends_elsewhere_then_page_leads_to_the_log_in(site: Any, log_in: Callable[..., Page]) -> None:
    page = log_in()
    expect(page.locator("#link-state")).to_have_attribute("data-link", "up")
    page.evaluate(
        "async () => { const csrf_token = document.querySelector('[name=csrf_token]').value;"
        " await fetch('/logout', {method: 'POST', body: new URLSearchParams({csrf_token})}); }"
    )
    site.hub.publish(chain())
    page.wait_for_url(f"{site.address}/login")

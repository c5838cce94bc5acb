"""The page of TEST_MODE in a real Chromium: asked for, followed live, ended; with and without a script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canaries import PASSWORD
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from bus.test_mode import FLAG_FILE, RoutineRecord, RunRecord, read_request, runs_folder, write_run
from replay.selftest.routines import ROUTINES
from replay.session import DEMO_IDENTITY

pytestmark = pytest.mark.browser
AT = "2025-03-12T14:00:00.000Z"
WAITING = tuple(
    RoutineRecord(name=one.name, title=one.title, limit_s=one.limit_s, log=f"{number:02d}_{one.name}.log")
    for number, one in enumerate(ROUTINES, 1)
)
RUN = RunRecord(
    run_id="20250312T140000Z", state="running", asked_by="olga", reason="new build", started_at_utc=AT, routines=WAITING
)


def folder_of(site: Any) -> Path:
    return runs_folder(site.paths, DEMO_IDENTITY)


def after(record: RunRecord, count: int, *, failed: int = -1) -> RunRecord:
    """Return a run of which so many routines have ended, and the next one is on."""
    lines = list(record.routines)
    for number, line in enumerate(lines[: count + 1]):
        if number == count:
            lines[number] = replace(line, state="running", started_at_utc=AT)
        elif number == failed:
            lines[number] = replace(
                line, state="failed", started_at_utc=AT, duration_ms=61_200, todo=ROUTINES[number].todo,
                words="After 10 s the chain does not halt.",
            )  # fmt: skip
        else:
            words = "All 71 files of the home have the sums that they had before."
            lines[number] = replace(line, state="passed", started_at_utc=AT, duration_ms=1_234, words=words)
    return replace(record, routines=tuple(lines))


def test_page_when_a_run_is_asked_for_then_it_is_followed_to_its_end(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    page = log_in()
    page.goto(f"{site.address}/test")
    check_page(page, "test-mode-empty")
    page.get_by_label("Type TEST to confirm").fill("test")
    page.get_by_label("Reason").fill("new build")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("alert").first).to_contain_text("Type the word TEST")
    page.get_by_label("Type TEST to confirm").fill("TEST")
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#test-waiting")).to_be_visible()
    assert read_request(site.paths) is not None
    check_page(page, "test-mode-asked")

    # The watchdog begins the run: the page shows it by itself, and each step of it.
    write_run(folder_of(site), after(RUN, 0))
    expect(page.locator("#routines tbody tr")).to_have_count(len(ROUTINES))
    write_run(folder_of(site), after(RUN, 3, failed=2))
    expect(page.locator('[data-routine="halt_rearm"]')).to_contain_text("After 10 s the chain does not halt")
    expect(page.locator('[data-routine="signal_to_ledger"]')).to_contain_text("running")
    expect(page.locator("#test-note")).to_contain_text("3 of 8 routines have ended")
    check_page(page, "test-mode-running")
    (site.paths.control / FLAG_FILE).unlink()
    write_run(folder_of(site), replace(after(RUN, 8, failed=2), state="failed", ended_at_utc=AT))
    expect(page.get_by_role("button", name="Start the run")).to_be_visible()
    expect(page.locator('[data-routine="halt_rearm"] strong')).to_contain_text("Do not arm")
    check_page(page, "test-mode-failed")

    (folder_of(site) / RUN.run_id / "03_halt_rearm.log").write_text("2025-03-12T14:00:00.000Z halted\n")
    page.get_by_role("link", name="Log of Halt and re-arm").click()
    expect(page.locator("pre")).to_contain_text("halted")
    check_page(page, "test-mode-log")
    with page.expect_download() as got:
        page.get_by_role("link", name="Download all of it").click()
    assert got.value.suggested_filename == "20250312T140000Z_03_halt_rearm.log"
    assert Path(got.value.path()).read_text().endswith("halted\n")


def test_page_when_a_run_is_refused_then_says_why_and_older_runs_can_be_read(
    site: Any, log_in: Callable[..., Page], check_page: Callable[[Page, str], None]
) -> None:
    write_run(folder_of(site), replace(after(RUN, 8), state="passed", ended_at_utc=AT))
    refused = RunRecord(
        run_id="20250313T140000Z", state="refused", asked_by="by hand", started_at_utc=AT, ended_at_utc=AT,
        words="The chain is armed and its session is on, or opens within the hour: it is not disturbed.",
    )  # fmt: skip
    write_run(folder_of(site), refused)
    page = log_in("vera")
    page.goto(f"{site.address}/test")
    expect(page.locator("main")).to_contain_text("it is not disturbed")
    expect(page.locator("main")).to_contain_text("Asked for by hand.")
    expect(page.get_by_role("button", name="Start the run")).to_have_count(0)
    check_page(page, "test-mode-refused")
    page.get_by_role("link", name=RUN.run_id).click()
    expect(page.get_by_role("heading", name="An older run")).to_be_visible()
    expect(page.locator("#routines")).to_contain_text("have the sums that they had before")


def test_page_when_there_is_no_script_then_a_run_is_asked_for_looked_at_and_ended(site: Any, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    try:
        page.goto(f"{site.address}/login")
        page.get_by_label("User name").fill("olga")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{site.address}/test")
        page.get_by_label("Type TEST to confirm").fill("TEST")
        page.get_by_label("Reason").fill("new build")
        page.get_by_role("button", name="Start the run").click()
        write_run(folder_of(site), after(RUN, 2))
        page.get_by_role("link", name="Look again").click()
        expect(page.locator('[data-routine="bus_up"]')).to_contain_text("passed")
        page.get_by_role("button", name="End the run").click()
        expect(page.get_by_role("status").first).to_contain_text("told to end")
        assert not (site.paths.control / FLAG_FILE).exists()
    finally:
        context.close()

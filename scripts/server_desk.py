"""Who sits at the desk: opens the pages in a Chromium, fills them in, and looks at what they say."""

import os
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from playwright.sync_api import Error, Page, expect, sync_playwright

USER: Final = "admin"
PASSWORD: Final = "four words for a server"  # noqa: S105 - of a server that lives for an hour
ARCHIVE_PASSPHRASE: Final = "four words for its archives"  # noqa: S105 - the same
_DEBIAN_CHROMIUM: Final = Path("/usr/lib/chromium/chromium")
_FLAGS: Final = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--ignore-certificate-errors")
_WAIT_MS: Final = 60_000


class Desk:
    """One browser.

    Args:
        address: where the pages are, as seen from the desk.
        closing: what closes the browser at the end.
    """

    def __init__(self, address: str, closing: ExitStack) -> None:
        self.address = address.rstrip("/")
        found = os.environ.get("CHROMIUM") or (str(_DEBIAN_CHROMIUM) if _DEBIAN_CHROMIUM.exists() else None)
        playwright = closing.enter_context(sync_playwright())
        browser = playwright.chromium.launch(args=list(_FLAGS), executable_path=found)
        closing.callback(browser.close)
        self.page: Page = browser.new_page(ignore_https_errors=True)
        self.page.set_default_timeout(_WAIT_MS)
        expect.set_options(timeout=_WAIT_MS)

    def configure(self, token: str, settings: dict[str, str]) -> None:
        """Fill in the first configuration and the registration, and log in."""
        page = self.page
        self._open("/")
        page.get_by_label("One-time token").fill(token)
        for name, text in {"entity_code": "TBOT", "jurisdiction_code": "USA"}.items():
            page.locator(f"#{name}").fill(text)
        self._set(settings)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Registration")).to_be_visible()
        page.locator("#admin_name").fill(USER)
        page.locator("#password").fill(PASSWORD)
        page.locator("#password_again").fill(PASSWORD)
        page.get_by_role("button", name="Register").click()
        self.log_in()

    def log_in(self) -> None:
        """Log in, and wait for the dashboard."""
        page = self.page
        self._open("/login")
        page.get_by_label("User name").fill(USER)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#chain-pill")).to_be_visible()

    def protect_archives(self) -> None:
        """Give the passphrase of the archives on the page of credentials."""
        page = self.page
        page.goto(f"{self.address}/credentials")
        box = page.locator("#provider-archive")
        box.locator("summary", has_text="Enter").click()
        box.locator("#archive_passphrase").fill(ARCHIVE_PASSPHRASE)
        box.get_by_label("Reason").fill("archives")
        self._confirm(box.locator("input[name=password]").count() > 0, box.locator("input[name=password]").fill)
        box.get_by_role("button", name="Save", exact=True).click()
        expect(box.locator("dl.facts").first).to_contain_text("set")
        expect(page.get_by_role("alert")).to_have_count(0)

    def change(self, settings: dict[str, str]) -> None:
        """Change settings on their page, read the review, and save."""
        page = self.page
        page.goto(f"{self.address}/settings")
        self._set(settings)
        page.get_by_role("button", name="Review the changes").click()
        expect(page.get_by_role("heading", name="Review the changes")).to_be_visible()
        if page.get_by_label("I have read this").count():
            page.get_by_label("I have read this").check()
        page.get_by_label("Reason").fill("two hosts")
        self._confirm(page.locator("#password").count() > 0, page.locator("#password").fill)
        page.get_by_role("button", name="Save as a new generation").click()
        expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()

    def arm(self) -> None:
        """Wait until the chain is ready, and arm it."""
        page = self.page
        page.goto(self.address)
        expect(page.locator("#chain-pill")).to_have_text(re.compile("DISARMED|HALTED"))
        page.goto(f"{self.address}/control/arm")
        page.get_by_label("Reason").fill("the first session")
        self._confirm(page.locator("#password").count() > 0, page.locator("#password").fill)
        page.get_by_role("button", name="Arm", exact=True).click()
        expect(page.locator("#chain-pill")).to_have_text("ACTIVE")

    def state(self) -> str:
        """Return the word in the pill at the top."""
        self.page.goto(self.address)
        expect(self.page.locator("#chain-pill")).to_have_text(re.compile("^[A-Z]+"))
        return self.page.locator("#chain-pill").inner_text()

    def going_live(self) -> list[str]:
        """Return the lines of the page Going live, each with what is shown on this home."""
        self.page.goto(f"{self.address}/going-live")
        lines = self.page.locator("#golive-list h3").all_inner_texts()
        return [" ".join(line.split()) for line in lines]

    def _open(self, path: str) -> None:
        """Open a page, and again while its server is still starting."""
        end = time.monotonic() + _WAIT_MS / 1000
        while True:
            try:
                self.page.goto(f"{self.address}{path}")
            except Error:
                if time.monotonic() > end:
                    raise
                time.sleep(1)
            else:
                return

    def _set(self, settings: dict[str, str]) -> None:
        for key, text in settings.items():
            field = self.page.locator(f"[id='{key}']")
            if field.evaluate("one => one.tagName") == "SELECT":
                field.select_option(text)
            else:
                field.fill(text)

    @staticmethod
    def _confirm(is_asked: bool, fill: Callable[[str], None]) -> None:  # noqa: FBT001 - of this class alone
        if is_asked:
            fill(PASSWORD)

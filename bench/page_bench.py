"""How soon the dashboard is painted and shows live figures in a real browser, cold and warm, and what it weighs.

    python bench/page_bench.py [--rounds 5]

A real web server process is fed with what a busy chain says (see sse_bench.py). Each round opens the dashboard in a
browser with an empty cache, and once more with a full one. The exit code is 1 when a median breaks its limit.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright
from sse_bench import PASSWORD, log_in, prepare

from bus.clock import boot_ns
from bus.processes import free_port
from config.paths import HomePaths
from services.web.server import PORT_VARIABLE

COLD_PAINT_MS_MAX: Final = 800.0
WARM_PAINT_MS_MAX: Final = 400.0
LIVE_MS_MAX: Final = 1_500.0
WIRE_KIB_MAX: Final = 150.0
_DEBIAN_CHROMIUM: Final = Path("/usr/lib/chromium/chromium")
_PAINT: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_WIRE: Final = (
    "() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    ".filter(entry => !entry.name.endsWith('/stream')).reduce((sum, entry) => sum + entry.transferSize, 0) / 1024"
)


def load(page: Page, address: str) -> tuple[float, float, float]:
    """Return the first paint and the first live figure after the address was opened, in ms, and KiB on the wire."""
    begin = boot_ns()
    page.goto(address)
    page.wait_for_function("() => document.getElementById('equity').textContent.startsWith('$')")
    live_ms = (boot_ns() - begin) / 1_000_000
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
    return float(page.evaluate(_PAINT)), live_ms, float(page.evaluate(_WIRE))


def one_round(browser: Browser, address: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the figures of a browser that has nothing, and of the same one after it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{address}/login")
    page.get_by_label("User name").fill("bench")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")
    context.new_cdp_session(page).send("Network.clearBrowserCache")
    cold, warm = load(page, address), load(page, address)
    context.close()
    return cold, warm


def main(arguments: list[str]) -> int:
    """Measure and print a line for each figure."""
    parser = argparse.ArgumentParser(description="Open the dashboard of a busy chain, cold and warm.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(arguments).rounds
    with TemporaryDirectory(prefix="tb-") as folder, sync_playwright() as playwright:
        prepare(HomePaths(Path(folder)))
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("sse_bench.py")), "--serve", folder],
            env={**os.environ, PORT_VARIABLE: str(port)},
            stderr=subprocess.DEVNULL,
        )
        try:
            log_in(port)
            found = os.environ.get("CHROMIUM") or (str(_DEBIAN_CHROMIUM) if _DEBIAN_CHROMIUM.exists() else None)
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
            results = [one_round(browser, f"http://127.0.0.1:{port}") for _ in range(rounds)]
            browser.close()
        finally:
            server.terminate()
            server.wait(timeout=30)
    cold_paint, cold_live, wire = (median(cold[index] for cold, _ in results) for index in range(3))
    warm_paint, warm_live, again = (median(warm[index] for _, warm in results) for index in range(3))
    print(f"cold: first paint {cold_paint:.0f} ms, live figures {cold_live:.0f} ms, {wire:.0f} KiB on the wire")
    print(f"warm: first paint {warm_paint:.0f} ms, live figures {warm_live:.0f} ms, {again:.0f} KiB on the wire")
    is_good = cold_paint <= COLD_PAINT_MS_MAX and warm_paint <= WARM_PAINT_MS_MAX
    return 0 if is_good and max(cold_live, warm_live) <= LIVE_MS_MAX and wire <= WIRE_KIB_MAX else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

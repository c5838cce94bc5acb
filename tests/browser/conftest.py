"""The pages in a real Chromium: a server on a free port, a hub that tests publish to, and a page that hears errors."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import pytest
import waitress
from canaries import PASSWORD, SESSION_KEY
from playwright.sync_api import BrowserContext, Page
from waitress import wasyncore

from bus.keys import make_pairs
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HomePaths
from config.users import User, hash_password
from config.vault import Secrets, Vault
from services.web.app import create_app
from services.web.hub import StatusHub
from services.web.public_address import server_options
from services.web.server import THREADS
from services.web.site import Bus

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = Identity(
    entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)
_DEBIAN_CHROMIUM = "/usr/lib/chromium/chromium"
_AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_WATCH_CSP = "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective));"


@dataclass(frozen=True)
class Served:
    """One running web interface."""

    address: str
    paths: HomePaths
    hub: StatusHub


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Use $CHROMIUM, or the distribution's Chromium, or Playwright's own where neither is there."""
    found = os.environ.get("CHROMIUM") or (_DEBIAN_CHROMIUM if Path(_DEBIAN_CHROMIUM).exists() else None)
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--no-first-run", "--force-color-profile=srgb"]
    return {**browser_type_launch_args, "args": flags, **({"executable_path": found} if found else {})}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Keep pictures the same on every machine."""
    return {**browser_context_args, "locale": "en-US", "timezone_id": "UTC", "reduced_motion": "reduce"}


@pytest.fixture(scope="session")
def password_hash() -> str:
    return hash_password(PASSWORD, cost=4)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start a web interface on a free port; it stops when the test ends."""
    stops: list[Callable[[], None]] = []

    def start(
        *,
        users: tuple[User, ...] = (),
        settings: Mapping[str, str] = MappingProxyType({}),
        has_styleguide: bool = False,
        bus_of: Callable[[HomePaths, Identity], Bus] | None = None,
        origin: str = "",
    ) -> Served:
        paths, hub = HomePaths(tmp_path / "home"), StatusHub()
        paths.make()
        if users:
            Vault(paths).provision(_secrets(users, {**proposals(), **settings}))
        bus = bus_of(paths, IDENTITY) if bus_of else None
        app = create_app(paths, hub, has_styleguide=has_styleguide, bus=bus, origin=origin)
        server = waitress.create_server(app, host="127.0.0.1", port=0, threads=THREADS, **server_options(origin))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()

        def stop() -> None:
            hub.close()
            # Sockets are closed by the thread that waits on them; its loop ends when none is left.
            server.pull_trigger = lambda: None
            server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
            thread.join(timeout=5)
            server.task_dispatcher.shutdown()

        stops.append(stop)
        return Served(f"http://127.0.0.1:{server.effective_port}", paths, hub)

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def site(serve: Callable[..., Served], password_hash: str) -> Served:
    """A configured web interface with an operator, olga, and a viewer, vera."""
    return serve(
        users=(
            User(name="olga", password_hash=password_hash, role="operator"),
            User(name="vera", password_hash=password_hash, role="viewer"),
        )
    )


@pytest.fixture
def expected_faults() -> list[str]:
    """Return a list for parts of console lines that a test brings about on purpose, such as a link that it cuts."""
    # A form that is shown again with its faults is answered 422, which the browser notes in its console.
    return ["status of 4"]


@pytest.fixture
def new_context(
    new_context: Callable[..., BrowserContext], serve: Callable[..., Served], expected_faults: list[str]
) -> Iterator[Callable[..., BrowserContext]]:
    """Make browser contexts that fail their test on a console or script error, a CSP violation or a foreign request.

    Every browser of these tests is made here. They close before any server stops: `serve` is set up first.
    """
    made: list[BrowserContext] = []
    faults: list[str] = []

    def watched(**how: Any) -> BrowserContext:
        context = new_context(**how)
        context.add_init_script(_WATCH_CSP)
        context.on("console", lambda line: faults.append(line.text) if line.type in {"error", "warning"} else None)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        context.on("request", lambda sent: faults.append(sent.url) if _is_foreign(sent.url) else None)
        made.append(context)
        return context

    yield watched
    for context in made:
        context.close()
    assert [fault for fault in faults if not any(part in fault for part in expected_faults)] == []


@pytest.fixture
def clean_page(context: BrowserContext) -> Page:
    """Make a page of a browser that is watched: see `new_context`."""
    return context.new_page()


@pytest.fixture
def log_in_to(clean_page: Page) -> Callable[[str, str], Page]:
    """Log a user in at an address and return the page, on the dashboard."""

    def enter(address: str, name: str) -> Page:
        clean_page.goto(f"{address}/login")
        clean_page.get_by_label("User name").fill(name)
        clean_page.get_by_label("Password").fill(PASSWORD)
        clean_page.get_by_role("button", name="Log in").click()
        clean_page.get_by_role("heading", name="Dashboard").wait_for(state="attached")
        return clean_page

    return enter


@pytest.fixture
def log_in_at(log_in_to: Callable[[str, str], Page]) -> Callable[[Served, str], Page]:
    """Log a user in at a web interface and return the page, on the dashboard."""
    return lambda where, name: log_in_to(where.address, name)


@pytest.fixture
def log_in(site: Served, log_in_at: Callable[[Served, str], Page]) -> Callable[..., Page]:
    """Log a user of `site` in and return the page, on the dashboard; the page closes before the site does."""
    return lambda name="olga": log_in_at(site, name)


@pytest.fixture(scope="session")
def axe_source() -> str:
    return (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def check_page(axe_source: str) -> Callable[[Page, str], None]:
    """Check a page at two widths and in two colours: nothing inaccessible, nothing too wide; keep a picture of each."""
    folder = ROOT / "test-results"
    folder.mkdir(exist_ok=True)

    def check(page: Page, name: str) -> None:
        for width, height in ((1440, 900), (360, 740)):
            page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.wait_for_function("s => document.documentElement.dataset.bsTheme === s", arg=scheme)
                page.evaluate("scrollTo(0, 0)")
                page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
                too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert too_wide <= 0, f"{name} at {width} px is {too_wide} px too wide"
                page.evaluate(axe_source)
                found = page.evaluate("tags => axe.run(document, {runOnly: tags})", _AXE_TAGS)
                faults = [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]
                assert not faults, f"{name} at {width} px, {scheme}: {faults}"

    return check


def _is_foreign(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname != "127.0.0.1"


def _secrets(users: tuple[User, ...], settings: dict[str, str]) -> Secrets:
    return Secrets(
        generation=0,
        settings=settings,
        identity=IDENTITY,
        users=users,
        credentials={"web_session_key": SESSION_KEY},
        coa={},
        curve=make_pairs(),
    )

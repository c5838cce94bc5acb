"""Settings saved in mid-session: the chain goes on with its own; no secret is in a file, log, page or argument."""

import os
import signal
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from waiting import until

from bus.keys import make_pairs
from bus.processes import running_supervisor
from config import generation_pin
from config.paths import HomePaths
from config.vault import Vault
from replay.books import compare_books
from replay.browser import Browser, PageError
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import ADMIN, Stage
from services.web.app import create_app
from services.web.hub import StatusHub

pytestmark = pytest.mark.processes

#: Slow enough that something can happen in mid-session.
PACED = SessionChoice(speed="2400")
CANARY = "CANARYkey5up3rSecret"


def _shown(stage: Stage) -> dict[str, Any]:
    try:
        return stage.browser.snapshot()
    except (OSError, ValueError):
        return {}


def _chain(stage: Stage) -> dict[str, Any]:
    return dict(_shown(stage).get("chain") or {})


def _line(stage: Stage, service: str) -> dict[str, Any]:
    return next((line for line in _chain(stage).get("services", []) if line["service"] == service), {})


def _logged_in_again(stage: Stage) -> bool:
    try:
        stage.browser.fill_in("/login", {"name": ADMIN, "password": stage.password})
    except (OSError, PageError):
        return False
    return True


def _save(paths: HomePaths) -> None:
    vault = Vault(paths, new_pairs=make_pairs)
    kept = vault.open()
    changed = replace(
        kept,
        settings=kept.settings | {"MAX_TRADES_PER_DAY": "1"},
        credentials=kept.credentials | {"alpaca_trading_secret": CANARY},
    )
    vault.replace(changed, kept.generation)


def _files_with(paths: HomePaths, secret: str) -> list[str]:
    files = [path for path in paths.root.rglob("*") if path.is_file() and path.name != "ballast.bin"]
    return [path.name for path in files if secret.encode() in path.read_bytes()]


def _processes_with(paths: HomePaths, secret: str) -> list[str]:
    """Return the processes of the chain that show a secret in their command line or environment."""
    pids = [*(lock.read_text().strip() for lock in paths.run.glob("*.lock")), str(running_supervisor(paths))]
    return [
        f"{pid} {name}"
        for pid in pids
        for name in ("cmdline", "environ")
        if pid.isdigit() and (shown := Path(f"/proc/{pid}/{name}")).exists() and secret.encode() in shown.read_bytes()
    ]


class Reader(Browser):
    """A browser that reads every page that needs no choice."""

    def everything(self, paths: HomePaths) -> dict[str, str]:
        rules = create_app(paths, StatusHub()).url_map.iter_rules()
        found = [rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.arguments]
        return {path: self._read(path) for path in found if path != "/stream"}

    def _read(self, path: str) -> str:
        try:
            return self._text(f"{self._base}{path}", None)
        except urllib.error.HTTPError as error:
            return error.read().decode()


def test_settings_when_saved_in_mid_session_then_the_chain_talks_on_and_takes_them_at_its_next_start(
    make_stage: Callable[[SessionChoice], Stage],
) -> None:
    stage = make_stage(PACED)
    paths = stage.chain.paths
    stage.arm("test")
    until(lambda: _shown(stage).get("portfolio") and _shown(stage)["portfolio"]["positions"], "no position")
    begun, registered = generation_pin.pinned(paths), Vault(paths).generation()
    for _ in range(4):
        _save(paths)
    newest = Vault(paths).generation()
    assert newest == registered + 4
    pid = _line(stage, "risk")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: _line(stage, "risk").get("status") == "up" and _line(stage, "risk")["pid"] != pid, "no restart")
    os.kill(_line(stage, "web")["pid"], signal.SIGKILL)
    until(lambda: _logged_in_again(stage), "the web UI is not back")
    until(lambda: _line(stage, "risk").get("status") == "up", "the web UI hears nothing")
    stage.arm("risk is back")
    until(stage.is_session_over, "the session does not end", 90)
    until(lambda: _shown(stage)["portfolio"]["positions"] == [], "positions are not sold")
    assert generation_pin.pinned(paths) == begun, "all of it ran on what it began with"
    secrets = {"password": stage.password, "key": CANARY, "hash": Vault(paths).open().users[0].password_hash}
    secrets |= {"session": Vault(paths).open().credentials["web_session_key"]}
    secrets |= {f"bus {n}": p.secret for g in (begun, newest) for n, p in Vault(paths).open(g).curve.items()}
    assert [(name, where) for name, secret in secrets.items() for where in _processes_with(paths, secret)] == []
    reader = Reader(stage.chain.url)
    reader.fill_in("/login", {"name": ADMIN, "password": stage.password})
    pages = reader.everything(paths)
    assert len(pages) > 30
    assert [(name, page) for name, secret in secrets.items() for page in pages if secret in pages[page]] == []
    stage.stop()
    assert compare_books(paths, DEMO_IDENTITY) == []
    assert [(name, where) for name, secret in secrets.items() for where in _files_with(paths, secret)] == []
    stage.chain.start(quiet=True)
    until(lambda: generation_pin.pinned(paths) == newest, "the next start does not take what was saved")
    until(lambda: _logged_in_again(stage), "the web UI is not back")
    until(lambda: _line(stage, "risk").get("status") == "up", "the chain does not talk")

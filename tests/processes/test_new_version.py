"""A home that an older version configured: the chain waits, a person confirms on the page, and the chain goes on."""

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from waiting import until

from bus.status_file import STATUS_FILE
from config.paths import HomePaths
from config.vault import Vault
from replay.session import SessionChoice
from replay.stage import ADMIN, Stage

pytestmark = pytest.mark.processes
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


def make_older(paths: HomePaths) -> dict[str, str]:
    """Take one setting out and put an old one in, as another version has them; return what is stored then."""
    vault = Vault(paths)
    secrets = vault.open()
    older = {key: text for key, text in secrets.settings.items() if key != "PRICE_COLLAR"} | {"SETTING_OF_OLD": "1"}
    vault.replace(msgspec.structs.replace(secrets, settings=older), secrets.generation)
    return older


def status(paths: HomePaths) -> dict[str, Any]:
    path = paths.output / STATUS_FILE
    return dict(json.loads(path.read_bytes())) if path.is_file() else {}


class Person:
    """A browser that sends what it is told to."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def page(self, path: str, fields: dict[str, str] | None = None) -> str:
        body = urllib.parse.urlencode(fields).encode() if fields else None
        with self._opener.open(f"{self._url}{path}", body, timeout=30) as answer:
            return str(answer.read().decode())

    def send(self, form_on: str, path: str, fields: dict[str, str]) -> str:
        found = _TOKEN.search(self.page(form_on))
        assert found
        return self.page(path, {"csrf_token": found[1], **fields})


def test_a_home_when_an_older_version_configured_it_then_it_waits_and_goes_on_once_a_person_has_confirmed(
    make_stage: Callable[[SessionChoice], Stage],
) -> None:
    stage = make_stage(SessionChoice())
    paths = stage.chain.paths
    stage.stop()
    older = make_older(paths)
    stage.chain.start(quiet=True)
    until(stage.browser.is_up, "the web UI does not answer")
    until(lambda: "are not those of this version" in status(paths).get("detail", ""), "nothing waits for new settings")
    assert status(paths)["bot_state"] == "UNCONFIGURED", "nothing trades on settings that nobody has seen"
    person = Person(stage.chain.url)
    person.send("/login", "/login", {"name": ADMIN, "password": stage.password})
    assert "new in this version" in person.page("/settings")
    was = {f"was.{key}": text for key, text in older.items()}
    fields = {**was, "PRICE_COLLAR": "5", "reason": "update", "password": stage.password}
    assert "Saved as generation 4: 2 changed." in person.send("/settings", "/settings/save", fields)
    stage.browser.fill_in("/login", {"name": ADMIN, "password": stage.password})
    stage.arm("after the update")
    stage.wait_for_end(120)

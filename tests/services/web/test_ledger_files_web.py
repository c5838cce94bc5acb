"""Files of the ledger for other programs: written by its own program, sent, and refused in words."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from real_books import RealBooks

from config.paths import HomePaths
from config.vault import Vault
from services.web.app import create_app
from services.web.hub import StatusHub


@pytest.fixture
def app(configured: HomePaths) -> Flask:
    return create_app(configured, StatusHub(), bus=RealBooks(configured, Vault(configured).open().identity))


def ledgers(home: HomePaths) -> list[str]:
    folder = home.output / Vault(home).open().identity.bot_identity / "ledgers"
    return sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []


@pytest.mark.parametrize(("key", "start"), [("ofx", b"<?xml"), ("html", b"<!doctype"), ("beancount", b"")])
def test_file_when_asked_for_is_written_and_sent(
    person_of: Callable[[str], Any], configured: HomePaths, key: str, start: bytes
) -> None:
    vera = person_of("vera")

    done = vera.post(f"/books/files/{key}", {"from": "2025-02-01", "to": "2025-03-31"}, form_on="/books/files")

    assert done.status_code == 200
    assert done.data.lower().startswith(start)
    assert "attachment" in done.headers["Content-Disposition"]
    assert [name.startswith(f"ledger_{key}_") for name in ledgers(configured)] == [True]


@pytest.mark.parametrize(
    "days",
    [
        {"from": "2025-3-1"},
        {"to": "2025-02-30"},
        {"from": "--out"},
        {"from": "2025-04-01", "to": "2025-03-01"},
    ],
)
def test_days_that_are_none_write_nothing(
    person_of: Callable[[str], Any], configured: HomePaths, days: dict[str, str]
) -> None:
    refused = person_of("vera").post("/books/files/ofx", days, form_on="/books/files")

    assert refused.status_code == 422
    assert "Nothing was written" in refused.text
    assert ledgers(configured) == []


def test_kind_that_is_none_is_not_found(person_of: Callable[[str], Any]) -> None:
    assert person_of("vera").post("/books/files/exe", form_on="/books/files").status_code == 404

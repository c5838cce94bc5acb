"""The page of the audit log: filters in the address, pages, exports, and the check that names a broken row."""

import csv
import io
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from config.paths import HomePaths
from services.web.audit_log import AuditFilter, AuditLog, Entry, Row, genesis_hash, row_hash


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    """A home with a log of 205 rows, written once."""
    home = HomePaths(tmp_path_factory.mktemp("audit"))
    home.make()
    log = AuditLog(home)
    for number in range(1, 206):
        log.append(
            Entry(
                at_utc=f"2025-03-{1 + number // 24:02d}T{number % 24:02d}:00:00.000Z",
                actor="olga" if number % 2 else "vera",
                address="127.0.0.1",
                request="POST /settings",
                action="settings_saved" if number % 5 else "exported",
                subject=f"SUBJECT-{number}-",
                before="=1+1" if number == 7 else "<b>old</b>",
                after="new",
            )
        )
    return home


@pytest.fixture
def log(configured: HomePaths, written: HomePaths) -> AuditLog:
    found, source = AuditLog(configured), AuditLog(written)
    shutil.copy(source.path, found.path)
    shutil.copy(source.head_path, found.head_path)
    return found


@pytest.fixture
def adam(log: AuditLog, person_of: Callable[[str], Any]) -> Any:
    return person_of("adam")


def subjects(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'data-label="To what"[^>]*>SUBJECT-(\d+)-', page)]


def test_page_when_a_zone_is_chosen_then_its_times_are_in_it_and_those_of_exports_in_utc(adam: Any) -> None:
    assert '<th scope="col">New York</th>' in adam.get("/audit").text
    adam.client.set_cookie("zone", "utc")
    page = adam.get("/audit").text
    assert '<th scope="col">UTC</th>' in page
    newest = re.search(r'<time datetime="(\d{4}-\d\d-\d\d)T([0-9:]{8})\.\d{3}Z"[^>]*>([^<]*)</time>', page)
    assert newest is not None
    assert newest[3] == f"{newest[1]} {newest[2]}"
    assert f"{newest[1]}T{newest[2]}" in adam.get("/audit/export.csv").text


def test_page_when_opened_then_shows_the_newest_and_leads_to_older_ones(adam: Any) -> None:
    page = adam.get("/audit").text
    assert subjects(page) == list(range(205, 106, -1)), "and the log-in just now"
    assert "before=107" in page
    page = adam.get("/audit?before=107").text
    assert subjects(page) == list(range(106, 6, -1))
    assert subjects(adam.get("/audit?before=7").text) == list(range(6, 0, -1))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("who=olga&what=exported&until=2025-03-03", [45, 35, 25, 15, 5]),
        ("text=subject-20-", [20]),
        ("since=2025-03-09T10:00:00Z&until=2025-03-09T12:00:00Z", [203, 202]),
        ("who=nobody", []),
        ("text=%25", []),
    ],
)
def test_page_when_filtered_by_its_address_then_shows_what_matches(adam: Any, query: str, found: list[int]) -> None:
    answer = adam.get(f"/audit?{query}")
    assert subjects(answer.text) == found
    assert bool(found) or "No row matches" in answer.text


@pytest.mark.parametrize("query", ["since=yesterday", "until=2025-03-01'--", "before=x", "before=-1", "before=٣"])
def test_page_when_its_address_is_nonsense_then_is_a_bad_request(adam: Any, query: str) -> None:
    assert adam.get(f"/audit?{query}").status_code == 400


def test_page_when_rows_hold_markup_then_it_is_shown_as_text(adam: Any) -> None:
    page = adam.get("/audit").text
    assert "<b>old</b>" not in page
    assert "&lt;b&gt;old&lt;/b&gt;" in page


def test_export_when_taken_then_is_what_is_filtered_and_a_row_itself(adam: Any, log: AuditLog) -> None:
    answer = adam.get("/audit/export.csv?who=olga&until=2025-03-02")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["subject"] for row in rows] == [f"SUBJECT-{number}-" for number in range(23, 0, -2)]
    assert rows[-4]["before"] == "'=1+1", "a spreadsheet must not calculate it"
    newest = log.rows(AuditFilter(), limit=1)[0]
    assert (newest.action, newest.actor, newest.subject, newest.after) == ("audit_exported", "adam", "12 rows", "CSV")


def test_export_when_as_json_then_whoever_has_it_can_check_the_chain(adam: Any, log: AuditLog) -> None:
    rows = [Row(**row) for row in json.loads(adam.get("/audit/export.json").text)][::-1]
    head = json.loads(log.head_path.read_bytes())
    previous = genesis_hash(head["log_id"])
    for row in rows:
        assert row.prev_hash == previous
        assert row.hash == row_hash(row, row.seq, previous)
        previous = row.hash


def test_verify_when_pressed_then_names_the_first_broken_row(adam: Any, log: AuditLog) -> None:
    page = adam.post("/audit/verify", form_on="/audit").text
    assert "All 206 rows are as they were written" in page
    db = sqlite3.connect(log.path)
    db.execute("DROP TRIGGER audit_never_updated")
    db.execute("UPDATE audit SET actor = 'somebody' WHERE seq = 42")
    db.commit()
    db.close()
    page = adam.post("/audit/verify", form_on="/audit").text
    assert "Row 42 is not what it was when it was written. The 41 rows before it" in page


def test_log_when_it_cannot_be_read_then_the_page_says_so(adam: Any, app: Flask, log: AuditLog) -> None:
    log.path.write_bytes(b"not a database, but long enough to be one" * 100)
    answer = adam.get("/audit")
    assert answer.status_code == 503
    assert "audit.db cannot be read" in answer.text

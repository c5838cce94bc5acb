"""Log files: found by listing alone, filtered, masked; and their page."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canaries import SESSION_KEY

from config.logs import LineFormatter
from config.paths import HomePaths
from services.web import log_files
from services.web.log_files import MASK, Masker, listing, newest_lines, whole

FOLDER = "TBOT_USA_main_PAPER_BOT01"
TRAVERSALS = (
    "../../storage/keys/k", "..%2f..%2fstorage", "/etc/passwd", "risk/../../x", "risk.log", "risk\0", ".", "..",
    "....//....//etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "\\..\\..\\x", "file:///etc/passwd", "risk.1/../risk",
)  # fmt: skip


def line(level: str, message: str, at: int = 0) -> str:
    record = {"timestamp": f"2025-03-12T14:00:{at:02d}.000Z", "level": level, "service": "risk", "logger": "services.x"}
    return json.dumps({**record, "message": message})


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "risk.log").write_text("\n".join([line("INFO", "ready", 1), line("ERROR", "broken", 3)]) + "\n")
    (folder / "risk.log.1").write_text(line("INFO", "older") + "\n")
    (folder / "ledger.log").write_text('2025-03-12T14:00:02.000Z,WARNING,ledger,services.y,"odd, indeed"\nno record\n')
    (folder / "notes.txt").write_text("not a log")
    (folder / "evil.log").symlink_to("/etc/passwd")
    return folder


def test_listing_when_read_then_has_the_services_files_and_no_link_or_stranger(logs: Path) -> None:
    assert list(listing(logs)) == ["ledger", "risk", "risk.1"]
    assert listing(logs / "nowhere") == {}


def test_lines_when_of_two_formats_then_are_read_in_the_order_of_time(logs: Path) -> None:
    files = listing(logs)
    found = newest_lines([files["risk"], files["ledger"]], Masker(()))
    assert [one.message for one in found] == ["no record", "ready", "odd, indeed", "broken"]
    assert [one.level for one in newest_lines([files["risk"], files["ledger"]], Masker(()), level="WARNING")] == [
        "",
        "WARNING",
        "ERROR",
    ]
    assert [one.message for one in newest_lines([files["risk"]], Masker(()), text="BROK")] == ["broken"]
    assert [one.message for one in newest_lines([files["risk"]], Masker(()), lines_max=1)] == ["broken"]


def test_lines_when_the_services_own_formatter_wrote_them_then_are_read_back(tmp_path: Path) -> None:
    record = logging.LogRecord("services.z", logging.WARNING, "f", 1, "two\nlines, %s", ("here",), None)
    (tmp_path / "web.log").write_text(LineFormatter("web", "CSV").format(record) + "\n")
    record = logging.LogRecord("services.z", logging.INFO, "f", 1, "of {braces}", (), None)
    (tmp_path / "risk.log").write_text(LineFormatter("risk", "JSON").format(record) + "\n")
    messages = {one.service: one.message for one in newest_lines(listing(tmp_path).values(), Masker(()))}
    assert messages == {"web": "two\\nlines, here", "risk": "of {braces}"}


def test_lines_when_the_file_is_large_then_its_end_is_read_and_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "TAIL_BYTES", 1000)
    (tmp_path / "risk.log").write_text("".join(line("INFO", f"number {n:03d}") + "\n" for n in range(100)))
    found = newest_lines(listing(tmp_path).values(), Masker(()))
    assert found[-1].message == "number 099"
    assert all(one.level == "INFO" for one in found)
    assert len(found) < 10


@pytest.mark.parametrize(
    "text",
    [
        "api_key=PK0123456789ABCDEF", "Authorization: Bearer abcdefghijklmnop", "'password': 'correct-horse-battery'",
        "token abcdefghijklmnop1234", "the kept SECRETWORD99 in the middle", "secret=abcd/efgh+ijkl==",
    ],
)  # fmt: skip
def test_mask_when_text_has_a_secret_then_it_is_gone(text: str) -> None:
    cleaned = Masker(["SECRETWORD99", "ab"]).clean(text)
    assert MASK in cleaned
    for word in ("PK0123", "abcdefghijkl", "correct-horse", "SECRETWORD99", "abcd/efgh"):
        assert word not in cleaned


@pytest.mark.parametrize("text", ["no secret was stored", "the token is new", "password changed by adam", "ab"])
def test_mask_when_text_only_speaks_of_secrets_then_it_stays(text: str) -> None:
    assert Masker(["ab"]).clean(text) == text


def test_whole_when_downloaded_then_every_line_is_masked(tmp_path: Path) -> None:
    (tmp_path / "risk.log").write_text("a SECRETWORD99\nb\n")
    assert list(whole(listing(tmp_path)["risk"], Masker(["SECRETWORD99"]))) == [f"a {MASK}\n", "b\n"]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_page_when_the_file_is_named_by_a_path_then_there_is_none(path: str, person_of: Callable[..., Any]) -> None:
    vera = person_of("vera")
    assert vera.get("/logs/download", query_string={"file": path}).status_code == 404
    assert vera.get("/logs", query_string={"file": path}).status_code == 200


@pytest.mark.plants_a_secret
def test_page_when_a_credential_is_in_a_log_then_nobody_sees_it(
    configured: HomePaths, person_of: Callable[..., Any]
) -> None:
    folder = configured.output / FOLDER / "logs"
    folder.mkdir(parents=True)
    (folder / "web.log").write_text(line("INFO", f"oh {SESSION_KEY} no") + "\n")
    vera = person_of("vera")
    for path in ("/logs", "/logs/lines", "/logs?file=web", "/logs/download?file=web"):
        text = vera.get(path).text
        assert SESSION_KEY not in text
        assert MASK in text
    assert vera.get("/logs/download?file=web").headers["Content-Disposition"] == 'attachment; filename="web.log"'

"""status.json: whole or old, never half; a failure stops nothing."""

import json
import logging
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from bus.calendar import session_windows
from bus.halt import HaltRecord
from bus.messages import ChainStatus
from bus.status_file import STATUS_FILE, VALID_FOR_MS, StatusFile, StatusRecord, bare_record, status_record
from bus.testing import OPEN_NS, a_plan
from config.env_bot import parse, proposals
from config.paths import HomePaths

HALT = HaltRecord(counter=3, source="risk", rule="test", detail="a test", raised_at_utc="2026-01-01T00:00:00.000Z")


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    home.make()
    return home


def _status(detail: str = "Halted.") -> ChainStatus:
    return ChainStatus(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        state="HALTED",
        bot_state="HALTED",
        stopped="New positions.",
        goes_on="Stops.",
        detail=detail,
        session_date="2013-10-08",
        halt_counter=3,
        armed_by="ann",
        services=(),
    )


def _record(detail: str = "Halted.") -> StatusRecord:
    windows = session_windows(a_plan(), parse(proposals()))
    return status_record(_status(detail), halt=HALT, plan=a_plan(), windows=windows)


def _read(paths: HomePaths) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.output / STATUS_FILE).read_bytes())
    return found


def test_the_file_when_written_says_everything_a_reader_outside_needs(paths: HomePaths) -> None:
    assert StatusFile(paths).write(_record())
    said = _read(paths)
    assert (said["state"], said["bot_state"], said["halt_counter"], said["armed_by"]) == ("HALTED", "HALTED", 3, "ann")
    assert said["halt"]["rule"] == "test"
    assert said["times"]["open_utc"] == "2013-10-08T13:30:00.000Z"
    assert said["times"]["session_utc"] == "2013-10-08T13:30:00.000Z"
    assert said["times"]["analyses_utc"] == [
        ["2013-10-08T13:30:00.000Z", "2013-10-08T13:45:00.000Z"],
        ["2013-10-08T14:30:00.000Z", "2013-10-08T15:00:00.000Z"],
        ["2013-10-08T18:30:00.000Z", "2013-10-08T19:00:00.000Z"],
    ]
    assert said["valid_for_ms"] == VALID_FOR_MS
    assert said["written_at_utc"].endswith("Z")
    assert stat.S_IMODE((paths.output / STATUS_FILE).stat().st_mode) == 0o600
    assert [path.name for path in paths.output.iterdir() if path.is_file()] == [STATUS_FILE]


def test_the_file_when_there_is_no_session_has_no_times(paths: HomePaths) -> None:
    StatusFile(paths).write(status_record(_status(), halt=None, plan=None, windows=None))
    assert _read(paths)["times"]["open_utc"] == ""
    assert _read(paths)["halt"] is None


def test_the_file_when_nothing_is_configured_or_the_watchdog_cannot_start_says_so(paths: HomePaths) -> None:
    StatusFile(paths).write(bare_record("UNCONFIGURED"))
    assert _read(paths)["bot_state"] == "UNCONFIGURED"
    assert "configuration page" in _read(paths)["detail"]
    StatusFile(paths).write(bare_record("ERROR", "no such day"))
    assert (_read(paths)["bot_state"], _read(paths)["detail"]) == ("ERROR", "no such day")


def test_the_file_when_read_while_it_is_written_is_never_half(paths: HomePaths) -> None:
    file, is_over = StatusFile(paths), threading.Event()
    file.write(_record("x" * 400))
    details: set[str] = set()

    def read() -> None:
        while not is_over.is_set():
            details.add(_read(paths)["detail"])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(500):
        assert file.write(_record("x" * (number % 400)))
    is_over.set()
    reader.join()
    assert details
    assert all(set(detail) <= {"x"} for detail in details)


def test_the_file_when_it_cannot_be_written_is_logged_once_and_raises_nothing(
    paths: HomePaths, caplog: pytest.LogCaptureFixture
) -> None:
    blocker = paths.output / STATUS_FILE
    blocker.mkdir()
    file = StatusFile(paths)
    with caplog.at_level(logging.WARNING):
        assert not file.write(_record())
        assert not file.write(_record())
        assert len(caplog.records) == 1
        blocker.rmdir()
        assert file.write(_record())
        (paths.output / STATUS_FILE).unlink()
        blocker.mkdir()
        assert not file.write(_record())
    assert len(caplog.records) == 2

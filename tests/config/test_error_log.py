"""The log of all errors: every service's, one line each, rotated by whoever writes, readable for the page of logs."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.error_log import ERROR_LOG, ErrorLog
from config.logs import LineFormatter, set_up_logs

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import logging, sys
from pathlib import Path
from config.error_log import ErrorLog
from config.logs import LineFormatter
handler = ErrorLog(Path(sys.argv[1]), file_bytes_max=4000)
handler.setFormatter(LineFormatter(sys.argv[2], "JSON"))
logging.getLogger().addHandler(handler)
for number in range(60):
    logging.error("%s number %d", sys.argv[2], number)
"""


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Give the handlers of the tests' own process back."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    for handler in logging.root.handlers:
        handler.close()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _lines(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for path in sorted(folder.glob(f"{ERROR_LOG}*")) for line in path.read_text().splitlines()]


def test_errors_when_a_service_logs_then_are_in_its_own_log_and_in_the_one_of_all(
    tmp_path: Path, root_logger: None
) -> None:
    for service in ("risk", "ledger"):
        set_up_logs(service, "JSON", tmp_path)
        logging.getLogger("core").info("all is well in %s", service)
        logging.getLogger("core").error("a fault\nin %s", service)
        logging.getLogger("core").critical("the end of %s", service)
    found = [(line["service"], line["level"], line["message"]) for line in _lines(tmp_path)]
    assert found == [
        ("risk", "ERROR", "a fault\nin risk"),
        ("risk", "CRITICAL", "the end of risk"),
        ("ledger", "ERROR", "a fault\nin ledger"),
        ("ledger", "CRITICAL", "the end of ledger"),
    ]
    assert len((tmp_path / "risk.log").read_text().splitlines()) == 3


def test_errors_when_several_processes_write_and_rotate_then_no_line_is_lost_or_torn(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], cwd=ROOT) for name in ("a", "b", "c")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert ERROR_LOG in kept or f"{ERROR_LOG}.1" in kept
    assert len(kept) > 3, "it was rotated"
    said = [line["message"] for line in _lines(tmp_path)]
    for name in ("a", "b", "c"):
        assert sorted(line for line in said if line.startswith(f"{name} ")) == sorted(
            f"{name} number {number}" for number in range(60)
        )


def test_errors_when_there_are_many_then_the_oldest_files_go(tmp_path: Path) -> None:
    handler = ErrorLog(tmp_path, file_bytes_max=10)
    handler.setFormatter(LineFormatter("risk", "CSV"))
    for number in range(30):
        handler.emit(
            logging.makeLogRecord(
                {"levelno": logging.ERROR, "levelname": "ERROR", "name": "core", "msg": f"number {number}"}
            )
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{ERROR_LOG}.{n}" for n in range(1, 11))
    assert "number 29" in (tmp_path / f"{ERROR_LOG}.1").read_text()


def test_errors_when_the_disk_takes_nothing_then_the_service_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ERROR_LOG).mkdir()
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = ErrorLog(tmp_path)
    handler.handle(
        logging.makeLogRecord({"levelno": logging.ERROR, "levelname": "ERROR", "name": "core", "msg": "a fault"})
    )
    assert list((tmp_path / ERROR_LOG).iterdir()) == []

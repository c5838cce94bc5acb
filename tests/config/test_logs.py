"""Log lines: one line for each record, UTC, in the format the operator set."""

import csv
import json
import logging

import pytest

from config.logs import LineFormatter


def _record(message: str) -> logging.LogRecord:
    record = logging.LogRecord("risk.core", logging.INFO, "f.py", 1, message, (), None)
    record.created, record.msecs = 1_381_239_000.25, 250.0
    return record


@pytest.mark.parametrize("message", ["plain", 'with "quotes", commas', "two\nlines"])
def test_a_line_is_one_line_and_can_be_read_back(message: str) -> None:
    as_json = LineFormatter("risk", "JSON").format(_record(message))
    assert "\n" not in as_json
    assert json.loads(as_json) == {
        "timestamp": "2013-10-08T13:30:00.250Z",
        "level": "INFO",
        "service": "risk",
        "logger": "risk.core",
        "message": message,
    }
    fielded = _record(message)
    fielded.__dict__["fields"] = {"strategy": "mid", "message": "not this one"}
    line = json.loads(LineFormatter("risk", "JSON").format(fielded))
    assert (line["strategy"], line["message"]) == ("mid", message)
    as_csv = LineFormatter("risk", "CSV").format(_record(message))
    assert "\n" not in as_csv
    (row,) = csv.reader([as_csv])
    assert row == ["2013-10-08T13:30:00.250Z", "INFO", "risk", "risk.core", message.replace("\n", "\\n")]

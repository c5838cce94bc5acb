"""Whatever a service did not expect halts the chain, is logged, and ends the process."""

import logging
import shutil
from pathlib import Path

import pytest

from bus.control import ControlFolder
from bus.error_handler import halting_on_error
from bus.halt import ArmRecord
from bus.messages import ServiceName
from config.paths import HomePaths


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    home.make()
    return home


def test_an_error_when_nobody_handles_it_halts_with_type_and_text_and_is_passed_on(paths: HomePaths) -> None:
    with pytest.raises(ZeroDivisionError, match="by zero"), halting_on_error("risk", paths):
        raise ZeroDivisionError("division by zero")
    state = ControlFolder(paths).read()
    assert state.is_halted()
    assert state.halt is not None
    assert (state.halt.source, state.halt.rule) == ("risk", "critical_error")
    assert state.halt.detail == "risk: ZeroDivisionError: division by zero"


def test_an_error_when_nobody_handles_it_is_logged_with_its_traceback(
    paths: HomePaths, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(KeyError), halting_on_error("ledger", paths):
        raise KeyError("account 9999")
    (record,) = caplog.records
    assert "ledger" in record.getMessage()
    assert record.exc_info is not None
    assert "account 9999" in caplog.text


def _fail(paths: HomePaths, service: ServiceName, words: str) -> None:
    with pytest.raises(ValueError, match=words), halting_on_error(service, paths):
        raise ValueError(words)


def test_errors_when_a_service_meets_many_write_one_record_until_an_operator_answers_it(
    paths: HomePaths, caplog: pytest.LogCaptureFixture
) -> None:
    control = ControlFolder(paths)
    for words in ("first", "second"):
        _fail(paths, "risk", words)
    control.raise_halt("watchdog", "service_silent", "no heartbeat from risk")
    _fail(paths, "risk", "third")
    _fail(paths, "ledger", "another service's")
    assert [(halt.counter, halt.detail) for halt in control.unanswered()] == [
        (3, "ledger: ValueError: another service's"),
        (2, "no heartbeat from risk"),
        (1, "risk: ValueError: first"),
    ]
    assert "third" in caplog.text
    control.arm(
        ArmRecord(
            operator="ann",
            reason="looked at them",
            armed_at_utc="2026-01-01T00:00:00.000Z",
            halt_counter=3,
            generation=1,
            build="b1",
        )
    )
    _fail(paths, "risk", "after the arming")
    assert [halt.counter for halt in control.unanswered()] == [4]
    assert control.read().is_halted()


def test_an_error_when_nobody_can_tell_what_was_answered_writes_a_record(paths: HomePaths) -> None:
    _fail(paths, "risk", "first")
    (paths.control / "arm.json").write_text("{broken")
    _fail(paths, "risk", "second")
    assert len(list(paths.halts.iterdir())) == 2


def test_an_error_when_its_text_is_very_long_still_halts(paths: HomePaths) -> None:
    with pytest.raises(ValueError, match="xxx"), halting_on_error("risk", paths):
        raise ValueError("x" * 10_000)
    assert ControlFolder(paths).read().is_halted()


def test_an_error_when_the_halt_cannot_be_written_is_passed_on_all_the_same(
    paths: HomePaths, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(paths.halts)
    with pytest.raises(ValueError, match="the first error"), halting_on_error("risk", paths):
        raise ValueError("the first error")
    assert "could not be written" in caplog.text


def test_a_block_when_nothing_goes_wrong_writes_nothing(paths: HomePaths, caplog: pytest.LogCaptureFixture) -> None:
    with halting_on_error("risk", paths):
        pass
    assert list(paths.halts.iterdir()) == []
    assert caplog.records == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_process_when_it_is_told_to_end_does_not_halt(paths: HomePaths, kind: type[BaseException]) -> None:
    with pytest.raises(kind), halting_on_error("risk", paths):
        raise kind
    assert list(paths.halts.iterdir()) == []

"""The records of nights: written once, read-only, chained, and the same from the same events."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evening import Evening

from bus.assembly import CannotStartError
from bus.failpoints import failpoints
from bus.messages import NightEnded
from services.holdings.audit_record import AuditError, AuditFolder, record_of
from services.holdings.shell import HoldingsShell


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    made = Evening(tmp_path)
    made.night()
    made.night(gain=100)
    yield made
    made.close()


def core_of(evening: Evening) -> Any:
    return evening.chain.nodes["holdings"].assembly.core


def folder_of(evening: Evening) -> AuditFolder:
    return AuditFolder(evening.records()[0].parent)


def test_a_record_is_written_once_and_read_only(evening: Evening) -> None:
    first, second = evening.records()
    assert [path.name for path in (first, second)] == ["000001-2025-03-10.json", "000002-2025-03-11.json"]
    assert stat.S_IMODE(first.stat().st_mode) == 0o444
    before = first.read_bytes()
    folder_of(evening).write(1, evening.holdings.record, "another head")
    assert first.read_bytes() == before
    assert json.loads(before)["run_id"] == "2025-03-10"
    assert list(first.parent.glob("*.part")) == []


def test_the_same_events_give_the_same_bytes(evening: Evening) -> None:
    events = evening.holdings.record
    made = [record_of(events, ledger_head="h", previous="p") for _ in range(2)]
    assert made[0] == made[1]


def test_a_record_when_changed_or_missing_is_named(evening: Evening) -> None:
    folder = folder_of(evening)
    assert list(folder.faults()) == []
    first, second = evening.records()
    first.chmod(0o600)
    first.write_bytes(first.read_bytes().replace(b"DONE", b"GONE"))
    assert "000002" in next(iter(folder.faults()))
    first.unlink()
    assert "record 1 is missing" in next(iter(folder.faults()))
    second.chmod(0o600)
    second.rename(first)
    first.write_bytes(b"{")
    assert "is no JSON" in next(iter(folder.faults()))


def test_a_service_does_not_start_on_records_that_were_changed(evening: Evening) -> None:
    first = evening.records()[0]
    first.chmod(0o600)
    first.write_bytes(first.read_bytes().replace(b"DONE", b"GONE"))
    with pytest.raises(CannotStartError, match="not as they were written"):
        HoldingsShell(core_of(evening), first.parent, first).on_start(evening.holdings, 0)


def test_a_record_that_a_crash_kept_from_the_disk_is_written_at_the_start(evening: Evening) -> None:
    last = evening.records()[-1]
    before = json.loads(last.read_bytes())
    last.unlink()
    HoldingsShell(core_of(evening), last.parent, last).on_start(evening.holdings, 0)
    after = json.loads(last.read_bytes())
    assert {**after, "ledger_head": ""} == {**before, "ledger_head": ""}


class DeathError(Exception):
    """The process is gone."""


@pytest.mark.parametrize(("side", "written"), [("before", 0), ("after", 1)])
def test_a_death_around_the_writing_of_a_record_leaves_one_after_the_start(
    tmp_path: Path, side: str, written: int
) -> None:
    evening = Evening(tmp_path)

    def die(name: str) -> None:
        if name == f"holdings.record:{side}":
            raise DeathError

    with failpoints(die), pytest.raises(DeathError):
        evening.night()
    assert len(evening.records()) == written
    for _ in range(2):
        evening.chain.nodes["holdings"].assembly.shell.on_start(evening.holdings, 0)
        assert len(evening.records()) == 1
    assert json.loads(evening.records()[0].read_bytes())["run_id"] == "2025-03-10"
    evening.close()


def test_a_record_without_the_one_before_it_is_refused(evening: Evening) -> None:
    with pytest.raises(AuditError, match="Record 6 is missing"):
        folder_of(evening).write(7, evening.holdings.record, "")


def test_a_disk_that_refuses_is_said(evening: Evening, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(AuditError, match="cannot be written"):
        AuditFolder(blocked / "holdings").write(1, evening.holdings.record, "")


def test_what_is_no_night_is_no_record(evening: Evening) -> None:
    events = [event for event in evening.holdings.record if not isinstance(event, NightEnded)]
    with pytest.raises(AuditError, match="this is a fault"):
        record_of(events, ledger_head="", previous="")

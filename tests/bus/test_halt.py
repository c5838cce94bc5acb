"""Halt and lease rules: everything that is not a clear permission is a refusal."""

import os
from pathlib import Path

import pytest

from bus.control import ControlFolder
from bus.halt import LEASE_VALID_NS, ArmRecord, LeaseBook
from config.paths import HomePaths


def _arm(counter: int = 0, build: str = "b1") -> ArmRecord:
    return ArmRecord(
        operator="ann",
        reason="test",
        armed_at_utc="2026-01-01T00:00:00.000Z",
        halt_counter=counter,
        generation=1,
        build=build,
    )


@pytest.fixture
def control(tmp_path: Path) -> ControlFolder:
    paths = HomePaths(tmp_path)
    paths.make()
    return ControlFolder(paths)


def test_a_fresh_home_is_not_armed(control: ControlFolder) -> None:
    assert "not armed" in str(control.read().refusal("b1"))
    assert not control.read().is_halted()


def test_a_chain_when_armed_may_trade_and_only_with_that_build(control: ControlFolder) -> None:
    control.arm(_arm())
    assert control.read().refusal("b1") is None
    assert "another build" in str(control.read().refusal("b2"))


def test_a_halt_when_raised_stands_until_an_arm_record_answers_its_number(control: ControlFolder) -> None:
    control.arm(_arm())
    assert control.raise_halt("risk", "daily_loss_limit", "too much").counter == 1
    assert control.raise_halt("watchdog", "service_silent", "risk is dead").counter == 2
    assert control.read().is_halted()
    assert "risk is dead" in str(control.read().refusal("b1"))
    control.arm(_arm(counter=1))
    assert control.read().is_halted()
    control.arm(_arm(counter=2))
    assert control.read().refusal("b1") is None


def test_a_stop_when_requested_stands_until_armed_again(control: ControlFolder) -> None:
    control.arm(_arm())
    control.request_stop("ann")
    assert "stopped: arm it again" in str(control.read().refusal("b1"))
    assert not control.read().is_halted()
    control.arm(_arm())
    assert control.read().refusal("b1") is None


def test_the_kill_file_when_present_halts_whatever_is_armed(control: ControlFolder, tmp_path: Path) -> None:
    control.arm(_arm())
    (tmp_path / "control" / "kill.txt").touch()
    assert control.read().is_halted()
    assert "kill.txt" in str(control.read().refusal("b1"))


@pytest.mark.parametrize("name", ["arm.json", "halts/000001.json"])
def test_a_control_file_when_unreadable_stops_the_chain(control: ControlFolder, tmp_path: Path, name: str) -> None:
    control.arm(_arm())
    (tmp_path / "control" / name).write_bytes(b"{broken")
    assert control.read().is_halted()
    assert "cannot be read" in str(control.read().refusal("b1"))


def test_the_halts_folder_when_missing_stops_the_chain(control: ControlFolder, tmp_path: Path) -> None:
    control.arm(_arm())
    (tmp_path / "control" / "halts").rmdir()
    assert "cannot be read" in str(control.read().refusal("b1"))


def test_the_stamp_when_anything_changes_changes(control: ControlFolder, tmp_path: Path) -> None:
    stamps = [control.stamp()]
    for act in (
        lambda: control.arm(_arm()),
        lambda: control.request_stop("ann"),
        lambda: control.raise_halt("risk", "x", "y"),
        (tmp_path / "control" / "kill.txt").touch,
    ):
        act()
        # File systems may stamp in steps of a few milliseconds; push the newest change apart, as time would.
        for path in (tmp_path / "control", tmp_path / "control" / "halts"):
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + len(stamps)))
        stamps.append(control.stamp())
    assert len(set(stamps)) == len(stamps)


def test_leases_when_one_is_missing_or_over_refuse() -> None:
    book = LeaseBook(("watchdog", "risk"))
    assert book.refusal(0) == "no lease from watchdog and risk"
    book.heard("watchdog", 1000, 0)
    book.heard("strategy", 9999, 0)
    assert book.refusal(500) == "no lease from risk"
    book.heard("risk", 800, 0)
    assert book.refusal(799) is None
    assert book.refusal(800) == "no lease from risk"
    book.heard("risk", 700, 0)
    assert book.refusal(799) is None
    book.forget()
    assert book.refusal(0) == "no lease from watchdog and risk"


def test_a_lease_when_it_claims_to_last_longer_than_leases_do_is_cut() -> None:
    book = LeaseBook(("risk",))
    book.heard("risk", 10**18, 5)
    assert book.refusal(4 + LEASE_VALID_NS) is None
    assert book.refusal(5 + LEASE_VALID_NS) == "no lease from risk"

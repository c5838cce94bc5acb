"""Halt and lease rules: everything that is not a clear permission is a refusal."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.control import START_FILE, STOP_FILE, ControlFolder
from bus.halt import LEASE_VALID_NS, ArmRecord, LeaseBook, announcement
from bus.messages import ChainDisarmed
from bus.testing import CLOSE_NS, OPEN_NS, a_plan
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


def test_a_rule_when_its_halt_stands_is_not_raised_again_whatever_came_after_it_and_whoever_asks(
    control: ControlFolder,
) -> None:
    control.arm(_arm())
    assert control.raise_halt_once("watchdog", "disk_full", "100 MiB") is not None
    control.raise_halt("risk", "daily_loss_limit", "too much")
    for again in (control, ControlFolder(HomePaths(control._folder.parent))):
        assert again.raise_halt_once("execution", "disk_full", "90 MiB") is None
        assert again.read().halt_counter == 2
    assert control.raise_halt_once("execution", "disk_full", "80 MiB", is_for_source=True) is not None
    control.arm(_arm(counter=3))
    for again in (control, ControlFolder(HomePaths(control._folder.parent))):
        assert again.unanswered() == []
    assert control.raise_halt_once("watchdog", "disk_full", "70 MiB") is not None
    assert control.read().halt_counter == 4


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


def test_the_stamp_when_a_file_is_removed_or_the_newest_halt_is_rewritten_changes(
    control: ControlFolder, tmp_path: Path
) -> None:
    control.arm(_arm())
    control.raise_halt("risk", "x", "y")
    stamps = [control.stamp()]
    (tmp_path / "control" / START_FILE).unlink()
    stamps.append(control.stamp())
    damaged = tmp_path / "control" / "halts" / ".new"
    damaged.write_bytes(b"{broken")
    damaged.replace(tmp_path / "control" / "halts" / "000001.json")
    stamps.append(control.stamp())
    (tmp_path / "control" / "halts" / "000001.json").unlink()
    stamps.append(control.stamp())
    assert len(set(stamps)) == len(stamps)


def test_the_state_when_nothing_changed_is_not_read_again(
    control: ControlFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.arm(_arm())
    first = control.current()
    assert first.refusal("b1") is None
    monkeypatch.setattr(control, "read", lambda: pytest.fail("read again"))
    assert control.current() is first
    monkeypatch.undo()
    control.request_stop("ann")
    assert control.current().is_stop_requested


def test_a_stop_when_it_has_words_says_them_and_any_shell_can_ask_for_one(
    control: ControlFolder, tmp_path: Path
) -> None:
    control.arm(_arm())
    control.request_stop("ann: news at ten")
    assert "ann: news at ten" in str(control.read().refusal("b1"))
    control.arm(_arm())
    (tmp_path / "control" / STOP_FILE).touch()
    assert control.read().refusal("b1") == "stopped: arm it again on the dashboard"
    (tmp_path / "control" / STOP_FILE).write_bytes(b"\xff" * 5000 + b"\nmore")
    assert len(str(control.read().refusal("b1"))) < 400


def test_an_armed_chain_when_its_start_file_is_removed_is_stopped(control: ControlFolder, tmp_path: Path) -> None:
    control.arm(_arm())
    (tmp_path / "control" / START_FILE).unlink()
    assert "control/control_start.txt was removed" in str(control.read().refusal("b1"))
    assert not control.read().is_halted()
    (tmp_path / "control" / START_FILE).touch()
    assert control.read().refusal("b1") is None, "an arm record that nobody took back stands again with its file"


@pytest.mark.parametrize("before", ["never armed", "stopped", "halted", "killed"])
def test_a_start_file_when_made_by_hand_arms_nothing(control: ControlFolder, tmp_path: Path, before: str) -> None:
    if before != "never armed":
        control.arm(_arm())
    if before == "stopped":
        control.request_stop("ann")
    elif before == "halted":
        control.raise_halt("risk", "test", "a test")
    elif before == "killed":
        (tmp_path / "control" / "kill.txt").touch()
    (tmp_path / "control" / START_FILE).touch()
    assert control.read().refusal("b1") is not None


def test_a_chain_when_halted_stays_halted_for_every_process_that_starts_later(tmp_path: Path) -> None:
    paths = HomePaths(tmp_path)
    paths.make()
    first = ControlFolder(paths)
    first.arm(_arm())
    first.raise_halt("risk", "test", "a test")
    for _ in range(3):
        paths.make()
        assert ControlFolder(paths).read().is_halted()


def _drop(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.parametrize(
    "damage",
    [
        _drop,
        lambda folder: (_drop(folder), folder.write_text("a file")),
        lambda folder: (folder / "000002.json").write_bytes(b""),
        lambda folder: (folder / "000002.json").write_bytes(b'{"counter": 2}'),
        lambda folder: (folder / "000002.json").mkdir(),
    ],
    ids=["missing", "not a folder", "empty record", "half a record", "record is a folder"],
)
def test_an_armed_chain_when_its_halts_are_missing_or_damaged_is_halted(
    control: ControlFolder, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    control.raise_halt("risk", "test", "answered")
    control.arm(_arm(counter=1))
    assert control.current().refusal("b1") is None
    damage(tmp_path / "control" / "halts")
    for state in (control.read(), control.current()):
        assert state.is_halted()
        assert "cannot be read" in str(state.refusal("b1"))


def test_an_arm_record_when_from_before_expiry_was_known_stands_without_end(
    control: ControlFolder, tmp_path: Path
) -> None:
    control.arm(_arm())
    path = tmp_path / "control" / "arm.json"
    path.write_text(path.read_text().replace(',"expires":""', ""))
    assert "expires" not in path.read_text()
    arm = control.read().arm
    assert arm is not None
    assert not arm.is_over(a_plan(), CLOSE_NS + 1)


def test_an_arm_record_when_it_expires_with_a_session_is_over_at_its_close_and_on_any_other_day() -> None:
    arm = replace(_arm(), expires="2013-10-08")
    assert not arm.is_over(None, CLOSE_NS)
    assert not arm.is_over(a_plan(), OPEN_NS)
    assert not arm.is_over(a_plan(), CLOSE_NS - 1)
    assert arm.is_over(a_plan(), CLOSE_NS)
    assert arm.is_over(a_plan("2013-10-09"), 0)
    assert not arm.is_over(replace(a_plan(), is_trading_day=False, close_ns=0), OPEN_NS)


def test_a_refusal_when_it_is_long_fits_into_what_is_told(control: ControlFolder) -> None:
    control.arm(_arm())
    told = announcement(control.read(), "x" * 1000, 0)
    assert isinstance(told, ChainDisarmed)
    assert len(told.detail) == 400


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

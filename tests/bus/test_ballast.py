"""Disk space in reserve: taken once where there is room, given up when a halt record does not fit."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from bus import control as control_module
from bus.ballast import BALLAST_BYTES, BALLAST_FILE, ROOM_BYTES_MIN, Ballast, free_bytes_at
from bus.control import ControlFolder
from config.paths import HomePaths


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    home.make()
    return home


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Take a megabyte where the real one takes 64."""
    monkeypatch.setattr("bus.ballast.BALLAST_BYTES", 1024 * 1024)
    return 1024 * 1024


def test_the_space_when_there_is_room_is_taken_once(paths: HomePaths, small: int) -> None:
    ballast = Ballast(paths)
    assert not ballast.make(ROOM_BYTES_MIN)
    assert not (paths.state / BALLAST_FILE).exists()
    assert ballast.make(ROOM_BYTES_MIN + 1)
    found = (paths.state / BALLAST_FILE).stat()
    assert found.st_size == small
    assert found.st_blocks * 512 >= small, "a hole reserves nothing"
    assert not ballast.make(ROOM_BYTES_MIN + 1)
    assert ballast.release()
    assert not ballast.release()
    assert BALLAST_BYTES == 64 * 1024 * 1024


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSPC])
def test_the_space_when_the_system_cannot_reserve_is_written_or_left(
    paths: HomePaths, small: int, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    is_written = code == errno.EOPNOTSUPP
    assert Ballast(paths).make(ROOM_BYTES_MIN + 1) is is_written
    assert (paths.state / BALLAST_FILE).exists() is is_written
    assert not is_written or (paths.state / BALLAST_FILE).stat().st_size == small


def test_the_free_space_when_the_place_is_gone_counts_as_none(tmp_path: Path) -> None:
    assert free_bytes_at(tmp_path) > 0
    assert free_bytes_at(tmp_path / "gone") == 0


class FullDisk:
    """A disk that takes nothing while the ballast lies on it, and nothing at all when `is_hopeless`."""

    def __init__(self, paths: HomePaths, *, is_hopeless: bool = False, code: int = errno.ENOSPC) -> None:
        self._ballast = paths.state / BALLAST_FILE
        self._is_hopeless = is_hopeless
        self._code = code
        self.tries = 0

    def __call__(self, descriptor: int) -> None:
        self.tries += 1
        if self._is_hopeless or self._ballast.exists():
            raise OSError(self._code, "No space left on device")


def _halt_on(paths: HomePaths, disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(control_module.os, "fsync", disk)
    return ControlFolder(paths).raise_halt("risk", "test", "a test")


def test_a_halt_when_the_disk_is_full_is_written_with_the_space_given_up(
    paths: HomePaths, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ballast(paths).make(ROOM_BYTES_MIN + 1)
    assert _halt_on(paths, FullDisk(paths), monkeypatch).counter == 1
    assert not (paths.state / BALLAST_FILE).exists()
    assert ControlFolder(paths).read().is_halted()
    assert [path.name for path in paths.halts.iterdir()] == ["000001.json"], "no half file is left"


def test_a_halt_when_even_that_does_not_help_is_tried_once_more_and_said(
    paths: HomePaths, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ballast(paths).make(ROOM_BYTES_MIN + 1)
    disk = FullDisk(paths, is_hopeless=True)
    with pytest.raises(OSError, match="No space left"):
        _halt_on(paths, disk, monkeypatch)
    assert disk.tries == 2
    assert list(paths.halts.iterdir()) == []


def test_a_halt_when_the_disk_fails_otherwise_leaves_the_reserve(
    paths: HomePaths, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ballast(paths).make(ROOM_BYTES_MIN + 1)
    with pytest.raises(OSError, match="No space left"):
        _halt_on(paths, FullDisk(paths, code=errno.EIO), monkeypatch)
    assert (paths.state / BALLAST_FILE).exists()

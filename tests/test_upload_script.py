"""The script that copies archives away: what it gives to rclone, and what it says where something is missing."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "upload_backups_to_cloud.sh"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "backups").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Put an rclone onto the path that only writes down how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "rclone"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "calls"}\n[ "$RCLONE_FAILS" != "$1" ]\n')
    program.chmod(0o755)
    return tmp_path / "calls"


def run(home: Path, *arguments: str, path: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"TRADEBOT_HOME": str(home), "PATH": path, **more}
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def with_rclone(calls: Path) -> str:
    return f"{calls.parent / 'bin'}:{os.environ['PATH']}"


def test_archives_are_copied_then_compared_and_nothing_is_deleted(home: Path, calls: Path) -> None:
    done = run(home, "vault:bot", path=with_rclone(calls))

    assert done.returncode == 0
    copied, checked = calls.read_text().splitlines()
    assert copied.startswith(f"copy {home / 'backups'} vault:bot --include *.zip.age --immutable")
    assert checked == f"check {home / 'backups'} vault:bot --include *.zip.age --one-way"
    assert "sync" not in copied
    assert "delete" not in copied


def test_dry_run_only_shows(home: Path, calls: Path) -> None:
    assert run(home, "--dry-run", "vault", path=with_rclone(calls)).returncode == 0

    (line,) = calls.read_text().splitlines()
    assert " vault: " in line
    assert "--dry-run" in line


@pytest.mark.parametrize("step", ["copy", "check"])
def test_failure_of_rclone_is_the_failure_of_the_script(home: Path, calls: Path, step: str) -> None:
    done = run(home, "vault:", path=with_rclone(calls), RCLONE_FAILS=step)

    assert done.returncode != 0
    assert "Every archive" not in done.stdout


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("--delete",), ("",)])
def test_other_arguments_are_refused(home: Path, calls: Path, arguments: tuple[str, ...]) -> None:
    done = run(home, *arguments, path=with_rclone(calls))

    assert done.returncode == 2
    assert not calls.exists()


def test_home_without_archives_and_machine_without_rclone_are_said_so(home: Path, calls: Path, tmp_path: Path) -> None:
    assert "no archive was made yet" in run(tmp_path / "other", "vault:", path=with_rclone(calls)).stderr
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "bash").symlink_to("/bin/bash")
    done = run(home, "vault:", path=str(bare))
    assert done.returncode == 1
    assert "rclone is not installed" in done.stderr

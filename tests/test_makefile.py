"""The command lines of the Makefile, and programs that cron starts: no terminal, a small PATH, another folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.paths import HOME_VARIABLE, HomePaths

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE)
#: What a person may say to a target, so that every option of its command line is there.
SAID = {
    "demo": (
        *("DATA=d", "DATE=2025-03-12", "SYMBOLS=SPY", "SEED=3", "SPEED=9"),
        *("HOME_DIR=h", "PORT=9", "BROKER=alpaca-sim", "NIGHT=1"),
    ),
    "run": ("HOME_DIR=h", "PORT=9"),
    "replay": ("DATA=d", "START=2025-03-03", "END=2025-03-04", "SYMBOLS=SPY", "SEED=3", "OUT=o"),
    "seed": ("SEED=3", "PROFILE=quiet"),
    "soak": ("SEEDS=1", "FIRST=1", "PROFILE=quiet"),
    "selftest": ("HOME_DIR=h",),
    "chaos": ("SEED=3",),
}
#: What cron gives a program.
CRON = {"PATH": "/usr/bin:/bin", "HOME": "/", "SHELL": "/bin/sh", "LOGNAME": "nobody"}


def _dry(target: str, *words: str) -> str:
    """Return what a target would run, its continued lines as one."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--assume-old=setup", target, *words],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("\\\n", " ")


def _programs(lines: str) -> list[tuple[list[str], set[str]]]:
    """Return each Python program of command lines, and the long options that it is given."""
    found = []
    for line in lines.splitlines():
        match = re.search(r"\.venv/bin/python (-m [\w.]+|[\w/]+\.py)((?: [a-z]+\b)?)(.*)", line)
        if match and "pip" not in match[1]:
            options = set(re.findall(r"(?<!\S)(--[a-z-]+)", match[3]))
            found.append(([*match[1].split(), *match[2].split()], options))
    return found


def test_help_when_asked_for_then_names_every_target_that_a_person_types() -> None:
    said = (
        _dry("help") and subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )
    assert re.findall(r"^  make ([a-z-]+)", said, re.MULTILINE) == TARGETS
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert set(TARGETS) <= set(phony[1].split())


@pytest.mark.parametrize("target", sorted(SAID))
def test_a_target_when_everything_is_said_then_its_programs_know_each_option(target: str) -> None:
    programs = _programs(_dry(target, *SAID[target]))
    assert programs
    for program, options in programs:
        done = subprocess.run(
            [sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        assert sorted(option for option in options if option not in done.stdout) == []


@pytest.mark.parametrize("target", ["bench", "check", "test", "browser", "lock", "install-unit"])
def test_a_target_when_it_runs_files_of_the_checkout_then_these_are_there(target: str) -> None:
    files = re.findall(r"(?:python|bash) ((?:bench|scripts|supervisor|tests)/[\w/]+\.(?:py|sh))", _dry(target))
    assert sorted(name for name in files if not (ROOT / name).is_file()) == []
    assert files or target in {"check", "lock"}


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        (("-m", "config", "doctor", "--offline"), 1, "not configured"),
        (("-m", "services.ledger", "verify"), 1, "not configured"),
        ((str(ROOT / "supervisor" / "auto_backup.py"), "list"), 0, ""),
        ((str(ROOT / "supervisor" / "auto_backup.py"), "make"), 2, "not configured"),
        (("-m", "services.web", "verify-audit"), 0, ""),
    ],
)
def test_a_program_when_cron_starts_it_then_needs_no_terminal_and_says_what_is(
    tmp_path: Path, program: tuple[str, ...], code: int, said: str
) -> None:
    paths = HomePaths(tmp_path / "home")
    paths.make()
    done = subprocess.run(
        [sys.executable, *program],
        cwd="/",
        env={**CRON, HOME_VARIABLE: str(paths.root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    words = done.stdout + done.stderr
    assert "Traceback" not in words
    assert said in words
    assert done.returncode == code, words

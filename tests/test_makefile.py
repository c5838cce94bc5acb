"""The command lines of the Makefile: each runs from a terminal or cron, on files and modules that are there."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE)
OPTIONS = (
    "HOME_DIR=home-of-a-test",
    "SEED=3",
    "SPEED=10",
    "DATE=2025-03-12",
    "BROKER=alpaca-sim",
    "NIGHT=1",
    "MINUTES=1",
)


def lines_of(target: str, *options: str) -> str:
    """Return what make would run, without running it and as cron does: with no terminal and hardly an environment."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", "-o", "node_modules/.ready", target, *options],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [(), OPTIONS], ids=["plain", "with options"])
@pytest.mark.parametrize("target", sorted({*TARGETS, "help"}))
def test_target_when_asked_for_then_its_commands_are_there(target: str, options: tuple[str, ...]) -> None:
    lines = lines_of(target, *options)
    for module in re.findall(r"bin/python -m ([\w.]+)", lines):
        assert importlib.util.find_spec(module), module
    for script in re.findall(r"(?:bin/python|bash) ((?:\w+/)+\w+\.(?:py|sh))", lines):
        assert (ROOT / script).is_file(), script
    for tool in re.findall(r"\.venv/bin/([\w-]+)", lines):
        assert (Path(sys.prefix) / "bin" / tool).exists(), tool


def test_options_when_given_then_the_commands_have_them() -> None:
    demo = lines_of("demo", *OPTIONS)
    for words in ('--home "home-of-a-test"', '--seed "3"', "--broker alpaca-sim", "--night", '--date "2025-03-12"'):
        assert words in demo
    assert '--home "home-of-a-test" --port 8123' in lines_of("run", *OPTIONS, "PORT=8123")
    assert "--minutes 1 --speed 10" in lines_of("soak", "MINUTES=1", "SPEED=10")

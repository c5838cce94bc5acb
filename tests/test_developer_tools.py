"""What a developer's editor is told, and that Ruff, which both editor and `make check` run, finds nothing."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("verb", [("check",), ("format", "--check")])
def test_sources_when_ruff_reads_them_then_are_as_it_would_write_them(verb: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *verb, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_when_a_line_is_badly_written_then_does_not_let_it_pass(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import os\nx = {  'a':1 }\n")
    settings = str(ROOT / "pyproject.toml")
    for verb in (("check",), ("format", "--check")):
        command = [sys.executable, "-m", "ruff", *verb, "--no-cache", "--config", settings, str(tmp_path)]
        assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 1


def test_editor_when_it_opens_the_checkout_then_formats_as_make_check_wants_it() -> None:
    told = json.loads((ROOT / ".vscode" / "settings.json").read_text(encoding="utf-8"))
    assert told["[python]"]["editor.defaultFormatter"] == "charliermarsh.ruff"
    assert told["python.defaultInterpreterPath"].endswith("/.venv/bin/python")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert told["editor.rulers"] == [project["tool"]["ruff"]["line-length"]]
    wanted = json.loads((ROOT / ".vscode" / "extensions.json").read_text(encoding="utf-8"))["recommendations"]
    assert "charliermarsh.ruff" in wanted

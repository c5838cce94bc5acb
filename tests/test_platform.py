"""macOS and Linux: no call that only one of them has without a way for the other, and the bot on what looks like macOS.

`tests/data/as_macos` takes away what macOS lacks and lets `sys.platform` say darwin. What it cannot show is macOS's own
kernel: that a socket's path is shorter there is asked for everywhere (config/paths.py).
"""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.paths import HOME_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
AS_MACOS = ROOT / "tests" / "data" / "as_macos"
FOLDERS = ("bus", "config", "services", "supervisor", "replay", "scripts")
LINUX_FOLDERS = ("/proc/", "/sys/", "/dev/shm", "\\0abstract")
#: These boot servers of Debian to try the page on deployment; the bot has no need of them.
LINUX_TOOLS = {ROOT / "scripts" / name for name in ("server_roots.py", "try_server.py")}


def _absent() -> set[str]:
    """Return what the stand-in takes away, such as os.fdatasync, without becoming it."""
    tree = ast.parse((AS_MACOS / "sitecustomize.py").read_text(encoding="utf-8"))
    (table,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ABSENT"
    )
    assert isinstance(table, ast.Dict)
    pairs = zip(table.keys, table.values, strict=True)
    return {f"{getattr(module, 'id', '')}.{name}" for module, names in pairs for name in ast.literal_eval(names)}


def _modules() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def _as_macos(*command: str, home: Path, timeout_s: int = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, HOME_VARIABLE: str(home), "PYTHONSAFEPATH": "1", "PYTHONPATH": f"{AS_MACOS}:{ROOT}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_sources_when_they_use_what_only_linux_has_then_they_ask_first() -> None:
    absent, found = _absent(), []
    assert "os.fdatasync" in absent
    for path in _modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts: list[ast.AST] = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] or [tree]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or f"{getattr(node.value, 'id', '')}.{node.attr}" not in absent:
                continue
            around = [ast.unparse(part) for part in parts if node in set(ast.walk(part))]
            module = ast.unparse(node.value)
            asks = (f"hasattr({module}, ", f"getattr({module}, ", "sys.platform")
            if not any(ask in text for text in around for ask in asks):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}")
    assert found == []


def test_sources_when_they_name_folders_of_the_linux_kernel_then_none() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in _modules() if path not in LINUX_TOOLS}
    assert [str(path) for path, text in texts.items() if any(word in text for word in LINUX_FOLDERS)] == []


def test_every_module_when_imported_as_on_macos_then_comes_up(tmp_path: Path) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in _modules()
        # Those of supervisor/ and scripts/ are no packages: they are run as files.
        if path.parts[len(ROOT.parts)] not in {"supervisor", "scripts"} and path.name != "__main__.py"
    ]
    assert len(names) > 300
    assert all(importlib.util.find_spec(name) for name in names[:5])
    code = "import importlib, sys; assert sys.platform == 'darwin'; [importlib.import_module(n) for n in sys.argv[1:]]"
    done = _as_macos("-c", code, *names, home=tmp_path / "h")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", ["services.ledger --self-check", "services.execution --self-check", "config doctor --offline"]
)
def test_a_command_when_run_as_on_macos_then_ends_in_words(command: str, tmp_path: Path) -> None:
    done = _as_macos("-m", *command.split(), home=tmp_path / "h")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout + done.stderr


def test_a_session_when_replayed_as_on_macos_then_it_trades(tmp_path: Path) -> None:
    done = _as_macos("-m", "replay", "run", "--out", str(tmp_path / "out"), home=tmp_path / "h", timeout_s=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "trades.csv").read_text(encoding="utf-8").count("\n") > 2

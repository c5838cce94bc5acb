"""The source tree against the house rules that no linter knows."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bus", "config", "services", "replay", "supervisor", "bench")
SOURCES = sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "__main__.py").is_file())
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
MAIN_LINES_MAX = 30
#: Two catalogues are one file each because they are read as one list: the messages and the settings.
CATALOGUES = ("bus/messages.py",)
#: The state machine of an order, and the fold of each service, live in these; each must have a test of its own.
CORES = [path for path in SOURCES if path.name == "core.py"]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_source_file_is_short_and_its_functions_too(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_LINES_MAX or _name(path) in CATALOGUES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"
            positional = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
            assert len(positional) + len(node.args.kwonlyargs) <= 6, f"{node.name} has too many arguments"


def test_no_test_file_is_long() -> None:
    lines = {_name(path): path.read_text(encoding="utf-8").count("\n") for path in TESTS}
    assert {name: count for name, count in lines.items() if count > FILE_LINES_MAX} == {}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_folder_has_its_names(name: str) -> None:
    folder = ROOT / "services" / name
    assert len((folder / "__main__.py").read_text(encoding="utf-8").splitlines()) <= MAIN_LINES_MAX
    package = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    assert len(package.body) == 1, "__init__.py is a docstring only"
    said = ast.get_docstring(package) or ""
    if name != "web":  # the web UI decides nothing: it has no core
        for word in ("ecides", "ears", "ays", "wns"):
            assert word in said, f"{name}/__init__.py does not say what it d{word}"
        for file in ("settings.py", "core.py", "shell.py"):
            assert (folder / file).is_file()


@pytest.mark.parametrize("core", CORES, ids=_name)
def test_a_core_has_a_test_file(core: Path) -> None:
    assert (ROOT / "tests" / core.relative_to(ROOT).parent / "test_core.py").is_file()


def test_the_package_named_supervisor_is_the_one_from_pypi() -> None:
    assert not (ROOT / "supervisor" / "__init__.py").exists()
    assert not (ROOT / "supervisor" / "watchdog.py").exists()
    found = subprocess.run(
        [sys.executable, "-c", "import supervisor; print(supervisor.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "site-packages" in found


def test_no_test_folder_is_a_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_vague_module_names() -> None:
    vague = {"utils.py", "helpers.py", "common.py", "manager.py", "misc.py"}
    assert [_name(path) for path in SOURCES if path.name in vague] == []


def test_no_machine_paths_and_no_unfinished_marks() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    wrong = re.compile(r"/(?:work|root|Users)/[A-Za-z0-9]|\b(?:TODO|FIXME|XXX)\b")
    kinds = (
        ".py",
        ".md",
        ".toml",
        ".conf",
        ".service",
        ".sh",
        ".html",
        ".js",
        ".css",
        ".sql",
        ".json",
        "Makefile",
    )
    for name in tracked:
        path = ROOT / name
        if name.endswith(kinds) and path.is_file() and path != Path(__file__) and "lock" not in name:
            assert not wrong.search(path.read_text(encoding="utf-8")), name


def test_no_test_is_skipped() -> None:
    marks = re.compile(r"pytest\.(?:mark\.)?(?:skip|xfail)|importorskip|unittest\.skip")
    found = [_name(p) for p in TESTS if p != Path(__file__) and marks.search(p.read_text())]
    assert found == []


def test_every_ignore_has_its_reason_beside_it() -> None:
    for path in [*SOURCES, *(path for path in TESTS if path != Path(__file__))]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if "# noqa" in line or "type: ignore" in line:
                assert re.search(r"# (?:noqa|type: ignore)[^#]*(?: - |#) ?\w+", line), f"{_name(path)}:{number}"


def test_processes_that_need_no_numpy_do_not_import_it() -> None:
    code = (
        "import sys\n"
        "import services.risk.shell, services.execution.shell, services.ledger.shell, bus.service\n"
        "print([name for name in ('numpy', 'pandas', 'flask', 'exchange_calendars') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"

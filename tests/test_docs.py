"""The pages for people against the code: reference tables, the map of requirements, links."""

import ast
import importlib.util
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from bus import messages as m
from config.env_bot_settings import SETTINGS
from services.web import navigation

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SPEC_MAP = DOCS / "spec_map.md"
FAILURES = DOCS / "failures.md"
VERSION = ROOT / "VERSION.md"
PAGES = sorted(path for path in (ROOT / "README.md", VERSION, *DOCS.glob("*.md")) if path.is_file())
STATES = ("done", "partly", "not yet", "outside")
#: A name in code type that is a path: it has a slash, or it ends like a file.
PATH = re.compile(r"[\w.\-/]*/[\w.\-/]*|[\w.\-]+\.(?:py|md|toml|sql|json|html|conf|service|sh)|Makefile|\.gitignore")
MACHINE_PATH = re.compile(r"/(?:work|tmp|root|home/\w+)/")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _script()


def _rows() -> list[tuple[str, str, str, str]]:
    """Requirement, state, where and test of each row of the map."""
    rows = []
    for line in SPEC_MAP.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| Requirement |", "| ---")):
            cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            assert len(cells) == 4, line
            rows.append((cells[0], cells[1], cells[2], cells[3]))
    return rows


@cache
def _tests_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", ["settings.md", "messages.md"])
def test_a_reference_page_when_the_code_changed_is_stale(name: str) -> None:
    assert name not in REFERENCE.stale(DOCS), f"docs/{name} differs from the code. Run: {REFERENCE.COMMAND}"


def test_the_check_when_a_page_was_edited_or_is_missing_exits_1_and_says_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(REFERENCE, "DOCS", tmp_path)
    assert REFERENCE.main(["--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert REFERENCE.main([]) == 0
    assert REFERENCE.main(["--check"]) == 0
    (tmp_path / "messages.md").write_text("edited by hand\n")
    capsys.readouterr()
    assert REFERENCE.main(["--check"]) == 1
    assert capsys.readouterr().err == f"docs/messages.md differs from the code. Run: {REFERENCE.COMMAND}\n"
    assert REFERENCE.main(["--chek"]) == 2


def test_every_setting_and_every_message_is_named_in_its_page() -> None:
    settings = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert [s.key for s in SETTINGS if f"| `{s.key}` |" not in settings] == []
    messages = (DOCS / "messages.md").read_text(encoding="utf-8")
    kinds = {k.__name__ for k in vars(m).values() if isinstance(k, type) and issubclass(k, m.Message)}
    # What other classes are derived from: nobody says them.
    kinds -= {"Message", "OperatorRequest", "OperatorCommand"}
    assert {name for name in kinds if f"| `{name}` |" not in messages} == set()


def test_every_path_in_the_map_exists() -> None:
    words = re.findall(r"`([^`\n]+)`", SPEC_MAP.read_text(encoding="utf-8"))
    paths = {word for word in words if "::" not in word and PATH.fullmatch(word)}
    assert len(paths) > 20
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_test_in_the_map_exists() -> None:
    named = {word for *_, tests in _rows() for word in re.findall(r"`([^`]+)`", tests)}
    assert len(named) > 20
    missing = []
    for word in sorted(named):
        path, _, name = word.partition("::")
        if not (ROOT / path).is_file() or not name.startswith("test_") or name not in _tests_in(ROOT / path):
            missing.append(word)
    assert missing == []


def test_every_test_named_for_a_failure_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", FAILURES.read_text(encoding="utf-8")))
    assert len(named) > 60
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).is_file() or f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_row_of_the_map_has_a_state_that_its_other_columns_bear_out() -> None:
    for requirement, state, where, tests in _rows():
        assert state in STATES, requirement
        assert tests == "-" or "::" in tests, requirement
        if state == "done":
            assert tests != "-", f"{requirement}: done without a test"
        if state == "partly":
            assert "Missing: " in where, f"{requirement}: partly, but not what is missing"
        if state in ("not yet", "outside"):
            assert tests == "-", requirement


def test_the_count_of_the_map_is_right() -> None:
    count = Counter(state for _, state, _, _ in _rows())
    total = sum(count.values())
    line = f"Count: {', '.join(f'{count[state]} {state}' for state in STATES)}; {total} rows."
    assert line in SPEC_MAP.read_text(encoding="utf-8").splitlines(), f"The line must be: {line}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_resolves_and_no_machine_path_is_named(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), target
    assert not MACHINE_PATH.search(text)


def test_the_version_page_names_this_version_with_its_four_sections() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    entries = VERSION.read_text(encoding="utf-8").split("\n## ")[1:]
    assert entries[0].startswith(f"v{version} ")
    for entry in entries:
        assert re.match(r"v\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)\n", entry)
        headings = re.findall(r"^### (.+)$", entry, re.MULTILINE)
        assert headings == ["Version tag", "Structural changes", "Logic differences", "Behaviour deltas"]


def test_every_requirement_of_the_map_says_how_a_person_sees_it() -> None:
    """The two pages have the same rows in the same order; pages and settings that the second one names are there."""
    labels = {page.label for page in navigation.PAGES}
    text = (DOCS / "spec_seen.md").read_text(encoding="utf-8")
    found = [
        tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| Requirement |", "| ---"))
    ]
    assert [row[0] for row in found] == [row[0] for row in _rows()]
    assert [row for row in found if len(row) != 2 or len(row[1]) < 8] == []
    assert set(re.findall(r"\*\*([^*]+)\*\*", text)) <= labels
    keys = {word for row in found for word in re.findall(r"`([A-Z][A-Z_]+)`", row[1])} - {"TRADEBOT_HOME", "TEST_MODE"}
    assert keys <= {one.key for one in SETTINGS}

"""Every branch on a setting names the setting where it branches, so that code and settings are found from each other.

Which field stands for which key is read from the services' `settings.py` (and from whatever reads the settings beside
them): a keyword argument whose value asks for a key.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from config.env_bot import BY_KEY

ROOT = Path(__file__).resolve().parent.parent
SERVICES = sorted(path for path in (ROOT / "services").rglob("*.py"))
#: What holds a slice of the settings is called so.
HOLDERS = ("settings", "limits", "rules")
READERS = {"flag", "whole", "number", "scaled", "scaled_or_none", "word", "words"}

Fields = dict[tuple[str, str], set[str]]


def _service(path: Path) -> str:
    return path.relative_to(ROOT / "services").parts[0]


def _trees() -> Iterator[tuple[Path, ast.Module, list[str]]]:
    for path in SERVICES:
        text = path.read_text(encoding="utf-8")
        yield path, ast.parse(text), text.splitlines()


def _keys(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value in BY_KEY}


def _fields() -> Fields:
    """Return the keys behind each field of each service's settings."""
    found: Fields = defaultdict(set)
    for path, tree, _ in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg and _keys(node.value):
                found[_service(path), node.arg] |= _keys(node.value)
    return found


def _conditions(function: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        match node:
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                yield test
            case ast.Match(subject=subject):
                yield subject
            case ast.comprehension(ifs=ifs):
                yield from ifs
            case ast.Compare() | ast.BoolOp():
                yield node
            case _:
                pass


def _unnamed(path: Path, function: ast.FunctionDef, text: str, fields: Fields) -> Iterator[str]:
    for condition in _conditions(function):
        for node in ast.walk(condition):
            if not isinstance(node, ast.Attribute) or not any(word in ast.unparse(node.value) for word in HOLDERS):
                continue
            keys = fields.get((_service(path), node.attr), set())
            if keys and not any(key in text for key in keys):
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield f"{where} {function.name}: {node.attr} is {', '.join(sorted(keys))}"


def test_branches_on_settings_when_read_then_each_names_the_setting() -> None:
    fields, unnamed, seen = _fields(), set[str](), 0
    assert fields["risk", "max_spread_ppm"] == {"MAX_SPREAD"}
    for path, tree, lines in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                seen += sum(1 for _ in _conditions(node))
                unnamed |= set(_unnamed(path, node, text, fields))
    assert seen > 1_000, "the check looks at nothing"
    assert sorted(unnamed) == []


def test_settings_when_a_service_reads_one_then_somewhere_in_code_its_key_is_named() -> None:
    folders = ("bus", "config", "services", "supervisor", "replay")
    texts = [
        path.read_text(encoding="utf-8")
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "settings_table" not in path.parts
    ]
    assert [key for key in BY_KEY if not any(key in text for text in texts)] == []

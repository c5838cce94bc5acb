"""The home: one tree, private, and a clear word when it cannot be used."""

import ast
from pathlib import Path

import pytest

from config.identity import Identity
from config.paths import HomeError, HomePaths, home_paths

ROOT = Path(__file__).resolve().parents[2]


def test_a_home_when_made_is_private(tmp_path: Path) -> None:
    paths = HomePaths(tmp_path / "home")
    paths.make()
    paths.make()
    for folder in (paths.root, paths.keys, paths.secrets, paths.control, paths.run, paths.state):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_home_when_too_deep_for_sockets_says_so(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match=r"too deep.*TRADEBOT_HOME"):
        HomePaths(tmp_path / ("x" * 90)).make()


def test_a_home_when_a_file_is_in_its_way_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(HomeError, match="cannot be written"):
        HomePaths(tmp_path / "home").make()


def test_a_home_when_it_lies_elsewhere_then_every_folder_of_it_does(tmp_path: Path) -> None:
    names = [name for name, kind in vars(HomePaths).items() if isinstance(kind, property)]
    assert {"state", "control", "output", "entities", "backup_keys"} <= set(names)
    for root in (tmp_path / "here", tmp_path / "there"):
        for name in names:
            assert getattr(HomePaths(root), name).is_relative_to(root), name
    here, there = HomePaths(tmp_path / "here"), HomePaths(tmp_path / "there")
    assert all(
        getattr(here, name).relative_to(here.root) == getattr(there, name).relative_to(there.root) for name in names
    )


def test_sources_when_read_then_name_no_folder_of_one_system() -> None:
    systems = tuple(
        f"/{name}/" for name in ("etc", "usr", "var", "opt", "home", "tmp", "srv", "proc", "dev", "Library")
    )
    named: list[str] = []
    for folder in ("bus", "config", "services", "replay", "supervisor"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
            named += [
                f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
                for node in texts
                if isinstance(node.value, str) and node.value.startswith(systems)
            ]
    # env is at this place on every system that the bot runs on.
    assert [line for line in named if not line.endswith(": /usr/bin/env")] == []


def test_the_home_follows_its_variable(tmp_path: Path) -> None:
    assert home_paths({"TRADEBOT_HOME": str(tmp_path)}).root == tmp_path
    assert home_paths({}).root == Path("home").absolute()


def test_an_identity_makes_the_names_of_files() -> None:
    identity = Identity(
        entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    assert identity.faults() == ()
    assert identity.entity_folder == "ACME_USA"
    assert identity.ledger_file == "ACME_USA_main_PAPER_BOT01_BOT_ledger.db"


def test_an_identity_when_malformed_names_each_part() -> None:
    identity = Identity(
        entity_code="../x", jurisdiction_code="usa", account_name="Main", broker_code="", bot_id="B O T"
    )
    assert len(identity.faults()) == 5

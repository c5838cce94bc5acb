"""Every state that a crash can leave while a generation is written: enumerated from the real code's file operations.

The disk model: after a crash, what was done before it is there in order, except that content that was not synced may
be empty, torn or whole, and each name that was made, moved or removed in a folder that was not synced since may be as
it was before. Each state is put on a disk and opened.
"""

import itertools
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config import vault as vault_module
from config.identity import Identity
from config.paths import HomePaths
from config.users import User
from config.vault import CurvePair, Disk, Secrets, Vault, VaultError

Operation = tuple[Any, ...]
Tree = dict[str, bytes | None]
#: Of one moment. The real code stays below the first, so every one of its states is played.
STATES_MAX = 100_000
MUTANT_STATES_MAX = 100


def secrets_named(label: str) -> Secrets:
    names = {"entity_code": "T", "jurisdiction_code": "U", "broker_code": "P", "bot_id": "B"}
    return Secrets(
        generation=0,
        settings={"LABEL": label},
        identity=Identity(account_name=label, **names),
        users=(User(name=label, password_hash="h", role="admin"),),
        credentials={"key": label},
        coa={"label": label},
        curve={"web": CurvePair(public=label, secret="s")},
        holdings={"label": label},
    )


def labels(found: Secrets) -> set[str]:
    return {
        found.settings["LABEL"],
        found.identity.account_name,
        found.users[0].name,
        found.credentials["key"],
        found.coa["label"],
        found.curve["web"].public,
        found.holdings["label"],
    }


class Recorder:
    """Notes every operation that a `Disk` does on one home, and every sync by the path that it was of."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.operations: list[Operation] = []
        real_sync = os.fsync

        def fsync(descriptor: int) -> None:
            real_sync(descriptor)
            found = os.fstat(descriptor)
            path = next(p for p in (root, *root.rglob("*")) if os.path.samestat(p.stat(), found))
            self.note("sync", path)

        monkeypatch.setattr(vault_module.os, "fsync", fsync)

    def note(self, kind: str, *paths: Path, content: bytes = b"") -> None:
        names = [path.relative_to(self.root).as_posix() for path in paths]
        self.operations.append((kind, *names, content) if kind == "write" else (kind, *names))

    def watch(self, disk: type[Disk]) -> Disk:
        recorder = self

        class Watched(disk):  # type: ignore[valid-type, misc] # the class to watch is what the test chooses
            def make_folder(self, folder: Path) -> None:
                super().make_folder(folder)
                recorder.note("make", folder)

            def write_file(self, path: Path, content: bytes) -> None:
                recorder.note("write", path, content=content)
                super().write_file(path, content)

            def rename(self, source: Path, target: Path) -> None:
                super().rename(source, target)
                recorder.note("rename", source, target)

            def remove_file(self, path: Path) -> None:
                if path.exists():
                    recorder.note("remove", path)
                super().remove_file(path)

            def remove_folder(self, folder: Path) -> None:
                if folder.exists():
                    for path in [*folder.iterdir(), folder]:
                        recorder.note("remove", path)
                super().remove_folder(folder)

        return Watched()


@dataclass
class Moment:
    """A disk at one moment: what is durable, and what may or may not survive a crash."""

    names: Tree  # everything as the programs see it; None = a folder
    durable: Tree
    loose_content: dict[str, bytes] = field(default_factory=dict)
    loose_names: list[Operation] = field(default_factory=list)

    def do(self, operation: Operation) -> None:
        kind, path = operation[0], operation[1]
        if kind == "sync":
            self._sync(path)
            return
        if kind == "write":
            self.loose_content[path] = operation[2]
            if path in self.names:
                self.names[path] = operation[2]
                return
            self.names[path] = operation[2]
        elif kind == "make":
            self.names[path] = None
        elif kind == "remove":
            self.names.pop(path, None)
        elif kind == "rename":
            content = self.names.pop(path)
            self.names[operation[2]] = content
            if path in self.loose_content:
                self.loose_content[operation[2]] = self.loose_content.pop(path)
            operation = (kind, path, operation[2], content)
        self.loose_names.append(operation)

    def _sync(self, path: str) -> None:
        if self.names.get(path, b"") is not None:
            self.loose_content.pop(path, None)
            return
        kept = [one for one in self.loose_names if parent(one[-2] if one[0] == "rename" else one[1]) != path]
        for one in self.loose_names:
            if one not in kept:
                apply(self.durable, one)
        self.loose_names = kept

    def states(self, at_most: int) -> Iterator[Tree]:
        """Yield every tree that a crash at this moment may leave; where there are more, `at_most` by chance."""
        torn = sorted(self.loose_content)
        choices: list[tuple[Any, ...]] = [(False, True) for _ in self.loose_names]
        choices += [(b"", whole[: len(whole) // 2], whole) for whole in (self.loose_content[path] for path in torn)]
        for chosen in combinations(choices, at_most):
            tree = dict(self.durable)
            for operation, is_there in zip(self.loose_names, chosen, strict=False):
                if is_there:
                    apply(tree, operation)
            for path, content in zip(torn, chosen[len(self.loose_names) :], strict=True):
                if path in tree:
                    tree[path] = content
            yield {path: content for path, content in tree.items() if is_reachable(path, tree)}


def combinations(choices: list[tuple[Any, ...]], at_most: int) -> Iterator[tuple[Any, ...]]:
    if math.prod(len(options) for options in choices) <= at_most:
        yield from itertools.product(*choices)
        return
    chance = random.Random(len(choices))
    for _ in range(at_most):
        yield tuple(chance.choice(options) for options in choices)


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def apply(tree: Tree, operation: Operation) -> None:
    if operation[0] == "write":
        tree[operation[1]] = operation[2]
    elif operation[0] == "make":
        tree[operation[1]] = None
    elif operation[0] == "remove":
        tree.pop(operation[1], None)
    else:
        tree.pop(operation[1], None)
        tree[operation[2]] = operation[3]


def is_reachable(path: str, tree: Tree) -> bool:
    above = parent(path)
    return not above or (above in tree and is_reachable(above, tree))


def tree_of(root: Path) -> Tree:
    return {p.relative_to(root).as_posix(): None if p.is_dir() else p.read_bytes() for p in sorted(root.rglob("*"))}


def put(tree: Tree, root: Path) -> None:
    for path, content in sorted(tree.items()):
        place = root / path
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.touch(0o600)
            place.write_bytes(content)


def recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: type[Disk], vault: type[Vault]
) -> tuple[Tree, list[Operation]]:
    """Return the tree before one more change of a vault with a history, and every operation of that change."""
    paths = HomePaths(tmp_path / "home")
    paths.make()
    Vault(paths).provision(secrets_named("n1"))
    for number in range(1, 4):
        Vault(paths).replace(secrets_named(f"n{number + 1}"), number)
    before = tree_of(paths.root)
    recorder = Recorder(paths.root, monkeypatch)
    vault(paths, recorder.watch(disk)).replace(secrets_named("n5"), 4)
    monkeypatch.undo()
    return before, recorder.operations


@dataclass
class Outcome:
    """How many different states there were, and what opening them led to."""

    states: int = 0
    unopened: int = 0
    mixed: int = 0
    found: set[str] = field(default_factory=set)


def play(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disk: type[Disk] = Disk,
    vault: type[Vault] = Vault,
    *,
    is_one_enough: bool = False,
) -> Outcome:
    before, operations = recorded(tmp_path, monkeypatch, disk, vault)
    moment, outcome = Moment(dict(before), dict(before)), Outcome()
    seen: set[frozenset[tuple[str, bytes | None]]] = set()
    opened: dict[frozenset[tuple[str, bytes | None]], set[str]] = {}
    for operation in (None, *operations):
        if operation is not None:
            moment.do(operation)
        for tree in moment.states(MUTANT_STATES_MAX if is_one_enough else STATES_MAX):
            state = frozenset(tree.items())
            if state in seen:
                continue
            seen.add(state)
            needed = what_opening_reads(tree)
            if needed not in opened:
                opened[needed] = opened_labels(tree, tmp_path / f"state{len(opened)}")
            found = opened[needed]
            outcome.unopened += not found
            outcome.mixed += len(found) > 1
            outcome.found |= found
            if is_one_enough and not found:
                return outcome
    outcome.states = len(seen)
    return outcome


def what_opening_reads(tree: Tree) -> frozenset[tuple[str, bytes | None]]:
    """Return the part of a tree that the opening of a vault depends on: states that agree in it open alike."""
    name = (tree.get("storage/secrets/CURRENT") or b"").decode(errors="replace").strip() or "none"
    return frozenset((p, c) for p, c in tree.items() if name in p or p.endswith(("CURRENT", "PROVISIONED")))


def opened_labels(tree: Tree, root: Path) -> set[str]:
    put({path: content for path, content in tree.items() if path.startswith("storage")}, root)
    try:
        return labels(Vault(HomePaths(root)).open())
    except VaultError:
        return set()
    finally:
        shutil.rmtree(root)


def test_replace_when_it_crashes_in_any_state_then_all_open_and_none_is_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = play(tmp_path, monkeypatch)
    assert outcome.states > 1000
    assert (outcome.unopened, outcome.mixed) == (0, 0)
    assert outcome.found == {"n4", "n5"}


class UnsyncedFiles(Disk):
    """Writes files and leaves their content to the system."""

    def write_file(self, path: Path, content: bytes) -> None:
        path.touch(0o600)
        path.write_bytes(content)


class UnsyncedFolders(Disk):
    """Leaves the names in folders to the system."""

    def sync_folder(self, folder: Path) -> None:
        """Do nothing."""


class HastyVault(Vault):
    """Deletes the generation in force before the next one is."""

    def _collect_garbage(self, previous: int) -> None:
        super()._collect_garbage(previous)
        self._delete(self._live, previous)


class PointingVault(Vault):
    """Names the new generation before it is written."""

    def _write_generation(self, number: int, secrets: Secrets) -> None:
        pointer = self._secrets / "CURRENT.tmp"
        self._disk.write_file(pointer, f"g{number:06d}\n".encode())
        self._disk.rename(pointer, self._secrets / "CURRENT")
        super()._write_generation(number, secrets)


@pytest.mark.parametrize(
    ("disk", "vault"),
    [(UnsyncedFiles, Vault), (UnsyncedFolders, Vault), (Disk, HastyVault), (Disk, PointingVault)],
    ids=["files_not_synced", "folders_not_synced", "deleted_early", "pointed_early"],
)
def test_replace_when_a_step_of_its_care_is_left_out_then_some_states_do_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: type[Disk], vault: Callable[..., Any]
) -> None:
    assert play(tmp_path, monkeypatch, disk, vault, is_one_enough=True).unopened > 0  # type: ignore[arg-type] # the classes above

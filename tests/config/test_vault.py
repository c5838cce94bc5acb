"""The vault: exactly the old or exactly the new generation, whatever happens; and no secret in any text."""

import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from config.identity import Identity
from config.paths import HomePaths
from config.users import User
from config.vault import (
    GENERATIONS_KEPT,
    PARTS,
    CurvePair,
    Disk,
    Secrets,
    Vault,
    VaultConflictError,
    VaultError,
)

CANARY = "CANARY-5up3r-secret"


def secrets_named(label: str) -> Secrets:
    """Every part carries the label, so that a mixture of two generations would show."""
    return Secrets(
        generation=0,
        settings={"LABEL": label},
        identity=Identity(
            entity_code="TBOT",
            jurisdiction_code="USA",
            account_name=label,
            broker_code="PAPER",
            bot_id="BOT01",
        ),
        users=(User(name=label, password_hash=CANARY, role="admin"),),
        credentials={"web_session_key": CANARY + label},
        coa={"label": label, "accounts": [{"code": "1000"}]},
        curve={"web": CurvePair(public=label, secret=CANARY)},
        holdings={"label": label},
    )


def labels(secrets: Secrets) -> set[str]:
    return {
        secrets.settings["LABEL"],
        secrets.identity.account_name,
        secrets.users[0].name,
        secrets.credentials["web_session_key"].removeprefix(CANARY),
        secrets.coa["label"],
        secrets.curve["web"].public,
        secrets.holdings["label"],
    }


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    found = HomePaths(tmp_path / "home")
    found.make()
    return found


class PowerCutError(Exception):
    """The machine lost its power."""


class FailingDisk(Disk):
    """Stops before operation number `stop_at`; remembers which names were not yet made durable."""

    def __init__(self, stop_at: int, *, is_torn: bool = False) -> None:
        self.stop_at = stop_at
        self.is_torn = is_torn
        self.done = 0
        self.loose: list[tuple[str, Path, bytes | None]] = []

    def _step(self) -> None:
        if self.done == self.stop_at:
            raise PowerCutError
        self.done += 1

    def make_folder(self, folder: Path) -> None:
        self._step()
        super().make_folder(folder)
        self.loose.append(("made", folder, None))

    def write_file(self, path: Path, content: bytes) -> None:
        if self.done == self.stop_at and self.is_torn:
            super().write_file(path, content[: len(content) // 2])
        self._step()
        if not path.exists():
            self.loose.append(("made", path, None))
        super().write_file(path, content)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        before = target.read_bytes() if target.exists() else None
        super().rename(source, target)
        self.loose.append(("renamed", target, before))

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)
        self.loose = [entry for entry in self.loose if entry[1].parent != folder]

    def remove_file(self, path: Path) -> None:
        self._step()
        super().remove_file(path)

    def remove_folder(self, folder: Path) -> None:
        self._step()
        super().remove_folder(folder)

    def lose_what_is_not_durable(self) -> None:
        for kind, path, before in reversed(self.loose):
            if kind == "renamed" and before is not None:
                path.write_bytes(before)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def operations_of(paths: HomePaths, change: Callable[[Vault], int]) -> int:
    disk = FailingDisk(stop_at=-1)
    change(Vault(paths, disk))
    return disk.done


@pytest.fixture(params=["kept", "lost", "torn"])
def after_the_cut(request: pytest.FixtureRequest) -> str:
    """What the disk does with names that were not made durable, or with the last write."""
    return str(request.param)


def cut_at_every_step(
    tmp_path: Path, start: Callable[[HomePaths], None], change: Callable[[Vault], int], after_the_cut: str
) -> Iterator[HomePaths]:
    """Yield the paths of a home for every prefix of the change's file operations."""
    trial = HomePaths(tmp_path / "trial")
    trial.make()
    start(trial)
    total = operations_of(trial, change)
    assert total > len(PARTS) + 5
    for stop_at in range(total):
        home = HomePaths(tmp_path / f"cut{stop_at}")
        home.make()
        start(home)
        disk = FailingDisk(stop_at, is_torn=after_the_cut == "torn")
        with pytest.raises(PowerCutError):
            change(Vault(home, disk))
        if after_the_cut == "lost":
            disk.lose_what_is_not_durable()
        yield home


def test_replace_when_power_is_cut_at_any_step_then_old_or_new_opens_whole(tmp_path: Path, after_the_cut: str) -> None:
    def start(paths: HomePaths) -> None:
        for label in ("old0", "old1", "old2", "old"):
            vault = Vault(paths)
            if vault.is_provisioned():
                vault.replace(secrets_named(label), vault.generation())
            else:
                vault.provision(secrets_named(label))

    def change(vault: Vault) -> int:
        return vault.replace(secrets_named("new"), vault.generation())

    seen: set[str] = set()
    for home in cut_at_every_step(tmp_path, start, change, after_the_cut):
        vault = Vault(home)
        found = labels(vault.open())
        assert found in ({"old"}, {"new"})
        seen |= found
        number = vault.replace(secrets_named("after"), vault.generation())
        assert labels(Vault(home).open()) == {"after"}
        assert vault.generation() == number
    assert seen == {"old", "new"}


def test_provision_when_power_is_cut_at_any_step_then_can_be_repeated_or_is_done(
    tmp_path: Path, after_the_cut: str
) -> None:
    def change(vault: Vault) -> int:
        return vault.provision(secrets_named("first"))

    for home in cut_at_every_step(tmp_path, lambda _paths: None, change, after_the_cut):
        vault = Vault(home)
        if not vault.is_provisioned():
            vault.provision(secrets_named("first"))
        assert labels(vault.open()) == {"first"}


def test_open_when_nothing_was_provisioned_then_says_what_to_do(paths: HomePaths) -> None:
    assert not Vault(paths).is_provisioned()
    with pytest.raises(VaultError, match=r"not configured.*first page"):
        Vault(paths).open()


def test_provision_when_done_then_everything_reads_back_and_files_are_private(paths: HomePaths) -> None:
    assert Vault(paths).provision(secrets_named("one")) == 1
    found = Vault(paths).open()
    assert found.generation == 1
    assert labels(found) == {"one"}
    for path in (*paths.secrets.rglob("*"), *paths.keys.rglob("*")):
        allowed = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == allowed, path
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes()


def test_provision_when_already_provisioned_then_refuses_and_changes_nothing(paths: HomePaths) -> None:
    Vault(paths).provision(secrets_named("one"))
    with pytest.raises(VaultConflictError, match="already configured"):
        Vault(paths).provision(secrets_named("two"))
    assert labels(Vault(paths).open()) == {"one"}


def test_replace_when_somebody_else_saved_first_then_refuses_and_changes_nothing(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_named("one"))
    vault.replace(secrets_named("two"), 1)
    with pytest.raises(VaultConflictError, match="generation 2, not 1"):
        vault.replace(secrets_named("three"), 1)
    assert labels(vault.open()) == {"two"}


def test_replace_when_two_save_at_once_then_one_wins_and_one_hears_of_it(paths: HomePaths) -> None:
    Vault(paths).provision(secrets_named("one"))
    outcomes = []

    def save(label: str) -> None:
        try:
            outcomes.append(Vault(paths).replace(secrets_named(label), 1))
        except VaultConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=save, args=(label,)) for label in ("two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["2", "conflict"]


def test_replace_when_repeated_then_newest_three_are_kept_with_their_own_keys(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_named("n1"))
    for number in range(1, 6):
        vault.replace(secrets_named(f"n{number + 1}"), number)
    kept = sorted(path.name for path in paths.secrets.glob("g*"))
    assert kept == ["g000004", "g000005", "g000006"]
    assert len(kept) == GENERATIONS_KEPT
    keys = {path.name: path.read_bytes() for path in paths.keys.glob("*.key")}
    assert sorted(keys) == [f"{name}.key" for name in kept]
    assert len(set(keys.values())) == GENERATIONS_KEPT


def test_open_when_key_is_missing_then_says_so_and_never_makes_one(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_named("one"))
    key = paths.keys / "g000001.key"
    key.unlink()
    with pytest.raises(VaultError, match=r"g000001\.key is missing.*restore"):
        vault.open()
    assert not key.exists()
    assert vault.is_provisioned()


@pytest.mark.parametrize("part", PARTS)
def test_open_when_a_part_is_damaged_then_names_the_file(paths: HomePaths, part: str) -> None:
    Vault(paths).provision(secrets_named("one"))
    path = paths.secrets / "g000001" / f"{part}.enc"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(VaultError, match=f"{part}.enc is not what MANIFEST says"):
        Vault(paths).open()
    path.unlink()
    with pytest.raises(VaultError, match=f"{part}.enc is missing"):
        Vault(paths).open()


def test_open_when_parts_of_two_generations_are_mixed_then_refuses_even_with_a_matching_manifest(
    paths: HomePaths,
) -> None:
    vault = Vault(paths)
    vault.provision(secrets_named("one"))
    vault.replace(secrets_named("two"), 1)
    old, new = paths.secrets / "g000001", paths.secrets / "g000002"
    shutil.copy(old / "users.enc", new / "users.enc")
    sums = msgspec.json.decode((new / "MANIFEST").read_bytes())
    sums["users.enc"] = msgspec.json.decode((old / "MANIFEST").read_bytes())["users.enc"]
    (new / "MANIFEST").write_bytes(msgspec.json.encode(sums))
    with pytest.raises(VaultError, match=r"users\.enc does not belong to its key"):
        vault.open()


def test_open_when_written_before_there_were_holdings_then_they_are_empty_and_the_next_has_them(
    paths: HomePaths,
) -> None:
    vault = Vault(paths)
    vault.provision(secrets_named("one"))
    folder = paths.secrets / "g000001"
    (folder / "holdings.enc").unlink()
    sums = msgspec.json.decode((folder / "MANIFEST").read_bytes())
    del sums["holdings.enc"]
    (folder / "MANIFEST").write_bytes(msgspec.json.encode(sums))
    assert vault.open().holdings == {}
    vault.replace(secrets_named("two"), 1)
    assert labels(vault.open()) == {"two"}


@pytest.mark.parametrize("text", [b"", b"{", b'{"settings.enc": "00"}', b"[]", b'{"x": 1}'])
def test_open_when_manifest_is_wrong_then_names_it(paths: HomePaths, text: bytes) -> None:
    Vault(paths).provision(secrets_named("one"))
    (paths.secrets / "g000001" / "MANIFEST").write_bytes(text)
    with pytest.raises(VaultError, match="MANIFEST"):
        Vault(paths).open()


@pytest.mark.parametrize("text", [b"", b"g1", b"../../etc", b"g000001/..", b"\xff\xfe"])
def test_open_when_pointer_is_damaged_then_names_it_and_never_provisions_over_it(paths: HomePaths, text: bytes) -> None:
    Vault(paths).provision(secrets_named("one"))
    (paths.secrets / "CURRENT").write_bytes(text)
    with pytest.raises(VaultError, match="CURRENT does not name a generation"):
        Vault(paths).open()
    with pytest.raises(VaultConflictError):
        Vault(paths).provision(secrets_named("two"))


def test_key_when_damaged_then_is_named_without_its_content(paths: HomePaths) -> None:
    Vault(paths).provision(secrets_named("one"))
    (paths.keys / "g000001.key").write_text(CANARY)
    with pytest.raises(VaultError, match=r"g000001\.key is damaged") as caught:
        Vault(paths).open()
    assert CANARY not in str(caught.value)


def test_replace_when_the_disk_is_full_then_old_generation_stays_and_the_message_says_so(
    paths: HomePaths,
) -> None:
    class FullDisk(Disk):
        def write_file(self, path: Path, content: bytes) -> None:
            if path.name == "coa.enc":
                raise OSError(28, "No space left on device")
            super().write_file(path, content)

    Vault(paths).provision(secrets_named("one"))
    with pytest.raises(VaultError, match=r"No space left.*stays in force"):
        Vault(paths, FullDisk()).replace(secrets_named("two"), 1)
    assert labels(Vault(paths).open()) == {"one"}


def test_replace_when_the_disk_writes_something_else_then_it_is_not_put_in_force(paths: HomePaths) -> None:
    class LyingDisk(Disk):
        def write_file(self, path: Path, content: bytes) -> None:
            super().write_file(path, content[:-1] + b"?" if path.name == "users.enc" else content)

    Vault(paths).provision(secrets_named("one"))
    with pytest.raises(VaultError, match=r"users\.enc"):
        Vault(paths, LyingDisk()).replace(secrets_named("two"), 1)
    assert labels(Vault(paths).open()) == {"one"}


def test_part_when_of_another_version_then_message_quotes_no_content(paths: HomePaths) -> None:
    other = msgspec.structs.replace(secrets_named("one"), credentials={CANARY: 7})
    with pytest.raises(VaultError, match=r"credentials\.enc was written by another version") as caught:
        Vault(paths).provision(other)
    assert CANARY not in str(caught.value)


def test_secrets_when_shown_then_hide_every_value() -> None:
    shown = repr(secrets_named("label")) + str(secrets_named("label")) + repr(secrets_named("label").curve)
    assert CANARY not in shown


def test_pointer_when_lost_then_the_bootstrap_stays_closed_and_the_message_says_what_to_do(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_named("one"))
    (paths.secrets / "CURRENT").unlink()
    assert vault.is_provisioned()
    with pytest.raises(VaultError, match="is lost"):
        vault.open()
    with pytest.raises(VaultConflictError):
        vault.provision(secrets_named("two"))

"""Many changes of the vault, and kills in the middle of them: new keys each time, copies that open, nothing mixed."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet, InvalidToken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.keys import make_pairs
from config import generation_pin
from config.identity import Identity
from config.paths import HomePaths
from config.secrets_diff import Change, changes, since
from config.users import User
from config.vault import BACKUPS_KEPT, PARTS, Disk, Secrets, Vault, VaultConflictError, VaultError

KILLS = 50
CANARY = "CANARY-5up3r-secret"


def secrets_of(label: str) -> Secrets:
    return Secrets(
        generation=0,
        settings={"LABEL": label},
        identity=Identity(
            entity_code="TBOT", jurisdiction_code="USA", account_name=label, broker_code="PAPER", bot_id="BOT01"
        ),
        users=(User(name=label, password_hash="h", role="admin"),),
        credentials={"web_session_key": label},
        coa={"label": label},
        curve=make_pairs(),
        holdings={"label": label},
    )


def labels(found: Secrets) -> set[str]:
    return {
        found.settings["LABEL"],
        found.identity.account_name,
        found.users[0].name,
        found.credentials["web_session_key"],
        found.coa["label"],
        found.holdings["label"],
    }


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    found = HomePaths(tmp_path / "home")
    found.make()
    return found


def cipher_texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.enc")}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(("settings", "users", "credentials", "coa", "holdings")), min_size=1, max_size=8))
def test_changes_when_any_parts_change_in_any_order_then_each_is_a_generation_of_its_own(
    tmp_path: Path, parts: list[str]
) -> None:
    paths = HomePaths(tmp_path / "home")
    shutil.rmtree(paths.root, ignore_errors=True)
    paths.make()
    vault = Vault(paths, new_pairs=make_pairs)
    vault.provision(secrets_of("n1"))
    seen = [(vault.open(), cipher_texts(paths.secrets / "g000001"))]
    for number, part in enumerate(parts, 1):
        fresh = getattr(secrets_of(f"n{number + 1}"), part)
        vault.replace(msgspec.structs.replace(seen[-1][0], **{part: fresh}), number)
        seen.append((vault.open(), cipher_texts(paths.secrets_backups / f"g{number + 1:06d}")))
    keys = {path.name: path.read_bytes().strip() for path in paths.backup_keys.glob("*.key")}
    assert vault.generation() == len(parts) + 1
    assert len({*keys.values()}) == len(parts) + 1
    newest = Fernet((paths.keys / f"g{len(parts) + 1:06d}.key").read_bytes())
    for number, (opened, texts) in enumerate(seen, 1):
        assert vault.open_backup(number) == opened
        assert set(texts) == {f"{part}.enc" for part in PARTS}
        for text in texts.values():
            Fernet(keys[f"g{number:06d}.key"]).decrypt(text)
            if number <= len(parts):
                with pytest.raises(InvalidToken):
                    newest.decrypt(text)
    assert len({opened.curve["web"].secret for opened, _ in seen}) == len(seen)


def _change_for_ever(home: Path, has_begun: Any) -> None:
    vault = Vault(HomePaths(home))
    has_begun.set()
    while True:
        number = vault.generation()
        # No two attempts have the same name, so that parts of two would show.
        vault.replace(secrets_of(f"n{number}by{os.getpid()}"), number)


def test_rotation_when_killed_fifty_times_then_opens_whole_each_time(paths: HomePaths) -> None:
    Vault(paths).provision(secrets_of("n1"))
    began = time.monotonic()
    Vault(paths).replace(secrets_of("n2"), 1)
    took_s = time.monotonic() - began
    chance, moments, fork = random.Random(7), set(), multiprocessing.get_context("fork")
    for _ in range(KILLS):
        has_begun = fork.Event()
        child = fork.Process(target=_change_for_ever, args=(paths.root, has_begun))
        child.start()
        assert has_begun.wait(60)
        time.sleep(chance.uniform(0.0, 2 * took_s))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        found = Vault(paths).open()
        assert len(labels(found)) == 1
        moments.add(len([*paths.secrets.glob(f"g{found.generation + 1:06d}/*")]))
        for number in Vault(paths).backups()[:3]:
            assert len(labels(Vault(paths).open_backup(number))) == 1
    number = Vault(paths).generation()
    assert number > 2
    assert len(moments) > 1, "no kill came in the middle of a generation"
    Vault(paths).replace(secrets_of("last"), number)
    assert labels(Vault(paths).open()) == {"last"}
    assert max(Vault(paths).backups()) == Vault(paths).generation()
    assert len([*paths.secrets.glob("g*")]) <= 4, "what killed writers left is deleted"


def test_backups_when_many_then_the_newest_stay_and_each_has_its_key(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_of("n1"))
    for number in range(1, BACKUPS_KEPT + 3):
        vault.replace(secrets_of(f"n{number + 1}"), number)
    assert vault.backups() == tuple(range(BACKUPS_KEPT + 3, 3, -1))
    assert sorted(path.stem for path in paths.backup_keys.glob("*.key")) == sorted(
        f"g{number:06d}" for number in vault.backups()
    )


def test_backup_when_restored_then_is_a_new_generation_under_a_new_key(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_of("n1"))
    vault.replace(secrets_of("n2"), 1)
    assert vault.restore(1) == 3
    assert labels(vault.open()) == {"n1"}
    keys = [path.read_bytes() for path in paths.backup_keys.glob("*.key")]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("lost", ["storage/secrets/CURRENT", "storage/keys/g000002.key", "storage/secrets/g000002"])
def test_backup_when_what_is_in_force_is_lost_then_is_restored_all_the_same(paths: HomePaths, lost: str) -> None:
    vault = Vault(paths)
    vault.provision(secrets_of("n1"))
    vault.replace(secrets_of("n2"), 1)
    place = paths.root / lost
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    with pytest.raises(VaultError):
        vault.open()
    assert vault.restore(2) == 3
    assert labels(vault.open()) == {"n2"}


def test_backup_when_its_folder_cannot_be_written_then_nothing_comes_into_force(paths: HomePaths) -> None:
    class NoBackups(Disk):
        def make_folder(self, folder: Path) -> None:
            if "backups" in folder.parts:
                raise OSError(13, "Permission denied")
            super().make_folder(folder)

    Vault(paths).provision(secrets_of("n1"))
    with pytest.raises(VaultError, match=r"Permission denied.*stays in force") as caught:
        Vault(paths, NoBackups()).replace(secrets_of("n2"), 1)
    assert str(paths.secrets_backups) in str(caught.value)
    assert labels(Vault(paths).open()) == {"n1"}
    assert Vault(paths).backups() == (1,)


def test_generation_when_a_running_chain_uses_it_then_is_kept_however_many_follow(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_of("n1"))
    generation_pin.move(paths, 1)
    for number in range(1, 8):
        vault.replace(secrets_of(f"n{number + 1}"), number)
    assert labels(vault.open(1)) == {"n1"}
    generation_pin.move(paths, 8)
    vault.replace(secrets_of("n9"), 8)
    with pytest.raises(VaultError):
        vault.open(1)


def test_conflict_when_somebody_saved_first_then_tells_what_they_changed_without_secrets(paths: HomePaths) -> None:
    vault = Vault(paths)
    vault.provision(secrets_of("n1"))
    mine = theirs = vault.open()
    user = msgspec.structs.replace(theirs.users[0], password_hash=CANARY, role="viewer")
    theirs = msgspec.structs.replace(
        theirs,
        settings={"LABEL": "n1", "MAX_TRADES": "7"},
        credentials={"web_session_key": CANARY, "finnhub_api_key": CANARY},
        users=(user, User(name="olga", password_hash=CANARY, role="operator")),
        holdings={"weights": {"SCHD": 50}},
        coa={"accounts": []},
    )
    vault.replace(theirs, 1)
    with pytest.raises(VaultConflictError):
        vault.replace(mine, 1)
    found = since(vault, 1)
    assert [str(change) for change in found] == [
        "settings MAX_TRADES: not set -> 7",
        "users n1: admin, active, password -> viewer, active, password",
        "users olga: not set -> operator, active, password",
        "credentials finnhub_api_key: not set -> set",
        "credentials web_session_key: set -> replaced",
        "coa chart of accounts: set -> replaced",
        "holdings label: n1 -> not set",
        'holdings weights: not set -> {"SCHD":50}',
    ]
    assert CANARY not in repr(found)


def test_diff_when_only_a_password_changed_then_says_replaced(paths: HomePaths) -> None:
    old = secrets_of("n1")
    new = msgspec.structs.replace(old, users=(msgspec.structs.replace(old.users[0], password_hash=CANARY),))
    assert changes(old, new) == (Change(part="users", key="n1", before="set", after="replaced"),)

"""A home that version 0.4.0 wrote, after one session of its demonstration: what this version makes of it, and back.

`tests/data/home_0_4_0.tar.xz` was written by that version itself; its accounts are a simulator's.
"""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.build import build_id
from bus.control import ControlFolder
from bus.keys import MissingKeyError, make_pairs
from bus.messages import OrderFilled
from bus.start import ConfigurationError, await_setup
from bus.store import read_journal
from config.archive import Manifest, pack, unpack
from config.env_bot import PendingUpgradeError, parse, proposals
from config.paths import HOME_VARIABLE, HomePaths
from config.vault import MANIFEST_FILE, Vault, VaultError

ROOT = Path(__file__).resolve().parent.parent
OLDER = ROOT / "tests" / "data" / "home_0_4_0.tar.xz"
PASSPHRASE = "a passphrase before the upgrade"
FILLS = 42


@pytest.fixture
def older(tmp_path: Path) -> HomePaths:
    with tarfile.open(OLDER) as file:
        file.extractall(tmp_path, filter="data")
    paths = HomePaths(tmp_path / "home")
    paths.make()
    return paths


def sums(paths: HomePaths) -> dict[str, str]:
    def files() -> Iterator[Path]:
        for folder in (paths.secrets, paths.keys, paths.state, paths.entities, paths.control):
            yield from (
                path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal"))
            )

    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files() if path.name != "LOCK"}


def ledger_says(paths: HomePaths, verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.ledger", verb],
        cwd=ROOT,
        env={**os.environ, HOME_VARIABLE: str(paths.root), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def confirm(paths: HomePaths) -> int:
    """Save the settings as the page does when a person has looked at what is new."""
    vault = Vault(paths, new_pairs=make_pairs)
    kept = vault.open()
    known = {key: kept.settings.get(key, text) for key, text in proposals().items()}
    return vault.replace(replace(kept, settings=known), kept.generation)


def ledger_file(paths: HomePaths) -> Path:
    return next(paths.entities.glob("*/*_ledger.db"))


def test_older_home_when_opened_then_secrets_books_and_journals_are_all_there(older: HomePaths) -> None:
    secrets = Vault(older).open()
    assert secrets.identity.bot_identity == "TBOT_USA_main_PAPER_BOT01"
    assert secrets.holdings == {}, "a part that the older version did not have takes its default"
    done = ledger_says(older, "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sound: 43 entries" in done.stdout
    for service in ("screener", "strategy", "risk", "execution", "ledger", "watchdog"):
        assert read_journal(older.state / f"{service}.db"), f"the journal of {service}"
    assert len(read_journal(older.state / "execution.db", (OrderFilled,))) == FILLS


def test_older_home_when_nobody_has_looked_at_the_new_settings_then_nothing_starts_and_nothing_is_changed(
    older: HomePaths,
) -> None:
    before = sums(older)
    with pytest.raises(PendingUpgradeError):
        parse(Vault(older).open().settings)
    with pytest.raises(ConfigurationError, match="not those of this version: look at them on the page of settings"):
        await_setup("risk", older, is_waiting=False)
    assert sums(older) == before


def test_older_home_when_a_person_has_confirmed_then_it_starts_and_an_older_permission_does_not_count(
    older: HomePaths,
) -> None:
    assert confirm(older) == 2
    try:
        setup, _ = await_setup("risk", older, is_waiting=False)
    except MissingKeyError as error:
        raise AssertionError(error) from error
    assert setup.generation == 2
    assert Vault(older).open(1).settings != Vault(older).open(2).settings, "the older generation is kept"
    refusal = str(ControlFolder(older).read().refusal(build_id()))
    assert "another build" in refusal


def test_newer_vault_when_this_version_is_put_back_then_refused_and_nothing_is_changed(older: HomePaths) -> None:
    folder = older.secrets / "g000001"
    manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
    (folder / "future.enc").write_bytes(b"a part of a newer version")
    manifest["future.enc"] = hashlib.sha256(b"a part of a newer version").hexdigest()
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    before = sums(older)
    with pytest.raises(VaultError, match="does not list exactly the parts"):
        Vault(older).open()
    assert sums(older) == before


def test_newer_ledger_when_this_version_is_put_back_then_refused_by_name_and_nothing_is_changed(
    older: HomePaths,
) -> None:
    with closing(sqlite3.connect(ledger_file(older))) as db:
        db.execute("CREATE TABLE future (x TEXT)")
        db.commit()
    before = sums(older)
    done = ledger_says(older, "verify")
    assert done.returncode == 1
    assert "the table future does not belong there" in done.stdout + done.stderr
    assert sums(older) == before


def test_archive_of_before_the_upgrade_when_put_back_then_the_older_home_is_there_again(
    older: HomePaths, tmp_path: Path
) -> None:
    about = Manifest(bot_identity="b", session="2025-03-12", made_at_utc="", version="0.4.0", files={})
    pack(older, about, PASSPHRASE, tmp_path / "before.zip.age")
    kept = {Path(name).relative_to(older.root): found for name, found in sums(older).items()}
    confirm(older)
    unpack(tmp_path / "before.zip.age", PASSPHRASE, tmp_path / "back")
    back = HomePaths(tmp_path / "back")
    found = {Path(name).relative_to(back.root): value for name, value in sums(back).items()}
    databases = {name for name in kept if name.suffix == ".db"}
    # The permission to trade is in no archive, and the ledger's own restore line stays on its disk.
    gone = {name for name in kept if name.name in {"arm.json", "control_start.txt"} or "backups" in name.parts}
    assert set(kept) - set(found) == gone
    assert {name: value for name, value in found.items() if name not in databases} == {
        name: value for name, value in kept.items() if name not in databases | gone
    }
    assert Vault(back).open().settings == Vault(older).open(1).settings
    assert "sound: 43 entries" in ledger_says(back, "verify").stdout

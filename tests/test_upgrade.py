"""A home that version 0.4.0 wrote, after one session of its demonstration: what this version makes of it, and back.

`tests/data/home_0_4_0.tar.xz` was written by that version itself; its accounts are a simulator's.
"""

import hashlib
import json
import lzma
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
from bus.lock import service_lock
from bus.messages import OrderFilled
from bus.start import ConfigurationError, await_setup
from bus.store import read_journal
from config.archive import Manifest, pack, unpack
from config.env_bot import PendingUpgradeError, parse, proposals
from config.paths import HOME_VARIABLE, HomePaths
from config.vault import MANIFEST_FILE, Vault, VaultError
from services.ledger import upgrade_command
from services.ledger.backup_ledgers import BackupFolder
from services.ledger.verify import digest_of, open_reader

ROOT = Path(__file__).resolve().parent.parent
#: The schema of a ledger as version 0.5.0 made it.
SCHEMA_3 = ROOT / "tests" / "data" / "ledger_schema_3.sql.xz"
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
                # A note for the audit trail tells of each look at the books.
                path
                for path in folder.rglob("*")
                if path.is_file() and not path.name.endswith(("-shm", "-wal", ".deed"))
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
    for service in ("screener", "strategy", "risk", "execution", "ledger", "watchdog"):
        assert read_journal(older.state / f"{service}.db"), f"the journal of {service}"
    assert len(read_journal(older.state / "execution.db", (OrderFilled,))) == FILLS


def rows(ledger: Path) -> str:
    with closing(open_reader(ledger)) as db:
        return digest_of(db)


def test_older_ledger_when_opened_then_says_how_it_is_upgraded_and_nothing_is_changed(older: HomePaths) -> None:
    before = sums(older)
    done = ledger_says(older, "verify")
    assert done.returncode == 1
    assert "its schema is of version 2" in done.stdout + done.stderr
    assert "services.ledger upgrade" in done.stdout + done.stderr
    assert sums(older) == before


def test_older_ledger_when_upgraded_then_has_the_same_rows_and_the_older_one_is_kept(older: HomePaths) -> None:
    ledger = ledger_file(older)
    before, older_rows = ledger.read_bytes(), rows(ledger)
    done = ledger_says(older, "upgrade")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(ledger) == older_rows
    assert ledger.with_name(f"{ledger.stem}.schema2.db").read_bytes() == before
    assert "sound: 43 entries" in ledger_says(older, "verify").stdout
    assert ledger_says(older, "drill").returncode == 0, "the first copy of the new backups is there"
    aside = BackupFolder(ledger).root.with_name(f"{ledger.stem}.older")
    assert list(aside.glob("redo/*.redo"))
    assert "nothing to upgrade" in ledger_says(older, "upgrade").stdout
    ledger.write_bytes(before)
    assert ledger_says(older, "upgrade").returncode == 0
    kept = [ledger.with_name(f"{ledger.stem}.schema2{number}.db") for number in ("", ".2")]
    assert [path.read_bytes() for path in kept] == [before, before], "what was kept before is not written over"


def into_schema_3(ledger: Path) -> None:
    """Make a ledger one of schema 3: the same rows under the triggers of version 0.5.0."""
    with closing(sqlite3.connect(ledger)) as db, lzma.open(SCHEMA_3, "rt", encoding="utf-8") as text:
        for name in [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")]:
            db.execute(f"DROP TRIGGER {name}")
        schema = text.read()
        db.executescript("PRAGMA user_version = 3;" + schema[schema.index("CREATE TRIGGER") :])


def test_ledger_of_schema_3_when_upgraded_then_has_the_same_rows_under_the_new_rules(older: HomePaths) -> None:
    ledger = ledger_file(older)
    assert ledger_says(older, "upgrade").returncode == 0
    into_schema_3(ledger)
    older_rows = rows(ledger)
    assert "its schema is of version 3" in ledger_says(older, "verify").stdout
    done = ledger_says(older, "upgrade")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(ledger) == older_rows
    assert ledger.with_name(f"{ledger.stem}.schema3.db").is_file()
    assert "sound: 43 entries" in ledger_says(older, "verify").stdout


def test_older_ledger_when_its_service_runs_then_it_is_not_upgraded(older: HomePaths) -> None:
    before = ledger_file(older).read_bytes()
    with service_lock(older, "ledger"):
        done = ledger_says(older, "upgrade")
    assert (done.returncode, ledger_file(older).read_bytes()) == (1, before)
    assert "Another ledger" in done.stderr


def test_older_ledger_when_upgraded_then_its_service_starts_and_books_on(older: HomePaths) -> None:
    assert ledger_says(older, "upgrade").returncode == 0
    confirm(older)
    done = subprocess.run(
        [sys.executable, "-m", "services.ledger", "--self-check"],
        cwd=ROOT,
        env={**os.environ, HOME_VARIABLE: str(older.root), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_older_ledger_when_an_upgrade_stopped_before_its_backups_then_it_goes_on(
    older: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_file(older)

    def stop(_ledger: Path) -> None:
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(upgrade_command, "_set_older_backups_aside", stop)
        with pytest.raises(OSError, match="power"):
            upgrade_command.upgrade(ledger)
    assert ".older" in upgrade_command.upgrade(ledger)
    assert "nothing to upgrade" in upgrade_command.upgrade(ledger)
    assert "sound: 43 entries" in ledger_says(older, "verify").stdout


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE posting SET amount = amount + 1 WHERE tx_seq = 7", "entry 7 "),
        ("DELETE FROM chain WHERE link = (SELECT max(link) FROM chain)", "redo log ends"),
        ("PRAGMA user_version = 1", "upgrades from 2, 3"),
        ("PRAGMA application_id = 7", "not a ledger of this program"),
    ],
)
def test_older_ledger_when_not_sound_then_it_is_not_upgraded_and_stays(
    older: HomePaths, statement: str, said: str
) -> None:
    ledger = ledger_file(older)
    with closing(sqlite3.connect(ledger)) as db:
        for name in [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")]:
            db.execute(f"DROP TRIGGER {name}")
        db.executescript(statement)
        db.commit()
    before = ledger.read_bytes()
    done = ledger_says(older, "upgrade")
    assert done.returncode == 1
    assert said in done.stderr
    assert ledger.read_bytes() == before
    assert not ledger.with_name(f"{ledger.stem}.schema2.db").exists()


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
    assert ledger_says(older, "upgrade").returncode == 0
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
    assert ledger_says(back, "upgrade").returncode == 0
    assert "sound: 43 entries" in ledger_says(back, "verify").stdout

"""The verb `upgrade`: bring a ledger of an older schema into this program's, row for row.

Every row, number and hash stays as it is; what is new are indexes, constraints and triggers around them. The new file
is built beside the ledger, has to be sound, to reach the head that is kept outside and to hold the same rows, and only
then takes the ledger's name. The older file and its backups stay, for the program that wrote them.
"""

import os
import shutil
import sqlite3
import sys
from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Final

from bus.lock import LockTakenError, service_lock
from config.paths import HomePaths
from services.ledger.backup_ledgers import BackupFolder, make_base
from services.ledger.coa_utils_ledger import SCHEMA_FILE
from services.ledger.failures import BackupError
from services.ledger.hash_chain import Head
from services.ledger.head_file import HeadError, head_path_of, read_head, sync_folder
from services.ledger.redo import is_of_this_schema, newest_write, segments
from services.ledger.verify import APPLICATION_ID, USER_VERSION, digest_of, open_reader, verify
from services.ledger.which_ledger import add_ledger_argument, ledger_of

#: The schemas whose tables have the columns of this one.
_FROM: Final = (2, 3)


class UpgradeError(Exception):
    """Why a ledger cannot be upgraded, and what to do; nothing was changed."""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add_ledger_argument(parser)


def run(args: Namespace) -> int:
    """Upgrade; 0 = the ledger has this program's schema, 1 = it has not, and is as it was."""
    ledger = ledger_of(args)
    try:
        with _unused(ledger):
            words = upgrade(ledger)
    except (UpgradeError, BackupError, HeadError, LockTakenError, sqlite3.Error) as error:
        sys.stderr.write(f"{ledger} was not upgraded: {error}\n")
        return 1
    sys.stdout.write(f"{words}\n")
    return 0


def upgrade(ledger: Path) -> str:
    """Bring a ledger that nobody uses into this program's schema, and return what was done.

    Raises:
        UpgradeError: it is of no schema that is known here, was not closed in order, or would not be sound.
        HeadError: the head that is kept outside cannot be read.
        BackupError: the disk refuses the first copy; the ledger is upgraded, and the service makes one at its start.
        sqlite3.Error: the file cannot be read.
        OSError: the disk refuses.
    """
    version = _version_of(ledger)
    kept = _free(ledger.with_name(f"{ledger.stem}.schema{version}{ledger.suffix}"))
    if version != USER_VERSION:
        _check_closed(ledger)
        building = ledger.with_name(ledger.name + ".upgrading")
        _build(ledger, building, version)
        shutil.copy2(ledger, kept)
        _sync(kept)
        building.replace(ledger)
        sync_folder(ledger.parent)
    moved = _set_older_backups_aside(ledger)
    if version == USER_VERSION and moved is None:
        return f"{ledger} has schema {USER_VERSION}: there is nothing to upgrade."
    folder = BackupFolder(ledger)
    folder.make()
    base = make_base(ledger, folder)
    stays = [] if version == USER_VERSION else [str(kept)]
    stays += [] if moved is None else [str(moved)]
    return (
        f"{ledger} has schema {USER_VERSION} now, with the same {base.seq} entries and hash {base.hash}. "
        f"What the older program can read stays: {', '.join(stays)}."
    )


def _unused(ledger: Path) -> AbstractContextManager[None]:
    """Hold the ledger's service off the home that the file lies in; where nothing ever ran, nobody can use it."""
    home = HomePaths(ledger.absolute().parents[2])
    return service_lock(home, "ledger") if home.run.is_dir() else nullcontext()


def _free(path: Path) -> Path:
    """Return this path, or the next one with a number that nothing has: what was kept before stays."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return free


def _version_of(ledger: Path) -> int:
    if not ledger.is_file():
        raise UpgradeError(f"there is no ledger at {ledger}.")
    with closing(open_reader(ledger)) as db:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise UpgradeError("it is not a ledger of this program: its application id is another.")
    if version not in (*_FROM, USER_VERSION):
        known = ", ".join(map(str, _FROM))
        raise UpgradeError(f"its schema is of version {version}, and this program upgrades from {known}.")
    return int(version)


def _check_closed(ledger: Path) -> None:
    """Take SQLite's write-ahead log into the file, and see that no write waits in the redo log alone.

    Raises:
        UpgradeError: the older program has to be started once more, to end its work.
    """
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        (link,) = db.execute("SELECT max(link) FROM chain").fetchone()
    left = [
        path for path in (Path(f"{ledger}-wal"), Path(f"{ledger}-journal")) if path.exists() and path.stat().st_size
    ]
    if busy or left:
        raise UpgradeError("another program has it open: end that first.")
    newest = newest_write(BackupFolder(ledger).redo)
    if newest is not None and newest.head.link != link:
        raise UpgradeError(
            f"its redo log ends at link {newest.head.link} and the ledger at {link}: it was not closed in order. Start "
            "and stop the program that wrote it once more, then upgrade."
        )


def _build(ledger: Path, building: Path, version: int) -> None:
    """Copy every row into a file with this program's schema, and check what comes of it."""
    building.unlink(missing_ok=True)
    building.touch(mode=0o600)
    with closing(sqlite3.connect(":memory:")) as blank:
        blank.executescript(SCHEMA_FILE.read_text(encoding="utf-8"))
        made = blank.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
        ).fetchall()
        columns = {
            name: ", ".join(row[1] for row in blank.execute(f"PRAGMA table_xinfo({name})") if not row[6])
            for kind, name, _ in made
            if kind == "table"
        }
    with closing(sqlite3.connect(building.absolute().as_uri(), uri=True, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {USER_VERSION}")
        db.execute("ATTACH ? AS older", (f"{ledger.absolute().as_uri()}?mode=ro",))
        db.execute("BEGIN IMMEDIATE")
        # The triggers come last: they are for new rows, and these have been checked when they were written.
        for kind, name, statement in made:
            if kind == "table":
                db.execute(statement)
                db.execute(f"INSERT INTO main.{name} ({columns[name]}) SELECT {columns[name]} FROM older.{name}")  # noqa: S608 - names of our own schema
        for kind, _, statement in made:
            if kind != "table":
                db.execute(statement)
        db.execute("COMMIT")
        db.execute("DETACH older")
        if (broken := db.execute("PRAGMA foreign_key_check").fetchone()) is not None:
            raise UpgradeError(f"a row of its table {broken[0]} points to a row that does not exist.")
    with closing(open_reader(ledger)) as old, closing(open_reader(building)) as new:
        verdict = verify(new, _kept_head(ledger))
        if verdict.faults:
            raise UpgradeError(
                f"it is not sound: {'; '.join(verdict.faults)}. Verify it with the program of schema {version}."
            )
        if digest_of(old) != digest_of(new):
            raise UpgradeError("the copy does not hold the same rows.")
    _sync(building)


def _kept_head(ledger: Path) -> Head | None:
    return read_head(head_path_of(ledger))


def _set_older_backups_aside(ledger: Path) -> Path | None:
    """Rename the backups of another schema; the redo log of one cannot be played into the other."""
    folder = BackupFolder(ledger)
    found = segments(folder.redo)
    if not found or is_of_this_schema(found[-1]):
        return None
    aside = _free(folder.root.with_name(f"{folder.root.name}.older"))
    folder.root.replace(aside)
    sync_folder(aside.parent)
    return aside


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())

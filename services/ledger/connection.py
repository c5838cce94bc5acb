"""The connection to a ledger file: what is checked before it is used, and what it can never do after that."""

import sqlite3
from typing import Final

from config.identity import Identity
from services.ledger.coa_utils_ledger import coa_faults, schema_faults
from services.ledger.hash_chain import sha256_hex
from services.ledger.verify import verify, version_fault

BUSY_TIMEOUT_MS: Final = 5_000
#: 32 MiB: what the next entries touch stays in memory however large the ledger grows.
_CACHE_KIB: Final = 32 * 1024
_LOG_PAGES_MAX: Final = 20_000
#: The one pragma that the service's connection may use: it changes nothing of what is in the ledger.
_CHECKPOINT: Final = "wal_checkpoint"
#: What the service's own connection may never do once it is open.
_FORBIDDEN_ACTIONS = frozenset(
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_DROP_TRIGGER,
        sqlite3.SQLITE_DROP_VIEW,
        sqlite3.SQLITE_PRAGMA,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
    }
)


def harden(db: sqlite3.Connection) -> None:
    """Set what SQLite keeps per connection: foreign keys, triggers on REPLACE, full sync, writer's mark."""
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA recursive_triggers = ON")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.create_function("tbot_ledger_writer", 0, lambda: 1)
    db.create_function("tbot_ledger_sha256", 1, sha256_hex, deterministic=True)


def sync_with_log(db: sqlite3.Connection) -> None:
    """Sync the ledger file no longer with each commit, but when its write-ahead log is taken into it.

    That is done when the service has nothing else to do (`take_log_in`), or in the midst of a commit once the log has
    80 MiB.
    It stays whole after a power cut, and goes back to an earlier commit at worst.
    Source: https://www.sqlite.org/pragma.html#pragma_synchronous (2025).
    """
    db.set_authorizer(None)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES_MAX}")
    db.set_authorizer(_authorize)


def take_log_in(db: sqlite3.Connection) -> None:
    """Take the write-ahead log into the ledger file, as far as no reader needs it, and sync both.

    Raises:
        sqlite3.Error: the disk refuses.
    """
    db.execute(f"PRAGMA {_CHECKPOINT}(PASSIVE)").fetchone()


def prepare(db: sqlite3.Connection, identity: Identity, *, may_write: bool) -> tuple[str, ...]:
    """Check all of a ledger, and make its connection the writer's where it may write; return one sentence a fault."""
    db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    # The schema is compared before any of it is trusted to call a function.
    db.execute("PRAGMA trusted_schema = OFF")
    faults = _faults(db, identity)
    if faults or not may_write:
        return faults
    if faults := verify(db).faults:
        return faults
    harden(db)
    # The insert triggers call tbot_ledger_writer(), which an untrusted schema may not; Python cannot mark
    # a function as harmless. By now the schema is known to be ours, word for word.
    db.execute("PRAGMA trusted_schema = ON")
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        return ("its file system does not allow SQLite's write-ahead log",)
    db.set_authorizer(_authorize)
    return ()


def _faults(db: sqlite3.Connection, identity: Identity) -> tuple[str, ...]:
    """Every fault of a ledger; later checks need the earlier ones to have passed."""
    damage = [str(row[0]) for row in db.execute("PRAGMA quick_check(5)")]
    if damage != ["ok"]:
        return tuple(f"it is damaged: {line}" for line in damage)
    if fault := version_fault(db):
        return (fault,)
    if faults := schema_faults(db):
        return faults
    faults = coa_faults(db, identity)
    if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
        faults = (*faults, "some of its rows point to rows that do not exist")
    count, last = db.execute("SELECT count(*), coalesce(max(seq), 0) FROM tx").fetchone()
    if count != last:
        faults = (*faults, f"it has {count} entries, but the newest is number {last}: some are missing")
    unbalanced = db.execute("SELECT commodity, sum(amount) FROM posting GROUP BY commodity HAVING sum(amount) <> 0")
    return (
        *faults,
        *(f"{commodity} does not balance: the sum is {total}, not 0" for commodity, total in unbalanced),
    )


def _authorize(action: int, name: str | None, *_details: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA and name == _CHECKPOINT:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY if action in _FORBIDDEN_ACTIONS else sqlite3.SQLITE_OK

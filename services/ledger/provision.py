"""Create a ledger from the web interface's request: whole or not at all, and never over an existing one."""

import os
import sqlite3
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from bus.clock import NS_PER_SECOND
from config.identity import Identity
from config.paths import HomePaths
from services.ledger import accounts
from services.ledger.book import LedgerError
from services.ledger.coa_utils_ledger import SCHEMA_FILE, ChartOfAccounts, CoaError, content_hash, parse_coa
from services.ledger.connection import harden
from services.ledger.entry_rows import insert_chain, insert_link, insert_rows
from services.ledger.hash_chain import Link, Value, genesis_hash, sealed
from services.ledger.head_file import sync_folder

REQUEST_NAME = "provision_ledger.json"
#: The request once the service has taken it: creation then goes on after a crash, and a second request shows.
TAKEN_NAME = "provision_ledger.taken.json"
REQUEST_BYTES_MAX = 1_048_576


class _RawRequest(Struct, frozen=True):
    coa: msgspec.Raw
    currency_code: str


class ProvisionRequest(Struct, frozen=True, kw_only=True):
    """What a new ledger starts with."""

    coa: ChartOfAccounts
    currency_code: str


def ledger_path(paths: HomePaths, identity: Identity) -> Path:
    """Return where this bot's ledger is."""
    return paths.entities / identity.entity_folder / identity.ledger_file


def pending_request(paths: HomePaths) -> Path | None:
    """Return the request that waits, new or taken before a crash; None where there is none."""
    for name in (REQUEST_NAME, TAKEN_NAME):
        if (paths.control / name).is_file():
            return paths.control / name
    return None


def read_request(path: Path) -> ProvisionRequest:
    """Read and validate a request.

    Raises:
        LedgerError: it is unreadable, or its chart of accounts has faults.
    """
    remedy = f"Delete {path} and submit the bootstrap page again."
    try:
        if path.stat().st_size > REQUEST_BYTES_MAX:
            raise LedgerError(f"The request {path} is larger than {REQUEST_BYTES_MAX} bytes. {remedy}")
        raw = msgspec.json.decode(path.read_bytes(), type=_RawRequest)
        coa = parse_coa(bytes(raw.coa))
    except OSError as error:
        raise LedgerError(f"The request {path} cannot be read: {error.strerror}. {remedy}") from error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise LedgerError(f"The request {path} is malformed: {error}. {remedy}") from error
    except CoaError as error:
        raise LedgerError(f"The request {path} cannot be used. {error}\n{remedy}") from error
    if raw.currency_code != accounts.CURRENCY:
        raise LedgerError(
            f"The request {path} asks for the currency {raw.currency_code}, but this bot books in "
            f"{accounts.CURRENCY}. {remedy}"
        )
    return ProvisionRequest(coa=coa, currency_code=raw.currency_code)


def ensure_ledger(paths: HomePaths, identity: Identity, created_at: datetime) -> Path:
    """Return the ledger's path, after creating it where a request asks for it. `created_at` is aware, UTC.

    Raises:
        LedgerError: a ledger and a new request, a bad request, or a disk that refuses.
    """
    path = ledger_path(paths, identity)
    request, taken = paths.control / REQUEST_NAME, paths.control / TAKEN_NAME
    try:
        if request.is_file():
            if path.exists():
                raise LedgerError(
                    f"{request} asks for a new ledger, but {path} exists. A ledger is never replaced: "
                    "delete the "
                    "request, or move the old ledger away if a new one is really wanted."
                )
            read_request(request)
            request.replace(taken)
            sync_folder(paths.control)
        if taken.is_file():
            if not path.exists():
                create_ledger(path, identity, read_request(taken), created_at)
            taken.unlink()
            sync_folder(paths.control)
    except OSError as error:
        raise LedgerError(
            f"The ledger {path} cannot be created: {error.strerror} ({error.filename}). Correct that and start again."
        ) from error
    return path


def create_ledger(path: Path, identity: Identity, request: ProvisionRequest, created_at: datetime) -> None:
    """Build a ledger beside its place, sync it, and only then give it its name.

    Raises:
        LedgerError: SQLite refused.
        OSError: the disk refused.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building = path.with_name(path.name + ".building")
    for leftover in (building, building.with_name(building.name + "-journal")):
        leftover.unlink(missing_ok=True)
    building.touch(mode=0o600)
    try:
        db = sqlite3.connect(building, isolation_level=None)
        try:
            _build(db, identity, request, created_at)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise LedgerError(f"The ledger {path} cannot be created: {error}. Correct that and start again.") from error
    with building.open("rb+") as file:
        os.fsync(file.fileno())
    building.replace(path)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


def _build(db: sqlite3.Connection, identity: Identity, request: ProvisionRequest, created_at: datetime) -> None:
    stamp = created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    db.executescript(SCHEMA_FILE.read_text(encoding="utf-8"))
    harden(db)
    created_ns = int(created_at.timestamp()) * NS_PER_SECOND + created_at.microsecond * 1_000
    genesis = genesis_hash(identity.entity_code, identity.jurisdiction_code, request.currency_code, stamp)
    db.execute("BEGIN IMMEDIATE")
    chart = _seed(request, stamp, created_ns, genesis)
    insert_rows(db, chart)
    db.execute(
        "INSERT INTO coa_metadata (id, currency_code, entity_code, jurisdiction_code, coa_version, created_at_utc, "
        "last_updated_utc) VALUES (1, ?, ?, ?, 1, ?, ?)",
        (request.currency_code, identity.entity_code, identity.jurisdiction_code, stamp, stamp),
    )
    insert_chain(db, chart)
    currency: list[Value] = [request.currency_code, "CURRENCY", accounts.CURRENCY_SCALE, 1, 2]
    money = sealed("COMMODITY", created_ns, (1, chart.hash), {"commodity": [currency]})
    insert_link(db, money)
    made: list[Value] = [1, created_ns, "bootstrap", "ledger", "CREATE", identity.ledger_file, "{}", None, 3]
    insert_link(db, sealed("AUDIT", created_ns, (2, money.hash), {"audit_trail": [made]}))
    db.execute("COMMIT")


def _seed(request: ProvisionRequest, stamp: str, created_ns: int, genesis: str) -> Link:
    """Version 1 of the chart of accounts as the first link."""
    ordered = sorted(request.coa.accounts, key=lambda account: account.code)
    header: list[Value] = [1, stamp, "bootstrap", "SEED", request.coa.title, content_hash(request.coa.accounts), 1]
    rows: list[list[Value]] = [
        [1, a.code, a.name, a.type, a.unit_rule, a.lot_rule, a.parent, a.status] for a in ordered
    ]
    return sealed("COA", created_ns, (0, genesis), {"coa_version": [header], "coa_account": rows})

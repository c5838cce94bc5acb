"""What people do with a ledger from the command line, told to its service, which writes it into the audit trail.

The verbs only read, so they cannot write there themselves. Each leaves a note beside the backups; the service takes it
within a second, or at its next start. A ledger without a service has no such folder, and then nothing is told.
"""

import getpass
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bus.clock import utc_ns
from services.ledger.backup_ledgers import BackupFolder
from services.ledger.hash_chain import Value

_SUFFIX: Final = ".deed"
_NOTE_BYTES_MAX: Final = 16_384
#: How many are taken in one go.
TAKEN_MAX: Final = 50


class Deed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who did what with the ledger, when, and what came of it."""

    at_ns: int
    actor: str
    action: str
    about: str
    payload: dict[str, Value]


def leave_note(ledger: Path, action: str, about: str, payload: Mapping[str, Value]) -> None:
    """Tell the service of this ledger what was done; nothing where it has none, and no failure of what was done."""
    folder = BackupFolder(ledger).deeds
    if not folder.is_dir():
        return
    deed = Deed(at_ns=utc_ns(), actor=_who(), action=action, about=about or "-", payload=dict(payload))
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        part.write_bytes(msgspec.json.encode(deed))
        part.rename(folder / f"{deed.at_ns:020d}-{part.name[1:17]}{_SUFFIX}")
    except OSError:
        # The folder belongs to the service's user: whoever may only read the ledger cannot leave a note.
        part.unlink(missing_ok=True)


def waiting(ledger: Path) -> list[Path]:
    """Return the notes that wait, oldest first, no more than are taken in one go."""
    folder = BackupFolder(ledger).deeds
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return []
    return [folder / name for name in names[:TAKEN_MAX]]


def read_note(path: Path) -> Deed | None:
    """Return what a note says; None where it cannot be read."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= _NOTE_BYTES_MAX else b""
        return msgspec.json.decode(raw, type=Deed)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None


def _who() -> str:
    try:
        return f"{getpass.getuser()} (command line)"
    except (OSError, KeyError):
        return f"user {os.getuid()} (command line)"

"""Secrets on disk: one encrypted generation for each change, and a pointer that is renamed last.

A generation is a folder `storage/secrets/g000001` with one encrypted file for each part and a MANIFEST of
their sha256; its key is `storage/keys/g000001.key`. `storage/secrets/CURRENT` names the generation in force.
A crash at any moment leaves CURRENT naming exactly the old generation or the new one, never a mixture.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from msgspec import Struct

from config.identity import Identity
from config.paths import HomePaths
from config.users import User

CURRENT_FILE: Final = "CURRENT"
PROVISIONED_FILE: Final = "PROVISIONED"
MANIFEST_FILE: Final = "MANIFEST"
LOCK_FILE: Final = "LOCK"
PARTS: Final = ("settings", "identity", "users", "credentials", "coa", "curve", "holdings")
#: Parts that a generation of an older version does not have: it opens with the part's default, and the next has it.
_LATE_PARTS: Final = frozenset({"holdings"})
GENERATIONS_KEPT: Final = 3
_NAME = re.compile(r"g(\d{6})")
_READ_TRIES_MAX = 2


class VaultError(Exception):
    """The secrets cannot be read or written; the message names the file, says what to do, holds no secret."""


class VaultConflictError(VaultError):
    """Somebody else wrote first: nothing was changed. Read the secrets again, then repeat the change."""


class CurvePair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service's key pair for the bus, both halves in Z85 text."""

    public: str
    secret: str

    def __repr__(self) -> str:
        """Return the public half alone."""
        return f"CurvePair(public={self.public!r})"


class Secrets(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is kept encrypted. `generation` is 0 until it was written; `repr` shows no value."""

    generation: int
    settings: dict[str, str]
    identity: Identity
    users: tuple[User, ...]
    credentials: dict[str, str]
    coa: dict[str, Any]
    curve: dict[str, CurvePair]
    #: The settings of the long-term holdings, empty until they are set.
    holdings: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Return the generation alone."""
        return f"Secrets(generation={self.generation})"


class Disk:
    """The few durable operations the vault is made of; when a call returns, a power cut does not undo it.

    Names made in a folder are durable only after `sync_folder` of that folder.
    """

    def make_folder(self, folder: Path) -> None:
        """Make one new folder with mode 0700."""
        folder.mkdir(mode=0o700)

    def write_file(self, path: Path, content: bytes) -> None:
        """Write a file with mode 0600 and sync its content."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target` in one step."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove_file(self, path: Path) -> None:
        """Remove a file, or do nothing when it is not there."""
        path.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder with all that is in it, or do nothing when it is not there."""
        if folder.exists():
            shutil.rmtree(folder)


class Vault:
    """Opens and replaces the secrets of one home. Safe to use from several processes and threads."""

    def __init__(self, paths: HomePaths, disk: Disk | None = None) -> None:
        self._secrets = paths.secrets
        self._keys = paths.keys
        self._disk = disk or Disk()

    def is_provisioned(self) -> bool:
        """Tell whether a generation was ever in force; a damaged or lost pointer counts, so nothing is overwritten."""
        return any((self._secrets / name).exists() for name in (CURRENT_FILE, PROVISIONED_FILE))

    def open(self) -> Secrets:
        """Return the secrets in force, every part of the same generation.

        Raises:
            VaultError: not provisioned, or a file is missing, damaged or of another generation.
        """
        number = self.generation()
        for _ in range(_READ_TRIES_MAX):
            try:
                return self._read(number)
            except VaultError:
                # A writer may have moved on and deleted this generation while it was being read.
                newest = self.generation()
                if newest == number:
                    raise
                number = newest
        return self._read(number)

    def provision(self, secrets: Secrets) -> int:
        """Write the first generation and return its number.

        Raises:
            VaultConflictError: a generation is already in force.
            VaultError: the disk refused; nothing is in force.
        """
        with self._lock():
            if self.is_provisioned():
                raise VaultConflictError(
                    f"This bot is already configured: {self._secrets / CURRENT_FILE} exists. Log in to change it."
                )
            return self._write(secrets, previous=0)

    def replace(self, secrets: Secrets, expected_generation: int) -> int:
        """Write everything anew under a new key and return the new generation's number.

        Raises:
            VaultConflictError: the generation in force is no longer `expected_generation`.
            VaultError: the disk refused; the old generation stays in force.
        """
        with self._lock():
            current = self.generation()
            if current != expected_generation:
                raise VaultConflictError(
                    f"The secrets are at generation {current}, not {expected_generation}: somebody saved "
                    "first. Nothing was changed. Load the page again and repeat your change."
                )
            return self._write(secrets, previous=current)

    def generation(self) -> int:
        """Return the number of the generation in force; cheap enough to ask before each use.

        Raises:
            VaultError: not provisioned, or the pointer is damaged.
        """
        path = self._secrets / CURRENT_FILE
        try:
            text = path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            if self.is_provisioned():
                raise VaultError(
                    f"{path} is lost. Restore it from a backup: it names the generation in force."
                ) from None
            raise VaultError(
                f"This bot is not configured: {path} does not exist. Start the web interface and open its first page."
            ) from None
        except OSError as error:
            raise _unreadable(path, error) from error
        match = _NAME.fullmatch(text)
        if not match:
            raise VaultError(f"{path} does not name a generation such as g000001. Restore it from a backup.")
        return int(match[1])

    def _read(self, number: int) -> Secrets:
        folder = self._secrets / _name(number)
        fernet = self._fernet(number)
        manifest = _manifest(folder / MANIFEST_FILE)
        parts = {
            name: _decrypted(folder / f"{name}.enc", manifest[f"{name}.enc"], fernet)
            for name in PARTS
            if f"{name}.enc" in manifest
        }
        kinds: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Secrets)}
        values: dict[str, Any] = {}
        for name, content in parts.items():
            try:
                values[name] = msgspec.json.decode(content, type=kinds[name])
            except msgspec.MsgspecError:
                # The decoder's own words are dropped: they could quote what is inside.
                raise VaultError(
                    f"{folder / name}.enc was written by another version of the bot and is not understood. "
                    "Run the version that wrote it, or restore a backup."
                ) from None
        return Secrets(generation=number, **values)

    def _fernet(self, number: int) -> Fernet:
        path = self._keys / f"{_name(number)}.key"
        try:
            return Fernet(path.read_bytes().strip())
        except FileNotFoundError:
            raise VaultError(
                f"The key {path} is missing, and without it the secrets cannot be read. A key is never made "
                "anew: restore this file from the backup of the keys."
            ) from None
        except OSError as error:
            raise _unreadable(path, error) from error
        except ValueError:
            raise VaultError(f"The key {path} is damaged. Restore this file from the backup of the keys.") from None

    def _write(self, secrets: Secrets, previous: int) -> int:
        """Write, verify and switch. The caller holds the lock."""
        number = 1 + max((*self._numbers(), previous))
        folder, disk = self._secrets / _name(number), self._disk
        key = Fernet.generate_key()
        fernet = Fernet(key)
        try:
            disk.make_folder(folder)
            disk.write_file(self._keys / f"{_name(number)}.key", key + b"\n")
            sums: dict[str, str] = {}
            for name in PARTS:
                content = fernet.encrypt(msgspec.json.encode(getattr(secrets, name)))
                sums[f"{name}.enc"] = hashlib.sha256(content).hexdigest()
                disk.write_file(folder / f"{name}.enc", content)
            disk.write_file(folder / MANIFEST_FILE, msgspec.json.encode(sums))
            for changed in (folder, self._secrets, self._keys):
                disk.sync_folder(changed)
            self._verify(number, secrets)
            pointer = self._secrets / f"{CURRENT_FILE}.tmp"
            disk.write_file(pointer, f"{_name(number)}\n".encode())
            disk.rename(pointer, self._secrets / CURRENT_FILE)
        except OSError as error:
            raise VaultError(
                f"Generation {_name(number)} could not be written under {self._secrets} and {self._keys}: "
                f"{error.strerror}. What was in force before stays in force. Make room or correct the "
                "rights, then repeat."
            ) from error
        self._confirm(number)
        self._forget_old(number, previous)
        return number

    def _confirm(self, number: int) -> None:
        """Make the switch durable, and leave the mark that keeps a lost pointer from opening the bootstrap again."""
        mark = self._secrets / PROVISIONED_FILE
        try:
            self._disk.sync_folder(self._secrets)
            if not mark.exists():
                self._disk.write_file(mark, b"")
                self._disk.sync_folder(self._secrets)
        except OSError as error:
            raise VaultError(
                f"Generation {_name(number)} is in force, but the disk under {self._secrets} did not confirm it: "
                f"{error.strerror}. Check the disk."
            ) from error

    def _verify(self, number: int, secrets: Secrets) -> None:
        """Read back what was written, from the disk, before it is put in force."""
        written = self._read(number)
        if any(getattr(written, name) != getattr(secrets, name) for name in PARTS):
            raise VaultError(
                f"{self._secrets / _name(number)} does not read back as it was written, so it was not "
                "put in force. Check the disk, then repeat."
            )

    def _forget_old(self, number: int, previous: int) -> None:
        """Delete generations beyond the newest three; the one in force before always stays."""
        others = sorted(self._numbers() - {number, previous}, reverse=True)
        spare = GENERATIONS_KEPT - len({number, previous} - {0})
        try:
            for old in others[spare:]:
                self._disk.remove_file(self._keys / f"{_name(old)}.key")
                self._disk.remove_folder(self._secrets / _name(old))
        except OSError:
            # The switch is done and durable; what could not be deleted now goes at the next change.
            return

    def _numbers(self) -> set[int]:
        """Return the number of every generation that left a trace, finished or not."""
        names = [path.name for path in self._secrets.glob("g*")] + [path.stem for path in self._keys.glob("g*.key")]
        return {int(match[1]) for name in names if (match := _NAME.fullmatch(name))}

    @contextmanager
    def _lock(self) -> Iterator[None]:
        path = self._secrets / LOCK_FILE
        try:
            for folder in (self._secrets, self._keys):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise VaultError(
                f"{path} cannot be made: {error.strerror}. Correct the rights of the folder, then repeat."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _name(number: int) -> str:
    return f"g{number:06d}"


def _unreadable(path: Path, error: OSError) -> VaultError:
    return VaultError(f"{path} cannot be read: {error.strerror}. Correct its rights or restore it from a backup.")


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise VaultError(f"{path} is missing. Restore this generation from a backup.") from None
    except OSError as error:
        raise _unreadable(path, error) from error


def _manifest(path: Path) -> dict[str, str]:
    try:
        manifest = msgspec.json.decode(_file(path), type=dict[str, str])
    except msgspec.MsgspecError:
        raise VaultError(f"{path} is damaged. Restore this generation from a backup.") from None
    expected = {f"{name}.enc" for name in PARTS}
    if not expected - {f"{name}.enc" for name in _LATE_PARTS} <= set(manifest) <= expected:
        raise VaultError(f"{path} does not list exactly the parts {', '.join(PARTS)}. Restore it from a backup.")
    return manifest


def _decrypted(path: Path, sha256: str, fernet: Fernet) -> bytes:
    content = _file(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise VaultError(f"{path} is not what {MANIFEST_FILE} says: it is damaged. Restore it from a backup.")
    try:
        return fernet.decrypt(content)
    except InvalidToken:
        raise VaultError(f"{path} does not belong to its key. Restore the generation and its key together.") from None

"""Looks for the secrets of a home where none may be: in every file of it, and in what was logged."""

from collections.abc import Iterator
from pathlib import Path

from config.paths import HomePaths
from config.vault import Secrets, Vault, VaultError

#: Shorter ones are words that stand in texts by chance.
_CHARS_MIN = 12


def secrets_in(home: HomePaths) -> set[str]:
    """Return every secret that the home keeps, and the keys that open them."""
    keys = {path.read_text().strip() for path in home.keys.rglob("*.key")}
    try:
        kept = set(_of(Vault(home).open())) if Vault(home).is_provisioned() else set()
    except VaultError:
        # The test has damaged it.
        kept = set()
    return {secret for secret in keys | kept if len(secret) >= _CHARS_MIN}


def leaks_of(home: HomePaths, logged: str, *more: str) -> list[str]:
    """Return where a secret of the home, or one of `more`, stands in the clear: names of files, or "the log"."""
    secrets = secrets_in(home) | set(more)
    found = ["the log"] if any(secret in logged for secret in secrets) else []
    for path in home.root.rglob("*"):
        if path.is_file() and path.suffix != ".key" and not path.is_symlink():
            content = _content(path)
            if any(secret.encode() in content for secret in secrets):
                found.append(str(path.relative_to(home.root)))
    return found


def _of(kept: Secrets) -> Iterator[str]:
    yield from kept.credentials.values()
    yield from (pair.secret for pair in kept.curve.values())
    for user in kept.users:
        yield from (user.password_hash, user.totp_secret, *user.recovery_hashes)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        # The test has taken its rights away.
        return b""

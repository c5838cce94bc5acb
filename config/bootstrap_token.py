"""The one-time token of configuration and registration: shown on a terminal of the machine, kept as a hash alone.

Whoever may run commands as the bot's owner gets a new one, and the one before is worth nothing. It is good for thirty
minutes and for one configuration with its registration.
"""

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal

import msgspec
from msgspec import Struct

from config.paths import HomePaths
from config.vault import Disk, Vault

TOKEN_FILE: Final = "bootstrap.json"  # noqa: S105 - the name of a file
VALID_NS: Final = 30 * 60 * 1_000_000_000
State = Literal["good", "wrong", "expired", "used", "none"]


class _Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sha256: str
    issued_ns: int
    is_used: bool = False


class BootstrapToken:
    """The token of one home.

    Args:
        paths: the home.
        utc_ns: the wall time; the token is issued by one process and looked at by another.
    """

    def __init__(self, paths: HomePaths, utc_ns: Callable[[], int]) -> None:
        self._path = paths.run / TOKEN_FILE
        self._utc_ns = utc_ns

    def issue(self) -> str:
        """Return a new token, for a person's eyes.

        Raises:
            OSError: the run folder cannot be written.
        """
        token = secrets.token_hex(16)
        self._keep(_Kept(sha256=_hash(token), issued_ns=self._utc_ns()))
        return token

    def state_of(self, token: str) -> State:
        """Tell what a token is worth now."""
        kept = self._kept()
        if kept is None:
            return "none"
        if not hmac.compare_digest(kept.sha256, _hash("".join(token.split()))):
            return "wrong"
        if kept.is_used:
            return "used"
        return "good" if 0 <= self._utc_ns() - kept.issued_ns <= VALID_NS else "expired"

    def use_up(self) -> None:
        """Make the token worth nothing from now on.

        Raises:
            OSError: the run folder cannot be written.
        """
        kept = self._kept()
        if kept is not None:
            self._keep(msgspec.structs.replace(kept, is_used=True))

    def _kept(self) -> _Kept | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return None

    def _keep(self, kept: _Kept) -> None:
        disk, part = Disk(), self._path.with_name(f".{TOKEN_FILE}.part")
        disk.write_file(part, msgspec.json.encode(kept))
        disk.rename(part, self._path)


def is_awaited(vault: Vault) -> bool:
    """Tell whether the first configuration or the registration is still to be done, so that a token opens something.

    Raises:
        VaultError: the secrets cannot be read.
    """
    return not vault.is_provisioned() or not vault.open().users


def _hash(token: str) -> str:
    return sha256(token.lower().encode("utf-8", "surrogatepass")).hexdigest()

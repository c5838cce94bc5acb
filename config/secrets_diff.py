"""What changed from one generation of the secrets to another, in words that hold no secret."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from config.users import User
from config.vault import Secrets, Vault, VaultError

Part = Literal["settings", "identity", "users", "credentials", "coa", "holdings"]
UNSET: Final = "not set"
SET: Final = "set"
REPLACED: Final = "replaced"


class Change(Struct, frozen=True, kw_only=True):
    """One thing that changed. A secret is `set`, `not set` or `replaced`, never itself; so is a chart of accounts."""

    part: Part
    key: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return the change in one line, such as settings MAX_TRADES: 5 -> 7."""
        return f"{self.part} {self.key}: {self.before} -> {self.after}"


def changes(old: Secrets, new: Secrets) -> tuple[Change, ...]:
    """Return every change but that of the bus's keys, which are new with each generation."""
    return (
        *_plain("settings", old.settings, new.settings),
        *_plain("identity", msgspec.structs.asdict(old.identity), msgspec.structs.asdict(new.identity)),
        *_users(old, new),
        *_hidden("credentials", old.credentials, new.credentials),
        *_coa(old, new),
        *_plain("holdings", old.holdings, new.holdings),
    )


def since(vault: Vault, generation: int) -> tuple[Change, ...]:
    """Return what was changed after a generation: what somebody else saved while a form was filled in.

    Raises:
        VaultError: that generation is kept no longer, or the secrets cannot be read.
    """
    try:
        old = vault.open(generation)
    except VaultError:
        old = vault.open_backup(generation)
    return changes(old, vault.open())


def _plain(part: Part, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    return [
        Change(part=part, key=key, before=_words(old, key), after=_words(new, key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def _words(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return UNSET
    value = values[key]
    return value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()


def _hidden(part: Part, old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    return [
        Change(
            part=part,
            key=key,
            before=SET if key in old else UNSET,
            after=UNSET if key not in new else REPLACED if key in old else SET,
        )
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _users(old: Secrets, new: Secrets) -> list[Change]:
    before, after = ({user.name: _user_words(user) for user in found.users} for found in (old, new))
    plain = _plain("users", before, after)
    known = {change.key for change in plain}
    hidden = _hidden(
        "users",
        {user.name: _user_secrets(user) for user in old.users},
        {user.name: _user_secrets(user) for user in new.users},
    )
    return [*plain, *(change for change in hidden if change.key not in known)]


def _user_words(user: User) -> str:
    parts = [user.role, "active" if user.is_active else "disabled", "two factors" if user.totp_secret else "password"]
    return ", ".join(parts)


def _user_secrets(user: User) -> str:
    return "\n".join((user.password_hash, user.totp_secret, *user.recovery_hashes))


def _coa(old: Secrets, new: Secrets) -> list[Change]:
    if old.coa == new.coa:
        return []
    return [Change(part="coa", key="chart of accounts", before=SET if old.coa else UNSET, after=REPLACED)]

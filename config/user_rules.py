"""What may become of the users: every change as a function from all of them to all of them. Pure.

No change leaves the bot without an administrator who is active, and none is made twice.
"""

from base64 import b32encode
from collections.abc import Callable
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Final

import msgspec

from config.users import ROLES, Role, User, user_name_fault

USERS_MAX: Final = 100
RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 15
_GROUP: Final = 4

Users = tuple[User, ...]


class UserChangeError(ValueError):
    """A change of the users is refused; the message says why and holds no secret."""


def added(users: Users, user: User) -> Users:
    """Return the users with one more.

    Raises:
        UserChangeError: the name is taken or malformed, the role is none, or there are too many.
    """
    fault = user_name_fault(user.name)
    if fault:
        raise UserChangeError(fault)
    if any(known.name == user.name for known in users):
        raise UserChangeError(f"There is a user '{user.name}' already")
    if user.role not in ROLES:
        raise UserChangeError("There is no such role")
    if len(users) >= USERS_MAX:
        raise UserChangeError(f"There are {USERS_MAX} users already, and there may not be more")
    return (*users, user)


def with_role(users: Users, name: str, role: Role) -> Users:
    """Return the users with one in another role.

    Raises:
        UserChangeError: there is no such user or role, or it is the last active administrator.
    """
    if role not in ROLES:
        raise UserChangeError("There is no such role")
    return _changed(users, name, role=role)


def with_activity(users: Users, name: str, *, is_active: bool) -> Users:
    """Return the users with one disabled or enabled.

    Raises:
        UserChangeError: there is no such user, or it is the last active administrator.
    """
    return _changed(users, name, is_active=is_active)


def with_password(users: Users, name: str, password_hash: str, *, must_change: bool) -> Users:
    """Return the users with one who has another password; `must_change` where somebody else has chosen it.

    Raises:
        UserChangeError: there is no such user.
    """
    return _changed(users, name, password_hash=password_hash, must_change_password=must_change)


def with_second_factor(users: Users, name: str, totp_secret: str, recovery_hashes: tuple[str, ...]) -> Users:
    """Return the users with one who needs a code as well; with an empty secret one who needs none.

    Raises:
        UserChangeError: there is no such user.
    """
    return _changed(users, name, totp_secret=totp_secret, recovery_hashes=recovery_hashes)


def without_recovery_code(users: Users, name: str, code: str) -> Users:
    """Return the users after one has used a recovery code, which is then no more.

    Raises:
        UserChangeError: it is no code of this user, or it was used.
    """
    user = user_named(users, name)
    used = recovery_hash(code)
    if used not in user.recovery_hashes:
        raise UserChangeError("This recovery code is not known, or it was used")
    return _changed(users, name, recovery_hashes=tuple(kept for kept in user.recovery_hashes if kept != used))


def user_named(users: Users, name: str) -> User:
    """Return one user.

    Raises:
        UserChangeError: there is none of this name.
    """
    found = next((user for user in users if user.name == name), None)
    if found is None:
        raise UserChangeError("There is no such user")
    return found


def new_recovery_codes(random: Callable[[int], bytes] = token_bytes) -> tuple[str, ...]:
    """Return ten codes of 120 random bits each, in groups of four.

    So many bits need no slow hash: OWASP ASVS 5.0, 6.5.2, asks for one below 112.
    """
    return tuple(_grouped(b32encode(random(_RECOVERY_BYTES)).decode().lower()) for _ in range(RECOVERY_CODES))


def recovery_hash(code: str) -> str:
    """Return what is kept of a recovery code, however its groups were typed."""
    return sha256("".join(code.split()).replace("-", "").lower().encode("utf-8", "surrogatepass")).hexdigest()


def _grouped(text: str) -> str:
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def _changed(users: Users, name: str, **changes: Any) -> Users:
    user_named(users, name)
    found = tuple(msgspec.structs.replace(user, **changes) if user.name == name else user for user in users)
    if not any(user.role == "admin" and user.is_active for user in found):
        raise UserChangeError(f"'{name}' is the last active administrator: make somebody else one first")
    return found

"""Who may use the web interface: names, roles, and passwords kept as bcrypt hashes."""

import base64
import hashlib
import hmac
import re
import unicodedata
from typing import Final, Literal, get_args

import bcrypt
from msgspec import Struct

from config.common_passwords import is_common

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
#: OWASP ASVS 5.0, 6.2.1, recommends 15; it asks for no mix of kinds of characters (6.2.5).
PASSWORD_CHARS_MIN: Final = 15
PASSWORD_CHARS_MAX: Final = 1024
#: Two to the twelfth rounds: about a quarter of a second on a small server.
BCRYPT_COST: Final = 12
#: bcrypt reads 72 bytes and no more, so passwords are first brought to 44 characters. The key only tells this
#: use of HMAC from any other; it is not a secret.
_PRE_HASH_KEY: Final = b"tradebot/password/1"
#: The hash of a password that nobody has: an unknown user costs the same time as a known one.
_DECOY_HASH: Final = "$2b$12$1JGaNe6DlqcZDoabHBIR5.xt/Hr88WAr/aWCokVVlVowr3e5vu6iC"
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")


class PasswordError(ValueError):
    """The password is not acceptable; the message says what it must be and never repeats it."""


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person who may log in. `password_hash` is bcrypt's own text, cost included.

    `totp_secret` is in Base32, empty where the password alone is enough; `recovery_hashes` are of codes not yet used.
    Who has a password from an administrator (`must_change_password`) reaches only the page that changes it.
    """

    name: str
    password_hash: str
    role: Role
    is_active: bool = True
    totp_secret: str = ""
    recovery_hashes: tuple[str, ...] = ()
    must_change_password: bool = False

    def __repr__(self) -> str:
        """Return the user without the hash."""
        return f"User(name={self.name!r}, role={self.role!r})"


def user_name_fault(name: str) -> str | None:
    """Return what is wrong with a user name in one sentence, or None."""
    if _NAME.fullmatch(name):
        return None
    allowed = "2 to 32 small letters, digits, '.', '_' or '-', and a letter first"
    return f"The user name is '{name[:40]}': it must be {allowed}"


def password_fault(password: str) -> str | None:
    """Return what is wrong with a new password in one sentence that never repeats it, or None."""
    if len(password) < PASSWORD_CHARS_MIN:
        return f"The password has {len(password)} characters: it must have at least {PASSWORD_CHARS_MIN}"
    if len(password) > PASSWORD_CHARS_MAX:
        return f"The password has {len(password)} characters: it may have at most {PASSWORD_CHARS_MAX}"
    if len(set(password)) == 1:
        return "The password repeats one character: it must have at least two different ones"
    if is_common(password):
        return "The password is made of what is tried first: choose a few words that do not belong together"
    return None


def hash_password(password: str, *, cost: int = BCRYPT_COST) -> str:
    """Return the bcrypt hash to store, with a new salt.

    Raises:
        PasswordError: the password is shorter or longer than allowed.
    """
    fault = password_fault(password)
    if fault:
        raise PasswordError(fault)
    return bcrypt.hashpw(_pre_hash(password), bcrypt.gensalt(cost)).decode()


def verify_password(password: str, stored: str) -> bool:
    """Tell whether the password belongs to the stored hash; a damaged hash belongs to no password."""
    try:
        return bcrypt.checkpw(_pre_hash(password[: PASSWORD_CHARS_MAX + 1]), stored.encode())
    except ValueError:
        return False


def is_weaker(stored: str) -> bool:
    """Tell whether a hash was made with fewer rounds than hashes are made with now."""
    cost = stored.split("$")[2:3]
    return bool(cost) and cost[0].isdigit() and int(cost[0]) < BCRYPT_COST


def authenticate(users: tuple[User, ...], name: str, password: str) -> User | None:
    """Return the active user whose name and password these are, or None; an unknown name takes just as long."""
    user = next((user for user in users if user.name == name and user.is_active), None)
    is_right = verify_password(password, user.password_hash if user else _DECOY_HASH)
    return user if is_right else None


def _pre_hash(password: str) -> bytes:
    # The same letters may be typed as one code point or two; keyboards differ, the password must not.
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(_PRE_HASH_KEY, text, hashlib.sha256))

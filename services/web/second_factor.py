"""Codes of an authenticator app (TOTP, RFC 6238): each counts once, now and one step of 30 s to either side.

Which step a user's newest code was of is on disk, so that a code is worth nothing twice, also after a restart.
"""

import hmac
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import pyotp
import segno

from bus.clock import NS_PER_SECOND, utc_ns
from config.users import User
from config.vault import Disk

USED_FILE: Final = "web_codes.json"
STEP_S: Final = 30
_AROUND: Final = 1
ISSUER: Final = "TradeBot"


def new_secret() -> str:
    """Return a new secret of 160 bits in Base32."""
    return pyotp.random_base32(32)


def setup_address(user_name: str, secret: str, bot_identity: str) -> str:
    """Return what an authenticator app reads from the picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=f"{user_name} ({bot_identity})", issuer_name=ISSUER)


def setup_picture(address: str) -> str:
    """Return the address as a QR code: a data address of an SVG picture."""
    return str(segno.make(address, error="m").svg_data_uri(scale=4, border=4, dark="#000", light="#fff"))


class CodeBook:
    """Tells whether a code counts, once. Thread-safe.

    Args:
        folder: where the used steps are kept.
        now_ns: the wall time.
    """

    def __init__(self, folder: Path, now_ns: Callable[[], int] = utc_ns) -> None:
        self._path = folder / USED_FILE
        self._now_ns = now_ns
        self._lock = threading.Lock()

    def is_right(self, secret: str, code: str) -> bool:
        """Tell whether a code belongs to a secret now, without using it up: while the secret is being set up."""
        return self._step_of(secret, code) is not None

    def take(self, user: User, code: str) -> bool:
        """Use a code up and tell whether it counted.

        Raises:
            OSError: that it was used cannot be kept; then it does not count.
        """
        with self._lock:
            step, used = self._step_of(user.totp_secret, code), self._used()
            if step is None or step <= used.get(user.name, 0):
                return False
            part = self._path.with_name(f".{USED_FILE}.part")
            Disk().write_file(part, msgspec.json.encode({**used, user.name: step}))
            Disk().rename(part, self._path)
            return True

    def _step_of(self, secret: str, code: str) -> int | None:
        typed, now = "".join(code.split()), self._now_ns() // NS_PER_SECOND // STEP_S
        if not secret or not typed.isascii() or not typed.isdigit():
            return None
        totp = pyotp.TOTP(secret, interval=STEP_S)
        steps = range(now - _AROUND, now + _AROUND + 1)
        return next((step for step in steps if hmac.compare_digest(totp.at(step * STEP_S), typed)), None)

    def _used(self) -> dict[str, int]:
        """Return the newest step that each user has used.

        Raises:
            OSError: the file is there and cannot be read or understood: then no code counts.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as error:
            raise OSError(f"{self._path} is damaged: delete it, and wait a minute before the next code") from error

"""What every page works with: the home, the secrets in force, the sessions, the hub, the control folder."""

import secrets as random_secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from flask import current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

import services
from bus.codec import CommandAnswer
from bus.control import ControlFolder
from bus.halt import HaltRecord
from bus.messages import OperatorRequest
from config.paths import HomePaths
from config.users import User, authenticate
from config.vault import Secrets, Vault, VaultError
from services.web.audit import Audit
from services.web.audit_log import AuditLog
from services.web.hub import StatusHub
from services.web.sessions import SessionBook

SESSION_KEY_NAME: Final = "web_session_key"
#: A password check keeps a core busy for a quarter of a second, so only this many run together.
_HASHES_AT_ONCE: Final = 2
_COA_TEMPLATE: Final = Path(services.__file__).parent / "ledger" / "tbot_ledger_coa_template.json"


class Bus(Protocol):
    """What pages may say on the bus; callable from any thread."""

    def tell_halt(self, record: HaltRecord) -> None:
        """Tell every service of a halt that is on disk; without a bus they find it there by themselves."""

    def command(self, message: OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        """Give a command and return what became of it; None when nobody answered in time."""


class NoBus:
    """The bus of a site that is on none."""

    def tell_halt(self, record: HaltRecord) -> None:
        """Do nothing: the halt is on disk."""

    def command(self, message: OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        """Return None: nobody can answer."""
        return None


class Site:
    """One web interface. Pages reach it by `site()`."""

    def __init__(
        self, paths: HomePaths, hub: StatusHub, on_provisioned: Callable[[Secrets], None], *, bus: Bus
    ) -> None:
        self.paths = paths
        self.hub = hub
        self.bus = bus
        self.vault = Vault(paths)
        self.control = ControlFolder(paths)
        self.sessions = SessionBook()
        self.audit = Audit(AuditLog(paths), self._kept_secrets)
        self.limiter = Limiter(get_remote_address, storage_uri="memory://", strategy="moving-window")
        self.on_provisioned = on_provisioned
        self.coa_template = _COA_TEMPLATE
        self.configuring = threading.Lock()
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._loading = threading.Lock()
        self._loaded: Secrets | None = None
        self._first_phase_key = random_secrets.token_hex(32)

    def is_configured(self) -> bool:
        """Tell whether the first configuration is done."""
        return self.vault.is_provisioned()

    def secrets(self) -> Secrets:
        """Return the secrets in force, read again when a new generation was written.

        Raises:
            VaultError: they cannot be read.
        """
        with self._loading:
            if self._loaded is None or self._loaded.generation != self.vault.generation():
                self._loaded = self.vault.open()
            return self._loaded

    def _kept_secrets(self) -> tuple[str, ...]:
        """Return every secret in force, so that no text of the audit log repeats one."""
        try:
            kept = self.secrets() if self.is_configured() else None
        except VaultError:
            return ()
        return (*kept.credentials.values(), *(pair.secret for pair in kept.curve.values())) if kept else ()

    def session_key(self) -> str:
        """Return the key that signs cookies: the stored one, or before that this process's own."""
        if not self.is_configured():
            return self._first_phase_key
        return self.secrets().credentials[SESSION_KEY_NAME]

    def adopt_session_key(self) -> None:
        """Sign cookies with the stored key from now on; called once, after the first configuration."""
        current_app.secret_key = self.session_key()

    def user_of(self, session_id: str | None) -> User | None:
        """Return who is logged in under this session, as the users are now."""
        name = self.sessions.user_of(session_id)
        return next((user for user in self.secrets().users if user.name == name), None) if name else None

    def authenticate(self, name: str, password: str) -> User | None:
        """Return the user whose name and password these are, or None."""
        with self._hashing:
            return authenticate(self.secrets().users, name, password)


def site() -> Site:
    """Return the site of the application that answers the present request."""
    found = current_app.extensions["tradebot"]
    if not isinstance(found, Site):
        raise TypeError("create_app made no Site")
    return found

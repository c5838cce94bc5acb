"""What every page works with: the home, the secrets in force, the sessions, the hub, the control folder."""

import logging
import secrets as random_secrets
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, Protocol

from flask import current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from msgspec.structs import replace

import services
from bus.clock import utc_ns
from bus.codec import CommandAnswer
from bus.control import ControlFolder
from bus.halt import HaltRecord
from bus.keys import make_pairs
from bus.messages import OperatorRequest
from config import generation_pin
from config.bootstrap_token import BootstrapToken
from config.paths import HomePaths
from config.user_rules import UserChangeError, Users, recovery_hash, with_password, without_recovery_code
from config.users import PasswordError, User, authenticate, hash_password, is_weaker
from config.vault import Secrets, Vault, VaultConflictError, VaultError
from services.web.audit import Audit
from services.web.audit_log import AuditLog
from services.web.hub import StatusHub
from services.web.second_factor import CodeBook
from services.web.sessions import SessionBook
from services.web.settings import WebLimits

SESSION_KEY_NAME: Final = "web_session_key"
#: A password check keeps a core busy for a quarter of a second, so only this many run together.
_HASHES_AT_ONCE: Final = 2
#: How often a change of the users is tried when others save at the same moment.
_SAVES_MAX: Final = 5
_COA_TEMPLATE: Final = Path(services.__file__).parent / "ledger" / "tbot_ledger_coa_template.json"


#: How far a bot is that begins: nothing is configured, nobody is registered, or everything is as it stays.
Phase = Literal["configuration", "registration", "main"]
log = logging.getLogger(__name__)


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
        self.vault = Vault(paths, new_pairs=make_pairs)
        self.control = ControlFolder(paths)
        self.sessions = SessionBook(self.limits)
        self.bootstrap = BootstrapToken(paths, utc_ns)
        self.codes = CodeBook(paths.state)
        #: Secrets of second factors that are being set up, by user: nothing of them is kept before a code was right.
        self.factors_in_setup: dict[str, str] = {}
        self.audit = Audit(AuditLog(paths), self._kept_secrets)
        self.limiter = Limiter(get_remote_address, storage_uri="memory://", strategy="moving-window")
        self.on_provisioned = on_provisioned
        self.coa_template = _COA_TEMPLATE
        self.configuring = threading.Lock()
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._loading = threading.Lock()
        self._loaded: Secrets | None = None
        self._running: Secrets | None = None
        self._first_phase_key = random_secrets.token_hex(32)

    def is_configured(self) -> bool:
        """Tell whether the first configuration is done."""
        return self.vault.is_provisioned()

    def phase(self) -> Phase:
        """Return which pages there are. Secrets that cannot be read are no reason to begin anew."""
        if not self.is_configured():
            return "configuration"
        try:
            return "main" if self.secrets().users else "registration"
        except VaultError:
            return "main"

    def secrets(self) -> Secrets:
        """Return the secrets in force, read again when a new generation was written.

        Raises:
            VaultError: they cannot be read.
        """
        with self._loading:
            if self._loaded is None or self._loaded.generation != self.vault.generation():
                self._loaded = self.vault.open()
            return self._loaded

    def limits(self) -> WebLimits:
        """Return how long log-ins last and how often a password may be tried, by the settings in force.

        While the secrets cannot be read nobody logs in; who is in already stays for as long as is usual.
        """
        try:
            return WebLimits.of(self.secrets().settings if self.is_configured() else {})
        except VaultError:
            return WebLimits.of({})

    def running(self) -> Secrets:
        """Return what the chain runs with: the secrets in force, or an older generation until the session is over.

        Raises:
            VaultError: they cannot be read.
        """
        newest = self.secrets()
        # The pin is asked only where it can matter: most of the time nothing has been saved since the start.
        pinned = generation_pin.pinned(self.paths)
        if pinned in (0, newest.generation) or generation_pin.running_generation(self.paths) != pinned:
            return newest
        with self._loading:
            if self._running is None or self._running.generation != pinned:
                self._running = self.vault.open(pinned)
            return self._running

    def _kept_secrets(self) -> tuple[str, ...]:
        """Return every secret in force, so that no text of the audit log repeats one."""
        try:
            kept = self.secrets() if self.is_configured() else None
        except VaultError:
            return ()
        if kept is None:
            return ()
        of_users = (secret for user in kept.users for secret in (user.password_hash, user.totp_secret) if secret)
        return (*kept.credentials.values(), *(pair.secret for pair in kept.curve.values()), *of_users)

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
        owner = self.sessions.owner_of(session_id)
        if owner is None:
            return None
        user = next((user for user in self.secrets().users if user.name == owner[0] and user.is_active), None)
        if user is None or mark_of(user) != owner[1]:
            # Disabled or removed, or password or second factor are others by now, whoever changed them.
            self.sessions.end(session_id)
            return None
        return user

    def authenticate(self, name: str, password: str) -> User | None:
        """Return the user whose name and password these are, or None.

        A hash of fewer rounds than are usual by now is made anew: at no other moment is the password known.
        """
        with self._hashing:
            user = authenticate(self.secrets().users, name, password)
            if user is None or not is_weaker(user.password_hash):
                return user
        try:
            with self._hashing:
                stronger = hash_password(password)
            must_change = user.must_change_password
            self.change_users(lambda users: with_password(users, name, stronger, must_change=must_change))
        except (PasswordError, UserChangeError, VaultError):
            log.exception("the hash of %s's password stays as weak as it is", name)
            return user
        return replace(user, password_hash=stronger)

    def has_second_factor(self, user: User, code: str) -> bool:
        """Tell whether a code, of the app or a recovery code, is the user's; none is needed where none is set up."""
        if not user.totp_secret:
            return True
        try:
            if self.codes.take(user, code):
                return True
        except OSError:
            log.exception("no code counts for now")
            return False
        if recovery_hash(code) not in user.recovery_hashes:
            return False
        try:
            self.change_users(lambda users: without_recovery_code(users, user.name, code))
        except UserChangeError:
            # Somebody was quicker with the same code.
            return False
        self.audit.record("recovery_code_used", user.name, actor=user.name)
        return True

    def change_users(self, change: Callable[[Users], Users]) -> None:
        """Save the users as `change` makes them of the ones in force; repeated when somebody else saved meanwhile.

        Raises:
            UserChangeError: `change` refuses.
            VaultError: they cannot be read or written; nothing was changed.
        """
        for attempt in range(_SAVES_MAX):
            kept = self.vault.open()
            try:
                self.vault.replace(replace(kept, users=change(kept.users)), kept.generation)
            except VaultConflictError:
                if attempt + 1 == _SAVES_MAX:
                    raise
            else:
                return


def mark_of(user: User) -> str:
    """Return what a session remembers of the password and second factor that opened it; neither can be read from it."""
    return sha256(f"{user.password_hash}\n{user.totp_secret}".encode()).hexdigest()


def site() -> Site:
    """Return the site of the application that answers the present request."""
    found = current_app.extensions["tradebot"]
    if not isinstance(found, Site):
        raise TypeError("create_app made no Site")
    return found

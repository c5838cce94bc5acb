"""What the web interface does from the command line, without serving anybody: `python -m services.web verify-audit`."""

import sys
from collections.abc import Callable, Mapping
from getpass import getpass
from typing import Final

from msgspec.structs import replace

from bus.clock import utc_ns
from bus.keys import make_pairs
from config.bootstrap_token import BootstrapToken
from config.paths import HomeError, HomePaths
from config.user_rules import UserChangeError, with_activity, with_password, with_second_factor
from config.users import hash_password, password_fault
from config.vault import Vault, VaultError
from services.web.audit import Audit
from services.web.audit_log import AuditError, AuditLog

EXIT_OK, EXIT_FAULT = 0, 1


def verify_audit(paths: HomePaths) -> int:
    """Check the whole chain of the audit log; name the first row that is not as it was written, and exit 1."""
    log = AuditLog(paths)
    try:
        verdict = log.verify()
    except AuditError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAULT
    if verdict.fault:
        sys.stderr.write(
            f"{log.path}: {verdict.fault}. The {verdict.rows} rows before it are as they were written. "
            "Keep this file as it is, and compare it with the newest backup.\n"
        )
        return EXIT_FAULT
    sys.stdout.write(f"{log.path}: {verdict.rows} rows, every one as it was written.\n")
    return EXIT_OK


def bootstrap_token(paths: HomePaths) -> int:
    """Show a new one-time token for the first configuration; the one before is worth nothing from now on."""
    if Vault(paths).is_provisioned():
        sys.stderr.write(f"The bot at {paths.root} is configured already: no token is needed.\n")
        return EXIT_FAULT
    try:
        paths.make()
        token = BootstrapToken(paths, utc_ns).issue()
    except (HomeError, OSError) as error:
        sys.stderr.write(f"No token could be made under {paths.run}: {error}\n")
        return EXIT_FAULT
    sys.stdout.write(f"One-time token, good for 30 minutes: {token}\n")
    return EXIT_OK


def reset_user(paths: HomePaths) -> int:
    """Give a user another password from the terminal, enable them, and take their second factor away.

    For whoever cannot log in any more: the only administrator, or one who has lost the app and the codes. It needs
    the rights of the bot's owner on the machine, and is in the audit log.
    """
    vault = Vault(paths, new_pairs=make_pairs)
    name = input("User name: ").strip()
    password = getpass("New password: ")
    try:
        kept = vault.open()
        fault = password_fault(password) or ("" if getpass("The same again: ") == password else "The two differ")
        if fault:
            sys.stderr.write(f"{fault}. Nothing was changed.\n")
            return EXIT_FAULT
        users = with_password(kept.users, name, hash_password(password), must_change=False)
        users = with_second_factor(with_activity(users, name, is_active=True), name, "", ())
        vault.replace(replace(kept, users=users), kept.generation)
    except (UserChangeError, VaultError) as error:
        sys.stderr.write(f"{error}. Nothing was changed.\n")
        return EXIT_FAULT
    Audit(AuditLog(paths), tuple).record("user_reset", name, after="password, active, no second factor")
    sys.stdout.write(f"{name} can log in with the new password. Restart the web interface to end open sessions.\n")
    return EXIT_OK


VERBS: Final[Mapping[str, Callable[[HomePaths], int]]] = {
    "verify-audit": verify_audit,
    "bootstrap-token": bootstrap_token,
    "reset-user": reset_user,
}

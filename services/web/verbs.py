"""What the web interface does from the command line, without serving anybody: `python -m services.web verify-audit`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from getpass import getpass
from typing import Final

from msgspec.structs import replace

from bus.clock import utc_ns
from bus.keys import make_pairs
from config.bootstrap_token import BootstrapToken, is_awaited
from config.paths import HomeError, HomePaths
from config.user_rules import UserChangeError, with_activity, with_password, with_second_factor
from config.users import hash_password, password_fault
from config.vault import Vault, VaultError
from services.web.audit import Audit
from services.web.audit_log import AuditError, AuditLog

EXIT_OK, EXIT_FAULT, EXIT_USAGE = 0, 1, 2


def verify_audit(paths: HomePaths, _arguments: Sequence[str] = ()) -> int:
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


def bootstrap_token(paths: HomePaths, _arguments: Sequence[str] = ()) -> int:
    """Show a new one-time token for configuration and registration; the one before is worth nothing from now on."""
    try:
        if not is_awaited(Vault(paths)):
            sys.stderr.write(f"The bot at {paths.root} is configured already: no token is needed.\n")
            return EXIT_FAULT
        paths.make()
        token = BootstrapToken(paths, utc_ns).issue()
    except (HomeError, OSError, VaultError) as error:
        sys.stderr.write(f"No token could be made under {paths.run}: {error}\n")
        return EXIT_FAULT
    sys.stdout.write(f"One-time token, good for 30 minutes: {token}\n")
    return EXIT_OK


def reset_user(paths: HomePaths, _arguments: Sequence[str] = ()) -> int:
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


def list_secrets(paths: HomePaths, _arguments: Sequence[str] = ()) -> int:
    """Show the copies of the secrets, newest first, and whether each opens with its own key."""
    vault = Vault(paths)
    for number in vault.backups():
        try:
            vault.open_backup(number)
            words = "opens"
        except VaultError as error:
            words = str(error)
        sys.stdout.write(f"g{number:06d}  {words}\n")
    return EXIT_OK


def restore_secrets(paths: HomePaths, arguments: Sequence[str] = ()) -> int:
    """Put a copy of the secrets into force, as a new generation under a new key: for a lost key, part or pointer."""
    number = arguments[0].removeprefix("g") if len(arguments) == 1 else ""
    if not number.isascii() or not number.isdigit():
        sys.stderr.write("usage: python -m services.web restore-secrets g000041; list-secrets shows what there is\n")
        return EXIT_USAGE
    try:
        restored = Vault(paths).restore(int(number))
    except VaultError as error:
        sys.stderr.write(f"{error} Nothing was changed.\n")
        return EXIT_FAULT
    Audit(AuditLog(paths), tuple).record("secrets_restored", f"g{int(number):06d}", after=f"g{restored:06d}")
    sys.stdout.write(f"Generation g{restored:06d} is in force, with what g{int(number):06d} held. Restart the chain.\n")
    return EXIT_OK


VERBS: Final[Mapping[str, Callable[[HomePaths, Sequence[str]], int]]] = {
    "verify-audit": verify_audit,
    "bootstrap-token": bootstrap_token,
    "reset-user": reset_user,
    "list-secrets": list_secrets,
    "restore-secrets": restore_secrets,
}

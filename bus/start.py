"""From an empty process to a Setup: wait for the configuration, open the vault, check the settings, open the log."""

import logging
import sys
import time
from typing import Final, NamedTuple

from bus.assembly import Setup
from bus.clock import boot_ns
from bus.keys import KeyRing, MissingKeyError
from bus.messages import ServiceName
from bus.orphan import Parent
from bus.status_file import VALID_FOR_MS, StatusFile, bare_record
from config.env_bot import PendingUpgradeError, SettingsError, parse
from config.generation_pin import join
from config.logs import LogFormat, set_up_logs
from config.paths import HomePaths
from config.vault import Secrets, Vault, VaultError

logger = logging.getLogger(__name__)
_WAIT_S: Final = 0.3


class ConfigurationError(Exception):
    """The stored configuration cannot be used; the message lists everything that is wrong."""


def load_setup(paths: HomePaths, secrets: Secrets) -> Setup:
    """Check the settings of an open vault.

    Raises:
        ConfigurationError: with every fault.
    """
    try:
        env = parse(secrets.settings)
    except SettingsError as error:
        raise ConfigurationError(str(error)) from error
    return Setup(
        paths=paths,
        env=env,
        identity=secrets.identity,
        generation=secrets.generation,
        holdings=secrets.holdings,
    )


def await_setup(service: ServiceName, paths: HomePaths, *, is_waiting: bool = True) -> tuple[Setup, KeyRing]:
    """Wait until a person has configured this home, then return what the service starts from.

    It waits as well where another version wrote the settings, until a person has confirmed those that are new.

    Raises:
        ConfigurationError: the vault does not open, its settings have faults, or there is something to wait for and
            `is_waiting` is false.
    """
    secrets = _await_secrets(service, paths, is_waiting=is_waiting)
    setup = load_setup(paths, secrets)
    log_format: LogFormat = "CSV" if setup.env.word("LOG_FORMAT") == "CSV" else "JSON"
    set_up_logs(service, log_format, paths.output / setup.identity.bot_identity / "logs")
    try:
        return setup, KeyRing.of(service, secrets.curve)
    except MissingKeyError as error:
        raise ConfigurationError(str(error)) from error


def _await_secrets(service: ServiceName, paths: HomePaths, *, is_waiting: bool) -> Secrets:
    vault, parent = Vault(paths), Parent()
    said = ""
    status, status_due = StatusFile(paths), 0
    while isinstance(found := _secrets_or_wish(vault, paths, joins=is_waiting), _Wish):
        if not is_waiting:
            raise ConfigurationError(f"{found.lacks}: {found.remedy} first")
        if found.remedy != said:
            sys.stderr.write(f"{service} waits for {found.awaited}: {found.remedy}.\n")
            said = found.remedy
        if parent.has_died():
            raise ConfigurationError("supervisord is gone")
        if service == "watchdog" and boot_ns() >= status_due:
            # Nobody else can tell readers outside what this home waits for.
            status.write(bare_record("UNCONFIGURED", found.words))
            status_due = boot_ns() + VALID_FOR_MS // 3 * 1_000_000
        time.sleep(_WAIT_S)
    return found


class _Wish(NamedTuple):
    """What a person has to do before a service can start; `words` replace the state's own for readers outside."""

    awaited: str
    lacks: str
    remedy: str
    words: str = ""


def _secrets_or_wish(vault: Vault, paths: HomePaths, *, joins: bool) -> Secrets | _Wish:
    if not vault.is_provisioned():
        return _Wish(
            f"the configuration of {paths.root}",
            f"{paths.root} is not configured",
            "open the configuration page of the web UI",
        )
    try:
        secrets = vault.open()
        wish = _upgrade_wish(secrets, paths)
        if wish is not None:
            return wish
        # Joining pins what is in force, so nobody joins while a person still has to confirm it. A self-check joins no
        # chain: it looks at what the next start would use.
        return vault.open(join(paths, vault.generation)) if joins else secrets
    except OSError as error:
        raise ConfigurationError(f"{paths.run} cannot be written: {error.strerror}. Correct its rights.") from error
    except VaultError as error:
        raise ConfigurationError(str(error)) from error


def _upgrade_wish(secrets: Secrets, paths: HomePaths) -> _Wish | None:
    try:
        parse(secrets.settings)
    except PendingUpgradeError as error:
        lacks = f"{len(error.faults)} settings of {paths.root} are not those of this version"
        remedy = "look at them on the page of settings of the web UI, and save"
        return _Wish("its new settings", lacks, remedy, f"{lacks}: {remedy}.")
    except SettingsError:
        # load_setup says what is wrong with them.
        return None
    return None

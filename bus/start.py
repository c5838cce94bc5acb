"""From an empty process to a Setup: wait for the configuration, open the vault, check the settings, open the log."""

import logging
import sys
import time
from typing import Final

from bus.assembly import Setup
from bus.clock import boot_ns
from bus.keys import KeyRing
from bus.messages import ServiceName
from bus.orphan import Parent
from bus.status_file import VALID_FOR_MS, StatusFile, bare_record
from config.env_bot import SettingsError, parse
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
    return Setup(paths=paths, env=env, identity=secrets.identity, holdings=secrets.holdings)


def await_setup(service: ServiceName, paths: HomePaths, *, is_waiting: bool = True) -> tuple[Setup, KeyRing]:
    """Wait until a person has configured this home, then return what the service starts from.

    Raises:
        ConfigurationError: the vault does not open, its settings have faults, or nothing is configured and
            `is_waiting` is false.
    """
    vault, parent = Vault(paths), Parent()
    is_said = False
    status, status_due = StatusFile(paths), 0
    while not vault.is_provisioned():
        if not is_waiting:
            raise ConfigurationError(f"{paths.root} is not configured: open the configuration page of the web UI first")
        if not is_said:
            sys.stderr.write(
                f"{service} waits for the configuration of {paths.root}: open the configuration page of the web UI.\n"
            )
            is_said = True
        if parent.has_died():
            raise ConfigurationError("supervisord is gone")
        if service == "watchdog" and boot_ns() >= status_due:
            # Nobody else can tell readers outside what this home waits for.
            status.write(bare_record("UNCONFIGURED"))
            status_due = boot_ns() + VALID_FOR_MS // 3 * 1_000_000
        time.sleep(_WAIT_S)
    try:
        secrets = vault.open()
    except VaultError as error:
        raise ConfigurationError(str(error)) from error
    setup = load_setup(paths, secrets)
    log_format: LogFormat = "CSV" if setup.env.word("LOG_FORMAT") == "CSV" else "JSON"
    set_up_logs(service, log_format, paths.output / setup.identity.bot_identity / "logs")
    return setup, KeyRing.of(service, secrets.curve)

"""What the host of screener and strategies is given: its own keys, and nothing that trades or logs in.

The first host seals it with a passphrase, a person carries the file over, and the second host opens it into a home of
its own. Each save of settings makes new keys of the bus, so it is carried over again before they take effect. The
journals of the services that move go along once: the others know how far they had come.
"""

import sqlite3
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from config.archive import SealError, content_of, passphrase_fault, seal, unseal
from config.credentials import ALPACA_DATA_KEY, ALPACA_DATA_SECRET, FINNHUB_KEY
from config.generation_pin import running_generation
from config.paths import HomePaths
from config.vault import CurvePair, Disk, Secrets, Vault, VaultError

#: What the screener asks its sources with; every other credential stays where it is.
CREDENTIALS: Final = (FINNHUB_KEY, ALPACA_DATA_KEY, ALPACA_DATA_SECRET)


class SecondHostError(Exception):
    """The file cannot be made or opened; the message says why and what to do, without a secret."""


class Load(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds: the secrets that a second host may have, and the journals of its services by their names."""

    secrets: Secrets
    journals: dict[str, bytes]


def keys_for(secrets: Secrets, services: tuple[str, ...]) -> Secrets:
    """Return what a home needs that runs these services alone.

    Settings and identity are whole; of the bus's keys it has the secret halves of its own services alone. Users, the
    chart of accounts and every credential that CREDENTIALS does not name are left out.

    Raises:
        SecondHostError: the settings do not divide the chain, or its prices would come with a key that trades.
    """
    settings = secrets.settings
    if not settings.get("BUS_TCP_SECOND_HOST"):
        raise SecondHostError(
            "These settings keep every service on one host. Set BUS_TRANSPORT to tcp, BUS_TCP_HOST to this host's "
            "address and BUS_TCP_SECOND_HOST to the other's, on the page of settings."
        )
    kept = {name: secrets.credentials[name] for name in CREDENTIALS if secrets.credentials.get(name)}
    # ALPACA_ENDPOINT: the simulator is never given keys.
    is_alpaca = settings.get("MARKET_DATA_SOURCE") == "alpaca" and settings.get("ALPACA_ENDPOINT") != "simulator"
    if is_alpaca and not (ALPACA_DATA_KEY in kept and ALPACA_DATA_SECRET in kept):
        raise SecondHostError(
            "MARKET_DATA_SOURCE is alpaca, and there is no key pair for market data alone: prices would come with the "
            "pair that trades, which the second host must not have. Enter a pair of a paper account as 'market data' "
            "on the page of credentials."
        )
    curve = {
        name: pair if name in services else CurvePair(public=pair.public, secret="")
        for name, pair in secrets.curve.items()
    }
    return replace(secrets, users=(), credentials=kept, coa={}, curve=curve)


def export(paths: HomePaths, services: tuple[str, ...], passphrase: str, target: Path) -> int:
    """Write the sealed file for the second host, mode 0600, and return the generation that it is of.

    Raises:
        SecondHostError: the chain is not divided, the passphrase is too short, or the file cannot be written.
    """
    fault = passphrase_fault(passphrase)
    if fault:
        raise SecondHostError(f"{fault}. Nothing was written.")
    if paths.second_host.exists():
        raise SecondHostError("This is the second host itself: make the file on the host of the web UI.")
    try:
        secrets = Vault(paths).open()
    except VaultError as error:
        raise SecondHostError(str(error)) from error
    given = keys_for(secrets, services)
    if target.exists():
        raise SecondHostError(f"{target} is there already. Nothing was written.")
    files = [paths.state / f"{name}.db" for name in services]
    try:
        load = Load(secrets=given, journals={path.name: content_of(path) for path in files if path.is_file()})
        Disk().write_file(target, seal(msgspec.json.encode(load), passphrase))
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise SecondHostError(f"{target} cannot be written: {error}.") from error
    return secrets.generation


def install(paths: HomePaths, source: Path, passphrase: str) -> int:
    """Put what the file holds into force in the home of the second host, and return the generation it came from.

    Raises:
        SecondHostError: the file does not open, the home is another chain's, or its services run.
    """
    is_anew = paths.second_host.exists()
    if Vault(paths).is_provisioned() and not is_anew:
        raise SecondHostError(f"{paths.root} is the home of a whole chain: give the second host a home of its own.")
    if running_generation(paths):
        raise SecondHostError(f"Services run on {paths.root}: stop them first. Nothing was changed.")
    try:
        load = msgspec.json.decode(unseal(source.read_bytes(), passphrase), type=Load)
    except OSError as error:
        raise SecondHostError(f"{source} cannot be read: {error.strerror}.") from error
    except (SealError, msgspec.MsgspecError) as error:
        raise SecondHostError(
            f"{source} does not open: another passphrase, a damaged file, or one of another version."
        ) from error
    vault = Vault(paths)
    try:
        # The mark first: a crash in between leaves a home that starts too little, never the whole chain.
        Disk().write_file(paths.second_host, b"")
        Disk().sync_folder(paths.second_host.parent)
        for name, content in load.journals.items():
            _put_journal(paths, name, content)
        _put(vault, load.secrets)
    except (OSError, VaultError) as error:
        raise SecondHostError(f"{paths.root} cannot be written: {error}") from error
    return load.secrets.generation


def _put(vault: Vault, secrets: Secrets) -> None:
    if vault.is_provisioned():
        vault.replace(secrets, vault.generation())
    else:
        vault.provision(secrets)


def _put_journal(paths: HomePaths, name: str, content: bytes) -> None:
    """Put a journal in its place, unless the service has one here: then that one is ahead."""
    target = paths.state / Path(name).name
    if not target.exists():
        Disk().write_file(part := target.with_name(f".{target.name}.part"), content)
        Disk().rename(part, target)
        Disk().sync_folder(paths.state)

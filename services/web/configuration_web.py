"""The first configuration: settings, identity and keys, checked and saved as a whole. The registration follows it."""

import secrets as random_secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

import msgspec
from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.keys import make_pairs
from bus.messages import StrategyName
from bus.routes import SERVICES
from config import env_bot
from config.credentials import needs_of
from config.identity import Identity
from config.logs import create_logs
from config.vault import Disk, Secrets, VaultConflictError, VaultError
from services.web import registration_web, security
from services.web.credential_fields import PROVIDERS, Provider, malformed, typed_credentials
from services.web.settings_fields import Faults, broker_fault, groups, setting_faults, typed_settings
from services.web.site import SESSION_KEY_NAME, Site, site

LEDGER_REQUEST_FILE: Final = "provision_ledger.json"
CURRENCY_CODE: Final = "USD"
#: A log of each process, one of each strategy's trades, and one of the orders that nobody knows the end of.
SYSTEM_LOGS: Final = (*SERVICES, *get_args(StrategyName), "unresolved_orders")
#: Nobody has a name yet: who has the one-time token.
_SOMEBODY: Final = "whoever has the token"
_BROKERS: Final = ", ".join(env_bot.BY_KEY["BROKER_NAME"].choices)
_IDENTITY: Final = {
    "entity_code": ("TBOT", "Who owns the account: 2 to 12 capital letters or digits"),
    "jurisdiction_code": ("USA", "Where it is taxed: 2 to 12 capital letters or digits"),
    "account_name": ("main", "Short name of the account: 1 to 24 small letters or digits"),
    "broker_code": ("PAPER", f"The broker, the same word as BROKER_NAME: {_BROKERS}"),
    "bot_id": ("BOT01", "This bot among others: 2 to 12 capital letters or digits"),
}
pages = Blueprint("configuration", __name__)


@dataclass
class _Typed:
    """What was typed, without the keys, and what is wrong with it by field; "" = wrong as a whole."""

    settings: dict[str, str]
    identity: dict[str, str]
    faults: Faults = field(default_factory=dict)

    def add(self, name: str, fault: str) -> None:
        self.faults.setdefault(name, []).append(fault)


@pages.get("/configuration")
@security.require("bootstrap")
def show() -> Response:
    """Show the form with safe proposals filled in."""
    security.refuse_unless_loopback()
    proposed = {name: proposal for name, (proposal, _) in _IDENTITY.items()}
    return _page(_Typed(settings=env_bot.proposals(), identity=proposed), 200)


@pages.post("/configuration")
@security.require("bootstrap")
def save() -> AnyResponse:
    """Check everything; save all of it and go to the registration, or show every fault and save nothing."""
    security.refuse_unless_loopback()
    here, typed = site(), _read_form()
    _check(typed)
    token_fault = security.bootstrap_fault()
    if token_fault:
        typed.add("bootstrap_token", token_fault)
    if typed.faults:
        return _page(typed, 422)
    try:
        with here.configuring:
            provision(here, typed.settings, Identity(**typed.identity), credentials=typed_credentials())
    except VaultConflictError as error:
        return _message(409, str(error))
    except VaultError as error:
        typed.add("", str(error))
        return _page(typed, 503)
    registration_web.prove()
    return redirect(url_for("registration.show"), 303)


def provision(
    here: Site,
    settings: dict[str, str],
    identity: Identity,
    *,
    credentials: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Make the bot real: first its logs and the request for the ledger, then the vault, whose pointer decides.

    Args:
        here: the site.
        settings: every setting, as typed.
        identity: who the bot is.
        credentials: what was entered for providers of data, by the names of config/credentials.py.

    Raises:
        VaultConflictError: it is configured already.
        VaultError: something could not be read or written; the bot is not configured.
    """
    if here.is_configured():
        raise VaultConflictError("This bot is already configured; nothing was changed.")
    coa = _read_coa(here)
    _create_logs(here.paths.output / identity.bot_identity / "logs")
    _request_ledger(here, coa)
    here.vault.provision(
        Secrets(
            generation=0,
            settings=settings,
            identity=identity,
            users=(),
            credentials={**credentials, SESSION_KEY_NAME: random_secrets.token_hex(32)},
            coa=coa,
            curve=make_pairs(),
        )
    )
    here.adopt_session_key()
    here.audit.record("configured", identity.bot_identity, actor=_SOMEBODY)
    here.on_provisioned(here.secrets())


def _read_coa(here: Site) -> dict[str, Any]:
    try:
        return msgspec.json.decode(here.coa_template.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise VaultError(
            f"The chart of accounts {here.coa_template} cannot be read. Get this file back from the release."
        ) from error


def _create_logs(folder: Path) -> None:
    try:
        create_logs(folder, SYSTEM_LOGS)
    except OSError as error:
        raise VaultError(
            f"The logs in {folder} cannot be made: {error.strerror}. Make room or correct the rights, then save again."
        ) from error


def _request_ledger(here: Site, coa: dict[str, Any]) -> None:
    folder, disk = here.paths.control, Disk()
    part = folder / f".{LEDGER_REQUEST_FILE}.part"
    try:
        disk.write_file(part, msgspec.json.encode({"coa": coa, "currency_code": CURRENCY_CODE}))
        disk.rename(part, folder / LEDGER_REQUEST_FILE)
        disk.sync_folder(folder)
    except OSError as error:
        raise VaultError(
            f"{folder / LEDGER_REQUEST_FILE} cannot be written: {error.strerror}. "
            "Make room or correct the rights, then save again."
        ) from error


def _read_form() -> _Typed:
    form = request.form
    return _Typed(
        settings=typed_settings(),
        identity={name: form.get(name, "").strip() for name in _IDENTITY},
    )


def _check(typed: _Typed) -> None:
    typed.faults = setting_faults(typed.settings)
    identity = Identity(**typed.identity)
    for fault in identity.faults():
        typed.add(fault.split(" ", 1)[0], fault)
    wrong_broker = broker_fault(typed.settings, identity)
    if wrong_broker:
        typed.add("broker_code", wrong_broker)
    _check_credentials(typed)


def _check_credentials(typed: _Typed) -> None:
    keys = typed_credentials()
    for name, fault in malformed(keys).items():
        typed.add(name, fault)
    needs = {need.credentials: need.words for need in needs_of(typed.settings, keys)}
    for provider in PROVIDERS:
        _check_whole(typed, provider, keys, needs.get(provider.names, ""))


def _check_whole(typed: _Typed, provider: Provider, keys: Mapping[str, str], need: str) -> None:
    """Add a fault to what is missing of a provider: because a setting needs it, or because the rest was typed."""
    missing = [name for name in provider.names if name not in keys]
    if len(missing) == len(provider.names) and not need:
        return
    for name in missing:
        typed.add(name, need or "They belong together: enter each of them, or none")


def _page(typed: _Typed, code: int) -> Response:
    page = render_template(
        "configuration.html",
        typed=typed,
        groups=groups(),
        providers=[provider for provider in PROVIDERS if provider.fields],
        identity_fields={name: text for name, (_, text) in _IDENTITY.items()},
        faults_total=sum(len(found) for found in typed.faults.values()),
    )
    return make_response(page, code)


def _message(code: int, text: str) -> Response:
    return make_response(render_template("message.html", code=code, text=text), code)

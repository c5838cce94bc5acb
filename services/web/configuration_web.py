"""The first configuration: settings, identity and first administrator, checked and saved as a whole."""

import secrets as random_secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.keys import make_pairs
from config import env_bot, env_bot_settings
from config.credentials import (
    ALPACA_DATA_KEY,
    ALPACA_DATA_SECRET,
    ALPACA_TRADING_KEY,
    ALPACA_TRADING_SECRET,
    FINNHUB_KEY,
    api_key_fault,
    api_secret_fault,
)
from config.identity import Identity
from config.users import User, hash_password, password_fault, user_name_fault
from config.vault import Disk, Secrets, VaultConflictError, VaultError
from services.web import security
from services.web.site import SESSION_KEY_NAME, Site, site

LEDGER_REQUEST_FILE: Final = "provision_ledger.json"
CURRENCY_CODE: Final = "USD"
_BROKERS: Final = ", ".join(env_bot.BY_KEY["BROKER_NAME"].choices)
_IDENTITY: Final = {
    "entity_code": ("TBOT", "Who owns the account: 2 to 12 capital letters or digits"),
    "jurisdiction_code": ("USA", "Where it is taxed: 2 to 12 capital letters or digits"),
    "account_name": ("main", "Short name of the account: 1 to 24 small letters or digits"),
    "broker_code": ("PAPER", f"The broker, the same word as BROKER_NAME: {_BROKERS}"),
    "bot_id": ("BOT01", "This bot among others: 2 to 12 capital letters or digits"),
}
#: The credentials of the form: name -> label, help, and what tells whether it can be one.
_KEYS: Final = {
    FINNHUB_KEY: ("Finnhub API key", "Needed where UNIVERSE_SOURCE is finnhub; else leave it empty", api_key_fault),
    ALPACA_TRADING_KEY: (
        "Alpaca trading key",
        "Needed where BROKER_NAME is ALPACA: the key id of the account that ALPACA_ENDPOINT names",
        api_key_fault,
    ),
    ALPACA_TRADING_SECRET: ("Alpaca trading secret", "The secret that belongs to this key id", api_secret_fault),
    ALPACA_DATA_KEY: (
        "Alpaca market data key",
        "Needed for live prices (MARKET_DATA_SOURCE is alpaca, or the screener's command screen), unless the pair that "
        "trades is entered",
        api_key_fault,
    ),
    ALPACA_DATA_SECRET: ("Alpaca market data secret", "The secret that belongs to this key id", api_secret_fault),
}
_TRADING_PAIR: Final = (ALPACA_TRADING_KEY, ALPACA_TRADING_SECRET)
_DATA_PAIR: Final = (ALPACA_DATA_KEY, ALPACA_DATA_SECRET)
pages = Blueprint("configuration", __name__)


@dataclass
class _Typed:
    """What was typed, without the passwords, and what is wrong with it by field; "" = wrong as a whole."""

    settings: dict[str, str]
    identity: dict[str, str]
    admin_name: str
    faults: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, fault: str) -> None:
        self.faults.setdefault(name, []).append(fault)


@pages.get("/configuration")
@security.require("bootstrap")
def show() -> Response:
    """Show the form with safe proposals filled in."""
    security.refuse_unless_loopback()
    proposed = {name: proposal for name, (proposal, _) in _IDENTITY.items()}
    return _page(_Typed(settings=env_bot.proposals(), identity=proposed, admin_name="admin"), 200)


@pages.post("/configuration")
@security.require("bootstrap")
def save() -> AnyResponse:
    """Check everything; save all of it and go to the log-in, or show every fault and save nothing."""
    security.refuse_unless_loopback()
    here, typed = site(), _read_form()
    _check(typed)
    if typed.faults:
        return _page(typed, 422)
    try:
        with here.configuring:
            provision(here, typed.settings, Identity(**typed.identity), _admin(typed), credentials=_typed_credentials())
    except VaultConflictError as error:
        return _message(409, str(error))
    except VaultError as error:
        typed.add("", str(error))
        return _page(typed, 503)
    return redirect(url_for("login.show"), 303)


def provision(
    here: Site,
    settings: dict[str, str],
    identity: Identity,
    admin: User,
    *,
    credentials: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Make the bot real: first the request for the ledger, then the vault, whose pointer decides.

    Args:
        here: the site.
        settings: every setting, as typed.
        identity: who the bot is.
        admin: the first administrator.
        credentials: what was entered for providers of data, by the names of config/credentials.py.

    Raises:
        VaultConflictError: it is configured already.
        VaultError: something could not be read or written; the bot is not configured.
    """
    if here.is_configured():
        raise VaultConflictError("This bot is already configured. Log in to see it; nothing was changed.")
    coa = _read_coa(here)
    _request_ledger(here, coa)
    here.vault.provision(
        Secrets(
            generation=0,
            settings=settings,
            identity=identity,
            users=(admin,),
            credentials={**credentials, SESSION_KEY_NAME: random_secrets.token_hex(32)},
            coa=coa,
            curve=make_pairs(),
        )
    )
    here.adopt_session_key()
    here.audit.record("configured", identity.bot_identity, after=f"administrator {admin.name}", actor=admin.name)
    here.on_provisioned(here.secrets())


def _read_coa(here: Site) -> dict[str, Any]:
    try:
        return msgspec.json.decode(here.coa_template.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise VaultError(
            f"The chart of accounts {here.coa_template} cannot be read. Get this file back from the release."
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
        settings={key: form[key].strip() for key in env_bot.BY_KEY if key in form},
        identity={name: form.get(name, "").strip() for name in _IDENTITY},
        admin_name=form.get("admin_name", "").strip(),
    )


def _check(typed: _Typed) -> None:
    try:
        env_bot.parse(typed.settings)
    except env_bot.SettingsError as error:
        for fault in error.faults:
            key = fault.split(" ", 1)[0]
            typed.add(key if key in env_bot.BY_KEY else "", fault)
    for fault in Identity(**typed.identity).faults():
        typed.add(fault.split(" ", 1)[0], fault)
    broker, code = typed.settings.get("BROKER_NAME", ""), typed.identity["broker_code"]
    # A BROKER_NAME that is no broker has a fault of its own.
    if broker in env_bot.BY_KEY["BROKER_NAME"].choices and code != broker:
        typed.add("broker_code", f"broker_code is '{code}': it must be BROKER_NAME, {broker}")
    name_fault = user_name_fault(typed.admin_name)
    if name_fault:
        typed.add("admin_name", name_fault)
    secret = request.form.get("password", "")
    secret_fault = password_fault(secret)
    if secret_fault:
        typed.add("password", secret_fault)
    if request.form.get("password_again", "") != secret:
        typed.add("password_again", "The two passwords differ")
    _check_credentials(typed)


def _check_credentials(typed: _Typed) -> None:
    typed_keys = _typed_credentials()
    for name, key in typed_keys.items():
        fault = _KEYS[name][2](key)
        if fault:
            typed.add(name, fault)
    if typed.settings.get("UNIVERSE_SOURCE") == "finnhub" and FINNHUB_KEY not in typed_keys:
        typed.add(FINNHUB_KEY, "UNIVERSE_SOURCE is finnhub, which needs an API key of Finnhub")
    trading_need, data_need = _alpaca_needs(typed.settings, typed_keys)
    _check_pair(typed, _TRADING_PAIR, typed_keys, trading_need)
    _check_pair(typed, _DATA_PAIR, typed_keys, data_need)


def _alpaca_needs(settings: Mapping[str, str], typed_keys: Mapping[str, str]) -> tuple[str, str]:
    """Return why Alpaca's pair for trading is needed, and why that for market data; empty where it is not."""
    # ALPACA_ENDPOINT: the simulator is never given keys.
    if settings.get("ALPACA_ENDPOINT") == "simulator":
        return "", ""
    trades = settings.get("BROKER_NAME") == "ALPACA"
    # MARKET_DATA_SOURCE alpaca: the pair that trades gives prices too, and what is wrong with it is said there.
    streams = settings.get("MARKET_DATA_SOURCE") == "alpaca" and not (trades or typed_keys.keys() & set(_TRADING_PAIR))
    return (
        "BROKER_NAME is ALPACA, which needs a key and its secret for trading" if trades else "",
        "MARKET_DATA_SOURCE is alpaca, which needs a key and its secret for market data" if streams else "",
    )


def _check_pair(typed: _Typed, pair: tuple[str, str], typed_keys: Mapping[str, str], need: str) -> None:
    missing = [name for name in pair if name not in typed_keys]
    if len(missing) == len(pair) and not need:
        return
    for name in missing:
        typed.add(name, need or "A key and its secret belong together: enter both, or neither")


def _typed_credentials() -> dict[str, str]:
    """Return the keys that were typed; a field that is left empty is no key. Like passwords, they are never shown."""
    typed = {name: request.form.get(name, "").strip() for name in _KEYS}
    return {name: key for name, key in typed.items() if key}


def _admin(typed: _Typed) -> User:
    return User(name=typed.admin_name, password_hash=hash_password(request.form["password"]), role="admin")


def _page(typed: _Typed, code: int) -> Response:
    groups = [
        (name, list(found)) for name, found in groupby(env_bot_settings.SETTINGS, key=lambda setting: setting.group)
    ]
    page = render_template(
        "configuration.html",
        typed=typed,
        groups=groups,
        key_fields={name: (label, text) for name, (label, text, _) in _KEYS.items()},
        identity_fields={name: text for name, (_, text) in _IDENTITY.items()},
        faults_total=sum(len(found) for found in typed.faults.values()),
    )
    return make_response(page, code)


def _message(code: int, text: str) -> Response:
    return make_response(render_template("message.html", code=code, text=text), code)

"""The providers that the bot has credentials for, and the fields in which they are typed: one table for every form."""

from collections.abc import Callable, Mapping
from typing import Final

from flask import request
from msgspec import Struct

from config.archive import passphrase_fault
from config.connection_check import ARGUMENT
from config.credentials import (
    ALPACA_DATA_KEY,
    ALPACA_DATA_SECRET,
    ALPACA_TRADING_KEY,
    ALPACA_TRADING_SECRET,
    ARCHIVE_PASSPHRASE,
    FINNHUB_KEY,
    METRICS_TOKEN,
    SMTP_PASSWORD,
    SMTP_USER,
    WEBHOOK_URL,
    api_key_fault,
    api_secret_fault,
    token_fault,
    webhook_fault,
    word_fault,
)


class KeyField(Struct, frozen=True, kw_only=True):
    """One credential: the name it is kept under, its label, what it is for, and what tells whether it can be one."""

    name: str
    label: str
    help: str
    fault: Callable[[str], str | None]


class Provider(Struct, frozen=True, kw_only=True):
    """One provider. `fields` is empty where the bot keeps nothing secret of it.

    Args:
        key: its word in addresses, and in the question of a test.
        title: its name.
        text: what the bot uses it for, and what else it needs.
        fields: its credentials, which are replaced together.
        service: who tries the connection: the module that is run; empty where there is nobody to be asked.
        arguments: with what it is run.
        settings: which settings say where it is and as whom it is used.
    """

    key: str
    title: str
    text: str
    service: str = ""
    arguments: tuple[str, ...] = (ARGUMENT,)
    fields: tuple[KeyField, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its credentials."""
        return tuple(field.name for field in self.fields)


PROVIDERS: Final = (
    Provider(
        key="finnhub",
        title="Finnhub",
        text="The universe of names and their fundamentals come from it, where UNIVERSE_SOURCE is finnhub.",
        service="services.screener",
        fields=(
            KeyField(
                name=FINNHUB_KEY,
                label="Finnhub API key",
                help="Needed where UNIVERSE_SOURCE is finnhub; else leave it empty",
                fault=api_key_fault,
            ),
        ),
        settings=("UNIVERSE_SOURCE", "FINNHUB_CALLS_PER_MINUTE"),
    ),
    Provider(
        key="alpaca",
        title="Alpaca, trading",
        text="Orders go out with it, where BROKER_NAME is ALPACA. A paper account and a live account have pairs of "
        "their own: ALPACA_ENDPOINT says which of the two this one must be of.",
        service="services.execution",
        fields=(
            KeyField(
                name=ALPACA_TRADING_KEY,
                label="Alpaca trading key",
                help="Needed where BROKER_NAME is ALPACA: the key id of the account that ALPACA_ENDPOINT names",
                fault=api_key_fault,
            ),
            KeyField(
                name=ALPACA_TRADING_SECRET,
                label="Alpaca trading secret",
                help="The secret that belongs to this key id",
                fault=api_secret_fault,
            ),
        ),
        settings=("BROKER_NAME", "ALPACA_ENDPOINT"),
    ),
    Provider(
        key="alpaca_data",
        title="Alpaca, market data",
        text="Live prices come with it, where MARKET_DATA_SOURCE is alpaca. Without it the pair that trades is used.",
        service="services.screener",
        fields=(
            KeyField(
                name=ALPACA_DATA_KEY,
                label="Alpaca market data key",
                help="Needed for live prices (MARKET_DATA_SOURCE is alpaca, or the screener's command screen), unless "
                "the pair that trades is entered",
                fault=api_key_fault,
            ),
            KeyField(
                name=ALPACA_DATA_SECRET,
                label="Alpaca market data secret",
                help="The secret that belongs to this key id",
                fault=api_secret_fault,
            ),
        ),
        settings=("MARKET_DATA_SOURCE", "ALPACA_DATA_FEED"),
    ),
    Provider(
        key="ibkr",
        title="Interactive Brokers",
        text="The bot keeps no password of it: a person logs TWS or IB Gateway in on this machine. Where the gateway "
        "listens, and as which client the bot comes, are settings.",
        service="services.execution",
        settings=("BROKER_NAME", "IBKR_MODE", "IBKR_PORT", "IBKR_CLIENT_ID", "IBKR_ACCOUNT"),
    ),
    Provider(
        key="mail",
        title="Mail server",
        text="Notices are sent through it, where SMTP_HOST is set. A server on this machine may need no log-in.",
        service="bus.notice_check",
        arguments=(),
        fields=(
            KeyField(
                name=SMTP_USER, label="Mail server's user", help="As whom the bot logs in there", fault=word_fault
            ),
            KeyField(
                name=SMTP_PASSWORD,
                label="Mail server's password",
                help="Many providers want a password made for one program alone",
                fault=word_fault,
            ),
        ),
        settings=("SMTP_HOST", "SMTP_PORT", "SMTP_SECURITY", "SMTP_FROM", "SMTP_TO"),
    ),
    Provider(
        key="webhook",
        title="Webhook",
        text="Notices are posted to it as JSON. Whoever knows its address may post there, so it is kept like a key.",
        service="bus.notice_check",
        arguments=(),
        fields=(
            KeyField(
                name=WEBHOOK_URL,
                label="Webhook's address",
                help="https://, as the chat or alarm service gives it",
                fault=webhook_fault,
            ),
        ),
    ),
    Provider(
        key="archive",
        title="Archives of the home",
        text="After each session the whole home is packed and encrypted with a passphrase. Whoever restores one on a "
        "new machine has to know it, so keep it elsewhere too. Archives made before a change need the one before.",
        fields=(
            KeyField(
                name=ARCHIVE_PASSPHRASE,
                label="Passphrase of archives",
                help="Several words that are used nowhere else",
                fault=passphrase_fault,
            ),
        ),
        settings=("ARCHIVE_KEEP_DAYS", "ARCHIVE_KEEP_MONTHS"),
    ),
    Provider(
        key="metrics",
        title="Monitoring",
        text="Prometheus, or what works like it, fetches the bot's figures from /metrics on this machine, and says "
        "this token in the header Authorization. While it is not set nobody is given figures.",
        fields=(
            KeyField(
                name=METRICS_TOKEN,
                label="Token for monitoring",
                help="32 letters and digits or more, such as 'openssl rand -hex 32' makes",
                fault=token_fault,
            ),
        ),
    ),
)
BY_KEY: Final[Mapping[str, Provider]] = {provider.key: provider for provider in PROVIDERS}
FIELDS: Final[Mapping[str, KeyField]] = {field.name: field for provider in PROVIDERS for field in provider.fields}


def typed_credentials() -> dict[str, str]:
    """Return the keys that were typed; a field that is left empty is no key. Like passwords, they are never shown."""
    typed = {name: request.form.get(name, "").strip() for name in FIELDS}
    return {name: key for name, key in typed.items() if key}


def malformed(typed: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with the form of typed credentials, by name; no sentence has a part of one."""
    faults = {name: FIELDS[name].fault(key) for name, key in typed.items()}
    return {name: fault for name, fault in faults.items() if fault}

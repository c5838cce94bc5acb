"""Names and form of what is kept in the vault's credentials; what is not entered is not there."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

#: Finnhub's API key: the universe is built with it.
FINNHUB_KEY: Final = "finnhub_api_key"
#: Alpaca's key pair for market data: live prices come with it. It need not be the one that trades.
ALPACA_DATA_KEY: Final = "alpaca_data_key"
ALPACA_DATA_SECRET: Final = "alpaca_data_secret"  # noqa: S105 - the name it is kept under, not the secret
#: Alpaca's key pair for trading: orders go out with it. A paper account's and a live account's are different pairs.
ALPACA_TRADING_KEY: Final = "alpaca_trading_key"
ALPACA_TRADING_SECRET: Final = "alpaca_trading_secret"  # noqa: S105 - the name it is kept under, not the secret
#: The two pairs: a key and its secret belong together.
TRADING_PAIR: Final = (ALPACA_TRADING_KEY, ALPACA_TRADING_SECRET)
DATA_PAIR: Final = (ALPACA_DATA_KEY, ALPACA_DATA_SECRET)
#: The mail server's account for notices; without a user nobody logs in there.
SMTP_USER: Final = "smtp_user"
SMTP_PASSWORD: Final = "smtp_password"  # noqa: S105 - the name it is kept under, not the secret
#: Where notices are posted as JSON. The address itself lets whoever knows it post there.
WEBHOOK_URL: Final = "webhook_url"
#: What archives of the home are encrypted with; whoever restores one on a new machine has to know it.
ARCHIVE_PASSPHRASE: Final = "archive_passphrase"  # noqa: S105 - the name it is kept under, not the secret
#: What a scraper of /metrics has to say; without it nobody is given figures.
METRICS_TOKEN: Final = "metrics_token"  # noqa: S105 - the name it is kept under, not the secret
_API_KEY: Final = re.compile(r"[A-Za-z0-9_\-]{8,200}")
_WORD_CHARS_MAX: Final = 256
_TOKEN: Final = re.compile(r"[A-Za-z0-9_\-]{32,200}")
_THIS_MACHINE: Final = ("127.0.0.1", "localhost", "::1")
_API_SECRET: Final = re.compile(r"[A-Za-z0-9_\-/+=.]{8,200}")


class Need(Struct, frozen=True, kw_only=True):
    """A setting that does not work without credentials: which of both, and why in a sentence without its full stop."""

    setting: str
    credentials: tuple[str, ...]
    words: str


def needs_of(settings: Mapping[str, str], kept: Mapping[str, str]) -> tuple[Need, ...]:
    """Return which credentials these settings cannot do without, whether they are kept or not."""
    needs = []
    if settings.get("UNIVERSE_SOURCE") == "finnhub":
        words = "UNIVERSE_SOURCE is finnhub, which needs an API key of Finnhub"
        needs.append(Need(setting="UNIVERSE_SOURCE", credentials=(FINNHUB_KEY,), words=words))
    # ALPACA_ENDPOINT: the simulator is never given keys.
    if settings.get("ALPACA_ENDPOINT") == "simulator":
        return tuple(needs)
    trades = settings.get("BROKER_NAME") == "ALPACA"
    if trades:
        words = "BROKER_NAME is ALPACA, which needs a key and its secret for trading"
        needs.append(Need(setting="BROKER_NAME", credentials=TRADING_PAIR, words=words))
    # MARKET_DATA_SOURCE alpaca: the pair that trades gives prices too, and what is wrong with it is said there.
    if settings.get("MARKET_DATA_SOURCE") == "alpaca" and not (trades or any(map(kept.get, TRADING_PAIR))):
        words = "MARKET_DATA_SOURCE is alpaca, which needs a key and its secret for market data"
        needs.append(Need(setting="MARKET_DATA_SOURCE", credentials=DATA_PAIR, words=words))
    return tuple(needs)


def word_fault(text: str) -> str | None:
    """Return why this cannot be the user or the password of a log-in, without a part of it; None when it can be one."""
    if len(text) <= _WORD_CHARS_MAX and text.isprintable():
        return None
    return f"A user or a password is one line of at most {_WORD_CHARS_MAX} characters: copy it again"


def token_fault(token: str) -> str | None:
    """Return why this cannot be the token for monitoring, without a part of it; None when it can be one."""
    if _TOKEN.fullmatch(token):
        return None
    return "A token is one word of 32 to 200 letters, digits, '_' or '-': make one with 'openssl rand -hex 32'"


def webhook_fault(url: str) -> str | None:
    """Return why this cannot be a webhook's address, without a part of it; None when it can be one.

    Plain http is taken for this machine alone: what is posted says what the bot holds.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_whole = bool(host) and parts.port != 0 and parts.username is None and not parts.fragment
    except ValueError:
        is_whole, parts, host = False, urlsplit(""), ""
    if not is_whole or not url.isascii() or any(sign.isspace() for sign in url):
        return "A webhook is a whole address such as https://host/path, without a user name: copy it again"
    if parts.scheme == "https" or (parts.scheme == "http" and host in _THIS_MACHINE):
        return None
    return "A webhook begins with https://; http:// is taken for this machine alone"


def alpaca_data_pair(kept: Mapping[str, str]) -> tuple[str, str]:
    """Return the key pair for Alpaca's market data and its secret; two empty words when there is none.

    A pair that trades gives market data as well; one of its own is taken first, and half a pair is none.
    """
    pairs = ((ALPACA_DATA_KEY, ALPACA_DATA_SECRET), (ALPACA_TRADING_KEY, ALPACA_TRADING_SECRET))
    return next(((kept[key], kept[secret]) for key, secret in pairs if kept.get(key) and kept.get(secret)), ("", ""))


def api_key_fault(key: str) -> str | None:
    """Return why this cannot be an API key, without a part of it; None when it can be one."""
    if _API_KEY.fullmatch(key):
        return None
    return "An API key is one word of 8 to 200 letters, digits, '_' or '-': copy it again from the provider's page"


def api_secret_fault(secret: str) -> str | None:
    """Return why this cannot be the secret of a key pair, without a part of it; None when it can be one."""
    if _API_SECRET.fullmatch(secret):
        return None
    return "A secret is one word of 8 to 200 letters, digits, '_', '-', '/', '+', '=' or '.': copy it again"

"""Names and form of what is kept in the vault's credentials; what is not entered is not there."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

#: Finnhub's API key: the universe is built with it.
FINNHUB_KEY: Final = "finnhub_api_key"
#: Alpaca's key pair for market data: live prices come with it. It need not be the one that trades.
ALPACA_DATA_KEY: Final = "alpaca_data_key"
ALPACA_DATA_SECRET: Final = "alpaca_data_secret"  # noqa: S105 - the name it is kept under, not the secret
#: Alpaca's key pair for trading: orders go out with it. A paper account's and a live account's are different pairs.
ALPACA_TRADING_KEY: Final = "alpaca_trading_key"
ALPACA_TRADING_SECRET: Final = "alpaca_trading_secret"  # noqa: S105 - the name it is kept under, not the secret
#: The mail server's account for notices; without a user nobody logs in there.
SMTP_USER: Final = "smtp_user"
SMTP_PASSWORD: Final = "smtp_password"  # noqa: S105 - the name it is kept under, not the secret
#: Where notices are posted as JSON. The address itself lets whoever knows it post there.
WEBHOOK_URL: Final = "webhook_url"
_API_KEY: Final = re.compile(r"[A-Za-z0-9_\-]{8,200}")
_THIS_MACHINE: Final = ("127.0.0.1", "localhost", "::1")
_API_SECRET: Final = re.compile(r"[A-Za-z0-9_\-/+=.]{8,200}")


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

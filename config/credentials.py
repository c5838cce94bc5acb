"""Names and form of what is kept in the vault's credentials; what is not entered is not there."""

import re
from collections.abc import Mapping
from typing import Final

#: Finnhub's API key: the universe is built with it.
FINNHUB_KEY: Final = "finnhub_api_key"
#: Alpaca's key pair for market data: live prices come with it. It need not be the one that trades.
ALPACA_DATA_KEY: Final = "alpaca_data_key"
ALPACA_DATA_SECRET: Final = "alpaca_data_secret"  # noqa: S105 - the name it is kept under, not the secret
#: Alpaca's key pair for trading: orders go out with it. A paper account's and a live account's are different pairs.
ALPACA_TRADING_KEY: Final = "alpaca_trading_key"
ALPACA_TRADING_SECRET: Final = "alpaca_trading_secret"  # noqa: S105 - the name it is kept under, not the secret
_API_KEY: Final = re.compile(r"[A-Za-z0-9_\-]{8,200}")
_API_SECRET: Final = re.compile(r"[A-Za-z0-9_\-/+=.]{8,200}")


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

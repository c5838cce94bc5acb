"""The accounts that the posting recipes name. A chart of accounts must have each, with these rules."""

from typing import Final

CASH: Final = "1010"
EQUITIES_AT_COST: Final = "1210"
OWNER_CONTRIBUTIONS: Final = "3010"
OWNER_DRAWS: Final = "3020"
GAIN_SHORT_TERM: Final = "4010"
GAIN_LONG_TERM: Final = "4020"
BROKER_CREDITS: Final = "4190"
COMMISSIONS: Final = "5010"
UNITS_IN_CUSTODY: Final = "9010"
UNITS_COUNTER: Final = "9090"

CURRENCY: Final = "USD"
CURRENCY_SCALE: Final = 6
SHARE_SCALE: Final = 9

#: code -> (type, unit rule, lot rule). The schema's seal relies on them as much as the recipes do.
REQUIRED: Final[dict[str, tuple[str, str, str]]] = {
    CASH: ("ASSET", "BASE", "NONE"),
    EQUITIES_AT_COST: ("ASSET", "BASE", "REQUIRED"),
    OWNER_CONTRIBUTIONS: ("EQUITY", "BASE", "NONE"),
    OWNER_DRAWS: ("EQUITY", "BASE", "NONE"),
    GAIN_SHORT_TERM: ("INCOME", "BASE", "NONE"),
    GAIN_LONG_TERM: ("INCOME", "BASE", "NONE"),
    BROKER_CREDITS: ("INCOME", "BASE", "NONE"),
    COMMISSIONS: ("EXPENSE", "BASE", "NONE"),
    UNITS_IN_CUSTODY: ("MEMO", "UNITS", "REQUIRED"),
    UNITS_COUNTER: ("MEMO", "UNITS", "NONE"),
}


def unit_commodity(symbol: str) -> str:
    """Return the commodity that counts a symbol's shares.

    It is the symbol itself, save for the fund whose ticker is USD: its shares must not mix with dollars.
    """
    return f"{symbol}/UNITS" if symbol == CURRENCY else symbol

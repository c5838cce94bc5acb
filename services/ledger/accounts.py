"""The accounts that the posting recipes name. A chart of accounts must have each, with these rules."""

from typing import Final

from bus.instruments import is_option

CASH: Final = "1010"
CASH_TAX_RESERVE: Final = "1030"
CASH_PAYROLL_RESERVE: Final = "1040"
UNSETTLED_SALES: Final = "1110"
EQUITIES_AT_COST: Final = "1210"
HOLDINGS_AT_COST: Final = "1220"
OPTIONS_AT_COST: Final = "1230"
SUSPENSE: Final = "1900"
UNSETTLED_PURCHASES: Final = "2110"
OWNER_CONTRIBUTIONS: Final = "3010"
OWNER_DRAWS: Final = "3020"
GAIN_SHORT_TERM: Final = "4010"
GAIN_LONG_TERM: Final = "4020"
OPTION_GAIN_SHORT_TERM: Final = "4030"
OPTION_GAIN_LONG_TERM: Final = "4040"
DIVIDENDS: Final = "4110"
INTEREST: Final = "4120"
BROKER_CREDITS: Final = "4190"
COMMISSIONS: Final = "5010"
FEES: Final = "5020"
MARGIN_INTEREST: Final = "5030"
BORROW_FEES: Final = "5040"
SHORT_DIVIDENDS: Final = "5050"
DATA_COSTS: Final = "5060"
PAYROLL: Final = "5110"
INCOME_TAX: Final = "5120"
UNITS_IN_CUSTODY: Final = "9010"
UNITS_COUNTER: Final = "9090"

CURRENCY: Final = "USD"
CURRENCY_SCALE: Final = 6
SHARE_SCALE: Final = 9

#: What the broker account holds in cash, settled or not.
CASH_ACCOUNTS: Final = (CASH, CASH_TAX_RESERVE, CASH_PAYROLL_RESERVE, UNSETTLED_SALES, UNSETTLED_PURCHASES)
#: What a trade or a movement changes of it: the reserves are envelopes inside the same account.
FLOAT_ACCOUNTS: Final = (CASH, UNSETTLED_SALES, UNSETTLED_PURCHASES)
COST_ACCOUNTS: Final = (EQUITIES_AT_COST, HOLDINGS_AT_COST, OPTIONS_AT_COST)
GAIN_ACCOUNTS: Final = (GAIN_SHORT_TERM, GAIN_LONG_TERM, OPTION_GAIN_SHORT_TERM, OPTION_GAIN_LONG_TERM)
#: What the owner's cash is set aside for, the float first.
ENVELOPES: Final = (CASH, CASH_TAX_RESERVE, CASH_PAYROLL_RESERVE)
#: Everything that is charged without a trade of its own.
CHARGES: Final = (FEES, MARGIN_INTEREST, BORROW_FEES, SHORT_DIVIDENDS, DATA_COSTS)

#: code -> (type, unit rule, lot rule). The schema's seal relies on them as much as the recipes do.
REQUIRED: Final[dict[str, tuple[str, str, str]]] = {
    **dict.fromkeys((CASH, CASH_TAX_RESERVE, CASH_PAYROLL_RESERVE, UNSETTLED_SALES), ("ASSET", "BASE", "NONE")),
    **dict.fromkeys(COST_ACCOUNTS, ("ASSET", "BASE", "REQUIRED")),
    SUSPENSE: ("ASSET", "BASE", "NONE"),
    UNSETTLED_PURCHASES: ("LIABILITY", "BASE", "NONE"),
    OWNER_CONTRIBUTIONS: ("EQUITY", "BASE", "NONE"),
    OWNER_DRAWS: ("EQUITY", "BASE", "NONE"),
    **dict.fromkeys(
        (
            GAIN_SHORT_TERM,
            GAIN_LONG_TERM,
            OPTION_GAIN_SHORT_TERM,
            OPTION_GAIN_LONG_TERM,
            DIVIDENDS,
            INTEREST,
            BROKER_CREDITS,
        ),
        ("INCOME", "BASE", "NONE"),
    ),
    **dict.fromkeys(
        (COMMISSIONS, FEES, MARGIN_INTEREST, BORROW_FEES, SHORT_DIVIDENDS, DATA_COSTS, PAYROLL, INCOME_TAX),
        ("EXPENSE", "BASE", "NONE"),
    ),
    UNITS_IN_CUSTODY: ("MEMO", "UNITS", "REQUIRED"),
    UNITS_COUNTER: ("MEMO", "UNITS", "NONE"),
}


def unit_commodity(symbol: str) -> str:
    """Return the commodity that counts a symbol's shares.

    It is the symbol itself, save for the fund whose ticker is USD: its shares must not mix with dollars.
    """
    return f"{symbol}/UNITS" if symbol == CURRENCY else symbol


def gain_accounts(commodity: str) -> tuple[str, str]:
    """Return where gains on a commodity are booked: short-term, long-term."""
    if is_option(commodity):
        return OPTION_GAIN_SHORT_TERM, OPTION_GAIN_LONG_TERM
    return GAIN_SHORT_TERM, GAIN_LONG_TERM


def cost_accounts(commodity: str) -> tuple[str, ...]:
    """Return the accounts that may carry a commodity's cost."""
    return (OPTIONS_AT_COST,) if is_option(commodity) else (EQUITIES_AT_COST, HOLDINGS_AT_COST)

"""What a symbol says of the instrument: a share, or an option contract by its OCC symbol. Pure."""

import re
from typing import Final

#: Underlying, expiry as YYMMDD, C or P, strike in thousandths of a dollar with eight digits; blanks pad the underlying.
#: Source: The Options Clearing Corporation, Options Symbology Initiative (2010).
_OCC: Final = re.compile(r"[A-Z0-9.]{1,6} {0,5}\d{6}[CP]\d{8}")
#: Shares that one standard contract delivers. Source: OCC, Characteristics and Risks of Standardized Options (2024).
OPTION_MULTIPLIER: Final = 100


def is_option(symbol: str) -> bool:
    """Tell whether a symbol is an option contract's.

    >>> is_option("SPY250321C00570000"), is_option("SPY")
    (True, False)
    """
    return _OCC.fullmatch(symbol) is not None


def multiplier_of(symbol: str) -> int:
    """Return how many shares one unit of the instrument stands for: 100 for an option contract, 1 for a share."""
    return OPTION_MULTIPLIER if is_option(symbol) else 1

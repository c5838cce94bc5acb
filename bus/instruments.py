"""What a symbol stands for: a share, or an option by its OCC symbol; and what one unit of it is worth in money.

An option's symbol here is the OCC's without blanks: root, expiry as YYMMDD, C or P, strike in thousandths of a dollar
as eight digits. `SPY251219P00650000` is the put on SPY at 650 dollars that expires on 2025-12-19.

Source: OCC, Options Symbology Initiative (21-character option keys, in force since 2010-02-12).
"""

import re
from datetime import date
from typing import Final, Literal

from msgspec import Struct

from bus.messages import cash_micros, notional_micros

#: Shares behind one contract of a standard equity option. Source: OCC, Characteristics and Risks of Standardized
#: Options (June 2024), "contract size".
CONTRACT_SHARES: Final = 100
_TAIL: Final = 15
_OCC: Final = re.compile(r"([A-Z][A-Z0-9]{0,5})(\d{2})(\d{2})(\d{2})([CP])(\d{8})", re.ASCII)
_CENTURY: Final = 2000
_MICROS_PER_THOUSANDTH: Final = 1000
_PPM: Final = 1_000_000
_MONEYNESS_PPM_PER_DELTA: Final = 200_000


class OptionTerms(Struct, frozen=True, kw_only=True):
    """The terms of one listed option. `expiry` is a day such as 2025-12-19, the last on which it may be traded."""

    root: str
    expiry: str
    right: Literal["CALL", "PUT"]
    strike_micros: int

    def intrinsic_micros(self, underlying_micros: int) -> int:
        """Return what one share's part of the option is worth when exercised at this price of the underlying.

        >>> option_terms("SPY251219P00650000").intrinsic_micros(640_000_000)
        10000000
        """
        gain = self.strike_micros - underlying_micros
        return max(0, gain if self.right == "PUT" else -gain)


def option_terms(symbol: str) -> OptionTerms:
    """Return the terms that an OCC symbol names.

    Raises:
        ValueError: it is no OCC symbol, or names a day that there is not.

    >>> terms = option_terms("SPY251219P00650000")
    >>> terms.root, terms.expiry, terms.right, terms.strike_micros
    ('SPY', '2025-12-19', 'PUT', 650000000)
    """
    found = _OCC.fullmatch(symbol)
    if found is None:
        raise ValueError(
            f"{symbol!r} is not the OCC symbol of an option: write root, YYMMDD, C or P, and the strike in thousandths "
            "of a dollar as eight digits, such as SPY251219P00650000"
        )
    root, year, month, day, right, strike = found.groups()
    expiry = date(_CENTURY + int(year), int(month), int(day))
    return OptionTerms(
        root=root,
        expiry=expiry.isoformat(),
        right="PUT" if right == "P" else "CALL",
        strike_micros=int(strike) * _MICROS_PER_THOUSANDTH,
    )


def put_moneyness_ppm(delta_ppm: int) -> int:
    """Return which strike, in millionths of the underlying's price, stands for a put's delta (without its sign).

    At the money a put's delta is about a half, and each tenth more or less is about two percent of the underlying: a
    put with more delta is further in the money, so its strike is higher. A rule of thumb for contracts of about a
    month, not a model.

    >>> put_moneyness_ppm(500_000), put_moneyness_ppm(300_000)
    (1000000, 960000)
    """
    return _PPM + (delta_ppm - _PPM // 2) * _MONEYNESS_PPM_PER_DELTA // _PPM


def is_option(symbol: str) -> bool:
    """Tell whether a symbol is an option's.

    >>> is_option("SPY251219P00650000"), is_option("SPY"), is_option("SPY251399P00650000")
    (True, False, False)
    """
    # No share has a symbol as long as this: most symbols are told by their length alone.
    if len(symbol) <= _TAIL:
        return False
    try:
        option_terms(symbol)
    except ValueError:
        return False
    return True


def multiplier_of(symbol: str) -> int:
    """Return how many times its price one unit of a symbol costs: 100 for an option, 1 for a share.

    >>> multiplier_of("SPY251219P00650000"), multiplier_of("BRK.B")
    (100, 1)
    """
    return CONTRACT_SHARES if len(symbol) > _TAIL and is_option(symbol) else 1


def notional_of(symbol: str, price_micros: int, qty_nanos: int) -> int:
    """Return what a quantity of a symbol is worth at this price, in micro-dollars, rounded half to even.

    >>> notional_of("SPY251219P00650000", 2_500_000, 3_000_000_000)
    750000000
    """
    return notional_micros(price_micros * multiplier_of(symbol), qty_nanos)


def cash_of(symbol: str, price_micros: int, qty_nanos: int) -> int:
    """Return what a fill in a symbol moves in cash before its charges: whole cents, half to even, in micro-dollars.

    >>> cash_of("SPY", 10_005_000, 1_000_000_000), cash_of("SPY251219P00650000", 10_005_000, 1_000_000_000)
    (10000000, 1000500000)
    """
    return cash_micros(price_micros * multiplier_of(symbol), qty_nanos)

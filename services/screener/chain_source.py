"""Live chains of puts: the port to a broker's, and which few contracts of a chain are listed and quoted. Pure."""

from collections.abc import Iterable
from datetime import date
from typing import Final, Protocol

from msgspec import Struct

from bus.instruments import put_moneyness_ppm
from bus.messages import ListedPut
from services.screener.settings import PutWindow

#: Of so many days of expiry contracts are listed.
EXPIRIES_MAX: Final = 2
#: Standard monthly contracts, which have the most open interest, expire on the third Friday.
_FRIDAY: Final = 4
_THIRD_WEEK: Final = range(15, 22)
_PPM: Final = 1_000_000
_MICROS_PER_THOUSANDTH: Final = 1_000


class ChainError(Exception):
    """There is no chain of a name now; the message says why, for people, and never a key."""


class Terms(Struct, frozen=True):
    """What a standard put of a name says: the last day on which it may be traded, and its strike in micro-dollars."""

    expiry: date
    strike_micros: int

    def symbol(self, root: str) -> str:
        """Return the OCC symbol of the put."""
        return f"{root}{self.expiry:%y%m%d}P{self.strike_micros // _MICROS_PER_THOUSANDTH:08d}"


class ChainSource(Protocol):
    """A broker's chains."""

    def puts(self, underlying: str, price_micros: int, session_date: str) -> tuple[ListedPut, ...]:
        """Return a few puts on a name that costs this, the nearest first; may take seconds.

        Empty when the broker lists none that may be bought.

        Raises:
            ChainError: there is no answer.
        """
        ...


def nearest(found: Iterable[Terms], price_micros: int, session_date: str, window: PutWindow) -> list[Terms]:
    """Return the puts of the days of expiry that are looked at, nearest to the wanted strike first.

    Monthly days of expiry come before others, sooner ones before later ones.
    """
    session = date.fromisoformat(session_date)
    within = [one for one in found if window.days_min <= (one.expiry - session).days <= window.days_max]
    days = sorted({one.expiry for one in within}, key=lambda day: (not is_monthly(day), day))[:EXPIRIES_MAX]
    wanted = price_micros * put_moneyness_ppm(window.delta_target_ppm) // _PPM
    listed = [one for one in set(within) if one.expiry in days]
    return sorted(listed, key=lambda one: (abs(one.strike_micros - wanted), days.index(one.expiry), one.strike_micros))


def is_monthly(day: date) -> bool:
    """Tell whether standard monthly contracts expire on this day.

    >>> is_monthly(date(2025, 3, 21)), is_monthly(date(2025, 3, 28))
    (True, False)
    """
    return day.weekday() == _FRIDAY and day.day in _THIRD_WEEK

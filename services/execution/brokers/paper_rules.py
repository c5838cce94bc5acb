"""The paper broker's rules beside its prices: how fast, how much, when, and what it refuses. Pure."""

from typing import Final

from msgspec import Struct

from bus.instruments import is_option, option_terms
from bus.messages import NANOS, OrderType, SessionPlanned
from services.execution.brokers.matching import BookOrder

#: Nanoseconds in a minute of session time, the time over which a part of the quoted size may be taken.
MINUTE_NS: Final = 60 * NANOS
WHOLE_PERCENT: Final = 100
_DAY_TYPES: Final[tuple[OrderType, ...]] = ("MARKET", "LIMIT")
_DOLLAR_MICROS: Final = 1_000_000
_CENT_MICROS: Final = 10_000
_TICK_BELOW_A_DOLLAR_MICROS: Final = 100


class PaperRules(Struct, frozen=True, kw_only=True):
    """How realistic the paper broker is; as it stands here, every order meets the next quote whole.

    `latency_ns`: session time before an order can trade. `participation_percent`: which part of the size that a quote
    shows one side of the account may take within a minute; 100 = all that each quote shows. `refuses_opposite_sides`:
    whether an order is refused while one of the other side is open in the same symbol.
    """

    latency_ns: int = 0
    participation_percent: int = WHOLE_PERCENT
    refuses_opposite_sides: bool = False


PLAIN: Final = PaperRules()


class Hours(Struct, frozen=True, kw_only=True):
    """One day of the exchange in UTC nanoseconds; on a day without trading both are 0."""

    day: str
    open_ns: int
    close_ns: int

    @classmethod
    def of(cls, plan: SessionPlanned) -> "Hours":
        """Return the exchange's hours, on half-days the short ones; the bot's own days off are no matter here."""
        return cls(day=plan.session_date, open_ns=plan.open_ns, close_ns=plan.close_ns)

    def are_at(self, ts_ns: int) -> bool:
        """Tell whether the exchange trades at this moment."""
        return self.open_ns <= ts_ns < self.close_ns

    def session_of(self, ts_ns: int) -> str:
        """Return the day for whose session an order is good that comes now; empty = the next one to be planned."""
        return self.day if ts_ns < self.close_ns else ""

    def are_over_for(self, order: BookOrder) -> bool:
        """Tell whether an order was good for an earlier day. Stops stay: they protect what is kept over night."""
        return order.order_type in _DAY_TYPES and "" < order.session_date < self.day


def is_good_for_the_day(order: BookOrder) -> bool:
    """Tell whether an order ends with its session."""
    return order.order_type in _DAY_TYPES


def price_fault(symbol: str, order_type: OrderType, limit_micros: int, stop_micros: int) -> str | None:
    """Return why an exchange would not take the order's price, None when it would; trailing stops name none.

    Source: SEC Regulation NMS Rule 612 (17 CFR 242.612), minimum pricing increment: one cent from one dollar on, and
    a hundredth of a cent below (as in force since 2006). Options: Alpaca, answer to an option order, "limit price must
    be limited to 2 decimal places" (seen 2026-10).
    """
    price = limit_micros if order_type == "LIMIT" else stop_micros if order_type == "STOP" else 0
    if is_option(symbol):
        return "an option's price is in whole cents" if price % _CENT_MICROS else None
    if price % (_CENT_MICROS if price >= _DOLLAR_MICROS else _TICK_BELOW_A_DOLLAR_MICROS):
        return "sub-penny price: whole cents from a dollar on, below it hundredths of a cent"
    return None


def option_fault(symbol: str, qty_nanos: int, today: str) -> str | None:
    """Return why an order in an option cannot be taken, None when it can or is none; `today` empty = not known."""
    if not is_option(symbol):
        return None
    if qty_nanos % NANOS:
        return "options are traded in whole contracts"
    expiry = option_terms(symbol).expiry
    return f"{symbol} expired on {expiry}" if expiry < today else None


def is_expired(symbol: str, hours: Hours, ts_ns: int) -> bool:
    """Tell whether an option's last day has closed."""
    if not is_option(symbol):
        return False
    expiry = option_terms(symbol).expiry
    return expiry < hours.day or (expiry == hours.day and ts_ns >= hours.close_ns)


def allowance_nanos(shown_nanos: int, taken_nanos: int, percent: int) -> int:
    """Return what may still be taken of a size that is shown, after so much was taken within the minute.

    A part that is less than one share is one, so that no order starves where single shares are quoted.

    >>> allowance_nanos(100 * NANOS, 4 * NANOS, 10) // NANOS
    6
    """
    if percent >= WHOLE_PERCENT:
        return shown_nanos
    part = max(shown_nanos * percent // WHOLE_PERCENT // NANOS * NANOS, min(shown_nanos, NANOS))
    return max(0, part - taken_nanos)

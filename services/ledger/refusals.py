"""Why an event cannot be booked, in words for the operator; an empty text when it can. Pure."""

from collections.abc import Sequence
from typing import Final

from bus.instruments import is_option, multiplier_of
from services.ledger import accounts
from services.ledger.events import (
    CashChanged,
    LedgerEvent,
    OptionExercised,
    OptionExpired,
    PayoutWithdrawn,
    ReserveMoved,
    ReservePaid,
    Reversed,
    ShareSplit,
    SuspenseBooked,
    SuspenseCleared,
    Traded,
)
from services.ledger.figures import dollars, shares
from services.ledger.lots import Lot, close_first_in, first_lots, split_lots, units_open
from services.ledger.recipes import CASH_RECIPES, booking_of, exercised_cash, gross_micros, split_units

#: Where the catalogue's Micros end, well inside SQLite's 64 bits.
_AMOUNT_MAX = 2**62
#: Where an explained difference may not go: cash, lots, gains, suspense itself, memoranda. The chart has the last word.
_NOT_EXPLAINING: Final = frozenset(
    {
        *accounts.COST_ACCOUNTS,
        *accounts.CASH_ACCOUNTS,
        *accounts.GAIN_ACCOUNTS,
        accounts.SUSPENSE,
        accounts.UNITS_IN_CUSTODY,
        accounts.UNITS_COUNTER,
    }
)


def fault_of(event: LedgerEvent, lots: Sequence[Lot], underlying: Sequence[Lot]) -> str:
    """Return why an event does not fit the books; empty when it does.

    Args:
        event: what happened; whether an entry may be taken back is the core's to judge.
        lots: the open lots of its symbol, oldest first.
        underlying: the open lots of the shares that an option delivers.
    """
    match event:
        case Traded():
            return _trade_fault(event, lots)
        case CashChanged():
            return _cash_fault(event)
        case ShareSplit():
            return _split_fault(event, lots)
        case OptionExpired() | OptionExercised():
            return _option_fault(event, lots) or (
                _exercise_fault(event, lots, underlying) if isinstance(event, OptionExercised) else ""
            )
        case ReserveMoved() | SuspenseBooked() if event.amount_micros == 0:
            return f"{booking_of(event).in_words()}: the amount must not be zero. Correct it and send it again."
        case ReservePaid() if event.amount_micros <= 0:
            return f"{booking_of(event).in_words()}: what is paid must be above zero. Correct it and send it again."
        case SuspenseCleared() if event.amount_micros == 0 or event.account in _NOT_EXPLAINING:
            return (
                f"{dollars(event.amount_micros)} cannot move from suspense to account {event.account}: the amount must "
                "not be zero, and the account one of income, expense or equity that is none of gains."
            )
        case ReserveMoved() | SuspenseBooked() | ReservePaid() | PayoutWithdrawn() | SuspenseCleared() | Reversed():
            return ""


def _cash_fault(moved: CashChanged) -> str:
    sign = CASH_RECIPES[moved.kind][1]
    if moved.amount_micros * sign <= 0:
        return (
            f"{moved.kind} of {dollars(moved.amount_micros)} dollars: it must be "
            f"{'above' if sign > 0 else 'below'} zero. Check activity {moved.key} at the broker."
        )
    return ""


def _trade_fault(fill: Traded, lots: Sequence[Lot]) -> str:
    """Why no ledger could book this fill, or why it does not fit the lots."""
    if fill.qty_nanos <= 0:
        return f"The fill of {fill.symbol} has no quantity. Look up execution {fill.key} at the broker."
    costs = abs(fill.commission_micros) + abs(fill.fees_micros)
    if max(abs(gross_micros(fill)) + costs, fill.qty_nanos) > _AMOUNT_MAX:
        return (
            f"The fill of {shares(fill.qty_nanos)} {fill.symbol} at {dollars(fill.price_micros)} is beyond what the "
            f"ledger can hold. Look up execution {fill.key} at the broker."
        )
    if gross_micros(fill) < 0 or fill.fees_micros < 0:
        return (
            f"The fill of {fill.symbol} has an amount or a fee below zero. Look up execution {fill.key} at the broker."
        )
    if fill.side == "BUY":
        return _buy_fault(fill.symbol, fill.qty_nanos, fill.ts_ns, lots)
    fault = _sale_fault(fill.symbol, fill.qty_nanos, fill.ts_ns, lots)
    return fault or _account_fault(fill.symbol, fill.qty_nanos, lots, for_holdings=fill.for_holdings)


def _account_fault(symbol: str, qty_nanos: int, lots: Sequence[Lot], *, for_holdings: bool) -> str:
    """Why the oldest lots are not whose shares are sold: one account has one queue, first in first out."""
    if is_option(symbol):
        return ""
    wanted = accounts.HOLDINGS_AT_COST if for_holdings else accounts.EQUITIES_AT_COST
    if all(lot.account == wanted for lot in first_lots(lots, qty_nanos)):
        return ""
    seller, owner = ("holdings", "strategies") if for_holdings else ("strategies", "holdings")
    return (
        f"{shares(qty_nanos)} {symbol} were sold for the {seller}, but the oldest of them were bought for the {owner}. "
        "The same symbol in both is one queue of lots: book it by hand, and keep the two universes apart."
    )


def _buy_fault(symbol: str, qty_nanos: int, ts_ns: int, lots: Sequence[Lot]) -> str:
    """Why this purchase cannot join the queue of open lots, which is in the order of acquisition."""
    if lots and ts_ns < lots[-1].acquired_ns:
        return (
            f"{shares(qty_nanos)} {symbol} were bought before shares that are already in the books. Lots enter in the "
            "order of their purchase: book it by hand, in order."
        )
    return ""


def _sale_fault(symbol: str, qty_nanos: int, ts_ns: int, lots: Sequence[Lot]) -> str:
    """Why this sale does not fit the shares that the books hold."""
    if (held := units_open(lots)) < qty_nanos:
        return (
            f"Sold {shares(qty_nanos)} {symbol}, but the books hold {shares(held)}. The position was opened outside "
            "this ledger, or its purchase is missing; short sales are not booked."
        )
    if first_lots(lots, qty_nanos)[-1].acquired_ns > ts_ns:
        return f"{symbol} was sold before the shares that it takes were bought. Book it by hand, in order."
    return ""


def _split_fault(event: ShareSplit, lots: Sequence[Lot]) -> str:
    if event.numerator <= 0 or event.denominator <= 0:
        return f"A split of {event.symbol} by {event.numerator} for {event.denominator}: both must be above zero."
    if not lots:
        return f"The books hold no {event.symbol}, so there is nothing to split."
    if lots[-1].acquired_ns > event.ts_ns:
        return f"{event.symbol} was split before shares that are already in the books were bought. Book it by hand."
    after = split_units(event, lots)
    if after > _AMOUNT_MAX or after == 0 or any(lot.qty_nanos == 0 for lot in split_lots(lots, after)):
        return (
            f"The split of {event.symbol} by {event.numerator} for {event.denominator} leaves {shares(after)}, which "
            "the lots cannot share. Check the ratio at the broker."
        )
    return ""


def _option_fault(event: OptionExpired | OptionExercised, lots: Sequence[Lot]) -> str:
    verb = "expired" if isinstance(event, OptionExpired) else "exercised"
    held = units_open(lots)
    if not 0 < event.qty_nanos <= held:
        return (
            f"{shares(event.qty_nanos)} {event.symbol} were {verb}, but the books hold {shares(held)}. Compare the "
            "position with the broker's; written options are not booked."
        )
    if event.ts_ns < lots[0].acquired_ns:
        return f"{event.symbol} was {verb} before it was bought. Check event {event.key} at the broker."
    return ""


def _exercise_fault(event: OptionExercised, lots: Sequence[Lot], underlying: Sequence[Lot]) -> str:
    delivered = event.qty_nanos * multiplier_of(event.symbol)
    if event.right == "CALL":
        return _buy_fault(event.underlying, delivered, event.ts_ns, underlying)
    premium = sum(close.cost_micros for close in close_first_in(lots, event.qty_nanos, 0, event.ts_ns))
    if exercised_cash(event) < premium:
        return (
            f"The exercise of {event.symbol} brings {dollars(exercised_cash(event))}, less than its premium of "
            f"{dollars(premium)}. Check event {event.key} at the broker, and book it by hand."
        )
    fault = _sale_fault(event.underlying, delivered, event.ts_ns, underlying)
    return fault or _account_fault(event.underlying, delivered, underlying, for_holdings=False)

"""Posting recipes: which lines a fill or a cash movement becomes. Pure; each balances in every commodity."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from bus.messages import CashMoved, OrderFilled, PostingLine, cash_micros
from services.ledger import accounts
from services.ledger.figures import dollars, shares
from services.ledger.lots import Lot, close_first_in

_ID_LENGTH_MAX = 96
_TEXT_LENGTH_MAX = 400


class Booking(Struct, frozen=True, kw_only=True):
    """What an event means to the books: the same event told twice must give the same booking.

    `units_nanos` and `cash_micros` are what the account gains, negative = what it gives.
    """

    event_type: str
    symbol: str
    units_nanos: int
    cash_micros: int

    def in_words(self) -> str:
        """Return the booking as a person reads it."""
        units = f"{shares(self.units_nanos)} {self.symbol} and " if self.symbol else ""
        return f"{self.event_type} of {units}{dollars(self.cash_micros)} dollars"


class Draft(Struct, frozen=True, kw_only=True):
    """An entry before it has a number."""

    description: str
    gain_micros: int
    lines: tuple[PostingLine, ...]


def source_id(event: OrderFilled | CashMoved) -> str:
    """Return the idempotency key of an event: broker, the broker's own id, and what it is."""
    if isinstance(event, OrderFilled):
        kind, key = "FILL", event.execution_id
    else:
        kind, key = event.kind, event.activity_id
    plain = f"{event.broker}:{key}:{kind}"
    # Ids of the catalogue have at most 96 characters; a longer one keeps its uniqueness by its digest.
    return plain if len(plain) <= _ID_LENGTH_MAX else f"sha256:{sha256(plain.encode()).hexdigest()}:{kind}"


def booking_of(event: OrderFilled | CashMoved) -> Booking:
    """Return what the event means to the books."""
    if isinstance(event, CashMoved):
        return Booking(event_type=event.kind, symbol="", units_nanos=0, cash_micros=event.amount_micros)
    cash = cash_micros(event.price_micros, event.qty_nanos)
    is_buy = event.side == "BUY"
    return Booking(
        event_type=event.side,
        symbol=event.symbol,
        units_nanos=event.qty_nanos if is_buy else -event.qty_nanos,
        cash_micros=(-cash if is_buy else cash) - event.commission_micros,
    )


def draft_cash(moved: CashMoved) -> Draft:
    """Book a deposit against the owner's contributions, a withdrawal against the owner's draws."""
    other = accounts.OWNER_CONTRIBUTIONS if moved.kind == "DEPOSIT" else accounts.OWNER_DRAWS
    return Draft(
        description=f"{moved.kind.capitalize()} of {dollars(abs(moved.amount_micros))}",
        gain_micros=0,
        lines=_lines(
            (
                (accounts.CASH, accounts.CURRENCY, moved.amount_micros),
                (other, accounts.CURRENCY, -moved.amount_micros),
            )
        ),
    )


def draft_buy(fill: OrderFilled) -> Draft:
    """Book a purchase: shares at cost, commission as an expense, units into custody."""
    cash = cash_micros(fill.price_micros, fill.qty_nanos)
    return Draft(
        description=_describe(fill, cash),
        gain_micros=0,
        lines=_lines(
            (
                (accounts.EQUITIES_AT_COST, accounts.CURRENCY, cash),
                _commission_line(fill),
                (accounts.CASH, accounts.CURRENCY, -cash - fill.commission_micros),
                *_unit_lines(fill.symbol, fill.qty_nanos),
            )
        ),
    )


def draft_sale(fill: OrderFilled, lots: Sequence[Lot]) -> Draft:
    """Book a sale: the oldest lots' cost out, proceeds in, the difference as short- and long-term gain."""
    cash = cash_micros(fill.price_micros, fill.qty_nanos)
    closes = close_first_in(lots, fill.qty_nanos, cash, fill.ts_event)
    short_term = sum(close.gain_micros for close in closes if close.term == "ST")
    long_term = sum(close.gain_micros for close in closes if close.term == "LT")
    return Draft(
        description=_describe(fill, cash),
        gain_micros=short_term + long_term,
        lines=_lines(
            (
                (accounts.EQUITIES_AT_COST, accounts.CURRENCY, -sum(close.cost_micros for close in closes)),
                (accounts.CASH, accounts.CURRENCY, cash - fill.commission_micros),
                _commission_line(fill),
                (accounts.GAIN_SHORT_TERM, accounts.CURRENCY, -short_term),
                (accounts.GAIN_LONG_TERM, accounts.CURRENCY, -long_term),
                *_unit_lines(fill.symbol, -fill.qty_nanos),
            )
        ),
    )


def _commission_line(fill: OrderFilled) -> tuple[str, str, int]:
    # A negative commission is a rebate: the broker's credit, not a cheaper expense.
    account = accounts.COMMISSIONS if fill.commission_micros > 0 else accounts.BROKER_CREDITS
    return account, accounts.CURRENCY, fill.commission_micros


def _unit_lines(symbol: str, units_nanos: int) -> tuple[tuple[str, str, int], ...]:
    commodity = accounts.unit_commodity(symbol)
    return (
        (accounts.UNITS_IN_CUSTODY, commodity, units_nanos),
        (accounts.UNITS_COUNTER, commodity, -units_nanos),
    )


def _lines(parts: Iterable[tuple[str, str, int]]) -> tuple[PostingLine, ...]:
    """Postings of the parts that move something."""
    return tuple(
        PostingLine(account=account, commodity=commodity, amount=amount)
        for account, commodity, amount in parts
        if amount
    )


def _describe(fill: OrderFilled, cash: int) -> str:
    verb = "Buy" if fill.side == "BUY" else "Sell"
    return (
        f"{verb} {shares(fill.qty_nanos)} {fill.symbol} at {dollars(fill.price_micros)} for {dollars(cash)}; "
        f"{fill.strategy} {fill.leg}, order {fill.client_order_id}: {fill.reason}"
    )[:_TEXT_LENGTH_MAX]

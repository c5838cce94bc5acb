"""Posting recipes: which lines an event becomes. Pure; each balances in every commodity."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct

from bus.instruments import multiplier_of
from bus.messages import CashKind, PostingLine, TradeLine, cash_micros
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
from services.ledger.lots import Lot, at_cost, close_first_in, gain_by_term, units_open

_ID_LENGTH_MAX = 96
_TEXT_LENGTH_MAX = 400
#: The other side of cash that moved without a trade, and the sign that the amount must have.
CASH_RECIPES: Final[dict[CashKind, tuple[str, int]]] = {
    "DEPOSIT": (accounts.OWNER_CONTRIBUTIONS, 1),
    "WITHDRAWAL": (accounts.OWNER_DRAWS, -1),
    "DIVIDEND": (accounts.DIVIDENDS, 1),
    "INTEREST": (accounts.INTEREST, 1),
    "BROKER_CREDIT": (accounts.BROKER_CREDITS, 1),
    "FEE": (accounts.FEES, -1),
    "MARGIN_INTEREST": (accounts.MARGIN_INTEREST, -1),
    "BORROW_FEE": (accounts.BORROW_FEES, -1),
    "SHORT_DIVIDEND": (accounts.SHORT_DIVIDENDS, -1),
    "DATA_COST": (accounts.DATA_COSTS, -1),
}
#: purpose -> (the envelope, the expense once it is paid out)
RESERVES: Final = {
    "TAX": (accounts.CASH_TAX_RESERVE, accounts.INCOME_TAX),
    "PAYROLL": (accounts.CASH_PAYROLL_RESERVE, accounts.PAYROLL),
}
#: The entry type of events that have one name only.
_TYPES: Final[dict[type[LedgerEvent], str]] = {
    ShareSplit: "SPLIT",
    OptionExpired: "EXPIRE",
    OptionExercised: "EXERCISE",
    PayoutWithdrawn: "PAYOUT_WITHDRAWN",
    SuspenseBooked: "SUSPENSE",
    SuspenseCleared: "SUSPENSE_CLEARED",
    Reversed: "REVERSAL",
}
#: Entries that leave the float as it is; their first line says how much they are about.
_INNER_TYPES: Final = frozenset({"TAX_PAID", "PAYROLL_PAID", "SUSPENSE_CLEARED"})
_Part = tuple[str, str, int]


class Booking(Struct, frozen=True, kw_only=True, gc=False):
    """What an event means to the books: the same event told twice must give the same booking.

    `units_nanos` and `cash_micros` are what the account gains, negative = what it gives. There is one for each entry
    ever booked, and nothing in it can point back to it: the garbage collector need not look (`gc=False`).
    """

    event_type: str
    symbol: str
    units_nanos: int
    cash_micros: int

    def in_words(self) -> str:
        """Return the booking as a person reads it."""
        units = f"{shares(self.units_nanos)} {self.symbol} and " if self.symbol else ""
        return f"{self.event_type} of {units}{dollars(self.cash_micros)} dollars"


class Draft(Struct, frozen=True, kw_only=True, gc=False):
    """An entry before it has a number."""

    description: str
    gain_micros: int
    lines: tuple[PostingLine, ...]
    reverses_seq: int = 0
    trade: TradeLine | None = None


def source_id(event: LedgerEvent) -> str:
    """Return the idempotency key of an event: broker, the source's own id, and what it is."""
    if isinstance(event, Reversed):
        # Whatever key a person gives it: one entry is taken back once.
        return _short(event.original.source_event_id, "REVERSAL")
    return source_key(event.broker, event.key, "FILL" if isinstance(event, Traded) else _event_type(event))


def source_key(broker: str, key: str, event_type: str) -> str:
    """Return the idempotency key of a source's own id and what it is: FILL, or the type of its entry."""
    return _short(f"{broker}:{key}", event_type)


def fill_id(broker: str, execution_id: str) -> str:
    """Return the idempotency key of a fill."""
    return source_key(broker, execution_id, "FILL")


def settlement_id(broker: str, day: int) -> str:
    """Return the idempotency key of the settlement of one day, by its number since 1 January of year 1."""
    return source_key(broker, str(day), "SETTLEMENT")


def gross_micros(trade: Traded) -> int:
    """Return what a fill moves before all costs: the broker's own amount, or else quantity x price in whole cents."""
    if trade.gross_micros is not None:
        return trade.gross_micros
    return cash_micros(trade.price_micros, trade.qty_nanos * multiplier_of(trade.symbol))


def booking_of(event: LedgerEvent) -> Booking:
    """Return what the event means to the books."""
    units, cash = _booked(event)
    event_type, symbol = named_by(event)
    return Booking(event_type=event_type, symbol=symbol, units_nanos=units, cash_micros=cash)


def named_by(event: LedgerEvent) -> tuple[str, str]:
    """Return the type of an event's entry, and its symbol, which may be empty."""
    if type(event) is Traded:
        return event.side, event.symbol
    symbol = event.original.symbol if isinstance(event, Reversed) else getattr(event, "symbol", "")
    return _event_type(event), symbol


def draft_of(event: LedgerEvent, lots: Sequence[Lot], underlying: Sequence[Lot], *, settles_later: bool) -> Draft:
    """Return the entry for an event that was found bookable.

    Args:
        event: what happened.
        lots: the open lots of its symbol, oldest first.
        underlying: the open lots of the shares that an option delivers.
        settles_later: cash of trades waits in 1110 and 2110 until it is settled (SETTLEMENT_DAYS).
    """
    if type(event) is Traded:
        if event.side == "BUY":
            return _draft_buy(event, accounts.UNSETTLED_PURCHASES if settles_later else accounts.CASH)
        return _draft_sale(event, lots, accounts.UNSETTLED_SALES if settles_later else accounts.CASH)
    match event:
        case ShareSplit():
            return _draft_split(event, lots)
        case OptionExpired():
            return _draft_expiry(event, lots)
        case OptionExercised():
            return _draft_exercise(event, lots, underlying)
        case Reversed():
            return draft_reversal(event)
        case _:
            return _draft_cash(event)


def draft_settlement(received_micros: int, paid_micros: int) -> Draft:
    """Move what was sold (above zero) and bought (below zero) from the unsettled accounts to settled cash."""
    return _draft(
        f"Settled: {dollars(received_micros)} of sales, {dollars(-paid_micros)} of purchases",
        (
            (accounts.CASH, accounts.CURRENCY, received_micros + paid_micros),
            (accounts.UNSETTLED_SALES, accounts.CURRENCY, -received_micros),
            (accounts.UNSETTLED_PURCHASES, accounts.CURRENCY, -paid_micros),
        ),
    )


def draft_reversal(event: Reversed) -> Draft:
    """Take an entry back: every line negated, and the gain with them."""
    was = event.original
    return Draft(
        description=f"Reversal of entry {was.seq} ({was.description}): {event.reason}"[:_TEXT_LENGTH_MAX],
        gain_micros=-was.gain_micros,
        lines=tuple(
            PostingLine(account=line.account, commodity=line.commodity, amount=-line.amount) for line in was.lines
        ),
        reverses_seq=was.seq,
    )


def split_units(event: ShareSplit, lots: Sequence[Lot]) -> int:
    """Return the units after a split, rounded down to a billionth; what is cut off is paid in cash by the broker."""
    return units_open(lots) * event.numerator // event.denominator


def exercised_cash(event: OptionExercised) -> int:
    """Return what the shares of exercised contracts cost or bring at the strike, in micro-dollars."""
    return cash_micros(event.strike_micros, event.qty_nanos * multiplier_of(event.symbol))


def _booked(event: LedgerEvent) -> tuple[int, int]:
    """Units and cash that the account gains by an event."""
    match event:
        case Traded():
            gross, costs = gross_micros(event), event.commission_micros + event.fees_micros
            return (event.qty_nanos, -gross - costs) if event.side == "BUY" else (-event.qty_nanos, gross - costs)
        case CashChanged() | SuspenseBooked() | PayoutWithdrawn():
            return 0, event.amount_micros
        case ReserveMoved():
            return 0, -event.amount_micros
        case OptionExpired():
            return -event.qty_nanos, 0
        case OptionExercised():
            cash = exercised_cash(event)
            return -event.qty_nanos, -cash if event.right == "CALL" else cash
        case Reversed():
            return -_units_of(event.original.symbol, event.original.lines), -cash_on(event.original.lines)
        case ReservePaid() | SuspenseCleared():
            return 0, event.amount_micros
        case ShareSplit():
            # Its units depend on what is held; the books keep its ratio in words.
            return 0, 0


def cash_on(lines: Iterable[PostingLine]) -> int:
    """Return what lines move on the float, settled or not, in micro-dollars."""
    return sum([line.amount for line in lines if line.account in accounts.FLOAT_ACCOUNTS])


def booking_from(event_type: str, symbol: str, lines: Sequence[PostingLine]) -> Booking:
    """Return the booking that a posted entry stands for; equal to `booking_of` its event."""
    units = 0 if event_type == "SPLIT" else _units_of(symbol, lines)
    cash = lines[0].amount if event_type in _INNER_TYPES else cash_on(lines)
    return Booking(event_type=event_type, symbol=symbol, units_nanos=units, cash_micros=cash)


def _units_of(symbol: str, lines: Iterable[PostingLine]) -> int:
    commodity = accounts.unit_commodity(symbol)
    return sum(
        [line.amount for line in lines if line.account == accounts.UNITS_IN_CUSTODY and line.commodity == commodity]
    )


def _event_type(event: LedgerEvent) -> str:
    match event:
        case Traded():
            return event.side
        case CashChanged():
            return event.kind
        case ReserveMoved():
            return f"{event.purpose}_RESERVE"
        case ReservePaid():
            return f"{event.purpose}_PAID"
        case _:
            return _TYPES[type(event)]


def _draft_cash(event: LedgerEvent) -> Draft:
    """Book what moves money alone: two accounts, one amount."""
    match event:
        case CashChanged():
            name = event.kind.replace("_", " ").capitalize() + (f" on {event.symbol}" if event.symbol else "")
            other, amount = CASH_RECIPES[event.kind][0], event.amount_micros
            return _pair(f"{name} of {dollars(abs(amount))}", accounts.CASH, other, amount)
        case ReserveMoved():
            envelope, amount = RESERVES[event.purpose][0], event.amount_micros
            words = f"{'Into' if amount > 0 else 'Out of'} the {event.purpose.lower()} reserve: {dollars(abs(amount))}"
            return _pair(f"{words}; {event.basis}", envelope, accounts.CASH, amount)
        case ReservePaid():
            envelope, expense = RESERVES[event.purpose]
            words = f"{event.purpose.capitalize()} paid: {dollars(event.amount_micros)}"
            return _pair(words, expense, envelope, event.amount_micros)
        case PayoutWithdrawn():
            words = f"Withdrawn for what the reserves paid, no draw: {dollars(event.amount_micros)}"
            return _pair(words, accounts.CASH, accounts.OWNER_DRAWS, event.amount_micros)
        case SuspenseBooked():
            words = f"Unexplained difference of {dollars(event.amount_micros)}: {event.reason}"
            return _pair(words, accounts.CASH, accounts.SUSPENSE, event.amount_micros)
        case SuspenseCleared():
            words = f"Suspense of {dollars(event.amount_micros)} explained: {event.reason}"
            return _pair(words, accounts.SUSPENSE, event.account, event.amount_micros)
        case _:
            raise AssertionError(event)


def _draft_buy(trade: Traded, cash_account: str) -> Draft:
    """Book a purchase: shares at cost, commission and fees as expenses, units into custody."""
    gross = gross_micros(trade)
    costs = trade.commission_micros + trade.fees_micros
    held_at = accounts.HOLDINGS_AT_COST if trade.for_holdings else accounts.EQUITIES_AT_COST
    return _draft(
        _describe(trade, gross),
        (
            (accounts.OPTIONS_AT_COST if multiplier_of(trade.symbol) > 1 else held_at, accounts.CURRENCY, gross),
            *_cost_lines(trade),
            (cash_account, accounts.CURRENCY, -gross - costs),
            *_unit_lines(trade.symbol, trade.qty_nanos),
        ),
        trade=_trade_line(trade, gross),
    )


def _draft_sale(trade: Traded, lots: Sequence[Lot], cash_account: str) -> Draft:
    """Book a sale: the oldest lots' cost out, proceeds in, the difference as short- and long-term gain."""
    gross = gross_micros(trade)
    closes = close_first_in(lots, trade.qty_nanos, gross, trade.ts_ns)
    held_at = accounts.HOLDINGS_AT_COST if trade.for_holdings else accounts.EQUITIES_AT_COST
    account = accounts.OPTIONS_AT_COST if multiplier_of(trade.symbol) > 1 else held_at
    return _draft(
        _describe(trade, gross),
        (
            (account, accounts.CURRENCY, -sum(close.cost_micros for close in closes)),
            (cash_account, accounts.CURRENCY, gross - trade.commission_micros - trade.fees_micros),
            *_cost_lines(trade),
            *_gain_lines(trade.symbol, gain_by_term(closes)),
            *_unit_lines(trade.symbol, -trade.qty_nanos),
        ),
        gain=sum(gain_by_term(closes)),
        trade=_trade_line(trade, gross),
    )


def _draft_split(event: ShareSplit, lots: Sequence[Lot]) -> Draft:
    """Book a split: every open lot out at cost and in again with its new units and its old time of purchase."""
    held, after = units_open(lots), split_units(event, lots)
    commodity = accounts.unit_commodity(event.symbol)
    return _draft(
        f"Split {event.numerator} for {event.denominator} of {event.symbol}: {shares(held)} become {shares(after)}",
        (
            (accounts.UNITS_IN_CUSTODY, commodity, -held),
            (accounts.UNITS_IN_CUSTODY, commodity, after),
            (accounts.UNITS_COUNTER, commodity, held - after),
        ),
    )


def _draft_expiry(event: OptionExpired, lots: Sequence[Lot]) -> Draft:
    """Book contracts that expired: their whole cost is lost."""
    closes = close_first_in(lots, event.qty_nanos, 0, event.ts_ns)
    return _draft(
        f"{shares(event.qty_nanos)} {event.symbol} expired without value",
        (
            (accounts.OPTIONS_AT_COST, accounts.CURRENCY, -sum(close.cost_micros for close in closes)),
            *_gain_lines(event.symbol, gain_by_term(closes)),
            *_unit_lines(event.symbol, -event.qty_nanos),
        ),
        gain=sum(gain_by_term(closes)),
    )


def _draft_exercise(event: OptionExercised, lots: Sequence[Lot], underlying: Sequence[Lot]) -> Draft:
    """Book an exercise: no gain on the contracts; their cost raises the shares' cost, or lowers their proceeds.

    Source: IRS Publication 550 (2024), "Puts and Calls".
    """
    cash = exercised_cash(event)
    contracts = at_cost(close_first_in(lots, event.qty_nanos, 0, event.ts_ns))
    premium = sum(close.cost_micros for close in contracts)
    delivered = event.qty_nanos * multiplier_of(event.symbol)
    closes = close_first_in(underlying, delivered, cash - premium, event.ts_ns) if event.right == "PUT" else ()
    cost = -sum(close.cost_micros for close in closes) if event.right == "PUT" else cash + premium
    verb = "buys" if event.right == "CALL" else "sells"
    return _draft(
        f"Exercise of {shares(event.qty_nanos)} {event.symbol} {verb} {shares(delivered)} {event.underlying} at "
        f"{dollars(event.strike_micros)} for {dollars(cash)}; premium {dollars(premium)}",
        (
            (accounts.OPTIONS_AT_COST, accounts.CURRENCY, -premium),
            (accounts.EQUITIES_AT_COST, accounts.CURRENCY, cost),
            (accounts.CASH, accounts.CURRENCY, cash if event.right == "PUT" else -cash),
            *_gain_lines(event.underlying, gain_by_term(closes)),
            *_unit_lines(event.symbol, -event.qty_nanos),
            *_unit_lines(event.underlying, -delivered if event.right == "PUT" else delivered),
        ),
        gain=sum(gain_by_term(closes)),
    )


def _cost_lines(trade: Traded) -> tuple[_Part, ...]:
    # A negative commission is a rebate: the broker's credit, not a cheaper expense.
    account = accounts.COMMISSIONS if trade.commission_micros > 0 else accounts.BROKER_CREDITS
    return (
        (account, accounts.CURRENCY, trade.commission_micros),
        (accounts.FEES, accounts.CURRENCY, trade.fees_micros),
    )


def _gain_lines(symbol: str, gains: tuple[int, int]) -> tuple[_Part, ...]:
    codes = accounts.gain_accounts(accounts.unit_commodity(symbol))
    return tuple((code, accounts.CURRENCY, -gain) for code, gain in zip(codes, gains, strict=True))


def _unit_lines(symbol: str, units_nanos: int) -> tuple[_Part, ...]:
    commodity = accounts.unit_commodity(symbol)
    return (
        (accounts.UNITS_IN_CUSTODY, commodity, units_nanos),
        (accounts.UNITS_COUNTER, commodity, -units_nanos),
    )


def _pair(description: str, debit: str, credit: str, amount: int) -> Draft:
    return _draft(description, ((debit, accounts.CURRENCY, amount), (credit, accounts.CURRENCY, -amount)))


def _draft(description: str, parts: Iterable[_Part], *, gain: int = 0, trade: TradeLine | None = None) -> Draft:
    """Make a draft with postings of the parts that move something."""
    return Draft(
        description=description[:_TEXT_LENGTH_MAX],
        gain_micros=gain,
        lines=tuple(
            PostingLine(account=account, commodity=commodity, amount=amount)
            for account, commodity, amount in parts
            if amount
        ),
        trade=trade,
    )


def _trade_line(trade: Traded, gross: int) -> TradeLine:
    return TradeLine(
        side=trade.side,
        symbol=trade.symbol,
        qty_nanos=trade.qty_nanos,
        price_micros=trade.price_micros,
        gross_micros=gross,
        commission_micros=trade.commission_micros,
        fees_micros=trade.fees_micros,
        order_id=trade.order_id,
        fill_id=trade.key,
        strategy=trade.strategy,
        leg=trade.leg,
        venue=trade.broker,
    )


def _describe(trade: Traded, cash: int) -> str:
    verb = "Buy" if trade.side == "BUY" else "Sell"
    return (
        f"{verb} {shares(trade.qty_nanos)} {trade.symbol} at {dollars(trade.price_micros)} for {dollars(cash)}; "
        f"{trade.strategy} {trade.leg}, order {trade.order_id}: {trade.reason}"
    )


def _short(plain: str, kind: str) -> str:
    """Ids of the catalogue have at most 96 characters; a longer one keeps its uniqueness by its digest."""
    whole = f"{plain}:{kind}"
    return whole if len(whole) <= _ID_LENGTH_MAX else f"sha256:{sha256(whole.encode()).hexdigest()}:{kind}"

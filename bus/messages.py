"""The catalogue: every message that crosses the bus or enters a journal, in one file.

Units. Prices and money are integers in millionths of a dollar (`_micros`); quantities are integers in billionths
of a share (`_nanos`); times are UTC nanoseconds since 1970 (`ts_` and `_ns`). `ts_event` is when it happened,
`ts_init` when the message was made, both on the session's clock. Commands are imperative, events and verdicts past
tense, snapshots nouns. Derive a new type, never edit one: journals keep old messages.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from bus.columns import check_columns, pack, rows_of, unpack, views_of

MICROS = 1_000_000
NANOS = 1_000_000_000
CENT_MICROS = 10_000

Symbol = Annotated[str, Meta(min_length=1, max_length=24, pattern=r"^[A-Z0-9][A-Z0-9.\-/ ]*$")]
Micros = Annotated[int, Meta(ge=-(2**62), le=2**62)]
PRICE_MICROS_MAX = 2**53
PriceMicros = Annotated[int, Meta(ge=0, le=PRICE_MICROS_MAX)]
Nanos = Annotated[int, Meta(ge=0, le=2**62)]
#: A position that may be short: a quantity below zero.
SignedNanos = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Ns = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, Meta(max_length=400)]
Id = Annotated[str, Meta(min_length=1, max_length=96)]

Side = Literal["BUY", "SELL"]
Direction = Literal["BULLISH", "BEARISH"]
StrategyName = Literal["open", "mid", "close"]
#: Whose an order is: a strategy's, or the long-term holdings'.
OrderOwner = Literal["open", "mid", "close", "holdings"]
OrderType = Literal["MARKET", "LIMIT", "STOP", "TRAILING_STOP"]
#: `fund`: a purchase or a sale of the long-term holdings, which has no stop and no exit.
Leg = Literal["entry", "stop", "exit", "fund"]
CashKind = Literal[
    "DEPOSIT",
    "WITHDRAWAL",
    "DIVIDEND",
    "INTEREST",
    "BROKER_CREDIT",
    "FEE",
    "MARGIN_INTEREST",
    "BORROW_FEE",
    "SHORT_DIVIDEND",
    "DATA_COST",
]
ServiceName = Literal["screener", "strategy", "risk", "execution", "ledger", "holdings", "web", "watchdog"]

LedgerKind = Literal[
    "journal",
    "entry",
    "accounts",
    "trades",
    "trace",
    "trial_balance",
    "income_statement",
    "balance_sheet",
    "gains",
    "wash_sales",
    "coa",
    "coa_versions",
    "coa_diff",
    "reconciliation",
    "audit",
]
LedgerCell = str | int | bool | None
#: What one answer of the books may hold, so that it fits into a frame.
LEDGER_ROWS_MAX = 200
ChainState = Literal["STARTING", "DISARMED", "ACTIVE", "REDUCING", "HALTED"]
BotState = Literal[
    "UNCONFIGURED",
    "PROVISIONED",
    "IDLE",
    "PRE_OPEN",
    "ANALYZING",
    "TRADING",
    "MONITORING",
    "FLATTENING",
    "CLOSED",
    "REDUCING",
    "HALTED",
    "ERROR",
]


def notional_micros(price_micros: int, qty_nanos: int) -> int:
    """Return price x quantity in micro-dollars, rounded half to even.

    >>> notional_micros(10_500_000, 3 * NANOS)
    31500000
    """
    whole, rest = divmod(price_micros * qty_nanos, NANOS)
    if rest * 2 > NANOS or (rest * 2 == NANOS and whole % 2):
        whole += 1
    return whole


def round_to_cent(numerator: int, denominator: int = 1) -> int:
    """Round a fraction of micro-dollars to whole cents, half to even; the denominator is positive.

    >>> round_to_cent(25_000), round_to_cent(35_000)
    (20000, 40000)
    """
    unit = denominator * CENT_MICROS
    cents, rest = divmod(numerator, unit)
    if rest * 2 > unit or (rest * 2 == unit and cents % 2):
        cents += 1
    return cents * CENT_MICROS


def cash_micros(price_micros: int, qty_nanos: int) -> int:
    """Return what a fill moves in cash before commission: whole cents, half to even, in micro-dollars.

    The paper broker and the ledger book by this one rule; a broker that reports its own amounts is believed instead.

    >>> cash_micros(10_005_000, NANOS), cash_micros(10_015_000, NANOS)
    (10000000, 10020000)
    """
    return round_to_cent(notional_micros(price_micros, qty_nanos))


class Message(Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True, gc=False):
    """Base of the catalogue: two times on each message.

    Nothing in a message leads back to it, so Python need not look for cycles through it (`gc=False`).
    """

    ts_event: Ns
    ts_init: Ns


class OperatorRequest(Message, frozen=True, kw_only=True):
    """What a person asks of one service from the web UI: answered once or not at all, and void when it is old.

    `expires_boot_ns` is CLOCK_BOOTTIME. Base of questions and commands; never sent itself.
    """

    command_id: Id
    expires_boot_ns: Ns
    operator: Id
    receiver: ServiceName


class OperatorCommand(OperatorRequest, frozen=True, kw_only=True):
    """A request that changes something: carried out once, and not after a halt that its giver did not know of.

    Base of commands; never sent itself.
    """

    halt_counter: int
    reason: Text


class Item(Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of what messages carry in tuples; without field names on the wire, since there may be hundreds."""


# --- market data: lossy ------------------------------------------------------------------------------------------


class Quote(Struct, frozen=True, gc=False):
    """One symbol's best bid and ask. Zero price or size = that side is absent. `ts_event` is when it was heard."""

    symbol: str
    bid_micros: int
    ask_micros: int
    bid_size_nanos: int
    ask_size_nanos: int
    ts_event: int


class Bar(Struct, frozen=True, gc=False):
    """One symbol's trades of one minute; `volume_nanos` in billionths of a share."""

    symbol: str
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    volume_nanos: int


class QuoteBatch(Message, frozen=True, kw_only=True):
    """Quotes of many symbols at one moment, as columns (see bus/columns.py): element i is of `symbols[i]`, each once.

    `step` numbers every market message of a session from 1, gapless.

    Raises:
        ValueError: the columns are not all as long as `symbols`.
    """

    step: Annotated[int, Meta(ge=1)]
    symbols: tuple[Symbol, ...]
    bids_micros: bytes
    asks_micros: bytes
    bid_sizes_nanos: bytes
    ask_sizes_nanos: bytes
    times_ns: bytes

    def __post_init__(self) -> None:
        """Check the lengths."""
        check_columns(
            self.symbols,
            (self.bids_micros, self.asks_micros, self.bid_sizes_nanos, self.ask_sizes_nanos, self.times_ns),
        )

    @classmethod
    def of(cls, quotes: Iterable[Quote], *, ts_event: int, ts_init: int, step: int) -> "QuoteBatch":
        """Return the batch of single quotes."""
        rows = tuple(quotes)
        return cls(
            ts_event=ts_event,
            ts_init=ts_init,
            step=step,
            symbols=tuple(quote.symbol for quote in rows),
            bids_micros=pack(quote.bid_micros for quote in rows),
            asks_micros=pack(quote.ask_micros for quote in rows),
            bid_sizes_nanos=pack(quote.bid_size_nanos for quote in rows),
            ask_sizes_nanos=pack(quote.ask_size_nanos for quote in rows),
            times_ns=pack(quote.ts_event for quote in rows),
        )

    def quote_of(self, symbol: str) -> Quote | None:
        """Return one symbol's quote, None when it is not in the batch or one of its numbers is below zero."""
        row = rows_of(self.symbols).get(symbol)
        return None if row is None else self.quote_at(row)

    @property
    def quotes(self) -> tuple[Quote, ...]:
        """Return every quote that makes sense."""
        found = (self.quote_at(row) for row in range(len(self.symbols)))
        return tuple(quote for quote in found if quote is not None)

    def quote_at(self, row: int) -> Quote | None:
        """Return the quote of one symbol by its place, None when one of its numbers is below zero."""
        global _looked_into  # noqa: PLW0603 - the newest batch is asked for many of its quotes, one after the other
        newest = _looked_into
        if newest[0] is not self:
            columns = (self.bids_micros, self.asks_micros, self.bid_sizes_nanos, self.ask_sizes_nanos, self.times_ns)
            newest = _looked_into = self, views_of(*columns), {}
        known = newest[2].get(row)
        if known is not None:
            return known
        bids, asks, bid_sizes, ask_sizes, times = newest[1]
        bid, ask, bid_size, ask_size = bids[row], asks[row], bid_sizes[row], ask_sizes[row]
        if not (0 <= bid <= PRICE_MICROS_MAX and 0 <= ask <= PRICE_MICROS_MAX and bid_size >= 0 and ask_size >= 0):
            return None
        quote = newest[2][row] = Quote(self.symbols[row], bid, ask, bid_size, ask_size, times[row])
        return quote


#: The newest batch that was asked for a quote, views of its columns, and the quotes that were asked for, by row.
_looked_into: tuple[QuoteBatch | None, tuple[Sequence[int], ...], dict[int, Quote]] = (None, (), {})


class BarBatch(Message, frozen=True, kw_only=True):
    """Completed one-minute bars as columns (see bus/columns.py): element i is of `symbols[i]`, each once.

    `ts_event` is the END of the minute; symbols that did not trade are absent. `parts_left` is how many more messages
    of the same minute follow, where one frame cannot hold them all.

    Raises:
        ValueError: the columns are not all as long as `symbols`.
    """

    step: Annotated[int, Meta(ge=1)]
    symbols: tuple[Symbol, ...]
    opens_micros: bytes
    highs_micros: bytes
    lows_micros: bytes
    closes_micros: bytes
    volumes_nanos: bytes
    parts_left: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        """Check the lengths."""
        check_columns(
            self.symbols,
            (self.opens_micros, self.highs_micros, self.lows_micros, self.closes_micros, self.volumes_nanos),
        )

    @classmethod
    def of(cls, bars: Iterable[Bar], *, ts_event: int, ts_init: int, step: int, parts_left: int = 0) -> "BarBatch":
        """Return the batch of single bars."""
        rows = tuple(bars)
        return cls(
            ts_event=ts_event,
            ts_init=ts_init,
            step=step,
            symbols=tuple(bar.symbol for bar in rows),
            opens_micros=pack(bar.open_micros for bar in rows),
            highs_micros=pack(bar.high_micros for bar in rows),
            lows_micros=pack(bar.low_micros for bar in rows),
            closes_micros=pack(bar.close_micros for bar in rows),
            volumes_nanos=pack(bar.volume_nanos for bar in rows),
            parts_left=parts_left,
        )

    @property
    def bars(self) -> tuple[Bar, ...]:
        """Return every bar."""
        columns = (self.opens_micros, self.highs_micros, self.lows_micros, self.closes_micros, self.volumes_nanos)
        return tuple(Bar(*row) for row in zip(self.symbols, *map(unpack, columns), strict=True))


class PastBars(BarBatch, frozen=True, kw_only=True):
    """Minutes of the session that are over already, said again for whoever missed them; nothing is traded on them.

    Live feeds alone say it: at their start, after the start of a listener, and when a bar came late. What follows a
    message that `begins` is every minute since the open, in order. What was measured before is forgotten with it, so
    that no minute counts twice; it has no bars itself, and its `ts_event` is the time at which it is said. Its `names`
    are those whose minutes follow, with trades or without; empty = of all that are watched.
    """

    begins: bool = False
    names: tuple[Symbol, ...] = ()


class FeedEnded(Message, frozen=True, kw_only=True):
    """The recorded session has no more data; `steps` is how many market messages it had."""

    step: Annotated[int, Meta(ge=1)]
    steps: int


# --- screener ----------------------------------------------------------------------------------------------------


class Reason(Item, frozen=True, kw_only=True):
    """One rule applied to one name: what was measured, against what, and whether it passed. Values are for people."""

    rule: Id
    value: Text
    threshold: Text
    passed: bool


class Candidate(Item, frozen=True, kw_only=True):
    """A name worth watching today; `score` orders them, highest first; `prior_close_micros` 0 = unknown."""

    symbol: Symbol
    rank: int
    score: int
    prior_close_micros: PriceMicros
    price_micros: PriceMicros
    gap_bps: int
    reasons: tuple[Reason, ...]


class Rejection(Item, frozen=True, kw_only=True):
    """A name that was screened out, with the rules that were applied to it."""

    symbol: Symbol
    reasons: tuple[Reason, ...]


#: Which part of the day a list is made for; docs/screener.md says what price and volume each one uses.
ScanMode = Literal["pre-market", "intraday", "after-hours"]


class CandidatesRanked(Message, frozen=True, kw_only=True):
    """The screener's list for a session: SCREENER_CANDIDATES at most, and 50 rejections (the first by symbol).

    A later list of the same session, intraday, takes the place of the one before: names join and leave. The one after
    hours is for the next session and changes nothing in its own.
    """

    session_date: Id
    source: Text
    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    rejected_total: int
    scan_mode: ScanMode = "pre-market"


class ListedPut(Item, frozen=True, kw_only=True):
    """A put that may be bought, by its OCC symbol; None = not known.

    `delta_ppm` is the delta without its sign in parts per million.
    """

    symbol: Symbol
    open_interest: Annotated[int, Meta(ge=0)] | None
    delta_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] | None


class OptionsListed(Message, frozen=True, kw_only=True):
    """The puts on one name that a session's data quotes; the nearest strikes first.

    Recorded ones are said once, as they were known before the session. A live list is as old as its `ts_event`, and a
    newer one takes its place.
    """

    session_date: Id
    underlying: Symbol
    puts: Annotated[tuple[ListedPut, ...], Meta(max_length=200)]


class VixObserved(Message, frozen=True, kw_only=True):
    """The volatility index as it stood before a session: the close of `as_of_date`, in hundredths of a point.

    `vix_hundredths` 0 = unknown, and `as_of_date` is then empty. `source` says where it is from, or why it is unknown.
    """

    session_date: Id
    as_of_date: Annotated[str, Meta(max_length=10)]
    vix_hundredths: Annotated[int, Meta(ge=0, le=100_000)]
    source: Text


# --- session -----------------------------------------------------------------------------------------------------


class SessionPlanned(Message, frozen=True, kw_only=True):
    """The trading day, by the exchange's calendar, with the operator's start times resolved to UTC instants."""

    session_date: Id
    open_ns: Ns
    close_ns: Ns
    is_half_day: bool
    is_trading_day: bool
    start_open_ns: Ns
    start_mid_ns: Ns
    start_close_ns: Ns
    flatten_ns: Ns


# --- strategy ----------------------------------------------------------------------------------------------------


class SignalRaised(Message, frozen=True, kw_only=True):
    """A strategy wants a position. `instrument` is what to buy: the symbol; when bearish its inverse ETF, or a put.

    `leverage` is how many times as far as the symbol the instrument moves; `trail_bps` is widened by it already.
    """

    signal_id: Id
    session_date: Id
    strategy: StrategyName
    symbol: Symbol
    direction: Direction
    instrument: Symbol
    reference_micros: PriceMicros
    trail_bps: Annotated[int, Meta(ge=1, le=5000)]
    expires_ns: Ns
    exit_at_ns: Ns
    reasons: tuple[Reason, ...]
    leverage: Annotated[int, Meta(ge=1, le=3)] = 1


class ExitSignalled(Message, frozen=True, kw_only=True):
    """A strategy wants what its signal bought sold now, before its planned exit; said once for each signal."""

    signal_id: Id
    session_date: Id
    strategy: StrategyName
    symbol: Symbol
    direction: Direction
    detail: Text
    reasons: tuple[Reason, ...]


class SignalSuppressed(Message, frozen=True, kw_only=True):
    """A strategy saw a signal, or began a day, and by a setting or a missing fact did not raise it."""

    session_date: Id
    strategy: StrategyName
    symbol: Symbol
    direction: Direction
    rule: Id
    detail: Text


class RangeCompleted(Message, frozen=True, kw_only=True):
    """The opening ranges are known. Parallel tuples: symbol i had high i and low i; incomplete names are absent."""

    session_date: Id
    symbols: tuple[Symbol, ...]
    highs_micros: tuple[PriceMicros, ...]
    lows_micros: tuple[PriceMicros, ...]


# --- risk --------------------------------------------------------------------------------------------------------


class SubmitOrder(Message, frozen=True, kw_only=True):
    """Risk's approval of an entry, with its protection and its exit. One order per `intent_id`, ever.

    `reference_micros` is the ask it was sized at, and what its reservation counts per share until it fills.
    `expires_ns`: not sent later than this; `cancel_at_ns`: what is unfilled then is cancelled; `exit_at_ns`: what is
    held then is sold. `target_micros`: what is held is sold when the bid reaches it; 0 = no target.
    """

    intent_id: Id
    session_date: Id
    strategy: OrderOwner
    symbol: Symbol
    side: Side
    qty_nanos: Nanos
    order_type: OrderType
    limit_micros: PriceMicros
    reference_micros: PriceMicros
    trail_bps: Annotated[int, Meta(ge=1, le=5000)]
    expires_ns: Ns
    cancel_at_ns: Ns
    exit_at_ns: Ns
    reason: Text
    target_micros: PriceMicros = 0


class CloseIntent(Message, frozen=True, kw_only=True):
    """Sell what this intent holds and cancel what is unfilled of it, as at its planned exit; it only ever reduces."""

    intent_id: Id
    session_date: Id
    reason: Text


class OrderDenied(Message, frozen=True, kw_only=True):
    """Risk's refusal: the rule, what was found, and the limit it broke."""

    intent_id: Id
    session_date: Id
    strategy: StrategyName
    symbol: Symbol
    side: Side
    rule: Id
    value: Text
    limit: Text


class KillSwitchTripped(Message, frozen=True, kw_only=True):
    """The day's loss went beyond DAILY_LOSS_LIMIT. The chain halts; amounts in micro-dollars.

    `peak_micros` is the day's best result that the loss is counted from, 0 where it is counted from the day's start.
    """

    session_date: Id
    pnl_micros: Micros
    limit_micros: Micros
    peak_micros: Micros = 0


class ResultPeaked(Message, frozen=True, kw_only=True):
    """The day's result is better than ever before in the session; kept for DAILY_LOSS_FROM peak, in micro-dollars.

    The peak is rounded up to a hundredth of the loss limit, so that a rise is said a few times and not at each quote.
    """

    session_date: Id
    peak_micros: Micros


# --- execution ---------------------------------------------------------------------------------------------------


class OrderPrepared(Message, frozen=True, kw_only=True):
    """An order is on disk under its client id; the write to the broker comes next, so after a crash it is looked up.

    `leg` says its part in the intent; `attempt` counts the orders of that leg from 1. `reference_micros` and
    `target_micros` are those of the request, on an entry alone.
    """

    client_order_id: Id
    intent_id: Id
    leg: Leg
    attempt: int
    session_date: Id
    strategy: OrderOwner
    symbol: Symbol
    side: Side
    qty_nanos: Nanos
    order_type: OrderType
    limit_micros: PriceMicros
    stop_micros: PriceMicros
    trail_bps: int
    expires_ns: Ns
    cancel_at_ns: Ns
    exit_at_ns: Ns
    reason: Text
    reference_micros: PriceMicros = 0
    target_micros: PriceMicros = 0


class OrderUnknown(Message, frozen=True, kw_only=True):
    """Nobody can say yet whether the broker has the order; its exposure stays reserved and it is looked up."""

    client_order_id: Id
    detail: Text


class OrderAccepted(Message, frozen=True, kw_only=True):
    """The broker has the order and works it."""

    client_order_id: Id
    broker_order_id: Id


class OrderRejected(Message, frozen=True, kw_only=True):
    """The broker refused the order, with its own words."""

    client_order_id: Id
    detail: Text


class OrderExpired(Message, frozen=True, kw_only=True):
    """The order was never sent: too late, halted, or disarmed."""

    client_order_id: Id
    detail: Text


class OrderFilled(Message, frozen=True, kw_only=True):
    """One execution at the broker, booked once by `execution_id`. Carries all that the ledger and risk need."""

    execution_id: Id
    client_order_id: Id
    broker_order_id: Id
    intent_id: Id
    leg: Leg
    session_date: Id
    strategy: OrderOwner
    symbol: Symbol
    side: Side
    qty_nanos: Nanos
    price_micros: PriceMicros
    commission_micros: Micros
    cumulative_qty_nanos: Nanos
    order_qty_nanos: Nanos
    broker: Id
    reason: Text


class FillReversed(Message, frozen=True, kw_only=True):
    """The broker took an execution back, whole; the other fields are those it was booked with, `detail` is why.

    Told once for each `execution_id`. Where the broker corrected one, `is_correction`, and the right one follows as an
    OrderFilled with an id of its own.
    """

    execution_id: Id
    client_order_id: Id
    intent_id: Id
    leg: Leg
    session_date: Id
    strategy: OrderOwner
    symbol: Symbol
    side: Side
    qty_nanos: Nanos
    price_micros: PriceMicros
    commission_micros: Micros
    broker: Id
    is_correction: bool
    detail: Text


class CancelRequested(Message, frozen=True, kw_only=True):
    """We ask the broker to cancel; until it confirms, the order may still fill."""

    client_order_id: Id
    detail: Text


class OrderCancelled(Message, frozen=True, kw_only=True):
    """The broker confirmed the cancel; `filled_qty_nanos` is what was filled before."""

    client_order_id: Id
    filled_qty_nanos: Nanos
    detail: Text


class IntentClosed(Message, frozen=True, kw_only=True):
    """Nothing of this intent is open any more: no working order, no position."""

    intent_id: Id
    symbol: Symbol


class CashMoved(Message, frozen=True, kw_only=True):
    """Money entered (positive) or left (negative) the broker account; booked once by `activity_id`.

    `symbol` is whose dividend it is, empty where there is none.
    """

    activity_id: Id
    kind: CashKind
    amount_micros: Micros
    broker: Id
    symbol: Text = ""


class ContractsExpired(Message, frozen=True, kw_only=True):
    """Contracts that the bot held are gone for nothing: their last day is over; booked once by `activity_id`."""

    activity_id: Id
    symbol: Symbol
    qty_nanos: Annotated[int, Meta(ge=1, le=2**62)]
    broker: Id


class ContractsExercised(Message, frozen=True, kw_only=True):
    """Contracts that the bot held were exercised at the broker, by a person or by rule; booked once by `activity_id`.

    A put sells its shares at the strike, a call buys them; both stand in the OCC symbol.
    """

    activity_id: Id
    symbol: Symbol
    qty_nanos: Annotated[int, Meta(ge=1, le=2**62)]
    broker: Id


class SharesSplit(Message, frozen=True, kw_only=True):
    """Every `denominator` shares of a symbol became `numerator`; told once by `activity_id`, whoever holds them."""

    activity_id: Id
    symbol: Symbol
    numerator: Annotated[int, Meta(ge=1, le=10**9)]
    denominator: Annotated[int, Meta(ge=1, le=10**9)]
    broker: Id


class AccountReported(Message, frozen=True, kw_only=True):
    """What the broker says the account holds: cash, and positions as parallel tuples; a short one is below zero.

    `buying_power_micros` is what the broker would let it buy; with a margin account more than its cash.
    """

    session_date: Id
    broker: Id
    cash_micros: Micros
    buying_power_micros: Micros
    symbols: tuple[Symbol, ...]
    qtys_nanos: tuple[SignedNanos, ...]


class AccountStated(Message, frozen=True, kw_only=True):
    """What the broker says the account holds while nothing trades and every execution is told: to compare books with.

    Positions are parallel tuples; a short one is below zero. `occasion` is the end of a session or an operator's order.
    `working_orders` is how many orders of the bot stand at the broker meanwhile, such as stops that protect over night.
    """

    session_date: Id
    broker: Id
    occasion: Literal["close", "demand"]
    cash_micros: Micros
    symbols: tuple[Symbol, ...]
    qtys_nanos: tuple[SignedNanos, ...]
    working_orders: int = 0


class AssetLine(Item, frozen=True, kw_only=True):
    """What the broker lets the account do with one symbol."""

    symbol: Symbol
    is_tradable: bool
    is_fractionable: bool
    is_shortable: bool


class AssetsReported(Message, frozen=True, kw_only=True):
    """What the broker says of symbols, at most 500 in one message; a later line of a symbol replaces an earlier one."""

    session_date: Id
    broker: Id
    assets: tuple[AssetLine, ...]


# --- ledger ------------------------------------------------------------------------------------------------------


class PostingLine(Item, frozen=True, kw_only=True):
    """One line of an entry: debit positive, credit negative, in the commodity's own integer scale."""

    account: Id
    commodity: Symbol
    amount: int


class TradeLine(Item, frozen=True, kw_only=True):
    """What the broker told of the trade that an entry books, for reports; `gross_micros` is before all costs."""

    side: Side
    symbol: Symbol
    qty_nanos: Nanos
    price_micros: PriceMicros
    gross_micros: Micros
    commission_micros: Micros
    fees_micros: Micros
    order_id: Text
    fill_id: Text
    strategy: Text
    leg: Text
    venue: Text


class EntryPosted(Message, frozen=True, kw_only=True):
    """A balanced entry is in the ledger. `gain_micros` is the realized gain it booked, 0 for entries without.

    `reverses_seq` is the entry that this one takes back, 0 for all others; `trade` is there for fills alone.
    """

    seq: int
    event_type: Id
    source_event_id: Id
    description: Text
    symbol: str
    gain_micros: Micros
    lines: tuple[PostingLine, ...]
    reverses_seq: int = 0
    trade: TradeLine | None = None


class BooksCompared(Message, frozen=True, kw_only=True):
    """The books beside what the broker stated. Parallel tuples: symbol i is held so at the broker and in the books.

    What the broker has beyond the books is not the bot's; what it has less is a difference, as all of cash is.
    `detail` says in words what differs, empty where nothing does.
    """

    broker: Id
    occasion: Literal["close", "demand"]
    cash_told_micros: Micros
    cash_booked_micros: Micros
    symbols: tuple[Symbol, ...]
    told_nanos: tuple[SignedNanos, ...]
    booked_nanos: tuple[SignedNanos, ...]
    detail: Text


class EntrySuspended(Message, frozen=True, kw_only=True):
    """The ledger cannot book what it was told; nothing was written, and the reason is shown until resolved."""

    source_event_id: Id
    detail: Text


# --- holdings ----------------------------------------------------------------------------------------------------

Purpose = Literal["TAX", "PAYROLL"]


class HoldingsWindowOpened(Message, frozen=True, kw_only=True):
    """The strategies are out of the market for this session: the holdings may be dealt in until `until_ns`."""

    session_date: Id
    until_ns: Ns


class FundsQuoteRequested(Message, frozen=True, kw_only=True):
    """The holdings ask risk for the market and the account as it knows them; answered once, by `request_id`."""

    request_id: Id
    session_date: Id
    symbols: Annotated[tuple[Symbol, ...], Meta(max_length=40)]


class FundQuote(Item, frozen=True, kw_only=True):
    """One fund as risk knows it. A price of 0 = there is none that is fresh; `held_nanos` is what the broker holds."""

    symbol: Symbol
    bid_micros: PriceMicros
    ask_micros: PriceMicros
    is_tradable: bool
    is_fractionable: bool
    held_nanos: SignedNanos


class FundsQuoted(Message, frozen=True, kw_only=True):
    """Risk's answer. `refusal` says why nothing may be dealt in now, and is empty when it may.

    `cash_micros` is the account's cash, reserves included, by the broker's report and the fills since.
    """

    request_id: Id
    session_date: Id
    quotes: tuple[FundQuote, ...]
    cash_micros: Micros
    refusal: Text


class BooksRequested(Message, frozen=True, kw_only=True):
    """The holdings ask the ledger how the books stand; `booked` are events that should be in them by now."""

    request_id: Id
    session_date: Id
    booked: tuple[Id, ...]


class LotLine(Item, frozen=True, kw_only=True):
    """An open lot, oldest first within its symbol; `closed_nanos` is what sales have taken of it."""

    symbol: Symbol
    qty_nanos: Nanos
    cost_micros: Micros
    closed_nanos: Nanos


class BookedFill(Item, frozen=True, kw_only=True):
    """An event that was asked for, as it is booked: the entry's number, what it moved in cash, and its gain."""

    event_id: Id
    seq: int
    amount_micros: Micros
    gain_micros: Micros


class BooksReported(Message, frozen=True, kw_only=True):
    """The ledger's answer, as of entry `seq`. `missing` are the events asked for that are not booked yet.

    `cash_micros` is what may be spent: settled and outside of the reserves. `gain_micros` is every realized gain ever
    booked, less commissions and fees, without dividends and interest. `lots` are those of the holdings' book;
    `suspended` counts what the ledger could not book.
    """

    request_id: Id
    session_date: Id
    seq: int
    cash_micros: Micros
    unsettled_micros: Micros
    tax_reserve_micros: Micros
    payroll_reserve_micros: Micros
    gain_micros: Micros
    lots: tuple[LotLine, ...]
    booked: tuple[BookedFill, ...]
    missing: tuple[Id, ...]
    suspended: int


class FundLine(Item, frozen=True, kw_only=True):
    """One fund of the holdings: what it is worth, and its weight beside its target, in basis points of all funds."""

    symbol: Symbol
    qty_nanos: Nanos
    price_micros: PriceMicros
    value_micros: Micros
    weight_bps: int
    target_bps: int


NightStep = Literal["ALLOCATE", "SELL_FOR_REBALANCE", "SELL_FOR_FLOAT", "BUY"]


class NightStepped(Message, frozen=True, kw_only=True):
    """A run of the holdings takes a step, on these facts: the portfolio before it, with every weight and target.

    `step` numbers them from 1. `total_micros` is free cash and funds, what the float is a part of; `unplaced` says what
    of a purchase no order can be made for.
    """

    run_id: Id
    step: int
    kind: NightStep
    is_rebalance: bool
    cash_micros: Micros
    unsettled_micros: Micros
    total_micros: Micros
    float_target_micros: Micros
    due_micros: Micros
    funds: tuple[FundLine, ...]
    unplaced: Text


class HoldingsRunAsked(Message, frozen=True, kw_only=True):
    """An operator asked for a run of the holdings, and whether it puts the funds on their targets."""

    operator: Id
    reason: Text
    is_rebalance: bool


class NightBegan(Message, frozen=True, kw_only=True):
    """A run of the holdings begins; one for each trading day, and those that an operator asks for."""

    run_id: Id
    session_date: Id
    is_rebalance_due: bool
    until_ns: Ns
    is_asked: bool = False


class GainsAllocated(Message, frozen=True, kw_only=True):
    """A gain was allocated, with every figure of it; what is `_funded` moves into the reserves."""

    run_id: Id
    step: int
    gain_micros: Micros
    carry_before_micros: Micros
    base_micros: Micros
    tax_micros: Micros
    payroll_micros: Micros
    tax_funded_micros: Micros
    payroll_funded_micros: Micros
    carry_micros: Micros
    tax_due_micros: Micros
    payroll_due_micros: Micros


class ReserveAllocated(Message, frozen=True, kw_only=True):
    """Cash is set aside for a purpose: the ledger books it under `activity_id`. `basis` says from what."""

    activity_id: Id
    session_date: Id
    purpose: Purpose
    amount_micros: Micros
    basis: Text
    broker: Id


class ReservesStated(Message, frozen=True, kw_only=True):
    """What the books hold apart from the float, said whenever it changes: nobody may trade with it."""

    tax_micros: Micros
    payroll_micros: Micros


class ReservePaidOut(Message, frozen=True, kw_only=True):
    """A reserve was paid out: the ledger has booked it as entry `seq`, under `activity_id`. Balances are after it."""

    activity_id: Id
    purpose: Purpose
    amount_micros: Micros
    operator: Id
    reason: Text
    seq: int
    cash_micros: Micros
    tax_reserve_micros: Micros
    payroll_reserve_micros: Micros


class HoldingsOrderRequested(Message, frozen=True, kw_only=True):
    """The holdings want to buy or sell a fund at the market. One order per `intent_id`, ever; each gets an answer."""

    intent_id: Id
    session_date: Id
    symbol: Symbol
    side: Side
    qty_nanos: Nanos
    reference_micros: PriceMicros
    reason: Text


class HoldingsOrderDenied(Message, frozen=True, kw_only=True):
    """Risk's refusal of an order of the holdings: the rule, what was found, and the limit it broke."""

    intent_id: Id
    session_date: Id
    symbol: Symbol
    side: Side
    rule: Id
    value: Text
    limit: Text


class HoldingsOrderEnded(Message, frozen=True, kw_only=True):
    """Nothing of an order of the holdings can fill any more; `detail` says why it ended when it is not filled whole."""

    intent_id: Id
    session_date: Id
    symbol: Symbol
    side: Side
    filled_nanos: Nanos
    execution_ids: tuple[Id, ...]
    detail: Text


class NightEnded(Message, frozen=True, kw_only=True):
    """A run is over: done, or skipped because of what `detail` says. `watermark_seq` is the last entry it allocated."""

    run_id: Id
    session_date: Id
    outcome: Literal["DONE", "SKIPPED"]
    detail: Text
    watermark_seq: int
    is_rebalance: bool


# --- what operators ask of the ledger ----------------------------------------------------------------------------


class ChangeCoa(OperatorCommand, frozen=True, kw_only=True):
    """Change one account of the chart of accounts: the ledger checks it, and makes it the next version.

    `coa_version` is the version that the operator saw; another one by now is a refusal. `add` takes everything;
    `rename` takes `name`, `move` takes `parent` (empty = the top), `deactivate` and `activate` take the code alone.
    `is_heading`: the new account groups others and takes no postings.
    """

    coa_version: int
    action: Literal["add", "rename", "move", "deactivate", "activate"]
    code: Id
    name: Text = ""
    parent: Text = ""
    account_type: Literal["ASSET", "LIABILITY", "EQUITY", "INCOME", "EXPENSE"] = "ASSET"
    is_heading: bool = False


class ReverseEntry(OperatorCommand, frozen=True, kw_only=True):
    """Take one entry of the ledger back whole; nothing is edited, and the right figures are told anew."""

    entry_seq: Annotated[int, Meta(ge=1)]


class ExplainSuspense(OperatorCommand, frozen=True, kw_only=True):
    """Move an amount from suspense (1900) to the account where it belongs; `reason` says what it was."""

    amount_micros: Micros
    account: Id


class BookWashSales(OperatorCommand, frozen=True, kw_only=True):
    """Work the wash sales of a tax year out anew by one rule, and book them as the next version of the tax view.

    The economic gains of the books stay as they are. Nothing is booked where the newest version says the same.
    """

    year: Annotated[int, Meta(ge=1, le=9999)]
    rule: Literal["us-same-security-1", "us-with-calls-1"] = "us-same-security-1"


class ReconcileNow(OperatorCommand, frozen=True, kw_only=True):
    """Ask the broker for cash and positions now, and let the ledger compare them with the books."""


class TellActivity(OperatorCommand, frozen=True, kw_only=True):
    """Tell what changed the account without a trade where the broker does not: execution says it as if it had.

    Money has `amount_micros`, above zero whether it came or went, and of a dividend its `symbol`; SPLIT has `numerator`
    new shares for `denominator` old ones; EXERCISE and EXPIRY have `qty_nanos` contracts. `day` is the UTC day on which
    it was, such as 2025-03-12; empty = now. The same thing told again changes nothing.
    """

    kind: Literal[CashKind, "SPLIT", "EXERCISE", "EXPIRY"]
    symbol: Text = ""
    amount_micros: Annotated[int, Meta(ge=0, le=2**62)] = 0
    qty_nanos: Annotated[int, Meta(ge=0, le=2**62)] = 0
    numerator: Annotated[int, Meta(ge=0, le=10**6)] = 0
    denominator: Annotated[int, Meta(ge=0, le=10**6)] = 0
    day: Text = ""


class RunHoldings(OperatorCommand, frozen=True, kw_only=True):
    """Run the long-term holdings now where their window is open, else in the next one; `is_rebalance`: on target."""

    is_rebalance: bool


class PayReserve(OperatorCommand, frozen=True, kw_only=True):
    """Book that a reserve was paid out to whom it was kept for; never more than it holds. `reason` says to whom.

    `is_withdrawn`: the broker's withdrawal is in the books already; else the next ones carry it.
    """

    purpose: Purpose
    is_withdrawn: bool
    amount_micros: Annotated[int, Meta(ge=1, le=2**62)]


class PreviewHoldings(OperatorRequest, frozen=True, kw_only=True):
    """Ask what a run would do at the newest books and prices that the holdings know; the body is lines of JSON text."""

    is_rebalance: bool


class AskLedger(OperatorRequest, frozen=True, kw_only=True):
    """A question to the books; the answer is a LedgerPage of at most `rows_max` rows. docs/protocol.md has the kinds.

    Days are UTC days as text, such as 2025-03-12, first and last included; empty = no limit. `text` is searched in
    descriptions, symbols and source ids. Amounts are dollars on one line, without its sign. `order` is a client order
    id; `trace` takes several, with commas. `version` and `version_before` are versions of the chart of accounts, 0 =
    the newest and the one before.
    """

    kind: LedgerKind
    first_day: Text = ""
    last_day: Text = ""
    account: Text = ""
    symbol: Text = ""
    text: Text = ""
    amount_min_micros: Micros | None = None
    amount_max_micros: Micros | None = None
    order: Text = ""
    entry_seq: int = 0
    version: int = 0
    version_before: int = 0
    page: Annotated[int, Meta(ge=1, le=10**9)] = 1
    rows_max: Annotated[int, Meta(ge=1, le=LEDGER_ROWS_MAX)] = 50


class LedgerPage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One page of an answer of the books, as JSON in the answer's body.

    A row has a cell for each column. Money is in micro-dollars, units are text, times are UTC text. `totals` are rows
    of their own over all pages.
    """

    kind: LedgerKind
    page: int
    pages: int
    rows_total: int
    columns: tuple[str, ...]
    rows: tuple[tuple[LedgerCell, ...], ...]
    totals: tuple[tuple[LedgerCell, ...], ...] = ()
    note: str = ""


# --- halt, liveness, status --------------------------------------------------------------------------------------


class HaltRaised(Message, frozen=True, kw_only=True):
    """Stop. Sticky: only an operator re-arms. `counter` is the number of the halt record on disk."""

    counter: int
    source: ServiceName
    rule: Id
    detail: Text


class ChainArmed(Message, frozen=True, kw_only=True):
    """An operator armed the chain in the web UI: halts up to `halt_counter` are answered."""

    halt_counter: int
    operator: Id
    reason: Text


class ChainDisarmed(Message, frozen=True, kw_only=True):
    """An operator stopped the chain: no new positions; protection and exits go on."""

    detail: Text


class ResolveStream(OperatorCommand, frozen=True, kw_only=True):
    """An operator's command to a receiver: go on with a stopped stream. Taken once, and only while it is fresh.

    `accept_history` takes the sender's present numbering as the truth after the books were compared;
    `skip_message` passes over the one message at `seq` that could not be taken.
    """

    sender: ServiceName
    action: Literal["accept_history", "skip_message"]
    seq: int


class StreamResolved(Message, frozen=True, kw_only=True):
    """An operator's command was carried out: the stream from `sender` goes on after `seq`."""

    command_id: Id
    operator: Id
    reason: Text
    sender: ServiceName
    action: Literal["accept_history", "skip_message"]
    epoch: Id
    seq: int


class StoppedStream(Item, frozen=True, kw_only=True):
    """A stream that its receiver takes nothing more from until an operator decides; `seq` is where it stands."""

    sender: ServiceName
    rule: Literal["regressed_producer", "lost_history", "poison_message", "forbidden_message"]
    seq: int
    detail: Text


class Heartbeat(Message, frozen=True, kw_only=True):
    """A service is alive: sent four times a second, and at once when it has taken a halt. Ages in milliseconds.

    `dropped_messages` counts market data and status that came in masses while the service waited for somebody outside;
    `market_holes` how often numbers of market data were missing.
    `halt_counter` is the newest halt that the service has acted on. `reconciled_ms` is how long ago its view and the
    broker's agreed, -1 when they do not or nobody has compared them; only execution compares. `ends` marks the last
    heartbeat of a service that was told to stop. `remark` is what else a person should see, such as the live feed's
    lag.
    """

    service: ServiceName
    build: Id
    boot_id: Id
    pid: int
    step: int
    state: Text
    outbox_depth: int
    oldest_unacked_ms: int
    rejected_messages: int
    refused_connections: int = 0
    dropped_messages: int = 0
    market_holes: int = 0
    halt_counter: int = 0
    reconciled_ms: int = -1
    ends: bool = False
    stopped_streams: tuple[StoppedStream, ...] = ()
    remark: str = ""


class Lease(Message, frozen=True, kw_only=True):
    """Permission to send orders until `expires_boot_ns` (CLOCK_BOOTTIME of this host), for this halt counter."""

    issuer: ServiceName
    seq: int
    halt_counter: int
    expires_boot_ns: Ns


class ServiceHealth(Item, frozen=True, kw_only=True):
    """One line of the service table; `market_holes` as in its heartbeat."""

    service: ServiceName
    status: Literal["up", "stale", "down", "never seen"]
    pid: int
    age_ms: int
    restarts: int
    step: int
    outbox_depth: int
    detail: Text
    market_holes: int = 0


class ChainStatus(Message, frozen=True, kw_only=True):
    """The watchdog's view of the whole chain, in words a person can act on.

    `state` says what the chain may do, `bot_state` where it is in its life and its day. `stopped` and `goes_on` say
    in plain words what the state keeps from happening and what it does not. `clock_drift_ms` is how far the wall clock
    has moved against the boot clock since the watchdog's start.
    """

    state: ChainState
    bot_state: BotState
    stopped: Text
    goes_on: Text
    detail: Text
    session_date: str
    halt_counter: int
    armed_by: str
    services: tuple[ServiceHealth, ...]
    clock_drift_ms: int = 0


class HoldingsSnapshot(Message, frozen=True, kw_only=True):
    """The long-term holdings as their service knew them last; `as_of_date` is empty before the first night.

    `cash_micros` is free cash without the reserves; `due_micros` is owed to them and not funded yet. `phase` says what
    the night waits for, `outcome` how the last one ended, `next_rebalance` from which day the next one is due.
    """

    as_of_date: str
    phase: Text
    outcome: Text
    cash_micros: Micros
    float_target_micros: Micros
    tax_reserve_micros: Micros
    payroll_reserve_micros: Micros
    due_micros: Micros
    carry_micros: Micros
    funds: tuple[FundLine, ...]
    last_rebalance: str
    next_rebalance: str


class PositionLine(Item, frozen=True, kw_only=True):
    """One open position with its mark; `stop_micros` 0 = no stop rests yet."""

    intent_id: Id
    strategy: OrderOwner
    symbol: Symbol
    qty_nanos: Nanos
    entry_micros: PriceMicros
    last_micros: PriceMicros
    pnl_micros: Micros


class PortfolioSnapshot(Message, frozen=True, kw_only=True):
    """Risk's view of the account: equity, the day's result and the limits it is measured against.

    The loss is counted from `peak_micros`: the day's best result with DAILY_LOSS_FROM peak, otherwise 0. `trades` is
    how many entries were approved in the session, of `trades_max` (MAX_TRADES_PER_DAY).
    """

    session_date: str
    start_equity_micros: Micros
    equity_micros: Micros
    realized_micros: Micros
    unrealized_micros: Micros
    loss_limit_micros: Micros
    allocated_micros: Micros
    allocation_limit_micros: Micros
    positions: tuple[PositionLine, ...]
    denied: tuple[OrderDenied, ...]
    denied_total: int
    peak_micros: Micros = 0
    trades: int = 0
    trades_max: int = 0


class OrderLine(Item, frozen=True, kw_only=True):
    """One order as execution knows it; `stop_micros` is where a stop rests now."""

    client_order_id: Id
    intent_id: Id
    leg: Leg
    strategy: OrderOwner
    symbol: Symbol
    side: Side
    qty_nanos: Nanos
    filled_nanos: Nanos
    average_micros: PriceMicros
    order_type: OrderType
    stop_micros: PriceMicros
    state: Id
    reason: Text
    ts_ns: Ns


class StopLine(Item, frozen=True, kw_only=True):
    """What protects an open position: where its stop stands now, the lowest one where there are several.

    `trail_bps` is how far it follows below the best price. `broker_nanos` is how much of the position a stop order at
    the broker covers, `bot_nanos` how much the bot alone watches.
    """

    intent_id: Id
    stop_micros: PriceMicros
    trail_bps: int
    broker_nanos: Nanos
    bot_nanos: Nanos


class OrdersSnapshot(Message, frozen=True, kw_only=True):
    """Execution's orders of the day: the newest 150, oldest first.

    `drain` says how far the cancelling of open orders is after a halt or without leases; empty when nothing is
    cancelled. `external` says what is at the broker that is not the bot's; it is counted and never touched. `warnings`
    says what else keeps entries back or needs a person: the broker's clock, its rate, its fence, a sale that is late,
    and which positions only this process protects. `stops` has one line for each open position that is protected.
    """

    orders: tuple[OrderLine, ...]
    orders_total: int
    drain: Text = ""
    external: Text = ""
    warnings: Text = ""
    stops: tuple[StopLine, ...] = ()


class LedgerSnapshot(Message, frozen=True, kw_only=True):
    """The books: how many entries, and the largest imbalance of any commodity (always 0)."""

    ledger: Text
    entries: int
    imbalance: int
    cash_micros: Micros
    realized_micros: Micros
    suspended: int


MarketMessage = QuoteBatch | BarBatch | PastBars | FeedEnded
ReliableMessage = (
    CandidatesRanked
    | OptionsListed
    | VixObserved
    | SessionPlanned
    | SignalRaised
    | ExitSignalled
    | SignalSuppressed
    | RangeCompleted
    | SubmitOrder
    | CloseIntent
    | OrderDenied
    | KillSwitchTripped
    | ResultPeaked
    | OrderPrepared
    | OrderUnknown
    | OrderAccepted
    | OrderRejected
    | OrderExpired
    | OrderFilled
    | FillReversed
    | CancelRequested
    | OrderCancelled
    | IntentClosed
    | CashMoved
    | ContractsExpired
    | ContractsExercised
    | SharesSplit
    | AccountReported
    | AccountStated
    | AssetsReported
    | EntryPosted
    | BooksCompared
    | EntrySuspended
    | HaltRaised
    | ChainArmed
    | ChainDisarmed
    | ResolveStream
    | StreamResolved
    | HoldingsWindowOpened
    | FundsQuoteRequested
    | FundsQuoted
    | BooksRequested
    | BooksReported
    | HoldingsRunAsked
    | NightBegan
    | NightStepped
    | GainsAllocated
    | ReserveAllocated
    | ReservePaidOut
    | ReservesStated
    | HoldingsOrderRequested
    | HoldingsOrderDenied
    | HoldingsOrderEnded
    | NightEnded
    | ChangeCoa
    | ReverseEntry
    | ExplainSuspense
    | BookWashSales
    | ReconcileNow
    | TellActivity
    | RunHoldings
    | PayReserve
    | PreviewHoldings
    | AskLedger
)
StatusMessage = Heartbeat | Lease | ChainStatus | PortfolioSnapshot | OrdersSnapshot | LedgerSnapshot | HoldingsSnapshot
AnyMessage = MarketMessage | ReliableMessage | StatusMessage

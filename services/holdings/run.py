"""One run of the holdings, from its beginning to its end: what it has heard, and what it waits for. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bus.messages import (
    NANOS,
    BooksReported,
    FundsQuoted,
    HoldingsOrderDenied,
    HoldingsOrderEnded,
    HoldingsOrderRequested,
    LotLine,
    NightStep,
    NightStepped,
)
from config.holdings import HoldingsSettings
from services.holdings.night import Night
from services.holdings.portfolio import Fund, Lot, Portfolio, Reserves, portfolio_of


class Phase(StrEnum):
    """What a run waits for."""

    PLANNED = "PLANNED"
    SELLING = "SELLING"
    ALLOCATED = "ALLOCATED"
    BUYING = "BUYING"
    DONE = "DONE"


#: The life of a run: what may follow what. A run that cannot go on is DONE from wherever it is.
TABLE: Final[dict[Phase, frozenset[Phase]]] = {
    # Every run begins with an allocation, and every sale is followed by one: its gain is tonight's too.
    Phase.PLANNED: frozenset({Phase.ALLOCATED, Phase.DONE}),
    Phase.SELLING: frozenset({Phase.ALLOCATED, Phase.DONE}),
    Phase.ALLOCATED: frozenset({Phase.SELLING, Phase.BUYING, Phase.DONE}),
    Phase.BUYING: frozenset({Phase.DONE}),
    Phase.DONE: frozenset(),
}


class Order(Struct, frozen=True, kw_only=True):
    """An order of the run; `end` is how it ended, None while it is open."""

    request: HoldingsOrderRequested
    end: HoldingsOrderEnded | HoldingsOrderDenied | None = None

    @property
    def execution_ids(self) -> tuple[str, ...]:
        """Return the fills that the ledger should have booked."""
        return self.end.execution_ids if isinstance(self.end, HoldingsOrderEnded) else ()

    @property
    def is_whole(self) -> bool:
        """Tell whether it was filled whole."""
        return isinstance(self.end, HoldingsOrderEnded) and self.end.filled_nanos >= self.request.qty_nanos

    @property
    def words(self) -> str:
        """Return why it was not filled whole; empty where it was."""
        match self.end:
            case None:
                return f"{self.request.symbol}: still open"
            case HoldingsOrderDenied():
                return f"{self.request.symbol}: denied: {self.end.value}; allowed: {self.end.limit} ({self.end.rule})"
            case HoldingsOrderEnded():
                return "" if self.is_whole else f"{self.request.symbol}: {self.end.detail or 'filled in part'}"


class Run(Struct, frozen=True, kw_only=True):
    """A run as its events leave it.

    `round` numbers the questions that were asked; `books` and `quotes` are the answers to the newest, None until they
    are there. `kind` is the step that was taken last and `orders` are those of it. `sold` are the funds sold so far.
    `unfilled` says in words what was ordered and not filled. `is_asked`: an operator asked for its rebalance.
    """

    run_id: str
    session_date: str
    until_ns: int
    is_rebalance_due: bool
    is_asked: bool = False
    phase: Phase = Phase.PLANNED
    round: int = 0
    books: BooksReported | None = None
    quotes: FundsQuoted | None = None
    kind: NightStep | None = None
    steps: int = 0
    is_rebalance: bool = False
    is_allocated: bool = False
    is_rebalance_sold: bool = False
    sold: tuple[str, ...] = ()
    passes: int = 0
    is_bought: bool = False
    orders: Mapping[str, Order] = {}
    unfilled: tuple[str, ...] = ()

    @property
    def request_id(self) -> str:
        """Return the id of the newest question."""
        return f"{self.run_id}:{self.round}"

    @property
    def open_orders(self) -> tuple[Order, ...]:
        """Return the orders of the present step that have not ended."""
        return tuple(order for order in self.orders.values() if order.end is None)

    @property
    def fills(self) -> tuple[str, ...]:
        """Return the executions of the present step, which the ledger should have booked."""
        return tuple(one for order in self.orders.values() for one in order.execution_ids)

    def night(self, portfolio: Portfolio, gain_micros: int, *, is_rebalance: bool) -> Night:
        """Return how far the night is, with the portfolio as it is now."""
        return Night(
            portfolio=portfolio,
            gain_micros=None if self.is_allocated else gain_micros,
            is_rebalance=is_rebalance,
            is_rebalance_sold=self.is_rebalance_sold,
            sold=self.sold,
            passes=self.passes,
            is_bought=self.is_bought,
        )


def after_step(run: Run, event: NightStepped) -> Run:
    """Return the run after it has taken a step; a step with other orders forgets those of the one before."""
    phases = {"ALLOCATE": Phase.ALLOCATED, "BUY": Phase.BUYING}
    moved = replace(
        run,
        kind=event.kind,
        steps=event.step,
        is_rebalance=event.is_rebalance,
        is_rebalance_sold=run.is_rebalance_sold or event.kind == "SELL_FOR_REBALANCE",
        passes=run.passes + (event.kind == "SELL_FOR_FLOAT"),
        is_bought=run.is_bought or event.kind == "BUY",
        is_allocated=event.kind in {"ALLOCATE", "BUY"},
        orders={},
    )
    return replace(moved, phase=next_phase(run.phase, phases.get(event.kind, Phase.SELLING)))


def after_request(run: Run, event: HoldingsOrderRequested) -> Run:
    """Return the run after it has asked for an order."""
    sold = {*run.sold, event.symbol} if event.side == "SELL" else run.sold
    return replace(run, orders={**run.orders, event.intent_id: Order(request=event)}, sold=tuple(sorted(sold)))


def after_end(run: Run, event: HoldingsOrderEnded | HoldingsOrderDenied) -> Run:
    """Return the run after one of its orders has ended; the end of an older one changes nothing."""
    order = run.orders.get(event.intent_id)
    if order is None:
        return run
    ended = Order(request=order.request, end=event)
    words = (ended.words,) if ended.words else ()
    return replace(run, orders={**run.orders, event.intent_id: ended}, unfilled=(*run.unfilled, *words))


def next_phase(phase: Phase, wanted: Phase) -> Phase:
    """Return the phase after this one.

    Raises:
        ValueError: the table has no such row, a fault of the program.
    """
    if wanted not in TABLE[phase]:
        raise ValueError(f"a run that is {phase} cannot become {wanted}")
    return wanted


def portfolio_from(
    books: BooksReported, quotes: FundsQuoted, reserves: Reserves, settings: HoldingsSettings
) -> Portfolio:
    """Return the portfolio that the books and the market show.

    What may be spent is the smaller of what the books and what the broker have: a difference is for people to explain,
    and is not spent meanwhile.
    """
    lots = _lots_by_symbol(books.lots)
    weights = settings.weights_bps
    at_broker = quotes.cash_micros - books.tax_reserve_micros - books.payroll_reserve_micros
    return portfolio_of(
        min(books.cash_micros, at_broker),
        [
            Fund(
                symbol=quote.symbol,
                weight_bps=weights.get(quote.symbol, 0),
                price_micros=quote.bid_micros,
                ask_micros=quote.ask_micros,
                lots=tuple(lots.get(quote.symbol, ())),
                step_nanos=1 if quote.is_fractionable else NANOS,
                is_tradable=quote.is_tradable,
            )
            for quote in quotes.quotes
        ],
        reserves,
        books.unsettled_micros,
    )


def symbols_of(settings: HoldingsSettings, lots: Sequence[LotLine]) -> tuple[str, ...]:
    """Return every fund that has a target or is held, in order."""
    return tuple(sorted(settings.symbols | {lot.symbol for lot in lots}))


def fault_of(books: BooksReported, quotes: FundsQuoted) -> str:
    """Return why nothing may be decided on these facts; empty when it may."""
    if books.suspended:
        return f"the ledger could not book {books.suspended} event(s): resolve them on the ledger page"
    if quotes.refusal:
        return quotes.refusal
    lots = _lots_by_symbol(books.lots)
    for quote in quotes.quotes:
        booked = sum(lot.left_nanos for lot in lots.get(quote.symbol, ()))
        if booked != quote.held_nanos:
            shares = f"{booked} by the books and {quote.held_nanos} at the broker, in billionths of a share"
            return f"{quote.symbol}: {shares}; book what is missing, or bring it to the account"
        if not (quote.bid_micros and quote.ask_micros):
            return f"{quote.symbol} has no fresh price: nothing is decided on an old one"
    return ""


def _lots_by_symbol(lines: Sequence[LotLine]) -> dict[str, list[Lot]]:
    lots: dict[str, list[Lot]] = {}
    for line in lines:
        lot = Lot(qty_nanos=line.qty_nanos, cost_micros=line.cost_micros, closed_nanos=line.closed_nanos)
        lots.setdefault(line.symbol, []).append(lot)
    return lots

"""Decide how fills and cash movements are booked: balanced lines, first-in-first-out cost, gain. Pure."""

from collections.abc import Sequence

from msgspec import Struct, field

from bus.messages import (
    CashMoved,
    EntryPosted,
    EntrySuspended,
    LedgerSnapshot,
    MarketMessage,
    Message,
    OrderFilled,
    StatusMessage,
)
from services.ledger import accounts
from services.ledger.figures import dollars, shares
from services.ledger.lots import (
    BrokenEntryError,
    Lot,
    after_closes,
    amount_on,
    close_first_in,
    closes_of,
    lot_move,
    units_open,
)
from services.ledger.recipes import Booking, Draft, booking_of, draft_buy, draft_cash, draft_sale, source_id
from services.ledger.settings import LedgerSettings

_TEXT_LENGTH_MAX = 400
#: Where the catalogue's Micros end, well inside SQLite's 64 bits.
_AMOUNT_MAX = 2**62


class LedgerState(Struct, kw_only=True):
    """The books as the core needs them. `evolve` alone changes it, in place: copies would be quadratic.

    `lots` holds open lots by commodity, oldest first; `sums` the total of each commodity over all accounts;
    `suspended` the reason by source event id.
    """

    last_seq: int = 0
    last_source_id: str = ""
    booked: dict[str, Booking] = field(default_factory=dict)
    suspended: dict[str, str] = field(default_factory=dict)
    lots: dict[str, tuple[Lot, ...]] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    cash_micros: int = 0
    realized_micros: int = 0


class LedgerCore:
    """The decider of the ledger. `ledger_name` is what the status topic calls the books."""

    def __init__(self, settings: LedgerSettings, ledger_name: str) -> None:
        self._settings = settings
        self._ledger_name = ledger_name

    def initial(self) -> LedgerState:
        """Return empty books."""
        return LedgerState()

    def observe(self, state: LedgerState, data: MarketMessage) -> LedgerState:
        """Ignore market data: the books hold cost, not prices."""
        return state

    def settle(self, state: LedgerState, now_ns: int) -> Sequence[Message]:
        """Return nothing: every event is booked when it is heard."""
        return ()

    def decide(self, state: LedgerState, message: Message, now_ns: int) -> Sequence[Message]:
        """Book a fill or a cash movement, once; what cannot be booked is suspended with its reason."""
        if not isinstance(message, OrderFilled | CashMoved):
            # The routes let nothing else through, so there is nothing else to book.
            return ()
        booked = state.booked.get(source_id(message))
        if booked is None:
            answer = self._draft(state, message)
        elif booked == booking_of(message):
            return ()
        else:
            answer = (
                f"It is booked as {booked.in_words()}, and is now told as {booking_of(message).in_words()}. "
                "The books keep the first; compare both with the broker's statement."
            )
        if isinstance(answer, str):
            return _suspend(state, message, answer, now_ns)
        return (_post(state, message, answer, now_ns),)

    def evolve(self, state: LedgerState, event: Message) -> LedgerState:
        """Fold an entry or a suspension into the books.

        Raises:
            BrokenEntryError: the journal skips an entry, or an entry contradicts the lots before it.
        """
        if isinstance(event, EntrySuspended):
            state.suspended[event.source_event_id] = event.detail
        elif isinstance(event, EntryPosted):
            _fold(state, event)
        return state

    def snapshot(self, state: LedgerState, now_ns: int) -> Sequence[StatusMessage]:
        """Return the books in one line. `realized_micros` is the gain of all time, before commissions."""
        return (
            LedgerSnapshot(
                ts_event=now_ns,
                ts_init=now_ns,
                ledger=self._ledger_name,
                entries=state.last_seq,
                imbalance=max((abs(total) for total in state.sums.values()), default=0),
                cash_micros=state.cash_micros,
                realized_micros=state.realized_micros,
                suspended=len(state.suspended),
            ),
        )

    def _draft(self, state: LedgerState, message: OrderFilled | CashMoved) -> Draft | str:
        """The entry to post, or the reason why there is none."""
        # BROKER_NAME: a ledger is the books of one broker account; another broker's events are not its own.
        if message.broker.casefold() != self._settings.broker_name.casefold():
            return (
                f"The event is from broker {message.broker}, but this ledger keeps the account at "
                f"{self._settings.broker_name} (BROKER_NAME). Find out which bot it belongs to."
            )
        if isinstance(message, CashMoved):
            return _cash_fault(message) or draft_cash(message)
        lots = state.lots.get(accounts.unit_commodity(message.symbol), ())
        if fault := _fill_fault(message):
            return fault
        if message.side == "BUY":
            return _buy_fault(message, lots) or draft_buy(message)
        return _sale_fault(message, lots) or draft_sale(message, lots)


def _cash_fault(moved: CashMoved) -> str:
    is_deposit = moved.kind == "DEPOSIT"
    if moved.amount_micros == 0 or (moved.amount_micros > 0) != is_deposit:
        return (
            f"{moved.kind} of {dollars(moved.amount_micros)} dollars: a deposit must be above zero and a "
            "withdrawal "
            f"below. Check activity {moved.activity_id} at the broker."
        )
    return ""


def _fill_fault(fill: OrderFilled) -> str:
    """Why no ledger could book this fill."""
    if fill.qty_nanos <= 0:
        return f"The fill of {fill.symbol} has no quantity. Look up execution {fill.execution_id} at the broker."
    booking = booking_of(fill)
    if max(abs(booking.cash_micros) + abs(fill.commission_micros), fill.qty_nanos) > _AMOUNT_MAX:
        return (
            f"The fill of {shares(fill.qty_nanos)} {fill.symbol} at {dollars(fill.price_micros)} is beyond "
            "what the "
            f"ledger can hold. Look up execution {fill.execution_id} at the broker."
        )
    return ""


def _buy_fault(fill: OrderFilled, lots: Sequence[Lot]) -> str:
    """Why this purchase cannot join the queue of open lots, which is in the order of acquisition."""
    if lots and fill.ts_event < lots[-1].acquired_ns:
        return (
            f"{shares(fill.qty_nanos)} {fill.symbol} were bought before shares that are already in the "
            "books. "
            "Lots enter in the order of their purchase: book it by hand, in order."
        )
    return ""


def _sale_fault(fill: OrderFilled, lots: Sequence[Lot]) -> str:
    """Why this sale does not fit the shares that the books hold."""
    if (held := units_open(lots)) < fill.qty_nanos:
        return (
            f"Sold {shares(fill.qty_nanos)} {fill.symbol}, but the books hold {shares(held)}. "
            "The position was opened outside this ledger, or its purchase is missing; short sales are not "
            "booked."
        )
    taken = close_first_in(lots, fill.qty_nanos, 0, fill.ts_event)
    if lots[taken[-1].index].acquired_ns > fill.ts_event:
        return f"{fill.symbol} was sold before the shares that it takes were bought. Book it by hand, in order."
    return ""


def _suspend(
    state: LedgerState, message: OrderFilled | CashMoved, detail: str, now_ns: int
) -> tuple[EntrySuspended, ...]:
    key, detail = source_id(message), detail[:_TEXT_LENGTH_MAX]
    # Told again for the same reason: it is shown already.
    if state.suspended.get(key) == detail:
        return ()
    made_ns = _made_ns(message, now_ns)
    return (EntrySuspended(ts_event=message.ts_event, ts_init=made_ns, source_event_id=key, detail=detail),)


def _post(state: LedgerState, message: OrderFilled | CashMoved, draft: Draft, now_ns: int) -> EntryPosted:
    booking = booking_of(message)
    return EntryPosted(
        ts_event=message.ts_event,
        ts_init=_made_ns(message, now_ns),
        seq=state.last_seq + 1,
        event_type=booking.event_type,
        source_event_id=source_id(message),
        description=draft.description,
        symbol=booking.symbol,
        gain_micros=draft.gain_micros,
        lines=draft.lines,
    )


def _made_ns(message: Message, now_ns: int) -> int:
    # The session's clock follows market data, which the ledger does not hear: the event's own time is the least.
    return max(now_ns, message.ts_init)


def _fold(state: LedgerState, entry: EntryPosted) -> None:
    if entry.seq != state.last_seq + 1:
        raise BrokenEntryError(
            f"The ledger service's journal has entry {entry.seq} after entry {state.last_seq}: an entry is "
            "missing "
            "or doubled. Restore state/ledger.db from a backup."
        )
    move = lot_move(entry)
    if move is not None:
        lots = state.lots.get(move.commodity, ())
        if move.units_nanos > 0:
            lots = (
                *lots,
                Lot(acquired_ns=entry.ts_event, qty_nanos=move.units_nanos, cost_micros=move.cost_micros),
            )
        else:
            lots = after_closes(lots, closes_of(entry, move, lots))
        state.lots[move.commodity] = lots
    for line in entry.lines:
        state.sums[line.commodity] = state.sums.get(line.commodity, 0) + line.amount
    cash = amount_on(entry, accounts.CASH)
    state.cash_micros += cash
    state.realized_micros += entry.gain_micros
    state.booked[entry.source_event_id] = Booking(
        event_type=entry.event_type,
        symbol=entry.symbol,
        units_nanos=move.units_nanos if move else 0,
        cash_micros=cash,
    )
    state.suspended.pop(entry.source_event_id, None)
    state.last_seq = entry.seq
    state.last_source_id = entry.source_event_id

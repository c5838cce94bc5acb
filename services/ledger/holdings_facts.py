"""What the ledger tells the long-term holdings: lots, reserves, all gains; and what they tell it. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from bus.messages import (
    BookedFill,
    BooksReported,
    BooksRequested,
    EntryPosted,
    LotLine,
    ReserveAllocated,
    ReservePaidOut,
    ReservesStated,
)
from services.ledger import accounts
from services.ledger.events import CashChanged, LedgerEvent, PayoutOrdered, PayoutWithdrawn, ReserveMoved, ReservePaid
from services.ledger.figures import dollars
from services.ledger.lots import Lot
from services.ledger.recipes import RESERVES, source_key

if TYPE_CHECKING:
    from services.ledger.core import LedgerState

#: Entries of the holdings that can still be asked for: a run has at most about a hundred.
ENTRIES_MAX: Final = 1_000
#: Lots that are told one by one, of each fund; the younger ones after them are told as one. A sale takes the oldest.
LOTS_MAX: Final = 40
_EVENT_TYPES: Final = ("FILL", "TAX_RESERVE", "PAYROLL_RESERVE")
#: What puts a payout on its way to whom it was kept for, and what tells that it has left the broker.
_ON_ITS_WAY: Final = {"TAX_PAID": 1, "PAYROLL_PAID": 1, "PAYOUT_WITHDRAWN": -1}
_OF_HOLDINGS: Final = frozenset(
    {accounts.HOLDINGS_AT_COST, accounts.CASH_TAX_RESERVE, accounts.CASH_PAYROLL_RESERVE},
)
_RESERVES: Final = (accounts.CASH_TAX_RESERVE, accounts.CASH_PAYROLL_RESERVE)
#: What the gains are less by: the costs of trading.
_COSTS: Final = (accounts.COMMISSIONS, accounts.FEES)


class HoldingsFacts(Struct, kw_only=True):
    """Folded beside the books, in place: dollars by account, and the newest entries that touch the holdings.

    `on_its_way_micros` was paid out of the reserves, and the broker has not told the withdrawal of it.
    """

    balances: dict[str, int] = field(default_factory=dict)
    entries: dict[str, BookedFill] = field(default_factory=dict)
    symbols: set[str] = field(default_factory=set)
    on_its_way_micros: int = 0
    on_its_way_by_seq: dict[int, int] = field(default_factory=dict)

    def fold(self, entry: EntryPosted) -> None:
        """Fold one entry."""
        self._fold_payout(entry)
        touched: set[str] = set()
        cash = 0
        for line in entry.lines:
            if line.commodity != accounts.CURRENCY:
                continue
            self.balances[line.account] = self.balances.get(line.account, 0) + line.amount
            touched.add(line.account)
            if line.account in accounts.FLOAT_ACCOUNTS:
                cash += line.amount
        if accounts.HOLDINGS_AT_COST in touched and entry.symbol:
            self.symbols.add(entry.symbol)
        if touched & _OF_HOLDINGS:
            gain = -sum(line.amount for line in entry.lines if line.account in (*accounts.GAIN_ACCOUNTS, *_COSTS))
            self.entries[entry.source_event_id] = BookedFill(
                event_id=entry.source_event_id, seq=entry.seq, amount_micros=cash, gain_micros=gain
            )
            if len(self.entries) > ENTRIES_MAX:
                del self.entries[next(iter(self.entries))]

    def _fold_payout(self, entry: EntryPosted) -> None:
        moved = _ON_ITS_WAY.get(entry.event_type, 0) * abs(entry.lines[0].amount)
        if entry.reverses_seq:
            moved = -self.on_its_way_by_seq.get(entry.reverses_seq, 0)
        if moved:
            self.on_its_way_micros += moved
            self.on_its_way_by_seq[entry.seq] = moved

    def of(self, code: str) -> int:
        """Return an account's balance in micro-dollars, debit positive."""
        return self.balances.get(code, 0)


def reserve_of(message: ReserveAllocated) -> ReserveMoved:
    """Return what an allocation of the holdings tells the books."""
    return ReserveMoved(
        broker=message.broker,
        key=message.activity_id,
        ts_ns=message.ts_event,
        told_ns=message.ts_init,
        purpose=message.purpose,
        amount_micros=message.amount_micros,
        basis=message.basis,
    )


def payment_of(report: PayoutOrdered, broker: str, now_ns: int) -> ReservePaid:
    """Return what an operator's payout tells the books; it happens now, on the session's clock."""
    # A replay that was just started has heard of no time yet: then it is the time of the order.
    now_ns = now_ns or report.ts_init
    return ReservePaid(
        broker=broker,
        key=payout_id(report),
        ts_ns=now_ns,
        told_ns=now_ns,
        purpose=report.command.purpose,
        amount_micros=report.command.amount_micros,
        is_withdrawn=report.command.is_withdrawn,
    )


def payout_id(report: PayoutOrdered) -> str:
    """Return the id of a payout, in the books and in the record of the holdings."""
    return f"payout-{report.command.command_id}"


def payout_fault(facts: HoldingsFacts, event: ReservePaid) -> str:
    """Return why a reserve cannot be paid out: it never holds less than nothing."""
    held, drawn = facts.of(RESERVES[event.purpose][0]), facts.of(accounts.OWNER_DRAWS)
    if event.is_withdrawn and event.amount_micros > drawn:
        return (
            f"The books know of withdrawals of {dollars(drawn)} dollars that paid nothing yet. Wait until the broker "
            "has told it after a close, or say that the withdrawal is still to come."
        )
    if event.amount_micros <= held:
        return ""
    return (
        f"{dollars(event.amount_micros)} dollars are more than the {event.purpose.lower()} reserve holds: "
        f"{dollars(held)}. Pay out at most that."
    )


def carried(facts: HoldingsFacts, event: LedgerEvent) -> PayoutWithdrawn | None:
    """Return what of an event's withdrawal carries payouts; None for what is no withdrawal or carries nothing."""
    amount = 0
    if isinstance(event, ReservePaid) and event.is_withdrawn:
        amount = event.amount_micros
    elif isinstance(event, CashChanged) and event.kind == "WITHDRAWAL":
        amount = min(-event.amount_micros, facts.on_its_way_micros)
    if amount <= 0:
        return None
    return PayoutWithdrawn(
        broker=event.broker, key=event.key, ts_ns=event.ts_ns, told_ns=event.told_ns, amount_micros=amount
    )


def paid_out(facts: HoldingsFacts, report: PayoutOrdered, entries: Sequence[EntryPosted]) -> ReservePaidOut:
    """Return what the holdings are told of a payout that is booked; its own entry is the first."""
    entry = entries[0]

    def after(code: str) -> int:
        lines = [line for one in entries for line in one.lines]
        return facts.of(code) + sum(line.amount for line in lines if line.account == code)

    return ReservePaidOut(
        ts_event=entry.ts_event,
        ts_init=entry.ts_init,
        activity_id=payout_id(report),
        purpose=report.command.purpose,
        amount_micros=report.command.amount_micros,
        operator=report.command.operator,
        reason=report.command.reason,
        seq=entry.seq,
        cash_micros=after(accounts.CASH),
        tax_reserve_micros=after(accounts.CASH_TAX_RESERVE),
        payroll_reserve_micros=after(accounts.CASH_PAYROLL_RESERVE),
    )


def reserves_after(facts: HoldingsFacts, entry: EntryPosted) -> tuple[ReservesStated, ...]:
    """Return what is set aside once an entry is booked; nothing where the entry does not change it."""
    if {line.account for line in entry.lines}.isdisjoint(_RESERVES):
        return ()
    moved = {
        code: sum(line.amount for line in entry.lines if line.account == code and line.commodity == accounts.CURRENCY)
        for code in _RESERVES
    }
    if not any(moved.values()):
        return ()
    tax, payroll = (facts.of(code) + amount for code, amount in moved.items())
    return (ReservesStated(ts_event=entry.ts_event, ts_init=entry.ts_init, tax_micros=tax, payroll_micros=payroll),)


def report(state: "LedgerState", message: BooksRequested, broker: str, now_ns: int) -> BooksReported:
    """Return how the books stand, and which of the events asked for are in them."""
    facts = state.holdings
    found = {asked: entry for asked in message.booked if (entry := _entry(facts, broker, asked)) is not None}
    owed = min(facts.of(accounts.UNSETTLED_PURCHASES), 0)
    at_ns = max(now_ns, message.ts_init)
    return BooksReported(
        ts_event=at_ns,
        ts_init=at_ns,
        request_id=message.request_id,
        session_date=message.session_date,
        seq=state.last_seq,
        cash_micros=facts.of(accounts.CASH) + owed,
        unsettled_micros=facts.of(accounts.UNSETTLED_SALES),
        tax_reserve_micros=facts.of(accounts.CASH_TAX_RESERVE),
        payroll_reserve_micros=facts.of(accounts.CASH_PAYROLL_RESERVE),
        gain_micros=-sum(map(facts.of, (*accounts.GAIN_ACCOUNTS, *_COSTS))),
        lots=tuple(
            line
            for symbol in sorted(facts.symbols)
            for line in _lines(symbol, state.lots.get(accounts.unit_commodity(symbol), ()))
        ),
        booked=tuple(
            BookedFill(event_id=asked, seq=entry.seq, amount_micros=entry.amount_micros, gain_micros=entry.gain_micros)
            for asked, entry in found.items()
        ),
        missing=tuple(asked for asked in message.booked if asked not in found),
        suspended=len(state.suspended),
    )


def _entry(facts: HoldingsFacts, broker: str, asked: str) -> BookedFill | None:
    keys = (source_key(broker, asked, event_type) for event_type in _EVENT_TYPES)
    return next((facts.entries[key] for key in keys if key in facts.entries), None)


def _lines(symbol: str, lots: tuple[Lot, ...]) -> list[LotLine]:
    told = [
        LotLine(symbol=symbol, qty_nanos=lot.qty_nanos, cost_micros=lot.cost_micros, closed_nanos=lot.closed_nanos)
        for lot in lots[:LOTS_MAX]
    ]
    younger = lots[LOTS_MAX:]
    if younger:
        qty = sum(lot.left_nanos for lot in younger)
        cost = sum(lot.left_micros for lot in younger)
        told.append(LotLine(symbol=symbol, qty_nanos=qty, cost_micros=cost, closed_nanos=0))
    return told

"""Decide how events are booked: balanced lines, first-in-first-out cost, gain; each once. Pure."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field, structs

from bus.messages import (
    AccountStated,
    BooksRequested,
    CashMoved,
    ContractsExercised,
    ContractsExpired,
    EntryPosted,
    EntrySuspended,
    FillReversed,
    LedgerSnapshot,
    MarketMessage,
    Message,
    OrderFilled,
    ReserveAllocated,
    SharesSplit,
    StatusMessage,
)
from services.ledger import accounts, holdings_facts
from services.ledger.comparing import compared, suspense_of
from services.ledger.events import (
    EntryReversed,
    LedgerEvent,
    OptionExercised,
    PayoutOrdered,
    ReservePaid,
    Reversed,
    SuspenseExplained,
    event_of,
    ordered_event,
    reversal_of,
)
from services.ledger.lots import BrokenEntryError, Lot, after_change, lot_changes
from services.ledger.recipes import (
    Booking,
    Draft,
    booking_from,
    booking_of,
    draft_of,
    draft_settlement,
    fill_id,
    named_by,
    settlement_id,
    source_id,
)
from services.ledger.refusals import fault_of
from services.ledger.settings import LedgerSettings

if TYPE_CHECKING:
    from bus.ahead import Ahead

_TEXT_LENGTH_MAX = 400
_NS_PER_DAY: Final = 86_400 * 1_000_000_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_FRIDAY: Final = 4
#: How many of its latest changes each queue of lots remembers, so that they can be taken back.
UNDO_MAX: Final = 100
#: How many of the newest fills' entries are kept at hand.
RECENT_FILLS_MAX: Final = 500


class Undo(Struct, frozen=True, kw_only=True, gc=False):
    """What the lots of a commodity were before an entry changed them."""

    seq: int
    before: tuple[Lot, ...]


class LedgerState(Struct, kw_only=True):
    """The books as the core needs them. `evolve` alone changes it, in place: copies would be quadratic.

    `lots` holds open lots by commodity, oldest first; `undo` their latest changes, newest last; `sums` the total of
    each commodity over all accounts; `suspended` the reason by source event id; `unsettled` what waits to be settled
    by its day, sales and purchases; `reversed_seqs` the entries that were taken back; `recent_fills` the entries of the
    newest fills by their source id, oldest first, for the broker may take one back; `holdings` what the long-term
    holdings are told; `account_cash_micros` what the broker account holds in cash, settled or not, envelopes included,
    and `cash_micros` the float alone.
    """

    last_seq: int = 0
    last_source_id: str = ""
    booked: dict[str, Booking] = field(default_factory=dict)
    suspended: dict[str, str] = field(default_factory=dict)
    lots: dict[str, tuple[Lot, ...]] = field(default_factory=dict)
    undo: dict[str, list[Undo]] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    unsettled: dict[int, tuple[int, int]] = field(default_factory=dict)
    reversed_seqs: set[int] = field(default_factory=set)
    recent_fills: dict[str, EntryPosted] = field(default_factory=dict)
    holdings: holdings_facts.HoldingsFacts = field(default_factory=holdings_facts.HoldingsFacts)
    cash_micros: int = 0
    account_cash_micros: int = 0
    realized_micros: int = 0


class LedgerCore:
    """The decider of the ledger. `ledger_name` is what the status topic calls the books."""

    def __init__(self, settings: LedgerSettings, ledger_name: str) -> None:
        self._settings = settings
        self._ledger_name = ledger_name
        #: The newest day of trades, and the day on which they are settled.
        self._settled_on = (0, 0)

    def initial(self) -> LedgerState:
        """Return empty books."""
        return LedgerState()

    def observe(self, state: LedgerState, data: MarketMessage) -> LedgerState:
        """Ignore market data: the books hold cost, not prices."""
        return state

    def settle(self, state: LedgerState, now_ns: int) -> Sequence[Message]:
        """Book what is settled by now."""
        return self._settlements(state, now_ns)

    def quiet_for(self, state: LedgerState, ahead: "Ahead") -> int:
        """Return how many messages come before something is settled."""
        days = [day for day, amounts in state.unsettled.items() if amounts != (0, 0)]
        return ahead.until((min(days) - _EPOCH_DAY) * _NS_PER_DAY) if days else len(ahead)

    def let_pass(self, state: LedgerState, ahead: "Ahead") -> LedgerState:
        """Ignore market data: the books hold cost, not prices."""
        return state

    def decide(self, state: LedgerState, message: Message, now_ns: int) -> Sequence[Message]:
        """Book what execution tells and operators order, once; what cannot be booked is suspended with its reason."""
        match message:
            case OrderFilled() | CashMoved() | ContractsExpired() | ContractsExercised():
                return self.book(state, event_of(message), now_ns)
            case EntryReversed() | SuspenseExplained() | PayoutOrdered():
                return self._ordered(state, message, now_ns)
            case AccountStated():
                return self._compare(state, message, now_ns)
            case ReserveAllocated():
                return self.book(state, holdings_facts.reserve_of(message), now_ns)
            case BooksRequested():
                return (holdings_facts.report(state, message, self._settings.broker_name, now_ns),)
            case SharesSplit():
                # The account may hold shares that are not of these books.
                is_held = bool(state.lots.get(accounts.unit_commodity(message.symbol)))
                return self.book(state, event_of(message), now_ns) if is_held else ()
            case FillReversed():
                return self._take_back(state, message, now_ns)
            case _:
                # The routes let nothing else through, so there is nothing else to book.
                return ()

    def _ordered(
        self, state: LedgerState, report: EntryReversed | SuspenseExplained | PayoutOrdered, now_ns: int
    ) -> Sequence[Message]:
        """Book what an operator orders; of a payout the holdings are told in the same transaction."""
        if not isinstance(report, PayoutOrdered):
            return self.book(state, ordered_event(report, self._settings.broker_name, now_ns), now_ns)
        payment = holdings_facts.payment_of(report, self._settings.broker_name, now_ns)
        events = self.book(state, payment, now_ns)
        entries = [one for one in events if isinstance(one, EntryPosted) and one.event_type != "SETTLEMENT"]
        return (*events, holdings_facts.paid_out(state.holdings, report, entries)) if entries else events

    def _take_back(self, state: LedgerState, message: FillReversed, now_ns: int) -> Sequence[Message]:
        """Take a fill's entry back; one that is too old to be known here is a person's to take back."""
        key = fill_id(message.broker, message.execution_id)
        original = state.recent_fills.get(key)
        if original is not None:
            return self.book(state, reversal_of(message, original), now_ns)
        detail = (
            f"{message.detail} The entry of {message.side} {message.symbol}, {message.execution_id}, is not among the "
            f"newest {RECENT_FILLS_MAX} fills: take it back by hand."
        )[:_TEXT_LENGTH_MAX]
        # Told again for the same reason: it is shown already.
        if state.suspended.get(key) == detail:
            return ()
        made_ns = max(now_ns, message.ts_init)
        return (EntrySuspended(ts_event=message.ts_event, ts_init=made_ns, source_event_id=key, detail=detail),)

    def book(self, state: LedgerState, event: LedgerEvent, now_ns: int) -> Sequence[Message]:
        """Book any event, once: nothing, an entry after what was settled by then, or a suspension with its reason."""
        key = source_id(event)
        booked = state.booked.get(key)
        if booked is None:
            answer = self._draft(state, event)
        elif booked == booking_of(event):
            return ()
        else:
            answer = (
                f"It is booked as {booked.in_words()}, and is now told as {booking_of(event).in_words()}. "
                "The books keep the first; compare both with the broker's statement."
            )
        if isinstance(answer, str):
            return _suspend(state, event, answer, now_ns)
        settled = self._settlements(state, event.ts_ns)
        entry = _post(state.last_seq + len(settled) + 1, event, answer, now_ns, key=key)
        carried = holdings_facts.carried(state.holdings, event)
        entries = [entry]
        if carried is not None:
            draft = draft_of(carried, (), (), settles_later=False)
            entries.append(_post(entry.seq + 1, carried, draft, now_ns, key=source_id(carried)))
        return (*settled, *entries, *holdings_facts.reserves_after(state.holdings, entry))

    def _compare(self, state: LedgerState, stated: AccountStated, now_ns: int) -> Sequence[Message]:
        """Compare the books with what the broker states, and put a difference of cash into suspense."""
        # BROKER_NAME: a ledger is the books of one broker account.
        if stated.broker.casefold() != self._settings.broker_name.casefold():
            return ()
        # What was paid out is there until the broker tells its withdrawal.
        cash_micros = state.account_cash_micros + state.holdings.on_its_way_micros
        event = compared(stated, cash_micros=cash_micros, lots=state.lots, now_ns=now_ns)
        suspense = suspense_of(event)
        if suspense is None:
            return (event,)
        while source_id(suspense) in state.booked:
            # What was put into suspense before is in the books: this is another difference of the same moment.
            suspense = structs.replace(suspense, key=suspense.key + "+")
        return (event, *self.book(state, suspense, now_ns))

    def evolve(self, state: LedgerState, event: Message) -> LedgerState:
        """Fold an entry or a suspension into the books.

        Raises:
            BrokenEntryError: the journal skips an entry, or an entry contradicts the lots before it.
        """
        if isinstance(event, EntrySuspended):
            state.suspended[event.source_event_id] = event.detail
        elif isinstance(event, EntryPosted):
            _fold(state, event, self._settlement_day(event.ts_event))
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

    def _draft(self, state: LedgerState, event: LedgerEvent) -> Draft | str:
        """The entry to post, or the reason why there is none."""
        # BROKER_NAME: a ledger is the books of one broker account; another broker's events are not its own.
        if event.broker.casefold() != self._settings.broker_name.casefold():
            return (
                f"The event is from broker {event.broker}, but this ledger keeps the account at "
                f"{self._settings.broker_name} (BROKER_NAME). Find out which bot it belongs to."
            )
        if isinstance(event, Reversed) and (fault := _reversal_fault(state, event)):
            return fault
        if isinstance(event, ReservePaid) and (fault := holdings_facts.payout_fault(state.holdings, event)):
            return fault
        lots = state.lots.get(accounts.unit_commodity(getattr(event, "symbol", "")), ())
        underlying: tuple[Lot, ...] = ()
        if isinstance(event, OptionExercised):
            underlying = state.lots.get(accounts.unit_commodity(event.underlying), ())
        # SETTLEMENT_DAYS: 0 = a margin account, whose proceeds may be used at once.
        settles_later = self._settings.settlement_days > 0
        return fault_of(event, lots, underlying) or draft_of(event, lots, underlying, settles_later=settles_later)

    def _settlements(self, state: LedgerState, now_ns: int) -> tuple[EntryPosted, ...]:
        today = _EPOCH_DAY + now_ns // _NS_PER_DAY
        due = [day for day, amounts in state.unsettled.items() if day <= today and amounts != (0, 0)]
        if not due:
            return ()
        entries: list[EntryPosted] = []
        for day in sorted(due):
            draft = draft_settlement(*state.unsettled[day])
            at_ns = (day - _EPOCH_DAY) * _NS_PER_DAY
            source = settlement_id(self._settings.broker_name, day)
            while source in state.booked:
                # A trade was told after its day had been settled.
                source += "+"
            entries.append(
                EntryPosted(
                    ts_event=at_ns,
                    ts_init=max(at_ns, now_ns),
                    seq=state.last_seq + len(entries) + 1,
                    event_type="SETTLEMENT",
                    source_event_id=source,
                    description=draft.description,
                    symbol="",
                    gain_micros=0,
                    lines=draft.lines,
                )
            )
        return tuple(entries)

    def _settlement_day(self, ts_ns: int) -> int:
        """The ordinal of the day on which a trade is settled. Holidays are not known here: Monday to Friday count.

        Source: SEC Rule 15c6-1 as amended, T+1 since 28 May 2024.
        """
        traded = day = _EPOCH_DAY + ts_ns // _NS_PER_DAY
        if self._settled_on[0] == traded:
            return self._settled_on[1]
        for _ in range(self._settings.settlement_days):
            day += 1
            while date.fromordinal(day).weekday() > _FRIDAY:
                day += 1
        self._settled_on = traded, day
        return day


def _reversal_fault(state: LedgerState, event: Reversed) -> str:
    """Why an entry cannot be taken back now."""
    was = event.original
    booked = state.booked.get(was.source_event_id)
    if booked is None or was.seq > state.last_seq or booked != booking_from(was.event_type, was.symbol, was.lines):
        return f"Entry {was.seq} ({was.source_event_id}) is not in the books as it is told. Read it from the ledger."
    if was.reverses_seq or was.event_type == "SETTLEMENT":
        return f"Entry {was.seq} is a {was.event_type.lower()}, which is not taken back. Book what is right anew."
    if was.seq in state.reversed_seqs:
        return f"Entry {was.seq} was taken back already."
    for commodity in _commodities(was):
        changes = state.undo.get(commodity, [])
        if not changes or changes[-1].seq != was.seq:
            later = [undo.seq for undo in changes if undo.seq > was.seq]
            return (
                f"Entry {was.seq} cannot be taken back before the later entries on {commodity}: take back "
                f"{', '.join(map(str, reversed(later))) or 'those'} first, the newest first."
            )
    return ""


def _commodities(entry: EntryPosted) -> list[str]:
    return list(dict.fromkeys(ln.commodity for ln in entry.lines if ln.account == accounts.UNITS_IN_CUSTODY))


def _suspend(state: LedgerState, event: LedgerEvent, detail: str, now_ns: int) -> tuple[EntrySuspended, ...]:
    key, detail = source_id(event), detail[:_TEXT_LENGTH_MAX]
    # Told again for the same reason: it is shown already.
    if state.suspended.get(key) == detail:
        return ()
    made_ns = _made_ns(event, now_ns)
    return (EntrySuspended(ts_event=event.ts_ns, ts_init=made_ns, source_event_id=key, detail=detail),)


def _post(seq: int, event: LedgerEvent, draft: Draft, now_ns: int, *, key: str) -> EntryPosted:
    event_type, symbol = named_by(event)
    return EntryPosted(
        ts_event=event.ts_ns,
        ts_init=_made_ns(event, now_ns),
        seq=seq,
        event_type=event_type,
        source_event_id=key,
        description=draft.description,
        symbol=symbol,
        gain_micros=draft.gain_micros,
        lines=draft.lines,
        reverses_seq=draft.reverses_seq,
        trade=draft.trade,
    )


def _made_ns(event: LedgerEvent, now_ns: int) -> int:
    # The session's clock follows market data, which the ledger does not hear: the event's own time is the least.
    return max(now_ns, event.told_ns)


def _fold(state: LedgerState, entry: EntryPosted, settlement_day: int) -> None:
    if entry.seq != state.last_seq + 1:
        raise BrokenEntryError(
            f"The ledger service's journal has entry {entry.seq} after entry {state.last_seq}: an entry is missing "
            "or doubled. Restore state/ledger.db from a backup."
        )
    _fold_lots(state, entry)
    state.holdings.fold(entry)
    _fold_unsettled(state, entry, settlement_day)
    for line in entry.lines:
        state.sums[line.commodity] = state.sums.get(line.commodity, 0) + line.amount
        if line.account == accounts.CASH:
            state.cash_micros += line.amount
        if line.account in accounts.CASH_ACCOUNTS:
            state.account_cash_micros += line.amount
    state.realized_micros += entry.gain_micros
    state.booked[entry.source_event_id] = booking_from(entry.event_type, entry.symbol, entry.lines)
    state.suspended.pop(entry.source_event_id, None)
    if entry.trade is not None:
        state.recent_fills[entry.source_event_id] = entry
        if len(state.recent_fills) > RECENT_FILLS_MAX:
            del state.recent_fills[next(iter(state.recent_fills))]
    state.last_seq = entry.seq
    state.last_source_id = entry.source_event_id


def _fold_lots(state: LedgerState, entry: EntryPosted) -> None:
    if entry.reverses_seq:
        state.reversed_seqs.add(entry.reverses_seq)
        for commodity in _commodities(entry):
            changes = state.undo.get(commodity, [])
            if not changes or changes[-1].seq != entry.reverses_seq:
                raise BrokenEntryError(
                    f"Entry {entry.seq} takes back entry {entry.reverses_seq}, which is not the newest of {commodity}."
                )
            state.lots[commodity] = changes.pop().before
        return
    for change in lot_changes(entry, lambda commodity: state.lots.get(commodity, ())):
        before = state.lots.get(change.commodity, ())
        changes = state.undo.setdefault(change.commodity, [])
        changes.append(Undo(seq=entry.seq, before=before))
        del changes[:-UNDO_MAX]
        state.lots[change.commodity] = after_change(before, change)


def _fold_unsettled(state: LedgerState, entry: EntryPosted, settlement_day: int) -> None:
    amounts = [0, 0]
    for line in entry.lines:
        if line.account in (accounts.UNSETTLED_SALES, accounts.UNSETTLED_PURCHASES):
            amounts[line.account == accounts.UNSETTLED_PURCHASES] += line.amount
    if amounts == [0, 0]:
        return
    if entry.event_type == "SETTLEMENT":
        settlement_day = _EPOCH_DAY + entry.ts_event // _NS_PER_DAY
    received, paid = state.unsettled.get(settlement_day, (0, 0))
    state.unsettled[settlement_day] = received + amounts[0], paid + amounts[1]
    if state.unsettled[settlement_day] == (0, 0):
        del state.unsettled[settlement_day]

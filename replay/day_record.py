"""What a real session did, read from the services' journals: trades, refusals, slippage, latency, incidents.

Journals are opened read-only beside services that go on. Money is micro-dollars, quantities nano-shares, times UTC
nanoseconds; `session` is the day's date, YYYY-MM-DD.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from bus.clock import iso_utc
from bus.messages import (
    CandidatesRanked,
    CashMoved,
    ChainArmed,
    ChainDisarmed,
    EntrySuspended,
    HaltRaised,
    KillSwitchTripped,
    Message,
    OrderAccepted,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPrepared,
    OrderRejected,
    OrderUnknown,
    ServiceName,
    SessionPlanned,
    SignalRaised,
    SignalSuppressed,
    StreamResolved,
    SubmitOrder,
)
from bus.store import StoreError, read_journal
from replay.report import Trade, trades

_READ: Final[dict[ServiceName, tuple[type[Message], ...]]] = {
    "screener": (CandidatesRanked, SessionPlanned),
    "strategy": (SignalRaised, SignalSuppressed),
    "risk": (SubmitOrder, OrderDenied, KillSwitchTripped),
    "execution": (
        OrderPrepared,
        OrderAccepted,
        OrderRejected,
        OrderExpired,
        OrderUnknown,
        OrderFilled,
        CashMoved,
    ),
    "watchdog": (SessionPlanned, HaltRaised, EntrySuspended, ChainArmed, ChainDisarmed),
    "ledger": (StreamResolved,),
}
_NS_PER_MS: Final = 1_000_000
Event = tuple[ServiceName, Message]


class Slip(Struct, frozen=True, kw_only=True):
    """How an entry's price differs from the quote it was sized at; above 0 = paid more."""

    symbol: str
    strategy: str
    quoted_micros: int
    paid_micros: int
    qty_nanos: int

    @property
    def basis_points(self) -> float:
        """Return the difference as a share of the quote."""
        return (self.paid_micros - self.quoted_micros) / self.quoted_micros * 10_000


class Hop(Struct, frozen=True, kw_only=True):
    """How long one hop of the order path took on the session's clock, in milliseconds."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Incident(Struct, frozen=True, kw_only=True):
    """Something that a person should know of: a halt, an unknown order, an arming."""

    at_utc: str
    what: str
    detail: str


class DayRecord(Struct, frozen=True, kw_only=True):
    """One session. `trades` are those that bought or sold in it; `events` are all of the day that were read."""

    session: str
    plan: SessionPlanned | None
    trades: list[Trade]
    events: list[Event]
    slips: list[Slip]
    hops: list[Hop]
    incidents: list[Incident]


def last_session(state: Path) -> str:
    """Return the date of the newest session that was planned in a home; empty without any.

    Raises:
        StoreError: the watchdog's journal is missing or unreadable.
    """
    plans = [p for p in read_journal(state / "watchdog.db", [SessionPlanned]) if isinstance(p, SessionPlanned)]
    return plans[-1].session_date if plans else ""


def read_day(state: Path, session: str) -> DayRecord:
    """Read what happened in one session.

    Args:
        state: the folder of the services' files.
        session: its date.

    Raises:
        StoreError: a journal is missing or unreadable.
    """
    read: list[Event] = [
        (service, event)
        for service, kinds in _READ.items()
        if (state / f"{service}.db").is_file()
        for event in read_journal(state / f"{service}.db", kinds)
    ]
    if not read:
        raise StoreError(f"There is no journal in {state}: has this chain ever run in this home?")
    # What came later does not belong to the report of this day, whenever it is written.
    fills = [
        e for service, e in read if service == "execution" and isinstance(e, OrderFilled) and e.session_date <= session
    ]
    events = [(service, event) for service, event in read if _is_of(event, session)]
    plans = [event for _, event in events if isinstance(event, SessionPlanned)]
    return DayRecord(
        session=session,
        plan=plans[-1] if plans else None,
        # A trade may have begun on an earlier day: its whole life counts, if anything of it is of this day.
        trades=[trade for trade in trades(fills) if any(_is_of(fill, session) for fill in trade.fills)],
        events=events,
        slips=_slips(events),
        hops=_hops(events),
        incidents=_incidents(events),
    )


def _is_of(event: Message, session: str) -> bool:
    """Tell whether an event belongs to a session: by the date that it names, or by its own UTC day."""
    named = getattr(event, "session_date", "")
    return (named or iso_utc(event.ts_event)[:10]) == session


def _slips(events: Iterable[Event]) -> list[Slip]:
    quoted = {event.client_order_id: event.reference_micros for _, event in events if isinstance(event, OrderPrepared)}
    return [
        Slip(
            symbol=event.symbol,
            strategy=event.strategy,
            quoted_micros=quoted[event.client_order_id],
            paid_micros=event.price_micros,
            qty_nanos=event.qty_nanos,
        )
        for _, event in events
        if isinstance(event, OrderFilled) and event.leg == "entry" and quoted.get(event.client_order_id)
    ]


def _hops(events: Sequence[Event]) -> list[Hop]:
    """Return the time from each message of an entry's way to the next one that follows from it."""
    made: dict[str, dict[str, int]] = {"signal": {}, "request": {}, "intent": {}, "accepted": {}, "filled": {}}
    intents: dict[str, str] = {}
    for _, event in events:
        match event:
            case SignalRaised():
                made["signal"].setdefault(event.signal_id, event.ts_init)
            case SubmitOrder():
                made["request"].setdefault(event.intent_id, event.ts_init)
            case OrderPrepared(leg="entry"):
                made["intent"].setdefault(event.intent_id, event.ts_init)
                intents[event.client_order_id] = event.intent_id
            case OrderAccepted() if event.client_order_id in intents:
                made["accepted"].setdefault(intents[event.client_order_id], event.ts_init)
            case OrderFilled(leg="entry"):
                made["filled"].setdefault(event.intent_id, event.ts_init)
            case _:
                pass
    ways = (
        ("signal to risk's approval", "signal", "request"),
        ("approval to the order on disk", "request", "intent"),
        ("order on disk to the broker's answer", "intent", "accepted"),
        ("order on disk to the first fill", "intent", "filled"),
        ("signal to the first fill", "signal", "filled"),
    )
    return [hop for name, first, last in ways if (hop := _hop(name, made[first], made[last]))]


def _hop(name: str, first: dict[str, int], last: dict[str, int]) -> Hop | None:
    ages = sorted((at - first[key]) / _NS_PER_MS for key, at in last.items() if key in first)
    if not ages:
        return None
    return Hop(
        name=name,
        count=len(ages),
        p50_ms=ages[(len(ages) - 1) // 2],
        p99_ms=ages[-1 - (len(ages) - 1) // 100],
        max_ms=ages[-1],
    )


def _incidents(events: Iterable[Event]) -> list[Incident]:
    found = []
    for service, event in events:
        match event:
            case HaltRaised():
                told = f"halt {event.counter} by {event.source}, {event.rule}: {event.detail}"
            case KillSwitchTripped():
                told = "the day's loss went beyond DAILY_LOSS_LIMIT"
            case EntrySuspended():
                told = f"the ledger cannot book {event.source_event_id}: {event.detail}"
            case OrderUnknown():
                told = f"{event.client_order_id}: {event.detail}"
            case StreamResolved():
                told = f"{event.operator} resolved the stream of {event.sender} to {service}: {event.reason}"
            case ChainArmed() | ChainDisarmed() if service == "watchdog":
                who = f"{event.operator}: {event.reason}" if isinstance(event, ChainArmed) else ""
                told = who or "no new positions are opened"
            case _:
                continue
        found.append((event.ts_event, Incident(at_utc=iso_utc(event.ts_event), what=type(event).__name__, detail=told)))
    return [incident for _, incident in sorted(found, key=lambda pair: pair[0])]

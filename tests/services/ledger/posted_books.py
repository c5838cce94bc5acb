"""A ledger file with every kind of event that the books can be told, posted by the core and the book themselves."""

from dataclasses import dataclass, field
from typing import Any

from made_books import CALL, DOLLAR, SHARE, at

from bus.messages import EntryPosted, EntrySuspended, Message
from services.ledger.book import Book
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.events import (
    CashChanged,
    LedgerEvent,
    OptionExercised,
    OptionExpired,
    ReserveMoved,
    ReservePaid,
    Reversed,
    ShareSplit,
    SuspenseBooked,
    SuspenseCleared,
    Traded,
)
from services.ledger.settings import LedgerSettings

PUT = "MSFT250620P00400000"
EXPIRING = "SPY250321C00900000"


@dataclass
class Poster:
    """Books events in a file as the service does, without the bus."""

    book: Book
    core: LedgerCore = field(
        default_factory=lambda: LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=0), "b")
    )
    posted: list[EntryPosted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state: LedgerState = self.core.initial()
        self.count = 0

    def tell(self, kind: type[LedgerEvent], when: str, /, **fields: Any) -> EntryPosted:
        """Book one event, which has to be bookable."""
        self.count += 1
        event = kind(broker="PAPER", key=f"k{self.count}", ts_ns=at(when), told_ns=at(when), **fields)
        told = self.take(self.core.book(self.state, event, at(when)))
        entry = [message for message in told if isinstance(message, EntryPosted)][-1]
        assert isinstance(entry, EntryPosted), entry
        return entry

    def take(self, events: Any) -> list[Message]:
        """Write and fold events, as the runtime does."""
        for event in events:
            assert not isinstance(event, EntrySuspended), event.detail
            self.state = self.core.evolve(self.state, event)
            if isinstance(event, EntryPosted):
                self.book.post(event)
                self.posted.append(event)
        return list(events)

    def trade(self, side: str, symbol: str, when: str, shares: float, dollars: float, **more: Any) -> EntryPosted:
        """Book a fill."""
        fields: dict[str, Any] = {
            "side": side, "symbol": symbol, "qty_nanos": round(shares * SHARE), "price_micros": round(dollars * DOLLAR),
            "order_id": f"tb1-{self.count}", "strategy": "open", "leg": "entry" if side == "BUY" else "exit",
        }  # fmt: skip
        return self.tell(Traded, when, **(fields | more))

    def cash(self, kind: str, when: str, dollars: float, symbol: str = "") -> EntryPosted:
        """Book money that came or went."""
        return self.tell(CashChanged, when, kind=kind, amount_micros=round(dollars * DOLLAR), symbol=symbol)


def post_every_event(book: Book) -> Poster:
    """Book a month that has every kind of event and every kind of cash movement, and nothing left in suspense."""
    p = Poster(book)
    p.cash("DEPOSIT", "2025-02-27 15:00:00", 200_000)
    p.trade("BUY", "AAPL", "2025-03-03 14:31:00", 10, 100.03, commission_micros=350_000)
    p.trade("BUY", "AAPL", "2025-03-03 14:40:00", 5.5, 101.77)
    p.trade("BUY", "MSFT", "2025-03-03 14:41:00", 100, 400)
    p.trade("BUY", "QQQ", "2025-03-03 14:42:00", 3, 500, for_holdings=True)
    p.trade("BUY", CALL, "2025-03-04 15:00:00", 2, 3.25, commission_micros=1_300_000, fees_micros=40_000)
    p.trade("BUY", PUT, "2025-03-04 15:01:00", 1, 2.5)
    p.trade("BUY", EXPIRING, "2025-03-04 15:02:00", 1, 0.15)
    p.trade("SELL", "AAPL", "2025-03-05 15:30:00", 4, 90.02, commission_micros=100_000, fees_micros=30_000)
    p.trade("BUY", "AAPL", "2025-03-06 15:30:00", 4, 91)
    p.trade("SELL", CALL, "2025-03-07 15:00:00", 1, 4.1)
    p.tell(ShareSplit, "2025-03-10 13:30:00", symbol="AAPL", numerator=2, denominator=1)
    p.cash("DIVIDEND", "2025-03-11 12:00:00", 3.12, "AAPL")
    p.cash("INTEREST", "2025-03-12 12:00:00", 1.07)
    p.cash("BROKER_CREDIT", "2025-03-12 12:01:00", 0.40)
    for minute, kind in enumerate(("FEE", "MARGIN_INTEREST", "BORROW_FEE", "SHORT_DIVIDEND", "DATA_COST")):
        p.cash(kind, f"2025-03-12 12:1{minute}:00", -0.25 - minute)
    exercise = {"underlying": "AAPL", "strike_micros": 200 * DOLLAR, "qty_nanos": SHARE}
    p.tell(OptionExercised, "2025-03-13 20:00:00", symbol=CALL, right="CALL", **exercise)
    exercise = {"underlying": "MSFT", "strike_micros": 400 * DOLLAR, "qty_nanos": SHARE}
    p.tell(OptionExercised, "2025-03-13 20:01:00", symbol=PUT, right="PUT", **exercise)
    for purpose in ("TAX", "PAYROLL"):
        p.tell(ReserveMoved, "2025-03-14 22:00:00", purpose=purpose, amount_micros=50 * DOLLAR, basis="20 % of 250")
        p.tell(ReservePaid, "2025-03-14 22:10:00", purpose=purpose, amount_micros=20 * DOLLAR)
    p.tell(SuspenseBooked, "2025-03-17 20:00:00", amount_micros=-7 * DOLLAR, reason="the broker has less")
    p.tell(SuspenseCleared, "2025-03-18 20:00:00", amount_micros=7 * DOLLAR, account="5020", reason="a fee")
    wrong = p.trade("BUY", "SPY", "2025-03-19 15:00:00", 3, 600)
    p.tell(Reversed, "2025-03-19 15:30:00", original=wrong, reason="booked in error")
    p.cash("WITHDRAWAL", "2025-03-20 15:00:00", -1000)
    p.tell(OptionExpired, "2025-03-21 20:00:00", symbol=EXPIRING, qty_nanos=SHARE)
    p.trade("SELL", "QQQ", "2025-03-24 15:00:00", 1, 510, for_holdings=True)
    p.trade("SELL", "AAPL", "2025-03-25 15:00:00", 30, 60.11)
    return p

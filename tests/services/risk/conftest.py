"""A risk service on a table: builders of its inputs with sensible values, and a runtime of a dozen lines."""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from bus.messages import (
    MICROS,
    NANOS,
    AccountReported,
    AssetLine,
    AssetsReported,
    Bar,
    BarBatch,
    Candidate,
    CandidatesRanked,
    ChainArmed,
    IntentClosed,
    Message,
    OrderFilled,
    Quote,
    QuoteBatch,
    SessionPlanned,
    SignalRaised,
)
from services.risk import day as days
from services.risk.core import RiskCore
from services.risk.options import OptionLimits
from services.risk.settings import RiskSettings

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
OPEN = 1_381_239_000 * SECOND  # 2013-10-08 13:30 UTC
NOW = OPEN + 20 * MINUTE
CLOSE = OPEN + 390 * MINUTE
DAY = "2013-10-08"


#: Limits wide enough that none of them binds before the ones a test is about.
LIMITS: dict[str, Any] = {
    "total_allocation_ppm": 500_000,
    "max_risk_per_trade_ppm": 2_500,
    "max_open_positions": 5,
    "position_per_symbol_ppm": 1_000_000,
    "order_notional_max_micros": 10**9 * MICROS,
    "order_max_nanos": 1_000_000 * NANOS,
    "is_fractional": False,
    "daily_loss_limit_ppm": 20_000,
    "daily_loss_from": "start",
    "trades_per_day_max": 10_000,
    "orders_per_second_max": 1_000,
    "orders_per_minute_max": 1_000,
    "repeated_orders_max": 3,
    "repeats_window_ns": 10 * SECOND,
    "broker_rejections_max": 5,
    "rejections_window_ns": 60 * SECOND,
    "min_volume_nanos": 50_000 * NANOS,
    "max_spread_ppm": 15_000,
    "max_quote_age_ns": 2 * SECOND,
    "price_collar_ppm": 50_000,
    "price_jump_percent": 1_000,
    "restricted": frozenset(),
    "is_defending": False,
    "options": OptionLimits(
        premium_max_micros=500 * MICROS, days_min=7, days_max=45, open_interest_min=100, spread_max_ppm=100_000
    ),
    "enabled_strategies": frozenset(("open", "mid", "close")),
    "broker_name": "PAPER",
    "is_broker_enabled": True,
    "entry_timeout_ns": 60 * SECOND,
    "funds": frozenset(),
}


class World:
    """One core, its state and its journal."""

    DAY, NOW, OPEN, CLOSE, SECOND, MINUTE = DAY, NOW, OPEN, CLOSE, SECOND, MINUTE

    LIMITS = LIMITS

    def __init__(self, **limits: Any) -> None:
        self.settings = RiskSettings(**{**LIMITS, **limits})
        self.core = RiskCore(self.settings)
        self.state = self.core.initial()
        self.journal: list[Message] = []
        self.now = NOW
        self._executions = 0

    def hear(self, *messages: Message) -> list[Message]:
        """Do what the runtime does with each message; return all events."""
        events: list[Message] = []
        for message in messages:
            if isinstance(message, QuoteBatch | BarBatch):
                self.state = self.core.observe(self.state, message)
            events += self._fold(self.core.decide(self.state, message, self.now))
        return events

    def settle(self) -> list[Message]:
        return self._fold(self.core.settle(self.state, self.now))

    def restarted(self) -> "World":
        """Return another process of the same service: only the journal is left."""
        other = World()
        other.settings, other.core, other.now = self.settings, self.core, self.now
        other._fold(self.journal)
        return other

    def _fold(self, events: Iterable[Message]) -> list[Message]:
        folded = list(events)
        for event in folded:
            self.journal.append(event)
            before, self.state = self.state.day, self.core.evolve(self.state, event)
            assert days.differ(self.state.day, before) is (self.state.day != before), (
                f"{type(event).__name__} is missed"
            )
        return folded

    def ready(self) -> "World":
        """Tell the core everything an approval of `signal()` needs."""
        self.hear(*self.inputs().values())
        return self

    def inputs(self) -> dict[str, Message]:
        return {
            "plan": self.plan(),
            "armed": self.armed(),
            "candidates": self.candidates("AAA", "BBB", "CCC"),
            "account": self.account(),
            "quotes": self.quotes(AAA=50_00, BBB=20_00, CCC=10_00, INV=30_00),
            "bars": self.bars("AAA", "BBB", "CCC", "INV"),
            "assets": self.assets("AAA", "BBB", "CCC", "INV"),
        }

    def plan(self, **changes: Any) -> SessionPlanned:
        plan = SessionPlanned(
            ts_event=OPEN,
            ts_init=OPEN,
            session_date=DAY,
            open_ns=OPEN,
            close_ns=CLOSE,
            is_half_day=False,
            is_trading_day=True,
            start_open_ns=OPEN,
            start_mid_ns=OPEN + 60 * MINUTE,
            start_close_ns=OPEN + 300 * MINUTE,
            flatten_ns=CLOSE - 5 * MINUTE,
        )
        return replace(plan, **changes)

    def armed(self, halt_counter: int = 0) -> ChainArmed:
        return ChainArmed(ts_event=OPEN, ts_init=OPEN, halt_counter=halt_counter, operator="ann", reason="a test")

    def candidates(self, *symbols: str, day: str = DAY) -> CandidatesRanked:
        rows = tuple(
            Candidate(
                symbol=symbol,
                rank=rank,
                score=0,
                prior_close_micros=0,
                price_micros=MICROS,
                gap_bps=0,
                reasons=(),
            )
            for rank, symbol in enumerate(symbols, 1)
        )
        return CandidatesRanked(
            ts_event=OPEN,
            ts_init=OPEN,
            session_date=day,
            source="test",
            candidates=rows,
            rejected=(),
            rejected_total=0,
        )

    def account(self, cash: int = 100_000, day: str = DAY, **positions: int) -> AccountReported:
        """Cash in dollars, positions in shares."""
        return AccountReported(
            ts_event=OPEN,
            ts_init=OPEN,
            session_date=day,
            broker="PAPER",
            cash_micros=cash * MICROS,
            buying_power_micros=cash * MICROS,
            symbols=tuple(positions),
            qtys_nanos=tuple(qty * NANOS for qty in positions.values()),
        )

    def assets(self, *symbols: str, day: str = DAY, **flags: bool) -> AssetsReported:
        """Every symbol with the same flags: tradable, fractionable, shortable."""
        known = {"is_tradable": True, "is_fractionable": True, "is_shortable": False} | flags
        lines = tuple(AssetLine(symbol=symbol, **known) for symbol in symbols)
        return AssetsReported(ts_event=OPEN, ts_init=OPEN, session_date=day, broker="PAPER", assets=lines)

    def quote(self, symbol: str = "AAA", bid: int = 49_99, ask: int = 50_00, **changes: Any) -> QuoteBatch:
        """One quote in cents; sizes 1,000 shares unless changed."""
        bid_size, ask_size = changes.get("bid_size", 1000), changes.get("ask_size", 1000)
        row = Quote(
            symbol,
            bid * 10_000,
            ask * 10_000,
            bid_size * NANOS,
            ask_size * NANOS,
            changes.get("ts", self.now),
        )
        return QuoteBatch.of((row,), ts_event=self.now, ts_init=self.now, step=3)

    def quotes(self, **asks: int) -> QuoteBatch:
        """Quotes a cent wide; asks in cents."""
        rows = tuple(self.quote(symbol, ask - 1, ask).quotes[0] for symbol, ask in asks.items())
        return QuoteBatch.of(rows, ts_event=self.now, ts_init=self.now, step=1)

    def bars(self, *symbols: str, volume: int = 60_000, step: int = 2, end: int = OPEN + MINUTE) -> BarBatch:
        rows = tuple(Bar(symbol, MICROS, MICROS, MICROS, MICROS, volume * NANOS) for symbol in symbols)
        return BarBatch.of(rows, ts_event=end, ts_init=end, step=step)

    def signal(self, symbol: str = "AAA", **changes: Any) -> SignalRaised:
        """A signal at the ask that was heard; through another instrument it brings no price, as from a strategy."""
        quote = self.state.market.quote_of(symbol) if changes.get("instrument", symbol) == symbol else None
        raised = SignalRaised(
            ts_event=self.now,
            ts_init=self.now,
            signal_id=f"{DAY}:open:{symbol}:BULLISH",
            session_date=DAY,
            strategy="open",
            symbol=symbol,
            direction="BULLISH",
            instrument=symbol,
            reference_micros=quote.ask_micros if quote else 0,
            trail_bps=200,
            expires_ns=self.now + 5 * SECOND,
            exit_at_ns=self.now + 60 * MINUTE,
            reasons=(),
        )
        return replace(raised, **changes)

    def fill(self, symbol: str = "AAA", **changes: Any) -> OrderFilled:
        """One execution: `shares` `of` an order at `cents`, with `side`, `commission` (cents)."""
        self._executions += 1
        side, shares = changes.pop("side", "BUY"), changes.pop("shares", 10)
        cumulative, total = changes.pop("cumulative", shares), changes.pop("of", shares)
        filled = OrderFilled(
            ts_event=self.now,
            ts_init=self.now,
            execution_id=f"PX-{self._executions:06d}",
            client_order_id=f"tb1-{symbol}-{side}",
            broker_order_id="b1",
            intent_id=f"{DAY}:open:{symbol}:BULLISH",
            leg="entry" if side == "BUY" else "exit",
            session_date=DAY,
            strategy="open",
            symbol=symbol,
            side=side,
            qty_nanos=changes.pop("qty_nanos", shares * NANOS),
            price_micros=changes.pop("cents", 50_00) * 10_000,
            commission_micros=changes.pop("commission", 0) * 10_000,
            cumulative_qty_nanos=cumulative * NANOS,
            order_qty_nanos=changes.pop("order_qty_nanos", total * NANOS),
            broker="PAPER",
            reason="a test",
        )
        return replace(filled, **changes)

    def closed(self, symbol: str = "AAA") -> IntentClosed:
        return IntentClosed(
            ts_event=self.now, ts_init=self.now, intent_id=f"{DAY}:open:{symbol}:BULLISH", symbol=symbol
        )


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    return World

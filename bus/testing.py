"""Builders for tests: messages with only what matters said, and a recorder core for the runtime."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bus.decider import Core
from bus.messages import (
    MICROS,
    NANOS,
    CashMoved,
    HaltRaised,
    Heartbeat,
    MarketMessage,
    Message,
    OrderFilled,
    Quote,
    QuoteBatch,
    Reason,
    ServiceName,
    SessionPlanned,
    Side,
    SignalRaised,
    StatusMessage,
)

OPEN_NS = 1_381_239_000_000_000_000  # 2013-10-08 13:30 UTC
CLOSE_NS = 1_381_262_400_000_000_000


def a_plan(session_date: str = "2013-10-08") -> SessionPlanned:
    """Return the plan of a full trading day."""
    return SessionPlanned(
        ts_event=OPEN_NS,
        ts_init=0,
        session_date=session_date,
        open_ns=OPEN_NS,
        close_ns=CLOSE_NS,
        is_half_day=False,
        is_trading_day=True,
        start_open_ns=OPEN_NS,
        start_mid_ns=OPEN_NS + 3_600 * NANOS,
        start_close_ns=OPEN_NS + 5 * 3_600 * NANOS,
        flatten_ns=CLOSE_NS - 300 * NANOS,
    )


def a_fill(execution_id: str = "PX-000001", side: Side = "BUY", shares: int = 10, dollars: int = 100) -> OrderFilled:
    """Return a whole fill of one order."""
    return OrderFilled(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        execution_id=execution_id,
        client_order_id=f"tb1-{execution_id.lower()}",
        broker_order_id="P-1",
        intent_id="2013-10-08:open:SPY:BULLISH",
        leg="entry" if side == "BUY" else "stop",
        session_date="2013-10-08",
        strategy="open",
        symbol="SPY",
        side=side,
        qty_nanos=shares * NANOS,
        price_micros=dollars * MICROS,
        commission_micros=0,
        cumulative_qty_nanos=shares * NANOS,
        order_qty_nanos=shares * NANOS,
        broker="PAPER",
        reason="test",
    )


def a_deposit(activity_id: str = "PA-1", dollars: int = 1000) -> CashMoved:
    """Return a deposit."""
    return CashMoved(
        ts_event=0,
        ts_init=0,
        activity_id=activity_id,
        kind="DEPOSIT",
        amount_micros=dollars * MICROS,
        broker="PAPER",
    )


def a_halt(counter: int = 1) -> HaltRaised:
    """Return a halt."""
    return HaltRaised(ts_event=0, ts_init=0, counter=counter, source="watchdog", rule="test", detail="a test")


def a_quote_batch(step: int = 1, symbol: str = "SPY", bid: int = 100, ask: int = 101) -> QuoteBatch:
    """Return one symbol's quote, 100 shares on each side, prices in dollars."""
    at = OPEN_NS + step * NANOS
    quote = Quote(symbol, bid * MICROS, ask * MICROS, 100 * NANOS, 100 * NANOS, at)
    return QuoteBatch.of((quote,), ts_event=at, ts_init=at, step=step)


def a_signal(
    signal_id: str = "1", at_ns: int = OPEN_NS, until_ns: int = CLOSE_NS, reasons: tuple[Reason, ...] = ()
) -> SignalRaised:
    """Return a bullish signal of the open strategy on SPY at 100 dollars, good from one time until another."""
    return SignalRaised(
        ts_event=at_ns,
        ts_init=at_ns,
        signal_id=signal_id,
        session_date="2013-10-08",
        strategy="open",
        symbol="SPY",
        direction="BULLISH",
        instrument="SPY",
        reference_micros=100 * MICROS,
        trail_bps=200,
        expires_ns=until_ns,
        exit_at_ns=until_ns,
        reasons=reasons,
    )


def a_beat(service: ServiceName, boot_id: str = "one", state: str = "ready", outbox_depth: int = 0) -> Heartbeat:
    """Return a heartbeat of build b1; execution's says that it agrees with the broker."""
    return Heartbeat(
        ts_event=0,
        ts_init=0,
        service=service,
        build="b1",
        boot_id=boot_id,
        pid=1,
        step=0,
        state=state,
        outbox_depth=outbox_depth,
        oldest_unacked_ms=0,
        rejected_messages=0,
        reconciled_ms=0 if service == "execution" else -1,
    )


@dataclass
class RecorderState:
    """What a recorder core has folded."""

    events: list[Message] = field(default_factory=list)


class RecorderCore(Core[RecorderState]):
    """A core that turns every message it is given into itself as an event, market data excepted."""

    def initial(self) -> RecorderState:
        """Return an empty record."""
        return RecorderState()

    def observe(self, state: RecorderState, data: MarketMessage) -> RecorderState:
        """Keep nothing of market data."""
        return state

    def decide(self, state: RecorderState, message: Message, now_ns: int) -> Sequence[Message]:
        """Return the message as the event."""
        return [] if isinstance(message, MarketMessage) else [message]

    def evolve(self, state: RecorderState, event: Message) -> RecorderState:
        """Append the event."""
        state.events.append(event)
        return state

    def snapshot(self, state: RecorderState, now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing."""
        return ()

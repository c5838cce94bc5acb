"""What a session did, from its events: trades with entry, exit, reason and result; refusals; and their tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bus.clock import iso_utc
from bus.instruments import cash_of, multiplier_of
from bus.messages import MICROS, NANOS, Message, OrderDenied, OrderFilled, SignalSuppressed


@dataclass
class Trade:
    """One intent from its first fill to its last; quantities in nanos, money in micros."""

    intent_id: str
    strategy: str
    symbol: str
    entered_ns: int = 0
    left_ns: int = 0
    bought_nanos: int = 0
    sold_nanos: int = 0
    paid_micros: int = 0
    received_micros: int = 0
    reason: str = ""
    fills: list[OrderFilled] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Tell whether shares are still held."""
        return self.sold_nanos < self.bought_nanos

    @property
    def pnl_micros(self) -> int:
        """Return the result so far; of an open trade, less what is still held at cost."""
        return self.received_micros - self.paid_micros

    @property
    def entry_micros(self) -> int:
        """Return the average price paid."""
        return _average(self.paid_micros, self.symbol, self.bought_nanos)

    @property
    def exit_micros(self) -> int:
        """Return the average price received."""
        return _average(self.received_micros, self.symbol, self.sold_nanos)


def _average(micros: int, symbol: str, nanos: int) -> int:
    return micros * NANOS // (nanos * multiplier_of(symbol)) if nanos else 0


def trades(events: Iterable[Message]) -> list[Trade]:
    """Return the trades in these events in the order of their first fill; each execution counts once."""
    found: dict[str, Trade] = {}
    seen: set[str] = set()
    for event in events:
        if not isinstance(event, OrderFilled) or event.execution_id in seen:
            continue
        seen.add(event.execution_id)
        trade = found.setdefault(event.intent_id, Trade(event.intent_id, event.strategy, event.symbol))
        trade.fills.append(event)
        amount = cash_of(event.symbol, event.price_micros, event.qty_nanos) + event.commission_micros
        if event.side == "BUY":
            trade.entered_ns = trade.entered_ns or event.ts_event
            trade.bought_nanos += event.qty_nanos
            trade.paid_micros += amount
        else:
            trade.left_ns = event.ts_event
            trade.sold_nanos += event.qty_nanos
            trade.received_micros += amount - 2 * event.commission_micros
            trade.reason = event.reason
    return list(found.values())


def fill_keys(events: Iterable[Message]) -> list[tuple[str, str, str, int, int, int]]:
    """Return each fill as (execution id, client order id, symbol, signed quantity, price, time), to compare runs."""
    return [
        (
            fill.execution_id,
            fill.client_order_id,
            fill.symbol,
            fill.qty_nanos if fill.side == "BUY" else -fill.qty_nanos,
            fill.price_micros,
            fill.ts_event,
        )
        for trade in trades(events)
        for fill in trade.fills
    ]


def dollars(micros: int, *, sign: bool = False) -> str:
    """Write micro-dollars as dollars and cents."""
    text = f"{abs(micros) / MICROS:,.2f}"
    if micros < 0:
        return f"-{text}"
    return f"+{text}" if sign else text


def _clock(ts_ns: int) -> str:
    return iso_utc(ts_ns)[11:19] if ts_ns else "--"


def trades_table(found: Sequence[Trade]) -> str:
    """Write the trades as a table; times are UTC."""
    if not found:
        return "No trades."
    lines = [
        f"{'symbol':<8}{'shares':>7}  {'entered':<9}{'entry':>10}  {'left':<9}{'exit':>10}  {'P&L':>10}  reason",
    ]
    for trade in found:
        pnl = "open" if trade.is_open else dollars(trade.pnl_micros, sign=True)
        lines.append(
            f"{trade.symbol:<7} {trade.bought_nanos // NANOS:>7}  {_clock(trade.entered_ns):<9}"
            f"{dollars(trade.entry_micros):>10}  {_clock(trade.left_ns):<9}{dollars(trade.exit_micros):>10}  "
            f"{pnl:>10}  {trade.reason}"
        )
    closed = [trade for trade in found if not trade.is_open]
    total = sum(trade.pnl_micros for trade in closed)
    won = sum(trade.pnl_micros > 0 for trade in closed)
    lines.append(f"{len(found)} trades, {won} won, realized {dollars(total, sign=True)}")
    return "\n".join(lines)


def refusals_table(events: Iterable[Message]) -> str:
    """Write denied orders and suppressed signals with the rule that decided."""
    lines = []
    for event in events:
        if isinstance(event, OrderDenied):
            lines.append(
                f"{_clock(event.ts_event)}  {event.symbol:<7} denied      {event.rule}: {event.value}; "
                f"limit {event.limit}"
            )
        elif isinstance(event, SignalSuppressed):
            lines.append(f"{_clock(event.ts_event)}  {event.symbol:<7} suppressed  {event.rule}: {event.detail}")
    return "\n".join(lines) if lines else "Nothing was denied or suppressed."

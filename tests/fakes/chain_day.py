"""A day as the chain says it: messages that tests publish, alone or all of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bus import messages as m
from bus.lifecycle import EFFECTS, MEANING
from services.web.hub import StatusHub

OPEN_NS = 1_741_786_200_000_000_000
MINUTE_NS = 60 * 1_000_000_000


def reason(rule: str, *, passed: bool) -> m.Reason:
    return m.Reason(rule=rule, value="$101.50", threshold="$5.00 to $1000.00", passed=passed)


def position(symbol: str, pnl: int) -> m.PositionLine:
    return m.PositionLine(
        intent_id=f"i-{symbol}",
        strategy="open",
        symbol=symbol,
        qty_nanos=40 * m.NANOS,
        entry_micros=101_500_000,
        last_micros=101_500_000 + pnl // 40,
        pnl_micros=pnl,
    )


def portfolio(equity: int, minute: int) -> m.PortfolioSnapshot:
    at = OPEN_NS + minute * MINUTE_NS
    return m.PortfolioSnapshot(
        ts_event=at,
        ts_init=at,
        session_date="2025-03-12",
        start_equity_micros=100_000 * m.MICROS,
        equity_micros=equity,
        realized_micros=210 * m.MICROS,
        unrealized_micros=equity - 100_210 * m.MICROS,
        loss_limit_micros=2_000 * m.MICROS,
        allocated_micros=12_180 * m.MICROS,
        allocation_limit_micros=50_000 * m.MICROS,
        positions=(position("AAPL", 84_200_000), position("BRK.B", -12_600_000)),
        denied=(),
        denied_total=1,
        trades=3,
        trades_max=100,
    )


def order(symbol: str, leg: m.Leg, state: str, why: str) -> m.OrderLine:
    return m.OrderLine(
        client_order_id=f"tb1-{symbol}-{leg}",
        intent_id=f"i-{symbol}",
        leg=leg,
        strategy="open",
        symbol=symbol,
        side="BUY" if leg == "entry" else "SELL",
        qty_nanos=40 * m.NANOS,
        filled_nanos=40 * m.NANOS if state == "FILLED" else 0,
        average_micros=101_500_000 if state == "FILLED" else 0,
        order_type="LIMIT" if leg == "entry" else "TRAILING_STOP",
        stop_micros=0 if leg == "entry" else 99_470_000,
        state=state,
        reason=why,
        ts_ns=OPEN_NS + 16 * MINUTE_NS,
    )


def service(name: m.ServiceName) -> m.ServiceHealth:
    return m.ServiceHealth(
        service=name, status="up", pid=100, age_ms=120, restarts=0, step=390, outbox_depth=0, detail="ready"
    )


def chain(state: m.ChainState = "ACTIVE") -> m.ChainStatus:
    return m.ChainStatus(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        state=state,
        bot_state="TRADING",
        stopped=EFFECTS[state].stopped,
        goes_on=EFFECTS[state].goes_on,
        detail=MEANING[state],
        session_date="2025-03-12",
        halt_counter=0,
        armed_by="olga",
        services=tuple(service(name) for name in ("screener", "strategy", "risk", "execution", "ledger")),
    )


def candidates() -> m.CandidatesRanked:
    names = ("AAPL", "BRK.B", "MSFT", "NVDA")
    return m.CandidatesRanked(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        session_date="2025-03-12",
        source="generated",
        candidates=tuple(
            m.Candidate(
                symbol=name,
                rank=rank,
                score=100 - rank,
                prior_close_micros=100_000_000,
                price_micros=101_500_000,
                gap_bps=150 * rank - 300,
                reasons=(reason("price", passed=True), reason("gap", passed=True)),
            )
            for rank, name in enumerate(names, 1)
        ),
        rejected=(m.Rejection(symbol="PENNY", reasons=(reason("price", passed=False),)),),
        rejected_total=6_961,
    )


def denied(value: str = "2.10 %") -> m.OrderDenied:
    return m.OrderDenied(
        ts_event=OPEN_NS + 20 * MINUTE_NS,
        ts_init=OPEN_NS,
        intent_id="i-X",
        session_date="2025-03-12",
        strategy="open",
        symbol="MSFT",
        side="BUY",
        rule="max_spread",
        value=value,
        limit="1.50 %",
    )


def fill(symbol: str) -> m.OrderFilled:
    return m.OrderFilled(
        ts_event=OPEN_NS + 16 * MINUTE_NS,
        ts_init=OPEN_NS,
        execution_id=f"e-{symbol}",
        client_order_id=f"tb1-{symbol}-entry",
        broker_order_id="b1",
        intent_id=f"i-{symbol}",
        leg="entry",
        session_date="2025-03-12",
        strategy="open",
        symbol=symbol,
        side="BUY",
        qty_nanos=40 * m.NANOS,
        price_micros=101_500_000,
        commission_micros=0,
        cumulative_qty_nanos=40 * m.NANOS,
        order_qty_nanos=40 * m.NANOS,
        broker="PAPER",
        reason="closed above the range of 09:30 to 09:45",
    )


def session(*, is_trading_day: bool = True) -> m.SessionPlanned:
    return m.SessionPlanned(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        session_date="2025-03-12",
        open_ns=OPEN_NS,
        close_ns=OPEN_NS + 390 * MINUTE_NS,
        is_half_day=False,
        is_trading_day=is_trading_day,
        start_open_ns=OPEN_NS,
        start_mid_ns=OPEN_NS + 120 * MINUTE_NS,
        start_close_ns=OPEN_NS + 330 * MINUTE_NS,
        flatten_ns=OPEN_NS + 385 * MINUTE_NS,
    )


def signal(symbol: str) -> m.SignalRaised:
    return m.SignalRaised(
        ts_event=OPEN_NS + 15 * MINUTE_NS,
        ts_init=OPEN_NS + 15 * MINUTE_NS,
        signal_id=f"i-{symbol}",
        session_date="2025-03-12",
        strategy="open",
        symbol=symbol,
        direction="BULLISH",
        instrument=symbol,
        reference_micros=101_450_000,
        trail_bps=200,
        expires_ns=OPEN_NS + 16 * MINUTE_NS,
        exit_at_ns=OPEN_NS + 385 * MINUTE_NS,
        reasons=(
            m.Reason(rule="breakout", value="close $101.45", threshold="above range high $101.20", passed=True),
            m.Reason(rule="range", value="$100.10 to $101.20", threshold="09:30 to 09:45", passed=True),
        ),
    )


def approval(symbol: str) -> m.SubmitOrder:
    return m.SubmitOrder(
        ts_event=OPEN_NS + 15 * MINUTE_NS,
        ts_init=OPEN_NS + 15 * MINUTE_NS,
        intent_id=f"i-{symbol}",
        session_date="2025-03-12",
        strategy="open",
        symbol=symbol,
        side="BUY",
        qty_nanos=40 * m.NANOS,
        order_type="LIMIT",
        limit_micros=101_500_000,
        reference_micros=101_500_000,
        trail_bps=200,
        expires_ns=OPEN_NS + 16 * MINUTE_NS,
        cancel_at_ns=OPEN_NS + 20 * MINUTE_NS,
        exit_at_ns=OPEN_NS + 385 * MINUTE_NS,
        reason=f"open bullish on {symbol}: close $101.45; sized by TOTAL_ALLOCATION",
    )


def prepared(symbol: str, leg: m.Leg = "entry") -> m.OrderPrepared:
    return m.OrderPrepared(
        ts_event=OPEN_NS + 15 * MINUTE_NS,
        ts_init=OPEN_NS + 15 * MINUTE_NS,
        client_order_id=f"tb1-{symbol}-{leg}",
        intent_id=f"i-{symbol}",
        leg=leg,
        attempt=1,
        session_date="2025-03-12",
        strategy="open",
        symbol=symbol,
        side="BUY" if leg == "entry" else "SELL",
        qty_nanos=40 * m.NANOS,
        order_type="LIMIT" if leg == "entry" else "TRAILING_STOP",
        limit_micros=101_500_000 if leg == "entry" else 0,
        stop_micros=0 if leg == "entry" else 99_470_000,
        trail_bps=200,
        expires_ns=OPEN_NS + 16 * MINUTE_NS,
        cancel_at_ns=OPEN_NS + 20 * MINUTE_NS,
        exit_at_ns=OPEN_NS + 385 * MINUTE_NS,
        reason="breakout above 101.20" if leg == "entry" else "trailing stop 2 %",
    )


def accepted(symbol: str, leg: m.Leg = "entry") -> m.OrderAccepted:
    return m.OrderAccepted(
        ts_event=OPEN_NS + 15 * MINUTE_NS + MINUTE_NS // 60,
        ts_init=OPEN_NS,
        client_order_id=f"tb1-{symbol}-{leg}",
        broker_order_id=f"b-{symbol}-{leg}",
    )


def rejected(symbol: str) -> m.OrderRejected:
    return m.OrderRejected(
        ts_event=OPEN_NS + 15 * MINUTE_NS,
        ts_init=OPEN_NS,
        client_order_id=f"tb1-{symbol}-entry",
        detail="403: insufficient buying power (cost basis 4060.00)",
    )


def stop_fill(symbol: str, price_micros: int, minute: int = 40) -> m.OrderFilled:
    return m.OrderFilled(
        ts_event=OPEN_NS + minute * MINUTE_NS,
        ts_init=OPEN_NS,
        execution_id=f"e-{symbol}-stop",
        client_order_id=f"tb1-{symbol}-stop",
        broker_order_id=f"b-{symbol}-stop",
        intent_id=f"i-{symbol}",
        leg="stop",
        session_date="2025-03-12",
        strategy="open",
        symbol=symbol,
        side="SELL",
        qty_nanos=40 * m.NANOS,
        price_micros=price_micros,
        commission_micros=120_000,
        cumulative_qty_nanos=40 * m.NANOS,
        order_qty_nanos=40 * m.NANOS,
        broker="PAPER",
        reason="trailing stop 2 %",
    )


def entry_posted(seq: int, filled: m.OrderFilled, gain_micros: int = 0) -> m.EntryPosted:
    cash = m.cash_micros(filled.price_micros, filled.qty_nanos)
    sign = 1 if filled.side == "BUY" else -1
    return m.EntryPosted(
        ts_event=filled.ts_event,
        ts_init=OPEN_NS,
        seq=seq,
        event_type="TRADE",
        source_event_id=f"PAPER|{filled.execution_id}",
        description=f"{filled.side} 40 {filled.symbol} at {filled.price_micros / m.MICROS:.2f}",
        symbol=filled.symbol,
        gain_micros=gain_micros,
        lines=(
            m.PostingLine(account="1210", commodity="USD", amount=sign * cash - min(0, sign) * gain_micros),
            m.PostingLine(account="1110", commodity="USD", amount=-sign * cash),
            *((m.PostingLine(account="4110", commodity="USD", amount=-gain_micros),) if gain_micros else ()),
        ),
        trade=m.TradeLine(
            side=filled.side,
            symbol=filled.symbol,
            qty_nanos=filled.qty_nanos,
            price_micros=filled.price_micros,
            gross_micros=cash,
            commission_micros=filled.commission_micros,
            fees_micros=0,
            order_id=filled.client_order_id,
            fill_id=filled.execution_id,
            strategy="open",
            leg=filled.leg,
            venue="PAPER",
        ),
    )


def play_trades(hub: StatusHub) -> None:
    """Publish three signals: one that is open, one that won, one that the broker refused."""
    for number, symbol in enumerate(("AAPL", "TSLA", "NVDA"), 1):
        hub.publish(signal(symbol), "strategy")
        hub.publish(approval(symbol), "risk")
        hub.publish(prepared(symbol), "execution")
        if symbol == "NVDA":
            hub.publish(rejected(symbol), "execution")
            continue
        hub.publish(accepted(symbol), "execution")
        hub.publish(fill(symbol), "execution")
        hub.publish(entry_posted(number, fill(symbol)), "ledger")
        hub.publish(prepared(symbol, "stop"), "execution")
        hub.publish(accepted(symbol, "stop"), "execution")
    won = stop_fill("TSLA", 104_000_000)
    hub.publish(won, "execution")
    hub.publish(entry_posted(9, won, gain_micros=99_880_000), "ledger")
    hub.publish(m.IntentClosed(ts_event=won.ts_event, ts_init=OPEN_NS, intent_id="i-TSLA", symbol="TSLA"), "execution")


def play_a_day(hub: StatusHub) -> None:
    """Publish what a chain says by late morning."""
    hub.publish(session())
    hub.publish(candidates())
    for minute in range(120):
        wave = (minute % 17 - 8) * 11 + minute * 3 - 100
        hub.publish(portfolio((100_000 + wave) * m.MICROS, minute))
    for symbol in ("AAPL", "BRK.B"):
        hub.publish(fill(symbol))
    lines = [order(symbol, "entry", "FILLED", "breakout above 101.20") for symbol in ("AAPL", "BRK.B")]
    lines += [order(symbol, "stop", "WORKING", "trailing stop 2 %") for symbol in ("AAPL",)]
    lines += [order("NVDA", "entry", "REJECTED", "insufficient buying power")]
    stop = m.StopLine(intent_id="i-AAPL", stop_micros=99_470_000, trail_bps=400, broker_nanos=40 * m.NANOS, bot_nanos=0)
    hub.publish(
        m.OrdersSnapshot(
            ts_event=OPEN_NS + 119 * MINUTE_NS, ts_init=OPEN_NS, orders=tuple(lines), orders_total=4, stops=(stop,)
        )
    )
    hub.publish(portfolio((100_000 + (119 % 17 - 8) * 11 + 119 * 3 - 100) * m.MICROS, 119))
    hub.publish(denied())
    hub.publish(
        m.LedgerSnapshot(
            ts_event=OPEN_NS,
            ts_init=OPEN_NS,
            ledger="TBOT_USA_main_PAPER_BOT01_BOT_ledger.db",
            entries=3,
            imbalance=0,
            cash_micros=87_820 * m.MICROS,
            realized_micros=210 * m.MICROS,
            suspended=0,
        )
    )
    hub.publish(chain())


@contextmanager
def heard(hub: StatusHub) -> Iterator[None]:
    """Let the watchdog be heard for as long as the block lasts."""
    is_over = threading.Event()

    def speak() -> None:
        while not is_over.wait(0.5):
            hub.publish(chain(), "watchdog")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    yield
    is_over.set()
    speaker.join()

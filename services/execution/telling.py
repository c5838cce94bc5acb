"""What the broker reports, in the messages that other services and people are told."""

from collections.abc import Mapping, Sequence
from typing import Final

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.guarding import stop_micros
from services.execution.intents import Intent
from services.execution.orders import Order

#: A reason is cut in the snapshot, so that a full one fits a frame; the journal keeps all of it.
_SNAPSHOT_REASON_MAX: Final = 160


def account_reported(report: r.BrokerAccount, now_ns: int) -> m.AccountReported:
    """Return the account as risk is told of it."""
    return m.AccountReported(
        ts_event=report.ts_event,
        ts_init=now_ns,
        session_date=report.session_date,
        broker=report.broker,
        cash_micros=report.cash_micros,
        buying_power_micros=report.buying_power_micros,
        symbols=report.symbols,
        qtys_nanos=report.qtys_nanos,
    )


def account_stated(report: r.BrokerStatement, now_ns: int) -> m.AccountStated:
    """Return the account as the ledger is told of it."""
    return m.AccountStated(
        ts_event=report.ts_event,
        ts_init=now_ns,
        session_date=report.session_date,
        broker=report.broker,
        occasion=report.occasion,
        cash_micros=report.cash_micros,
        symbols=report.symbols,
        qtys_nanos=report.qtys_nanos,
        working_orders=report.working_orders,
    )


def assets_reported(report: r.BrokerAssets, now_ns: int) -> m.AssetsReported:
    """Return what may be traded as risk is told of it."""
    return m.AssetsReported(
        ts_event=report.ts_event,
        ts_init=now_ns,
        session_date=report.session_date,
        broker=report.broker,
        assets=report.assets,
    )


def cash_moved(report: r.BrokerCash, now_ns: int) -> m.CashMoved:
    """Return a movement of money as the ledger is told of it."""
    return m.CashMoved(
        ts_event=report.ts_event,
        ts_init=now_ns,
        activity_id=report.activity_id,
        kind=report.kind,
        amount_micros=report.amount_micros,
        broker=report.broker,
        symbol=report.symbol,
    )


def contracts_gone(
    report: r.BrokerExpiry | r.BrokerExercise, qty_nanos: int, now_ns: int
) -> m.ContractsExpired | m.ContractsExercised:
    """Return what became of contracts as the ledger is told of it; `qty_nanos` of them were the bot's."""
    kind = m.ContractsExpired if isinstance(report, r.BrokerExpiry) else m.ContractsExercised
    return kind(
        ts_event=report.ts_event,
        ts_init=now_ns,
        activity_id=report.activity_id,
        symbol=report.symbol,
        qty_nanos=qty_nanos,
        broker=report.broker,
    )


def shares_split(report: r.BrokerSplit, now_ns: int) -> m.SharesSplit:
    """Return a split as the ledger is told of it."""
    return m.SharesSplit(
        ts_event=report.ts_event,
        ts_init=now_ns,
        activity_id=report.activity_id,
        symbol=report.symbol,
        numerator=report.numerator,
        denominator=report.denominator,
        broker=report.broker,
    )


def order_lines(orders: Sequence[Order], stops: Mapping[str, int]) -> tuple[m.OrderLine, ...]:
    """Return orders as the snapshot shows them; `stops` says where stops rest now, by client order id."""
    return tuple(_line(order, stops) for order in orders)


def stop_lines(
    intents: Sequence[Intent], stops: Mapping[str, int], peaks_micros: Mapping[str, int]
) -> tuple[m.StopLine, ...]:
    """Return what protects each open position; a position without a stop has no line.

    `stops` says where stops rest at the broker now, by client order id; `peaks_micros` the best bid of what execution
    guards itself, by intent id.
    """
    lines = (_stop_line(intent, stops, peaks_micros.get(intent.intent_id, 0)) for intent in intents)
    return tuple(line for line in lines if line is not None)


def _stop_line(intent: Intent, stops: Mapping[str, int], peak_micros: int) -> m.StopLine | None:
    held = intent.held_nanos
    guarded = min(intent.guarded_nanos, held) if held > 0 else 0
    resting = [order for order in intent.orders if order.leg == "stop" and order.is_resting] if held > 0 else []
    if not guarded and not resting:
        return None
    levels = [_stop_of(order, stops) for order in resting]
    levels += [stop_micros(intent, peak_micros)] if guarded else []
    return m.StopLine(
        intent_id=intent.intent_id,
        stop_micros=min(levels),
        trail_bps=intent.trail_bps,
        broker_nanos=sum(order.prepared.qty_nanos - order.filled_nanos for order in resting),
        bot_nanos=guarded,
    )


def _stop_of(order: Order, stops: Mapping[str, int]) -> int:
    return max(order.prepared.stop_micros, stops.get(order.client_order_id, 0))


def _line(order: Order, stops: Mapping[str, int]) -> m.OrderLine:
    prepared = order.prepared
    return m.OrderLine(
        client_order_id=prepared.client_order_id,
        intent_id=prepared.intent_id,
        leg=prepared.leg,
        strategy=prepared.strategy,
        symbol=prepared.symbol,
        side=prepared.side,
        qty_nanos=prepared.qty_nanos,
        filled_nanos=order.filled_nanos,
        average_micros=order.average_micros,
        order_type=prepared.order_type,
        stop_micros=_stop_of(order, stops),
        state=order.state.value,
        reason=prepared.reason[:_SNAPSHOT_REASON_MAX],
        ts_ns=order.ts_ns,
    )

"""What the broker reports, in the messages that other services and people are told."""

from collections.abc import Mapping, Sequence
from typing import Final

from bus import messages as m
from services.execution.brokers import reports as r
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


def order_lines(orders: Sequence[Order], stops: Mapping[str, int]) -> tuple[m.OrderLine, ...]:
    """Return orders as the snapshot shows them; `stops` says where stops rest now, by client order id."""
    return tuple(_line(order, stops) for order in orders)


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
        stop_micros=max(prepared.stop_micros, stops.get(prepared.client_order_id, 0)),
        state=order.state.value,
        reason=prepared.reason[:_SNAPSHOT_REASON_MAX],
        ts_ns=order.ts_ns,
    )

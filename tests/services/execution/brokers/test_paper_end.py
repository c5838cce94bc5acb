"""The paper broker as the process ends: what rests, and market orders at the quotes that stand."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from bus.testing import OPEN_NS
from services.execution.brokers import reports as r
from services.execution.brokers.interface import OpenOrder, OrderRequest
from services.execution.brokers.paper import PaperBroker
from services.execution.brokers.paper_books import PaperBooksError

DAY = "2013-10-08"
LATER = OPEN_NS + 10 * m.NANOS


def _order(key: str, side: m.Side = "BUY", order_type: m.OrderType = "MARKET", shares: int = 100) -> OrderRequest:
    return OrderRequest(
        reduces=False,
        client_order_id=key,
        symbol="SPY",
        side=side,
        qty_nanos=shares * m.NANOS,
        order_type=order_type,
        limit_micros=m.MICROS if order_type == "LIMIT" else 0,
        stop_micros=m.MICROS if order_type == "STOP" else 0,
        trail_bps=200 if order_type == "TRAILING_STOP" else 0,
        ts_ns=LATER,
    )


@pytest.fixture
def holding(open_broker: Callable[..., PaperBroker], kit: Any) -> PaperBroker:
    """A broker with 1 % slippage that holds 100 SPY and has heard 99.00 bid for 1,000 shares."""
    broker = open_broker(slippage_ppm=10_000)
    broker.submit(_order("buy"))
    broker.on_quotes(kit.spy(11, bid=100.0), DAY)
    broker.on_quotes(kit.spy(12, bid=99.0), DAY)
    return broker


def _fills(reports: Any) -> list[tuple[str, int, int]]:
    return [(f.client_order_id, f.qty_nanos // m.NANOS, f.price_micros) for f in reports]


def test_open_orders_when_orders_rest_then_are_listed_and_what_is_over_is_not(holding: PaperBroker) -> None:
    holding.submit(_order("stop", "SELL", "TRAILING_STOP", shares=60))
    holding.submit(_order("refused", "SELL", shares=900))
    holding.submit(_order("gone", "SELL", shares=10))
    holding.cancel("gone", LATER)
    [order] = holding.open_orders(LATER)
    assert order == OpenOrder(
        client_order_id="stop", broker_order_id=order.broker_order_id, symbol="SPY", side="SELL", stop_micros=97_020_000
    )
    accepted = holding.lookup("stop", LATER)[0]
    assert isinstance(accepted, r.BrokerAccepted)
    assert accepted.broker_order_id == order.broker_order_id


def test_finish_when_a_sale_waits_then_is_filled_at_the_standing_bid_with_slippage(holding: PaperBroker) -> None:
    holding.submit(_order("exit", "SELL"))
    assert _fills(holding.finish(LATER)) == [("exit", 100, 98_010_000)]
    assert holding.open_orders(LATER) == []
    assert holding.faults() == []
    assert holding.finish(LATER) == []


def test_finish_when_the_quote_is_small_then_fills_no_more_than_its_size(holding: PaperBroker, kit: Any) -> None:
    holding.on_quotes(kit.spy(13, bid=99.0, size=30), DAY)
    holding.submit(_order("exit", "SELL"))
    assert _fills(holding.finish(LATER)) == [("exit", 30, 98_010_000)]
    assert [order.client_order_id for order in holding.open_orders(LATER)] == ["exit"]


@pytest.mark.parametrize("order_type", ["LIMIT", "STOP", "TRAILING_STOP"])
def test_finish_when_an_order_is_not_at_market_then_it_goes_on_resting(
    holding: PaperBroker, order_type: m.OrderType
) -> None:
    holding.submit(_order("rests", "SELL", order_type))
    assert holding.finish(LATER) == []
    assert [order.client_order_id for order in holding.open_orders(LATER)] == ["rests"]


def test_finish_when_a_stop_was_hit_in_a_thin_market_then_its_rest_is_sold(holding: PaperBroker, kit: Any) -> None:
    holding.submit(_order("stop", "SELL", "TRAILING_STOP"))
    assert _fills(holding.on_quotes(kit.spy(13, bid=90.0, size=40), DAY)) == [("stop", 40, 89_100_000)]
    assert _fills(holding.finish(LATER)) == [("stop", 40, 89_100_000)]
    assert holding.faults() == []


def test_finish_when_nothing_was_heard_since_the_start_then_everything_waits(
    open_broker: Callable[..., PaperBroker], holding: PaperBroker
) -> None:
    holding.submit(_order("exit", "SELL"))
    again = open_broker(slippage_ppm=10_000)
    assert again.finish(LATER) == []
    assert [order.client_order_id for order in again.open_orders(LATER)] == ["exit"]


def test_finish_when_the_books_cannot_be_written_then_nothing_changes_in_memory(holding: PaperBroker) -> None:
    holding.submit(_order("exit", "SELL"))
    holding._books._db.execute("DROP TABLE executions")
    with pytest.raises(PaperBooksError):
        holding.finish(LATER)
    assert [order.client_order_id for order in holding.open_orders(LATER)] == ["exit"]

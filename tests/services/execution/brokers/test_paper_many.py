"""Many orders that wait: looking only at those that quotes concern is the same as looking at all."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus import messages as m
from bus.testing import OPEN_NS
from services.execution.brokers.interface import OrderRequest
from services.execution.brokers.paper import PaperBroker

DAY = "2013-10-08"
NAMES = ("AAA", "BBB", "CCC", "DDD")
MOMENTS = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.integers(90, 110), min_size=3, max_size=4), min_size=2, max_size=20
)


@settings(max_examples=80, deadline=None)
@given(moments=MOMENTS, trails=st.lists(st.integers(50, 900), min_size=4, max_size=4))
def test_orders_when_many_wait_then_only_looking_at_those_that_quotes_concern_changes_nothing(
    moments: list[dict[str, int]], trails: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        brokers = [PaperBroker(Path(folder) / name, starting_cash_micros=9_000 * m.MICROS) for name in ("a", "b")]
        brokers[1]._working.moved_by = lambda _batch, _heard_ns: list(brokers[1]._working.values())  # type: ignore[method-assign] - the plain way
        told = [list(_waiting(broker, moments, trails)) for broker in brokers]
        assert told[0] == told[1]
        assert brokers[0].account(DAY, 0) == brokers[1].account(DAY, 0)
        assert brokers[0].open_orders(0) == brokers[1].open_orders(0)
        for broker in brokers:
            broker.close()


def _waiting(broker: PaperBroker, moments: list[dict[str, int]], trails: list[int]) -> Iterator[Any]:
    """Buy a share of each name, protect it with a trailing stop, and let the quotes go on."""
    for name in NAMES:
        broker.submit(_order(f"buy-{name}", "BUY", name, 0))
    yield from broker.on_quotes(_moment(1, dict.fromkeys(NAMES, 100)), DAY)
    for name, trail in zip(NAMES, trails, strict=True):
        broker.submit(_order(f"stop-{name}", "SELL", name, trail))
    for step, prices_of in enumerate(moments, 2):
        yield from broker.on_quotes(_moment(step, prices_of), DAY)


def _moment(step: int, bids: dict[str, int]) -> m.QuoteBatch:
    at = OPEN_NS + step * m.NANOS
    quotes = [m.Quote(name, bid * m.MICROS, (bid + 1) * m.MICROS, m.NANOS, m.NANOS, at) for name, bid in bids.items()]
    return m.QuoteBatch.of(quotes, ts_event=at, ts_init=at, step=step)


def _order(key: str, side: m.Side, symbol: str, trail_bps: int) -> OrderRequest:
    """A share to buy at market, or to sell by a trailing stop that is placed a second later."""
    return OrderRequest(
        reduces=False,
        client_order_id=key,
        symbol=symbol,
        side=side,
        qty_nanos=m.NANOS,
        order_type="TRAILING_STOP" if trail_bps else "MARKET",
        limit_micros=0,
        stop_micros=0,
        trail_bps=trail_bps,
        ts_ns=OPEN_NS + (m.NANOS if trail_bps else 0),
    )


@settings(max_examples=60, deadline=None)
@given(moments=MOMENTS, trails=st.lists(st.integers(50, 900), min_size=4, max_size=4), cancels=st.booleans())
def test_books_when_they_are_buffered_then_they_end_as_those_on_disk_with_every_peak(
    moments: list[dict[str, int]], trails: list[int], cancels: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("disk", "buffered")]
        brokers = [
            PaperBroker(path, starting_cash_micros=9_000 * m.MICROS, is_buffered=path.name == "buffered")
            for path in paths
        ]
        told = [list(_waiting(broker, moments, trails)) for broker in brokers]
        assert told[0] == told[1]
        assert brokers[0].open_orders(0) == brokers[1].open_orders(0)
        if cancels:
            assert brokers[0].cancel("stop-AAA", OPEN_NS) == brokers[1].cancel("stop-AAA", OPEN_NS)
        for broker in brokers:
            broker.close()
        assert _dump(paths[0]) == _dump(paths[1])


def _dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as books:
        return sorted(books.iterdump())

"""Commissions of the paper broker: charged with each fill, in whole cents, out of cash that is there."""

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import messages as m
from bus.messages import MICROS, NANOS, cash_micros
from bus.testing import OPEN_NS
from services.execution.brokers.commission import FREE, Commission
from services.execution.brokers.interface import OrderRequest
from services.execution.brokers.paper import PaperBroker

DAY = "2013-10-08"
OpenBroker = Callable[..., PaperBroker]
CHARGES = Commission(share_micros=3_500, order_micros=350_000)


def _request(key: str, side: m.Side = "BUY", shares: int = 100) -> OrderRequest:
    return OrderRequest(
        reduces=False,
        client_order_id=key, symbol="SPY", side=side, qty_nanos=shares * NANOS, order_type="MARKET", limit_micros=0,
        stop_micros=0, trail_bps=0, ts_ns=OPEN_NS,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("commission", "shares", "is_first", "cents"),
    [
        (FREE, 100, True, 0),
        (Commission(share_micros=3_500), 100, True, 35),
        (Commission(share_micros=3_500), 1, True, 0),  # 0.35 cents: half to even, down
        (Commission(share_micros=5_000), 3, False, 2),  # 1.5 cents: half to even, up
        (Commission(order_micros=350_000), 100, True, 35),
        (Commission(order_micros=350_000), 100, False, 0),
        (CHARGES, 1_000, True, 385),
    ],
)
def test_a_fill_when_charged_costs_whole_cents(commission: Commission, shares: int, is_first: bool, cents: int) -> None:
    assert commission.of_fill(shares * NANOS, is_first=is_first) == cents * 10_000


def test_a_round_trip_when_charged_pays_on_both_sides(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker(commission=CHARGES)
    broker.submit(_request("buy"))
    (bought,) = broker.on_quotes(kit.spy(1), DAY)
    broker.submit(_request("sell", "SELL"))
    (sold,) = broker.on_quotes(kit.spy(2), DAY)
    charge = 100 * 3_500 + 350_000
    assert [fill.commission_micros for fill in (bought, sold)] == [charge, charge]
    # Bought at the ask, 100.02, and sold at the bid, 100.00.
    assert broker.account(DAY, 0).cash_micros == kit.CASH - 2 * MICROS - 2 * charge
    assert broker.faults() == []


def test_an_order_when_filled_in_parts_pays_for_the_order_once(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker(commission=Commission(order_micros=MICROS))
    broker.submit(_request("buy", shares=300))
    fills = [fill for step in (1, 2, 3) for fill in broker.on_quotes(kit.spy(step, size=100), DAY)]
    assert [fill.commission_micros for fill in fills] == [MICROS, 0, 0]


def test_a_purchase_when_cash_is_short_leaves_enough_for_its_charge(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker(cash=1_000_300_000, commission=Commission(share_micros=10_000, order_micros=MICROS))
    broker.submit(_request("buy", shares=10))
    (fill,) = broker.on_quotes(kit.spy(1), DAY)
    # Ten shares at 100.02 and a dollar and ten cents would be 1,001.30; nine fit.
    assert fill.qty_nanos == 9 * NANOS
    assert broker.account(DAY, 0).cash_micros == 1_000_300_000 - 9 * 100_020_000 - 1_090_000
    assert broker.faults() == []


def test_a_sale_when_it_brings_less_than_it_costs_takes_no_more_than_that(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker(commission=Commission(order_micros=0))
    broker.submit(_request("buy", shares=1))
    broker.on_quotes(kit.spy(1), DAY)
    broker.close()
    dear = open_broker(commission=Commission(order_micros=100 * MICROS))
    dear.submit(_request("sell", "SELL", shares=1))
    (fill,) = dear.on_quotes(kit.spy(2, bid=1), DAY)
    assert fill.commission_micros == MICROS
    assert dear.account(DAY, 0).cash_micros == kit.CASH - 100_020_000


def test_a_purchase_when_it_and_its_charge_cost_too_much_is_refused(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker(cash=10_002_000_000, commission=Commission(order_micros=10_000))
    broker.on_quotes(kit.spy(1), DAY)
    answer = broker.submit(_request("buy"))
    assert "insufficient cash: $10,002.01 needed" in getattr(answer, "detail", "")


def test_books_when_of_before_commissions_are_opened_with_none_charged(
    open_broker: OpenBroker, books_path: Path, kit: Any
) -> None:
    broker = open_broker()
    broker.submit(_request("buy"))
    broker.on_quotes(kit.spy(1), DAY)
    broker.close()
    with closing(sqlite3.connect(books_path)) as db:
        db.execute("ALTER TABLE executions DROP COLUMN commission_micros")
    again = open_broker(commission=CHARGES)
    assert again.faults() == []
    assert [fill.commission_micros for fill in again.executions_after("", 0)] == [0]
    again.submit(_request("more"))
    assert [fill.commission_micros for fill in again.on_quotes(kit.spy(2), DAY)] == [700_000]


TURN = st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 400), st.integers(1, 12_000), st.integers(1, 150))


@settings(max_examples=80, deadline=None)
@given(
    turns=st.lists(TURN, min_size=5, max_size=25),
    charges=st.tuples(st.integers(0, 1_000_000), st.integers(0, 100_000_000)),
)
def test_cash_when_random_orders_are_charged_never_falls_below_zero_and_is_explained(
    turns: list[tuple[m.Side, int, int, int]], charges: tuple[int, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        commission = Commission(share_micros=charges[0], order_micros=charges[1] // 10_000 * 10_000)
        broker = PaperBroker(Path(folder) / "books.db", starting_cash_micros=5_000 * MICROS, commission=commission)
        cash = 5_000 * MICROS
        for step, (side, shares, cents, size) in enumerate(turns, 1):
            broker.submit(_request(f"o{step}", side, shares))
            at = OPEN_NS + step
            quote = m.Quote("SPY", cents * 10_000, cents * 10_000, size * NANOS, size * NANOS, at)
            for fill in broker.on_quotes(m.QuoteBatch.of((quote,), ts_event=at, ts_init=at, step=step), DAY):
                amount = cash_micros(fill.price_micros, fill.qty_nanos)
                sold = next(t[0] for n, t in enumerate(turns, 1) if f"o{n}" == fill.client_order_id) == "SELL"
                cash += (amount if sold else -amount) - fill.commission_micros
                assert fill.commission_micros >= 0
                assert cash >= 0
        assert broker.account(DAY, 0).cash_micros == cash
        assert broker.faults() == []
        broker.close()

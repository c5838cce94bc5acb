"""The paper broker's realism: how fast, how much, when, and what it refuses and charges beside the price."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus import messages as m
from bus.messages import MICROS, NANOS
from bus.testing import CLOSE_NS, OPEN_NS, a_plan
from services.execution.brokers import reports as r
from services.execution.brokers.commission import Commission
from services.execution.brokers.interface import OrderRequest
from services.execution.brokers.paper import PaperBroker
from services.execution.brokers.paper_rules import PaperRules, allowance_nanos, price_fault

DAY = "2013-10-08"
NEXT = "2013-10-09"
SECOND = NANOS
DAY_NS = 86_400 * SECOND
CLOSE_S = (CLOSE_NS - OPEN_NS) // SECOND
OpenBroker = Callable[..., PaperBroker]


def ask_for(key: str, side: m.Side = "BUY", shares: int = 100, at_s: int = 0, **more: Any) -> OrderRequest:
    """Build an order at market, or of the type that `more` says."""
    values: dict[str, Any] = {
        "client_order_id": key, "symbol": "SPY", "side": side, "qty_nanos": shares * NANOS, "order_type": "MARKET",
        "limit_micros": 0, "stop_micros": 0, "trail_bps": 0, "ts_ns": OPEN_NS + at_s * SECOND,
        "reduces": side == "SELL",
    }  # fmt: skip
    return OrderRequest(**(values | more))


def half_day() -> m.SessionPlanned:
    return replace(a_plan(), close_ns=OPEN_NS + 3 * 3_600 * SECOND, is_half_day=True)


def next_day() -> m.SessionPlanned:
    return replace(a_plan(NEXT), open_ns=OPEN_NS + DAY_NS, close_ns=CLOSE_NS + DAY_NS)


def filled(reports: Any) -> list[tuple[str, int]]:
    return [(f.client_order_id, f.qty_nanos // NANOS) for f in reports if isinstance(f, r.BrokerFill)]


def listed(broker: PaperBroker) -> list[str]:
    return [order.client_order_id for order in broker.open_orders(0)]


# --- how fast ---


def test_an_order_when_it_is_on_its_way_then_misses_the_quotes_of_that_time(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker(rules=PaperRules(latency_ns=2 * SECOND))
    broker.submit(ask_for("a"))
    assert [filled(broker.on_quotes(kit.spy(step), DAY)) for step in (1, 2, 3)] == [[], [], [("a", 100)]]


def test_a_trailing_stop_when_it_is_on_its_way_then_its_peak_is_not_there_yet(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker(rules=PaperRules(latency_ns=2 * SECOND))
    broker.submit(ask_for("a"))
    broker.on_quotes(kit.spy(3), DAY)
    broker.submit(ask_for("t", "SELL", at_s=3, order_type="TRAILING_STOP", trail_bps=200))
    broker.on_quotes(kit.spy(4, bid=150), DAY)
    assert filled(broker.on_quotes(kit.spy(6, bid=110), DAY)) == []
    [order] = broker.open_orders(0)
    assert order.stop_micros == 107_800_000


# --- how much ---


def test_an_order_when_only_a_part_may_be_taken_then_a_minute_gives_no_more_than_it(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker(rules=PaperRules(participation_percent=10))
    broker.submit(ask_for("a", shares=250))
    taken = [filled(broker.on_quotes(kit.spy(n, at_s=at, size=1_000), DAY)) for n, at in enumerate((1, 20, 61, 90), 1)]
    assert taken == [[("a", 100)], [], [("a", 100)], []]
    assert filled(broker.on_quotes(kit.spy(5, at_s=121), DAY)) == [("a", 50)]


def test_a_minute_when_a_larger_size_is_shown_then_gives_the_rest_of_its_part(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker(rules=PaperRules(participation_percent=10))
    broker.submit(ask_for("a", shares=250))
    taken = [filled(broker.on_quotes(kit.spy(n, at_s=n, size=size), DAY)) for n, size in enumerate((300, 1_000), 1)]
    assert taken == [[("a", 30)], [("a", 70)]]


def test_two_orders_when_a_part_may_be_taken_then_share_it_and_the_other_side_has_its_own(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker(rules=PaperRules(participation_percent=10))
    for key in ("a", "b"):
        broker.submit(ask_for(key, shares=80))
    assert filled(broker.on_quotes(kit.spy(1), DAY)) == [("a", 80), ("b", 20)]
    broker.submit(ask_for("s", "SELL", shares=90, at_s=1))
    assert filled(broker.on_quotes(kit.spy(2), DAY)) == [("s", 90)]


def test_a_restart_when_the_minutes_part_is_taken_then_it_is_not_given_again(open_broker: OpenBroker, kit: Any) -> None:
    rules = PaperRules(participation_percent=10)
    broker = open_broker(rules=rules)
    broker.submit(ask_for("a", shares=250))
    broker.on_quotes(kit.spy(1), DAY)
    again = open_broker(rules=rules)
    assert filled(again.on_quotes(kit.spy(2, at_s=30), DAY)) == []
    assert filled(again.on_quotes(kit.spy(3, at_s=61), DAY)) == [("a", 100)]


@given(shown=st.integers(0, 10**14), taken=st.integers(0, 10**14), percent=st.integers(1, 99))
def test_an_allowance_when_a_part_may_be_taken_then_is_never_more_than_is_shown_nor_starves(
    shown: int, taken: int, percent: int
) -> None:
    free = allowance_nanos(shown, taken, percent)
    assert 0 <= free <= shown
    assert free + taken <= max(taken, shown * percent // 100, min(shown, NANOS))
    assert allowance_nanos(shown, 0, percent) > 0 or shown == 0
    assert allowance_nanos(shown, taken, 100) == shown


# --- when ---


def test_an_order_when_it_is_before_the_open_then_waits_for_it(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker()
    broker.planned(a_plan())
    broker.submit(ask_for("a", at_s=-600))
    assert filled(broker.on_quotes(kit.spy(1, at_s=-300), DAY)) == []
    assert filled(broker.on_quotes(kit.spy(2, at_s=0), DAY)) == [("a", 100)]


def test_a_day_order_when_a_half_day_closes_early_then_is_over_at_its_close(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker()
    broker.planned(half_day())
    broker.submit(ask_for("l", order_type="LIMIT", limit_micros=90 * MICROS))
    assert broker.on_quotes(kit.spy(1, at_s=3 * 3_600 - 1), DAY) == []
    [ended] = broker.on_quotes(kit.spy(2, at_s=3 * 3_600, bid=80), DAY)
    assert isinstance(ended, r.BrokerCancelled)
    assert "session has closed" in ended.detail
    assert listed(broker) == []


def test_an_order_when_it_comes_after_a_half_days_close_then_is_for_the_next_session(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker()
    broker.planned(half_day())
    broker.submit(ask_for("a", at_s=4 * 3_600))
    assert broker.on_quotes(kit.spy(1, at_s=4 * 3_600 + 1), DAY) == []
    again = open_broker()
    again.planned(half_day())
    assert listed(again) == ["a"]
    again.planned(next_day())
    assert filled(again.on_quotes(kit.spy(1, at_s=86_401), NEXT)) == [("a", 100)]


def test_a_day_order_when_nobody_heard_the_close_then_is_over_by_the_next_plan(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker()
    broker.planned(a_plan())
    broker.submit(ask_for("l", order_type="LIMIT", limit_micros=90 * MICROS))
    again = open_broker()
    again.planned(next_day())
    assert [type(report) for report in again.lookup("l", 0)] == [r.BrokerAccepted, r.BrokerCancelled]
    assert again.faults() == []


def test_a_day_order_when_the_same_day_is_planned_again_then_goes_on(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker()
    broker.planned(a_plan())
    broker.submit(ask_for("a"))
    again = open_broker()
    again.planned(a_plan())
    assert filled(again.on_quotes(kit.spy(1), DAY)) == [("a", 100)]


def test_a_stop_when_a_night_goes_by_then_it_stays_where_it_was(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker()
    broker.planned(a_plan())
    broker.submit(ask_for("a"))
    broker.on_quotes(kit.spy(1), DAY)
    broker.submit(ask_for("t", "SELL", at_s=1, order_type="TRAILING_STOP", trail_bps=200))
    broker.on_quotes(kit.spy(2, at_s=CLOSE_S, bid=60), DAY)
    broker.planned(next_day())
    [order] = broker.open_orders(0)
    assert (order.client_order_id, order.stop_micros) == ("t", 98 * MICROS)
    assert filled(broker.on_quotes(kit.spy(1, at_s=86_401, bid=97), NEXT)) == [("t", 100)]


def test_a_day_without_trading_when_planned_then_nothing_trades(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker()
    broker.planned(replace(a_plan(), open_ns=0, close_ns=0, is_trading_day=False))
    broker.submit(ask_for("a"))
    assert broker.on_quotes(kit.spy(1), DAY) == []
    assert listed(broker) == ["a"]


def test_the_end_of_the_process_when_the_market_is_closed_then_fills_nothing(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker()
    broker.planned(a_plan())
    broker.on_quotes(kit.spy(1), DAY)
    broker.submit(ask_for("a", at_s=2))
    assert broker.finish(CLOSE_NS) == ()
    assert filled(broker.finish(CLOSE_NS - 1)) == [("a", 100)]


def test_books_when_they_are_of_before_orders_were_for_a_day_then_are_read_and_go_on(
    open_broker: OpenBroker, books_path: Path, kit: Any
) -> None:
    broker = open_broker()
    broker.submit(ask_for("a"))
    broker.close()
    with closing(sqlite3.connect(books_path)) as db:
        db.execute("ALTER TABLE orders DROP COLUMN session_date")
        db.execute("DROP TABLE expiries")
    again = open_broker()
    again.planned(a_plan())
    assert filled(again.on_quotes(kit.spy(1), DAY)) == [("a", 100)]
    assert again.faults() == []


# --- what is refused ---


@pytest.mark.parametrize(
    ("symbol", "dollars", "is_taken"),
    [
        ("SPY", "100.01", True),
        ("SPY", "100.001", False),
        ("SPY", "1", True),
        ("SPY", "0.9999", True),
        ("SPY", "0.99999", False),
        ("SPY131011P00100000", "0.05", True),
        ("SPY131011P00100000", "0.0525", False),
    ],
)
@pytest.mark.parametrize("kind", ["LIMIT", "STOP"])
def test_a_price_when_it_is_between_two_ticks_then_is_refused(
    symbol: str, dollars: str, is_taken: bool, kind: m.OrderType
) -> None:
    price = int(float(dollars) * MICROS + 0.5)
    limit, stop = (price, 0) if kind == "LIMIT" else (0, price)
    assert (price_fault(symbol, kind, limit, stop) is None) == is_taken


def test_a_trailing_stop_when_it_begins_between_two_ticks_then_is_taken(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker()
    broker.submit(ask_for("a"))
    broker.on_quotes(kit.spy(1), DAY)
    trailing = ask_for("t", "SELL", order_type="TRAILING_STOP", trail_bps=200, stop_micros=98_019_600)
    assert isinstance(broker.submit(trailing), r.BrokerAccepted)


def test_an_order_when_the_other_side_is_open_and_the_rule_is_on_then_is_refused(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker(rules=PaperRules(refuses_opposite_sides=True))
    broker.submit(ask_for("a"))
    broker.on_quotes(kit.spy(1), DAY)
    broker.submit(ask_for("t", "SELL", order_type="TRAILING_STOP", trail_bps=200))
    answer = broker.submit(ask_for("b", shares=1))
    assert isinstance(answer, r.BrokerRejected)
    assert "other side is open in SPY" in answer.detail
    assert isinstance(broker.submit(ask_for("q", symbol="QQQ", shares=1)), r.BrokerAccepted)
    broker.cancel("t", 0)
    assert isinstance(broker.submit(ask_for("c", shares=1)), r.BrokerAccepted)


# --- what a sale pays to the regulators ---


@pytest.mark.parametrize(
    ("shares", "dollars", "sec_cents", "taf_micros", "cents"),
    [
        (100, 10_000, 2_780, 0, 28),  # 0.278 dollars, up
        (100, 10_000, 0, 166, 2),  # 0.0166 dollars, up
        (100, 10_000, 2_780, 166, 30),
        (1, 1, 2_780, 166, 2),  # each fee is a cent at least
        (60_000, 600_000, 0, 166, 830),  # no more than 50,000 shares pay
        (100, 10_000, 0, 0, 0),
    ],
)
def test_a_sale_when_the_regulators_take_their_fees_then_each_is_rounded_up_to_a_cent(
    shares: int, dollars: int, sec_cents: int, taf_micros: int, cents: int
) -> None:
    fees = Commission(sec_cents=sec_cents, taf_micros=taf_micros)
    assert fees.of_sale(shares * NANOS, dollars * MICROS, is_first=True) == cents * 10_000
    assert fees.of_fill(shares * NANOS, is_first=True) == 0


def test_a_round_trip_when_the_regulators_take_their_fees_then_only_the_sale_pays(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker(commission=Commission(sec_cents=2_780, taf_micros=166))
    broker.submit(ask_for("a"))
    bought = broker.on_quotes(kit.spy(1), DAY)
    broker.submit(ask_for("s", "SELL", at_s=1))
    sold = broker.on_quotes(kit.spy(2), DAY)
    assert [f.commission_micros for f in (*bought, *sold)] == [0, 300_000]
    assert broker.account(DAY, 0).cash_micros == kit.CASH - 2_300_000
    assert broker.faults() == []


def test_a_sale_when_it_brings_less_than_its_fees_then_costs_what_it_brings(open_broker: OpenBroker, kit: Any) -> None:
    broker = open_broker(commission=Commission(sec_cents=2_780, taf_micros=166))
    broker.submit(ask_for("a", shares=1))
    broker.on_quotes(kit.quotes(1, ("SPY", 0.009, 0.01, 10, 10)), DAY)
    broker.submit(ask_for("s", "SELL", shares=1, at_s=1))
    [sold] = broker.on_quotes(kit.quotes(2, ("SPY", 0.01, 0.011, 10, 10)), DAY)
    assert sold.commission_micros == 10_000
    assert broker.faults() == []


# --- options ---

PUT = "SPY131008P00100000"


@pytest.mark.parametrize("is_buffered", [False, True])
def test_a_put_when_its_day_has_closed_then_is_gone_for_nothing_and_the_books_agree(
    open_broker: OpenBroker, books_path: Path, kit: Any, is_buffered: bool
) -> None:
    broker = PaperBroker(books_path, starting_cash_micros=kit.CASH, is_buffered=is_buffered)
    broker.planned(a_plan())
    broker.submit(ask_for("p", symbol=PUT, shares=2))
    broker.on_quotes(kit.quotes(1, (PUT, 1.9, 2, 10, 10)), DAY)
    broker.submit(ask_for("t", "SELL", symbol=PUT, shares=2, order_type="TRAILING_STOP", trail_bps=2_000, at_s=1))
    [ended] = broker.on_quotes(kit.quotes(2, (PUT, 0.1, 0.2, 10, 10), at_s=CLOSE_S), DAY)
    assert (ended.client_order_id, ended.filled_qty_nanos) == ("t", 0)
    assert "no longer traded" in ended.detail
    account = broker.account(DAY, 0)
    assert (account.symbols, account.cash_micros) == ((), kit.CASH - 400 * MICROS)
    broker.close()
    again = open_broker()
    assert again.faults() == []
    assert again.account(DAY, 0).symbols == ()


def test_a_put_when_it_costs_a_charge_too_then_the_cash_buys_whole_contracts_only(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = open_broker(cash=1_000 * MICROS, commission=Commission(share_micros=650_000))
    broker.submit(ask_for("p", symbol=PUT, shares=10))
    [fill] = broker.on_quotes(kit.quotes(1, (PUT, 1.9, 2, 10, 10)), DAY)
    assert (fill.qty_nanos // NANOS, fill.commission_micros) == (4, 2_600_000)
    assert broker.account(DAY, 0).cash_micros == (1_000 - 800) * MICROS - 2_600_000


def test_assets_when_one_is_an_option_then_it_is_traded_whole(open_broker: OpenBroker) -> None:
    share, put = open_broker().assets(("SPY", PUT), 0)
    assert (share.is_fractionable, put.is_fractionable) == (True, False)
    assert put.is_tradable

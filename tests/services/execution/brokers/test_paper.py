"""The paper broker: every order type, sizes, refusals, restarts, and invariants over random days."""

import resource
import tempfile
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import messages as m
from bus.messages import cash_micros
from bus.testing import OPEN_NS
from services.execution.brokers import reports as r
from services.execution.brokers.commission import FREE, Commission
from services.execution.brokers.interface import OrderRequest, StopTradingError
from services.execution.brokers.paper import PaperBroker
from services.execution.brokers.paper_books import PaperBooksError

DAY = "2013-10-08"


def request(
    key: str,
    side: m.Side = "BUY",
    shares: int = 100,
    order_type: m.OrderType = "MARKET",
    symbol: str = "SPY",
    at_s: int = 0,
    **prices: int,
) -> OrderRequest:
    values = {"limit_micros": 0, "stop_micros": 0, "trail_bps": 0} | prices
    return OrderRequest(
        reduces=False,
        client_order_id=key,
        symbol=symbol,
        side=side,
        qty_nanos=shares * m.NANOS,
        order_type=order_type,
        ts_ns=OPEN_NS + at_s * m.NANOS,
        **values,
    )


def dollars(value: float) -> int:
    return round(value * m.MICROS)


@pytest.fixture
def broker(open_broker: Callable[..., PaperBroker]) -> PaperBroker:
    return open_broker()


@pytest.fixture
def holding(broker: PaperBroker, kit: Any) -> PaperBroker:
    """A broker that holds 100 SPY, bought at 100.02 at step 1."""
    broker.submit(request("buy"))
    broker.on_quotes(kit.spy(1), DAY)
    return broker


def prices(reports: Sequence[Any]) -> list[tuple[float, int]]:
    return [(f.price_micros / m.MICROS, f.qty_nanos // m.NANOS) for f in reports]


def test_market_buy_when_quoted_after_acceptance_then_fills_at_the_ask(broker: PaperBroker, kit: Any) -> None:
    assert isinstance(broker.submit(request("a")), r.BrokerAccepted)
    assert prices(broker.on_quotes(kit.spy(1), DAY)) == [(100.02, 100)]
    assert broker.account(DAY, 0).cash_micros == kit.CASH - dollars(10_002)


def test_market_buy_when_quoted_at_the_moment_of_acceptance_then_waits(broker: PaperBroker, kit: Any) -> None:
    broker.submit(request("a", at_s=1))
    assert broker.on_quotes(kit.spy(1, at_s=1), DAY) == []
    assert len(broker.on_quotes(kit.spy(2, at_s=2), DAY)) == 1


def test_market_sell_when_quoted_then_fills_at_the_bid(holding: PaperBroker, kit: Any) -> None:
    holding.submit(request("s", "SELL"))
    assert prices(holding.on_quotes(kit.spy(2, bid=101), DAY)) == [(101, 100)]
    assert holding.account(DAY, 0).symbols == ()


def test_market_order_when_slippage_is_set_then_pays_it_both_ways(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker(slippage_ppm=1000)
    broker.submit(request("a"))
    assert prices(broker.on_quotes(kit.quotes(1, ("SPY", 99, 100, 500, 500)), DAY)) == [(100.1, 100)]
    broker.submit(request("b", "SELL"))
    assert prices(broker.on_quotes(kit.quotes(2, ("SPY", 100, 101, 500, 500)), DAY)) == [(99.9, 100)]


@pytest.mark.parametrize(
    ("side", "limit", "bids"), [("BUY", 99.52, [100, 99.51, 99.50]), ("SELL", 101, [100, 100.99, 101])]
)
def test_limit_order_when_the_quote_reaches_it_then_fills_at_the_quote(
    holding: PaperBroker, kit: Any, side: m.Side, limit: float, bids: list[float]
) -> None:
    holding.submit(request("l", side, order_type="LIMIT", limit_micros=dollars(limit)))
    filled = [len(holding.on_quotes(kit.spy(2 + n, bid=bid), DAY)) for n, bid in enumerate(bids)]
    assert filled == [0, 0, 1]


def test_stop_when_the_bid_falls_to_it_then_sells_at_that_bid(holding: PaperBroker, kit: Any) -> None:
    holding.submit(request("s", "SELL", order_type="STOP", stop_micros=dollars(98)))
    assert holding.on_quotes(kit.spy(2, bid=98.01), DAY) == []
    assert prices(holding.on_quotes(kit.spy(3, bid=97), DAY)) == [(97, 100)]


def test_stop_buy_when_the_ask_rises_to_it_then_buys_at_that_ask(broker: PaperBroker, kit: Any) -> None:
    broker.submit(request("s", order_type="STOP", stop_micros=dollars(102)))
    assert broker.on_quotes(kit.spy(1, bid=101.97), DAY) == []
    assert prices(broker.on_quotes(kit.spy(2, bid=102), DAY)) == [(102.02, 100)]


def test_trailing_stop_when_the_bid_falls_from_its_peak_then_sells_exactly_at_the_trail(
    holding: PaperBroker, kit: Any
) -> None:
    holding.submit(request("t", "SELL", order_type="TRAILING_STOP", trail_bps=200))
    bids = [100, 110, 107.81, 109, 107.80]
    fills = [prices(holding.on_quotes(kit.spy(2 + n, bid=bid), DAY)) for n, bid in enumerate(bids)]
    assert fills == [[], [], [], [], [(107.80, 100)]]


def test_trailing_stop_when_the_market_gaps_at_once_then_the_standing_bid_was_its_peak(
    holding: PaperBroker, kit: Any
) -> None:
    holding.submit(request("t", "SELL", order_type="TRAILING_STOP", trail_bps=200))
    assert prices(holding.on_quotes(kit.spy(2, bid=90), DAY)) == [(90, 100)]


def test_stop_when_triggered_in_a_thin_market_then_goes_on_as_a_market_order(holding: PaperBroker, kit: Any) -> None:
    holding.submit(request("t", "SELL", order_type="TRAILING_STOP", trail_bps=200))
    assert prices(holding.on_quotes(kit.spy(2, bid=90, size=30), DAY)) == [(90, 30)]
    assert prices(holding.on_quotes(kit.spy(3, bid=99, size=30), DAY)) == [(99, 30)]
    assert prices(holding.on_quotes(kit.spy(4, bid=99, size=300), DAY)) == [(99, 40)]


def test_fill_when_the_quote_is_small_then_orders_share_it_in_the_order_of_acceptance(
    broker: PaperBroker, kit: Any
) -> None:
    for key in ("a", "b", "c"):
        broker.submit(request(key, shares=50))
    fills = broker.on_quotes(kit.spy(1, size=70), DAY)
    assert [(f.client_order_id, f.qty_nanos // m.NANOS) for f in fills] == [("a", 50), ("b", 20)]
    fills = broker.on_quotes(kit.spy(2, size=70), DAY)
    assert [(f.client_order_id, f.qty_nanos // m.NANOS) for f in fills] == [("b", 30), ("c", 40)]
    assert [f.execution_id for f in broker.executions_after("PX-000002", 0)] == ["PX-000003", "PX-000004"]


@pytest.mark.parametrize(
    "row",
    [
        ("SPY", 100, 0, 500, 500),
        ("SPY", 0, 100, 500, 500),
        ("SPY", 100, 100.02, 0, 500),
        ("SPY", 100, 100.02, 500, 0),
        ("SPY", 100.03, 100.02, 500, 500),
        ("QQQ", 100, 100.02, 500, 500),
    ],
)
def test_quote_when_a_side_is_missing_or_crossed_then_fills_nothing(
    holding: PaperBroker, kit: Any, row: tuple[str, float, float, int, int]
) -> None:
    holding.submit(request("a"))
    holding.submit(request("t", "SELL", order_type="TRAILING_STOP", trail_bps=200))
    assert holding.on_quotes(kit.quotes(2, row), DAY) == []


def test_buying_power_when_purchases_come_and_go_then_it_is_the_cash_less_all_that_wait_at_the_newest_ask(
    broker: PaperBroker, kit: Any
) -> None:
    cash = kit.CASH

    def waiting(shares: int, price: float) -> int:
        return cash - broker.account(DAY, 0).buying_power_micros - shares * dollars(price)

    broker.on_quotes(kit.quotes(1, ("SPY", 100, 101, 10, 10)), DAY)
    broker.submit(request("a", shares=20))
    broker.submit(request("b", shares=5))
    assert waiting(25, 101) == 0
    broker.submit(request("c", shares=7, order_type="LIMIT", limit_micros=dollars(90)))
    assert waiting(25, 101) == 7 * dollars(90)
    broker.cancel("b", OPEN_NS)
    assert waiting(20, 101) == 7 * dollars(90)
    broker.on_quotes(kit.quotes(2, ("SPY", 101, 102, 10, 10)), DAY)
    cash = broker.account(DAY, 0).cash_micros
    assert cash == kit.CASH - 10 * dollars(102)
    assert waiting(10, 102) == 7 * dollars(90)
    broker.on_quotes(kit.quotes(3, ("SPY", 102, 103, 0, 0)), DAY)
    assert waiting(10, 103) == 7 * dollars(90)


def test_sell_when_more_than_held_then_is_rejected_with_the_numbers(holding: PaperBroker) -> None:
    answer = holding.submit(request("s", "SELL", shares=101))
    assert isinstance(answer, r.BrokerRejected)
    assert "101 SPY to sell, 100 held" in answer.detail


def test_sell_when_the_shares_wait_for_another_sale_then_is_rejected(holding: PaperBroker) -> None:
    holding.submit(request("t", "SELL", order_type="TRAILING_STOP", trail_bps=200))
    assert isinstance(holding.submit(request("s", "SELL", shares=1)), r.BrokerRejected)


def test_buy_when_the_cash_is_short_then_is_rejected_with_the_numbers(broker: PaperBroker, kit: Any) -> None:
    broker.on_quotes(kit.spy(1), DAY)
    assert isinstance(broker.submit(request("a", shares=600, at_s=1)), r.BrokerAccepted)
    answer = broker.submit(request("b", shares=600, at_s=1))
    assert isinstance(answer, r.BrokerRejected)
    assert "$60,012.00 needed, $100,000.00 there, $60,012.00 of it" in answer.detail


def test_buy_when_the_price_runs_away_then_fills_no_more_than_the_cash_buys(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker(cash=dollars(1_000))
    broker.submit(request("a", shares=10))
    assert prices(broker.on_quotes(kit.quotes(1, ("SPY", 299, 300, 500, 500)), DAY)) == [(300, 3)]
    assert broker.account(DAY, 0).cash_micros == dollars(100)


@pytest.mark.parametrize(
    "bad",
    [
        request("x", shares=0),
        request("x", order_type="LIMIT"),
        request("x", order_type="STOP"),
        request("x", order_type="TRAILING_STOP", trail_bps=200),
        request("x", "SELL", order_type="TRAILING_STOP"),
    ],
)
def test_submit_when_the_order_makes_no_sense_then_is_rejected(holding: PaperBroker, bad: OrderRequest) -> None:
    assert isinstance(holding.submit(bad), r.BrokerRejected)
    assert [type(report) for report in holding.lookup("x", 0)] == [r.BrokerRejected]


def test_submit_when_the_client_id_is_known_then_is_a_duplicate_in_every_state(holding: PaperBroker) -> None:
    for key, answer in (("buy", r.BrokerDuplicate), ("no", r.BrokerRejected), ("no", r.BrokerDuplicate)):
        assert type(holding.submit(request(key, shares=10**6 if key == "no" else 1, side="SELL"))) is answer


def test_cancel_when_working_then_is_over_and_fills_no_more(broker: PaperBroker, kit: Any) -> None:
    broker.submit(request("a"))
    broker.on_quotes(kit.spy(1, size=30), DAY)
    [report] = broker.cancel("a", 0)
    assert (type(report), report.filled_qty_nanos) == (r.BrokerCancelled, 30 * m.NANOS)
    assert broker.on_quotes(kit.spy(2), DAY) == []


def test_cancel_when_already_filled_then_tells_the_fills(holding: PaperBroker) -> None:
    assert [type(report) for report in holding.cancel("buy", 0)] == [r.BrokerAccepted, r.BrokerFill]


def test_cancel_when_the_order_never_was_then_says_not_found(broker: PaperBroker) -> None:
    assert [type(report) for report in broker.cancel("nobody", 0)] == [r.BrokerNotFound]


def test_restart_when_a_stop_trails_then_its_peak_is_remembered(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker()
    broker.submit(request("a"))
    broker.on_quotes(kit.spy(1), DAY)
    broker.submit(request("t", "SELL", order_type="TRAILING_STOP", trail_bps=200, at_s=1))
    broker.on_quotes(kit.spy(2, bid=120), DAY)
    again = open_broker()
    assert prices(again.on_quotes(kit.spy(3, bid=117.60), DAY)) == [(117.60, 100)]


def test_restart_when_a_step_is_heard_again_then_it_fills_nothing_twice(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker()
    broker.submit(request("a"))
    assert len(broker.on_quotes(kit.spy(1, size=30), DAY)) == 1
    assert len(broker.on_quotes(kit.spy(1, size=30), DAY)) == 0
    again = open_broker()
    assert len(again.on_quotes(kit.spy(1, size=30), DAY)) == 0
    assert len(again.on_quotes(kit.spy(1, size=30), "2013-10-09")) == 1


def test_restart_when_the_account_exists_then_is_not_opened_again(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    open_broker(cash=dollars(5_000))
    again = open_broker(cash=dollars(9_000))
    assert again.account(DAY, 0).cash_micros == dollars(5_000)
    [first] = again.activities(7)
    [second] = open_broker().activities(9)
    assert (first.activity_id, first.amount_micros, first.ts_event) == ("PA-000001", dollars(5_000), 7)
    assert second.ts_event == 7


def test_write_when_the_file_is_gone_bad_then_nothing_changes_in_memory(broker: PaperBroker, kit: Any) -> None:
    broker.submit(request("a"))
    broker._books._db.execute("DROP TABLE executions")
    with pytest.raises(PaperBooksError, match="cannot be used"):
        broker.on_quotes(kit.spy(1), DAY)
    account = broker.account(DAY, 0)
    assert (account.cash_micros, account.symbols) == (kit.CASH, ())


def test_faults_when_the_books_were_edited_then_each_disagreement_is_named(holding: PaperBroker) -> None:
    assert holding.faults() == []
    holding._books._db.execute("UPDATE account SET cash_micros = cash_micros + 1")
    holding._books._db.execute("UPDATE positions SET qty_nanos = 1")
    holding._books._db.execute("UPDATE orders SET filled_nanos = 1")
    assert [fault.split()[3] for fault in holding.faults()] == ["cash", "positions", "orders"]


@given(price=st.integers(1, 2**40), qty=st.integers(1, 10**14))
def test_cash_when_rounded_then_is_whole_cents_half_to_even(price: int, qty: int) -> None:
    micros = (Decimal(price) * qty / m.NANOS).quantize(Decimal(1), ROUND_HALF_EVEN)
    cents = (micros / 10_000).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert cash_micros(price, qty) == int(cents) * 10_000


def on_tick(price: int) -> int:
    return price - price % (10_000 if price >= m.MICROS else 100)


STEP = st.tuples(
    st.sampled_from(["submit", "cancel", "quotes", "restart"]),
    st.sampled_from(["AAA", "BBB"]),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from(["MARKET", "LIMIT", "STOP", "TRAILING_STOP"]),
    st.integers(1, 300_000_000_000),
    st.integers(1_000, 40_000_000),
    st.integers(0, 200),
)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(STEP, max_size=40),
    slippage_ppm=st.sampled_from([0, 137, 10_000]),
    commission=st.sampled_from(
        [FREE, Commission(share_micros=3_500), Commission(share_micros=9, order_micros=350_000)]
    ),
    is_buffered=st.booleans(),
)
def test_books_when_a_random_day_is_played_then_every_cent_and_share_is_explained(
    steps: Any, slippage_ppm: int, commission: Commission, is_buffered: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "books.db"
        options = {"slippage_ppm": slippage_ppm, "commission": commission, "is_buffered": is_buffered}
        broker = PaperBroker(path, starting_cash_micros=dollars(3_000), **options)
        ordered, told, count = {}, [], 0
        for n, (action, symbol, side, kind, qty, price, size) in enumerate(steps, start=1):
            at = OPEN_NS + n
            if action == "submit":
                count += 1
                order = OrderRequest(
                    reduces=False,
                    client_order_id=f"o{count}",
                    symbol=symbol,
                    side=side,
                    qty_nanos=qty,
                    order_type=kind,
                    limit_micros=on_tick(price) if kind == "LIMIT" else 0,
                    stop_micros=on_tick(price) if kind == "STOP" else 0,
                    trail_bps=150 if kind == "TRAILING_STOP" else 0,
                    ts_ns=at,
                )
                ordered[order.client_order_id] = (order, type(broker.submit(order)))
            elif action == "cancel" and count:
                broker.cancel(f"o{1 + qty % count}", at)
            elif action == "quotes":
                quote = m.Quote(symbol, price, price + size * 100, size * m.NANOS // 3, size * m.NANOS // 7, at)
                batch = m.QuoteBatch.of((quote,), ts_event=at, ts_init=at, step=n)
                told += broker.on_quotes(batch, DAY)
            elif action == "restart":
                broker.close()
                broker = PaperBroker(path, starting_cash_micros=1, **options)
        check_books(broker, ordered, told)
        broker.close()
        kept = PaperBroker(path, starting_cash_micros=1)
        check_books(kept, ordered, told)
        kept.close()


def check_books(broker: PaperBroker, ordered: dict[str, Any], told: list[Any]) -> None:
    fills = broker.executions_after("", 0)
    assert [f.execution_id for f in fills] == [f.execution_id for f in told]
    cash, held, filled = dollars(3_000), {}, {}
    for fill in fills:
        order, answer = ordered[fill.client_order_id]
        assert answer is r.BrokerAccepted
        sign = 1 if order.side == "BUY" else -1
        cash -= sign * cash_micros(fill.price_micros, fill.qty_nanos) + fill.commission_micros
        held[order.symbol] = held.get(order.symbol, 0) + sign * fill.qty_nanos
        filled[fill.client_order_id] = filled.get(fill.client_order_id, 0) + fill.qty_nanos
        assert cash >= 0
        assert held[order.symbol] >= 0
        assert filled[fill.client_order_id] <= order.qty_nanos
    account = broker.account(DAY, 0)
    assert account.cash_micros == cash
    assert account.cash_micros % 10_000 == 0
    assert dict(zip(account.symbols, account.qtys_nanos, strict=True)) == {s: q for s, q in held.items() if q}
    assert broker.faults() == []


def _submit_many(broker: PaperBroker) -> None:
    for number in range(1_000):
        broker.submit(request(f"order-{number}", shares=1))


def test_books_when_the_disk_is_full_then_nothing_of_the_order_is_kept_and_the_next_start_takes_it_once(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker()
    broker._books._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(PaperBooksError, match=r"is full.*free disk"):
        _submit_many(broker)
    taken = len(broker.open_orders(0))
    assert taken > 0
    with pytest.raises(PaperBooksError, match="closed"):
        broker.submit(request("another", shares=1))
    again = open_broker()
    assert again.faults() == []
    assert len(again.open_orders(0)) == taken
    assert isinstance(again.submit(request(f"order-{taken}", shares=1)), r.BrokerAccepted)
    assert isinstance(again.submit(request(f"order-{taken}", shares=1)), r.BrokerDuplicate)


def test_books_when_a_write_fails_then_they_are_not_used_again_before_they_are_read_anew(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker()
    broker.submit(request("a"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(PaperBooksError, match="disk I/O error"):
            broker.on_quotes(kit.spy(1), DAY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for use in (
        lambda: broker.on_quotes(kit.spy(2), DAY),
        lambda: broker.lookup("a", 0),
        lambda: broker.cancel("a", 0),
    ):
        with pytest.raises(PaperBooksError, match="closed"):
            use()
    again = open_broker()
    assert again.faults() == []
    assert len(again.on_quotes(kit.spy(2), DAY)) == 1
    assert [f.execution_id for f in again.executions_after("", 0)] == ["PX-000001"]


def test_books_when_a_page_is_damaged_then_are_not_opened(
    books_path: Path, open_broker: Callable[..., PaperBroker]
) -> None:
    broker = open_broker()
    for number in range(50):
        broker.submit(request(f"order-{number}", shares=1))
    broker.close()
    content = bytearray(books_path.read_bytes())
    content[4096 * 3 : 4096 * 4] = b"\xa5" * 4096
    books_path.write_bytes(content)
    with pytest.raises(StopTradingError, match="put back a sound copy"):
        open_broker()

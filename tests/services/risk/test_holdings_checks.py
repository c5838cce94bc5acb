"""Orders of the holdings before risk: when they may begin, what denies them, and that the strategies keep apart."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bus.messages import (
    MICROS,
    NANOS,
    ChainDisarmed,
    FundsQuoted,
    FundsQuoteRequested,
    HaltRaised,
    HoldingsOrderDenied,
    HoldingsOrderRequested,
    HoldingsWindowOpened,
    IntentClosed,
    OrderDenied,
    OrderFilled,
    PortfolioSnapshot,
    SubmitOrder,
)

FUNDS = frozenset({"FFF", "GGG"})


class Desk:
    """A world in the window of the holdings, with two funds and ten shares of one of them."""

    def __init__(self, new_world: type[Any], without: str = "", **limits: Any) -> None:
        self.world = new_world(**{"funds": FUNDS, **limits})
        self.world.now = self.world.CLOSE - 4 * self.world.MINUTE
        inputs = self.world.inputs() | {
            "account": self.world.account(FFF=10),
            "quotes": self.quotes(FFF=100_00, GGG=50_00, AAA=50_00),
            "assets": self.world.assets("AAA", "FFF", "GGG"),
        }
        self.world.hear(*(message for name, message in inputs.items() if name != without))

    def quotes(self, age: int = 0, **prices: int) -> Any:
        batch = self.world.quotes(**prices)
        at = self.world.now - age
        from bus.columns import pack

        return replace(batch, ts_event=at, times_ns=pack([at] * len(batch.symbols)))

    def request(self, **changes: Any) -> HoldingsOrderRequested:
        made = HoldingsOrderRequested(
            ts_event=self.world.now,
            ts_init=self.world.now,
            intent_id="holdings:1",
            session_date=self.world.DAY,
            symbol="FFF",
            side="BUY",
            qty_nanos=2 * NANOS,
            reference_micros=100 * MICROS,
            reason="a test",
        )
        return replace(made, **changes)

    def ask(self, **changes: Any) -> Any:
        found = self.world.hear(self.request(**changes))
        return found[0] if found else None

    def fill(self, order: SubmitOrder, shares: int, price: int = 100) -> None:
        fill = OrderFilled(
            ts_event=self.world.now,
            ts_init=self.world.now,
            execution_id=f"X-{order.intent_id}",
            client_order_id=f"tb1-{order.intent_id}",
            broker_order_id="1",
            intent_id=order.intent_id,
            leg="fund",
            session_date=order.session_date,
            strategy="holdings",
            symbol=order.symbol,
            side=order.side,
            qty_nanos=shares * NANOS,
            price_micros=price * MICROS,
            commission_micros=0,
            cumulative_qty_nanos=shares * NANOS,
            order_qty_nanos=order.qty_nanos,
            broker="PAPER",
            reason="a test",
        )
        at = self.world.now
        closed = IntentClosed(ts_event=at, ts_init=at, intent_id=order.intent_id, symbol=order.symbol)
        self.world.hear(fill, closed)


@pytest.fixture
def desk(new_world: type[Any]) -> Desk:
    return Desk(new_world)


def test_an_order_when_everything_is_known_is_approved_at_the_market(desk: Desk) -> None:
    order = desk.ask()
    assert isinstance(order, SubmitOrder)
    assert (order.strategy, order.order_type, order.qty_nanos, order.symbol) == ("holdings", "MARKET", 2 * NANOS, "FFF")
    assert order.cancel_at_ns == desk.world.CLOSE - desk.world.MINUTE


@pytest.mark.parametrize("fact", ["plan", "armed", "account", "quotes", "assets"])
def test_an_order_when_a_fact_is_missing_is_denied(new_world: type[Any], fact: str) -> None:
    assert isinstance(Desk(new_world, without=fact).ask(), HoldingsOrderDenied)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"symbol": "AAA", "reference_micros": 50 * MICROS}, "holdings_fund"),
        ({"session_date": "2013-10-07"}, "holdings_standing"),
        ({"reference_micros": 80 * MICROS}, "holdings_market"),
        ({"qty_nanos": 0}, "holdings_asset"),
        ({"qty_nanos": 2_000 * NANOS}, "holdings_means"),
        ({"side": "SELL", "qty_nanos": 11 * NANOS}, "holdings_means"),
        ({"symbol": "GGG", "side": "SELL", "reference_micros": 50 * MICROS}, "holdings_means"),
    ],
)
def test_an_order_when_a_rule_forbids_it_is_denied_by_that_rule(desk: Desk, changes: dict[str, Any], rule: str) -> None:
    denied = desk.ask(**changes)
    assert isinstance(denied, HoldingsOrderDenied)
    assert denied.rule == rule


@pytest.mark.parametrize(
    "stop",
    [
        lambda w: HaltRaised(ts_event=0, ts_init=0, counter=1, source="watchdog", rule="x", detail="x"),
        lambda w: ChainDisarmed(ts_event=0, ts_init=0, detail="x"),
    ],
)
def test_an_order_when_the_chain_is_stopped_is_denied(desk: Desk, stop: Callable[[Any], Any]) -> None:
    desk.world.hear(stop(desk.world))
    assert isinstance(desk.ask(), HoldingsOrderDenied)


def test_an_order_when_it_is_early_or_late_is_denied(desk: Desk) -> None:
    for at in (desk.world.CLOSE - 6 * desk.world.MINUTE, desk.world.CLOSE - 30 * desk.world.SECOND):
        desk.world.now = at
        assert desk.ask(intent_id=f"at {at}").rule == "holdings_standing"


def test_an_order_when_its_quote_is_old_is_denied(desk: Desk) -> None:
    desk.world.hear(desk.quotes(age=3 * desk.world.SECOND, FFF=100_00))
    assert desk.ask().rule == "holdings_market"


def test_an_order_when_repeated_gets_no_second_answer(desk: Desk) -> None:
    assert isinstance(desk.ask(), SubmitOrder)
    assert desk.ask() is None


def test_two_sales_when_together_beyond_what_is_held_then_the_second_is_denied(desk: Desk) -> None:
    assert isinstance(desk.ask(side="SELL", qty_nanos=6 * NANOS), SubmitOrder)
    assert desk.ask(intent_id="holdings:2", side="SELL", qty_nanos=6 * NANOS).rule == "holdings_means"


def test_purchases_when_filled_or_open_use_up_the_cash_and_sales_bring_it(desk: Desk) -> None:
    first = desk.ask(qty_nanos=600 * NANOS)
    assert desk.ask(intent_id="holdings:2", qty_nanos=600 * NANOS).rule == "holdings_means"
    desk.fill(first, 600)
    assert desk.ask(intent_id="holdings:3", qty_nanos=401 * NANOS).rule == "holdings_means"
    sale = desk.ask(intent_id="holdings:4", side="SELL", qty_nanos=100 * NANOS)
    desk.fill(sale, 100)
    assert isinstance(desk.ask(intent_id="holdings:5", qty_nanos=450 * NANOS), SubmitOrder)


def test_the_window_when_it_comes_is_said_once_and_only_with_funds(desk: Desk, new_world: type[Any]) -> None:
    (opened,) = desk.world.settle()
    assert isinstance(opened, HoldingsWindowOpened)
    assert opened.until_ns == desk.world.CLOSE - desk.world.MINUTE
    assert desk.world.settle() == []
    assert desk.world.restarted().settle() == []
    assert Desk(new_world, funds=frozenset()).world.settle() == []


def test_the_window_when_a_strategy_still_holds_something_waits(desk: Desk) -> None:
    world = desk.world
    world.now = world.NOW
    world.hear(world.quotes(AAA=50_00))
    (order,) = world.hear(world.signal())
    assert isinstance(order, SubmitOrder)
    world.now = world.CLOSE - 4 * world.MINUTE
    assert world.settle() == []
    assert "still open" in desk.world.core.decide(world.state, desk.request(), world.now)[0].value


def test_a_question_when_asked_is_answered_with_prices_and_what_is_held(desk: Desk) -> None:
    asked = FundsQuoteRequested(
        ts_event=0, ts_init=0, request_id="q", session_date=desk.world.DAY, symbols=("FFF", "GGG", "HHH")
    )
    (found,) = desk.world.hear(asked)
    assert isinstance(found, FundsQuoted)
    assert [line.held_nanos for line in found.quotes] == [10 * NANOS, 0, 0]
    assert found.quotes[0].bid_micros > 0
    assert (found.quotes[2].bid_micros, found.quotes[2].is_tradable) == (0, False)
    assert (found.refusal, found.cash_micros) == ("", 100_000 * MICROS)


def test_fills_of_the_holdings_when_booked_do_not_touch_the_day(desk: Desk) -> None:
    before = desk.world.state.day
    desk.fill(desk.ask(), 2, price=90)
    assert desk.world.state.day == before
    (snapshot,) = desk.world.core.snapshot(desk.world.state, desk.world.now)
    assert isinstance(snapshot, PortfolioSnapshot)
    assert (snapshot.realized_micros, snapshot.positions) == (0, ())


def test_a_restart_when_it_comes_knows_the_orders_and_what_they_moved(desk: Desk) -> None:
    desk.fill(desk.ask(qty_nanos=600 * NANOS), 600)
    assert desk.world.restarted().state.funds == desk.world.state.funds


def test_a_strategy_when_it_wants_a_fund_is_denied(new_world: type[Any]) -> None:
    world = new_world(funds=frozenset({"AAA"}), restricted=frozenset({"AAA"})).ready()
    (denied,) = world.hear(world.signal())
    assert isinstance(denied, OrderDenied)
    assert denied.rule == "restricted"


def test_funds_when_held_do_not_count_as_open_positions(new_world: type[Any]) -> None:
    world = new_world(funds=FUNDS, max_open_positions=1)
    world.hear(*(world.inputs() | {"account": world.account(FFF=10)}).values())
    assert isinstance(world.hear(world.signal())[0], SubmitOrder)

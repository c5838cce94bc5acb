"""The book: reservations, fills, gains, and that nothing is counted twice or lost."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.messages import MICROS, NANOS, OrderCancelled, OrderExpired, OrderRejected
from services.risk import portfolio as book
from services.risk.seen import Seen


def _cancelled(world: Any, client_order_id: str) -> OrderCancelled:
    return OrderCancelled(ts_event=1, ts_init=1, client_order_id=client_order_id, filled_qty_nanos=0, detail="time-out")


def _allocated(world: Any) -> int:
    return book.allocated_micros(world.state.day.portfolio) // MICROS


def test_reservation_when_approved_then_the_whole_order_at_the_ask(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal())
    assert _allocated(world) == 200 * 50


def test_reservation_when_partly_filled_then_fills_at_their_price_and_the_rest_at_the_ask(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    world.hear(world.signal(), world.fill(shares=50, of=200, cents=49_00))
    assert _allocated(world) == 50 * 49 + 150 * 50


def test_reservation_when_the_rest_is_cancelled_then_only_the_fills_count(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal(), world.fill(shares=50, of=200, cents=49_00))
    (event,) = world.hear(_cancelled(world, "tb1-AAA-BUY"))
    assert isinstance(event, OrderCancelled)
    assert _allocated(world) == 50 * 49
    assert world.hear(_cancelled(world, "tb1-AAA-BUY")) == []


def test_reservation_when_the_cancelled_order_is_not_known_then_it_stays(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal())
    expired = OrderExpired(ts_event=1, ts_init=1, client_order_id="tb1-x", detail="too late")
    rejected = OrderRejected(ts_event=1, ts_init=1, client_order_id="tb1-x", detail="no")
    assert world.hear(_cancelled(world, "tb1-x"), expired) == []
    # A refusal counts for MAX_BROKER_REJECTIONS, whoever's it is.
    assert world.hear(rejected) == [rejected]
    assert _allocated(world) == 200 * 50


def test_reservation_when_the_intent_closes_without_fills_then_released(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal())
    assert len(world.hear(world.closed())) == 1
    assert _allocated(world) == 0
    assert book.open_count(world.state.day.portfolio) == 0
    assert world.hear(world.closed()) == []


def test_position_when_sold_but_not_closed_then_it_still_takes_a_place(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal(), world.fill(shares=200), world.fill(side="SELL", shares=200, cents=51_00))
    assert book.open_count(world.state.day.portfolio) == 1
    world.hear(world.closed())
    assert book.open_count(world.state.day.portfolio) == 0
    assert world.state.day.portfolio.realized_micros == 200 * MICROS


def test_position_when_closed_before_its_last_sale_then_it_is_counted_until_the_sale(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    world.hear(world.signal(), world.fill(shares=200), world.closed())
    assert _allocated(world) == 200 * 50
    world.hear(world.fill(side="SELL", shares=200, cents=50_00))
    assert book.open_count(world.state.day.portfolio) == 0


def test_fill_when_told_twice_then_counted_and_journaled_once(new_world: type[Any]) -> None:
    world = new_world().ready()
    fill = world.fill(shares=10)
    assert world.hear(fill) == [fill]
    before = world.state
    assert world.hear(fill) == []
    assert world.state == before


def test_fill_when_equal_looking_but_another_execution_then_both_count(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal(), world.fill(shares=10, of=200), world.fill(shares=10, of=200))
    assert world.state.day.portfolio.exposures[f"{world.DAY}:open:AAA:BULLISH"].qty_nanos == 20 * NANOS


def test_sale_when_it_is_of_an_external_position_then_cash_but_no_gain(new_world: type[Any]) -> None:
    world = new_world()
    world.hear(*({**world.inputs(), "account": world.account(AAA=30)}).values())
    world.hear(world.fill(side="SELL", shares=10))
    portfolio = world.state.day.portfolio
    assert portfolio.externals == {"AAA": 20 * NANOS}
    assert (portfolio.realized_micros, portfolio.cash_flow_micros) == (0, 500 * MICROS)
    world.hear(world.fill(side="SELL", shares=20))
    assert world.state.day.portfolio.externals == {}
    assert world.state.day.portfolio.oversold == ""


def test_buy_when_its_intent_is_not_known_then_it_is_exposure_with_its_rest_reserved(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    world.hear(world.fill(shares=10, of=30))
    assert _allocated(world) == 30 * 50


def test_ids_when_more_than_are_kept_then_the_newest_are_known_and_the_oldest_forgotten() -> None:
    seen = Seen(300)
    for number in range(2_000):
        before, seen = seen, seen.adding(str(number))
        assert str(number) in seen
        assert str(number) not in before
        assert str(max(number - 299, 0)) in seen
    assert "0" not in seen
    assert len(seen) < 300 + 256


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(1, 100_00), st.integers(0, 50)), max_size=25))
def test_book_when_any_fills_then_cash_and_cost_and_gain_add_up(
    new_world: type[Any], trades: list[tuple[bool, int, int, int]]
) -> None:
    world = new_world().ready()
    held = cash = 0
    for is_buy, qty, cents, commission in trades:
        shares = qty if is_buy else min(qty, held)
        if shares == 0:
            continue
        side = "BUY" if is_buy else "SELL"
        held += shares if is_buy else -shares
        cash += (-shares if is_buy else shares) * cents * 10_000 - commission * 10_000
        fill = world.fill(side=side, shares=shares, cents=cents, commission=commission)
        world.hear(fill, fill)
    portfolio = world.state.day.portfolio
    cost = sum(exposure.cost_micros for exposure in portfolio.exposures.values())
    assert sum(exposure.qty_nanos for exposure in portfolio.exposures.values()) == held * NANOS
    assert portfolio.cash_flow_micros == cash == portfolio.realized_micros - cost
    assert held > 0 or cost == 0
    assert portfolio.oversold == ""

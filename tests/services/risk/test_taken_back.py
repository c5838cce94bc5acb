"""What the broker takes back of an execution: position, cash and result follow, once."""

from typing import Any

from bus.messages import MICROS, NANOS, FillReversed, OrderFilled
from services.risk import portfolio as book


def back(fill: OrderFilled) -> FillReversed:
    names = set(FillReversed.__struct_fields__) & set(OrderFilled.__struct_fields__)
    values = {name: getattr(fill, name) for name in names}
    return FillReversed(**values, is_correction=False, detail="a bust")


def portfolio_of(world: Any) -> Any:
    return world.state.day.portfolio


def test_purchase_when_taken_back_then_nothing_of_it_is_held_and_the_cash_is_there_again(new_world: type[Any]) -> None:
    world = new_world().ready()
    fill = world.fill(shares=50, of=200, cents=49_00)
    world.hear(world.signal(), fill)
    (event,) = world.hear(back(fill))
    assert isinstance(event, FillReversed)
    (exposure,) = portfolio_of(world).exposures.values()
    assert (exposure.qty_nanos, exposure.cost_micros, exposure.unfilled_nanos) == (0, 0, 150 * NANOS)
    assert portfolio_of(world).cash_flow_micros == 0
    assert world.hear(back(fill)) == []


def test_purchase_when_a_part_is_taken_back_then_the_other_part_keeps_its_cost(new_world: type[Any]) -> None:
    world = new_world().ready()
    first = world.fill(shares=50, of=200, cents=49_00)
    second = world.fill(shares=50, of=200, cents=50_00)
    world.hear(world.signal(), first, second, back(second))
    (exposure,) = portfolio_of(world).exposures.values()
    assert (exposure.qty_nanos, exposure.cost_micros) == (50 * NANOS, 50 * 49 * MICROS)


def test_sale_when_taken_back_then_it_is_a_position_again_and_the_result_is_what_it_was(new_world: type[Any]) -> None:
    world = new_world().ready()
    bought = world.fill(shares=200, of=200, cents=49_00)
    sold = world.fill(shares=200, of=200, cents=48_00, side="SELL")
    world.hear(world.signal(), bought, sold, world.closed())
    result = book.pnl_micros(portfolio_of(world), {})
    assert result == -200 * MICROS
    world.hear(back(sold))
    assert book.open_count(portfolio_of(world)) == 1
    assert book.pnl_micros(portfolio_of(world), {"AAA": 48 * MICROS}) == result
    assert portfolio_of(world).cash_flow_micros == -200 * 49 * MICROS


def test_purchase_when_taken_back_after_its_sale_then_the_books_disagree_and_deny(new_world: type[Any]) -> None:
    world = new_world().ready()
    bought = world.fill(shares=200, of=200, cents=49_00)
    sold = world.fill(shares=200, of=200, cents=48_00, side="SELL")
    world.hear(world.signal(), bought, sold, world.closed(), back(bought))
    assert "the bot has sold more than was held" in portfolio_of(world).oversold


def test_reversal_of_what_was_never_booked_when_told_then_changes_nothing(new_world: type[Any]) -> None:
    world = new_world().ready()
    assert world.hear(back(world.fill(shares=5, of=5))) == []

"""The classic controls of an order, each with seven inputs: just below, at and just above its limit, nothing at all,
missing, nonsense, and huge.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, PRICE_MICROS_MAX, BarBatch, Quote, QuoteBatch, SubmitOrder

CASES: Final = ("just below", "at", "just above", "zero", "missing", "nonsense", "huge")
SECOND: Final = 1_000_000_000
#: Answers with a rule's name, or with the shares of an approval in nanos.
Control = Callable[[type[Any], Any], str | int]
ONE: Final = NANOS


def _answer(world: Any, **changes: Any) -> str | int:
    event = world.hear(world.signal(**changes))[0]
    return event.qty_nanos if isinstance(event, SubmitOrder) else str(event.rule)


def _ready_without(world: Any, *left_out: str) -> Any:
    world.hear(*(message for name, message in world.inputs().items() if name not in left_out))
    return world


def _quote(world: Any, ask: int | None, bid: int | None = None, age_ns: int = 0) -> None:
    """Hear a quote of AAA in micro-dollars; a micro-dollar wide unless a bid is given."""
    if ask is None:
        return
    lower = ask - 1 if ask else 0
    row = Quote("AAA", lower if bid is None else bid, ask, 100 * NANOS, 100 * NANOS, world.now - age_ns)
    world.hear(QuoteBatch.of((row,), ts_event=world.now, ts_init=world.now, step=3))


def _at_ask(ask: int | None, new_world: type[Any], **limits: Any) -> str | int:
    """Ask for one share at this price under limits that leave room for fifty dollars."""
    world = _ready_without(new_world(**limits), "quotes")
    _quote(world, ask)
    return _answer(world, trail_bps=limits.pop("trail_bps", 200))


def _order_notional(new_world: type[Any], ask: int | None) -> str | int:
    return _at_ask(ask, new_world, order_notional_max_micros=50 * MICROS)


def _position_per_symbol(new_world: type[Any], ask: int | None) -> str | int:
    return _at_ask(ask, new_world, position_per_symbol_ppm=500)


def _total_allocation(new_world: type[Any], ask: int | None) -> str | int:
    return _at_ask(ask, new_world, total_allocation_ppm=500, max_open_positions=1)


def _risk_per_trade(new_world: type[Any], ask: int | None) -> str | int:
    # One ten-thousandth of 100,000 dollars is ten; the stop of a share of fifty dollars is ten below it.
    world = _ready_without(new_world(max_risk_per_trade_ppm=100), "quotes")
    _quote(world, ask)
    return _answer(world, trail_bps=2_000)


def _buying_power(new_world: type[Any], ask: int | None) -> str | int:
    world = _ready_without(new_world(), "quotes", "account")
    world.hear(replace(world.account(), buying_power_micros=50 * MICROS))
    _quote(world, ask)
    return _answer(world)


def _order_shares(new_world: type[Any], shares: int | None) -> str | int:
    """Let another limit leave so many shares; the control allows 200."""
    limits = {"order_notional_max_micros": (shares or 0) * 50 * MICROS, "order_max_nanos": 200 * NANOS}
    world = new_world(**limits, total_allocation_ppm=1_000_000, max_open_positions=1, max_risk_per_trade_ppm=50_000)
    return _answer(_ready_without(world, *(("quotes",) if shares is None else ())))


def _price_collar(new_world: type[Any], ask: int | None) -> str | int:
    world = _ready_without(new_world(order_max_nanos=ONE), "quotes")
    _quote(world, ask)
    return _answer(world, reference_micros=100 * MICROS)


def _price_collar_below(new_world: type[Any], ask: int | None) -> str | int:
    return _price_collar(new_world, ask)


def _quote_age(new_world: type[Any], age_ns: int | None) -> str | int:
    world = _ready_without(new_world(order_max_nanos=ONE), "quotes")
    _quote(world, None if age_ns is None else 50 * MICROS, age_ns=age_ns or 0)
    return _answer(world)


def _spread(new_world: type[Any], gap: int | None) -> str | int:
    world = _ready_without(new_world(order_max_nanos=ONE), "quotes")
    _quote(world, 100 * MICROS, bid=0 if gap is None else 100 * MICROS - gap)
    return _answer(world)


def _volume(new_world: type[Any], nanos: int | None) -> str | int:
    world = _ready_without(new_world(order_max_nanos=ONE), "bars")
    if nanos is not None:
        bars = world.bars("AAA")
        assert isinstance(bars, BarBatch)
        world.hear(BarBatch.of((replace_volume(bars, nanos),), ts_event=bars.ts_event, ts_init=1, step=2))
    return _answer(world)


def replace_volume(bars: BarBatch, nanos: int) -> Any:
    """Return the batch's one bar with another volume."""
    return replace(bars.bars[0], volume_nanos=nanos)


def _open_positions(new_world: type[Any], count: int | None) -> str | int:
    """Open so many of five positions, a short one for every number below zero."""
    world = new_world(order_max_nanos=ONE)
    if count is None:
        return _answer(_ready_without(world, "account"))
    held = {f"H{number}": -1 if count < 0 else 1 for number in range(abs(count))}
    world.hear(*({**world.inputs(), "account": world.account(**held)}).values())
    return _answer(world)


def _daily_loss(new_world: type[Any], loss: int | None) -> str | int:
    """Lose so many micro-dollars of an allowed 2,000 dollars in commissions; -1 = a position without a price."""
    world = _ready_without(new_world(order_max_nanos=ONE), *(("account",) if loss is None else ()))
    if loss == -1:
        world.hear(world.fill("UNHEARD", shares=1))
    elif loss:
        bought = world.fill("BBB", shares=1, commission_micros=loss)
        world.hear(bought, world.fill("BBB", side="SELL", shares=1), world.closed("BBB"))
    return _answer(world)


def _with_approvals(world: Any, count: int, at_ns: int) -> None:
    """Fold so many approvals of this time, each of another symbol and closed without a fill."""
    world.ready()
    approval = world.hear(world.signal("CCC"))[-1]
    world.state = world.core.initial()
    world.hear(*world.inputs().values())
    for number in range(count):
        order = replace(approval, intent_id=f"p{number}", symbol=f"P{number}", ts_event=at_ns)
        world._fold([order, replace(world.closed(), intent_id=order.intent_id)])


def _paced(new_world: type[Any], count: int | None, at_ns: int, **limits: Any) -> str | int:
    world = new_world(**limits)
    if count is None:
        # Without a session nothing is counted, and nothing is approved.
        return _answer(_ready_without(world, "plan"))
    _with_approvals(world, abs(count), at_ns if count >= 0 else world.now + SECOND)
    return _answer(world)


def _orders_per_second(new_world: type[Any], count: int | None) -> str | int:
    return _paced(new_world, count, new_world.NOW, orders_per_second_max=5, order_max_nanos=ONE)


def _orders_per_minute(new_world: type[Any], count: int | None) -> str | int:
    return _paced(new_world, count, new_world.NOW - 30 * SECOND, orders_per_minute_max=5, order_max_nanos=ONE)


def _trades_per_day(new_world: type[Any], count: int | None) -> str | int:
    return _paced(new_world, count, new_world.NOW - 3600 * SECOND, trades_per_day_max=5, order_max_nanos=ONE)


def _repeated_orders(new_world: type[Any], count: int | None) -> str | int:
    """Approve the same order so many times before; below zero: a moment ahead of the clock, which went back."""
    world = new_world(repeated_orders_max=3, order_max_nanos=ONE)
    if count is None:
        return _answer(_ready_without(world, "quotes"))
    world.ready()
    approval = world.hear(world.signal())[-1]
    world.state = world.core.initial()
    world.hear(*world.inputs().values())
    for number in range(abs(count)):
        at_ns = world.now if count >= 0 else world.now + SECOND
        order = replace(approval, intent_id=f"r{number}", ts_event=at_ns)
        world._fold([order, replace(world.closed(), intent_id=order.intent_id)])
    return _answer(world, signal_id="once more")


_DOLLARS: Final = (50 * MICROS - 1, 50 * MICROS, 50 * MICROS + 1, 0, None, -1, PRICE_MICROS_MAX)
_COUNTS: Final = (4, 5, 6, 0, None, -5, 200)


def _by_price(rule: str, huge: str | None = None) -> tuple[str | int, ...]:
    return (ONE, ONE, rule, "one_sided_quote", "missing_quote", "missing_quote", huge or rule)


def _by_count(rule: str, missing: str) -> tuple[str | int, ...]:
    return (ONE, rule, rule, ONE, missing, rule, rule)


#: Each control: how it is asked, its seven inputs, and its seven answers.
CONTROLS: Final[dict[str, tuple[Control, tuple[Any, ...], tuple[str | int, ...]]]] = {
    "maximal notional of an order": (_order_notional, _DOLLARS, _by_price("order_notional", "allocation")),
    "maximal quantity of an order": (
        _order_shares,
        (199, 200, 201, 0, None, -1, 10**9),
        (199 * NANOS, 200 * NANOS, 200 * NANOS, "order_notional", "missing_quote", "order_notional", 200 * NANOS),
    ),
    "maximal position in a symbol": (_position_per_symbol, _DOLLARS, _by_price("position_per_symbol", "allocation")),
    "total allocation": (_total_allocation, _DOLLARS, _by_price("allocation")),
    "risk of a trade": (_risk_per_trade, _DOLLARS, _by_price("size_zero", "allocation")),
    "cash and buying power": (_buying_power, _DOLLARS, _by_price("buying_power", "allocation")),
    "price collar above": (
        _price_collar,
        (105 * MICROS - 1, 105 * MICROS, 105 * MICROS + 1, 0, None, -1, PRICE_MICROS_MAX),
        (ONE, ONE, "price_collar", "one_sided_quote", "missing_quote", "missing_quote", "price_jump"),
    ),
    "price collar below": (
        _price_collar_below,
        (95 * MICROS + 1, 95 * MICROS, 95 * MICROS - 1, 0, None, -1, 10 * MICROS),
        (ONE, ONE, "price_collar", "one_sided_quote", "missing_quote", "missing_quote", "price_jump"),
    ),
    "age of the quote": (
        _quote_age,
        (2 * SECOND - 1, 2 * SECOND, 2 * SECOND + 1, 0, None, -2 * SECOND - 1, 10**18),
        (ONE, ONE, "stale_quote", ONE, "missing_quote", "stale_quote", "stale_quote"),
    ),
    "width of the market": (
        _spread,
        (1_500_000 - 1, 1_500_000, 1_500_000 + 1, 0, None, -1, 100 * MICROS - 1),
        (ONE, ONE, "spread", "locked_quote", "one_sided_quote", "crossed_quote", "spread"),
    ),
    "volume of the day": (
        _volume,
        (50_000 * NANOS + 1, 50_000 * NANOS, 50_000 * NANOS - 1, 0, None, -1, 2**62),
        (ONE, ONE, "volume", "volume", "volume", "volume", ONE),
    ),
    "open positions": (_open_positions, _COUNTS, _by_count("max_open_positions", "account_unknown")),
    "loss of the day": (
        _daily_loss,
        (2_000 * MICROS - 1, 2_000 * MICROS, 2_000 * MICROS + 1, 0, None, -1, 10**15),
        (ONE, ONE, "daily_loss", ONE, "account_unknown", "unmarked_position", "daily_loss"),
    ),
    "entries in a second": (_orders_per_second, _COUNTS, _by_count("orders_per_second", "no_session")),
    "entries in a minute": (_orders_per_minute, _COUNTS, _by_count("orders_per_minute", "no_session")),
    "entries in a day": (_trades_per_day, _COUNTS, _by_count("trades_per_day", "no_session")),
    "the same order again": (
        _repeated_orders,
        (2, 3, 4, 0, None, -3, 200),
        (ONE, "repeated_order", "repeated_order", ONE, "missing_quote", "repeated_order", "repeated_order"),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("control", CONTROLS)
def test_control_when_its_input_is_at_a_boundary_then_the_answer_of_the_table(
    new_world: type[Any], control: str, case: str
) -> None:
    ask, inputs, answers = CONTROLS[control]
    place = CASES.index(case)
    assert ask(new_world, inputs[place]) == answers[place]


def test_table_when_read_then_it_has_every_case_of_fourteen_controls_and_more() -> None:
    assert len(CONTROLS) >= 14
    assert all(len(inputs) == len(answers) == len(CASES) for _, inputs, answers in CONTROLS.values())

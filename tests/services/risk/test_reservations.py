"""What risk counts is never less than what the broker may really have, whatever happens to orders and in what order.

The model is the broker's side: it fills, refuses, cancels and sells as it likes, and risk hears of it late. A market
order fills at its ask or better here, which is what a reservation at the ask promises.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.messages import NANOS, Message, OrderCancelled, OrderExpired, OrderRejected, SubmitOrder, notional_micros
from services.risk import portfolio as book

NAMES = ("AAA", "BBB", "CCC")


class Order:
    """One entry at the broker, and what was not yet told of it."""

    def __init__(self, order: SubmitOrder) -> None:
        self.order = order
        self.filled = self.sold = self.cost_micros = 0
        self.is_over = False
        self.untold: deque[Message] = deque()

    @property
    def key(self) -> str:
        """Return the client id of the entry."""
        return f"tb1-{self.order.intent_id}"

    def exposure_micros(self) -> int:
        """Return what is held at its cost, and what may still fill at its ask."""
        rest = 0 if self.is_over else self.order.qty_nanos - self.filled
        return self.cost_micros + notional_micros(self.order.reference_micros, rest)


class Broker:
    """Does to orders what brokers do."""

    def __init__(self, world: Any, data: st.DataObject) -> None:
        self.world, self.data = world, data
        self.orders: list[Order] = []

    def approve(self) -> None:
        """Signal a name; an approval is at the broker at once."""
        name, number = self.data.draw(st.sampled_from(NAMES)), len(self.world.journal)
        for event in self.world.hear(self.world.signal(name, signal_id=f"i{number}")):
            if isinstance(event, SubmitOrder):
                self.orders.append(Order(event))

    def fill(self, one: Order) -> None:
        """Fill some of what works, at the ask or better."""
        rest = (one.order.qty_nanos - one.filled) // NANOS
        if one.is_over or rest == 0:
            return
        shares = self.data.draw(st.integers(1, rest))
        cents = self.data.draw(st.integers(1, one.order.reference_micros // 10_000))
        one.filled += shares * NANOS
        one.cost_micros += shares * cents * 10_000
        one.is_over = one.filled == one.order.qty_nanos
        one.untold.append(self._execution(one, "BUY", shares, cents))

    def sell(self, one: Order) -> None:
        """Sell all that is held."""
        shares = (one.filled - one.sold) // NANOS
        if shares:
            one.sold, one.cost_micros = one.filled, 0
            one.untold.append(self._execution(one, "SELL", shares, self.data.draw(st.integers(1, 100_00))))

    def end(self, one: Order) -> None:
        """Refuse, expire or cancel what works; the news of it may overtake the fills before it."""
        if one.is_over:
            return
        one.is_over = True
        about = {"ts_event": self.world.now, "ts_init": self.world.now, "client_order_id": one.key, "detail": "x"}
        kinds = [OrderCancelled] if one.filled else [OrderCancelled, OrderRejected, OrderExpired]
        kind = self.data.draw(st.sampled_from(kinds))
        if kind is OrderCancelled:
            about["filled_qty_nanos"] = one.filled
        # The one that names the intent comes first; without it the order is not known to risk and stays reserved.
        place = self.data.draw(st.integers(min(1, len(one.untold)), len(one.untold)))
        one.untold.insert(place, kind(**about))

    def tell(self, one: Order) -> None:
        """Let risk hear the next news; when nothing is left of the intent, that it is closed."""
        if one.untold:
            self.world.hear(one.untold.popleft())
        elif one.is_over and one.filled == one.sold:
            closed = self.world.closed(one.order.symbol)
            self.world.hear(replace(closed, intent_id=one.order.intent_id))
            self.orders.remove(one)

    def _execution(self, one: Order, side: str, shares: int, cents: int) -> Message:
        ids = {"intent_id": one.order.intent_id, "client_order_id": one.key if side == "BUY" else f"{one.key}-exit"}
        total = one.order.qty_nanos
        fill = self.world.fill(one.order.symbol, side=side, shares=shares, cents=cents, order_qty_nanos=total, **ids)
        filled: Message = replace(fill, cumulative_qty_nanos=one.filled)
        return filled


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reservation_when_anything_happens_to_orders_then_never_less_than_the_broker_may_have(
    new_world: type[Any], data: st.DataObject
) -> None:
    broker = Broker(new_world(broker_rejections_max=20).ready(), data)
    steps: list[Callable[[Order], None]] = [broker.fill, broker.fill, broker.sell, broker.end, broker.tell, broker.tell]
    for _ in range(data.draw(st.integers(1, 40))):
        if not broker.orders or data.draw(st.integers(0, 4)) == 0:
            broker.approve()
        else:
            data.draw(st.sampled_from(steps))(data.draw(st.sampled_from(broker.orders)))
        _is_covered(broker)
        if data.draw(st.integers(0, 15)) == 0:
            # A restart forgets the market and nothing that was reserved.
            again = broker.world.restarted()
            assert again.state.day == broker.world.state.day
            again._executions = broker.world._executions
            again.journal = list(broker.world.journal)
            again.hear(again.quotes(AAA=50_00, BBB=20_00, CCC=10_00), again.bars(*NAMES, step=99))
            broker.world = again
            _is_covered(broker)


def _is_covered(broker: Broker) -> None:
    portfolio = broker.world.state.day.portfolio
    true = sum(one.exposure_micros() for one in broker.orders)
    counted = book.allocated_micros(portfolio)
    # A fill below its ask lowers what is counted only when it is told, so nothing is ever below the truth.
    assert counted >= true, (counted, true)
    assert broker.world.core._valuation_of(portfolio).reserved_micros == book.reserved_micros(portfolio)
    for one in broker.orders:
        assert one.order.intent_id in portfolio.exposures or one.exposure_micros() == 0


def test_cancel_when_its_news_overtakes_a_fill_then_what_was_filled_stays_reserved(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal(), world.fill(shares=50, of=200))
    cancelled = OrderCancelled(
        ts_event=1, ts_init=1, client_order_id="tb1-AAA-BUY", filled_qty_nanos=80 * NANOS, detail="time-out"
    )
    world.hear(cancelled)
    assert book.allocated_micros(world.state.day.portfolio) == 80 * 50_000_000
    world.hear(world.fill(shares=30, of=200, cumulative=80))
    assert book.reserved_micros(world.state.day.portfolio) == 0
    assert book.allocated_micros(world.state.day.portfolio) == 80 * 50_000_000

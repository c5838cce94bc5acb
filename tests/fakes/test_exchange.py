"""The exchange that stand-ins of brokers are built on: it trades as quotes allow, and misbehaves only as it is told."""

import threading

import pytest
from exchange import MICROS, NANOS, Event, Exchange, RefusalError, Ticket


def a_ticket(client_id: str = "a", side: str = "BUY", shares: int = 10, kind: str = "MARKET", **prices: int) -> Ticket:
    return Ticket(client_id=client_id, symbol="AAPL", side=side, qty_nanos=shares * NANOS, order_type=kind, **prices)


def quoted(exchange: Exchange, cents: int, *, shown: int = 1_000_000) -> None:
    price = cents * 10_000
    exchange.set_quote("AAPL", price, price + 10_000, bid_nanos=shown * NANOS, ask_nanos=shown * NANOS)


@pytest.fixture
def exchange() -> Exchange:
    one = Exchange()
    quoted(one, 10_000)
    return one


def test_a_market_order_when_quoted_then_it_trades_at_the_other_side_and_moves_cash(exchange: Exchange) -> None:
    order = exchange.place(a_ticket())
    assert (order.state, order.average_micros) == ("FILLED", 100_010_000)
    assert exchange.positions == {"AAPL": 10 * NANOS}
    assert exchange.cash_micros == 100_000 * MICROS - 1_000_100_000


def test_an_order_when_the_quote_shows_less_then_it_fills_in_parts_with_their_own_ids(exchange: Exchange) -> None:
    quoted(exchange, 10_000, shown=4)
    assert exchange.place(a_ticket()).filled_nanos == 4 * NANOS
    quoted(exchange, 10_000, shown=4)
    quoted(exchange, 10_000, shown=4)
    found = exchange.order_of("a")
    assert [one.qty_nanos // NANOS for one in found.executions] == [4, 4, 2]
    assert len({one.execution_id for one in found.executions}) == 3


def test_a_limit_order_when_the_market_is_beyond_it_then_it_waits(exchange: Exchange) -> None:
    exchange.place(a_ticket(kind="LIMIT", limit_micros=99_000_000))
    assert exchange.order_of("a").state == "WORKING"
    quoted(exchange, 9_890)
    assert exchange.order_of("a").average_micros == 98_910_000


def test_stops_when_the_bid_falls_then_they_sell(exchange: Exchange) -> None:
    exchange.place(a_ticket())
    exchange.place(a_ticket("s", "SELL", 5, "STOP", stop_micros=99_000_000))
    exchange.place(a_ticket("t", "SELL", 5, "TRAILING_STOP", trail_bps=200))
    quoted(exchange, 11_000)
    assert exchange.order_of("t").stop_micros == 107_800_000
    quoted(exchange, 10_780)
    assert (exchange.order_of("t").state, exchange.order_of("s").state) == ("FILLED", "WORKING")
    quoted(exchange, 9_900)
    assert exchange.order_of("s").state == "FILLED"


def test_an_order_when_it_cannot_be_then_it_is_refused_and_does_not_exist(exchange: Exchange) -> None:
    exchange.reject_next("no such luck")
    for ticket, words in (
        (a_ticket("a"), "no such luck"),
        (a_ticket("b", "SELL"), "insufficient qty"),
        (a_ticket("c", shares=100_000), "insufficient buying power"),
    ):
        with pytest.raises(RefusalError, match=words):
            exchange.place(ticket)
        assert exchange.order_of(ticket.client_id) is None


def test_an_id_when_it_was_used_before_then_it_is_refused_for_ever(exchange: Exchange) -> None:
    exchange.place(a_ticket())
    with pytest.raises(RefusalError, match="must be unique"):
        exchange.place(a_ticket())


def test_what_is_held_back_when_it_is_released_then_it_happens(exchange: Exchange) -> None:
    exchange.holds_acceptance = exchange.holds_fills = exchange.holds_cancels = True
    order = exchange.place(a_ticket())
    assert order.state == "PENDING"
    exchange.release_acceptances()
    assert exchange.order_of("a").state == "WORKING"
    assert exchange.cancel(order.order_id)
    assert exchange.order_of("a").state == "CANCEL_PENDING"
    exchange.release_fills()
    assert exchange.order_of("a").state == "FILLED"
    assert not exchange.cancel(order.order_id)


def test_events_when_they_are_repeated_then_each_comes_twice_and_in_order(exchange: Exchange) -> None:
    heard: list[Event] = []
    exchange.listen(heard.append)
    exchange.repeats_events = True
    exchange.place(a_ticket())
    assert [event.kind for event in heard] == ["accepted", "accepted", "filled", "filled"]


def test_a_listener_when_it_acts_on_the_exchange_then_it_is_told_of_that_too(exchange: Exchange) -> None:
    heard: list[tuple[str, str]] = []

    def listener(event: Event) -> None:
        heard.append((event.kind, event.order.ticket.client_id))
        if event.kind == "filled" and event.order.ticket.side == "BUY":
            exchange.place(a_ticket("s", "SELL"))

    exchange.listen(listener)
    exchange.place(a_ticket())
    assert heard == [("accepted", "a"), ("filled", "a"), ("accepted", "s"), ("filled", "s")]


def test_an_order_when_it_is_refused_late_or_the_day_ends_then_it_is_over(exchange: Exchange) -> None:
    exchange.reject_after_acceptance("wash trade")
    exchange.place(a_ticket("a", kind="LIMIT", limit_micros=MICROS))
    exchange.place(a_ticket("b", kind="LIMIT", limit_micros=MICROS))
    exchange.expire_day()
    assert (exchange.order_of("a").state, exchange.order_of("b").state) == ("REJECTED", "EXPIRED")
    assert exchange.order_of("a").words == "wash trade"


def test_orders_when_many_threads_place_them_then_none_is_lost(exchange: Exchange) -> None:
    def some(name: int) -> None:
        for number in range(50):
            exchange.place(a_ticket(f"{name}-{number}", shares=1))

    threads = [threading.Thread(target=some, args=(name,)) for name in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
    assert exchange.positions == {"AAPL": 200 * NANOS}
    assert [one.number for one in exchange.trades()] == list(range(1, 201))

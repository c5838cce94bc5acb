"""A bracket at the stand-in gateway, placed by the libraries' own interface: held, activated, one cancels the other."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from exchange import MICROS, Exchange
from ib_gateway import IbGateway

from bus.clock import boot_ns
from bus.ib_library import IB_LIBRARIES, load_ib_library

SECOND = 1_000_000_000


class Client:
    """One of the libraries as a program uses it, on a gateway that sees AAPL at 100."""

    def __init__(self, library: str) -> None:
        self.package = load_ib_library(library).package
        self.exchange = Exchange()
        self.gateway = IbGateway(self.exchange)
        self.quote(100)
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.ib = self.package.IB()
        self.ib.connect("127.0.0.1", self.gateway.port, clientId=5, timeout=10)

    def quote(self, bid: float) -> None:
        self.exchange.set_quote("AAPL", round(bid * MICROS), round(bid * MICROS) + 20_000)

    def bracket(self, entry: float) -> list[Any]:
        """Buy 10 AAPL at this limit, with a target of 103 and a stop at 97; return the three trades."""
        contract = self.package.Stock("AAPL", "SMART", "USD")
        self.ib.qualifyContracts(contract)
        orders = self.ib.bracketOrder("BUY", 10, entry, 103, 97)
        return [self.ib.placeOrder(contract, order) for order in orders]

    def until(self, has_come: Callable[[], bool]) -> None:
        until_ns = boot_ns() + 10 * SECOND
        while not has_come():
            assert boot_ns() < until_ns
            self.ib.sleep(0.01)

    def close(self) -> None:
        self.ib.disconnect()
        self.gateway.close()
        asyncio.set_event_loop(None)
        self.loop.close()


@pytest.fixture(params=IB_LIBRARIES)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(request.param)
    yield made
    made.close()


def statuses(trades: list[Any]) -> list[str]:
    return [str(trade.orderStatus.status) for trade in trades]


def test_bracket_when_its_entry_waits_then_its_children_are_held(client: Client) -> None:
    trades = client.bracket(entry=99)
    client.until(lambda: statuses(trades) == ["Submitted", "PreSubmitted", "PreSubmitted"])
    assert [trade.orderStatus.whyHeld for trade in trades] == ["", "child", "child"]
    assert [order.ticket.side for order in client.exchange.open_orders()] == ["BUY"]


@pytest.mark.parametrize(("bid", "target", "stop"), [(103, "Filled", "Cancelled"), (96, "Cancelled", "Filled")])
def test_bracket_when_one_child_fills_then_the_other_is_cancelled(
    client: Client, bid: float, target: str, stop: str
) -> None:
    trades = client.bracket(entry=100.5)
    client.until(lambda: statuses(trades)[0] == "Filled" and len(client.exchange.open_orders()) == 2)
    client.quote(bid)
    client.until(lambda: statuses(trades) == ["Filled", target, stop])
    assert client.exchange.positions == {"AAPL": 0}
    assert client.exchange.open_orders() == []


def test_bracket_when_its_entry_is_cancelled_then_its_children_go_with_it(client: Client) -> None:
    trades = client.bracket(entry=99)
    client.until(lambda: statuses(trades)[2] == "PreSubmitted")
    client.ib.cancelOrder(trades[0].order)
    client.until(lambda: statuses(trades) == ["Cancelled"] * 3)


def test_bracket_when_a_held_child_is_cancelled_then_the_others_stay(client: Client) -> None:
    trades = client.bracket(entry=99)
    client.until(lambda: statuses(trades)[2] == "PreSubmitted")
    client.ib.cancelOrder(trades[1].order)
    client.until(lambda: statuses(trades) == ["Submitted", "Cancelled", "PreSubmitted"])


def test_bracket_when_nothing_was_transmitted_then_nothing_is_there(client: Client) -> None:
    contract = client.package.Stock("AAPL", "SMART", "USD")
    client.ib.qualifyContracts(contract)
    parent = client.ib.bracketOrder("BUY", 10, 99, 103, 97)[0]
    client.ib.placeOrder(contract, parent)
    client.ib.sleep(0.1)
    assert client.ib.reqAllOpenOrders() == []

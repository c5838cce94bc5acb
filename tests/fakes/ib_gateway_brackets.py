"""Families of orders at a stand-in gateway: an entry with the target and the stop that protect it.

What is not transmitted waits unsaid. The last order of a family transmits all of it: the parent goes to the exchange,
its children stand held, as PreSubmitted, until it is filled whole. Of them, the one that fills cancels the others; a
parent that ends otherwise takes its children with it.

Source: Interactive Brokers, "TWS API: Bracket Orders", read 2026-11.
"""

from collections.abc import Callable
from dataclasses import dataclass

from exchange import Exchange
from ib_words import IbOrder

HELD = "child"


@dataclass(frozen=True)
class Desk:
    """What a family needs of the desk: its orders, and ways to place one, to tell of one, and to end one unplaced."""

    exchange: Exchange
    orders: list[IbOrder]
    place: Callable[[IbOrder], None]
    tell: Callable[[IbOrder, str], None]
    end: Callable[[IbOrder], None]


class Brackets:
    """The families of one gateway."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._untransmitted: list[IbOrder] = []

    def takes(self, order: IbOrder) -> bool:
        """Take an order of a family, or one that is not transmitted yet; False where it stands alone."""
        if order.transmit == "0":
            self._untransmitted.append(order)
            return True
        parent_id = order.parent_id
        family = [
            one
            for one in self._untransmitted
            if one.client_id == order.client_id and parent_id and parent_id in {one.order_id, one.parent_id}
        ]
        if not parent_id:
            return False
        self._untransmitted = [one for one in self._untransmitted if one not in family]
        for one in sorted([*family, order], key=lambda one: one.parent_id != 0):
            if one.parent_id == 0:
                self._desk.place(one)
            else:
                self._hold(one)
        return True

    def _hold(self, child: IbOrder) -> None:
        parent = self._numbered(child, child.parent_id)
        child.status = "PreSubmitted"
        self._desk.orders.append(child)
        self._desk.tell(child, HELD)
        if parent is not None and parent.is_over:
            self.happened(parent)

    def happened(self, order: IbOrder) -> None:
        """Let the family follow what became of one of its orders."""
        if order.parent_id == 0:
            held = [one for one in self._children(order) if not one.is_over and not one.exchange_id]
            if order.status == "Filled":
                self._activate(held)
            elif order.is_over:
                for child in held:
                    self._desk.end(child)
        elif order.status == "Filled":
            parent = self._numbered(order, order.parent_id)
            for child in self._children(parent) if parent is not None else ():
                if child is not order and not child.is_over:
                    self._desk.exchange.cancel(child.exchange_id)

    def _activate(self, held: list[IbOrder]) -> None:
        """Send the children to the exchange; one cancels the other, so all of them may sell the same shares."""
        with self._desk.exchange.lock:
            may_short, self._desk.exchange.may_short = self._desk.exchange.may_short, True
            try:
                for child in held:
                    self._desk.orders.remove(child)
                    self._desk.place(child)
            finally:
                self._desk.exchange.may_short = may_short

    def _children(self, parent: IbOrder) -> list[IbOrder]:
        same = (one for one in list(self._desk.orders) if one.client_id == parent.client_id)
        return [one for one in same if one.parent_id == parent.order_id]

    def _numbered(self, order: IbOrder, number: int) -> IbOrder | None:
        same = (one for one in list(self._desk.orders) if one.client_id == order.client_id)
        return next((one for one in same if one.order_id == number), None)

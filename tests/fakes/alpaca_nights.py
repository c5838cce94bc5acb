"""What happens to an account at the stand-in for Alpaca without an order: expiry, exercise, splits, busts, corrections.

alpaca.expire_option("SPY131011P00100000")     # held contracts are gone, an OPEXP activity is there
alpaca.exercise_option("SPY131011P00100000")   # OPEXC, and OPTRD with the shares and their money
alpaca.split("AAPL", 4, 1)                     # two SPLIT activities of one group
alpaca.bust(1); alpaca.correct(1, price)       # of an execution by its number; told by the activity events
"""

import json
from dataclasses import replace
from typing import Any

from alpaca_refusals import ProblemError, Reply
from alpaca_words import amount, iso, local_id, ns_of, order_uuid
from exchange import MICROS, NANOS, Exchange, value_of

from bus.instruments import option_terms


class NightDesk:
    """The controls.

    `tells_events` off = the account has no list of activity events; `hides_events` = what happened is not on it yet.
    """

    exchange: Exchange

    def __init__(self) -> None:
        #: Activities beside fills and money, each with the time at which it was made.
        self.activities: list[tuple[int, dict[str, Any]]] = []
        self.expired: set[str] = set()
        #: Executions that are not listed any more, by their number.
        self.busted: set[int] = set()
        self.tells_events = True
        self.hides_events = False
        self._events: list[tuple[int, dict[str, Any]]] = []

    def add_activity(self, kind: str, **more: Any) -> None:
        """Let an activity be there."""
        ts = self.exchange._clock()
        entry = {
            "id": local_id(ts, f"activity-{len(self.activities)}"),
            "activity_type": kind,
            "date": iso(ts)[:10],
            "created_at": iso(ts),
            "net_amount": "0",
            "currency": "USD",
            "status": "executed",
        }
        self.activities.append((ts, entry | more))

    def expire_option(self, symbol: str) -> None:
        """Let held contracts be gone for nothing, and the contract be traded no more."""
        with self.exchange.lock:
            qty = self.exchange.positions.pop(symbol, 0)
        self.expired.add(symbol)
        if qty:
            self.add_activity("OPEXP", symbol=symbol, qty=amount(-qty, NANOS))

    def exercise_option(self, symbol: str) -> None:
        """Let held contracts be exercised: a put sells its shares at the strike, a call buys them."""
        terms = option_terms(symbol)
        with self.exchange.lock:
            qty = self.exchange.positions.pop(symbol, 0)
            shares = 100 * qty if terms.right == "CALL" else -100 * qty
            cash = -value_of(terms.root, terms.strike_micros, shares)
            self.exchange.positions[terms.root] = self.exchange.positions.get(terms.root, 0) + shares
            self.exchange.cash_micros += cash
        self.expired.add(symbol)
        self.add_activity("OPEXC", symbol=symbol, qty=amount(-qty, NANOS), group_id=f"g-{symbol}")
        money = {"net_amount": amount(cash, MICROS), "price": amount(terms.strike_micros, MICROS)}
        self.add_activity("OPTRD", symbol=terms.root, qty=amount(shares, NANOS), group_id=f"g-{symbol}", **money)

    def split(self, symbol: str, numerator: int, denominator: int) -> None:
        """Let so many new shares stand for the old ones."""
        with self.exchange.lock:
            old = self.exchange.positions.get(symbol, 0)
            new = self.exchange.positions[symbol] = old * numerator // denominator
        for qty in (-old, new):
            self.add_activity("SPLIT", symbol=symbol, qty=amount(qty, NANOS), group_id=f"split-{symbol}")

    def bust(self, number: int) -> None:
        """Take an execution back, whole."""
        one = self._take_out(number)
        self._tell_change(number, "trade_bust", order_uuid(f"bust-{number}"), one.qty_nanos, one.price_micros)

    def correct(self, number: int, price_micros: int) -> str:
        """Put an execution with another price in the place of one; return its activity's id."""
        one = self._take_out(number)
        right = replace(
            one,
            number=len(self.exchange.executions) + 1,
            execution_id=f"{one.execution_id}-corrected",
            price_micros=price_micros,
            ts_ns=self.exchange._clock(),
        )
        with self.exchange.lock:
            self._move(one.symbol, one.side, right.qty_nanos, price_micros)
            self.exchange.executions.append(right)
            self._of(one.order_id).filled_nanos += right.qty_nanos
        name = local_id(right.ts_ns, right.execution_id)
        self._tell_change(number, "trade_correct", name.split("::")[1], right.qty_nanos, price_micros)
        return name

    def _take_out(self, number: int) -> Any:
        with self.exchange.lock:
            one = self.exchange.executions[number - 1]
            self._move(one.symbol, one.side, -one.qty_nanos, one.price_micros)
            self._of(one.order_id).filled_nanos -= one.qty_nanos
        self.busted.add(number)
        return one

    def _of(self, order_id: str) -> Any:
        return self.exchange.orders[order_id]

    def _move(self, symbol: str, side: str, qty_nanos: int, price_micros: int) -> None:
        sign = 1 if side == "BUY" else -1
        self.exchange.positions[symbol] = self.exchange.positions.get(symbol, 0) + sign * qty_nanos
        self.exchange.cash_micros -= sign * value_of(symbol, price_micros, qty_nanos)

    def _tell_change(self, number: int, kind: str, ref: str, qty_nanos: int, price_micros: int) -> None:
        one = self.exchange.executions[number - 1]
        ts = self.exchange._clock()
        details = {"execution_type": kind, "order_id": order_uuid(one.order_id), "side": one.side.lower()}
        event = {
            "event_id": f"{ts:026d}",
            "activity_type": "FILL",
            "at": iso(ts),
            "executed_at": iso(one.ts_ns),
            "status": "executed",
            "ref_id": ref,
            "previous_id": local_id(one.ts_ns, one.execution_id).split("::")[1],
            "price": amount(price_micros, MICROS),
            "qty": amount(qty_nanos, NANOS),
            "details": details | {"symbol": one.symbol},
        }
        self._events.append((ts, event))

    def get_events(self, query: dict[str, str], _body: Any) -> Reply:
        """Answer with the events of a span of time, in the form of a stream that ends."""
        if not self.tells_events:
            raise ProblemError(404, 40410000, "endpoint not found.")
        if ("until" in query) and ("since" not in query):
            raise ProblemError(422, 42210000, "since is required with until")
        since, until = ns_of(query["since"]), ns_of(query["until"])
        events = [event for ts, event in self._events if since <= ts <= until and not self.hides_events]
        told = b"".join(b"id: 1\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)
        return Reply(200, b": welcome\n\n" + told)

"""The paper broker behind a bad line: what an outside broker may do to whoever trades through it."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import BrokerClock, OpenOrder, OrderRequest


class UnreliableBroker:
    """The paper broker behind a bad line: `errors` are raised, one a call, before or after it has acted."""

    name = "PAPER"

    def __init__(self, broker: Any) -> None:
        self.real = broker
        calls = (
            "submit",
            "lookup",
            "cancel",
            "executions_after",
            "on_quotes",
            "open_orders",
            "finish",
            "assets",
            "activities",
        )
        calls += ("fence", "clock")
        self.errors = {call: [] for call in calls}
        self.not_found_proof = broker.not_found_proof
        self.acts_before_failing = False
        #: The broker takes orders, but finds and lists them only once this is False.
        self.is_lagging = False
        #: Something on the way sends each order request twice.
        self.repeats_submits = False
        #: Cancels are answered and not done.
        self.ignores_cancels = False
        #: New orders are refused, of whatever kind, as an outside broker's account that is suspended does.
        self.is_fenced = False
        #: What time it says it is; None = it has no clock of its own.
        self.said_clock: BrokerClock | None = None
        #: Orders and positions of somebody else in the same account.
        self.others: list[OpenOrder] = []
        self.other_positions: dict[str, int] = {}
        self.hints = lambda: ()
        #: What it says of symbols when it is asked anew.
        self.limited: dict[str, m.AssetLine] = {}
        #: What it says that it took back.
        self.taken_back: list[r.BrokerReversal] = []
        self.refuses_opposite_sides = broker.refuses_opposite_sides
        self.calls, self.attach, self.planned = [], lambda _ports: None, broker.planned

    def _do(self, call: str, *args: Any) -> Any:
        self.calls.append(call)
        error = self.errors[call].pop(0) if self.errors[call] else None
        if error is None:
            return getattr(self.real, call)(*args)
        if self.acts_before_failing:
            getattr(self.real, call)(*args)
        raise error

    def submit(self, request: OrderRequest) -> Any:
        if self.is_fenced:
            self.calls.append("submit")
            return r.BrokerRejected(
                ts_event=request.ts_ns,
                ts_init=request.ts_ns,
                client_order_id=request.client_order_id,
                detail="the account is suspended",
            )
        answer = self._do("submit", request)
        return self.real.submit(request) if self.repeats_submits else answer

    def cancel(self, key: str, now_ns: int) -> Any:
        if self.ignores_cancels:
            self.calls.append("cancel")
            return ()
        return self._do("cancel", key, now_ns)

    def lookup(self, key: str, now_ns: int) -> Any:
        found = self._do("lookup", key, now_ns)
        if self.is_lagging:
            detail = "no such order"
            return (r.BrokerNotFound(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=detail),)
        return found

    def executions_after(self, execution_id: str, now_ns: int) -> Any:
        return self._do("executions_after", execution_id, now_ns)

    def on_quotes(self, batch: m.QuoteBatch, session_date: str) -> Any:
        return self._do("on_quotes", batch, session_date)

    def open_orders(self, now_ns: int) -> Any:
        listed = self._do("open_orders", now_ns)
        return [*self.others, *(() if self.is_lagging else listed)]

    def finish(self, now_ns: int) -> Any:
        return self._do("finish", now_ns)

    def assets(self, symbols: Sequence[str], now_ns: int) -> Any:
        return self._do("assets", symbols, now_ns)

    def assets_anew(self, symbols: Sequence[str], now_ns: int) -> Any:
        told = self._do("assets", symbols, now_ns)
        return [self.limited.get(line.symbol, line) for line in told]

    def fence(self, *, is_up: bool, now_ns: int) -> None:
        self.calls.append(f"fence {'up' if is_up else 'down'}")
        error = self.errors["fence"].pop(0) if self.errors["fence"] else None
        if error is None:
            self.is_fenced = is_up
            return
        raise error

    def clock(self, now_ns: int) -> Any:
        return self._do("clock", now_ns) if self.said_clock is None else self.said_clock

    def account(self, session_date: str, now_ns: int) -> Any:
        account = self.real.account(session_date, now_ns)
        held = dict(zip(account.symbols, account.qtys_nanos, strict=True))
        for symbol, qty in self.other_positions.items():
            held[symbol] = held.get(symbol, 0) + qty
        return replace(account, symbols=tuple(held), qtys_nanos=tuple(held.values()))

    def activities(self, now_ns: int) -> Any:
        return self._do("activities", now_ns)

    def reversals(self, execution_ids: Sequence[str], now_ns: int) -> Any:
        return [one for one in self.taken_back if one.execution_id in execution_ids]

    def close(self) -> None:
        self.real.close()

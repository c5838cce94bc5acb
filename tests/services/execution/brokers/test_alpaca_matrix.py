"""Execution's own matrix of outcomes and phases, over Alpaca's adapter, its line and its stand-in."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from alpaca_bench import Bench, opened_bench
from alpaca_words import local_id, order_uuid
from exchange import MICROS, NANOS
from fault_proxy import Fault, Request

from bus import messages as m
from services.execution.brokers.alpaca import AlpacaBroker

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fault_matrix
from fault_matrix import OUTCOMES, PHASES, MatrixRig, Outcome, Phase

#: Phase -> the request that is meant, and the leg of the order that it is about; "" = of none.
REQUESTS: dict[Phase, tuple[str, str, str]] = {
    "entry submit": ("POST", "/v2/orders", "entry"),
    "entry lookup": ("GET", "/v2/orders:by_client_order_id", "entry"),
    "entry fills": ("GET", "/v2/account/activities/FILL", ""),
    "entry cancel": ("DELETE", "/v2/orders/", "entry"),
    "stop submit": ("POST", "/v2/orders", "stop"),
    "stop cancel": ("DELETE", "/v2/orders/", "stop"),
    "exit submit": ("POST", "/v2/orders", "exit"),
    "open orders": ("GET", "/v2/orders", ""),
}
REFUSED = b'{"code": 40310000, "message": "insufficient buying power"}'
NOT_FOUND = b'{"code": 40410000, "message": "order not found for it"}'
UNAVAILABLE = {"kind": "status_before", "status": 503}
FAULTS: dict[Outcome, dict[str, Any]] = {
    "lost request": {"kind": "reset_before"},
    "lost answer": {"kind": "reset_after"},
    "server error before": UNAVAILABLE,
    "server error after": {"kind": "status_after", "status": 504},
    "unreadable": {"kind": "garbage"},
    "silent for long": {"kind": "reset_before"},
    "key refused": {"kind": "status_before", "status": 401},
}
#: What is certain only of a new order; elsewhere it is an answer that cannot be used.
FAULTS_OF_SUBMITS: dict[Outcome, dict[str, Any]] = {
    "turned away unread": {"kind": "status_before", "status": 429, "headers": {"Retry-After": "1"}},
    "refused": {"kind": "status_before", "status": 403, "body": REFUSED},
    "duplicate": {"kind": "twice"},
}
REPEATS = {"silent for long": 40, "not found yet": 3}
PLAYED = [(phase, outcome) for phase in PHASES for outcome in OUTCOMES]


class Shown:
    """One order in the exchange's own books."""

    def __init__(self, order: Any) -> None:
        self.client_order_id = order.ticket.client_id
        self.side, self.qty_nanos = order.ticket.side, order.ticket.qty_nanos
        self.filled_nanos, self.is_open = order.filled_nanos, order.is_open


class BothSides(AlpacaBroker):
    """Alpaca without its wash rule."""

    refuses_opposite_sides = False


class AlpacaMatrix:
    """Execution over the adapter; the line spoils the requests of one phase."""

    def __init__(self, bench: Bench, kit: Any) -> None:
        self.bench, self.kit = bench, kit
        # The playbook fills an entry in two parts with its stops between, which Alpaca's wash rule forbids.
        bench.house.has_wash_rule = False
        broker = bench.restart(clock=lambda: self.rig.boot_ns if hasattr(self, "rig") else 0)
        broker.__class__ = BothSides
        self.rig = kit.Rig(broker)
        self.rig.failpoint = self._note
        self._legs: dict[str, str] = {}
        self._left: dict[Phase, list[Any]] = {}
        self.reached: set[Phase] = set()
        bench.line.chooser = self._fault
        self.rig.armed()
        self._step = 0

    def _note(self, event: m.Message) -> None:
        if isinstance(event, m.OrderPrepared):
            self._legs[event.client_order_id] = event.leg

    def spoil(self, phase: Phase, outcome: Outcome) -> None:
        self._left[phase] = [outcome, REPEATS.get(outcome, 1)]

    def heal(self) -> None:
        self._left.clear()

    def _fault(self, request: Request) -> Fault | None:
        for phase, left in self._left.items():
            method, path, leg = REQUESTS[phase]
            target = urlsplit(request.target)
            is_path = target.path.startswith(path) if path.endswith("/") else target.path == path
            if left[1] <= 0 or request.method != method or not is_path or (leg and self._leg_of(request) != leg):
                continue
            left[1] -= 1
            self.reached.add(phase)
            more = self._more(phase, left[0])
            return None if more is None else Fault(method, ".*", **more)
        return None

    def _more(self, phase: Phase, outcome: Outcome) -> dict[str, Any] | None:
        is_submit = REQUESTS[phase][0] == "POST"
        if outcome in FAULTS_OF_SUBMITS:
            return FAULTS_OF_SUBMITS[outcome] if is_submit else UNAVAILABLE
        if outcome == "not found yet" and phase == "entry lookup":
            return {"kind": "status_before", "status": 404, "body": NOT_FOUND}
        if outcome == "not found yet" and phase == "open orders":
            return {"kind": "status_before", "status": 200, "body": b"[]"}
        return FAULTS.get(outcome)

    def _leg_of(self, request: Request) -> str:
        target = urlsplit(request.target)
        if request.method == "POST":
            return self._legs.get(json.loads(request.body)["client_order_id"], "")
        if request.method == "GET":
            return self._legs.get(parse_qs(target.query)["client_order_id"][0], "")
        wanted = target.path.rsplit("/", 1)[1]
        names = {order_uuid(one.order_id): one.ticket.client_id for one in self.bench.exchange.all_orders()}
        return self._legs.get(names.get(wanted, ""), "")

    def move(self, bid: float, *, size: int, at_s: int) -> None:
        price = round(bid * MICROS)
        # The playbook's orders meet only what is quoted after them, so nothing is left of what came before the first.
        shown = size * NANOS if self._step else 0
        sizes = {"bid_nanos": shown, "ask_nanos": shown}
        self.bench.exchange.set_quote("SPY", price, price + 20_000, **sizes)
        self._step += 1
        self.rig.market(self.kit.spy(self._step, bid=bid, size=size, at_s=at_s))

    def orders(self) -> list[Shown]:
        return [Shown(order) for order in self.bench.exchange.all_orders()]

    def fills(self) -> list[tuple[str, int]]:
        return [(local_id(one.ts_ns, one.execution_id), one.qty_nanos) for one in self.bench.exchange.trades()]


@pytest.mark.parametrize(("phase", "outcome"), PLAYED)
def test_order_when_a_request_of_its_life_ends_in_any_way_then_none_is_doubled_none_is_lost_and_all_is_reserved(
    kit: Any, phase: Phase, outcome: Outcome
) -> None:
    with opened_bench() as bench:
        matrix = AlpacaMatrix(bench, kit)

        @contextmanager
        def make() -> Iterator[MatrixRig]:
            yield matrix

        fault_matrix.play(make, phase, outcome)
        # Sixty of the hundred are bought before ENTRY_TIMEOUT, and sold again.
        assert outcome != "answered" or sum(qty for _, qty in matrix.fills()) == 2 * 60 * NANOS
        assert phase in matrix.reached, "the request that was to be spoiled never came"

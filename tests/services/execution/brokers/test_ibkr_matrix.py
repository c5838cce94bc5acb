"""Execution's own matrix of outcomes and phases, over Interactive Brokers' adapter, its line and its stand-in.

What an answer over HTTP says with a status, the gateway says with a numbered message, or not at all. Both libraries
play every pair.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from exchange import MICROS, NANOS
from ib_gateway_bench import Bench, new_york_ns

from bus import messages as m
from bus.clock import utc_now
from bus.ib_library import IB_LIBRARIES

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fault_matrix
from fault_matrix import OUTCOMES, PHASES, MatrixRig, Outcome, Phase

PLACE, CANCEL, OPEN_ORDERS, COMPLETED, EXECUTIONS = 3, 4, 16, 99, 7
#: Phase -> the messages that are meant, and the leg of the order that they are about; "" = of none.
MESSAGES: dict[Phase, tuple[tuple[int, ...], str]] = {
    "entry submit": ((PLACE,), "entry"),
    "entry lookup": ((OPEN_ORDERS, COMPLETED, EXECUTIONS), ""),
    "entry fills": ((EXECUTIONS,), ""),
    "entry cancel": ((CANCEL,), "entry"),
    "stop submit": ((PLACE,), "stop"),
    "stop cancel": ((CANCEL,), "stop"),
    "exit submit": ((PLACE,), "exit"),
    "open orders": ((OPEN_ORDERS,), ""),
}
FAULTS: dict[Outcome, str] = {
    "answered": "",
    "lost request": "drop",
    "lost answer": "carry-and-drop",
    "server error before": "error:322:Server error when processing an API client request.",
    "server error after": "carry-and-error:322:Server error when processing an API client request.",
    "turned away unread": "error:100:Max rate of messages per second has been exceeded:max=50 rec=51",
    "unreadable": "garble",
    "silent for long": "drop",
    "key refused": "error:321:Error validating request.-'bN' : cause - The API interface is in Read-Only mode.",
}
#: What is certain only of a new order; elsewhere the gateway has no word for it but a fault.
FAULTS_OF_SUBMITS: dict[Outcome, str] = {
    "refused": "error:201:Order rejected - reason:insufficient buying power",
    "duplicate": "twice",
}
REPEATS = {"silent for long": 40, "not found yet": 9}
#: A message that is never answered is waited for so long.
PATIENCE_NS = 400_000_000
PLAYED = [(library, phase, outcome) for library in IB_LIBRARIES for phase in PHASES for outcome in OUTCOMES]


class Shown:
    """One order in the exchange's own books, by the name that it was sent with."""

    def __init__(self, order: Any, name: str) -> None:
        self.client_order_id = name
        self.side, self.qty_nanos = order.ticket.side, order.ticket.qty_nanos
        self.filled_nanos, self.is_open = order.filled_nanos, order.is_open


class IbkrMatrix:
    """Execution over the adapter; the gateway spoils the messages of one phase."""

    def __init__(self, bench: Bench, kit: Any) -> None:
        self.bench, self.kit = bench, kit
        bench.now_ns = new_york_ns("2013-10-08 10:00")
        bench.gateway.clock_s = None
        now = utc_now()
        bench.gateway.hours = ("", f"{now - timedelta(days=2):%Y%m%d}:0000-{now + timedelta(days=2):%Y%m%d}:0000")
        self.rig = kit.Rig(bench.broker)
        self.rig.failpoint = self._note
        self._legs: dict[str, str] = {}
        self._left: dict[Phase, list[Any]] = {}
        self.reached: set[Phase] = set()
        self._step = 0
        bench.quote(100, 100.02, "SPY", 0)
        self.rig.armed()
        bench.gateway.chooser = self._plan

    def _note(self, event: m.Message) -> None:
        if isinstance(event, m.OrderPrepared):
            self._legs[event.client_order_id] = event.leg

    def spoil(self, phase: Phase, outcome: Outcome) -> None:
        self._left[phase] = [outcome, REPEATS.get(outcome, 1)]

    def heal(self) -> None:
        self._left.clear()

    def _plan(self, kind: int, fields: list[str]) -> str:
        for phase, left in self._left.items():
            kinds, leg = MESSAGES[phase]
            if left[1] <= 0 or kind not in kinds or (leg and self._leg_of(kind, fields) != leg):
                continue
            is_first = phase not in self.reached
            left[1] -= 1
            self.reached.add(phase)
            # A silent gateway is waited for once; then it is gone for long.
            return "swallow" if is_first and left[0] == "silent for long" else self._fault(kind, left[0])
        return ""

    def _fault(self, kind: int, outcome: Outcome) -> str:
        if outcome in FAULTS_OF_SUBMITS:
            return FAULTS_OF_SUBMITS[outcome] if kind == PLACE else FAULTS["server error before"]
        if outcome == "not found yet":
            return "empty" if kind in {OPEN_ORDERS, COMPLETED, EXECUTIONS} else ""
        return FAULTS[outcome]

    def _leg_of(self, kind: int, fields: list[str]) -> str:
        if kind == PLACE:
            return self._legs.get(fields[26], "")
        known = next((one for one in self.bench.gateway.orders if str(one.order_id) == fields[2]), None)
        return self._legs.get(known.ref, "") if known else ""

    def move(self, bid: float, *, size: int, at_s: int) -> None:
        # The playbook's orders meet only what is quoted after them, so nothing is left of what came before the first.
        shown = size if self._step else 0
        sizes = {"bid_nanos": shown * NANOS, "ask_nanos": shown * NANOS}
        price = round(bid * MICROS)
        self.bench.exchange.set_quote("SPY", price, price + 20_000, **sizes)
        self.bench.gateway.wait_until_told()
        self._step += 1
        self.rig.market(self.kit.spy(self._step, bid=bid, size=size, at_s=at_s))

    def orders(self) -> list[Shown]:
        # The time after which the adapter connects again is over by the clock of this playbook.
        self.bench.broker._line._retry_at_ns = 0
        names = {str(one.perm_id): one.ref for one in list(self.bench.gateway.orders)}
        return [Shown(order, names[order.ticket.client_id]) for order in self.bench.exchange.all_orders()]

    def fills(self) -> list[tuple[str, int]]:
        known = {one.execution_id: one.name for one in self.bench.broker._books.executions_after(0)}
        return [(known.get(one.execution_id, one.execution_id), one.qty_nanos) for one in self.bench.gateway.executions]


@pytest.mark.parametrize(("library", "phase", "outcome"), PLAYED)
def test_order_when_a_message_of_its_life_ends_in_any_way_then_none_is_doubled_none_is_lost_and_all_is_reserved(
    tmp_path: Path, kit: Any, library: str, phase: Phase, outcome: Outcome
) -> None:
    bench = Bench(tmp_path, library, patience_ns=PATIENCE_NS)
    try:
        matrix = IbkrMatrix(bench, kit)

        @contextmanager
        def make() -> Iterator[MatrixRig]:
            yield matrix

        fault_matrix.play(make, phase, outcome)
        # Sixty of the hundred are bought before ENTRY_TIMEOUT, and sold again.
        assert outcome != "answered" or sum(qty for _, qty in matrix.fills()) == 2 * 60 * NANOS
        assert phase in matrix.reached, "the message that was to be spoiled never came"
    finally:
        bench.close()

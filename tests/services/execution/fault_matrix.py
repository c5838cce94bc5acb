"""Twelve outcomes of a call to the broker in eight phases of an order's life, over any broker.

A *rig of a broker* is what `play` needs: the broker that execution trades through, a way to spoil its next call in a
phase, a market that can be moved, and the broker's own books. The embedded one is in `test_fault_matrix.py`; an adapter
gives one over its stand-in. Whatever happens, no order is doubled, no fill is lost, and what is reserved is at least
what is really at risk, at every step.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Literal, Protocol

from bus import messages as m
from services.execution.orders import FINAL_STATES

Outcome = Literal[
    "answered",
    "lost request",
    "lost answer",
    "server error before",
    "server error after",
    "turned away unread",
    "refused",
    "duplicate",
    "not found yet",
    "unreadable",
    "silent for long",
    "key refused",
]
Phase = Literal[
    "entry submit",
    "entry lookup",
    "entry fills",
    "entry cancel",
    "stop submit",
    "stop cancel",
    "exit submit",
    "open orders",
]
OUTCOMES: Final[tuple[Outcome, ...]] = Outcome.__args__  # type: ignore[attr-defined] # a Literal has its words there
PHASES: Final[tuple[Phase, ...]] = Phase.__args__  # type: ignore[attr-defined] # a Literal has its words there
#: Once nothing is open on either side and both have booked the same, it is looked on for so many rounds of 30 s.
QUIET_ROUNDS: Final = 2
SECOND: Final = 1_000_000_000
INTENT: Final = "2013-10-08:open:SPY:BULLISH"


class BrokerOrder(Protocol):
    """One order in the broker's own books."""

    client_order_id: str
    side: m.Side
    qty_nanos: int
    filled_nanos: int
    is_open: bool


class MatrixRig(Protocol):
    """Execution over a broker whose calls can be spoiled. `kit` builds messages, `rig` is execution itself."""

    kit: Any
    rig: Any

    def spoil(self, phase: Phase, outcome: Outcome) -> None:
        """Let the next call of this phase, and where it is a matter of time the later ones, end like this."""
        ...

    def heal(self) -> None:
        """Let every call from now on be answered."""
        ...

    def move(self, bid: float, *, size: int, at_s: int) -> None:
        """Let the market be at this bid, so many seconds after the open, for the broker and for execution."""
        ...

    def orders(self) -> Sequence[BrokerOrder]:
        """Return every order that the broker ever accepted."""
        ...

    def fills(self) -> Sequence[tuple[str, int]]:
        """Return every execution at the broker: its id and quantity."""
        ...


Factory = Callable[[], AbstractContextManager[MatrixRig]]


def play(make: Factory, phase: Phase, outcome: Outcome) -> None:
    """Play an entry in two parts, its stops, a cancel of what is unfilled, and the exit; one call of it goes wrong."""
    with make() as matrix:
        _play(matrix, phase, outcome)


def _play(matrix: MatrixRig, phase: Phase, outcome: Outcome) -> None:
    rig = matrix.rig
    matrix.move(100, size=60, at_s=1)
    _rest(matrix, 3)
    matrix.spoil(phase, outcome)
    if phase == "entry lookup":
        # Nobody looks up an order whose acceptance was heard.
        matrix.spoil("entry submit", "lost answer")
    rig.give(matrix.kit.submit(expires_ns=matrix.kit.OPEN_NS + 300 * SECOND))
    _rest(matrix, 2)
    matrix.move(100.1, size=60, at_s=2)
    _rest(matrix, 8)
    # ENTRY_TIMEOUT cancels the rest of the entry, then the planned exit comes.
    matrix.move(100.2, size=0, at_s=121)
    _rest(matrix, 8)
    matrix.move(100.3, size=1000, at_s=3_600)
    _rest(matrix, 8)
    matrix.heal()
    quiet = 0
    for step in range(12):
        matrix.move(100.3, size=1000, at_s=3_605 + 5 * step)
        _rest(matrix, 30, every=0.5)
        # Nothing waits on either side: a minute more has to change nothing, and five more would not either.
        quiet = quiet + 1 if _is_over(matrix) else 0
        if quiet > QUIET_ROUNDS:
            break
    _judge_end(matrix, phase, outcome)


def _is_over(matrix: MatrixRig) -> bool:
    booked = sorted((e.execution_id, e.qty_nanos) for e in matrix.rig.journal if isinstance(e, m.OrderFilled))
    is_open = any(order.is_open for order in matrix.orders()) or bool(matrix.rig.state.open_orders())
    return not is_open and booked == sorted(matrix.fills())


def _rest(matrix: MatrixRig, seconds: float, every: float = 0.25) -> None:
    """Let boot time pass, and look at the promises at each step."""
    for _ in range(round(seconds / every)):
        matrix.rig.idle_for(every, every=every)
        judge_step(matrix)


def judge_step(matrix: MatrixRig) -> None:
    """Check what has to hold at every step: no order twice, no fill twice, and nothing at risk that is not reserved."""
    state = matrix.rig.state
    entries = [order for order in matrix.orders() if order.side == "BUY"]
    assert len({order.client_order_id for order in entries}) == len(entries) <= 1, "the entry is there twice"
    booked = [e.execution_id for e in matrix.rig.journal if isinstance(e, m.OrderFilled)]
    assert len(booked) == len(set(booked)), "a fill was booked twice"
    at_risk = sum(order.filled_nanos + _working(order) for order in entries)
    reserved = sum(
        order.filled_nanos if order.state in FINAL_STATES else order.prepared.qty_nanos
        for order in state.orders()
        if order.leg == "entry"
    )
    assert reserved >= at_risk, f"{at_risk} at risk, {reserved} reserved"
    sold = sum(order.filled_nanos + _working(order) for order in matrix.orders() if order.side == "SELL")
    bought = sum(order.filled_nanos for order in entries)
    assert sold <= bought, "more is being sold than was bought"


def _working(order: BrokerOrder) -> int:
    return order.qty_nanos - order.filled_nanos if order.is_open else 0


def _judge_end(matrix: MatrixRig, phase: Phase, outcome: Outcome) -> None:
    """Check what has to hold once the broker answers again: both sides have booked the same, and nothing is left."""
    booked = sorted((e.execution_id, e.qty_nanos) for e in matrix.rig.journal if isinstance(e, m.OrderFilled))
    assert booked == sorted(matrix.fills()), f"{phase}, {outcome}: the books differ"
    assert [o.client_order_id for o in matrix.orders() if o.is_open and o.side == "BUY"] == []
    open_here = {order.client_order_id for order in matrix.rig.state.open_orders()}
    assert {o.client_order_id for o in matrix.orders() if o.is_open} == open_here
    held = sum(o.filled_nanos if o.side == "BUY" else -o.filled_nanos for o in matrix.orders())
    is_guarded = held == sum(_working(o) for o in matrix.orders() if o.side == "SELL")
    assert held == 0 or is_guarded or matrix.rig.halts, "a position that nobody protects, and nobody is told"

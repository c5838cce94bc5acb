"""The matrix of outcomes and phases over the embedded broker behind a bad line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fault_matrix
import pytest
from fault_matrix import OUTCOMES, PHASES, MatrixRig, Outcome, Phase
from unreliable_broker import UnreliableBroker

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import (
    OUTSIDE_PROOF,
    NotSentError,
    OrderRequest,
    RetryableBrokerError,
    StopTradingError,
)
from services.execution.brokers.paper import PaperBroker

SECOND = 1_000_000_000
#: Whose call a phase is.
CALLS: dict[Phase, str] = {
    "entry submit": "submit",
    "entry lookup": "lookup",
    "entry fills": "executions_after",
    "entry cancel": "cancel",
    "stop submit": "submit",
    "stop cancel": "cancel",
    "exit submit": "submit",
    "open orders": "open_orders",
}
#: Outcomes that a call has only when an order is sent; elsewhere they are an answer that cannot be used.
ONLY_SUBMITS = ("turned away unread", "refused", "duplicate")


class SpoiledBroker(UnreliableBroker):
    """Spoils the next call of a phase; calls are told apart by the leg of the order that they are about."""

    def __init__(self, broker: PaperBroker) -> None:
        super().__init__(broker)
        self.not_found_proof = OUTSIDE_PROOF
        self.spoiled: dict[Phase, Outcome] = {}
        self.legs: dict[str, str] = {}
        self.reached: set[Phase] = set()
        self._left: dict[Phase, int] = {}

    def spoil(self, phase: Phase, outcome: Outcome) -> None:
        self.spoiled[phase] = outcome
        self._left[phase] = 40 if outcome == "silent for long" else 3 if outcome == "not found yet" else 1

    def _outcome(self, phase: Phase) -> Outcome | None:
        if self._left.get(phase, 0) <= 0:
            return None
        self._left[phase] -= 1
        self.reached.add(phase)
        return self.spoiled[phase]

    def _do(self, call: str, *args: Any) -> Any:
        self.calls.append(call)
        for phase, its_call in CALLS.items():
            leg = phase.split()[0]
            about = args[0].client_order_id if call == "submit" else args[0]
            if its_call != call or (leg in ("entry", "stop", "exit") and not self._is_leg(call, about, leg)):
                continue
            outcome = self._outcome(phase)
            if outcome is not None:
                return self._spoiled(call, outcome, *args)
        return getattr(self.real, call)(*args)

    def _is_leg(self, call: str, about: Any, leg: str) -> bool:
        return call == "executions_after" or self.legs.get(about) == leg

    def _spoiled(self, call: str, outcome: Outcome, *args: Any) -> Any:
        act = getattr(self.real, call)
        match outcome:
            case "turned away unread" if call == "submit":
                raise NotSentError("429: too many requests", after_ns=SECOND)
            case "refused" if call == "submit":
                return self._refused(args[0])
            case "duplicate" if call == "submit":
                act(*args)
                return act(*args)
            case "not found yet" if call == "lookup":
                return self._not_found(*args)
            case "not found yet" if call == "open_orders":
                return ()
            case "lost answer" | "server error after" | "unreadable":
                act(*args)
                raise RetryableBrokerError(outcome)
            case "key refused":
                raise StopTradingError("401: the key was refused")
            case "lost request" | "server error before" | "silent for long":
                raise RetryableBrokerError(outcome)
            case "answered" | "not found yet":
                return act(*args)
            case _:
                raise RetryableBrokerError(outcome)

    def submit(self, request: OrderRequest) -> Any:
        return self._do("submit", request)

    def _refused(self, request: OrderRequest) -> r.BrokerRejected:
        ts, key = request.ts_ns, request.client_order_id
        return r.BrokerRejected(ts_event=ts, ts_init=ts, client_order_id=key, detail="insufficient buying power")

    def _not_found(self, key: str, now_ns: int) -> tuple[r.BrokerNotFound, ...]:
        return (r.BrokerNotFound(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail="404"),)


class BookedOrder:
    """An order of the embedded broker's books."""

    def __init__(self, broker: PaperBroker, prepared: m.OrderPrepared) -> None:
        reports = broker.lookup(prepared.client_order_id, 0)
        self.client_order_id = prepared.client_order_id
        self.side = prepared.side
        self.qty_nanos = prepared.qty_nanos
        self.filled_nanos = sum(report.qty_nanos for report in reports if isinstance(report, r.BrokerFill))
        is_over = any(isinstance(report, r.BrokerCancelled) for report in reports)
        self.is_open = not is_over and self.filled_nanos < self.qty_nanos
        self.is_there = any(isinstance(report, r.BrokerAccepted) for report in reports)


class EmbeddedRig:
    """The rig of the embedded broker."""

    def __init__(self, kit: Any, broker: SpoiledBroker) -> None:
        self.kit = kit
        self.broker = broker
        self.rig = kit.Rig(broker)
        self.rig.failpoint = self._note
        self.rig.armed()
        self._step = 0

    def _note(self, event: m.Message) -> None:
        if isinstance(event, m.OrderPrepared):
            self.broker.legs[event.client_order_id] = event.leg

    def spoil(self, phase: Phase, outcome: Outcome) -> None:
        self.broker.spoil(phase, outcome)

    def heal(self) -> None:
        self.broker._left.clear()

    def move(self, bid: float, *, size: int, at_s: int) -> None:
        self._step += 1
        self.rig.market(self.kit.spy(self._step, bid=bid, size=size, at_s=at_s))

    def orders(self) -> list[BookedOrder]:
        prepared = [event for event in self.rig.journal if isinstance(event, m.OrderPrepared)]
        return [order for one in prepared if (order := BookedOrder(self.broker.real, one)).is_there]

    def fills(self) -> list[tuple[str, int]]:
        return self.kit.broker_fills(self.broker.real)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_order_when_a_call_of_its_life_ends_in_any_way_then_none_is_doubled_none_is_lost_and_all_is_reserved(
    open_broker: Callable[..., PaperBroker], kit: Any, phase: Phase, outcome: Outcome
) -> None:
    broker = SpoiledBroker(open_broker())

    @contextmanager
    def make() -> Iterator[MatrixRig]:
        yield EmbeddedRig(kit, broker)

    fault_matrix.play(make, phase, outcome)
    assert phase in broker.reached, "the call that was to be spoiled was never made"

"""The test of the tests: mistakes that others have made, planted one by one. Each has to be caught.

A mutant is a patch of the real classes and a profile that makes its window likely. The unchanged code plays the same
seeds of the same profile without a fault.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

from msgspec import structs
from sim.faults import LOST_HISTORY, PROFILES, SERVICES, Profile
from sim.host import SECOND

import bus.failpoints
import bus.gate
import services.execution.decisions
import services.execution.sending
from bus.build import build_id
from bus.clock import boot_ns, utc_ns
from bus.codec import Ack, encode_frame
from bus.courier import Courier
from bus.delivery import InboxCursor, OutboxLink, Verdict
from bus.gate import RunnerGate
from bus.halt import LEASE_VALID_NS, LeaseBook
from bus.messages import OrderPrepared, SubmitOrder
from bus.runner import Runner
from bus.store import Store
from services.execution.brokers import reports as r
from services.execution.brokers.interface import RetryableBrokerError
from services.execution.cancelling import Cancelling
from services.execution.core import ExecutionCore
from services.execution.drain import Drain
from services.execution.drop_copy import DropCopy
from services.execution.entry_checks import EntryChecks
from services.execution.orders import Order, client_order_id
from services.execution.recovery import Recovery, unknown
from services.execution.sending import Sending
from services.execution.shell import ExecutionShell

Plant = Callable[[ExitStack], None]


def _put(stack: ExitStack, target: Any, name: str, value: Any) -> None:
    stack.enter_context(patch.object(target, name, value))


# --- delivery -----


def _no_deduplication(stack: ExitStack) -> None:
    """Neither the cursor nor the second net of the ids knows a message again."""
    judge, submit = InboxCursor.judge, ExecutionCore._on_submit

    def careless(self: InboxCursor, epoch: str, seq: int) -> Verdict:
        verdict = judge(self, epoch, seq)
        return Verdict.NEXT if verdict is Verdict.DUPLICATE else verdict

    def again(self: ExecutionCore, state: Any, message: SubmitOrder, now_ns: int) -> Any:
        state.intent_ids.discard(message.intent_id)
        return submit(self, state, message, now_ns)

    _put(stack, InboxCursor, "judge", careless)
    _put(stack, ExecutionCore, "_on_submit", again)


def _skip_gaps(stack: ExitStack) -> None:
    judge = InboxCursor.judge

    def careless(self: InboxCursor, epoch: str, seq: int) -> Verdict:
        verdict = judge(self, epoch, seq)
        return Verdict.NEXT if verdict is Verdict.GAP else verdict

    _put(stack, InboxCursor, "judge", careless)


def _no_retransmit(stack: ExitStack) -> None:
    due = OutboxLink.due

    def once(self: OutboxLink, now_ns: int) -> Any:
        self._retry_at = now_ns + 10**18
        return due(self, now_ns)

    _put(stack, OutboxLink, "due", once)


def _ack_before_commit(stack: ExitStack) -> None:
    take = Courier._take

    def hasty(self: Courier, sender: Any, frame: Any) -> None:
        self._sockets.answer(self._welcomed[sender], encode_frame(Ack(frame.epoch, frame.seq)))
        take(self, sender, frame)

    _put(stack, Courier, "_take", hasty)


def _two_transactions(stack: ExitStack) -> None:
    """The state first, then the outbox and the cursor."""
    commit = Store.commit

    def twice(self: Store, events: Any, outgoing: Any, cursor: Any) -> None:
        commit(self, events, (), cursor)
        bus.failpoints._reached("mutant.between:before")
        commit(self, (), outgoing, None)

    _put(stack, Store, "commit", twice)


def _restored_producer_accepted(stack: ExitStack) -> None:
    _put(stack, InboxCursor, "judge_standing", lambda _self, _standing: None)
    judge = InboxCursor.judge
    _put(stack, InboxCursor, "judge", lambda self, _epoch, seq: judge(self, self.epoch, seq))


# --- the broker -----


def _fill_key_qty_price(stack: ExitStack) -> None:
    """Two executions of the same quantity at the same price are taken for one."""
    on_fill = ExecutionCore._on_fill
    seen: set[tuple[int, str, int, int]] = set()

    def merged(self: ExecutionCore, state: Any, report: r.BrokerFill, now_ns: int) -> Any:
        key = (id(state), report.client_order_id, report.qty_nanos, report.price_micros)
        if key in seen:
            return ()
        seen.add(key)
        return on_fill(self, state, report, now_ns)

    _put(stack, ExecutionCore, "_on_fill", merged)


def _stream_only(stack: ExitStack) -> None:
    """What the stream brings is booked, and nobody asks for executions."""

    def heard(self: ExecutionShell, _state: Any, batch: Any, _now_ns: int) -> Any:
        return self._broker.on_quotes(batch, "")

    _put(stack, ExecutionShell, "_fills_on", heard)
    _put(stack, DropCopy, "look", lambda _self, _state, _now_ns: ())
    _put(stack, Recovery, "missing_fills", lambda _self, _state, _now_ns: [])


def _fresh_id_after_timeout(stack: ExitStack) -> None:
    """The next attempt of an entry goes out at once when the one before timed out."""
    on_unknown = ExecutionCore._on_unknown

    def fresh(self: ExecutionCore, state: Any, report: r.BrokerUnknown, now_ns: int) -> Any:
        events = on_unknown(self, state, report, now_ns)
        order = state.find(report.client_order_id)
        if not events or order.leg != "entry":
            return events
        attempt = order.prepared.attempt + 1
        key = client_order_id(self._account, order.prepared.intent_id, "entry", attempt=attempt)
        step = self._step(state.intent_with(order), now_ns)
        step.say(structs.replace(order.prepared, client_order_id=key, attempt=attempt))
        return (*events, *step.events)

    _put(stack, ExecutionCore, "_on_unknown", fresh)
    # Execution refuses a second entry of an intent by a barrier of its own.
    _put(stack, EntryChecks, "_doubled", lambda _self, _entry: None)


def _send_again(stack: ExitStack, duplicate: Callable[[Sending, Any, Order, int], Any]) -> None:
    """An order that timed out is sent once more; `duplicate` makes reports of the answer that it is there already."""
    send = Sending.send

    def stubborn(self: Sending, state: Any, order: Order, now_ns: int) -> Any:
        reports = send(self, state, order, now_ns)
        if not any(isinstance(report, r.BrokerUnknown) for report in reports):
            return reports
        try:
            answer = self._broker.submit(services.execution.sending.request_of(order.prepared, now_ns))
        except RetryableBrokerError:
            return reports
        self._recovery.settled(order.client_order_id)
        return duplicate(self, state, order, now_ns) if isinstance(answer, r.BrokerDuplicate) else (answer,)

    _put(stack, Sending, "send", stubborn)


def _resend_after_timeout(stack: ExitStack) -> None:
    _send_again(stack, lambda self, state, order, now_ns: self._recovery.recover(state, [order], now_ns))


def _rejected(key: str, detail: object, now_ns: int) -> r.BrokerRejected:
    return r.BrokerRejected(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=str(detail)[:400])


def _timeout_is_rejected(stack: ExitStack) -> None:
    _put(stack, services.execution.sending, "unknown", _rejected)


def _duplicate_is_rejected(stack: ExitStack) -> None:
    """What timed out is sent again, and "must be unique" is taken for a refusal."""
    _send_again(
        stack, lambda _self, _state, order, now_ns: (_rejected(order.client_order_id, "must be unique", now_ns),)
    )


def _not_found(key: str, detail: str, now_ns: int) -> r.BrokerNotFound:
    return r.BrokerNotFound(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=detail)


def _one_absence_is_proof(stack: ExitStack) -> None:
    """One "not found" proves that an order was never accepted."""

    def sure(self: Recovery, key: str, now_ns: int) -> Any:
        self._retries.pop(key, None)
        return (_not_found(key, "not found", now_ns),)

    _put(stack, Recovery, "_absence", sure)


def _network_error_is_absence(stack: ExitStack) -> None:
    """A query that fails counts as "not found", where one such answer is proof."""
    _one_absence_is_proof(stack)
    recover = Recovery.recover

    def sure(self: Recovery, state: Any, orders: Any, now_ns: int) -> Any:
        reports = recover(self, state, orders, now_ns)
        return [
            _not_found(report.client_order_id, report.detail, now_ns) if isinstance(report, r.BrokerUnknown) else report
            for report in reports
        ]

    _put(stack, Recovery, "recover", sure)


def _send_before_persisting(stack: ExitStack) -> None:
    before, send = ExecutionShell.before_commit, Sending.send
    early: dict[str, Any] = {}

    def hasty(self: ExecutionShell, event: Any) -> None:
        before(self, event)
        if isinstance(event, OrderPrepared) and not self.gate.refusal(reduces=event.leg != "entry"):
            request = services.execution.sending.request_of(event, event.ts_init)
            try:
                early[event.client_order_id] = self._broker.submit(request)
            except RetryableBrokerError as error:
                early[event.client_order_id] = error

    def known(self: Sending, state: Any, order: Order, now_ns: int) -> Any:
        key = order.client_order_id
        if key not in early:
            return send(self, state, order, now_ns)
        answer = early.pop(key)
        self.unsent.pop(key, None)
        if isinstance(answer, RetryableBrokerError):
            return (unknown(key, answer, now_ns), *self._recovery.again(key, answer, now_ns))
        return (answer,)

    _put(stack, ExecutionShell, "before_commit", hasty)
    _put(stack, Sending, "send", known)


def _cancel_once(stack: ExitStack) -> None:
    cancel = Cancelling.cancel
    asked: set[tuple[int, str]] = set()

    def once(self: Cancelling, state: Any, order: Any, now_ns: int) -> Any:
        key = (id(self), order.client_order_id)
        if key in asked:
            return ()
        asked.add(key)
        return cancel(self, state, order, now_ns)

    _put(stack, Cancelling, "cancel", once)


# --- permission -----


def _halt_by_broadcast_only(stack: ExitStack) -> None:
    """Execution asks neither the control folder nor the leases; it stops when a message tells it to."""
    hear = Runner._hear_control

    def deaf(self: Runner) -> None:
        if self.name != "execution" or not self._control.read().is_halted():
            hear(self)

    _put(stack, RunnerGate, "refusal", lambda _self, **_kind: None)
    _put(stack, RunnerGate, "lapsed_ns", lambda _self: 0)
    _put(stack, Runner, "_hear_control", deaf)


def _lease_not_checked(stack: ExitStack) -> None:
    _put(stack, LeaseBook, "refusal", lambda _self, _boot_ns: None)


def _lease_checked_at_the_queue(stack: ExitStack) -> None:
    """The leases are asked when the loop takes its messages, and not again before each order is written."""
    turn = Runner.turn
    taken_ns = [0]

    def noted(self: Runner) -> None:
        taken_ns[0] = boot_ns()
        turn(self)

    def early(self: RunnerGate, *, reduces: bool) -> str | None:
        if reduces:
            return None
        return self._control.read().refusal(build_id()) or self._leases.refusal(taken_ns[0])

    _put(stack, Runner, "turn", noted)
    _put(stack, RunnerGate, "refusal", early)


def _lease_counted_from_receipt(stack: ExitStack) -> None:
    heard = LeaseBook.heard

    def late(self: LeaseBook, issuer: str, expires_boot_ns: int, now_boot_ns: int) -> None:
        heard(self, issuer, max(expires_boot_ns, now_boot_ns + LEASE_VALID_NS), now_boot_ns)

    _put(stack, LeaseBook, "heard", late)


def _lease_on_the_wall_clock(stack: ExitStack) -> None:
    """The gate asks the wall clock whether a lease is over."""
    between: list[int] = []

    def wall_ns() -> int:
        between.append(utc_ns() - boot_ns())
        return utc_ns() - between[0]

    _put(stack, bus.gate, "boot_ns", wall_ns)


def _no_ttl_check(stack: ExitStack) -> None:
    """An order is sent although the time to live of its signal has passed."""
    refusal = services.execution.decisions.send_refusal

    def patient(state: Any, order: OrderPrepared, now_ns: int) -> str | None:
        return refusal(state, structs.replace(order, expires_ns=now_ns), now_ns)

    _put(stack, services.execution.decisions, "send_refusal", patient)
    _put(stack, services.execution.sending, "send_refusal", patient)


# --- the drain -----


def _no_drain(stack: ExitStack) -> None:
    """A halt cancels what is known to be open; nobody asks the broker, and nobody misses the leases."""
    _put(stack, Drain, "judge", lambda _self, _now_ns, **_facts: None)


def _drain_is_late(stack: ExitStack) -> None:
    """The broker is asked for open orders 15 s after the cause."""
    judge = Drain.judge

    def late(self: Drain, now_ns: int, **facts: Any) -> None:
        before = self._course
        judge(self, now_ns, **facts)
        if before is None and self._course is not None:
            self._course.look_at_ns += 15 * SECOND

    _put(stack, Drain, "judge", late)


def _halt_only_closes_the_gate(stack: ExitStack) -> None:
    """Nothing new is sent, and what is open stays."""
    _no_drain(stack)
    _put(stack, ExecutionCore, "_after_halt", lambda *_args: ())


@dataclass(frozen=True)
class Mutant:
    """A mistake, where it shows, and within how many seeds it has to."""

    plant: Plant
    fixed: Mapping[str, float]
    seeds: int = 40
    fault_s: tuple[float, float] = (10.0, 16.0)
    restores: tuple[Any, ...] = ()
    points: tuple[str, ...] = ()
    targets: tuple[Any, ...] = SERVICES
    #: What else its runs have in common; None = nothing goes wrong but what is `fixed`.
    base: Profile | None = None

    @property
    def name(self) -> str:
        return self.plant.__name__.removeprefix("_")

    def profile(self) -> Profile:
        """Return the profile of its directed runs."""
        if self.base is not None:
            return replace(self.base, name=self.name, fixed=self.fixed)
        base = Profile(
            self.name,
            fixed=self.fixed,
            fault_s=self.fault_s,
            speeds=(40,),
            points=self.points,
            targets=self.targets,
        )
        if self.restores:
            return replace(base, restores=self.restores, ends_in=LOST_HISTORY)
        return base


_LOSSY: Final = {"loss": 0.15, "duplicate": 0.15, "delay": 0.2, "delay_ms_max": 200}
_DEATHS: Final = {"crash_rate": 0.1, "failpoint_crash": 0.006}
_SILENT: Final = {"response_lost": 0.4, "request_lost": 0.1, "lag": 0.5}
_STRUCK: Final = {"stuck": 0.9, "strike": 1.0}
#: A feed that does not wait for the chain, and a watchdog that stands still: time passes while a lease is missing.
_FREE_RUNNING: Final = Profile("free_running", speeds=(40,), feed_waits=False, targets=("watchdog",))

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(_no_deduplication, _LOSSY),
    Mutant(_skip_gaps, _LOSSY),
    Mutant(_no_retransmit, _LOSSY),
    Mutant(_ack_before_commit, {"failpoint_crash": 0.02}),
    Mutant(_two_transactions, {"failpoint_crash": 0.05}, points=("mutant.between:before",)),
    Mutant(_restored_producer_accepted, {}, restores=("strategy", "risk", "watchdog")),
    Mutant(_fill_key_qty_price, {"partial_fill": 0.8}),
    Mutant(_stream_only, {"stream_lost": 0.3}),
    Mutant(_fresh_id_after_timeout, {"response_lost": 0.3}),
    Mutant(_resend_after_timeout, {"response_lost": 0.3}),
    Mutant(_timeout_is_rejected, {"response_lost": 0.3}),
    Mutant(_duplicate_is_rejected, {"response_lost": 0.3}),
    Mutant(_one_absence_is_proof, _SILENT),
    Mutant(_network_error_is_absence, {"response_lost": 0.3, "query_error": 0.3}),
    Mutant(
        _send_before_persisting,
        {"failpoint_crash": 0.1},
        points=("execution.commit:before", "execution.transaction:before"),
    ),
    Mutant(_cancel_once, {"stuck": 0.6, "cancel_lost": 0.7}),
    Mutant(
        _halt_by_broadcast_only,
        {"halt_rate": 0.3, "pause_rate": 0.6, "loss": 0.2},
        targets=("execution",),
        seeds=60,
    ),
    Mutant(_lease_not_checked, {"crash_rate": 0.2, "pause_rate": 0.4}),
    Mutant(
        _lease_checked_at_the_queue,
        {"request_lost": 0.7, "crash_rate": 0.3, "pause_rate": 0.3, "halt_rate": 0.2},
        targets=("watchdog", "risk"),
        seeds=200,
    ),
    Mutant(
        _lease_counted_from_receipt,
        {"pause_rate": 1.0, "crash_rate": 0.2},
        targets=("execution", "watchdog"),
        seeds=200,
    ),
    Mutant(_lease_on_the_wall_clock, {"clock_rate": 0.5}),
    Mutant(_no_ttl_check, {"pause_rate": 0.5}, base=_FREE_RUNNING),
    Mutant(_no_drain, _STRUCK, base=PROFILES["drain"]),
    Mutant(_drain_is_late, _STRUCK, base=PROFILES["drain"]),
    Mutant(_halt_only_closes_the_gate, _STRUCK, base=PROFILES["drain"]),
)

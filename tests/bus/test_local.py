"""The chain in one process: every message along its route, in order, until nothing is left."""

from collections.abc import Sequence

from msgspec.structs import replace

from bus.assembly import Assembly, Ports
from bus.decider import Shell
from bus.local import LocalChain
from bus.messages import (
    MICROS,
    NANOS,
    ChainArmed,
    FeedEnded,
    HaltRaised,
    KillSwitchTripped,
    MarketMessage,
    Message,
    OrderFilled,
    QuoteBatch,
    ServiceName,
    SessionPlanned,
)
from bus.testing import OPEN_NS, RecorderCore, RecorderState, a_fill, a_halt, a_plan, a_quote_batch

ALL: tuple[ServiceName, ...] = ("screener", "strategy", "risk", "execution", "ledger")
TRIPPED = KillSwitchTripped(
    ts_event=OPEN_NS, ts_init=OPEN_NS, session_date="2013-10-08", pnl_micros=-MICROS, limit_micros=MICROS
)


class FillsOnce(Shell[RecorderState]):
    """The broker: fills at the first step; counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0
        self.ports: Ports | None = None

    def attach(self, ports: Ports) -> None:
        self.ports = ports

    def on_market(self, state: RecorderState, data: MarketMessage, now_ns: int) -> Sequence[Message]:
        return [a_fill("PX-000001"), a_fill("PX-000002", "SELL")] if data.step == 1 else []

    def close(self) -> None:
        self.closed += 1


class TripsOnFill(RecorderCore):
    """Risk: answers the first fill with a tripped kill switch, a second hop through the chain."""

    def decide(self, state: RecorderState, message: Message, now_ns: int) -> Sequence[Message]:
        found = list(super().decide(state, message, now_ns))
        if isinstance(message, OrderFilled) and not any(isinstance(event, KillSwitchTripped) for event in state.events):
            found.append(TRIPPED)
        return found


class Played:
    """A chain of recorders and what each of them committed, in the order it happened."""

    def __init__(self) -> None:
        self.broker = FillsOnce()
        self.events: list[tuple[ServiceName, Message]] = []
        assemblies: dict[ServiceName, Assembly[RecorderState]] = {name: Assembly(core=RecorderCore()) for name in ALL}
        assemblies["risk"] = Assembly(core=TripsOnFill())
        assemblies["execution"] = Assembly(core=RecorderCore(), shell=self.broker, attach=self.broker.attach)
        self.chain = LocalChain(assemblies, lambda service, event: self.events.append((service, event)))

    def of(self, service: ServiceName, kind: type[Message]) -> list[Message]:
        return [event for name, event in self.events if name == service and isinstance(event, kind)]


def _feed(steps: int) -> list[MarketMessage]:
    end = OPEN_NS + (steps + 1) * NANOS
    batches: list[MarketMessage] = [a_quote_batch(step) for step in range(1, steps + 1)]
    return [*batches, FeedEnded(ts_event=end, ts_init=end, step=steps + 1, steps=steps + 1)]


def test_a_session_when_begun_is_known_to_all_who_hear_of_sessions_and_armed() -> None:
    played = Played()
    played.chain.begin(a_plan())
    knowing = [name for name in ALL if played.of(name, SessionPlanned)]
    assert knowing == ["screener", "strategy", "risk", "execution"]
    assert all(played.chain.nodes[name].is_ready for name in ALL)
    assert [name for name in ALL if played.of(name, ChainArmed)] == ["strategy", "risk", "execution"]
    assert all(len(played.of(name, SessionPlanned)) == 1 for name in knowing)


def test_messages_when_they_follow_from_a_step_arrive_once_at_every_receiver_in_order() -> None:
    played = Played()
    played.chain.begin(a_plan())
    played.chain.play(_feed(3))
    fills = [a_fill("PX-000001"), a_fill("PX-000002", "SELL")]
    assert played.of("execution", OrderFilled) == fills
    assert played.of("risk", OrderFilled) == fills
    assert played.of("ledger", OrderFilled) == fills
    assert played.of("strategy", OrderFilled) == []
    assert played.of("screener", OrderFilled) == []


def test_messages_when_they_make_other_messages_are_delivered_until_none_is_left() -> None:
    played = Played()
    played.chain.begin(a_plan())
    played.chain.play(_feed(3))
    assert played.of("risk", KillSwitchTripped) == [TRIPPED]
    assert played.of("execution", KillSwitchTripped) == [TRIPPED]
    assert played.of("ledger", KillSwitchTripped) == []
    # The watchdog is not in this chain: what is for it must not stay in the way of the others.
    assert {name: node.outbox_depth() for name, node in played.chain.nodes.items()} == dict.fromkeys(ALL, 0)


def test_a_message_when_it_has_no_route_stays_with_the_service_that_heard_it() -> None:
    played = Played()
    played.chain.nodes["strategy"].on_input(a_halt())
    played.chain.begin(a_plan())
    assert [name for name in ALL if played.of(name, HaltRaised)] == ["strategy"]


def test_market_data_when_played_is_seen_by_its_subscribers_and_moves_the_one_clock() -> None:
    played = Played()
    played.chain.begin(a_plan())
    assert played.chain.play(_feed(5)) == 6
    nodes = played.chain.nodes
    assert {name: nodes[name].step for name in ALL} == {
        "screener": 6, "strategy": 6, "risk": 6, "execution": 6, "ledger": 0,
    }  # fmt: skip
    assert played.chain.clock.now_ns() == OPEN_NS + 6 * NANOS
    assert played.of("strategy", QuoteBatch) == []


def test_two_chains_when_they_play_the_same_commit_the_same_in_the_same_order() -> None:
    first, second = Played(), Played()
    for played in (first, second):
        played.chain.begin(a_plan())
        played.chain.play(_feed(3))
    assert first.events == second.events


def test_the_gate_when_nobody_closes_it_is_open() -> None:
    ports = Played().broker.ports
    assert ports is not None
    assert ports.gate.refusal(reduces=False) is None
    assert ports.gate.refusal(reduces=True) is None


def test_the_shells_when_the_chain_is_closed_are_closed_once() -> None:
    played = Played()
    played.chain.close()
    assert played.broker.closed == 1


def test_a_second_session_when_begun_is_played_from_its_first_step() -> None:
    played = Played()
    played.chain.begin(a_plan())
    played.chain.play(_feed(3))
    played.chain.begin(replace(a_plan(), session_date="2013-10-09"))
    assert played.chain.play(_feed(5)) == 6
    assert played.chain.nodes["execution"].step == 6
    assert len(played.of("execution", SessionPlanned)) == 2


class ActsOnFills(Shell[RecorderState]):
    """Names the events it has something to do for."""

    prepares = frozenset({KillSwitchTripped})
    acts_on = frozenset({OrderFilled})

    def __init__(self) -> None:
        self.prepared: list[Message] = []
        self.acted: list[Message] = []

    def before_commit(self, event: Message) -> None:
        self.prepared.append(event)

    def after_commit(self, state: RecorderState, event: Message, now_ns: int) -> Sequence[Message]:
        self.acted.append(event)
        return ()


def test_a_shell_when_it_names_its_events_is_asked_about_those_alone() -> None:
    shell = ActsOnFills()
    assemblies: dict[ServiceName, Assembly[RecorderState]] = {
        "screener": Assembly(core=RecorderCore()),
        "risk": Assembly(core=TripsOnFill(), shell=shell),
        "execution": Assembly(core=RecorderCore(), shell=FillsOnce()),
    }
    chain = LocalChain(assemblies, lambda _service, _event: None)
    chain.begin(a_plan())
    assert (shell.prepared, shell.acted) == ([], [])
    chain.play(_feed(3))
    assert shell.prepared == [TRIPPED]
    assert shell.acted == [a_fill("PX-000001"), a_fill("PX-000002", "SELL")]

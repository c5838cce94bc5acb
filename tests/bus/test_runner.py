"""One service's loop over real sockets: halts, market steps, heartbeats, its start, its gate."""

import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import zmq
from runner_rig import NAME, FillsOnEachStep, RunnerRig, StreamPeer, order_frame

from bus.assembly import Assembly, CannotStartError, Setup
from bus.build import build_id
from bus.clock import boot_ns
from bus.codec import Data, Hello, StepMark, decode_message, encode_message
from bus.decider import Shell
from bus.endpoints import Endpoints
from bus.halt import LEASE_VALID_NS
from bus.messages import ChainArmed, ChainDisarmed, HaltRaised, Lease, Message, OrderFilled, ServiceName, SessionPlanned
from bus.routes import LEASE_ISSUERS
from bus.testing import RecorderCore, RecorderState, a_plan, a_quote_batch
from bus.transport import TOPIC_HALT, TOPIC_LEASE, TOPIC_MARKET

# --- what it hears -----------------------------------------------------------------------------------------------


def test_a_broadcast_when_it_is_garbage_is_counted_and_the_service_goes_on(rig: RunnerRig) -> None:
    rig.start()
    screener = rig.peer("screener")
    beat = screener.new_beat(lambda beat: beat.rejected_messages > 0, lambda: screener.publish(TOPIC_MARKET, b"\xc1"))
    assert beat.step == 0
    assert rig.is_alive()
    assert screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))


def test_a_connection_when_refused_is_counted_in_the_heartbeat(rig: RunnerRig) -> None:
    rig.start()
    screener = rig.peer("screener")
    assert screener.new_beat(lambda _beat: True).refused_connections == 0
    stranger = zmq.Context.instance().socket(zmq.DEALER)
    stranger.linger = 0
    stranger.curve_publickey, stranger.curve_secretkey = zmq.curve_keypair()
    stranger.curve_serverkey = rig.ring(NAME).public[NAME]
    stranger.connect(Endpoints(rig.paths).address(NAME, "inbox"))
    screener.new_beat(lambda beat: beat.refused_connections > 0)
    stranger.close()


# --- halts on the bus --------------------------------------------------------------------------------------------


def _notice(counter: int) -> HaltRaised:
    return HaltRaised(ts_event=0, ts_init=0, counter=counter, source="risk", rule="test", detail="a test")


def test_a_halt_when_told_on_the_bus_is_acknowledged_in_the_next_heartbeat(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.new_beat(lambda beat: beat.halt_counter == 0)
    record = rig.control.raise_halt("risk", "test", "a test")
    risk.new_beat(
        lambda beat: beat.halt_counter == record.counter, lambda: risk.publish(TOPIC_HALT, _notice(record.counter))
    )
    assert rig.halts() == ["000001.json"]


def test_a_halt_when_its_record_is_on_another_host_is_written_here_too(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.new_beat(lambda beat: beat.halt_counter == 1, lambda: risk.publish(TOPIC_HALT, _notice(1)))
    assert rig.halt_of(risk, "test") == "a test"


def test_a_halt_of_our_own_when_raised_is_told_on_the_bus(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(Data("e1", 1, 0, b"\xc1poison"))
    notice = risk.until(lambda: risk.halts[-1:], "notice")[0]
    assert (notice.counter, notice.source, notice.rule) == (1, NAME, "poison_message")


def test_a_lease_when_it_was_granted_before_a_halt_does_not_count(rig: RunnerRig) -> None:
    rig.start()
    rig.arm()
    issuers = [rig.peer(name) for name in LEASE_ISSUERS]
    rig.control.raise_halt("web", "operator", "a test")
    issuers[0].new_beat(lambda beat: beat.halt_counter == 1)
    rig.arm()

    def grant(counter: int) -> None:
        for peer in issuers:
            lease = Lease(
                ts_event=0,
                ts_init=0,
                issuer=peer.name,
                seq=1,
                halt_counter=counter,
                expires_boot_ns=boot_ns() + LEASE_VALID_NS,
            )
            peer.publish(TOPIC_LEASE, lease)

    for _ in range(5):
        grant(0)
        issuers[0].new_beat(lambda _beat: True)
    assert rig.gate.refusal(reduces=False) == "no lease from watchdog and risk"
    issuers[0].until(lambda: rig.gate.refusal(reduces=False) is None, "open gate", lambda: grant(1))


def test_a_socket_when_another_process_takes_its_path_halts_the_chain(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.new_beat(lambda _beat: True)
    path = rig.paths.run / f"{NAME}.inbox.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as thief:
        thief.bind(str(path))
        assert "was removed or taken by another process" in rig.halt_of(risk, "stolen_socket")


# --- market steps ------------------------------------------------------------------------------------------------


def test_a_message_when_made_while_a_step_is_heard_carries_that_step(rig: RunnerRig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    ledger, screener = rig.peer("ledger"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    (first, *_) = ledger.until(lambda: ledger.inbox, "fill")
    assert isinstance(first, Data)
    message = decode_message(first.payload)
    assert isinstance(message, OrderFilled)
    assert message.execution_id == "PX-000001"
    assert (first.seq, first.step) == (1, 1)


def test_a_market_step_when_published_again_is_heard_once(rig: RunnerRig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    screener = rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    for _ in range(3):
        screener.publish(TOPIC_MARKET, a_quote_batch(1))
    screener.new_beat(lambda beat: beat.step == 2, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(2)))
    fills = [e.execution_id for e in rig.journal(OrderFilled) if isinstance(e, OrderFilled)]
    assert fills == ["PX-000001", "PX-000002"]


def test_a_market_message_when_another_service_than_the_screener_says_it_is_not_heard(rig: RunnerRig) -> None:
    rig.start()
    web, screener = rig.peer("web"), rig.peer("screener")
    for _ in range(3):
        web.publish(TOPIC_MARKET, a_quote_batch(9))
        web.hear()
    beat = screener.new_beat(lambda beat: beat.step > 0, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    assert beat.step == 1


def test_a_step_when_finished_is_told_on_after_the_risk_service_finished_it(rig: RunnerRig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    risk, screener = rig.peer("risk"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    risk.until(lambda: [f for f in risk.inbox if isinstance(f, StepMark)], "mark")
    assert next(f for f in risk.inbox if isinstance(f, StepMark)) == StepMark(1, 1)
    assert screener.inbox == []
    # Risk's mark runs ahead of the order it made in that step: the step is over when the order is in.
    risk.say(StepMark(1, 1))
    risk.new_beat(lambda _beat: True)
    screener.hear()
    assert screener.inbox == []
    risk.say(order_frame(1, step=1))
    screener.until(lambda: screener.inbox, "mark")
    assert screener.inbox[0] == StepMark(1, 0)
    assert rig.orders() == ["1"]


# --- heartbeats and the start ------------------------------------------------------------------------------------


def test_a_heartbeat_when_the_plan_is_known_says_ready(rig: RunnerRig) -> None:
    rig.start()
    watchdog = rig.peer("watchdog")
    first = watchdog.new_beat(lambda _beat: True)
    assert (first.service, first.build, first.state) == (NAME, build_id(), "waits for the session plan")
    watchdog.say(Data("w", 1, 0, encode_message(a_plan())))
    ready = watchdog.new_beat(lambda beat: beat.state == "ready")
    assert (ready.boot_id, ready.outbox_depth, ready.rejected_messages) == (first.boot_id, 0, 0)
    assert rig.journal(SessionPlanned) == [a_plan()]


def test_a_heartbeat_when_messages_are_not_acknowledged_says_how_many(rig: RunnerRig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    screener = rig.peer("screener")
    beat = screener.new_beat(
        lambda beat: beat.outbox_depth > 0, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1))
    )
    assert beat.outbox_depth == 2  # the fill goes to risk and to the ledger


def test_a_runner_when_restarted_has_another_boot_id(rig: RunnerRig) -> None:
    rig.start()
    before = rig.peer("watchdog").new_beat(lambda _beat: True).boot_id
    rig.stop()
    rig.start()
    assert rig.peer("watchdog").new_beat(lambda _beat: True).boot_id != before


def _refuses(_setup: Setup) -> Assembly[RecorderState]:
    raise CannotStartError("MARKET_DATA_DIR is empty: give a folder")


def _is_faulty(_setup: Setup) -> Assembly[RecorderState]:
    return Assembly(core=RecorderCore(), self_check=lambda: ("the first fault", "the second fault"))


class FailsAtStart(Shell[RecorderState]):
    """Cannot recover."""

    def on_start(self, state: RecorderState, now_ns: int) -> Sequence[Message]:
        raise CannotStartError("the ledger is of another account")


def _fails_at_start(_setup: Setup) -> Assembly[RecorderState]:
    return Assembly(core=RecorderCore(), shell=FailsAtStart())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (_refuses, "cannot start: MARKET_DATA_DIR is empty: give a folder"),
        (_is_faulty, "cannot start: the first fault; the second fault"),
        (_fails_at_start, "cannot start: the ledger is of another account"),
    ],
)
def test_a_service_when_it_cannot_start_stays_up_says_why_and_takes_nothing(
    rig: RunnerRig, build: Callable[[Setup], Assembly[Any]], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    runner = rig.start(build)
    risk = rig.peer("risk")
    risk.is_welcome = True  # it does not care
    risk.say(order_frame(1), Hello("", "e1", 1, 1, 0))
    beats = [risk.new_beat(lambda _beat: True) for _ in range(2)]
    assert {beat.state for beat in beats} == {words}
    assert f"cannot start: {runner.failure}" == words
    assert ("CRITICAL", words) in [(record.levelname, record.getMessage()) for record in caplog.records]
    assert rig.is_alive()
    assert (risk.answers, risk.greets) == ([], [])
    assert rig.orders() == []


# --- the control folder and the gate -----------------------------------------------------------------------------


def test_the_core_when_the_control_folder_changes_is_told_once_of_each_change(rig: RunnerRig) -> None:
    rig.start()
    peer = rig.peer("watchdog")
    peer.new_beat(lambda _beat: True)
    peer.until(lambda: rig.journal(ChainDisarmed), "disarmed")
    rig.arm()
    peer.until(lambda: rig.journal(ChainArmed), "armed")
    rig.control.raise_halt("risk", "test", "a test")
    peer.until(lambda: rig.journal(HaltRaised), "halt")
    peer.new_beat(lambda _beat: True)
    kinds = [type(e) for e in rig.journal(Message) if isinstance(e, ChainArmed | ChainDisarmed | HaltRaised)]
    assert kinds == [ChainDisarmed, ChainArmed, HaltRaised]


def _grant(peer: StreamPeer, issuer: ServiceName, valid_ns: int = LEASE_VALID_NS) -> None:
    lease = Lease(ts_event=0, ts_init=0, issuer=issuer, seq=1, halt_counter=0, expires_boot_ns=boot_ns() + valid_ns)
    peer.publish(TOPIC_LEASE, lease)


def test_the_gate_when_a_lease_is_missing_or_told_by_another_stays_shut_for_entries(rig: RunnerRig) -> None:
    rig.start()
    rig.arm()
    watchdog, risk = rig.peer("watchdog"), rig.peer("risk")

    def tell_alone() -> None:
        _grant(watchdog, "watchdog")
        _grant(watchdog, "risk")

    watchdog.until(lambda: rig.gate and rig.gate.refusal(reduces=False) == "no lease from risk", "lease", tell_alone)
    assert rig.gate.refusal(reduces=True) is None

    def tell_both() -> None:
        _grant(watchdog, "watchdog")
        _grant(risk, "risk")

    risk.until(lambda: rig.gate.refusal(reduces=False) is None, "open gate", tell_both)
    rig.control.raise_halt("risk", "test", "a test")
    assert rig.gate.refusal(reduces=False) == "halted: a test"
    assert rig.gate.refusal(reduces=True) is None
    rig.arm()
    # Nobody renews the leases: they run out.
    risk.until(lambda: str(rig.gate.refusal(reduces=False)).startswith("no lease from"), "shut gate")
    assert rig.gate.refusal(reduces=True) is None

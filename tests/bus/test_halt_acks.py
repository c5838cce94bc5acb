"""Acknowledgement of a halt: counted from heartbeats, told once when complete."""

from msgspec.structs import replace

from bus.halt_acks import HaltAcks
from bus.heartbeat import Liveness
from bus.messages import ServiceName
from bus.testing import a_beat

MS = 1_000_000
BOTH: tuple[ServiceName, ...] = ("risk", "ledger")


def _hear(liveness: Liveness, name: ServiceName, counter: int) -> None:
    liveness.hear(replace(a_beat(name), halt_counter=counter), 0)


def test_a_halt_when_the_last_service_acknowledges_is_told_once_with_the_time() -> None:
    acks, liveness = HaltAcks(BOTH), Liveness(750)
    assert acks.note_beats(liveness, 0) is None
    assert acks.words(0) == ""
    acks.note_halt(7, 100 * MS)
    assert acks.words(7) == "Halt 7 acknowledged by 0 of 2 services (waiting for risk, ledger)."
    _hear(liveness, "risk", 7)
    _hear(liveness, "ledger", 6)
    assert acks.note_beats(liveness, 120 * MS) is None
    assert acks.words(7) == "Halt 7 acknowledged by 1 of 2 services (waiting for ledger)."
    _hear(liveness, "ledger", 8)
    line = "halt 7 acknowledged by all 2 services after 250 ms (risk 20 ms, ledger 250 ms)"
    assert acks.note_beats(liveness, 350 * MS) == line
    assert acks.note_beats(liveness, 900 * MS) is None
    assert acks.words(7) == "Halt 7 acknowledged by all 2 services."
    assert acks.words(6) == ""


def test_a_halt_when_a_newer_one_follows_begins_to_wait_again() -> None:
    acks, liveness = HaltAcks(BOTH), Liveness(750)
    acks.note_halt(1, 0)
    for name in BOTH:
        _hear(liveness, name, 1)
    assert acks.note_beats(liveness, 5 * MS) is not None
    acks.note_halt(1, 6 * MS)
    assert acks.words(1).startswith("Halt 1 acknowledged by all")
    acks.note_halt(2, 10 * MS)
    assert acks.note_beats(liveness, 11 * MS) is None
    assert "0 of 2" in acks.words(2)


def test_a_halt_when_a_service_was_stopped_is_not_acknowledged_by_its_last_words() -> None:
    acks, liveness = HaltAcks(("risk",)), Liveness(750)
    acks.note_halt(1, 0)
    liveness.hear(replace(a_beat("risk"), halt_counter=1, ends=True), 0)
    assert acks.note_beats(liveness, 0) is None
    assert "waiting for risk" in acks.words(1)

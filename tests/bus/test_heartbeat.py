"""Liveness: dead, frozen, restarted, of another build, not ready."""

from msgspec.structs import replace

from bus.heartbeat import Liveness
from bus.messages import ServiceName
from bus.testing import a_beat

MS = 1_000_000
BOTH: tuple[ServiceName, ...] = ("risk", "execution")


def _liveness() -> Liveness:
    liveness = Liveness(750)
    liveness.hear(a_beat("risk"), 0)
    liveness.hear(a_beat("execution"), 0)
    return liveness


def test_a_service_when_silent_for_longer_than_the_timeout_is_named() -> None:
    liveness = _liveness()
    assert liveness.silent(BOTH, 750 * MS) == ()
    liveness.hear(a_beat("risk"), 700 * MS)
    assert liveness.silent(BOTH, 751 * MS) == ("execution",)
    assert [line.status for line in liveness.table(("risk", "execution", "web"), 751 * MS)] == [
        "up",
        "stale",
        "never seen",
    ]


def test_a_service_when_it_comes_back_as_another_process_counts_as_restarted() -> None:
    liveness = _liveness()
    assert not liveness.hear(a_beat("risk"), 1)
    assert liveness.hear(a_beat("risk", boot_id="two"), 2)
    assert liveness.table(("risk",), 3)[0].restarts == 1


def test_the_chain_when_anything_is_missing_is_not_ready_and_says_why() -> None:
    liveness = _liveness()
    assert liveness.unready(BOTH, "b1", 0) is None
    assert "has not been heard" in str(liveness.unready(("ledger",), "b1", 0))
    assert "another build" in str(liveness.unready(BOTH, "b2", 0))
    assert "silent for 751 ms" in str(liveness.unready(BOTH, "b1", 751 * MS))
    liveness.hear(a_beat("risk", state="waits for the session plan"), 0)
    assert liveness.unready(BOTH, "b1", 0) == "risk: waits for the session plan"
    liveness.hear(a_beat("risk", outbox_depth=2), 0)
    assert "2 message(s)" in str(liveness.unready(BOTH, "b1", 0))


def test_a_service_when_it_refused_something_says_so_in_its_line() -> None:
    liveness = _liveness()
    liveness.hear(replace(a_beat("risk"), rejected_messages=2, refused_connections=7, market_holes=3), 0)
    (line,) = liveness.table(("risk",), 0)
    assert line.market_holes == 3
    assert line.detail == (
        "ready; refused 2 message(s); refused 7 connection(s) with an unknown key; missed market data 3 time(s)"
    )


def test_a_service_when_restarted_more_than_three_times_in_a_minute_is_in_a_crash_loop() -> None:
    liveness = _liveness()
    for number, at_s in enumerate((10, 20, 30), 1):
        liveness.hear(a_beat("risk", boot_id=str(number)), at_s * 1000 * MS)
    assert not liveness.is_crash_loop("risk", 30_000 * MS)
    liveness.hear(a_beat("risk", boot_id="4"), 70_000 * MS)
    assert liveness.is_crash_loop("risk", 70_000 * MS), "four restarts, the first of them 60 s ago"
    assert not liveness.is_crash_loop("risk", 70_001 * MS)
    assert not liveness.is_crash_loop("execution", 70_000 * MS)
    assert not liveness.is_crash_loop("ledger", 70_000 * MS)
    for number in range(5, 100):
        liveness.hear(a_beat("risk", boot_id=str(number)), 80_000 * MS)
    assert len(liveness.pulses["risk"].restarted_ns) == 4


def test_a_service_when_it_was_told_to_stop_is_down_at_once_and_not_called_silent_for_it() -> None:
    liveness = _liveness()
    liveness.hear(replace(a_beat("risk"), ends=True), 0)
    assert liveness.ended(BOTH) == ("risk",)
    assert liveness.unready(BOTH, "b1", 0) == "risk was stopped"
    assert liveness.boot_ids(BOTH, 0) == {"execution": "one"}
    for at in (0, 10_000 * MS):
        line = liveness.table(("risk",), at)[0]
        assert (line.status, line.detail) == ("down", "was stopped")


def test_the_processes_when_one_is_silent_or_of_another_build_or_failed_are_told_apart() -> None:
    liveness = _liveness()
    liveness.hear(replace(a_beat("risk"), build="b2", state="cannot start: no folder"), 700 * MS)
    assert liveness.boot_ids((*BOTH, "ledger"), 751 * MS) == {"risk": "one"}
    assert liveness.of_other_build((*BOTH, "ledger"), "b1") == ("risk",)
    assert liveness.failed((*BOTH, "ledger")) == ("risk",)

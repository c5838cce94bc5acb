"""Liveness: dead, frozen, restarted, of another build, not ready."""

from bus.heartbeat import Liveness
from bus.testing import a_beat

MS = 1_000_000
BOTH = ("risk", "execution")


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

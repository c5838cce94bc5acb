"""Who may send and how long nobody may: every permission by itself, and the pair of leases since it was whole."""

from pathlib import Path

from runner_rig import RunnerRig

from bus.clock import boot_ns
from bus.control import ControlFolder
from bus.gate import RunnerGate
from bus.halt import LEASE_VALID_NS, LeaseBook
from bus.messages import NANOS, ServiceName
from bus.routes import LEASE_ISSUERS
from config.paths import HomePaths

PAIR = ("watchdog", "risk")


def test_lapse_when_the_pair_is_whole_then_is_none_and_else_counts_from_the_first_end() -> None:
    book = LeaseBook(PAIR)
    book.heard("watchdog", 1000, 0)
    assert book.lapsed_ns(10) == 10
    book.heard("risk", 800, 10)
    assert book.lapsed_ns(799) == 0
    assert book.lapsed_ns(900) == 100
    book.heard("risk", 1500, 950)
    assert book.lapsed_ns(960) == 0
    assert book.lapsed_ns(1300) == 300, "the watchdog's ended at 1000"


def test_lapse_when_the_leases_never_overlap_then_is_not_begun_anew_by_each() -> None:
    book = LeaseBook(PAIR)
    for start in range(0, 4000, 400):
        book.heard(PAIR[start // 400 % 2], start + 300, start)
    assert book.lapsed_ns(4000) == 4000


def test_lapse_when_leases_are_dropped_then_counts_from_when_they_would_have_ended() -> None:
    book = LeaseBook(PAIR)
    for issuer in PAIR:
        book.heard(issuer, 1000, 0)
    book.forget()
    assert book.lapsed_ns(600) == 1
    assert book.lapsed_ns(1600) == 600


def test_gate_when_no_lease_was_ever_heard_then_the_lapse_is_this_processs_own_age(tmp_path: Path) -> None:
    paths = HomePaths(tmp_path)
    paths.make()
    book = LeaseBook(PAIR)
    before = boot_ns()
    gate = RunnerGate(ControlFolder(paths), book)
    assert 0 < gate.lapsed_ns() <= max(1, boot_ns() - before)
    now = boot_ns()
    for issuer in PAIR:
        book.heard(issuer, now + LEASE_VALID_NS, now)
    assert gate.lapsed_ns() == 0


def test_the_gate_when_any_permission_is_taken_away_refuses_entries_and_lets_exits_pass(rig: RunnerRig) -> None:
    leases = LeaseBook(LEASE_ISSUERS)
    gate = RunnerGate(rig.control, leases)

    def lease(issuer: ServiceName) -> None:
        leases.heard(issuer, boot_ns() + 3600 * NANOS, boot_ns())

    def refusal() -> str:
        assert gate.refusal(reduces=True) is None
        return gate.refusal(reduces=False) or ""

    assert "not armed" in refusal()
    lease("watchdog")
    lease("risk")
    assert "not armed" in refusal()
    rig.arm()
    assert refusal() == ""
    leases.forget()
    assert refusal() == "no lease from watchdog and risk"
    lease("watchdog")
    assert refusal() == "no lease from risk"
    lease("risk")
    rig.control.request_stop("ann")
    assert "stopped: arm it again" in refusal()
    rig.arm()
    assert refusal() == ""
    rig.control.raise_halt("risk", "test", "a test")
    assert refusal() == "halted: a test"
    rig.arm()
    assert refusal() == ""
    (rig.paths.control / "kill.txt").touch()
    assert "kill.txt" in refusal()
    (rig.paths.control / "kill.txt").unlink()
    (rig.paths.control / "arm.json").write_bytes(b"{broken")
    assert "cannot be read" in refusal()

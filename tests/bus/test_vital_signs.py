"""A lease: granted when every condition holds, refused by each of them alone; and what halts an armed chain."""

from typing import Any

import pytest
from msgspec.structs import replace

from bus.heartbeat import Liveness
from bus.messages import ChainState, ServiceName
from bus.testing import a_beat
from bus.vital_signs import VitalSigns

MS = 1_000_000
MIB = 1024 * 1024
CRITICAL: tuple[ServiceName, ...] = ("risk", "execution", "ledger")


def _signs(beats: dict[ServiceName, dict[str, Any]] | None = None, **changes: Any) -> VitalSigns:
    """Return the signs of a healthy, active chain, with what is given changed."""
    liveness = Liveness(750)
    for name in CRITICAL:
        liveness.hear(replace(a_beat(name), **(beats or {}).get(name, {})), 1000 * MS)
    values: dict[str, Any] = {
        "state": "ACTIVE",
        "permission": None,
        "origin": None,
        "liveness": liveness,
        "critical": CRITICAL,
        "build": "b1",
        "now_ns": 1000 * MS,
        "drift_ns": 0,
        "free_bytes": 1024 * MIB,
    }
    return VitalSigns(**{**values, **changes})


def test_a_lease_when_every_condition_holds_is_granted() -> None:
    assert _signs().lease_refusal() is None
    assert _signs().halts() == []
    assert _signs().warnings() == []


@pytest.mark.parametrize("state", ["STARTING", "DISARMED", "HALTED"])
def test_a_lease_when_the_chain_is_not_armed_and_running_is_refused_and_nothing_halts(state: ChainState) -> None:
    assert _signs(state=state).lease_refusal() == f"the chain is {state}"
    assert _signs(state=state, free_bytes=0, now_ns=10**12).halts() == []


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ({"permission": None}, {"permission": "stopped: by ann"}, "stopped: by ann"),
        ({"origin": None}, {"origin": "it is not known yet"}, "it is not known yet"),
        ({"now_ns": 1750 * MS}, {"now_ns": 1751 * MS}, "no heartbeat from risk for 751 ms"),
        ({"drift_ns": 5000 * MS}, {"drift_ns": 5001 * MS}, "the wall clock was set by +5.0 s"),
        ({"drift_ns": -5000 * MS}, {"drift_ns": -5001 * MS}, "the wall clock was set by -5.0 s"),
        ({"free_bytes": 256 * MIB + 1}, {"free_bytes": 256 * MIB}, "256 MiB free"),
    ],
)
def test_a_lease_when_one_sign_passes_its_limit_is_refused_in_words(
    good: dict[str, Any], bad: dict[str, Any], words: str
) -> None:
    assert _signs(**good).lease_refusal() is None
    assert words in str(_signs(**bad).lease_refusal())


@pytest.mark.parametrize(
    ("name", "good", "bad", "words"),
    [
        ("ledger", {}, {"ends": True}, "ledger was stopped"),
        ("ledger", {}, {"build": "b2"}, "ledger (b2)"),
        ("risk", {"oldest_unacked_ms": 2000}, {"oldest_unacked_ms": 2001}, "messages of risk are not acknowledged"),
        ("execution", {"reconciled_ms": 60_000}, {"reconciled_ms": 61_000}, "agreed with the broker 61 s ago"),
        ("execution", {"reconciled_ms": 0}, {"reconciled_ms": -1}, "has not found itself in agreement"),
    ],
)
def test_a_lease_when_one_service_fails_a_condition_is_refused_in_words(
    name: ServiceName, good: dict[str, Any], bad: dict[str, Any], words: str
) -> None:
    assert _signs({name: good}).lease_refusal() is None
    assert words in str(_signs({name: bad}).lease_refusal())


def test_a_lease_when_the_comparison_with_the_broker_ages_between_heartbeats_is_refused() -> None:
    assert _signs({"execution": {"reconciled_ms": 59_900}}, now_ns=1100 * MS).lease_refusal() is None
    assert "60 s ago" in str(_signs({"execution": {"reconciled_ms": 59_900}}, now_ns=1101 * MS).lease_refusal())


@pytest.mark.parametrize("missing", CRITICAL)
def test_a_lease_when_a_service_was_never_heard_is_refused(missing: ServiceName) -> None:
    signs = _signs()
    del signs.liveness.pulses[missing]
    assert signs.lease_refusal() == f"{missing} has not been heard yet"


@pytest.mark.parametrize(
    ("beats", "changes", "rule", "words"),
    [
        ({}, {"now_ns": 1751 * MS}, "service_silent", "risk (751 ms), execution (751 ms), ledger (751 ms)"),
        ({"risk": {"ends": True}}, {"now_ns": 1751 * MS}, "service_stopped", "risk was stopped"),
        ({"risk": {"build": "b2"}}, {}, "mixed_build", "risk (b2)"),
        ({"risk": {"oldest_unacked_ms": 5001}}, {}, "message_stuck", "risk"),
        ({}, {"free_bytes": 256 * MIB - 1}, "disk_full", "255 MiB free"),
    ],
)
@pytest.mark.parametrize("state", ["ACTIVE", "REDUCING"])
def test_an_armed_chain_when_something_fails_is_halted_by_a_rule_of_its_own(
    beats: dict[ServiceName, dict[str, Any]], changes: dict[str, Any], rule: str, words: str, state: ChainState
) -> None:
    found = dict(_signs(beats, **changes, state=state).halts())
    assert rule in found
    assert words in found[rule]
    assert set(found) <= {rule, "service_silent"}


def test_a_stopped_service_when_its_time_out_is_not_over_does_not_halt_yet_but_has_no_lease() -> None:
    signs = _signs({"risk": {"ends": True}}, now_ns=1750 * MS)
    assert signs.halts() == []
    assert signs.lease_refusal() == "risk was stopped"


def test_a_stopped_service_when_another_died_is_not_called_dead() -> None:
    found = dict(_signs({"risk": {"ends": True}, "ledger": {"ends": True}}, now_ns=1751 * MS).halts())
    assert found["service_stopped"] == "risk and ledger were stopped while the chain was armed"
    assert found["service_silent"] == "no heartbeat from execution (751 ms): dead or frozen"


def test_the_wall_clock_when_it_moves_a_little_is_a_warning() -> None:
    assert _signs(drift_ns=1000 * MS).warnings() == []
    assert "-1.5 s" in _signs(drift_ns=-1500 * MS).warnings()[0]

"""A chain that is divided between two hosts: addresses, what each starts, and halts that are counted on two disks."""

import re
from pathlib import Path

import pytest

from bus import control as control_module
from bus.control import ControlFolder
from bus.endpoints import Endpoints
from bus.halt import ArmRecord
from bus.keys import make_pairs
from bus.processes import services_here, write_configuration
from bus.routes import LEASE_HOLDER, LEASE_ISSUERS, SECOND_HOST_SERVICES, SERVICES
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from config.vault import Secrets, Vault

DIVIDED = {"BUS_TRANSPORT": "tcp", "BUS_TCP_HOST": "10.0.0.1", "BUS_TCP_SECOND_HOST": "10.0.0.2"}


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path / "h")
    paths.make()
    return paths


def _configure(paths: HomePaths, **settings: str) -> None:
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings=proposals() | settings,
            identity=Identity(
                entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
            ),
            users=(),
            credentials={},
            coa={},
            curve=make_pairs(),
        )
    )


def _started(paths: HomePaths) -> tuple[list[str], list[str]]:
    text = write_configuration(paths).read_text()
    group = re.search(r"^programs=(.*)$", text, re.MULTILINE)
    assert group
    return sorted(group[1].split(",")), sorted(re.findall(r"^\[program:(\w+)\]$", text, re.MULTILINE))


def test_addresses_when_the_chain_is_divided_then_each_service_has_its_own_hosts(home: HomePaths) -> None:
    endpoints = Endpoints.from_env(home, parse(proposals() | DIVIDED))
    hosts = {name: endpoints.address(name, "inbox").split(":")[1] for name in SERVICES}
    assert {name for name, host in hosts.items() if host == "//10.0.0.2"} == {"screener", "strategy"}
    assert set(hosts.values()) == {"//10.0.0.1", "//10.0.0.2"}


def test_the_second_host_when_listed_then_has_nobody_who_grants_or_holds_a_lease() -> None:
    assert not {*LEASE_ISSUERS, LEASE_HOLDER, "ledger", "web"} & set(SECOND_HOST_SERVICES)


def test_services_when_the_chain_is_divided_then_each_host_starts_its_own(tmp_path: Path, home: HomePaths) -> None:
    assert _started(home) == (sorted(SERVICES), sorted(SERVICES)), "before the configuration"
    _configure(home, **DIVIDED)
    first = sorted(set(SERVICES) - set(SECOND_HOST_SERVICES))
    assert _started(home) == (first, first)
    second = HomePaths(tmp_path / "s")
    second.make()
    second.second_host.write_bytes(b"")
    assert _started(second) == (["screener", "strategy"], ["screener", "strategy"])


def test_services_when_the_settings_cannot_be_read_then_all_start_and_say_why(home: HomePaths) -> None:
    _configure(home, **DIVIDED)
    next(home.keys.glob("g*.key")).unlink()
    assert services_here(home) == SERVICES


def test_a_halt_of_the_other_host_when_its_number_is_taken_here_then_is_written_under_the_next(home: HomePaths) -> None:
    here = ControlFolder(home)
    here.raise_halt("web", "operator", "answered long ago")
    arm = ArmRecord(operator="ann", reason="t", armed_at_utc="", halt_counter=1, generation=1, build="b")
    here.arm(arm)
    assert not here.read().is_halted()
    assert here.adopt_halt(1, "strategy", "poison_message", "cannot read") == 2
    assert here.read().is_halted()
    assert ControlFolder(home).adopt_halt(1, "strategy", "poison_message", "cannot read") == 2, "once for every service"
    assert here.adopt_halt(2, "strategy", "poison_message", "cannot read") == 2, "the record is on this disk"


def test_the_second_host_when_it_hears_a_halt_then_counts_as_far_as_the_first(home: HomePaths) -> None:
    home.second_host.write_bytes(b"")
    there = ControlFolder(home)
    assert there.adopt_halt(4, "web", "operator", "olga") == 4
    assert ControlFolder(home).adopt_halt(4, "web", "operator", "olga") == 4
    assert [path.name for path in home.halts.iterdir()] == ["000004.json"]
    assert there.adopt_halt(4, "risk", "daily_loss_limit", "too much") == 5


def test_the_second_host_when_the_reason_of_its_halt_lasts_then_tells_it_again(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.second_host.write_bytes(b"")
    there, now = ControlFolder(home), 1_000_000_000_000
    monkeypatch.setattr(control_module, "boot_ns", lambda: now)
    assert there.raise_halt_once("strategy", "poison_message", "cannot read") is not None
    assert there.raise_halt_once("strategy", "poison_message", "cannot read") is None
    now += 61_000_000_000
    again = there.raise_halt_once("strategy", "poison_message", "cannot read")
    assert again is not None
    assert again.counter == 2

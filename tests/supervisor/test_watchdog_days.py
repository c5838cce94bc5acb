"""A watchdog of a live chain that stays up: the next day is planned by itself."""

import pytest
from msgspec.structs import replace
from watchdog_rig import CRITICAL, MS, StillClock, WatchdogRig, bot, exchange_day

from bus.assembly import Ports, Setup
from bus.calendar import ExchangeDay
from bus.clock import on_host
from bus.keys import make_pairs
from bus.local import OpenGate
from bus.messages import SessionPlanned
from bus.testing import CLOSE_NS, OPEN_NS
from config import generation_pin
from config.env_bot import parse, proposals
from config.paths import HomePaths
from config.users import User
from config.vault import Secrets, Vault
from replay.session import DEMO_IDENTITY

DAY_NS = 24 * 3_600 * 1_000 * MS
LIVE = {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"}


def sessions(_first: str, _last: str) -> tuple[ExchangeDay, ...]:
    first = ExchangeDay(day="2013-10-08", is_session=True, open_ns=OPEN_NS, close_ns=CLOSE_NS, is_half_day=False)
    return first, ExchangeDay(
        day="2013-10-09", is_session=True, open_ns=OPEN_NS + DAY_NS, close_ns=CLOSE_NS + DAY_NS, is_half_day=False
    )


def no_day(_day: str) -> ExchangeDay:
    raise AssertionError("live days are not read one by one")


def test_a_live_chain_when_the_session_is_over_then_the_next_is_planned_and_told_once(short_home: HomePaths) -> None:
    clock = StillClock()
    rig = WatchdogRig(short_home, clock)
    setup = Setup(paths=short_home, env=parse(proposals() | LIVE), identity=DEMO_IDENTITY)
    rig.shell = bot.WatchdogShell(setup, read_day=no_day, read_sessions=sessions, free_bytes=lambda _path: 2**40)
    rig.shell.attach(Ports(OpenGate(), rig.said.append, lambda _rule, _detail: None))
    with on_host(clock):
        (first,) = rig.shell.on_start({}, 0)
        assert isinstance(first, SessionPlanned)
        assert first.session_date == "2013-10-08"
        clock.ns = CLOSE_NS - OPEN_NS + 29 * 60_000 * MS
        assert rig.shell.on_idle({}, 0) == ()
        clock.ns += 2 * 60_000 * MS
        (second,) = rig.shell.on_idle({}, 0)
        assert second.session_date == "2013-10-09"
        clock.ns += 1_000 * MS
        assert rig.shell.on_idle({}, 0) == ()
        assert rig.said[-1].session_date == "2013-10-09"


def vault_of(paths: HomePaths) -> Vault:
    vault = Vault(paths, new_pairs=make_pairs)
    vault.provision(
        Secrets(
            generation=0,
            settings=proposals() | LIVE,
            identity=DEMO_IDENTITY,
            users=(User(name="ann", password_hash="h", role="admin"),),
            credentials={},
            coa={},
            curve=make_pairs(),
        )
    )
    return vault


def test_settings_that_were_saved_when_the_session_is_over_take_effect_and_wait_for_an_operator(
    short_home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "build_id", lambda: "b1")
    clock, vault = StillClock(), vault_of(short_home)
    rig = WatchdogRig(short_home, clock)
    setup = Setup(paths=short_home, env=parse(proposals() | LIVE), identity=DEMO_IDENTITY, generation=1)
    rig.shell = bot.WatchdogShell(setup, read_day=no_day, read_sessions=sessions, free_bytes=lambda _path: 2**40)
    rig.shell.attach(Ports(OpenGate(), rig.said.append, lambda _rule, _detail: None))
    generation_pin.move(short_home, 1)
    with on_host(clock):
        rig.shell.on_start({}, 0)
        rig.activate()
        kept = vault.open()
        vault.replace(replace(kept, settings=kept.settings | {"MAX_TRADES_PER_DAY": "7"}), 1)
        assert rig.tick_alive() == "ACTIVE"
        assert generation_pin.pinned(short_home) == 1, "nothing moves in mid-session"
        clock.ns = CLOSE_NS - OPEN_NS + 31 * 60_000 * MS
        rig.beat(*CRITICAL)
        assert rig.shell.on_idle({}, 0) == ()
    assert generation_pin.pinned(short_home) == 2
    state = rig.control.read()
    assert state.is_stop_requested
    assert state.stop_words.endswith("watchdog: the settings of generation 2 take effect: arm again")
    assert rig.halts() == []


def test_an_arm_record_when_it_is_for_other_settings_stops_the_chain(
    short_home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "build_id", lambda: "b1")
    clock = StillClock()
    rig = WatchdogRig(short_home, clock)
    setup = Setup(paths=short_home, env=parse(proposals()), identity=DEMO_IDENTITY, generation=2)
    rig.shell = bot.WatchdogShell(setup, read_day=exchange_day, free_bytes=lambda _path: 2**40)
    rig.shell.attach(Ports(OpenGate(), rig.said.append, lambda _rule, _detail: None))
    with on_host(clock):
        rig.shell.on_start({}, 0)
        rig.arm()
        rig.tick_alive()
    assert rig.control.read().stop_words.endswith("watchdog: armed for the settings of generation 1")

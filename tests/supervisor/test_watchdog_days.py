"""A watchdog of a live chain that stays up: the next day is planned by itself."""

from watchdog_rig import MS, StillClock, WatchdogRig, bot

from bus.assembly import Ports, Setup
from bus.calendar import ExchangeDay
from bus.clock import on_host
from bus.local import OpenGate
from bus.messages import SessionPlanned
from bus.testing import CLOSE_NS, OPEN_NS
from config.env_bot import parse, proposals
from config.paths import HomePaths
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

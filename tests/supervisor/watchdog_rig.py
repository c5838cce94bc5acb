"""A watchdog on a home of its own, on a host whose time the test moves."""

import importlib.util
import json
from types import ModuleType
from typing import Any

from msgspec.structs import replace

from bus.assembly import Ports, Setup
from bus.calendar import ExchangeDay
from bus.clock import SessionClock, iso_utc, utc_ns
from bus.codec import decode_message, encode_message
from bus.control import ControlFolder
from bus.halt import ArmRecord
from bus.local import OpenGate
from bus.messages import (
    MICROS,
    ChainArmed,
    ChainDisarmed,
    ChainStatus,
    EntrySuspended,
    KillSwitchTripped,
    Message,
    ServiceName,
)
from bus.node import Node
from bus.processes import ROOT
from bus.status_file import STATUS_FILE
from bus.store import Store
from bus.testing import CLOSE_NS, OPEN_NS, a_beat
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY

MS = 1_000_000
MIB = 1024 * 1024
TICK_NS = 250 * MS
CRITICAL: tuple[ServiceName, ...] = ("screener", "strategy", "risk", "execution", "ledger")
TRIPPED = KillSwitchTripped(
    ts_event=1, ts_init=1, session_date="2013-10-08", pnl_micros=-1500 * MICROS, limit_micros=1000 * MICROS
)
SUSPENDED = EntrySuspended(ts_event=1, ts_init=1, source_event_id="PAPER:PX-000007:FILL", detail="no such account")
ARMED = ChainArmed(ts_event=1, ts_init=1, halt_counter=0, operator="ann", reason="test")
DISARMED = ChainDisarmed(ts_event=1, ts_init=1, detail="not armed")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("watchdog_bot", ROOT / "supervisor" / "watchdog_bot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bot = _load()


class StillClock:
    """A host whose clocks stand still until a test moves them; its wall clock can be set apart from its boot clock."""

    def __init__(self) -> None:
        self.ns = 10_000 * MS
        self.set_by_ns = 0

    def boot_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return OPEN_NS + self.ns + self.set_by_ns


def exchange_day(_day: str) -> ExchangeDay:
    return ExchangeDay(day="2013-10-08", is_session=True, open_ns=OPEN_NS, close_ns=CLOSE_NS, is_half_day=False)


class WatchdogRig:
    """A watchdog's shell on a home; time goes on by `tick` alone. A second one on the same home is a restart."""

    def __init__(self, paths: HomePaths, clock: StillClock, **settings: str) -> None:
        self.paths = paths
        self.clock = clock
        self.control = ControlFolder(paths)
        self.said: list[ChainStatus] = []
        self.raised: list[str] = []
        self.free_bytes = 1024 * MIB
        env = parse(proposals() | settings)
        self.shell = bot.WatchdogShell(
            Setup(paths=paths, env=env, identity=DEMO_IDENTITY),
            read_day=exchange_day,
            free_bytes=lambda _path: self.free_bytes,
        )
        self.shell.attach(Ports(OpenGate(), self._hear, self._halted))

    def _hear(self, status: object) -> None:
        assert isinstance(status, ChainStatus)
        assert decode_message(encode_message(status)) == status, "what is said must pass the catalogue's own limits"
        self.said.append(status)

    def _halted(self, rule: str, detail: str) -> None:
        self.raised.append(rule)
        self.control.raise_halt_once("watchdog", rule, detail)

    def restarted(self) -> "WatchdogRig":
        """Return the watchdog as another process."""
        again = WatchdogRig(self.paths, self.clock)
        again.shell.on_start({}, 0)
        return again

    def status_file(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.paths.output / STATUS_FILE).read_bytes())
        return found

    def beat(self, *names: ServiceName, boot_id: str = "one", **changes: Any) -> None:
        for name in names:
            self.shell.on_status(name, replace(a_beat(name, boot_id), **changes))

    def tick(self, after_ns: int = TICK_NS) -> str:
        """Let the watchdog look once, and return the state that it publishes."""
        self.clock.ns += after_ns
        self.shell.on_idle({}, 0)
        return self.said[-1].state

    def tick_alive(self) -> str:
        self.beat(*CRITICAL)
        return self.tick()

    def arm(self, expires: str = "") -> None:
        self.control.arm(
            ArmRecord(
                operator="ann",
                reason="test",
                armed_at_utc=iso_utc(utc_ns()),
                halt_counter=self.control.read().halt_counter,
                generation=1,
                build="b1",
                expires=expires,
            )
        )

    def activate(self) -> None:
        self.arm()
        assert self.tick_alive() == "ACTIVE", self.said[-1].detail

    def deliver(self, sender: ServiceName, message: Message) -> None:
        """Give the watchdog the first message of a stream, as the runtime does over its file on disk."""
        assembly = bot.Assembly(core=bot.WatchdogCore(), shell=self.shell)
        store = Store(self.paths.state / "watchdog.db", "NORMAL")
        node = Node("watchdog", assembly, store, clock=SessionClock(follows_feed=True), on_event=lambda _event: None)
        try:
            node.on_reliable(sender, "e", 1, message)
        finally:
            node.close()

    def halts(self) -> list[str]:
        return sorted(path.name for path in self.paths.halts.glob("*.json"))

    def newest(self) -> tuple[str, str]:
        halt = self.control.read().halt
        assert halt is not None
        return halt.rule, halt.detail

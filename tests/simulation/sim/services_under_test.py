"""The real services, and the few things of the world that a simulated host puts in their place."""

import functools
import importlib.util
import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

import msgspec
from sim.broker import BrokerDoor, BrokerHouse
from sim.host import MS, Host
from sim.market import exchange_day

import services.execution.shell
import services.holdings.shell
import services.ledger.shell
import services.risk.shell
import services.screener.feed
import services.screener.shell
import services.strategy.shell
from bus.assembly import Assembly, Setup
from bus.clock import on_host, utc_now
from bus.control import ControlFolder
from bus.failpoints import failpoints
from bus.feed import FeedDriver
from bus.halt import HaltRecord
from bus.messages import ServiceName
from bus.processes import ROOT
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY
from services.ledger.coa_utils_ledger import load_template
from services.ledger.provision import ensure_ledger
from services.screener.steps import MarketDay

Build = Callable[[Setup], Assembly[Any]]
IDENTITY: Final = DEMO_IDENTITY
_FREE_BYTES: Final = 1 << 40


def _watchdog() -> ModuleType:
    """Load the watchdog from its file, once: its folder is no package."""
    spec = importlib.util.spec_from_file_location("watchdog_bot", ROOT / "supervisor" / "watchdog_bot.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("supervisor/watchdog_bot.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WATCHDOG: Final = _watchdog()


def _build_watchdog(setup: Setup) -> Assembly[Any]:
    """Build the watchdog without what reaches out of the simulation: mail, and programs that it starts."""
    built: Assembly[Any] = WATCHDOG.assembled(setup, WATCHDOG.Attendants())
    return built


def builders() -> dict[ServiceName, Build]:
    """Return what builds each service; looked up anew each time, so that a mutant's patch is seen."""
    return {
        "screener": services.screener.shell.build,
        "strategy": services.strategy.shell.build,
        "risk": services.risk.shell.build,
        "execution": services.execution.shell.build,
        "ledger": services.ledger.shell.build,
        "watchdog": _build_watchdog,
        "holdings": services.holdings.shell.build,
    }


class ControlReads:
    """Remembers what the real ControlFolder read, until something in the folder is changed through it or by hand.

    Services ask for it dozens of times a second; a disk in which nothing has changed answers the same.
    """

    def __init__(self, host: Host) -> None:
        #: The boot time at the end of the millisecond in which each halt was raised, by its number: the wall clock in
        #: its record may have been set since.
        self.raised_at: dict[int, int] = {}
        self._host = host
        self._known: dict[str, Any] = {}

    def changed(self) -> None:
        self._known.clear()

    def patches(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield the methods to put in the place of the real ones, which they call."""
        for name in ("read", "stamp"):
            yield name, self._reader(name, getattr(ControlFolder, name))
        for name in ("raise_halt", "arm", "request_stop"):
            yield name, self._writer(getattr(ControlFolder, name))

    def _reader(self, name: str, real: Callable[[ControlFolder], Any]) -> Callable[[ControlFolder], Any]:
        def read(folder: ControlFolder) -> Any:
            if name not in self._known:
                self._known[name] = real(folder)
            return self._known[name]

        return read

    def _writer(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **kwargs: Any) -> Any:
            try:
                written = real(*args, **kwargs)
            finally:
                self.changed()
            if isinstance(written, HaltRecord):
                self.raised_at[written.counter] = (self._host.boot_ns() // MS + 1) * MS
            return written

        return write


def _shared_memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@functools.cache
def _template() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """Make one home with a new ledger; every run begins with a copy of it."""
    folder = tempfile.TemporaryDirectory(prefix="ts-", dir=_shared_memory())
    paths = HomePaths(Path(folder.name))
    paths.make()
    request = {"coa": load_template(), "currency_code": "USD"}
    (paths.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
    ensure_ledger(paths, IDENTITY, utc_now())
    return folder, Path(folder.name)


@contextmanager
def new_home() -> Iterator[HomePaths]:
    """Give a fresh home in memory where the machine has such a place, and remove it afterwards."""
    _, template = _template()
    folder = tempfile.mkdtemp(prefix="ts-", dir=_shared_memory())
    try:
        shutil.copytree(template, folder, dirs_exist_ok=True)
        yield HomePaths(Path(folder))
    finally:
        shutil.rmtree(folder)


@contextmanager
def feed_that_goes_on() -> Iterator[None]:
    """Let the feed play on by its own clock, whether the chain has finished a step or not."""
    due = FeedDriver.due

    def at_once(self: FeedDriver, now_ns: int) -> Any:
        self._is_finished = True
        return due(self, now_ns)

    with patch.object(FeedDriver, "due", at_once):
        yield


@contextmanager
def simulated_world(
    host: Host, house: BrokerHouse, day: MarketDay, reached: Callable[[str], None], opened: Callable[[Any], None]
) -> Iterator[ControlReads]:
    """Put the host's clocks, chance and disk, the market and the broker in the place of the real ones.

    Args:
        host: clocks and chance.
        house: what answers when execution opens its broker.
        day: what the screener plays.
        reached: told of each failpoint.
        opened: told of each SQLite connection, so that a killed process loses its own.

    Yields:
        What has to be told of a change in the control folder that is made by hand.
    """
    real_connect = sqlite3.connect

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = real_connect(*args, **kwargs)
        opened(connection)
        return connection

    def door(_setup: Setup, _settings: Any) -> BrokerDoor:
        return BrokerDoor(house)

    watchdog_shell = functools.partial(
        WATCHDOG.WatchdogShell, read_day=lambda _day: exchange_day(day), free_bytes=lambda _path: _FREE_BYTES
    )
    reads = ControlReads(host)
    with ExitStack() as stack:
        stack.enter_context(on_host(host))
        stack.enter_context(failpoints(reached))
        for target, name, value in (
            (secrets, "token_hex", lambda size=32: f"{host.rng.getrandbits(8 * size):0{2 * size}x}"),
            (sqlite3, "connect", connect),
            # What this disk has taken is there: power cuts are not simulated.
            (os, "fsync", lambda _descriptor: None),
            (services.execution.shell, "open_broker", door),
            (services.screener.feed.MarketFeed, "_open", lambda _self, _plan: day),
            (WATCHDOG, "WatchdogShell", watchdog_shell),
            # 64 MiB of nothing for each start of a watchdog: this disk does not fill up.
        ):
            stack.enter_context(patch.object(target, name, value))
        for name, method in list(reads.patches()):
            stack.enter_context(patch.object(ControlFolder, name, method))
        yield reads

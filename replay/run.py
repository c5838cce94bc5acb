"""Many days through the cores in one process: one home, so that cash, positions and ledger go on from day to day."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from bus.assembly import Assembly, Setup
from bus.clock import NS_PER_MINUTE, on_host
from bus.instruments import is_option
from bus.local import LocalChain
from bus.messages import BarBatch, MarketMessage, Message, OrderFilled, ServiceName, SessionPlanned
from config.paths import HomePaths
from replay.books import compare_books
from replay.choice import Prepared
from replay.local import BUILDERS
from replay.session import DEMO_IDENTITY
from replay.sources.columns import digest_of
from replay.sources.port import DaySource, LeanSource
from services.ledger.coa_utils_ledger import load_template
from services.ledger.provision import REQUEST_NAME
from services.screener.core import ScreenerCore
from services.screener.feed import MarketFeed
from services.screener.lean_options import with_puts
from services.screener.settings import ScreenerSettings
from services.screener.shell import ScreenerShell
from services.screener.steps import MarketDay, bars_in
from services.screener.vix import VixSource

Event = tuple[ServiceName, Message]
#: Told (minutes played so far, minutes of all days, the day that is played).
Progress = Callable[[int, int, str], None]


class DayFeed(MarketFeed):
    """The screener's market data in a replay: each day is read when it is planned, and the newest one is kept."""

    def __init__(self, settings: ScreenerSettings, source: DaySource) -> None:
        super().__init__(settings)
        self._source = source
        self.columns: MarketDay | None = None

    def is_for(self, plan: SessionPlanned) -> bool:
        """Return True: a replay plans only days that it has."""
        return True

    def _open(self, plan: SessionPlanned) -> MarketDay:
        day = self._source.load(plan)
        if isinstance(self._source, LeanSource):
            # No other source has options.
            day = with_puts(day, self._source.folder.root, plan, self._settings.puts)
        self.columns = day
        return day


@dataclass(frozen=True)
class DayRun:
    """One day that was played.

    `closes` has, for each symbol that was held or traded, the last trade's price of each minute in micro-dollars,
    0 where nothing traded; for an option the bid at its end. `bars` counts the bars played.
    """

    plan: SessionPlanned
    events: tuple[Event, ...]
    symbols: tuple[str, ...]
    closes: dict[str, tuple[int, ...]]
    bars: int

    def of(self, service: ServiceName) -> list[Message]:
        """Return the events of one service."""
        return [event for name, event in self.events if name == service]


@dataclass(frozen=True)
class Outcome:
    """What a run did. `digest` is the SHA-256 of the data played, `faults` where broker and ledger differ."""

    prepared: Prepared
    days: tuple[DayRun, ...]
    digest: str
    faults: tuple[str, ...]

    def events(self, service: ServiceName) -> list[Message]:
        """Return the events of one service over all days."""
        return [event for day in self.days for event in day.of(service)]


@dataclass(frozen=True)
class _StillClock:
    """A host whose clocks stand: nothing of the hour of the run gets into what it writes."""

    now_ns: int

    def utc_ns(self) -> int:
        return self.now_ns

    def boot_ns(self) -> int:
        return self.now_ns


def still_clock(prepared: Prepared) -> AbstractContextManager[None]:
    """Let this process's clocks stand at the first session's open inside the block."""
    return on_host(_StillClock(prepared.plans[0].open_ns))


def no_progress(_done: int, _total: int, _day: str) -> None:
    """Show nothing."""


def play_days(prepared: Prepared, paths: HomePaths, progress: Progress = no_progress) -> Outcome:
    """Play every day in order, writing ledger and paper broker under `paths`, which must be empty.

    Raises:
        CannotStartError, ReplayError: a service finds a fault, or a day's data is not sound.
    """
    with still_clock(prepared):
        paths.make()
        request = {"coa": load_template(), "currency_code": "USD"}
        (paths.control / REQUEST_NAME).write_bytes(msgspec.json.encode(request))
        setup = Setup(paths=paths, env=prepared.env, identity=DEMO_IDENTITY, is_buffered=True)
        feed = DayFeed(ScreenerSettings.from_env(prepared.env), prepared.source)
        player = _Player(_assemblies(setup, feed), feed, progress)
        try:
            days, digest = player.play(prepared.plans)
        finally:
            player.chain.close()
        return Outcome(prepared, days, digest, tuple(compare_books(paths, DEMO_IDENTITY)))


def ledger_of(paths: HomePaths) -> Path:
    """Return where the ledger of a run is."""
    return paths.entities / DEMO_IDENTITY.entity_folder / DEMO_IDENTITY.ledger_file


def _assemblies(setup: Setup, feed: DayFeed) -> dict[ServiceName, Assembly[Any]]:
    built: dict[ServiceName, Assembly[Any]] = {
        name: build(setup).checked() for name, build in BUILDERS.items() if name != "screener"
    }
    settings = ScreenerSettings.from_env(setup.env)
    shell = ScreenerShell(setup, settings, feed, VixSource(setup.env))
    built["screener"] = Assembly(core=ScreenerCore(settings), shell=shell)
    return built


class _Player:
    """One chain, and what it did on each day."""

    def __init__(self, assemblies: dict[ServiceName, Assembly[Any]], feed: DayFeed, progress: Progress) -> None:
        self._feed = feed
        self._progress = progress
        self._events: list[Event] = []
        self._held: dict[str, int] = {}
        self._minutes = 0
        self.chain = LocalChain(assemblies, lambda service, event: self._events.append((service, event)))

    def play(self, plans: tuple[SessionPlanned, ...]) -> tuple[tuple[DayRun, ...], str]:
        """Return each day and the digest of all data."""
        total = sum((plan.close_ns - plan.open_ns) // NS_PER_MINUTE for plan in plans)
        digest = sha256()
        days = []
        for plan in plans:
            self._events = []
            self._progress(self._minutes, total, plan.session_date)
            self.chain.begin(plan)
            self.chain.play(self._counted(plan, total))
            columns = self._feed.columns
            if columns is not None:
                digest.update(f"{plan.session_date} {digest_of(columns)}\n".encode())
                days.append(self._day(plan, columns))
        self._progress(total, total, plans[-1].session_date)
        return tuple(days), digest.hexdigest()

    def _counted(self, plan: SessionPlanned, total: int) -> Iterator[MarketMessage]:
        before = self._minutes
        for message in self._feed.messages(plan):
            yield message
            if isinstance(message, BarBatch) and not message.parts_left:
                self._minutes = before + (message.ts_event - plan.open_ns) // NS_PER_MINUTE
                self._progress(self._minutes, total, plan.session_date)
        self._minutes = before + (plan.close_ns - plan.open_ns) // NS_PER_MINUTE

    def _day(self, plan: SessionPlanned, columns: MarketDay) -> DayRun:
        fills = [event for name, event in self._events if name == "execution" and isinstance(event, OrderFilled)]
        marked = {symbol for symbol, qty in self._held.items() if qty} | {fill.symbol for fill in fills}
        for fill in fills:
            signed = fill.qty_nanos if fill.side == "BUY" else -fill.qty_nanos
            self._held[fill.symbol] = self._held.get(fill.symbol, 0) + signed
        place = {symbol: i for i, symbol in enumerate(columns.symbols)}
        return DayRun(
            plan=plan,
            events=tuple(self._events),
            symbols=columns.symbols,
            closes={symbol: _marks(columns, symbol, place[symbol]) for symbol in sorted(marked) if symbol in place},
            bars=bars_in(columns),
        )


def _marks(columns: MarketDay, symbol: str, column: int) -> tuple[int, ...]:
    """Return what a symbol is worth at each minute's end, 0 where nothing is known; an option is what is bid for it."""
    prices = columns.quotes.bids[:, -1, column] if is_option(symbol) else columns.bars.closes[:, column]
    return tuple(prices.tolist())

"""The screener's live data: the day's names from a look at all of them, their stream, and later looks."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bus.assembly import CannotStartError, Ports
from bus.clock import NS_PER_SECOND, boot_ns, iso_utc, utc_ns
from bus.instruments import is_option
from bus.messages import ChainStatus, Message, OptionsListed, PortfolioSnapshot, ScanMode, ServiceName, SessionPlanned
from services.screener.chain_desk import ChainDesk
from services.screener.live_names import Watched, watched
from services.screener.live_session import LivePorts, LiveSession
from services.screener.live_world import LiveWorld
from services.screener.scans import Look, due_scan
from services.screener.settings import ScreenerSettings
from services.screener.snapshots import SnapshotError, SnapshotSource, live_rows
from services.screener.universe import SCAN_MODES, UniverseLoaded, scan_mode_at
from services.screener.universe_file import UniverseName

logger = logging.getLogger(__name__)

_AGAIN_NS: Final = 30 * NS_PER_SECOND
_RULE: Final = "market_data"


class LiveDesk:
    """Looks at all names before the open, in the session and after it, and opens the stream of those chosen."""

    def __init__(self, settings: ScreenerSettings, world: LiveWorld, now_ns: Callable[[], int] = utc_ns) -> None:
        self._settings = settings
        self._world = world
        self._now_ns = now_ns
        self._source: SnapshotSource | None = None
        self._ports: Ports | None = None
        self._session: LiveSession | None = None
        self._held: set[str] | None = None
        self._look: threading.Thread | None = None
        self._found: tuple[tuple[str, int], UniverseLoaded | str] | None = None
        self._asked_for: tuple[str, int] = ("", 0)
        #: As of when the list is that the stream follows.
        self._followed_ns = 0
        self._look_again_ns = 0
        self._why = ""
        self._prices: dict[str, int] = {}
        self._chains: ChainDesk | None = None

    def attach(self, ports: Ports) -> None:
        """Take the runtime's ports."""
        self._ports = ports

    def faults(self) -> Sequence[str]:
        """Return why no live data can be had, before a session is known."""
        try:
            self._source = self._world.snapshots()
        except CannotStartError as error:
            return (str(error),)
        return ()

    def is_time(self, plan: SessionPlanned) -> bool:
        """Tell whether the day's names are to be chosen now: LIVE_LIST_BEFORE_OPEN, until the close."""
        if not plan.is_trading_day:
            return False
        if self._settings.is_simulated:
            # It has a time of its own and begins when somebody comes; a journaled plan of another day than
            # MARKET_DATA_DATE is no reason to.
            return plan.session_date == self._settings.session_date
        return plan.open_ns - self._settings.list_before_open_ns <= self._now_ns() < plan.close_ns

    def scan_due(self, plan: SessionPlanned) -> int:
        """Return when the newest later scan of the session was due; 0 = none was."""
        settings = self._settings
        return due_scan(plan, settings.intraday_every_ns, settings.after_hours_ns, self._time_ns())

    def loaded(
        self, look: Look, names_of: Callable[[], Sequence[UniverseName]], kept: Mapping[str, str]
    ) -> UniverseLoaded | None:
        """Return the names of the session with their prices, None while they are being asked for.

        Args:
            look: which look it is.
            names_of: all names; asked each time that prices are asked for; none = not yet.
            kept: who keeps a place, and why in words.
        """
        if self._look is not None:
            if self._look.is_alive():
                return None
            self._look = None
            if self._found is not None and isinstance(self._found[1], str):
                what = "the day's names cannot be chosen yet" if not self._found[0][1] else "there is no new list"
                self._why = f"{what}: {self._found[1]}"
                logger.warning("%s; they are looked at again", self._why)
        if self._found is not None and self._found[0] == look.key and isinstance(self._found[1], UniverseLoaded):
            self._why = ""
            return self._found[1]
        if boot_ns() >= self._look_again_ns or self._asked_for != look.key:
            self._begin(look, names_of(), kept)
        return None

    def _begin(self, look: Look, names: Sequence[UniverseName], kept: Mapping[str, str]) -> None:
        if not names:
            return
        self._look_again_ns, self._asked_for, self._found = boot_ns() + _AGAIN_NS, look.key, None
        self._look = threading.Thread(target=self._ask, args=(look, tuple(names), kept), name="snapshots", daemon=True)
        self._look.start()

    def open(self, plan: SessionPlanned, candidates: Sequence[str], listed_ns: int) -> LiveSession | None:
        """Open the session's stream; None when it is not its time, or before risk has said what is held.

        Args:
            plan: the session.
            candidates: its newest list, best first.
            listed_ns: as of when that is.

        Raises:
            CannotStartError: there are no keys.
        """
        if self._held is None or not self.is_time(plan):
            return None
        names = self._watched(candidates, self._held)
        self._followed_ns = listed_ns
        ports = LivePorts(
            stream=self._world.stream(plan),
            past=self._world.past(),
            puts=self._world.put_quotes(),
            utc_ns=self._now_ns,
            boot_ns=boot_ns,
            is_simulated=self._settings.is_simulated,
            on_fault=self._halt,
            leave_after_ns=self._settings.leave_after_ns,
        )
        self._session = LiveSession(plan, names, ports)
        self._session.hold(self._held)
        return self._session

    def follow(self, plan: SessionPlanned, candidates: Sequence[str], listed_ns: int) -> None:
        """Let the session's stream follow a new list: names join with all their minutes, names that left make room."""
        session = self._session
        if session is None or session.session_date != plan.session_date or listed_ns <= self._followed_ns:
            return
        self._followed_ns = listed_ns
        # Who is on the list still keeps its place: something may just have been ordered of it.
        in_order = sorted(candidates, key=lambda symbol: symbol not in session.barred)
        session.follow(self._watched(in_order, self._held or set()))

    def _watched(self, candidates: Sequence[str], held: set[str]) -> Watched:
        names = watched(
            candidates,
            sorted({symbol for symbol in held if not is_option(symbol)} | self._settings.funds),
            leverage_max=self._settings.max_inverse_leverage,
            symbols_max=self._settings.stream_symbols_max,
        )
        if names.left_out:
            text = ", ".join(names.left_out)
            logger.warning("no live data, so no signal, for %s: %s is reached", text, self._world.limit_key)
        logger.info("live data of %d names, bars of %d", len(names.symbols), len(names.barred))
        return names

    def listed(self, plan: SessionPlanned, candidates: Sequence[str]) -> OptionsListed | None:
        """Return a chain of a candidate that has come; None when there is no new one. Never waits."""
        window = self._settings.puts
        # SHORT_TYPE_*: without LongPut for a strategy that is switched on no chain is asked for.
        if window is None or not self.is_time(plan):
            return None
        if self._chains is None:
            self._chains = ChainDesk(self._world.chains(window), window, utc_ns=self._now_ns, boot_ns=boot_ns)
        self._chains.follow(plan.session_date, candidates)
        # Yesterday's stream says nothing of today's prices.
        session = self._session
        if session is None or session.session_date != plan.session_date:
            return self._chains.listed(lambda symbol: self._prices.get(symbol, 0))
        listed = self._chains.listed(lambda symbol: session.price_of(symbol) or self._prices.get(symbol, 0))
        session.list_puts(self._chains.puts)
        return listed

    def close(self) -> None:
        """Hang up."""
        self._world.close()

    def on_status(self, sender: ServiceName, message: Message) -> None:
        """Hear who has begun to listen, and what is held."""
        if isinstance(message, PortfolioSnapshot) and sender == "risk":
            self._held = {position.symbol for position in message.positions}
            if self._session is not None:
                self._session.hold(self._held)
        if isinstance(message, ChainStatus) and sender == "watchdog" and self._session is not None:
            self._session.hear_status(message)

    def remark(self) -> str:
        """Return how live data is, for people."""
        session = self._session.remark if self._session is not None else ""
        chains = self._chains.remark if self._chains is not None else ""
        return "; ".join(words for words in (self._why, session, chains) if words)

    def _halt(self, words: str) -> None:
        if self._ports is not None:
            self._ports.raise_halt(_RULE, f"{words} Then start the chain again.")

    def _time_ns(self) -> int:
        """Return the session's time; a simulated exchange has its own, which begins with its stream: 0 before that."""
        if not self._settings.is_simulated:
            return self._now_ns()
        return self._session.now_ns if self._session is not None else 0

    def _ask(self, look: Look, names: Sequence[UniverseName], kept: Mapping[str, str]) -> None:
        source, plan = self._source, look.plan
        if source is None:
            self._found = look.key, "the source of prices was never opened"
            return
        try:
            seen = source.snapshots([name.symbol for name in names], plan.session_date)
        except SnapshotError as error:
            self._found = look.key, str(error)
            return
        # A simulated exchange's session is on another day: its time, not this host's, is the session's.
        before_open_ns = plan.open_ns - self._settings.list_before_open_ns
        now_ns = before_open_ns if self._settings.is_simulated and not look.due_ns else self._time_ns()
        loaded = UniverseLoaded(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=plan.session_date,
            source=f"{len(seen):,} of {len(names):,} names in {self._world.words} at {iso_utc(now_ns)}",
            rows=live_rows(names, seen, kept),
            scan_mode=self._mode(look, now_ns),
            due_ns=look.due_ns,
        )
        self._prices = {row.symbol: row.price_micros for row in loaded.rows}
        self._found = look.key, loaded

    def _mode(self, look: Look, now_ns: int) -> ScanMode:
        if look.due_ns:
            return scan_mode_at(look.plan, look.due_ns)
        # SCREENER_SCAN_MODE auto: by the time of the session.
        return next((mode for mode in SCAN_MODES if mode == self._settings.scan_mode), scan_mode_at(look.plan, now_ns))

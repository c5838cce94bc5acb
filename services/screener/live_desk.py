"""The screener's live data: the day's names from one look at all of them, then their stream."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from bus.assembly import CannotStartError, Ports, Setup
from bus.clock import NS_PER_SECOND, boot_ns, iso_utc, utc_ns
from bus.messages import ChainStatus, Message, PortfolioSnapshot, ServiceName, SessionPlanned
from config.credentials import alpaca_data_pair
from config.vault import Vault, VaultError
from services.screener.alpaca_bars import DATA_URL, AlpacaBars
from services.screener.alpaca_stream import STREAM_URL, AlpacaStream, StreamSettings
from services.screener.live import PastBarSource, Stream
from services.screener.live_names import watched
from services.screener.live_session import LivePorts, LiveSession
from services.screener.settings import ScreenerSettings
from services.screener.snapshots import SnapshotError, SnapshotSource, live_rows
from services.screener.universe import SCAN_MODES, ScanMode, UniverseLoaded, scan_mode_at
from services.screener.universe_file import UniverseName

logger = logging.getLogger(__name__)

_AGAIN_NS: Final = 30 * NS_PER_SECOND
#: Outside the exchange's hours a name may not be quoted for a while.
_QUIET_OUTSIDE_S: Final = 120.0
_RULE: Final = "market_data"
#: A simulated exchange on this machine takes any keys.
_SIMULATOR_KEYS: Final = ("SIMULATED-KEY", "SIMULATED-SECRET")


class LiveWorld:
    """Where live data comes from: Alpaca, or a simulated one on this machine."""

    def __init__(self, setup: Setup, settings: ScreenerSettings) -> None:
        self._setup = setup
        self._settings = settings
        is_simulated, port = settings.is_simulated, settings.simulator_port
        self._data_url = f"http://127.0.0.1:{port}" if is_simulated else DATA_URL
        root = f"ws://127.0.0.1:{port}/v2" if is_simulated else STREAM_URL
        self._stream_url = f"{root}/{settings.alpaca_data_feed}"

    def keys(self) -> tuple[str, str]:
        """Return the key pair for market data.

        Raises:
            CannotStartError: there is none.
        """
        if self._settings.is_simulated:
            # It never gets the operator's keys.
            return _SIMULATOR_KEYS
        try:
            pair = alpaca_data_pair(Vault(self._setup.paths).open().credentials)
        except VaultError as error:
            raise CannotStartError(f"The keys for market data cannot be read: {error}") from error
        if all(pair):
            return pair
        raise CannotStartError(
            "There is no Alpaca key pair for market data: live data needs the credentials alpaca_data_key and "
            "alpaca_data_secret in the vault, or the pair that trades. Enter one on the configuration page."
        )

    def snapshots(self) -> SnapshotSource:
        """Return where the names' prices come from; the first call loads a large library."""
        from services.screener.alpaca_snapshots import AlpacaSnapshots

        try:
            return AlpacaSnapshots(
                self.keys(),
                self._settings.alpaca_data_feed,
                sleep=time.sleep,
                utc_ns=utc_ns,
                url=self._data_url if self._settings.is_simulated else None,
            )
        except SnapshotError as error:
            raise CannotStartError(str(error)) from error

    def past(self) -> PastBarSource:
        """Return where missed minutes come from."""
        return AlpacaBars(self.keys(), self._settings.alpaca_data_feed, url=self._data_url)

    def stream(self, plan: SessionPlanned) -> Stream:
        """Return the stream of one session."""

        def quiet_s() -> float:
            is_open = plan.open_ns <= utc_ns() < plan.close_ns
            return float(self._settings.quiet_s_max) if is_open or self._settings.is_simulated else _QUIET_OUTSIDE_S

        wire = StreamSettings(url=self._stream_url, quiet_s=quiet_s, utc_ns=utc_ns, boot_ns=boot_ns)
        return AlpacaStream(self.keys(), wire)


class LiveDesk:
    """Looks at all names once before the open, and opens the stream of those that were chosen."""

    def __init__(self, settings: ScreenerSettings, world: LiveWorld, now_ns: Callable[[], int] = utc_ns) -> None:
        self._settings = settings
        self._world = world
        self._now_ns = now_ns
        self._source: SnapshotSource | None = None
        self._ports: Ports | None = None
        self._session: LiveSession | None = None
        self._held: set[str] | None = None
        self._look: threading.Thread | None = None
        self._found: tuple[str, UniverseLoaded | str] | None = None
        self._look_again_ns = 0

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
            # It has a time of its own and begins when somebody comes; a journaled plan of another day is no reason to.
            return plan.session_date == self._settings.session_date
        return plan.open_ns - self._settings.list_before_open_ns <= self._now_ns() < plan.close_ns

    def loaded(self, plan: SessionPlanned, names: Sequence[UniverseName]) -> UniverseLoaded | None:
        """Return the names of the session with their prices, None while they are being asked for."""
        if self._found is not None and self._look is None:
            date, found = self._found
            if date == plan.session_date and isinstance(found, UniverseLoaded):
                return found
        if self._look is not None:
            if self._look.is_alive():
                return None
            self._look = None
            if self._found is not None and isinstance(self._found[1], str):
                logger.warning("the day's names cannot be chosen yet, and are looked at again: %s", self._found[1])
            return None
        if boot_ns() >= self._look_again_ns:
            self._look_again_ns = boot_ns() + _AGAIN_NS
            self._found = None
            self._look = threading.Thread(target=self._ask, args=(plan, tuple(names)), name="snapshots", daemon=True)
            self._look.start()
        return None

    def open(self, plan: SessionPlanned, candidates: Sequence[str]) -> LiveSession | None:
        """Open the session's stream; None when it is not its time, or before risk has said what is held.

        Raises:
            CannotStartError: there are no keys.
        """
        if self._held is None or not self.is_time(plan):
            return None
        names = watched(
            candidates,
            sorted(self._held | self._settings.funds),
            leverage_max=self._settings.max_inverse_leverage,
            symbols_max=self._settings.stream_symbols_max,
        )
        if names.left_out:
            text = ", ".join(names.left_out)
            logger.warning("no live data, so no signal, for %s: ALPACA_STREAM_SYMBOLS_MAX is reached", text)
        logger.info("live data of %d names, bars of %d", len(names.symbols), len(names.barred))
        ports = LivePorts(
            stream=self._world.stream(plan),
            past=self._world.past(),
            utc_ns=self._now_ns,
            boot_ns=boot_ns,
            is_simulated=self._settings.is_simulated,
            on_fault=self._halt,
        )
        self._session = LiveSession(plan, names, ports)
        return self._session

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
        return self._session.remark if self._session is not None else ""

    def _halt(self, words: str) -> None:
        if self._ports is not None:
            self._ports.raise_halt(_RULE, f"{words} Then start the chain again.")

    def _ask(self, plan: SessionPlanned, names: Sequence[UniverseName]) -> None:
        source = self._source
        if source is None:
            self._found = plan.session_date, "the source of prices was never opened"
            return
        try:
            seen = source.snapshots([name.symbol for name in names], plan.session_date)
        except SnapshotError as error:
            self._found = plan.session_date, str(error)
            return
        # A simulated exchange's session is on another day: its time, not this host's, is the session's.
        before_open_ns = plan.open_ns - self._settings.list_before_open_ns
        now_ns = before_open_ns if self._settings.is_simulated else self._now_ns()
        feed = self._settings.alpaca_data_feed
        loaded = UniverseLoaded(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=plan.session_date,
            source=f"{len(seen):,} of {len(names):,} names in Alpaca's {feed} feed at {iso_utc(now_ns)}",
            rows=live_rows(names, seen),
            scan_mode=self._mode(plan, now_ns),
        )
        self._found = plan.session_date, loaded

    def _mode(self, plan: SessionPlanned, now_ns: int) -> ScanMode:
        # SCREENER_SCAN_MODE auto: by the time of the session.
        return next((mode for mode in SCAN_MODES if mode == self._settings.scan_mode), scan_mode_at(plan, now_ns))

"""The screener's world: the market data of the session, the universe on disk, and the list for people."""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.assembly import Assembly, CannotStartError, Setup
from bus.clock import NS_PER_SECOND, boot_ns
from bus.decider import Shell
from bus.messages import CandidatesRanked, MarketMessage, Message, OptionsListed, SessionPlanned
from services.screener.core import ScreenerCore, ScreenerState
from services.screener.feed import MarketFeed
from services.screener.list_file import forget_scans, list_path, list_text, write_list
from services.screener.scans import Look, kept_places
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded
from services.screener.universe_file import UniverseFileError, UniverseName, joined, stamp
from services.screener.vix import VixSource

if TYPE_CHECKING:
    from services.screener.live_desk import LiveDesk
    from services.screener.live_session import LiveSession
    from services.screener.live_world import LiveWorld, VixTeller
    from services.screener.universe_keeper import UniverseKeeper

logger = logging.getLogger(__name__)
_SOURCE_CHARS_MAX = 400
_LOOK_AGAIN_NS = NS_PER_SECOND


class ScreenerShell(Shell[ScreenerState]):
    """Open the session's data when it is planned, and report the names in it.

    With UNIVERSE_SOURCE finnhub the report waits until there is a universe to look the names up in. Live data is
    looked at shortly before the open, by the `desk`.
    """

    def __init__(
        self,
        setup: Setup,
        settings: ScreenerSettings,
        feed: MarketFeed,
        vix: "VixTeller",
        *,
        desk: "LiveDesk | None" = None,
    ) -> None:
        self._desk = desk
        self._newest = ScreenerState()
        self._setup = setup
        self._settings = settings
        self._feed = feed
        self._vix = vix
        self._keeper = _keeper(setup, settings)
        self._waiting: UniverseLoaded | None = None
        self._look_again_boot_ns = 0
        self._why_waiting = ""
        self._reported: UniverseLoaded | None = None

    def on_start(self, state: ScreenerState, now_ns: int) -> Sequence[Message]:
        """Open the planned session's data again; report its names where a crash kept them from being ranked.

        Raises:
            CannotStartError: the session's data cannot be opened.
        """
        if self._keeper is not None:
            self._keeper.start()
        # Another MARKET_DATA_DATE was set since that plan: the watchdog will plan the new day.
        if state.plan is None or not self._feed.is_for(state.plan) or self._desk is not None:
            return ()
        return self._universe(state.plan, now_ns)

    def before_commit(self, event: Message) -> None:
        """Write the whole list beside the shortened one that is said. A disk that refuses it does not stop trading."""
        reported = self._reported
        if not isinstance(event, CandidatesRanked) or reported is None:
            return
        if not reported.due_ns:
            self._write(reported, event)
            return
        # A later scan's list is written beside the loop, which has quotes to hand on meanwhile.
        threading.Thread(target=self._write, args=(reported, event), name="list", daemon=True).start()

    def _write(self, reported: UniverseLoaded, event: CandidatesRanked) -> None:
        path = list_path(self._setup.paths.output, self._setup.identity.bot_identity, reported)
        try:
            write_list(path, list_text(reported, self._settings))
            forget_scans(path.parent)
        except OSError as error:
            logger.warning("The list %s cannot be written: %s. Make room or correct its rights.", path, error.strerror)
            return
        names = len(event.candidates)
        logger.info("%d candidates, %d screened out; why, name by name: %s", names, event.rejected_total, path)

    def after_commit(self, state: ScreenerState, event: Message, now_ns: int) -> Sequence[Message]:
        """Open the data of a session that was just planned, and report its names.

        Raises:
            CannotStartError: the session's data cannot be opened.
        """
        if not isinstance(event, SessionPlanned) or self._desk is not None:
            return ()
        return self._universe(event, now_ns)

    def on_idle(self, state: ScreenerState, now_ns: int) -> Sequence[Message]:
        """Report the names that waited for the universe, once it can be read."""
        if self._keeper is not None:
            self._keeper.check()
        if self._desk is not None:
            return self._looked_at(self._desk, state, now_ns)
        if self._waiting is None or boot_ns() < self._look_again_boot_ns:
            return ()
        return self._looked_up(self._waiting)

    def messages(self, plan: SessionPlanned) -> Iterator[MarketMessage]:
        """Open the session's data to be played.

        Raises:
            CannotStartError: it cannot be opened, or its names could not be ranked yet: nobody would watch it.
        """
        if self._waiting is not None:
            raise CannotStartError(
                f"The session was armed before its names could be ranked. {self._why_waiting} Then start the screener "
                "again."
            )
        return self._feed.messages(plan)

    def live(self, plan: SessionPlanned) -> "LiveSession | None":
        """Open the stream of a session whose names were chosen; None before that.

        Raises:
            CannotStartError: there are no keys for it.
        """
        newest = self._newest
        if self._desk is None or newest.ranked_date != plan.session_date:
            return None
        return self._desk.open(plan, newest.candidates, newest.scanned_ns)

    def close(self) -> None:
        """End the build of the universe where it is, and hang up."""
        if self._keeper is not None:
            self._keeper.close()
        if self._desk is not None:
            self._desk.close()

    def _universe(self, plan: SessionPlanned, now_ns: int) -> Sequence[Message]:
        # A weekend or a holiday has no session, so it has no candidates either: that is no fault.
        if not plan.is_trading_day:
            return ()
        day = self._feed.day(plan)
        loaded = UniverseLoaded(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=plan.session_date,
            source=day.source,
            rows=day.rows,
        )
        listed = (
            OptionsListed(
                ts_event=now_ns,
                ts_init=now_ns,
                session_date=plan.session_date,
                underlying=chain.underlying,
                puts=chain.puts,
            )
            for chain in day.chains
        )
        return (*self._looked_up(loaded), *listed, *self._volatility(plan, now_ns))

    def _volatility(self, plan: SessionPlanned, now_ns: int) -> Sequence[Message]:
        observed = self._vix.observe(plan, now_ns)
        return () if observed is None else (observed,)

    def _looked_at(self, desk: "LiveDesk", state: ScreenerState, now_ns: int) -> Sequence[Message]:
        """Report the names of live data when it is time for it, then the volatility and chains as they come."""
        plan, self._newest = state.plan, state
        if plan is None:
            return ()
        if not desk.is_time(plan):
            return self._scanned(desk, state, plan)
        if state.ranked_date == plan.session_date:
            desk.follow(plan, state.candidates, state.scanned_ns)
            volatility = self._volatility(plan, now_ns) if state.vix_date != plan.session_date else ()
            listed = desk.listed(plan, state.candidates)
            said = volatility if listed is None else (*volatility, listed)
            return (*said, *self._scanned(desk, state, plan))
        return self._seen(desk, Look(plan), state)

    def _scanned(self, desk: "LiveDesk", state: ScreenerState, plan: SessionPlanned) -> Sequence[Message]:
        """Report the names again where SCREENER_INTRADAY_EVERY or SCREENER_AFTER_HOURS says that it is time."""
        due_ns = desk.scan_due(plan)
        return self._seen(desk, Look(plan, due_ns), state) if due_ns > state.scanned_ns else ()

    def _seen(self, desk: "LiveDesk", look: Look, state: ScreenerState) -> Sequence[Message]:
        kept = kept_places(state.evening, look.plan.session_date)
        loaded = desk.loaded(look, self._live_names, kept)
        if loaded is None:
            return ()
        self._reported = loaded
        return (loaded,)

    def _live_names(self) -> Sequence[UniverseName]:
        # UNIVERSE_SOURCE session: MARKET_DATA_SYMBOLS are all the names there are.
        if self._keeper is None:
            return [UniverseName(symbol=symbol, mic="", security_type="") for symbol in self._settings.symbols]
        if boot_ns() < self._look_again_boot_ns:
            return ()
        try:
            names = self._keeper.universe().names
            # MARKET_DATA_SYMBOLS: these of the universe, empty = all.
            return [name for name in names if not self._settings.symbols or name.symbol in self._settings.symbols]
        except UniverseFileError as error:
            self._look_again_boot_ns = boot_ns() + _LOOK_AGAIN_NS
            if str(error) != self._why_waiting:
                self._why_waiting = str(error)
                logger.warning("The session's names wait for the universe. %s", error)
            return ()

    def _looked_up(self, loaded: UniverseLoaded) -> Sequence[Message]:
        """Return the report with what the universe knows of its names; nothing while there is no universe."""
        self._waiting = None
        if self._keeper is not None:
            try:
                universe = self._keeper.universe()
            except UniverseFileError as error:
                if str(error) != self._why_waiting:
                    logger.warning("The session's names wait for the universe. %s", error)
                self._waiting, self._why_waiting = loaded, str(error)
                self._look_again_boot_ns = boot_ns() + _LOOK_AGAIN_NS
                return ()
            source = f"{loaded.source}; universe of {len(universe.names):,} names, {stamp(universe.listed_at_s)}"
            loaded = replace(loaded, rows=joined(loaded.rows, universe), source=source[:_SOURCE_CHARS_MAX])
        self._reported = loaded
        return (loaded,)


def _keeper(setup: Setup, settings: ScreenerSettings) -> "UniverseKeeper | None":
    # UNIVERSE_SOURCE session needs no names but those of the session's data, and none of the libraries for others.
    if settings.universe_source != "finnhub":
        return None
    from services.screener.universe_keeper import UniverseKeeper

    return UniverseKeeper(setup.paths, settings)


def _world(setup: Setup, settings: ScreenerSettings) -> "LiveWorld | None":
    # A replay needs neither a stream nor what it brings.
    if not settings.is_live:
        return None
    from services.screener.live_world import world_of

    return world_of(setup, settings)


def _desk(settings: ScreenerSettings, world: "LiveWorld | None") -> "LiveDesk | None":
    if world is None:
        return None
    from services.screener.live_desk import LiveDesk

    return LiveDesk(settings, world)


def build(setup: Setup) -> Assembly[ScreenerState]:
    """Assemble the screener from the settings; nothing is opened before a session is planned."""
    settings = ScreenerSettings.from_env(setup.env, setup.funds())
    feed = MarketFeed(settings)
    vix = VixSource(setup.env)
    world = _world(setup, settings)
    desk = _desk(settings, world)
    teller = vix if world is None else world.vix(vix)
    shell = ScreenerShell(setup, settings, feed, teller, desk=desk)
    core = ScreenerCore(settings)
    if desk is None:
        return Assembly(
            core=core,
            shell=shell,
            self_check=lambda: (*feed.faults(), *vix.faults()),
            feed=shell.messages,
        )
    return Assembly(
        core=core,
        shell=shell,
        self_check=lambda: (*desk.faults(), *vix.faults()),
        live=shell.live,
        attach=desk.attach,
        on_status=desk.on_status,
        remark=desk.remark,
    )

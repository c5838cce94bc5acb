"""The screener's world: the market data of the session, from files or from the generator."""

from collections.abc import Sequence

from bus.assembly import Assembly, Setup
from bus.decider import Shell
from bus.messages import Message, SessionPlanned
from services.screener.core import ScreenerCore, ScreenerState
from services.screener.feed import MarketFeed
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded
from services.screener.vix import VixSource


class ScreenerShell(Shell[ScreenerState]):
    """Open the session's data when it is planned, and report the names in it."""

    def __init__(self, feed: MarketFeed, vix: VixSource) -> None:
        self._feed = feed
        self._vix = vix

    def on_start(self, state: ScreenerState, now_ns: int) -> Sequence[Message]:
        """Open the planned session's data again; report its names where a crash kept them from being ranked.

        Raises:
            CannotStartError: the session's data cannot be opened.
        """
        # Another MARKET_DATA_DATE was set since that plan: the watchdog will plan the new day.
        if state.plan is None or not self._feed.is_for(state.plan):
            return ()
        return self._universe(state.plan, now_ns)

    def after_commit(self, state: ScreenerState, event: Message, now_ns: int) -> Sequence[Message]:
        """Open the data of a session that was just planned, and report its names.

        Raises:
            CannotStartError: the session's data cannot be opened.
        """
        if not isinstance(event, SessionPlanned):
            return ()
        return self._universe(event, now_ns)

    def _universe(self, plan: SessionPlanned, now_ns: int) -> Sequence[Message]:
        # A weekend or a holiday has no session, so it has no candidates either: that is no fault.
        if not plan.is_trading_day:
            return ()
        day = self._feed.day(plan)
        return (
            UniverseLoaded(
                ts_event=now_ns,
                ts_init=now_ns,
                session_date=plan.session_date,
                source=day.source,
                rows=day.rows,
            ),
            self._vix.observe(plan, now_ns),
        )


def build(setup: Setup) -> Assembly[ScreenerState]:
    """Assemble the screener from the settings; nothing is opened before a session is planned."""
    settings = ScreenerSettings.from_env(setup.env)
    feed = MarketFeed(settings)
    vix = VixSource(setup.env)
    return Assembly(
        core=ScreenerCore(settings),
        shell=ScreenerShell(feed, vix),
        self_check=lambda: (*feed.faults(), *vix.faults()),
        feed=feed.messages,
    )

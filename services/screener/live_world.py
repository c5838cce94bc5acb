"""Where live data comes from: the port to a source, and the choice by MARKET_DATA_SOURCE."""

from collections.abc import Callable
from typing import Final, Protocol

from bus.assembly import Setup
from bus.clock import utc_ns
from bus.messages import SessionPlanned, VixObserved
from services.screener.chain_source import ChainSource
from services.screener.live import PastBarSource, PutQuotes, Stream
from services.screener.settings import PutWindow, ScreenerSettings
from services.screener.snapshots import SnapshotSource
from services.screener.vix import VixSource

#: Outside the exchange's hours a name may not be quoted for a while.
_QUIET_OUTSIDE_S: Final = 120.0


class VixTeller(Protocol):
    """What says the volatility index of a session."""

    def observe(self, plan: SessionPlanned, now_ns: int) -> VixObserved | None:
        """Return the index of this session; None while it is asked for."""
        ...


class LiveWorld(Protocol):
    """Everything that is taken from one source of live data."""

    @property
    def words(self) -> str:
        """Return the source, for people."""
        ...

    @property
    def limit_key(self) -> str:
        """Return the setting that limits how many names are watched."""
        ...

    def snapshots(self) -> SnapshotSource:
        """Return where the names' prices come from; the first call may load a large library.

        Raises:
            CannotStartError: there are no keys.
        """
        ...

    def past(self) -> PastBarSource:
        """Return where missed minutes come from."""
        ...

    def stream(self, plan: SessionPlanned) -> Stream:
        """Return the stream of one session."""
        ...

    def put_quotes(self) -> PutQuotes:
        """Return where the quotes of puts come from."""
        ...

    def chains(self, window: PutWindow) -> ChainSource:
        """Return where chains come from."""
        ...

    def vix(self, file: VixSource) -> VixTeller:
        """Return what says the volatility index; `file` is what VIX_DATA_FILE has."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


def quiet_of(plan: SessionPlanned, settings: ScreenerSettings) -> Callable[[], float]:
    """Return how many seconds of silence are too many now, by MARKET_DATA_TIMEOUT."""

    def quiet_s() -> float:
        is_open = plan.open_ns <= utc_ns() < plan.close_ns
        return float(settings.quiet_s_max) if is_open or settings.is_simulated else _QUIET_OUTSIDE_S

    return quiet_s


def world_of(setup: Setup, settings: ScreenerSettings) -> LiveWorld:
    """Return the world that MARKET_DATA_SOURCE names; only its modules are loaded."""
    if settings.ibkr is not None:
        from services.screener.ibkr_world import IbkrWorld

        return IbkrWorld(settings.ibkr, settings)
    from services.screener.alpaca_world import AlpacaWorld

    return AlpacaWorld(setup, settings)

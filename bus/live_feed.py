"""Market data as it comes: no lock-step, no repeats, and the wall clock is the session's time."""

from typing import Final, Protocol

from bus.clock import SessionClock
from bus.messages import MarketMessage
from config.env_bot import EnvBot
from config.live_source import is_live, is_simulated

#: How long the loop may wait when a live feed has nothing to say.
LOOK_NS: Final = 20_000_000


class LiveFeed(Protocol):
    """One session of live market data, asked by the loop of the service that publishes it.

    No call blocks. While a session is on it says something at least once a second, be it an empty batch of quotes:
    listeners learn from it that time goes on.
    """

    @property
    def has_ended(self) -> bool:
        """Tell whether FeedEnded was said."""
        ...

    def next(self) -> MarketMessage | None:
        """Return what is to be published now, numbered one higher than what was before; None = nothing yet."""
        ...

    def close(self) -> None:
        """Hang up, without waiting for the other side; what was hung up before stays so."""
        ...


def session_clock(env: EnvBot) -> SessionClock:
    """Return the clock of this chain's sessions.

    The wall clock when live, so that exits and time-outs come also when the feed is silent; the feed's own time in a
    replay, and with a simulated exchange, which may run many times faster than the wall clock.
    """
    return SessionClock(follows_feed=not is_live(env) or is_simulated(env))

"""What publishes market data in the one service that has it: a replay in lock-step, or a live feed as it comes."""

from collections.abc import Callable, Iterator
from typing import Any

from bus.clock import boot_ns
from bus.feed import FeedDriver
from bus.live_feed import LOOK_NS, LiveFeed
from bus.messages import MarketMessage, SessionPlanned
from bus.node import Node
from config.env_bot import EnvBot
from config.live_source import is_live, is_simulated

Replay = Callable[[SessionPlanned], Iterator[MarketMessage]]


class MarketDrive:
    """Opens the planned session's feed when its time has come, and says what is to be published."""

    def __init__(self, env: EnvBot) -> None:
        self._env = env
        self._replay: FeedDriver | None = None
        self._live: LiveFeed | None = None
        self._live_date = ""
        self._has_nothing = True

    def wait_ns(self, now_ns: int) -> int | None:
        """Return how long there is nothing to publish; None when no feed is open. Times are boot nanoseconds."""
        if self._replay is not None:
            return self._replay.wait_ns(now_ns)
        if self._live is None:
            return None
        return LOOK_NS if self._has_nothing else 0

    def heard_mark(self, step: int) -> None:
        """Note that the chain has finished a step of a replay."""
        if self._replay is not None:
            self._replay.heard_mark(step)

    def due(self, node: Node[Any], *, is_active: bool) -> MarketMessage | None:
        """Return what to publish now, None = nothing.

        Raises:
            CannotStartError: the session's feed cannot be opened.
        """
        plan, assembly = node.plan, node.assembly
        if plan is None:
            return None
        if is_live(self._env):
            # A simulated exchange begins to trade when its stream is opened: it waits for the chain, as a replay does.
            must_wait = bool(node.outbox_depth()) or (is_simulated(self._env) and not is_active)
            return self._due_live(plan, assembly.live, must_wait=must_wait)
        if assembly.feed is None:
            return None
        if self._replay is None and not self._open_replay(plan, assembly.feed, node, is_active=is_active):
            return None
        return self._replay.due(boot_ns()) if self._replay is not None else None

    def close(self) -> None:
        """Hang up."""
        if self._live is not None:
            self._live.close()
            self._live = None

    def _open_replay(self, plan: SessionPlanned, feed: Replay, node: Node[Any], *, is_active: bool) -> bool:
        """Begin while the chain is active or was activated once; return whether it began."""
        # A journaled plan of another day waits for today's, which the watchdog sends at its start.
        is_today = plan.session_date == self._env.word("MARKET_DATA_DATE")
        if not is_active or not is_today or node.outbox_depth():
            return False
        self._replay = FeedDriver(feed(plan), self._env.whole("MARKET_DATA_SPEED"))
        return True

    def _due_live(
        self, plan: SessionPlanned, opened: Callable[[SessionPlanned], LiveFeed | None] | None, *, must_wait: bool
    ) -> MarketMessage | None:
        """Live data waits for nobody to arm the chain: whoever arms it in mid-session has the minutes since the open.

        It waits for the candidates to be acknowledged, because the minutes are of their names.
        """
        if opened is None:
            return None
        if plan.session_date != self._live_date:
            if must_wait:
                return None
            self.close()
            self._live = opened(plan)
            if self._live is None:
                return None
            self._live_date = plan.session_date
        if self._live is None:
            return None
        data = self._live.next()
        self._has_nothing = data is None
        if self._live.has_ended:
            self.close()
        return data

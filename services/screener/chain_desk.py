"""Live chains of the best ranked candidates: asked for beside the feed, kept with their age, and asked for again."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from bus.clock import NS_PER_SECOND
from bus.messages import OptionsListed
from services.screener.chain_source import ChainError, ChainSource
from services.screener.settings import PutWindow

logger = logging.getLogger(__name__)

#: A chain that could not be had is asked for again after this.
AGAIN_NS: Final = 60 * NS_PER_SECOND


class ChainDesk:
    """Keeps the chains of one session's names.

    Args:
        source: the broker's chains.
        window: of how many names, and how old they may be.
        utc_ns: the session's clock; a chain's time is when it was asked for.
        boot_ns: the clock that waits are measured by.
    """

    def __init__(
        self, source: ChainSource, window: PutWindow, *, utc_ns: Callable[[], int], boot_ns: Callable[[], int]
    ) -> None:
        self._source = source
        self._window = window
        self._utc_ns = utc_ns
        self._boot_ns = boot_ns
        self._session_date = ""
        self._candidates: tuple[str, ...] = ()
        self._names: tuple[str, ...] = ()
        self._due_ns: dict[str, int] = {}
        self._puts: dict[str, tuple[str, ...]] = {}
        self._without: dict[str, str] = {}
        self._asking: threading.Thread | None = None
        self._answer: tuple[str, OptionsListed | ChainError] | None = None

    @property
    def puts(self) -> tuple[str, ...]:
        """Return every put that is listed now."""
        return tuple(put for puts in self._puts.values() for put in puts)

    @property
    def remark(self) -> str:
        """Name the names without a chain, for people; empty when there are none."""
        return f"no chain of {', '.join(sorted(self._without))}" if self._without else ""

    def follow(self, session_date: str, candidates: Sequence[str]) -> None:
        """Keep the chains of the best of these candidates in this session; a later list may name others."""
        if (session_date, tuple(candidates)) == (self._session_date, self._candidates):
            return
        names = tuple(candidates[: self._window.names_max])
        is_new = session_date != self._session_date
        # A put of a name that has just left may have been ordered: it is quoted until the list after this one.
        quoted = set() if is_new else {*names, *self._names}
        self._session_date, self._candidates, self._names = session_date, tuple(candidates), names
        self._due_ns = {name: 0 if is_new else self._due_ns.get(name, 0) for name in names}
        self._puts = {name: puts for name, puts in self._puts.items() if name in quoted}
        self._without = {name: why for name, why in self._without.items() if name in names and not is_new}
        if len(candidates) > len(names):
            left_out = ", ".join(candidates[len(names) :])
            logger.warning("no chain, so no put, of %s: LIVE_PUT_NAMES_MAX is reached", left_out)

    def listed(self, price_of: Callable[[str], int]) -> OptionsListed | None:
        """Return a chain that has come since the last call; ask for the next one that is due. Never waits.

        Args:
            price_of: what a name costs now in micro-dollars; 0 = not known, and nothing is asked.
        """
        if self._asking is not None and self._asking.is_alive():
            return None
        self._asking, answer, self._answer = None, self._answer, None
        listed = self._judged(*answer) if answer is not None else None
        now_ns = self._boot_ns()
        due = next((name for name in self._names if self._due_ns[name] <= now_ns and price_of(name) > 0), None)
        if due is not None:
            # Should the thread end without an answer, it is asked again, but not at once.
            self._due_ns[due] = now_ns + AGAIN_NS
            ask = (due, price_of(due), self._session_date)
            self._asking = threading.Thread(target=self._ask, args=ask, name="option-chain", daemon=True)
            self._asking.start()
        return listed

    def _ask(self, name: str, price_micros: int, session_date: str) -> None:
        now_ns = self._utc_ns()
        try:
            puts = self._source.puts(name, price_micros, session_date)
        except ChainError as error:
            self._answer = name, error
            return
        self._answer = (
            name,
            OptionsListed(ts_event=now_ns, ts_init=now_ns, session_date=session_date, underlying=name, puts=puts),
        )

    def _judged(self, name: str, answer: OptionsListed | ChainError) -> OptionsListed | None:
        if isinstance(answer, ChainError):
            if name not in self._names:
                return None
            self._without.setdefault(name, str(answer))
            logger.warning("%s; asked again in %d s", answer, AGAIN_NS // NS_PER_SECOND)
            return None
        if answer.session_date != self._session_date or name not in self._names:
            return None
        # PUT_CHAIN_AGE_MAX: half of it leaves time to ask again.
        self._due_ns[name] = self._boot_ns() + self._window.age_max_ns // 2
        self._puts[name] = tuple(put.symbol for put in answer.puts)
        self._without.pop(name, None)
        if not answer.puts:
            self._without[name] = "none that may be bought is listed"
        logger.info("the chain of %s: %d puts", name, len(answer.puts))
        return answer

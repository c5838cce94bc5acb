"""Minutes that a live session has missed: asked for in a thread, and again until there is an answer."""

import logging
import threading
from collections.abc import Sequence
from typing import Final

from bus.clock import NS_PER_SECOND
from services.screener.live import BarsError, LiveBar, PastBarSource

logger = logging.getLogger(__name__)

#: A minute that ended just now is asked for when it can be had.
FILL_AFTER_NS: Final = 3 * NS_PER_SECOND
_AGAIN_S: Final = (2, 4, 8, 15, 30)


class Fill:
    """Asks for missed minutes in a thread, and again when there was no answer; only the newest life's counts.

    Args:
        past: where they come from.
        waits: what waits for them, for the log.
    """

    def __init__(self, past: PastBarSource, waits: str = "no minute is handed on before that") -> None:
        self._past = past
        self._waits = waits
        self._life = 0
        self._is_open = False
        self._due_ns = 0
        self._tries = 0
        self._thread: threading.Thread | None = None
        self._answer: tuple[int, Sequence[LiveBar] | BarsError, int] | None = None

    def begin(self, life: int, due_ns: int) -> None:
        """Ask from `due_ns` on, boot time; what an older life was asked for is not wanted any more."""
        self._life, self._is_open, self._due_ns, self._tries = life, True, due_ns, 0

    def step(
        self, symbols: Sequence[str], span_ns: tuple[int, int], boot_ns: int
    ) -> tuple[Sequence[LiveBar], int] | None:
        """Go on; return the bars and up to when nothing is missing, once they have come."""
        if not self._is_open or (self._thread is not None and self._thread.is_alive()):
            return None
        if self._answer is not None:
            (life, found, until_ns), self._answer, self._thread = self._answer, None, None
            if life == self._life:
                return self._judged(found, until_ns, boot_ns)
        if boot_ns < self._due_ns:
            return None
        from_ns, until_ns = span_ns
        if until_ns <= from_ns or not symbols:
            # Before the first minute is over nothing can be missing.
            self._is_open = False
            return (), until_ns
        # Should the thread end without an answer, it is asked again, but not at once.
        self._due_ns = boot_ns + _AGAIN_S[0] * NS_PER_SECOND
        ask = (self._life, symbols, from_ns, until_ns)
        self._thread = threading.Thread(target=self._ask, args=ask, name="past-bars", daemon=True)
        self._thread.start()
        return None

    def _judged(
        self, found: Sequence[LiveBar] | BarsError, until_ns: int, boot_ns: int
    ) -> tuple[Sequence[LiveBar], int] | None:
        if not isinstance(found, BarsError):
            self._is_open = False
            return found, until_ns
        wait_s = _AGAIN_S[min(self._tries, len(_AGAIN_S) - 1)]
        self._tries += 1
        self._due_ns = boot_ns + wait_s * NS_PER_SECOND
        logger.warning("%s; asked again in %d s, and %s", found, wait_s, self._waits)
        return None

    def _ask(self, life: int, symbols: Sequence[str], from_ns: int, until_ns: int) -> None:
        found: Sequence[LiveBar] | BarsError
        try:
            found = self._past.bars(symbols, from_ns, until_ns)
        except BarsError as error:
            found = error
        self._answer = (life, found, until_ns)

"""Whether a loop has stood still: nobody knows what happened meanwhile. Pure: times are given."""

from typing import Final

#: A loop that shows no life for longer than this, in nanoseconds of boot time, has stood still.
LOOP_GAP_NS: Final = 500_000_000


class Life:
    """When a loop last showed life; each turn does, and each breath while it waits for somebody outside.

    Args:
        now_ns: boot time.
    """

    def __init__(self, now_ns: int) -> None:
        self._last_ns = now_ns
        #: For how long it stood still, in milliseconds, since somebody has answered that; 0 = it did not.
        self.stood_ms = 0

    def shows(self, now_ns: int) -> bool:
        """Note life, and tell whether the loop had stood still before it."""
        gap_ns = now_ns - self._last_ns
        self._last_ns = now_ns
        if gap_ns <= LOOP_GAP_NS:
            return False
        self.stood_ms = max(self.stood_ms, gap_ns // 1_000_000)
        return True

    def answered(self, now_ns: int) -> None:
        """Note that the gap was answered; what that took is no gap."""
        self.stood_ms = 0
        self._last_ns = now_ns

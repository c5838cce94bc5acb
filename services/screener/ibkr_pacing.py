"""How fast Interactive Brokers may be asked for history and for five-second bars. Pure.

Source: Interactive Brokers, "TWS API: Historical Data Limitations" and "Real Time Bars", 2025-11: at most 60 requests
within ten minutes; no identical request within 15 seconds; fewer than six for one contract within two seconds; at
most 50 open at a time. New subscriptions of five-second bars have a count of 60 in ten minutes of their own.
"""

from collections import deque
from typing import Final

from bus.clock import NS_PER_SECOND

REQUESTS_MAX: Final = 60
WINDOW_NS: Final = 600 * NS_PER_SECOND
IDENTICAL_NS: Final = 15 * NS_PER_SECOND
CONTRACT_REQUESTS_MAX: Final = 5
CONTRACT_NS: Final = 2 * NS_PER_SECOND
#: After a pacing violation the count is not believed: so long nothing is asked.
PENALTY_NS: Final = 60 * NS_PER_SECOND


class Pacing:
    """Counts the requests of one kind; times are boot nanoseconds.

    Args:
        requests_max: the most in any WINDOW_NS.
    """

    def __init__(self, requests_max: int = REQUESTS_MAX) -> None:
        self._max = requests_max
        self._made: deque[int] = deque(maxlen=requests_max)
        self._identical: dict[str, int] = {}
        self._of_contract: dict[str, deque[int]] = {}
        self._not_before_ns = 0

    def wait_ns(self, contract: str, request: str, now_ns: int) -> int:
        """Return how long this request has to wait; 0 = it may be sent now."""
        waits = [self._not_before_ns - now_ns]
        if len(self._made) >= self._max:
            waits.append(self._made[0] + WINDOW_NS - now_ns)
        if request in self._identical:
            waits.append(self._identical[request] + IDENTICAL_NS - now_ns)
        recent = self._of_contract.get(contract)
        if recent is not None and len(recent) >= CONTRACT_REQUESTS_MAX:
            waits.append(recent[0] + CONTRACT_NS - now_ns)
        return max(0, *waits)

    def made(self, contract: str, request: str, now_ns: int) -> None:
        """Count a request that is sent now."""
        self._made.append(now_ns)
        self._identical = {key: at for key, at in self._identical.items() if now_ns - at < IDENTICAL_NS}
        self._identical[request] = now_ns
        self._of_contract = {key: at for key, at in self._of_contract.items() if now_ns - at[-1] < CONTRACT_NS}
        self._of_contract.setdefault(contract, deque(maxlen=CONTRACT_REQUESTS_MAX)).append(now_ns)

    def violated(self, now_ns: int) -> None:
        """Note that Interactive Brokers counts otherwise: a restart of this program has forgotten what was asked."""
        self._not_before_ns = now_ns + PENALTY_NS

"""Questions to Alpaca within one call of execution: its deadline, the minute's budget, and errors by next step."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from bus.clock import NS_PER_SECOND, boot_ns, utc_ns
from services.execution.brokers import alpaca_answers as a
from services.execution.brokers.alpaca_budget import Budget, Purpose
from services.execution.brokers.alpaca_wire import (
    SLICE_S,
    Answer,
    LostError,
    Question,
    RefusedError,
    UnsentError,
    Wire,
)
from services.execution.brokers.interface import (
    CALL_NS_MAX,
    BrokerPorts,
    NotSentError,
    RetryableBrokerError,
    StopTradingError,
)

#: What is left of a call for what is done with the answers.
_MARGIN_NS: Final = 100_000_000
#: An order that did not leave for a reason of our own side, or of the way there, may be tried again after this.
_AGAIN_NS: Final = NS_PER_SECOND


class Line:
    """One call after another over one wire.

    Args:
        keys: the key id and its secret.
        url: Alpaca's host, or the simulator's.
        clock: boot time, for the budget alone.
        call_ns: how long one call may take in all.
    """

    def __init__(
        self, keys: tuple[str, str], url: str, *, clock: Callable[[], int] = boot_ns, call_ns: int = CALL_NS_MAX
    ) -> None:
        self._keys = keys
        self._wire = Wire(keys, url)
        self._call_ns = call_ns
        self._ports: BrokerPorts | None = None
        self.budget = Budget(clock, utc_ns)
        self._deadline_ns = 0
        #: Never set: waiting for it is how time passes.
        self._idle = threading.Event()

    def attach(self, ports: BrokerPorts) -> None:
        """Take the gate and the breath; before that nothing but questions leaves."""
        self._ports = ports

    def begin(self) -> None:
        """Begin a call: everything that is asked until the next one shares its time."""
        self._deadline_ns = boot_ns() + self._call_ns - _MARGIN_NS

    @property
    def left_ns(self) -> int:
        """Return how much time the call has left."""
        return max(0, self._deadline_ns - boot_ns())

    def breathe(self) -> None:
        """Keep the process alive for others."""
        if self._ports is not None:
            self._ports.breathe()

    def get(self, path: str, what: str, params: Mapping[str, str] | None = None, *, urgent: bool = False) -> bytes:
        """Return the body of a successful answer. `what` names it in errors; `urgent`: from the reserve of cancels.

        Raises:
            RetryableBrokerError: there is none.
            StopTradingError: the keys are refused.
        """
        answer = self.ask("GET", path, what, dict(params or {}), purpose="exit" if urgent else "query")
        return a.checked(answer.status, answer.body, what, self._keys)

    def ask(
        self, method: str, path: str, what: str, data: dict[str, Any] | None = None, *, purpose: Purpose = "query"
    ) -> Answer:
        """Return any answer to anything but a new order.

        Raises:
            RetryableBrokerError: there is none, or the budget of the minute is used up.
            StopTradingError: there are no keys.
        """
        self._require_keys()
        wait_ns = self.budget.wait_ns(purpose)
        if wait_ns:
            raise RetryableBrokerError(f"{what} waits {_seconds(wait_ns)}: the requests of this minute are used up")
        question = Question(method=method, path=path, data=data or None)
        try:
            answer = self._wire.ask(question, self._deadline_ns, self.breathe)
        except (UnsentError, LostError) as error:
            raise RetryableBrokerError(f"Alpaca did not answer {what}: {error}") from None
        self.budget.heard(answer.status, answer.headers)
        return answer

    def post_order(self, body: dict[str, str], *, reduces: bool) -> Answer:
        """Send a new order, once, and only if the gate lets it through right before its first byte.

        Raises:
            NotSentError: it is certainly not at Alpaca.
            RetryableBrokerError: it may be there or not.
            StopTradingError: there are no keys.
        """
        self._require_keys()
        wait_ns = self.budget.wait_ns("exit" if reduces else "entry")
        if wait_ns:
            raise NotSentError(f"the requests of this minute are used up for {_seconds(wait_ns)}", wait_ns)

        def permit() -> str | None:
            if self._ports is None:
                return "the gate has not been opened yet"
            return self._ports.gate.refusal(reduces=reduces)

        question = Question(method="POST", path="/orders", data=body, permit=permit)
        try:
            answer = self._wire.ask(question, self._deadline_ns, self.breathe)
        except RefusedError as error:
            raise NotSentError(f"held back at the last moment: {error}", _AGAIN_NS) from None
        except UnsentError as error:
            raise NotSentError(f"Alpaca was not reached, nothing was sent: {error}", _AGAIN_NS) from None
        except LostError as error:
            raise RetryableBrokerError(f"the order was sent and there is no answer: {error}") from None
        pause_ns = self.budget.heard(answer.status, answer.headers)
        if pause_ns:
            words = a.words_of(answer.status, answer.body, self._keys)
            raise NotSentError(f"Alpaca turned it away unread: {words}", pause_ns)
        return answer

    def pause(self, for_ns: int) -> None:
        """Let time pass, and breathe meanwhile."""
        until_ns = min(boot_ns() + for_ns, self._deadline_ns)
        while (left_ns := until_ns - boot_ns()) > 0:
            self.breathe()
            self._idle.wait(min(SLICE_S, left_ns / NS_PER_SECOND))

    def words(self, answer: Answer) -> str:
        """Return a refusal in words that may be shown."""
        return a.words_of(answer.status, answer.body, self._keys)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _require_keys(self) -> None:
        if not all(self._keys):
            raise StopTradingError(NO_KEYS)


NO_KEYS: Final = (
    "There is no key pair for trading at Alpaca: the vault has no credentials alpaca_trading_key and "
    "alpaca_trading_secret. Make a pair on Alpaca's page and enter both on the configuration page"
)


def _seconds(ns: int) -> str:
    return f"{-(-ns // NS_PER_SECOND)} s"

"""What the broker lets the account do with each symbol: asked once a session for each that is quoted."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from bus import messages as m
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.recovery import RETRY_NS, broker_halt
from services.execution.state import ExecutionState

#: Symbols in one report, so that it fits a frame.
SYMBOLS_MAX: Final = 500
_log = logging.getLogger(__name__)


class Assets:
    """Reports each symbol of the session's quotes once, before anything is decided about it.

    Args:
        broker: who is asked.
        clock: boot time.
    """

    def __init__(self, broker: Broker, clock: Callable[[], int]) -> None:
        self._broker = broker
        self._boot_ns = clock
        self._tries = 0
        self._due_ns = 0
        #: The newest list of symbols that were all known, and where: what is known in a session only grows.
        self._all_known: tuple[tuple[str, ...], dict[str, m.AssetLine]] = ((), {})

    def report(self, state: ExecutionState, batch: m.QuoteBatch, now_ns: int) -> Sequence[m.Message]:
        """Report the symbols of a batch that were not reported in this session.

        A broker that does not answer is asked again later, whatever is quoted meanwhile; what is not reported, risk
        denies.
        """
        symbols, known = self._all_known
        if symbols is batch.symbols and known is state.assets:
            return ()
        known = state.assets
        if state.plan is None or self._boot_ns() < self._due_ns:
            return ()
        if known.keys() >= set(batch.symbols):
            self._all_known = batch.symbols, known
            return ()
        wanted = [symbol for symbol in batch.symbols if symbol not in known]
        reports: list[m.Message] = []
        try:
            for at in range(0, len(wanted), SYMBOLS_MAX):
                # What was answered counts when a later question is not.
                reports += [self._ask(state.plan, wanted[at : at + SYMBOLS_MAX], now_ns)]
        except RetryableBrokerError as error:
            self._tries += 1
            self._due_ns = self._boot_ns() + RETRY_NS[min(self._tries, len(RETRY_NS)) - 1]
            _log.warning("the broker did not say what may be traded (try %d): %s", self._tries, error)
        except StopTradingError as error:
            self._due_ns = self._boot_ns() + RETRY_NS[-1]
            reports.append(broker_halt(error, now_ns))
        else:
            self._tries = 0
        return reports

    def _ask(self, plan: m.SessionPlanned, symbols: Sequence[str], now_ns: int) -> m.Message:
        with points.ASSETS:
            assets = tuple(self._broker.assets(symbols, now_ns))
        return r.BrokerAssets(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=plan.session_date,
            broker=self._broker.name,
            assets=assets,
        )

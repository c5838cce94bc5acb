"""What the broker lets the account do with each symbol: asked once a session for each that is quoted, then on.

All of them are asked for again every ten minutes, and one at once when a refusal of the broker names it: a halt, a
symbol that may not be traded any more, or not in fractions. Only what has changed is reported.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from bus import messages as m
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.recovery import RETRY_NS, broker_halt
from services.execution.state import ExecutionState

#: Symbols in one report, so that it fits a frame.
SYMBOLS_MAX: Final = 500
#: How often all of them are asked for again, in nanoseconds of boot time: at Alpaca one request of the 200 a minute.
EVERY_NS: Final = 600_000_000_000
#: So long a refusal counts, whatever the list says: a list may lag behind a halt, or know of none.
REFUSED_NS: Final = EVERY_NS
#: Words of a refusal that are about the symbol and not about the order. Source: Alpaca's refusals, recorded 2026-10-08
#: ('asset "X" is not tradable', 'is not fractionable'); Interactive Brokers' texts of 200 and 201, 2026-11.
_NO_FRACTIONS: Final = re.compile(r"not fractionable", re.IGNORECASE)
_NOT_TRADABLE: Final = re.compile(
    r"not tradable|(?:symbol|security|contract|asset|stock)[^.]{0,30}(?:halted|paused|suspended|delisted|inactive)"
    r"|\bhalted\b|trading halt|no security definition|not available for trading|knows no US stock",
    re.IGNORECASE,
)
_log = logging.getLogger(__name__)


class Assets:
    """Reports each symbol of the session's quotes once, before anything is decided about it, and later what changes.

    Args:
        broker: who is asked.
        clock: boot time.
    """

    def __init__(self, broker: Broker, clock: Callable[[], int]) -> None:
        self._broker = broker
        self._boot_ns = clock
        self._tries = 0
        self._due_ns = 0
        self._again_ns = clock() + EVERY_NS
        #: What a refusal said of a symbol: the boot time of it, and whether all of it or its fractions alone.
        self._refused: dict[str, tuple[int, bool]] = {}
        #: Named by a refusal and not asked for since.
        self._named: set[str] = set()
        #: The newest list of symbols that were all known, and where: what is known in a session only grows.
        self._all_known: tuple[tuple[str, ...], dict[str, m.AssetLine]] = ((), {})

    def note_refusal(self, symbol: str, detail: str) -> None:
        """Note a refusal that is about the symbol itself; any other says nothing of it."""
        is_fraction = _NO_FRACTIONS.search(detail) is not None
        if is_fraction or _NOT_TRADABLE.search(detail):
            self._refused[symbol] = (self._boot_ns(), not is_fraction)
            self._named.add(symbol)

    def look(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Report what has changed of the symbols that were reported, once it is time to ask or a refusal named one."""
        now = self._boot_ns()
        is_time = now >= self._again_ns
        if state.plan is None or now < self._due_ns or not (is_time or self._named):
            return ()
        wanted = sorted(state.assets if is_time else self._named & state.assets.keys())
        self._refused = {key: told for key, told in self._refused.items() if now - told[0] < REFUSED_NS}
        reports = self._asked(state.plan, wanted, now_ns, known=state.assets)
        if not self._tries:
            self._named.clear()
            # A refusal lapses with the whole list that follows it.
            self._again_ns = now + EVERY_NS if is_time else self._again_ns
        return reports

    def are_reported(self, state: ExecutionState, symbols: tuple[str, ...]) -> bool:
        """Tell whether everything in this very list of symbols is known to have been reported in this session."""
        return self._all_known[0] is symbols and self._all_known[1] is state.assets

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
        return self._asked(state.plan, wanted, now_ns)

    def _asked(
        self,
        plan: m.SessionPlanned,
        wanted: Sequence[str],
        now_ns: int,
        *,
        known: Mapping[str, m.AssetLine] | None = None,
    ) -> Sequence[m.Message]:
        """Return the lines of these symbols; where they are `known` already, those that differ, asked anew."""
        reports: list[m.Message] = []
        # Asked anew, all of them are one question where the broker has a list.
        size = SYMBOLS_MAX if known is None else max(len(wanted), 1)
        try:
            for at in range(0, len(wanted), size):
                # What was answered counts when a later question is not.
                reports += self._ask(plan, wanted[at : at + size], now_ns, known=known)
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

    def _ask(
        self, plan: m.SessionPlanned, symbols: Sequence[str], now_ns: int, *, known: Mapping[str, m.AssetLine] | None
    ) -> list[m.Message]:
        ask = self._broker.assets if known is None else self._broker.assets_anew
        with points.ASSETS:
            told = ask(symbols, now_ns)
        lines = [self._as_refused(line) for line in told]
        if known is not None:
            lines = [line for line in lines if known.get(line.symbol) != line]
            for line in lines:
                _log.warning("the broker says now of %s: tradable %s", line.symbol, line.is_tradable)
        return [
            r.BrokerAssets(
                ts_event=now_ns,
                ts_init=now_ns,
                session_date=plan.session_date,
                broker=self._broker.name,
                assets=tuple(lines[at : at + SYMBOLS_MAX]),
            )
            for at in range(0, len(lines), SYMBOLS_MAX)
        ]

    def _as_refused(self, line: m.AssetLine) -> m.AssetLine:
        """Return a line as the broker's own refusals have it."""
        told = self._refused.get(line.symbol)
        if told is None:
            return line
        return replace(line, is_tradable=False) if told[1] else replace(line, is_fractionable=False)

"""The volatility index from Interactive Brokers: its close of the day before the session, asked for until it is known.

It needs a subscription for Cboe's indexes. Without one VIX_DATA_FILE is read; without either the index is unknown, and
the close strategy is silent.
"""

import logging
import threading
from collections.abc import Callable
from datetime import date
from typing import Final

from bus.clock import NS_PER_SECOND
from bus.messages import SessionPlanned, VixObserved
from services.screener.ibkr_codes import Meaning
from services.screener.ibkr_ears import RequestError
from services.screener.ibkr_history import closes
from services.screener.ibkr_line import IbkrDataError, IbkrDataLine, in_words
from services.screener.vix import VIX_HUNDREDTHS_MAX, VixSource

logger = logging.getLogger(__name__)

AGAIN_NS: Final = 60 * NS_PER_SECOND
#: So long before the close strategy begins what is not known is said to be unknown.
_LAST_NS: Final = 60 * NS_PER_SECOND
_WHOLE_S: Final = 700.0
_WORDS_MAX: Final = 300
_FINAL: Final = frozenset({Meaning.NOT_SUBSCRIBED, Meaning.NO_CONTRACT, Meaning.NO_DATA})
_Closes = list[tuple[date, float]]


class IbkrVix:
    """Says the volatility index of a session once it is known, or once it is too late to be.

    Args:
        line: the connection that is shared.
        file: VIX_DATA_FILE, for an account that may not see the index.
        utc_ns: the session's clock.
    """

    def __init__(self, line: IbkrDataLine, file: VixSource, *, utc_ns: Callable[[], int]) -> None:
        self._line = line
        self._file = file
        self._utc_ns = utc_ns
        self._asking: threading.Thread | None = None
        self._answer: _Closes | IbkrDataError | RequestError | None = None
        self._again_ns = 0
        self._why = "Interactive Brokers was not asked yet"

    def observe(self, plan: SessionPlanned, now_ns: int) -> VixObserved | None:
        """Return the index of this session; None while it is asked for. Never waits.

        Raises:
            VixFileError: VIX_DATA_FILE is needed and cannot be read.
        """
        if self._asking is not None and self._asking.is_alive():
            return self._too_late(plan, now_ns)
        self._asking, answer, self._answer = None, self._answer, None
        if isinstance(answer, list):
            before = [(day, close) for day, close in answer if day.isoformat() < plan.session_date]
            hundredths = round(max(before)[1] * 100) if before else 0
            if 0 < hundredths <= VIX_HUNDREDTHS_MAX:
                return _observed(plan, now_ns, max(before)[0].isoformat(), hundredths)
            self._why = f"Interactive Brokers has no close of the VIX before {plan.session_date}"
            return self._from_file(plan, now_ns)
        if answer is not None:
            self._why = f"Interactive Brokers has no VIX: {_words(answer)}"
            logger.warning("%s", self._why)
            if isinstance(answer, RequestError) and answer.meaning in _FINAL:
                return self._from_file(plan, now_ns)
        if self._line.boot_ns() >= self._again_ns:
            self._again_ns = self._line.boot_ns() + AGAIN_NS
            self._asking = threading.Thread(target=self._ask, name="vix", daemon=True)
            self._asking.start()
        return self._too_late(plan, now_ns)

    def _ask(self) -> None:
        line = self._line

        async def ask() -> _Closes:
            index = line.library.package.Index("VIX", "CBOE", "USD")
            return await closes(line, index)

        try:
            self._answer = line.run(ask, _WHOLE_S)
        except (IbkrDataError, RequestError) as error:
            self._answer = error

    def _too_late(self, plan: SessionPlanned, now_ns: int) -> VixObserved | None:
        return self._from_file(plan, now_ns) if self._utc_ns() >= plan.start_close_ns - _LAST_NS else None

    def _from_file(self, plan: SessionPlanned, now_ns: int) -> VixObserved:
        found = self._file.observe(plan, now_ns)
        if found.vix_hundredths:
            return found
        return VixObserved(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=plan.session_date,
            as_of_date="",
            vix_hundredths=0,
            source=f"{self._why}; {found.source}"[:_WORDS_MAX],
        )


def _words(error: IbkrDataError | RequestError) -> str:
    return in_words(error) if isinstance(error, RequestError) else str(error)


def _observed(plan: SessionPlanned, now_ns: int, as_of: str, hundredths: int) -> VixObserved:
    return VixObserved(
        ts_event=now_ns,
        ts_init=now_ns,
        session_date=plan.session_date,
        as_of_date=as_of,
        vix_hundredths=hundredths,
        source="Interactive Brokers, VIX at Cboe",
    )

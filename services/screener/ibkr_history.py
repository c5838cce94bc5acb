"""History from Interactive Brokers, one name a request and at its pace: minutes that were missed, and closes by day."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final

from bus.clock import NS_PER_SECOND
from services.screener import ibkr_requests as requests
from services.screener.ibkr_codes import Meaning
from services.screener.ibkr_ears import RequestError
from services.screener.ibkr_line import IbkrDataError, IbkrDataLine, in_words
from services.screener.live import BarsError, LiveBar
from services.screener.steps import MINUTE_NS
from services.screener.units import micros, nanos

logger = logging.getLogger(__name__)

#: Requests that are open at a time; Interactive Brokers allows 50.
_OPEN_MAX: Final = 10
#: One answer may take long: the farm wakes up.
_ANSWER_S: Final = 30.0
#: The longest that a whole question may take: what waits for its turn under the pacing rules waits ten minutes.
_WHOLE_S: Final = 700.0
_MINUTE_S: Final = 60
#: What is missing of these is missing for good: the name is left out, and the others are not kept waiting.
_FINAL: Final = frozenset({Meaning.NOT_SUBSCRIBED, Meaning.NO_CONTRACT})
#: A name whose history failed as often is left out as well.
FAILURES_MAX: Final = 3


class IbkrBars:
    """A `PastBarSource` of Interactive Brokers.

    Args:
        line: the connection that is shared.
        utc_ns: the session's clock.
    """

    def __init__(self, line: IbkrDataLine, utc_ns: Callable[[], int]) -> None:
        self._line = line
        self._utc_ns = utc_ns
        self._failures: dict[str, int] = {}

    def bars(self, symbols: Sequence[str], from_ns: int, until_ns: int) -> Sequence[LiveBar]:
        """Return every bar of these names whose minute starts in [from_ns, until_ns); may take ten minutes.

        Raises:
            BarsError: there is no whole answer.
        """

        async def ask() -> list[LiveBar]:
            turn = asyncio.Semaphore(_OPEN_MAX)
            answers = await asyncio.gather(
                *(self._of(symbol, from_ns, turn) for symbol in symbols), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            return [bar for answer in answers if not isinstance(answer, BaseException) for bar in answer]

        try:
            found = self._line.run(ask, _WHOLE_S)
        except RequestError as error:
            raise BarsError(f"Interactive Brokers' past minutes: {in_words(error)}") from error
        except IbkrDataError as error:
            raise BarsError(f"Interactive Brokers' past minutes: {error}") from error
        return [bar for bar in found if from_ns <= bar.end_ns - MINUTE_NS < until_ns]

    async def _of(self, symbol: str, from_ns: int, turn: asyncio.Semaphore) -> list[LiveBar]:
        line = self._line
        factor = line.access.share_factor
        async with turn:
            # The request ends now: what is said is how far back it goes, in whole minutes and one more.
            back_s = (max(0, self._utc_ns() - from_ns) // MINUTE_NS + 2) * _MINUTE_S
            try:
                items = await history(line, line.library.stock(symbol), f"{back_s} S", "1 min")
            except RequestError as error:
                self._judge(symbol, error)
                return []
            self._failures.pop(symbol, None)
        made = (_bar(symbol, item, factor) for item in items)
        return [bar for bar in made if bar is not None]

    def _judge(self, symbol: str, error: RequestError) -> None:
        """Take a fault as no trades, or as the end of this name in the session.

        Raises:
            RequestError: asking again may help.
        """
        if error.meaning is Meaning.NO_DATA:
            return
        if error.meaning is Meaning.FAILED:
            self._failures[symbol] = self._failures.get(symbol, 0) + 1
        if error.meaning not in _FINAL and self._failures.get(symbol, 0) < FAILURES_MAX:
            raise error
        self._line.unusable[symbol] = f"no past minutes: {in_words(error)}"


async def history(line: IbkrDataLine, contract: Any, duration: str, size: str) -> list[Any]:
    """Return bars of trades in regular hours up to now, when their turn has come.

    Raises:
        IbkrDataError, RequestError: there are none.
    """
    name = f"{contract.symbol or contract.localSymbol} {contract.secType}"
    await line.paced(line.history, name, f"{name} {duration} {size}")
    try:
        return await line.ask(
            lambda client, key: requests.history(client, key, contract, duration=duration, size=size),
            requests.no_history,
            answer_s=_ANSWER_S,
        )
    except RequestError as error:
        if error.meaning is Meaning.PACING:
            line.history.violated(line.boot_ns())
        raise


async def closes(line: IbkrDataLine, contract: Any) -> list[tuple[date, float]]:
    """Return the closes of the last two weeks by day.

    Raises:
        IbkrDataError, RequestError: there are none.
    """
    items = await history(line, contract, "2 W", "1 day")
    return [(datetime.strptime(str(item.date), "%Y%m%d").date(), float(item.close)) for item in items]  # noqa: DTZ007 - a day has no zone


def _bar(symbol: str, item: Any, factor: int) -> LiveBar | None:
    """Return a minute in our units; None when it makes no sense or nobody traded."""
    if not str(item.date).isdecimal():
        return None
    start_ns = int(item.date) * NS_PER_SECOND
    bar = LiveBar(
        symbol=symbol,
        open_micros=micros(item.open),
        high_micros=micros(item.high),
        low_micros=micros(item.low),
        close_micros=micros(item.close),
        volume_nanos=nanos(item.volume * factor),
        end_ns=start_ns + MINUTE_NS,
    )
    return bar if bar.is_sound and bar.volume_nanos > 0 and start_ns % MINUTE_NS == 0 else None

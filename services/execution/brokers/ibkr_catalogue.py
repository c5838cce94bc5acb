"""What Interactive Brokers knows of contracts, asked once a day each; and its clock. Runs in the line's thread."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from bus.ib_library import IbLibrary
from bus.messages import AssetLine
from services.execution.brokers.ibkr_codes import Meaning, meaning_of
from services.execution.brokers.ibkr_contracts import contract_for, is_within, symbol_of
from services.execution.brokers.ibkr_ears import RequestFailedError
from services.execution.brokers.ibkr_line import Call, IbkrLine
from services.execution.brokers.ibkr_windows import new_york_day
from services.execution.brokers.interface import BrokerClock, RetryableBrokerError

#: Whose hours say whether the exchange is open: the most traded US fund.
_CLOCK_SYMBOL: Final = "SPY"
#: So many contracts are asked for at a time.
AT_ONCE: Final = 20
#: So many are asked for once more within the day.
ANEW_MAX: Final = 3
_SECOND_NS: Final = 1_000_000_000


class _Found(Struct, frozen=True, kw_only=True):
    """A contract as it is traded, and when; None = Interactive Brokers knows no such thing, or several."""

    contract: Any
    hours: str = ""
    zone: str = ""


class IbkrCatalogue:
    """Asks for contracts, and remembers them for the day in New York.

    Args:
        library: whose contracts they are.
        line: the line to the gateway.
        clock: the time of the day, UTC nanoseconds.
    """

    def __init__(self, library: IbLibrary, line: IbkrLine, clock: Callable[[], int]) -> None:
        self._library = library
        self._line = line
        self._clock = clock
        self._day = ""
        self._found: dict[str, _Found] = {}

    async def contract(self, call: Call, symbol: str) -> Any:
        """Return the one contract of a symbol, or None."""
        return (await self._find(call, symbol)).contract

    async def assets(self, call: Call, symbols: Sequence[str]) -> list[AssetLine]:
        """Return a line for each symbol.

        Nothing is told here of shares that can be borrowed, so none counts as such; fractions are not sent.
        Source: error 10243 of the TWS API, "Fractional-sized order cannot be placed via API" (2026-11-28).

        Raises:
            RetryableBrokerError: not all could be asked for in time; the next call goes on.
        """
        for begin in range(0, len(symbols), AT_ONCE):
            if call.is_late:
                raise RetryableBrokerError(f"{begin} of {len(symbols)} symbols are looked up at Interactive Brokers")
            some = dict.fromkeys(symbols[begin : begin + AT_ONCE])
            found = await asyncio.gather(*(self._find(call, symbol) for symbol in some), return_exceptions=True)
            # All have ended; what one of them failed by, the call fails by.
            for error in found:
                if isinstance(error, BaseException):
                    raise error
        return [
            AssetLine(
                symbol=symbol,
                is_tradable=self._found[symbol].contract is not None,
                is_fractionable=False,
                is_shortable=False,
            )
            for symbol in symbols
        ]

    def forget(self, symbols: Sequence[str]) -> None:
        """Let these be asked for again when they are needed next."""
        for symbol in symbols:
            self._found.pop(symbol, None)

    async def now_ns(self, call: Call) -> int:
        """Return Interactive Brokers' time; it is told in whole seconds, so the middle of one is taken."""
        told = await self._line.ask(call, "time", self._line.client.reqCurrentTime)
        return int(told[-1]) * _SECOND_NS + _SECOND_NS // 2

    async def clock(self, call: Call) -> BrokerClock:
        """Return its time, and whether the regular session is open by the hours it tells of today."""
        now_ns = await self.now_ns(call)
        found = await self._find(call, _CLOCK_SYMBOL)
        try:
            is_open = found.contract is not None and is_within(found.hours, found.zone, now_ns)
        except ValueError as error:
            raise RetryableBrokerError(f"Interactive Brokers: {error}") from error
        return BrokerClock(utc_ns=now_ns, is_open=is_open)

    async def _find(self, call: Call, symbol: str) -> _Found:
        today = new_york_day(self._clock())
        if today != self._day:
            self._day = today
            self._found.clear()
        found = self._found.get(symbol)
        if found is None:
            found = self._found[symbol] = await self._ask(call, symbol)
        return found

    async def _ask(self, call: Call, symbol: str) -> _Found:
        request, asked = self._line.next_request(), contract_for(self._library, symbol)
        try:
            told = await self._line.ask(call, request, lambda: self._line.client.reqContractDetails(request, asked))
        except RequestFailedError as error:
            if meaning_of(error.code) is Meaning.NO_CONTRACT:
                return _Found(contract=None)
            raise
        alike = [details for details in told if symbol_of(details.contract) == symbol and _is_dollars(details)]
        by_number = {int(details.contract.conId): details for details in alike}
        if len(by_number) != 1:
            # None, or several that only a person can tell apart.
            return _Found(contract=None)
        details = next(iter(by_number.values()))
        # The contract is routed as it was asked for, whichever exchange the answer names.
        details.contract.exchange = asked.exchange
        return _Found(contract=details.contract, hours=str(details.liquidHours), zone=str(details.timeZoneId))


def _is_dollars(details: Any) -> bool:
    return str(details.contract.currency) == "USD"

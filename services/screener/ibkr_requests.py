"""The requests of market data, as the library's client sends them: each with what ends it."""

from typing import Any, Final

#: History is said with times as seconds since 1970, or as days.
_AS_SECONDS, _AS_DAYS = 2, 1
_BAR_SECONDS: Final = 5


def quotes(client: Any, key: int, contract: Any, generic_ticks: str = "") -> None:
    """Ask for a name's ticks until they are cancelled; `generic_ticks` are further ones, by their numbers."""
    client.reqMktData(key, contract, generic_ticks, snapshot=False, regulatorySnapshot=False, mktDataOptions=[])


def no_quotes(client: Any, key: int) -> None:
    """End a name's ticks."""
    client.cancelMktData(key)


def five_second_bars(client: Any, key: int, contract: Any) -> None:
    """Ask for a bar of trades every five seconds until they are cancelled."""
    client.reqRealTimeBars(key, contract, _BAR_SECONDS, "TRADES", useRTH=False, realTimeBarsOptions=[])


def no_bars(client: Any, key: int) -> None:
    """End a name's five-second bars."""
    client.cancelRealTimeBars(key)


def history(client: Any, key: int, contract: Any, *, duration: str, size: str) -> None:
    """Ask for bars of trades in regular hours up to now, once."""
    client.reqHistoricalData(
        key,
        contract,
        endDateTime="",
        durationStr=duration,
        barSizeSetting=size,
        whatToShow="TRADES",
        useRTH=True,
        formatDate=_AS_DAYS if size.endswith("day") else _AS_SECONDS,
        keepUpToDate=False,
        chartOptions=[],
    )


def no_history(client: Any, key: int) -> None:
    """Wait no more for history."""
    client.cancelHistoricalData(key)

"""What the numbered messages of Interactive Brokers mean to somebody who takes market data: one table. Pure."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    """What a numbered message says."""

    #: The gateway has lost Interactive Brokers; what it says now is old.
    LINE_LOST = auto()
    #: A farm of market data is away; its name stands after the colon.
    FARM_LOST = auto()
    #: That farm is there again; what was subscribed stays so, but what it said meanwhile is missing.
    FARM_BACK = auto()
    #: The line is there again; what was subscribed is gone.
    BACK_WITHOUT_DATA = auto()
    #: The line is there again, with everything; what was said meanwhile is missing.
    BACK = auto()
    #: The gateway listens on another port from now on.
    PORT_MOVED = auto()
    #: Another connection has our client number.
    CLIENT_IN_USE = auto()
    #: There is no such contract, or more than one.
    NO_CONTRACT = auto()
    #: The account has no subscription for this data.
    NOT_SUBSCRIBED = auto()
    #: Another session of the same user gets the market data.
    COMPETING = auto()
    #: More market data lines than the account has.
    TOO_MANY_LINES = auto()
    #: Requests came faster than they may.
    PACING = auto()
    #: The request is right and there is nothing.
    NO_DATA = auto()
    #: Five-second bars have ended and have to be asked for anew.
    BARS_ENDED = auto()
    #: The request failed, and asking again may help.
    FAILED = auto()
    #: It is said, and nothing follows.
    NOTICE = auto()


_M = Meaning

#: Source: Interactive Brokers, "TWS API: Message Codes" (system, warning and error codes), 2025-11.
CODES: Final[Mapping[int, Meaning]] = {
    101: _M.TOO_MANY_LINES,  # max number of tickers has been reached
    200: _M.NO_CONTRACT,  # no security definition, or the contract is ambiguous
    300: _M.NOTICE,  # no such ticker id: a cancel that came late
    326: _M.CLIENT_IN_USE,
    354: _M.NOT_SUBSCRIBED,  # requested market data is not subscribed
    366: _M.NOTICE,  # no historical data query found: the same for history
    507: _M.LINE_LOST,  # bad message length: the line cannot be trusted
    1100: _M.LINE_LOST,
    1101: _M.BACK_WITHOUT_DATA,
    1102: _M.BACK,
    1300: _M.PORT_MOVED,
    2103: _M.FARM_LOST,  # market data farm
    2104: _M.FARM_BACK,
    2105: _M.NOTICE,  # historical data farm is away: a question to it fails by itself
    2106: _M.NOTICE,
    2107: _M.NOTICE,  # inactive, but should be available on demand
    2108: _M.NOTICE,
    2110: _M.LINE_LOST,  # connectivity between TWS and the server is broken; it will be restored automatically
    2119: _M.NOTICE,  # market data farm is connecting
    2150: _M.NOTICE,
    2157: _M.NOTICE,  # security definition farm is away: a question to it fails by itself
    2158: _M.NOTICE,
    2176: _M.NOTICE,  # the API version does not support fractional share sizes
    10089: _M.NOT_SUBSCRIBED,  # requires an additional subscription; delayed data is available
    10090: _M.NOT_SUBSCRIBED,  # part of the requested data is not subscribed
    10167: _M.NOT_SUBSCRIBED,  # not subscribed, delayed data is displayed
    10168: _M.NOT_SUBSCRIBED,  # not subscribed, and delayed data is not enabled
    10182: _M.BARS_ENDED,  # failed to request live updates (disconnected)
    10186: _M.NOT_SUBSCRIBED,  # not subscribed, and delayed data is not enabled
    10187: _M.FAILED,  # failed to request historical ticks
    10190: _M.TOO_MANY_LINES,  # max number of tick-by-tick requests
    10197: _M.COMPETING,  # no market data during competing live session
    10225: _M.BARS_ENDED,  # bust event: the subscription is deactivated
}
#: Numbers that stand for several things: the words say which.
_BY_WORDS: Final = frozenset({162, 165, 321, 322, 420})
#: Said of delayed data, which is what was asked for where IBKR_DELAYED_DATA is true.
DELAYED_CODES: Final = frozenset({10089, 10090, 10167})


def meaning_of(code: int, text: str) -> Meaning:
    """Return what a number means; a number that is not known is a request that failed.

    >>> meaning_of(162, "Historical Market Data Service error message:HMDS query returned no data")
    <Meaning.NO_DATA: 13>
    """
    if code not in _BY_WORDS:
        return CODES.get(code, Meaning.FAILED)
    words = text.lower()
    if "pacing" in words:
        return Meaning.PACING
    if "different ip" in words or "competing" in words:
        return Meaning.COMPETING
    if "returned no data" in words or "query was cancelled" in words or "query cancelled" in words:
        return Meaning.NO_DATA
    if "permission" in words or "subscri" in words:
        return Meaning.NOT_SUBSCRIBED
    return Meaning.FAILED


def farm_of(text: str) -> str:
    """Return the farm that a message names after its colon; empty when it names none.

    >>> farm_of("Market data farm connection is OK:usfarm")
    'usfarm'
    """
    return text.rpartition(":")[2].strip() if ":" in text else ""

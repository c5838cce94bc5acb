"""What the numbered messages of Interactive Brokers mean to the adapter: one table. Pure.

A number that is not in the table changes nothing by itself: an order that it names is looked up.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    """What a numbered message says."""

    #: The order that it names was not taken.
    REFUSED = auto()
    #: The order that it names is cancelled.
    CANCELLED = auto()
    #: The order's number belongs to another order: what we hold for ours may be somebody else's.
    NUMBER_TAKEN = auto()
    #: A cancel came too late or named no order: what is true is looked up.
    NOT_CANCELLABLE = auto()
    #: A request for a contract found none.
    NO_CONTRACT = auto()
    #: The gateway has lost Interactive Brokers; what it says now is old.
    LINE_LOST = auto()
    #: A part of Interactive Brokers is away; its name stands after the colon.
    FARM_LOST = auto()
    #: That part is there again.
    FARM_BACK = auto()
    #: The line is there again; what was subscribed to is gone.
    BACK_WITHOUT_DATA = auto()
    #: The line is there again, with everything.
    BACK = auto()
    #: The gateway listens on another port from now on.
    PORT_MOVED = auto()
    #: Another connection has our client number.
    CLIENT_IN_USE = auto()
    #: It is said, and nothing follows.
    NOTICE = auto()
    #: It is not in the table.
    UNKNOWN = auto()


_M = Meaning

#: Source: Interactive Brokers, "TWS API: Message Codes" (system, warning and error codes), 2025-11; 105 for a changed
#: order that stays in force and 399 for an order that waits for the open were seen with both libraries.
CODES: Final[Mapping[int, Meaning]] = {
    103: _M.NUMBER_TAKEN,  # duplicate order id
    104: _M.NUMBER_TAKEN,  # cannot modify a filled order; this adapter never modifies
    105: _M.NUMBER_TAKEN,  # the order being modified does not match the original order; the same
    110: _M.REFUSED,  # the price does not conform to the minimum price variation
    135: _M.NOT_CANCELLABLE,  # cannot find an order with this id
    161: _M.NOT_CANCELLABLE,  # a cancel was tried when the order is not in a cancellable state
    200: _M.NO_CONTRACT,  # no security definition has been found
    201: _M.REFUSED,  # order rejected, with the reason
    202: _M.CANCELLED,  # order cancelled
    203: _M.REFUSED,  # the security is not available or allowed for this account
    321: _M.REFUSED,  # server error when validating a request
    326: _M.CLIENT_IN_USE,
    382: _M.REFUSED,  # the price exceeds the percentage constraint specified in the order defaults
    383: _M.REFUSED,  # the order size exceeds the maximum of the order defaults
    388: _M.REFUSED,  # the order size is smaller than the minimum requirement
    399: _M.NOTICE,  # order message, such as: it will not be placed before the open
    404: _M.NOTICE,  # the order is held while shares to borrow are located
    507: _M.LINE_LOST,  # bad message length: the line cannot be trusted
    1100: _M.LINE_LOST,
    1101: _M.BACK_WITHOUT_DATA,
    1102: _M.BACK,
    1300: _M.PORT_MOVED,
    2103: _M.FARM_LOST,  # market data farm
    2104: _M.FARM_BACK,
    2105: _M.NOTICE,  # historical data farm: the adapter asks it for nothing
    2106: _M.NOTICE,
    2107: _M.NOTICE,  # inactive, but should be available on demand
    2108: _M.NOTICE,
    2109: _M.NOTICE,  # outside regular trading hours is ignored for this order
    2110: _M.LINE_LOST,  # connectivity between TWS and the server is broken; it will be restored automatically
    2148: _M.NOTICE,
    2157: _M.FARM_LOST,  # security definition farm
    2158: _M.FARM_BACK,
    10147: _M.NOT_CANCELLABLE,  # the order that needs to be cancelled is not found
    10148: _M.NOT_CANCELLABLE,  # the order cannot be cancelled in its state
    10167: _M.NOTICE,  # market data is delayed
    10311: _M.NOTICE,  # this order will be directly routed
    10349: _M.NOTICE,  # the time in force was set by an order preset
}
#: How the gateway words it when orders are forbidden in its settings, whichever number it comes with.
_READ_ONLY: Final = "read-only"


def meaning_of(code: int) -> Meaning:
    """Return what a number means."""
    return CODES.get(code, Meaning.UNKNOWN)


def is_read_only(text: str) -> bool:
    """Tell whether a message says that the API may only read."""
    return _READ_ONLY in text.lower()


def farm_of(text: str) -> str:
    """Return the part of Interactive Brokers that a message names after its colon; empty when it names none.

    >>> farm_of("Market data farm connection is OK:usfarm")
    'usfarm'
    """
    return text.rpartition(":")[2].strip() if ":" in text else ""

"""The life of one order: its states, what moves it between them, and its identity at the broker."""

import hashlib
import struct
from enum import StrEnum
from typing import Final

from msgspec import Struct

from bus.messages import Leg, OrderPrepared

_DIGEST_BYTES: Final = 15
#: Base 32 as of RFC 4648 in small letters, two digits of five bits at a time.
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_BASE32_PAIRS: Final = tuple(first + second for first in _BASE32 for second in _BASE32)
_PAIR: Final = len(_BASE32_PAIRS) - 1
#: A digest is three numbers of 40 bits.
_FORTY_BITS: Final = struct.Struct(">QQQ")


class OrderState(StrEnum):
    """Where an order is in its life."""

    PREPARED = "PREPARED"
    UNKNOWN = "UNKNOWN"
    WORKING = "WORKING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    CANCEL_PENDING = "CANCEL_PENDING"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class Trigger(StrEnum):
    """What happens to an order. `PARTIAL_FILL` leaves a rest, `FILL` leaves none; `REVERSED` takes a fill back."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"
    EXPIRED = "EXPIRED"
    PARTIAL_FILL = "PARTIAL_FILL"
    FILL = "FILL"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    CANCELLED = "CANCELLED"
    REVERSED = "REVERSED"


class IllegalTransitionError(Exception):
    """A trigger that the table does not allow in this state: a broker's contradiction, or our bug."""


_S, _T = OrderState, Trigger

#: The whole life. A pair that is not here is illegal. A fill is legal in every state, because money has moved
#: whatever we believed: it is booked first, and the core halts the chain when the state says it cannot be.
TABLE: Final[dict[tuple[OrderState, Trigger], OrderState]] = {
    (_S.PREPARED, _T.ACCEPTED): _S.WORKING,
    (_S.PREPARED, _T.REJECTED): _S.REJECTED,
    (_S.PREPARED, _T.UNKNOWN): _S.UNKNOWN,
    (_S.PREPARED, _T.EXPIRED): _S.EXPIRED,
    # We stopped between the write to the broker and its answer; the fill proves the acceptance.
    (_S.PREPARED, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PREPARED, _T.FILL): _S.FILLED,
    (_S.UNKNOWN, _T.ACCEPTED): _S.WORKING,
    (_S.UNKNOWN, _T.REJECTED): _S.REJECTED,
    (_S.UNKNOWN, _T.UNKNOWN): _S.UNKNOWN,
    # Only after the broker has proven that it does not have the order; a network error proves nothing.
    (_S.UNKNOWN, _T.EXPIRED): _S.EXPIRED,
    (_S.UNKNOWN, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.UNKNOWN, _T.FILL): _S.FILLED,
    # The same acceptance heard twice: once as the answer, once by a look-up.
    (_S.WORKING, _T.ACCEPTED): _S.WORKING,
    # Venues may refuse after they acknowledged; nothing was filled, so nothing is held.
    (_S.WORKING, _T.REJECTED): _S.REJECTED,
    (_S.WORKING, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.WORKING, _T.FILL): _S.FILLED,
    (_S.WORKING, _T.CANCEL_REQUESTED): _S.CANCEL_PENDING,
    # The broker cancelled by itself, as at the end of the day.
    (_S.WORKING, _T.CANCELLED): _S.CANCELLED,
    (_S.PARTIALLY_FILLED, _T.ACCEPTED): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _T.FILL): _S.FILLED,
    (_S.PARTIALLY_FILLED, _T.CANCEL_REQUESTED): _S.CANCEL_PENDING,
    (_S.PARTIALLY_FILLED, _T.CANCELLED): _S.CANCELLED,
    # A fill that is taken back changes how much is filled, and not whether the rest may still trade.
    (_S.PARTIALLY_FILLED, _T.REVERSED): _S.PARTIALLY_FILLED,
    (_S.CANCEL_PENDING, _T.ACCEPTED): _S.CANCEL_PENDING,
    (_S.CANCEL_PENDING, _T.REJECTED): _S.REJECTED,
    # Until the broker confirms, the order still fills; the request stands for what is left.
    (_S.CANCEL_PENDING, _T.PARTIAL_FILL): _S.CANCEL_PENDING,
    (_S.CANCEL_PENDING, _T.FILL): _S.FILLED,
    (_S.CANCEL_PENDING, _T.CANCEL_REQUESTED): _S.CANCEL_PENDING,
    (_S.CANCEL_PENDING, _T.CANCELLED): _S.CANCELLED,
    (_S.CANCEL_PENDING, _T.REVERSED): _S.CANCEL_PENDING,
    # The acceptance was heard late, or the request crossed the last fill.
    (_S.FILLED, _T.ACCEPTED): _S.FILLED,
    (_S.FILLED, _T.CANCEL_REQUESTED): _S.FILLED,
    # More than was ordered.
    (_S.FILLED, _T.PARTIAL_FILL): _S.FILLED,
    (_S.FILLED, _T.FILL): _S.FILLED,
    # It is over with less than was ordered; where the fill was corrected the right one follows at once.
    (_S.FILLED, _T.REVERSED): _S.CANCELLED,
    (_S.CANCELLED, _T.REVERSED): _S.CANCELLED,
    (_S.CANCELLED, _T.ACCEPTED): _S.CANCELLED,
    (_S.CANCELLED, _T.CANCEL_REQUESTED): _S.CANCELLED,
    (_S.CANCELLED, _T.CANCELLED): _S.CANCELLED,
    # The fill came before the cancel and was told after it.
    (_S.CANCELLED, _T.PARTIAL_FILL): _S.CANCELLED,
    (_S.CANCELLED, _T.FILL): _S.FILLED,
    (_S.REJECTED, _T.REJECTED): _S.REJECTED,
    # A part had traded before the rest was refused.
    (_S.REJECTED, _T.REVERSED): _S.REJECTED,
    (_S.REJECTED, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.REJECTED, _T.FILL): _S.FILLED,
    # The broker has an order that we proved it had not: it is adopted, so that it can be cancelled.
    (_S.EXPIRED, _T.ACCEPTED): _S.WORKING,
    (_S.EXPIRED, _T.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.EXPIRED, _T.FILL): _S.FILLED,
}

#: Nothing more is expected of an order in one of these.
FINAL_STATES: Final = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED})
#: The broker has the order and nobody has asked to cancel it.
RESTING_STATES: Final = frozenset({_S.WORKING, _S.PARTIALLY_FILLED})


def next_state(state: OrderState, trigger: Trigger) -> OrderState:
    """Return the state after a trigger.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    try:
        return TABLE[state, trigger]
    except KeyError:
        raise IllegalTransitionError(f"an order that is {state} cannot become anything by {trigger}") from None


#: The legs that begin something, and not only lower what a strategy holds.
OPENING_LEGS: Final[frozenset[Leg]] = frozenset({"entry", "fund"})

#: What every order of a bot begins with at the broker; whatever does not is somebody else's.
ID_PREFIX: Final = "tb1-"


def is_own(order_id: str) -> bool:
    """Tell whether a client order id is one that a bot of this kind gives."""
    return order_id.startswith(ID_PREFIX)


def client_order_id(account: str, intent_id: str, leg: Leg, *, attempt: int) -> str:
    """Return the id an order has at the broker: the same inputs give the same 28 characters, always.

    `attempt` counts the orders of one leg from 1, and rises only when the one before is proven to be over.
    """
    text = f"{account}|{intent_id}|{leg}|{attempt}"
    digest, pairs = hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest(), _BASE32_PAIRS
    a, b, c = _FORTY_BITS.unpack(b"\0\0\0" + digest[:5] + b"\0\0\0" + digest[5:10] + b"\0\0\0" + digest[10:])
    return (
        f"{ID_PREFIX}{pairs[a >> 30]}{pairs[a >> 20 & _PAIR]}{pairs[a >> 10 & _PAIR]}{pairs[a & _PAIR]}"
        f"{pairs[b >> 30]}{pairs[b >> 20 & _PAIR]}{pairs[b >> 10 & _PAIR]}{pairs[b & _PAIR]}"
        f"{pairs[c >> 30]}{pairs[c >> 20 & _PAIR]}{pairs[c >> 10 & _PAIR]}{pairs[c & _PAIR]}"
    )


class Order(Struct, frozen=True, kw_only=True, gc=False):
    """One order as execution knows it.

    `paid` is the sum of price in micros times quantity in nanos; `ts_ns` is when it last changed.
    """

    prepared: OrderPrepared
    ts_ns: int
    state: OrderState = OrderState.PREPARED
    broker_order_id: str = ""
    filled_nanos: int = 0
    paid: int = 0
    execution_ids: tuple[str, ...] = ()

    @property
    def client_order_id(self) -> str:
        """Return its id at the broker."""
        return self.prepared.client_order_id

    @property
    def leg(self) -> Leg:
        """Return its part in the intent."""
        return self.prepared.leg

    @property
    def is_opening(self) -> bool:
        """Tell whether it needs the whole gate and is cancelled on a halt: an entry, or an order of the holdings."""
        return self.prepared.leg in OPENING_LEGS

    @property
    def is_open(self) -> bool:
        """Tell whether it may still fill, or be sent."""
        return self.state not in FINAL_STATES

    @property
    def is_resting(self) -> bool:
        """Tell whether the broker has it and no cancel was asked."""
        return self.state in RESTING_STATES

    @property
    def average_micros(self) -> int:
        """Return the average price of its fills, rounded down; 0 without fills."""
        return self.paid // self.filled_nanos if self.filled_nanos else 0

    def trigger_of_fill(self, qty_nanos: int) -> Trigger:
        """Return whether a fill of this quantity would leave a rest."""
        whole = self.filled_nanos + qty_nanos >= self.prepared.qty_nanos
        return Trigger.FILL if whole else Trigger.PARTIAL_FILL

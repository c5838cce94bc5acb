"""What Alpaca's answers mean: the table of order statuses, the table of outcomes, and amounts as integers. Pure.

Source: Alpaca "Trading API" 2.0.1 (OpenAPI of alpaca-mcp-server 2.4.0, read 2026-11), and answers of the paper API
recorded on 2026-10-08.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from bus.clock import NS_PER_SECOND
from bus.messages import MICROS, NANOS, PRICE_MICROS_MAX
from services.execution.brokers.interface import RetryableBrokerError, StopTradingError

NAME: Final = "ALPACA"
TEXT_MAX: Final = 400
ID_MAX: Final = 96
#: The code that says "no order of this id": the only proof that there is none.
NOT_FOUND_CODE: Final = 40410000
#: The code of a request that cannot be read as one, among others of a client id that was used before.
MALFORMED_CODE: Final = 40010001
_PERCENT: Final = 100
_AMOUNT_MAX: Final = 2**62
_DIGITS_MAX: Final = 18
_WORDS_MAX: Final = 300
_JSON_BYTES_MAX: Final = 10_000
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_BLOCKED: Final = re.compile(
    r"account[^.]{0,40}(?:blocked|restricted|closed|not authori[sz]ed|not active|inactive|disabled)"
    r"|^\W*(?:forbidden|unauthori[sz]ed)\W*$|not authori[sz]ed to trade|trading (?:is )?blocked",
    re.IGNORECASE,
)
T = TypeVar("T")


class Fate(StrEnum):
    """What an order's status means to execution."""

    RESTS = "it may still trade"
    FILLED = "it traded whole"
    OVER = "it will not trade any more"
    REFUSED = "the venue refused it after it was accepted"


#: Every status of an order. `calculated` waits for sums of money and says nothing of the order itself; `held` is a leg
#: that waits for its parent; `done_for_day` is the end of an order that is good for the day, and of one that is good
#: until it is cancelled only that of its day; `replaced` is the end of the old order: this bot replaces none, so it was
#: somebody else.
STATUS: Final[dict[str, Fate]] = {
    "new": Fate.RESTS,
    "partially_filled": Fate.RESTS,
    "filled": Fate.FILLED,
    "done_for_day": Fate.OVER,
    "canceled": Fate.OVER,
    "expired": Fate.OVER,
    "replaced": Fate.OVER,
    "pending_cancel": Fate.RESTS,
    "pending_replace": Fate.RESTS,
    "accepted": Fate.RESTS,
    "pending_new": Fate.RESTS,
    "accepted_for_bidding": Fate.RESTS,
    "stopped": Fate.RESTS,
    "rejected": Fate.REFUSED,
    "suspended": Fate.RESTS,
    "calculated": Fate.RESTS,
    "held": Fate.RESTS,
}

Outcome = Literal["accepted", "refused", "duplicate", "stop", "busy", "unknown"]


class Leg(Struct, frozen=True):
    """One leg of an order of several."""

    symbol: str = ""
    side: str = ""


class AlpacaOrder(Struct, frozen=True):
    """An order as Alpaca tells of it; what is not used here is left out."""

    id: str
    client_order_id: str = ""
    symbol: str = ""
    side: str | None = ""
    status: str = ""
    type: str = ""
    time_in_force: str = ""
    qty: Decimal | None = None
    filled_qty: Decimal | None = None
    stop_price: Decimal | None = None
    hwm: Decimal | None = None
    trail_percent: Decimal | None = None
    reject_reason: str | None = None
    submitted_at: str | None = None
    legs: list[Leg] | None = None

    @property
    def fate(self) -> Fate:
        """Return what its status means.

        Raises:
            RetryableBrokerError: the status is none that this version knows.
        """
        fate = STATUS.get(self.status)
        if fate is None:
            raise RetryableBrokerError(f"Alpaca gives the order {self.id} the status {self.status!r}: unknown here")
        is_for_later = self.status == "done_for_day" and self.time_in_force == "gtc"
        return Fate.RESTS if is_for_later else fate

    @property
    def may_rest(self) -> bool:
        """Tell whether it may still trade; so may one whose status is unknown here."""
        return self.status not in STATUS or self.fate is Fate.RESTS

    @property
    def filled_nanos(self) -> int:
        """Return how much of it has traded."""
        return scaled(self.filled_qty, NANOS)

    @property
    def traded_nanos_max(self) -> int | None:
        """Return how much of it can have traded; None where it was ordered by its value."""
        if not self.may_rest:
            return self.filled_nanos
        return None if self.qty is None else scaled(self.qty, NANOS)

    @property
    def stop_micros(self) -> int:
        """Return where its stop rests; of one that trails, reckoned from its best price where it is not told."""
        if self.stop_price is None and self.hwm is not None and self.trail_percent is not None:
            trail = self.trail_percent / _PERCENT
            return price(self.hwm * (1 - trail if self.side == "sell" else 1 + trail))
        return price(self.stop_price)


class Said(Struct, frozen=True):
    """What a refusal says."""

    code: int = 0
    message: str = ""


def decoded(body: bytes, kind: type[T]) -> T:
    """Read a body as what it has to be.

    Raises:
        RetryableBrokerError: it is not that: what it should have told is not known.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise RetryableBrokerError(
            f"Alpaca's answer of {len(body)} bytes cannot be read: {type(error).__name__}"
        ) from error


def said(body: bytes) -> Said | None:
    """Read a refusal; None when it is empty or no JSON object with words in it."""
    if len(body) > _JSON_BYTES_MAX:
        return None
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    code, message = told.get("code", 0), told.get("message")
    if not isinstance(message, str) or not message.strip():
        return None
    return Said(code if isinstance(code, int) else 0, message)


def words_of(status: int, body: bytes, secrets: Iterable[str]) -> str:
    """Return a refusal in one short line that may be shown: its number, its code and its words, without secrets."""
    told = said(body)
    text = told.message if told else ""
    for secret in secrets:
        text = text.replace(secret, "***")
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())[:_WORDS_MAX]
    code = f", code {told.code}" if told and told.code else ""
    return f"{line or 'no readable words'} (Alpaca {status}{code})"


def outcome_of_post(status: int, body: bytes) -> Outcome:
    """Return what an answer to a new order means; whatever is not certain is unknown.

    A refusal counts only with words of Alpaca's own: an empty body or a page may come from anything on the way.
    """
    if status in {200, 201}:
        return "accepted"
    if status == 429:
        return "busy"
    if status == 401:
        return "stop"
    told = said(body)
    if status not in {400, 403, 404, 422} or told is None:
        return "unknown"
    if status == 404 and told.code == 0:
        return "unknown"
    if "client_order_id must be unique" in told.message:
        return "duplicate"
    return "stop" if status == 403 and _BLOCKED.search(told.message) else "refused"


def checked(status: int, body: bytes, what: str, secrets: Iterable[str]) -> bytes:
    """Return the body of an answer to anything but a new order.

    Raises:
        StopTradingError: the keys are refused, or the account is blocked.
        RetryableBrokerError: any other answer but a success.
    """
    if status in {200, 201, 204, 207}:
        return body
    words = words_of(status, body, secrets)
    told = said(body)
    if status == 401 or (status == 403 and told is not None and _BLOCKED.search(told.message)):
        raise StopTradingError(refused_keys(words))
    raise RetryableBrokerError(f"Alpaca did not answer {what}: {words}")


def refused_keys(words: str) -> str:
    """Return what to do about keys or an account that Alpaca does not let in."""
    return (
        f"Alpaca does not let this bot in: {words}. Look at the account on Alpaca's page; if it is well, make new keys "
        "there and enter them as alpaca_trading_key and alpaca_trading_secret"
    )


def is_not_found(status: int, body: bytes) -> bool:
    """Tell whether Alpaca itself says that it has no such order; any other 404 proves nothing."""
    told = said(body) if status == 404 else None
    return told is not None and told.code == NOT_FOUND_CODE


def scaled(value: Decimal | None, scale: int) -> int:
    """Return an amount in its integer unit, rounded to it; nothing is 0.

    Raises:
        RetryableBrokerError: it is no number, or far from what money and shares can be.
    """
    if value is None:
        return 0
    if not value.is_finite() or value.adjusted() > _DIGITS_MAX or abs(value * scale) > _AMOUNT_MAX:
        raise RetryableBrokerError(f"Alpaca gives an amount that cannot be: {str(value)[:40]}")
    return round(value * scale)


def price(value: Decimal | None) -> int:
    """Return a price in micros.

    Raises:
        RetryableBrokerError: it is negative, or no price at all.
    """
    micros = scaled(value, MICROS)
    if not 0 <= micros <= PRICE_MICROS_MAX:
        raise RetryableBrokerError(f"Alpaca gives a price that cannot be: {str(value)[:40]}")
    return micros


def utc_ns_of(text: str) -> int:
    """Return a time with an offset in nanoseconds since 1970.

    Raises:
        RetryableBrokerError: it is no time.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise RetryableBrokerError(f"Alpaca gives a time that is none: {text[:40]!r}")
    day, clock, fraction, offset = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset == 'Z' else offset}")
    except ValueError as error:
        raise RetryableBrokerError(f"Alpaca gives a time that is none: {text[:40]!r}") from error
    return int(whole.astimezone(UTC).timestamp()) * NS_PER_SECOND + int((fraction or "").ljust(9, "0"))


def iso_seconds(utc_ns: int) -> str:
    """Write a time as Alpaca's filters read it: whole seconds, UTC, rounded down."""
    return datetime.fromtimestamp(utc_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What an operator tells of the account because the broker does not: money, a split, an exercise, an expiry. Pure.

It is booked like a broker's own report: positions and ledger follow. The id is made of what is told, so that the same
thing told twice counts once.
"""

from datetime import UTC, date, datetime, time
from hashlib import blake2b
from typing import Any, Final

from bus import messages as m
from bus.commands import Deciding, Outcome
from bus.instruments import is_option
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker
from services.execution.state import ExecutionState

_NS_PER_SECOND: Final = 1_000_000_000
_SYMBOL_MAX: Final = 32
#: What is told of a day that is longer ago than this is a slip of the pen.
_DAYS_MAX: Final = 400
#: Money of these kinds leaves the account.
_LEAVES: Final[frozenset[str]] = frozenset(
    {"WITHDRAWAL", "FEE", "MARGIN_INTEREST", "BORROW_FEE", "SHORT_DIVIDEND", "DATA_COST"}
)
_OF_A_SYMBOL: Final[frozenset[str]] = frozenset({"DIVIDEND", "SHORT_DIVIDEND"})
_POSITIONS: Final[frozenset[str]] = frozenset({"SPLIT", "EXERCISE", "EXPIRY"})


def on_request(request: m.TellActivity, broker: Broker, deciding: Deciding) -> Outcome:
    """Book what an operator tells, or say in words why not."""
    now_ns = deciding.now_ns or request.ts_init
    if refusal := _refusal(request, broker, now_ns):
        return Outcome(is_done=False, detail=refusal)
    report = _report(request, broker.name, now_ns)
    if isinstance(report, r.BrokerSplit) and (symbol := _bought_since(deciding.state, request, now_ns)):
        return Outcome(is_done=False, detail=f"{symbol} was bought on that day or later: what was bought then is split")
    if report.activity_id in deciding.state.activity_ids:
        return Outcome(is_done=False, detail="exactly this was told before")
    events = deciding.decided(report)
    if not events:
        return Outcome(is_done=False, detail=f"the bot holds no {request.symbol}")
    deciding.follow(events)
    return Outcome(is_done=True, detail=f"{request.kind} is told to the ledger, which books it.")


def _refusal(request: m.TellActivity, broker: Broker, now_ns: int) -> str:
    day = _day_of(request, now_ns)
    if day is None:
        return f"{request.day!r} is no day of the last {_DAYS_MAX} days: write it like 2025-03-12, or leave it empty"
    if len(request.symbol) > _SYMBOL_MAX:
        return f"{request.symbol[:_SYMBOL_MAX]} is too long for a symbol"
    if request.kind not in _POSITIONS:
        return _money_refusal(request, broker)
    if not request.symbol:
        return f"{request.kind} needs the symbol"
    if request.kind == "SPLIT":
        is_none = 0 in {request.numerator, request.denominator} or request.numerator == request.denominator
        return "a split needs two different numbers above zero: new shares for old ones" if is_none else ""
    if not is_option(request.symbol):
        return f"{request.symbol} is no option: write it like AAPL251219P00150000"
    whole = request.qty_nanos and request.qty_nanos % m.NANOS == 0
    return "" if whole else f"{request.kind} needs a whole number of contracts"


def _money_refusal(request: m.TellActivity, broker: Broker) -> str:
    if broker.tells_money:
        return f"{broker.name} tells of money itself: explain what is in suspense instead"
    if request.amount_micros <= 0:
        return "the amount must be above zero: its kind says whether it came or went"
    if request.kind in _OF_A_SYMBOL and not request.symbol:
        return f"{request.kind} needs the symbol that paid it"
    return ""


def _day_of(request: m.TellActivity, now_ns: int) -> date | None:
    today = datetime.fromtimestamp(now_ns // _NS_PER_SECOND, UTC).date()
    if not request.day:
        return today
    try:
        day = date.fromisoformat(request.day)
    except ValueError:
        return None
    return day if 0 <= (today - day).days <= _DAYS_MAX else None


def _bought_since(state: ExecutionState, request: m.TellActivity, now_ns: int) -> str:
    """Return the symbol where some of it was bought on the day of a split or later; the ledger would not book it."""
    day = str(_day_of(request, now_ns))
    held = [intent for intent in state.open_intents() if intent.symbol == request.symbol and intent.held_nanos > 0]
    return request.symbol if any(intent.session_date >= day for intent in held) else ""


def _report(request: m.TellActivity, broker: str, now_ns: int) -> r.BrokerActivity:
    day = _day_of(request, now_ns)
    assert day is not None  # _refusal() says so
    common: dict[str, Any] = {"ts_init": now_ns, "activity_id": _id_of(request, day), "broker": broker}
    # Whatever happened on a day is over at its end; but what is traded on the day of a split is split already.
    if request.kind == "SPLIT":
        return r.BrokerSplit(
            **common,
            ts_event=_ns(datetime.combine(day, time(), UTC)),
            symbol=request.symbol,
            numerator=request.numerator,
            denominator=request.denominator,
        )
    at_ns = min(_ns(datetime.combine(day, time(23, 59, 59), UTC)), now_ns)
    if request.kind == "EXERCISE":
        return r.BrokerExercise(**common, ts_event=at_ns, symbol=request.symbol, qty_nanos=request.qty_nanos)
    if request.kind == "EXPIRY":
        return r.BrokerExpiry(**common, ts_event=at_ns, symbol=request.symbol, qty_nanos=request.qty_nanos)
    amount = -request.amount_micros if request.kind in _LEAVES else request.amount_micros
    return r.BrokerCash(**common, ts_event=at_ns, kind=request.kind, amount_micros=amount, symbol=request.symbol)


def _id_of(request: m.TellActivity, day: date) -> str:
    parts = (
        *(request.kind, request.symbol, request.amount_micros, request.qty_nanos),
        *(request.numerator, request.denominator, day),
    )
    digest = blake2b("|".join(map(str, parts)).encode(), digest_size=10).hexdigest()
    return f"told-{request.kind.lower()}-{digest}"


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * _NS_PER_SECOND

"""Six limits on an entry, looked at once more right before it leaves, by nothing that risk has decided with.

A mistake in risk, or in the messages between, must not be enough to send a wrong order.
"""

from collections import deque
from decimal import Decimal
from typing import Final

from bus.instruments import notional_of
from bus.messages import OrderPrepared, Quote, QuoteBatch, SessionPlanned
from bus.quote_board import QuoteBoard
from services.execution import funds
from services.execution.quantities import shares
from services.execution.settings import EntryLimits
from services.execution.state import ExecutionState

_SECOND_NS: Final = 1_000_000_000
_MICROS: Final = 1_000_000
_PPM: Final = 1_000_000
_PPM_PER_PERCENT: Final = 10_000


class EntryChecks:
    """Remembers what this process has heard and sent, and says why an entry may not leave.

    Times are the session's, so that a recorded session is judged the same at every speed.
    """

    def __init__(self, limits: EntryLimits) -> None:
        self._limits = limits
        self._board = QuoteBoard()
        #: When the newest entries were sent, as many as a second may have.
        self._sent_ns: deque[int] = deque(maxlen=limits.per_second_max)
        #: The entry that was sent for each intent.
        self._sent: dict[str, str] = {}

    def hear(self, batch: QuoteBatch) -> None:
        """Keep the newest quotes."""
        self._board = self._board.heard(batch)

    def note_sent(self, entry: OrderPrepared, now_ns: int) -> None:
        """Note that an entry leaves now."""
        self._sent_ns.append(now_ns)
        self._sent[entry.intent_id] = entry.client_order_id

    def refusal(self, state: ExecutionState, entry: OrderPrepared, now_ns: int, *, is_external: bool) -> str | None:
        """Return why an entry may not leave now, or None when it may."""
        quote = self._board.quote_of(entry.symbol)
        if entry.leg == "fund":
            return (
                self._doubled(entry)
                or _restricted(state, entry.symbol, is_external=False)
                or funds.amount_refusal(state, entry, quote)
                or self._off_the_market(entry, quote, now_ns)
                or self._too_many(now_ns)
            )
        return (
            _outside_session(state.plan, now_ns)
            or self._doubled(entry)
            or _restricted(state, entry.symbol, is_external=is_external)
            or self._too_large(entry, quote)
            or self._off_the_market(entry, quote, now_ns)
            or self._too_many(now_ns)
        )

    def _doubled(self, entry: OrderPrepared) -> str | None:
        sent = self._sent.get(entry.intent_id, entry.client_order_id)
        return None if sent == entry.client_order_id else f"an entry of this intent was sent already: {sent}"

    def _too_large(self, entry: OrderPrepared, quote: Quote | None) -> str | None:
        limits = self._limits
        if not 0 < entry.qty_nanos <= limits.qty_max_nanos:
            return f"{shares(entry.qty_nanos)} shares: MAX_ORDER_SHARES is {shares(limits.qty_max_nanos)}"
        price = max(entry.limit_micros, entry.reference_micros, quote.ask_micros if quote else 0)
        cost = notional_of(entry.symbol, price, entry.qty_nanos)
        if cost <= limits.notional_max_micros:
            return None
        return f"${cost // _MICROS:,} for one entry: MAX_ORDER_NOTIONAL is ${limits.notional_max_micros // _MICROS:,}"

    def _off_the_market(self, entry: OrderPrepared, quote: Quote | None, now_ns: int) -> str | None:
        """Return why the price is not one of the market that this process has heard itself."""
        if quote is None or quote.ask_micros <= 0 or not 0 < quote.bid_micros <= quote.ask_micros:
            return f"{entry.symbol}: no sound quote was heard"
        age_ns = now_ns - quote.ts_event
        if age_ns > self._limits.quote_age_max_ns:
            return f"{entry.symbol}: its newest quote is {age_ns // _SECOND_NS} s old: see MAX_QUOTE_AGE"
        ask, most = quote.ask_micros, self._limits.collar_ppm
        prices = (price for price in (entry.limit_micros, entry.reference_micros) if price)
        if all(abs(price - ask) * _PPM <= most * ask for price in prices):
            return None
        percent = Decimal(most) / _PPM_PER_PERCENT
        return f"{entry.symbol}: its price is more than {percent} % from the newest ask: see EXECUTION_COLLAR"

    def _too_many(self, now_ns: int) -> str | None:
        most = self._limits.per_second_max
        # No more than a second may have are remembered: fewer of them are none too many, whenever they were.
        if len(self._sent_ns) < most or sum([now_ns - at_ns < _SECOND_NS for at_ns in self._sent_ns]) < most:
            return None
        return f"{most} entries were sent within a second: MAX_ORDERS_PER_SECOND allows no more"


def _outside_session(plan: SessionPlanned | None, now_ns: int) -> str | None:
    if plan is None or not plan.is_trading_day or now_ns < plan.open_ns:
        return "the session is not open"
    return "the session takes no entries any more" if now_ns >= min(plan.flatten_ns, plan.close_ns) else None


def _restricted(state: ExecutionState, symbol: str, *, is_external: bool) -> str | None:
    if is_external:
        return f"{symbol}: somebody else has an order or a position in it at the broker"
    asset = state.assets.get(symbol)
    if asset is None:
        return f"{symbol}: the broker has not said yet whether it may be traded"
    return None if asset.is_tradable else f"{symbol}: the broker does not let it be traded"

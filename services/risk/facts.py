"""What a check is: a question about a signal and the facts of its moment, and what it may find."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from bus.instruments import is_option, multiplier_of, notional_of
from bus.messages import NANOS, AssetLine, Quote, SignalRaised
from services.risk.day import Day
from services.risk.market import Market
from services.risk.settings import RiskSettings
from services.risk.sizing import FRACTION_STEP_NANOS, Means, Sizing, Wanted, size_entry
from services.risk.valuation import Valuation

PPM: Final = 1_000_000
#: What was found and the limit it broke, both in words.
Finding = tuple[str, str]


class Facts(Struct, frozen=True, kw_only=True, dict=True):
    """What is known at the moment of a signal; `now_ns` is session time. What is asked for twice is found once."""

    now_ns: int
    limits: RiskSettings
    day: Day
    market: Market
    valuation: Valuation

    @property
    def means(self) -> Means:
        """Return what there is to spend now; nothing while the account is unknown."""
        known: Means | None = self.__dict__.get("_means")
        if known is None:
            known = self.__dict__["_means"] = self._find_means()
        return known

    def _find_means(self) -> Means:
        account, value = self.day.account, self.valuation
        # What the holdings set aside for tax and payroll lies in the same account, and is nobody's to spend.
        spent = self.day.portfolio.cash_flow_micros - value.reserved_micros - self.day.reserved_micros
        return Means(
            start_equity_micros=self.day.start_equity_micros,
            allocated_micros=value.held_cost_micros + value.reserved_micros,
            cash_micros=account.cash_micros + spent if account else -value.reserved_micros,
            buying_power_micros=account.buying_power_micros + spent if account else -value.reserved_micros,
        )

    def quote_of(self, symbol: str) -> Quote | None:
        """Return a symbol's newest quote."""
        known: tuple[str, Quote | None] | None = self.__dict__.get("_quoted")
        if known is None or known[0] != symbol:
            known = self.__dict__["_quoted"] = symbol, self.market.quote_of(symbol)
        return known[1]

    def asset_of(self, symbol: str) -> AssetLine | None:
        """Return what the broker said of a symbol in this session; None when it said nothing."""
        return self.day.asset_of(symbol)

    def step_nanos(self, symbol: str) -> int:
        """Return the least quantity of a symbol: a share, or a fraction of it.

        FRACTIONAL_SHARES and the broker both have to allow a fraction; of an option there is none.
        """
        if not self.limits.is_fractional or is_option(symbol):
            return NANOS
        asset = self.asset_of(symbol)
        return FRACTION_STEP_NANOS if asset is not None and asset.is_fractionable else NANOS

    def symbol_nanos(self, symbol: str) -> int:
        """Return how many of a symbol there are: held and ordered by the bot, and in the account before it."""
        return self.valuation.nanos_of(symbol) + abs(self.day.portfolio.externals.get(symbol, 0))

    def size_of(self, signal: SignalRaised) -> Sizing:
        """Return how much of the signal's instrument the limits allow at the ask; nothing without a quote."""
        known: tuple[str, Sizing] | None = self.__dict__.get("_sized")
        if known is None or known[0] != signal.signal_id:
            quote = self.quote_of(signal.instrument)
            wanted = Wanted(
                ask_micros=quote.ask_micros * multiplier_of(signal.instrument) if quote else 0,
                trail_bps=signal.trail_bps,
                leverage=signal.leverage,
                step_nanos=self.step_nanos(signal.instrument),
                symbol_nanos=self.symbol_nanos(signal.instrument),
                premium_max_micros=self.limits.options.premium_max_micros if is_option(signal.instrument) else None,
            )
            known = self.__dict__["_sized"] = signal.signal_id, size_entry(self.limits, self.means, wanted)
        return known[1]

    def order_nanos(self, signal: SignalRaised) -> int:
        """Return what would be ordered: the size, or the least quantity where the limits together leave nothing."""
        return max(self.size_of(signal).qty_nanos, self.step_nanos(signal.instrument))

    def cost_micros(self, signal: SignalRaised) -> int:
        """Return what the order would cost at the ask; 0 without one."""
        known: tuple[str, int] | None = self.__dict__.get("_cost")
        if known is None or known[0] != signal.signal_id:
            quote, nanos = self.quote_of(signal.instrument), self.order_nanos(signal)
            cost = notional_of(signal.instrument, quote.ask_micros, nanos) if quote else 0
            known = self.__dict__["_cost"] = signal.signal_id, cost
        return known[1]


class Check(Struct, frozen=True, kw_only=True):
    """One row of the table: the rule's name, the settings behind it, and its question.

    `find` returns None to let the signal pass. It denies by itself when the fact it needs is missing, whatever ran
    before it. `needs_evidence`: it asks whether something bad is known, so without any fact it passes.
    """

    rule: str
    words: str
    find: Callable[[SignalRaised, Facts], Finding | None]
    settings: tuple[str, ...] = ()
    needs_evidence: bool = False


class Denial(Struct, frozen=True, kw_only=True, gc=False):
    """Why a signal does not become an order."""

    rule: str
    value: str
    limit: str

"""What a plug-in found, as messages: the signal that follows from it, or the rule by which none does."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from bus.inverse_etfs import InverseEtf, inverse_of, is_inverse_etf
from bus.messages import Direction, ExitSignalled, Message, Reason, SignalRaised, SignalSuppressed, StrategyName
from services.strategy.chains import Chains
from services.strategy.puts import choose_put
from services.strategy.settings import NS_PER_MINUTE, StrategySettings
from services.strategy.strategy import (
    ALL_SYMBOLS,
    IS_INVERSE_ETF,
    Context,
    Entry,
    Exit,
    Finding,
    NoEntry,
    Note,
    Silence,
)

#: The widest trailing stop that a message carries.
_TRAIL_BPS_MAX = 5_000
_TEXT_MAX = 400
#: How many puts that do not fit are told, the nearest strikes first.
_TOLD = 2


class SignalMaker(Struct, frozen=True, kw_only=True):
    """Turns what one strategy found in a minute into events."""

    strategy: StrategyName
    context: Context
    bar_end_ns: int
    settings: StrategySettings
    chains: Chains = Chains()

    def events(self, findings: Sequence[Finding]) -> list[Message]:
        """Return the events of these findings, in order; entries that may not be are left out."""
        events: list[Message] = []
        for finding in findings:
            match finding:
                case Note():
                    events.append(finding.message)
                case Silence():
                    events.append(silenced(self.context.plan.session_date, finding, self.context.now_ns))
                case Exit():
                    events.append(self._exit(finding))
                case Entry() | NoEntry() if self.context.may_enter:
                    events.append(self.entry(finding))
                case _:
                    # Outside of the signal window, or later than SIGNAL_TTL: no reason to trade now.
                    pass
        return events

    def entry(self, finding: Entry | NoEntry) -> SignalRaised | SignalSuppressed:
        """Return the signal of a name, or why there is none."""
        symbol = self._symbol(finding.row)
        if is_inverse_etf(symbol):
            detail = "It is an inverse ETF: it is bought on the signal of its underlying, never on its own"
            return self._suppressed(finding, rule=IS_INVERSE_ETF, detail=detail)
        if isinstance(finding, NoEntry):
            return self._suppressed(finding, rule=finding.rule, detail=finding.detail)
        if finding.direction == "BULLISH":
            return self._raised(finding, reference_micros=finding.close_micros, fund=None)
        return self._bearish(finding, symbol)

    def _bearish(self, finding: Entry, symbol: str) -> SignalRaised | SignalSuppressed:
        key, short_type = f"SHORT_TYPE_{self.strategy.upper()}", self.settings.short_type(self.strategy)
        if short_type == "LongPut":
            return self._put(finding, symbol, key)
        if short_type != "InverseETF":
            # SHORT_TYPE_* disabled: the operator does not want bearish positions.
            return self._suppressed(finding, rule="short_type_disabled", detail=f"{key} is {short_type}")
        most = self.settings.max_inverse_leverage
        fund = inverse_of(symbol, most)
        if fund is None:
            # SHORT_TYPE_* InverseETF, but no fund within MAX_INVERSE_LEVERAGE is the opposite of this name.
            known = f"no -{most}x fund" if most == 1 else f"no fund of -1x to -{most}x"
            detail = f"{key} is InverseETF, but {known} is known for {symbol}"
            return self._suppressed(finding, rule="no_inverse_etf", detail=detail)
        # The bars are the underlying's: what the fund costs is known to risk alone, from its quote.
        return self._raised(finding, reference_micros=0, fund=fund)

    def _put(self, finding: Entry, symbol: str, key: str) -> SignalRaised | SignalSuppressed:
        """Return the signal for the put that fits best, or why there is none."""
        context, date = self.context, self.context.plan.session_date
        contracts = self.chains.contracts(symbol, date, context.now_ns - self.settings.max_quote_age_ns)
        if contracts is None:
            # SHORT_TYPE_* LongPut, but the source has no options of this name, or is one without any.
            return self._suppressed(
                finding, rule="no_chain", detail=f"{key} is LongPut, but there is no chain of {symbol}"
            )
        age_ns, most_ns = self.chains.age_ns(symbol, context.now_ns), self.settings.put_chain_age_max_ns
        if self.settings.is_live and age_ns > most_ns:
            # PUT_CHAIN_AGE_MAX: what is open of a contract, and its delta, were true too long ago.
            detail = (
                f"{key} is LongPut, but the chain of {symbol} is {age_ns // NS_PER_MINUTE} minutes old, not at most "
                f"{most_ns // NS_PER_MINUTE}"
            )
            return self._suppressed(finding, rule="stale_chain", detail=detail)
        choice = choose_put(contracts, self.settings.puts, session_date=date, underlying_micros=finding.close_micros)
        if choice.chosen is None:
            told = "; ".join(
                f"{one.symbol}: {one.reason.value}, not {one.reason.threshold}" for one in choice.rejected[:_TOLD]
            )
            detail = f"{key} is LongPut, but none of {len(contracts)} puts fits: {told}"
            return self._suppressed(finding, rule="no_put", detail=detail)
        return replace(
            self._raised(finding, reference_micros=choice.chosen.ask_micros, fund=None),
            instrument=choice.chosen.symbol,
            # PUT_TRAILING_STOP: a premium moves many times as far as its underlying.
            trail_bps=self.settings.put_trail_bps,
            reasons=(*finding.reasons, *choice.reasons),
        )

    def _raised(self, finding: Entry, *, reference_micros: int, fund: InverseEtf | None) -> SignalRaised:
        context = self.context
        symbol, date = self._symbol(finding.row), context.plan.session_date
        leverage = fund.leverage if fund else 1
        return SignalRaised(
            ts_event=self.bar_end_ns,
            ts_init=context.now_ns,
            signal_id=signal_id(date, self.strategy, symbol, finding.direction),
            session_date=date,
            strategy=self.strategy,
            symbol=symbol,
            direction=finding.direction,
            instrument=fund.inverse if fund else symbol,
            reference_micros=reference_micros,
            # A fund that moves twice as far has its stop twice as far away, and risk buys half as much.
            trail_bps=min(finding.trail_bps * leverage, _TRAIL_BPS_MAX),
            expires_ns=context.now_ns + self.settings.signal_ttl_ns,
            exit_at_ns=context.windows.exit_at_ns,
            reasons=finding.reasons if leverage == 1 else (*finding.reasons, self._levered(leverage)),
            leverage=leverage,
        )

    def _levered(self, leverage: int) -> Reason:
        most = self.settings.max_inverse_leverage
        return Reason(rule="inverse_leverage", value=f"{leverage}x", threshold=f"at most {most}x", passed=True)

    def _suppressed(self, finding: Entry | NoEntry, *, rule: str, detail: str) -> SignalSuppressed:
        if isinstance(finding, Entry) and finding.reasons:
            first = finding.reasons[0]
            detail = f"{detail}; {first.value}, {first.threshold}"[:_TEXT_MAX]
        return SignalSuppressed(
            ts_event=self.bar_end_ns,
            ts_init=self.context.now_ns,
            session_date=self.context.plan.session_date,
            strategy=self.strategy,
            symbol=self._symbol(finding.row),
            direction=finding.direction,
            rule=rule,
            detail=detail,
        )

    def _exit(self, finding: Exit) -> ExitSignalled:
        symbol, date = self._symbol(finding.row), self.context.plan.session_date
        return ExitSignalled(
            ts_event=self.bar_end_ns,
            ts_init=self.context.now_ns,
            signal_id=signal_id(date, self.strategy, symbol, finding.direction),
            session_date=date,
            strategy=self.strategy,
            symbol=symbol,
            direction=finding.direction,
            detail=finding.detail,
            reasons=finding.reasons,
        )

    def _symbol(self, row: int) -> str:
        return self.context.watch.symbols[row]


def signal_id(session_date: str, strategy: StrategyName, symbol: str, direction: Direction) -> str:
    """Return the id of a strategy's one signal of the session for this name and side."""
    return f"{session_date}:{strategy}:{symbol}:{direction}"


def silenced(session_date: str, silence: Silence, now_ns: int) -> SignalSuppressed:
    """Return the message that a strategy raises nothing this session."""
    return SignalSuppressed(
        ts_event=now_ns,
        ts_init=now_ns,
        session_date=session_date,
        strategy=silence.strategy,
        symbol=ALL_SYMBOLS,
        direction="BULLISH",
        rule=silence.rule,
        detail=silence.detail,
    )

"""Which put to buy instead of selling a name short: a pure choice out of the broker's chain, every contract explained.

The chain is what the screener has listed before the session, with the newest quotes; SHORT_TYPE_* LongPut asks for it.
"""

from collections.abc import Sequence
from datetime import date

from msgspec import Struct

from bus.instruments import put_moneyness_ppm
from bus.messages import Reason
from services.strategy.arrays import PPM
from services.strategy.settings import PutRules
from services.strategy.wording import dollars, number, percent


class PutContract(Struct, frozen=True, kw_only=True):
    """One put of a chain. Prices are micro-dollars a share, 0 = that side is absent; `expiry` is YYYY-MM-DD.

    `delta_ppm` is the delta without its sign in parts per million; None where the broker gives none, as is
    `open_interest`.
    """

    symbol: str
    expiry: str
    strike_micros: int
    bid_micros: int
    ask_micros: int
    open_interest: int | None
    delta_ppm: int | None


class RejectedPut(Struct, frozen=True, kw_only=True):
    """A put that was not chosen, and the first rule that spoke against it."""

    symbol: str
    reason: Reason


class PutChoice(Struct, frozen=True, kw_only=True):
    """The put to buy with the rules it passed, or None; and every other contract in the order it was given."""

    chosen: PutContract | None
    reasons: tuple[Reason, ...]
    rejected: tuple[RejectedPut, ...]


class _Situation(Struct, frozen=True, kw_only=True):
    """What a contract is judged in."""

    rules: PutRules
    on: date
    underlying_micros: int
    has_deltas: bool


def choose_put(
    contracts: Sequence[PutContract], rules: PutRules, *, session_date: str, underlying_micros: int
) -> PutChoice:
    """Choose the put that passes every rule and comes nearest to PUT_DELTA_TARGET.

    Where no contract that passes has a delta, the strike stands for it. Among equals the narrower market wins, then the
    sooner expiry, the larger open interest, the lower strike and the symbol: the order of the chain never matters.
    """
    blank = _Situation(
        rules=rules, on=date.fromisoformat(session_date), underlying_micros=underlying_micros, has_deltas=False
    )
    judged = [(contract, _judge(contract, blank)) for contract in contracts]
    sound = [contract for contract, reasons in judged if all(reason.passed for reason in reasons)]
    situation = _Situation(
        rules=rules,
        on=blank.on,
        underlying_micros=underlying_micros,
        has_deltas=any(contract.delta_ppm is not None for contract in sound),
    )
    in_reach = [contract for contract in sound if _nearness(contract, situation) is not None]
    best = min(in_reach, key=lambda contract: _order(contract, situation), default=None)
    rejected = tuple(
        RejectedPut(symbol=contract.symbol, reason=_against(contract, reasons, best, situation))
        for contract, reasons in judged
        if contract is not best
    )
    if best is None:
        return PutChoice(chosen=None, reasons=(), rejected=rejected)
    passed = next(reasons for contract, reasons in judged if contract is best)
    return PutChoice(chosen=best, reasons=(*passed, _near_reason(best, situation, passed=True)), rejected=rejected)


def _judge(contract: PutContract, situation: _Situation) -> tuple[Reason, ...]:
    """Apply every rule that looks at one contract alone, in a fixed order.

    PUT_EXPIRY_MIN_DAYS, PUT_EXPIRY_MAX_DAYS, PUT_OPEN_INTEREST_MIN, PUT_SPREAD_MAX.
    """
    rules = situation.rules
    days = (date.fromisoformat(contract.expiry) - situation.on).days
    bid, ask = contract.bid_micros, contract.ask_micros
    is_two_sided = 0 < bid < ask
    spread_ppm = (ask - bid) * PPM // ask if is_two_sided else 0
    interest = contract.open_interest
    return (
        _reason(
            "expiry_min", f"{days} days", f"at least {rules.expiry_days_min}", passed=days >= rules.expiry_days_min
        ),
        _reason("expiry_max", f"{days} days", f"at most {rules.expiry_days_max}", passed=days <= rules.expiry_days_max),
        _reason(
            "open_interest",
            "unknown" if interest is None else f"{interest:,} contracts",
            f"at least {rules.open_interest_min:,}",
            passed=interest is not None and interest >= rules.open_interest_min,
        ),
        _reason("two_sided", f"bid {dollars(bid)}, ask {dollars(ask)}", "a bid below an ask", passed=is_two_sided),
        _reason(
            "spread",
            f"{percent(spread_ppm)} % of {dollars(ask)}" if is_two_sided else "unknown",
            f"at most {percent(rules.spread_max_ppm)} %",
            passed=is_two_sided and (ask - bid) * PPM <= ask * rules.spread_max_ppm,
        ),
    )


def _nearness(contract: PutContract, situation: _Situation) -> int | None:
    """Return how far a put is from the target in parts per million; None when that cannot be said."""
    target = situation.rules.delta_target_ppm
    if situation.has_deltas:
        return None if contract.delta_ppm is None else abs(contract.delta_ppm - target)
    if situation.underlying_micros <= 0:
        return None
    return abs(_moneyness_ppm(contract, situation) - put_moneyness_ppm(target))


def _moneyness_ppm(contract: PutContract, situation: _Situation) -> int:
    return contract.strike_micros * PPM // situation.underlying_micros


def _order(contract: PutContract, situation: _Situation) -> tuple[int, int, str, int, int, str]:
    bid, ask = contract.bid_micros, contract.ask_micros
    return (
        _nearness(contract, situation) or 0,
        (ask - bid) * PPM // ask,
        contract.expiry,
        -(contract.open_interest or 0),
        contract.strike_micros,
        contract.symbol,
    )


def _near_reason(contract: PutContract, situation: _Situation, *, passed: bool) -> Reason:
    target = situation.rules.delta_target_ppm
    if situation.has_deltas:
        value = "unknown" if contract.delta_ppm is None else f"delta {number(contract.delta_ppm, PPM)}"
        return _reason("delta", value, f"nearest to {number(target, PPM)}", passed=passed)
    if situation.underlying_micros <= 0:
        return _reason(
            "moneyness", "the underlying's price is unknown", "a price, where there is no delta", passed=passed
        )
    value = f"strike {percent(_moneyness_ppm(contract, situation))} % of {dollars(situation.underlying_micros)}"
    return _reason("moneyness", value, f"nearest to {percent(put_moneyness_ppm(target))} %", passed=passed)


def _against(
    contract: PutContract, reasons: Sequence[Reason], best: PutContract | None, situation: _Situation
) -> Reason:
    """Return the first rule against a contract; against one that passes them all, that another is chosen."""
    failed = next((reason for reason in reasons if not reason.passed), None)
    if failed is not None:
        return failed
    nearness = _nearness(contract, situation)
    if best is None or nearness is None or nearness != _nearness(best, situation):
        return _near_reason(contract, situation, passed=False)
    return _reason(
        "tie", f"as near as {best.symbol}", "spread, expiry, open interest, strike, symbol decide", passed=False
    )


def _reason(rule: str, value: str, threshold: str, *, passed: bool) -> Reason:
    return Reason(rule=rule, value=value, threshold=threshold, passed=passed)

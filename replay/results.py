"""What a run leaves: the figures of its outcome, and the tables of its output folder as rows of text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bus.clock import iso_utc
from bus.messages import (
    CandidatesRanked,
    OrderDenied,
    OrderExpired,
    OrderPrepared,
    OrderRejected,
    Reason,
    SignalRaised,
    SignalSuppressed,
)
from replay.choice import STRATEGIES
from replay.curves import Curves, curves
from replay.figures import money, ratio, shares
from replay.report import Trade, trades
from replay.run import Event, Outcome
from replay.stats import Stats, stats

Row = tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """The figures of one run; `of_strategy` has the enabled strategies and those that traded."""

    outcome: Outcome
    trades: list[Trade]
    curves: Curves
    whole: Stats
    of_strategy: dict[str, Stats]


def results(outcome: Outcome) -> Results:
    """Return the figures of a run."""
    env = outcome.prepared.env
    enabled = [name for name in STRATEGIES if env.flag(f"STRAT_{name.upper()}_ENABLED")]
    found = trades(outcome.events("execution"))
    lines = curves(outcome.days, enabled)
    return Results(
        outcome=outcome,
        trades=found,
        curves=lines,
        whole=stats(lines, lines.whole, found),
        of_strategy={
            name: stats(lines, curve, [trade for trade in found if trade.strategy == name])
            for name, curve in lines.by_strategy.items()
        },
    )


def absent(outcome: Outcome) -> dict[str, list[str]]:
    """Return the wanted names that have no data on a day that was played, by day."""
    wanted = outcome.prepared.env.words("MARKET_DATA_SYMBOLS")
    found = {day.plan.session_date: [name for name in wanted if name not in day.symbols] for day in outcome.days}
    return {day: names for day, names in found.items() if names}


def trade_rows(found: Sequence[Trade]) -> list[Row]:
    """Return a header and a row for each trade; times are UTC, prices and money dollars."""
    head = ("strategy", "symbol", "intent_id", "entered_utc", "left_utc", "shares", "entry_price", "exit_price",
            "fees", "pnl", "is_open", "exit_reason")  # fmt: skip
    return [
        head,
        *(
            (
                trade.strategy,
                trade.symbol,
                trade.intent_id,
                _utc(trade.entered_ns),
                _utc(trade.left_ns),
                shares(trade.bought_nanos),
                money(average_micros(trade, "BUY")),
                money(average_micros(trade, "SELL")),
                money(sum(fill.commission_micros for fill in trade.fills)),
                "" if trade.is_open else money(trade.pnl_micros),
                str(trade.is_open).lower(),
                "" if trade.is_open else trade.reason,
            )
            for trade in found
        ),
    ]


def average_micros(trade: Trade, side: str) -> int:
    """Return the average price of a trade's purchases or sales before fees, 0 without any."""
    fills = [fill for fill in trade.fills if fill.side == side]
    qty = sum(fill.qty_nanos for fill in fills)
    return sum(fill.price_micros * fill.qty_nanos for fill in fills) // qty if qty else 0


def fill_rows(found: Sequence[Trade]) -> list[Row]:
    """Return a header and a row for each fill of each trade."""
    head = ("time_utc", "execution_id", "client_order_id", "intent_id", "leg", "symbol", "side", "shares", "price",
            "fee")  # fmt: skip
    fills = sorted((fill for trade in found for fill in trade.fills), key=lambda fill: fill.execution_id)
    return [
        head,
        *(
            (
                iso_utc(fill.ts_event),
                fill.execution_id,
                fill.client_order_id,
                fill.intent_id,
                fill.leg,
                fill.symbol,
                fill.side,
                shares(fill.qty_nanos),
                money(fill.price_micros),
                money(fill.commission_micros),
            )
            for fill in fills
        ),
    ]


def signal_rows(outcome: Outcome) -> list[Row]:
    """Return a header and a row for each signal, with the numbers of each rule that made it."""
    signals = [event for event in outcome.events("strategy") if isinstance(event, SignalRaised)]
    head = ("time_utc", "session", "signal_id", "strategy", "symbol", "direction", "instrument", "reference_price",
            "trail_percent", "expires_utc", "exit_at_utc", "rules")  # fmt: skip
    return [
        head,
        *(
            (
                iso_utc(signal.ts_event),
                signal.session_date,
                signal.signal_id,
                signal.strategy,
                signal.symbol,
                signal.direction,
                signal.instrument,
                money(signal.reference_micros),
                ratio(signal.trail_bps, 100, 2) or "",
                iso_utc(signal.expires_ns),
                iso_utc(signal.exit_at_ns),
                rules_text(signal.reasons),
            )
            for signal in signals
        ),
    ]


def rules_text(reasons: Iterable[Reason]) -> str:
    """Write the rules of a signal with what was measured and against what."""
    return "; ".join(f"{reason.rule}: {reason.value} against {reason.threshold}" for reason in reasons)


def denied_rows(outcome: Outcome) -> list[Row]:
    """Return a header and a row for each name, signal or order that came to nothing, with the rule that decided."""
    head = ("time_utc", "session", "kind", "strategy", "symbol", "rule", "value", "limit")
    return [head, *(row for day in outcome.days for row in refusal_rows(day.plan.session_date, day.events))]


def without_candidates(outcome: Outcome) -> dict[str, str]:
    """Return the days on which the screener let no name through, each with its first rejection in words."""
    found = {}
    for day in outcome.days:
        for event in day.of("screener"):
            if isinstance(event, CandidatesRanked) and not event.candidates:
                rules = [f"{row[4]} by {row[5]}: {row[6]}" for row in _screened_out(day.plan.session_date, event)]
                found[day.plan.session_date] = f"{event.rejected_total} names screened out, such as {rules[0]}"
    return found


def _screened_out(session: str, ranked: CandidatesRanked) -> list[Row]:
    """Return the rules that names failed; the screener tells of the first fifty names."""
    return [
        ("", session, "screened out", "", rejection.symbol, reason.rule, reason.value, reason.threshold)
        for rejection in ranked.rejected
        for reason in rejection.reasons
        if not reason.passed
    ]


def refusal_rows(session: str, events: Sequence[Event]) -> list[Row]:
    """Return the rows of `denied_rows` for the events of one day, without the head."""
    orders = {event.client_order_id: event for _, event in events if isinstance(event, OrderPrepared)}
    rows: list[Row] = []
    for service, event in events:
        # What a strategy says before the day's first data has no time of its own.
        at = iso_utc(event.ts_event) if iso_utc(event.ts_event)[:10] == session else ""
        match event:
            case OrderDenied():
                rows.append((at, session, "denied", event.strategy, event.symbol, event.rule, event.value, event.limit))
            case SignalSuppressed():
                rows.append((at, session, "suppressed", event.strategy, event.symbol, event.rule, event.detail, ""))
            case CandidatesRanked() if service == "screener":
                rows.extend(_screened_out(session, event))
            case OrderRejected() | OrderExpired() if event.client_order_id in orders:
                order = orders[event.client_order_id]
                kind = "rejected" if isinstance(event, OrderRejected) else "expired"
                rows.append((at, session, kind, order.strategy, order.symbol, "broker", event.detail, ""))
            case _:
                pass
    return rows


def equity_rows(found: Curves) -> list[Row]:
    """Return a header and a row for each minute."""
    names = list(found.by_strategy)
    head = ("time_utc", "equity", "invested", *(f"pnl_{name}" for name in names))
    return [
        head,
        *(
            (
                iso_utc(ts_ns),
                money(equity),
                money(found.whole.invested[i]),
                *(money(found.by_strategy[name].pnl[i]) for name in names),
            )
            for i, (ts_ns, equity) in enumerate(zip(found.times, found.equity(), strict=True))
        ),
    ]


def day_rows(found: Curves) -> list[Row]:
    """Return a header and a row for each day: equity at the close, and each strategy's result of the day."""
    names = list(found.by_strategy)
    head = ("session", "equity", "pnl", *(f"pnl_{name}" for name in names))
    each = [found.day_pnl(found.by_strategy[name]) for name in names]
    return [
        head,
        *(
            (day, money(found.start_micros + found.whole.pnl[end - 1]), money(pnl), *(money(own[i]) for own in each))
            for i, (day, end, pnl) in enumerate(zip(found.days, found.ends, found.day_pnl(found.whole), strict=True))
        ),
    ]


def _utc(ts_ns: int) -> str:
    return iso_utc(ts_ns) if ts_ns else ""

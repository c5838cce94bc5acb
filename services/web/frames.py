"""What the browser is told: messages of the catalogue as plain JSON values. Pure.

Money is a string in dollars and a quantity a string in shares, exact to the last digit; times are integers in
milliseconds since 1970. A field's unit ending goes with the unit: `equity_micros` becomes `equity`, `ts_ns`
becomes `ts_ms`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from bus import messages as m
from bus.clock import iso_utc
from bus.instruments import notional_of

NS_PER_MS: Final = 1_000_000
_BPS: Final = 10_000
_SUFFIX_MICROS, _SUFFIX_NANOS, _SUFFIX_NS = "_micros", "_nanos", "_ns"

#: An account of many names is said with this many of them: an event is one sentence.
_POSITIONS_SAID_MAX: Final = 20
_BAD: Final = (m.HaltRaised, m.KillSwitchTripped, m.OrderRejected, m.EntrySuspended, m.OrderUnknown, m.FillReversed)
_WARN: Final = (m.OrderDenied, m.OrderExpired, m.SignalSuppressed, m.ChainDisarmed)


def decimal_text(scaled: int, scale: int, places_min: int = 0) -> str:
    """Return scaled integer / scale as exact decimal text, with at least `places_min` places.

    >>> decimal_text(-1_500_000, 1_000_000, 2)
    '-1.50'
    """
    whole, rest = divmod(abs(scaled), scale)
    places = str(rest).rjust(len(str(scale)) - 1, "0").rstrip("0").ljust(places_min, "0")
    sign = "-" if scaled < 0 else ""
    return f"{sign}{whole}.{places}" if places else f"{sign}{whole}"


def rounded(part: int, whole: int) -> int:
    """Return part / whole as the nearest integer, a half away from zero. `whole` is not 0.

    >>> rounded(-1_297_600, 100_000), rounded(5, 2)
    (-13, 3)
    """
    nearest = (2 * abs(part) + abs(whole)) // (2 * abs(whole))
    return -nearest if (part < 0) != (whole < 0) else nearest


def dollars(micros: int) -> str:
    """Return micro-dollars as dollars, at least two places."""
    return decimal_text(micros, m.MICROS, 2)


def grouped(text: str) -> str:
    """Return exact decimal text with its thousands apart, for people.

    >>> grouped("-1234567.5"), grouped("999")
    ('-1,234,567.5', '999')
    """
    whole, point, rest = text.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,d}{point}{rest}"


def shares(nanos: int) -> str:
    """Return billionths of a share as shares."""
    return decimal_text(nanos, m.NANOS)


def plain(value: Any) -> Any:
    """Return a catalogue struct, or a tuple of them, as JSON values with the units resolved."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        return dict(_named(field.name, getattr(value, field.name)) for field in fields)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _named(name: str, value: Any) -> tuple[str, Any]:
    if name in {"ts_event", "ts_init"}:
        return f"{name}_ms", value // NS_PER_MS
    if name.endswith(_SUFFIX_NS):
        return f"{name.removesuffix(_SUFFIX_NS)}_ms", value // NS_PER_MS
    for suffix, text in ((_SUFFIX_MICROS, dollars), (_SUFFIX_NANOS, shares)):
        if name.endswith(suffix):
            short = name.removesuffix(suffix)
            return short, [text(item) for item in value] if isinstance(value, tuple) else text(value)
    return name, plain(value)


def portfolio_view(
    snapshot: m.PortfolioSnapshot, stops: Mapping[str, m.StopLine], moved_ns: Mapping[str, int]
) -> dict[str, Any]:
    """Return the portfolio with the day's result and the used share of each limit in basis points.

    The loss is counted from the day's peak where the snapshot has one; `loss_line` is the equity where it ends. Each
    position has its stop from `stops`, and when that last moved from `moved_ns`; both are by intent id.
    """
    day_micros = snapshot.equity_micros - snapshot.start_equity_micros
    limit_micros = abs(snapshot.loss_limit_micros)
    return {
        **plain(snapshot),
        "day_pnl": dollars(day_micros),
        "day_pnl_bps": _share_bps(day_micros, snapshot.start_equity_micros),
        "allocation_used_bps": _share_bps(snapshot.allocated_micros, snapshot.allocation_limit_micros),
        "loss_used_bps": _share_bps(max(0, snapshot.peak_micros - day_micros), limit_micros),
        "loss_line": dollars(snapshot.start_equity_micros + snapshot.peak_micros - limit_micros),
        "at_risk": dollars(sum(at_risk_micros(one, stops.get(one.intent_id)) for one in snapshot.positions)),
        "positions": [
            position_view(one, stops.get(one.intent_id), moved_ns.get(one.intent_id, 0)) for one in snapshot.positions
        ],
    }


def position_view(line: m.PositionLine, stop: m.StopLine | None, moved_ns: int) -> dict[str, Any]:
    """Return a position with its protection: where the stop is, who keeps it, how far away it is and what is at risk.

    `room_bps` is the way from the last price down to the stop, `trail_bps` the whole way when the price is at its best;
    `uncovered` is what no stop covers.
    """
    covered = stop.broker_nanos + stop.bot_nanos if stop else 0
    return {
        **plain(line),
        "stop": dollars(stop.stop_micros) if stop else "0.00",
        "room_bps": _share_bps(line.last_micros - stop.stop_micros, line.last_micros) if stop else 0,
        "trail_bps": stop.trail_bps if stop else 0,
        "at_risk": dollars(at_risk_micros(line, stop)),
        "rests": _rests(stop),
        "uncovered": shares(max(0, line.qty_nanos - covered)),
        "moved_ms": moved_ns // NS_PER_MS,
    }


def at_risk_micros(line: m.PositionLine, stop: m.StopLine | None) -> int:
    """Return what is lost from the last price on when the stop is hit where it stands; all of it without a stop."""
    floor = stop.stop_micros if stop else 0
    return max(0, notional_of(line.symbol, max(0, line.last_micros - floor), line.qty_nanos))


def _rests(stop: m.StopLine | None) -> str:
    if stop is None:
        return ""
    if stop.broker_nanos and stop.bot_nanos:
        return "both"
    return "broker" if stop.broker_nanos else "bot"


def _share_bps(part: int, whole: int) -> int:
    return rounded(part * _BPS, whole) if whole else 0


def sentence(message: m.Message) -> str:
    """Return what a message says, in a sentence."""
    return _SENTENCES.get(type(message), _any_message)(message)


def event_line(message: m.Message, number: int) -> dict[str, Any]:
    """Return one line of the event log: number, time, level, kind, symbol and a sentence."""
    level = "bad" if isinstance(message, _BAD) else "warn" if isinstance(message, _WARN) else "info"
    return {
        "n": number,
        "ts_ms": message.ts_event // NS_PER_MS,
        "level": level,
        "kind": type(message).__name__,
        "symbol": str(getattr(message, "symbol", "")),
        "text": sentence(message),
    }


def _any_message(message: Any) -> str:
    return ", ".join(
        f"{name} {len(value) if isinstance(value, list) else value}"
        for name, value in plain(message).items()
        if name not in {"ts_event_ms", "ts_init_ms"} and value != ""
    )


def _planned(e: m.SessionPlanned) -> str:
    if not e.is_trading_day:
        return f"No session on {e.session_date}"
    opens, sells, closes = (iso_utc(at)[11:16] for at in (e.open_ns, e.flatten_ns, e.close_ns))
    half = ", a half day" if e.is_half_day else ""
    return f"Session of {e.session_date}{half}: {opens} to {closes} UTC, everything is sold at {sells}"


def _candidates(e: m.CandidatesRanked) -> str:
    scan = "" if e.scan_mode == "pre-market" else f" {e.scan_mode}"
    return f"{len(e.candidates)} candidates{scan}, {e.rejected_total} screened out, from {e.source}"


def _listed(e: m.OptionsListed) -> str:
    return f"{len(e.puts)} puts on {e.underlying} are listed"


def _signal(e: m.SignalRaised) -> str:
    # A bearish signal buys another name than it saw, so it knows no price for it.
    near = f" near ${dollars(e.reference_micros)}" if e.reference_micros else ""
    return f"{e.strategy}: {e.direction.lower()} {e.symbol}, buy {e.instrument}{near}"


def _exit(e: m.ExitSignalled) -> str:
    return f"{e.strategy}: sell what the {e.direction.lower()} signal on {e.symbol} bought, {e.detail}"


def _close(e: m.CloseIntent) -> str:
    return f"Exit of {e.intent_id} passed on. {e.reason}"


def _vix(e: m.VixObserved) -> str:
    if not e.vix_hundredths:
        return f"VIX unknown: {e.source}"
    return f"VIX {decimal_text(e.vix_hundredths, 100, 2)} at the close of {e.as_of_date}, from {e.source}"


def _submit(e: m.SubmitOrder) -> str:
    return f"Approved: {e.side} {shares(e.qty_nanos)} {e.symbol} {e.order_type}. {e.reason}"


def _denied(e: m.OrderDenied) -> str:
    return f"Denied: {e.side} {e.symbol} by {e.rule}: {e.value}, limit {e.limit}"


def _prepared(e: m.OrderPrepared) -> str:
    return f"{e.leg} order {e.client_order_id}: {e.side} {shares(e.qty_nanos)} {e.symbol} {e.order_type}"


def _filled(e: m.OrderFilled) -> str:
    part = f"{shares(e.cumulative_qty_nanos)} of {shares(e.order_qty_nanos)}"
    return f"{e.side} {shares(e.qty_nanos)} {e.symbol} at ${dollars(e.price_micros)} ({part}). {e.reason}"


def _suppressed(e: m.SignalSuppressed) -> str:
    return f"{e.strategy}: {e.direction.lower()} {e.symbol} suppressed by {e.rule}: {e.detail}"


def _tripped(e: m.KillSwitchTripped) -> str:
    # DAILY_LOSS_FROM=peak: the loss is counted from the day's best result, which is named.
    best = f", ${dollars(e.peak_micros - e.pnl_micros)} below its best of ${dollars(e.peak_micros)}"
    fall = best if e.peak_micros else ""
    return f"Kill switch: the day is at ${dollars(e.pnl_micros)}{fall}, the limit is ${dollars(e.limit_micros)}"


def _peaked(e: m.ResultPeaked) -> str:
    return f"The day's best result so far, rounded up: ${dollars(e.peak_micros)}. The loss limit is counted from it"


def _account(e: m.AccountReported) -> str:
    # A short position is below zero, and is said with its sign.
    pairs = zip(e.symbols, e.qtys_nanos, strict=True)
    positions = [f"{symbol} {shares(qty)}{' (short)' if qty < 0 else ''}" for symbol, qty in pairs]
    held = f"positions: {', '.join(positions[:_POSITIONS_SAID_MAX])}" if positions else "no positions"
    more = f" and {len(positions) - _POSITIONS_SAID_MAX} more" if len(positions) > _POSITIONS_SAID_MAX else ""
    money = f"${dollars(e.cash_micros)} cash, ${dollars(e.buying_power_micros)} buying power"
    return f"The account at {e.broker}: {money}, {held}{more}"


def _halt(e: m.HaltRaised) -> str:
    return f"Halt {e.counter} by {e.source}, rule {e.rule}: {e.detail}"


def _posted(e: m.EntryPosted) -> str:
    return f"Entry {e.seq} {e.event_type}: {e.description}"


def _cash(e: m.CashMoved) -> str:
    return f"{e.kind.lower()} ${dollars(e.amount_micros)} at {e.broker}"


_SENTENCES: Final[dict[type, Callable[[Any], str]]] = {
    m.SessionPlanned: _planned,
    m.CandidatesRanked: _candidates,
    m.OptionsListed: _listed,
    m.SignalRaised: _signal,
    m.ExitSignalled: _exit,
    m.CloseIntent: _close,
    m.VixObserved: _vix,
    m.SignalSuppressed: _suppressed,
    m.SubmitOrder: _submit,
    m.OrderDenied: _denied,
    m.OrderPrepared: _prepared,
    m.OrderFilled: _filled,
    m.KillSwitchTripped: _tripped,
    m.ResultPeaked: _peaked,
    m.AccountReported: _account,
    m.HaltRaised: _halt,
    m.EntryPosted: _posted,
    m.CashMoved: _cash,
}

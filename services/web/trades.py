"""Trades and their statistics, from what the bus said of each intent. Pure; money in micro-dollars, never float."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from bus import messages as m
from bus.instruments import notional_of
from bus.messages import LedgerCell
from services.web.frames import rounded
from services.web.traces import Trace

Grouping = Literal["strategy", "day", "month"]
_EXCHANGE: Final = ZoneInfo("America/New_York")
GROUPINGS: Final[tuple[Grouping, ...]] = ("strategy", "day", "month")


class Trade(Struct, frozen=True, kw_only=True):
    """One intent that bought something. `gain_micros` is after commissions; `closed_ns` 0 = still open.

    The gain is the ledger's where all its sales are booked (`is_booked`), otherwise reckoned from the fills.
    """

    intent_id: str
    strategy: str
    symbol: str
    session_date: str
    opened_ns: int
    closed_ns: int
    bought_nanos: int
    sold_nanos: int
    entry_micros: int
    exit_micros: int
    commission_micros: int
    gain_micros: int
    is_booked: bool
    why_in: str
    why_out: str

    @property
    def is_open(self) -> bool:
        """Tell whether something of it is still held."""
        return self.closed_ns == 0


class Line(Struct, frozen=True, kw_only=True):
    """The statistics of the closed trades of one group. Averages and the factor are None where nothing is to divide."""

    name: str
    trades: int
    open_trades: int
    wins: int
    losses: int
    gain_micros: int
    commission_micros: int
    best_micros: int
    worst_micros: int
    average_win_micros: int | None
    average_loss_micros: int | None
    win_bps: int | None
    profit_factor_hundredths: int | None


def trade_of(trace: Trace) -> Trade | None:
    """Return the trade that an intent became, None when it never bought anything."""
    fills = _fills(trace)
    bought = [fill for fill in fills if fill.side == "BUY"]
    sold = [fill for fill in fills if fill.side == "SELL"]
    if not bought:
        return None
    bought_nanos, sold_nanos = (sum(fill.qty_nanos for fill in side) for side in (bought, sold))
    is_over = sold_nanos >= bought_nanos
    gain, is_booked = _gain(trace, bought, sold)
    first = bought[0]
    return Trade(
        intent_id=trace.intent_id,
        strategy=first.strategy,
        symbol=first.symbol,
        session_date=first.session_date,
        opened_ns=first.ts_event,
        closed_ns=sold[-1].ts_event if is_over else 0,
        bought_nanos=bought_nanos,
        sold_nanos=sold_nanos,
        entry_micros=_average(bought),
        exit_micros=_average(sold),
        commission_micros=sum(fill.commission_micros for fill in fills),
        gain_micros=gain,
        is_booked=is_booked,
        why_in=first.reason,
        why_out=sold[-1].reason if sold else "",
    )


def booked_sales(rows: Iterable[Mapping[str, LedgerCell]]) -> list[Trade]:
    """Return each sale that stands in the books as a trade of its own; the day is New York's.

    `rows` are those of the ledger's answer to the question for trades. How an entry and its sales belong together is
    not in the books, so that an intent that was sold in two parts counts twice.
    """
    found = []
    for row in rows:
        if row["side"] != "SELL" or row["is_undone"] or not isinstance(row["gain"], int):
            continue
        at = datetime.fromisoformat(str(row["time_utc"]))
        found.append(
            Trade(
                intent_id=str(row["order_id"]),
                strategy=str(row["strategy"]),
                symbol=str(row["symbol"]),
                session_date=at.astimezone(_EXCHANGE).date().isoformat(),
                opened_ns=0,
                closed_ns=round(at.timestamp() * 1_000_000_000),
                bought_nanos=0,
                sold_nanos=0,
                entry_micros=0,
                exit_micros=0,
                commission_micros=sum(cost for name in ("commission", "fees") if isinstance(cost := row[name], int)),
                gain_micros=row["gain"],
                is_booked=True,
                why_in="",
                why_out=str(row["description"]),
            )
        )
    return found


def statistics(trades: Sequence[Trade], by: Grouping) -> list[Line]:
    """Return one line for each strategy, day or month, days and months newest first."""
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(_key(trade, by), []).append(trade)
    names = sorted(groups, reverse=by != "strategy")
    return [line_of(name, groups[name]) for name in names]


def line_of(name: str, trades: Sequence[Trade]) -> Line:
    """Return the statistics of some trades; open ones are counted and do not count."""
    closed = [trade for trade in trades if not trade.is_open]
    gains = [trade.gain_micros for trade in closed]
    wins, losses = [gain for gain in gains if gain > 0], [gain for gain in gains if gain < 0]
    return Line(
        name=name,
        trades=len(closed),
        open_trades=len(trades) - len(closed),
        wins=len(wins),
        losses=len(losses),
        gain_micros=sum(gains),
        commission_micros=sum(trade.commission_micros for trade in closed),
        best_micros=max(gains, default=0),
        worst_micros=min(gains, default=0),
        average_win_micros=m.round_to_cent(sum(wins), len(wins)) if wins else None,
        average_loss_micros=m.round_to_cent(sum(losses), len(losses)) if losses else None,
        win_bps=rounded(len(wins) * 10_000, len(closed)) if closed else None,
        profit_factor_hundredths=rounded(sum(wins) * 100, -sum(losses)) if losses else None,
    )


def _key(trade: Trade, by: Grouping) -> str:
    if by == "strategy":
        return trade.strategy
    return trade.session_date if by == "day" else trade.session_date[:7]


def _fills(trace: Trace) -> list[m.OrderFilled]:
    """Return each execution once, in order: a service that starts again may say one again."""
    found = {fill.execution_id: fill for fill in trace.messages if isinstance(fill, m.OrderFilled)}
    return sorted(found.values(), key=lambda fill: fill.ts_event)


def _average(fills: Sequence[m.OrderFilled]) -> int:
    nanos = sum(fill.qty_nanos for fill in fills)
    return sum(fill.price_micros * fill.qty_nanos for fill in fills) // nanos if nanos else 0


def _gain(trace: Trace, bought: Sequence[m.OrderFilled], sold: Sequence[m.OrderFilled]) -> tuple[int, bool]:
    """Return the gain of what was sold, and whether it is the ledger's own."""
    booked = _booked_gains(trace.messages)
    if sold and all(fill.execution_id in booked for fill in sold):
        return sum(booked[fill.execution_id] for fill in sold), True
    bought_nanos, sold_nanos = (sum(fill.qty_nanos for fill in side) for side in (bought, sold))
    paid = sum(notional_of(f.symbol, f.price_micros, f.qty_nanos) + f.commission_micros for f in bought)
    got = sum(notional_of(f.symbol, f.price_micros, f.qty_nanos) - f.commission_micros for f in sold)
    return got - paid * sold_nanos // bought_nanos, False


def _booked_gains(messages: Iterable[m.Message]) -> dict[str, int]:
    entries = (entry for entry in messages if isinstance(entry, m.EntryPosted))
    return {entry.trade.fill_id: entry.gain_micros for entry in entries if entry.trade is not None}

"""The figures of a run, whole and for each strategy, with the conventions behind them. Exact: integers and Decimal."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from bus.instruments import cash_of
from replay.curves import Curve, Curves
from replay.figures import money, ratio, rounded
from replay.report import Trade

#: Trading days in a year, by which the Sharpe ratio is annualised.
_DAYS_A_YEAR: Final = 252
CONVENTIONS: Final = {
    "net": "Result after fees in dollars: closed trades, and open ones marked at the last trade's price.",
    "gross_profit": "Sum of the results of closed trades that won, after fees.",
    "gross_loss": "Sum of the results of closed trades that did not win, after fees; negative or 0.",
    "win_rate": "Closed trades with a result above 0, as a share of all closed trades.",
    "profit_factor": "gross_profit / -gross_loss; null without a loss.",
    "max_drawdown": "Largest fall of the equity at minutes' ends below its highest before, in dollars.",
    "max_drawdown_ratio": "The largest such fall as a share of the highest equity before it.",
    "sharpe": (
        "Mean of the daily returns / their sample standard deviation x sqrt(252), risk-free rate 0; a day's return is "
        "its result / the account's equity at the close before. null with fewer than 2 days or without deviation."
    ),
    "exposure": "Share of the session's minutes at whose end a position is held.",
    "average_invested": "Mean market value of positions over all minutes / the capital at the start.",
    "turnover": "Value of all fills, purchases and sales, in dollars.",
    "turnover_ratio": "turnover / the capital at the start.",
    "fees": "Commissions of all fills in dollars.",
    "trades": "Trades that were entered; open_trades of them still hold shares at the end.",
}


class Stats(Struct, frozen=True, kw_only=True):
    """The figures of CONVENTIONS. Money and ratios are decimal text; None = not defined."""

    net: str
    gross_profit: str
    gross_loss: str
    win_rate: str | None
    profit_factor: str | None
    max_drawdown: str
    max_drawdown_ratio: str
    sharpe: str | None
    exposure: str
    average_invested: str
    turnover: str
    turnover_ratio: str
    fees: str
    trades: int
    open_trades: int


def stats(found: Curves, curve: Curve, trades: Sequence[Trade]) -> Stats:
    """Return the figures of one curve and the trades that made it."""
    closed = [trade.pnl_micros for trade in trades if not trade.is_open]
    won = [pnl for pnl in closed if pnl > 0]
    loss = sum(pnl for pnl in closed if pnl <= 0)
    fills = [fill for trade in trades for fill in trade.fills]
    turnover = sum(cash_of(fill.symbol, fill.price_micros, fill.qty_nanos) for fill in fills)
    fall, share = drawdown([found.start_micros + pnl for pnl in curve.pnl], found.start_micros)
    minutes = len(curve.pnl)
    return Stats(
        net=money(curve.pnl[-1] if curve.pnl else 0),
        gross_profit=money(sum(won)),
        gross_loss=money(loss),
        win_rate=ratio(len(won), len(closed)),
        profit_factor=ratio(sum(won), -loss),
        max_drawdown=money(fall),
        max_drawdown_ratio=rounded(share, 6),
        sharpe=sharpe(found, curve),
        exposure=ratio(sum(value > 0 for value in curve.invested), minutes) or "0",
        average_invested=ratio(sum(curve.invested), minutes * found.start_micros) or "0",
        turnover=money(turnover),
        turnover_ratio=ratio(turnover, found.start_micros) or "0",
        fees=money(sum(fill.commission_micros for fill in fills)),
        trades=len(trades),
        open_trades=len(trades) - len(closed),
    )


def drawdown(equity: Sequence[int], start: int) -> tuple[int, Decimal]:
    """Return the largest fall below the highest equity before, and the largest one as a share of that highest."""
    peak, fall, share = start, 0, Decimal(0)
    for value in equity:
        peak = max(peak, value)
        fall = max(fall, peak - value)
        if peak > 0:
            share = max(share, Decimal(peak - value) / Decimal(peak))
    return fall, share


def sharpe(found: Curves, curve: Curve) -> str | None:
    """Return the Sharpe ratio of a curve as CONVENTIONS defines it; None where it is not defined."""
    equity = [found.start_micros, *(found.start_micros + found.whole.pnl[end - 1] for end in found.ends)]
    returns = [
        Decimal(pnl) / Decimal(base) for pnl, base in zip(found.day_pnl(curve), equity, strict=False) if base > 0
    ]
    if len(returns) < 2:
        return None
    mean = sum(returns, Decimal(0)) / len(returns)
    variance = sum(((value - mean) ** 2 for value in returns), Decimal(0)) / (len(returns) - 1)
    return rounded(mean / variance.sqrt() * Decimal(_DAYS_A_YEAR).sqrt(), 4) if variance else None

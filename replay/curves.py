"""Equity minute by minute, whole and by strategy, from the fills and the last trades' prices.

A position is marked at the price of its symbol's last trade up to that minute's end, an option at its last bid; one
without any since the data began is marked at its own last fill. Cash moves by whole cents a fill, as the broker and the
ledger book it, less commissions. So the curve of an account without positions is the ledger's cash to the micro-dollar.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bus.clock import NS_PER_MINUTE
from bus.instruments import cash_of
from bus.messages import CashMoved, OrderFilled
from replay.run import DayRun


@dataclass
class Curve:
    """Result and market value at the end of each minute, in micro-dollars, from 0 at the start."""

    pnl: list[int] = field(default_factory=list)
    invested: list[int] = field(default_factory=list)


@dataclass
class Curves:
    """All curves of a run. `ends[i]` is the index just after day i's last minute; `times` are ends of minutes, UTC ns.

    `start_micros` is what was paid in; the account's equity is that and the sum of all results.
    """

    start_micros: int
    days: tuple[str, ...]
    times: list[int]
    ends: list[int]
    whole: Curve
    by_strategy: dict[str, Curve]

    def equity(self) -> list[int]:
        """Return the account's equity at the end of each minute."""
        return [self.start_micros + pnl for pnl in self.whole.pnl]

    def day_pnl(self, curve: Curve) -> list[int]:
        """Return what a curve gained on each day."""
        closes = [0, *(curve.pnl[end - 1] for end in self.ends)]
        return [after - before for before, after in pairwise(closes)]


@dataclass
class _Book:
    """What a strategy holds and what its fills moved in cash."""

    cash: int = 0
    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def take(self, fill: OrderFilled) -> None:
        amount = cash_of(fill.symbol, fill.price_micros, fill.qty_nanos)
        is_buy = fill.side == "BUY"
        self.cash += (-amount if is_buy else amount) - fill.commission_micros
        self.held[fill.symbol] += fill.qty_nanos if is_buy else -fill.qty_nanos
        if not self.held[fill.symbol]:
            del self.held[fill.symbol]

    def value(self, marks: dict[str, int]) -> int:
        return sum(cash_of(symbol, marks[symbol], qty) for symbol, qty in self.held.items())


def curves(days: Sequence[DayRun], strategies: Sequence[str]) -> Curves:
    """Return the curves of a run; `strategies` get one each, also without a fill."""
    events = [event for day in days for event in day.of("execution")]
    start = sum(event.amount_micros for event in events if isinstance(event, CashMoved))
    fills = [event for event in events if isinstance(event, OrderFilled)]
    names = [*strategies, *sorted({fill.strategy for fill in fills} - set(strategies))]
    found = Curves(start, tuple(day.plan.session_date for day in days), [], [], Curve(), {n: Curve() for n in names})
    books = {name: _Book() for name in names}
    marks: dict[str, int] = {}
    for day in days:
        _follow(found, day, books, marks)
        found.ends.append(len(found.times))
    return found


def _follow(found: Curves, day: DayRun, books: dict[str, _Book], marks: dict[str, int]) -> None:
    """Add one day's minutes to every curve."""
    minutes = (day.plan.close_ns - day.plan.open_ns) // NS_PER_MINUTE
    fills = [event for event in day.of("execution") if isinstance(event, OrderFilled)]
    taken = 0
    for minute in range(minutes):
        end_ns = day.plan.open_ns + (minute + 1) * NS_PER_MINUTE
        is_last = minute == minutes - 1
        while taken < len(fills) and (fills[taken].ts_event < end_ns or is_last):
            fill = fills[taken]
            marks.setdefault(fill.symbol, fill.price_micros)
            books[fill.strategy].take(fill)
            taken += 1
        marks |= {symbol: closes[minute] for symbol, closes in day.closes.items() if closes[minute]}
        found.times.append(end_ns)
        for name, book in books.items():
            value = book.value(marks)
            found.by_strategy[name].pnl.append(book.cash + value)
            found.by_strategy[name].invested.append(value)
        found.whole.pnl.append(sum(curve.pnl[-1] for curve in found.by_strategy.values()))
        found.whole.invested.append(sum(curve.invested[-1] for curve in found.by_strategy.values()))

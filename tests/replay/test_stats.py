"""Curves and figures, computed by hand from a few fills."""

import statistics
from decimal import Decimal

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, OrderFilled
from bus.testing import OPEN_NS, a_deposit, a_fill, a_plan
from replay.curves import Curve, Curves, curves
from replay.figures import dollars, money, ratio, shares
from replay.report import trades
from replay.run import DayRun
from replay.stats import drawdown, sharpe, stats

MINUTE_NS = 60 * NANOS
PLAN = replace(a_plan(), open_ns=OPEN_NS, close_ns=OPEN_NS + 5 * MINUTE_NS)


def _fill(side: str, price: int, minute: int, fee: int = 0) -> OrderFilled:
    """Ten shares, 30 seconds into a minute."""
    return replace(
        a_fill(f"{side}{minute}", side, dollars=price),
        qty_nanos=10 * NANOS,
        commission_micros=fee,
        ts_event=OPEN_NS + minute * MINUTE_NS + MINUTE_NS // 2,
    )


def _day(*fills: OrderFilled, closes: tuple[int, ...], paid_in: bool = True) -> DayRun:
    deposit = replace(a_deposit(), amount_micros=10_000 * MICROS)
    events = [deposit, *fills] if paid_in else list(fills)
    return DayRun(
        PLAN,
        tuple(("execution", event) for event in events),
        ("SPY",),
        {"SPY": tuple(close * MICROS for close in closes)},
        5,
    )


def _dollars(values: list[int]) -> list[str]:
    return [money(value) for value in values]


def test_a_curve_when_a_position_is_held_is_marked_at_the_last_trade() -> None:
    found = curves([_day(_fill("BUY", 100, 1), _fill("SELL", 103, 4), closes=(99, 101, 0, 98, 110))], ("open",))
    # Bought at 100 in minute 1; nothing traded in minute 2, so its mark stands; sold in minute 4.
    assert _dollars(found.whole.pnl) == ["0.00", "10.00", "10.00", "-20.00", "30.00"]
    assert _dollars(found.whole.invested) == ["0.00", "1010.00", "1010.00", "980.00", "0.00"]
    assert _dollars(found.equity()) == ["10000.00", "10010.00", "10010.00", "9980.00", "10030.00"]


def test_a_position_when_its_symbol_never_traded_is_marked_at_its_own_fill() -> None:
    found = curves([_day(_fill("BUY", 100, 0), closes=(0, 0, 0, 0, 0))], ())
    assert _dollars(found.whole.pnl) == ["0.00"] * 5


def test_a_position_when_held_over_night_goes_on_at_the_next_days_prices() -> None:
    first = _day(_fill("BUY", 100, 0), closes=(100, 100, 100, 100, 100))
    second = _day(closes=(0, 105, 0, 0, 90), paid_in=False)
    found = curves([first, second], ())
    assert _dollars(found.whole.pnl[5:]) == ["0.00", "50.00", "50.00", "50.00", "-100.00"]
    assert found.day_pnl(found.whole) == [0, -100 * MICROS]


def test_figures_when_computed_by_hand_are_these() -> None:
    first = [_fill("BUY", 100, 0, fee=MICROS), _fill("SELL", 110, 2, fee=MICROS)]
    second = [_fill("BUY", 100, 1, fee=MICROS), _fill("SELL", 95, 3, fee=MICROS)]
    second = [replace(fill, intent_id="other", execution_id=f"2{fill.execution_id}") for fill in second]
    days = [
        _day(*first, closes=(100, 104, 110, 110, 110)),
        _day(*second, closes=(110, 101, 90, 95, 95), paid_in=False),
    ]
    found = curves(days, ("open",))
    figures = stats(found, found.whole, trades([*first, *second]))
    assert figures.net == "46.00"
    assert (figures.gross_profit, figures.gross_loss) == ("98.00", "-52.00")
    assert figures.win_rate == "0.500000"
    assert figures.profit_factor == "1.884615"
    # From 10,098 - 1 + 10 at 101 dollars on the second day to 10,098 - 1 - 100 at 90.
    assert figures.max_drawdown == "110.00"
    assert figures.max_drawdown_ratio == str((Decimal(110) / Decimal(10_107)).quantize(Decimal("0.000001")))
    assert figures.exposure == "0.400000"
    assert figures.average_invested == ratio(1000 + 1040 + 1010 + 900, 10 * 10_000)
    assert (figures.turnover, figures.turnover_ratio) == ("4050.00", "0.405000")
    assert (figures.fees, figures.trades, figures.open_trades) == ("4.00", 2, 0)
    # Daily returns 98 / 10000 and -52 / 10098: mean and sample deviation by hand, times the root of 252.
    returns = [98 / 10_000, -52 / 10_098]
    by_hand = statistics.mean(returns) / statistics.stdev(returns) * 252**0.5
    assert float(figures.sharpe or 0) == pytest.approx(by_hand, abs=0.0001)


def test_figures_when_a_trade_is_open_count_it_in_the_net_and_not_in_the_rate() -> None:
    fill = _fill("BUY", 100, 0)
    found = curves([_day(fill, closes=(100, 102, 0, 0, 0))], ("open",))
    figures = stats(found, found.whole, trades([fill]))
    assert (figures.net, figures.win_rate, figures.profit_factor) == ("20.00", None, None)
    assert (figures.trades, figures.open_trades) == (1, 1)


def test_figures_when_nothing_was_traded_are_zero_or_undefined() -> None:
    found = curves([_day(closes=(1, 1, 1, 1, 1))], ("open",))
    for curve in (found.whole, found.by_strategy["open"]):
        figures = stats(found, curve, [])
        assert (figures.net, figures.turnover, figures.max_drawdown, figures.exposure) == (
            "0.00",
            "0.00",
            "0.00",
            "0.000000",
        )
        assert (figures.win_rate, figures.profit_factor, figures.sharpe) == (None, None, None)


def test_the_sharpe_ratio_when_the_returns_do_not_differ_is_undefined() -> None:
    found = Curves(MICROS, ("a", "b"), [1, 2], [1, 2], Curve([0, 0], [0, 0]), {})
    assert sharpe(found, found.whole) is None


@pytest.mark.parametrize(
    ("equity", "fall", "share"),
    [
        ([], 0, "0"),
        ([110, 120], 0, "0"),
        ([90], 10, "0.1"),
        ([150, 120, 200, 160], 40, "0.2"),
        ([50, 200, 140], 60, "0.5"),
    ],
)
def test_a_drawdown_when_the_equity_falls_is_measured_from_the_highest_before(
    equity: list[int], fall: int, share: str
) -> None:
    assert drawdown(equity, 100) == (fall, Decimal(share))


def test_figures_when_written_are_exact() -> None:
    assert [money(value) for value in (0, 1, -1, 1_230_000, -10_000_000)] == [
        "0.00",
        "0.000001",
        "-0.000001",
        "1.23",
        "-10.00",
    ]
    assert [shares(value) for value in (0, NANOS, NANOS // 2, 10 * NANOS)] == ["0", "1", "0.5", "10"]
    assert [dollars(value) for value in (0, -4_000, -5_000, -15_000, 1_234_567_890_000)] == [
        "$0.00", "$0.00", "$0.00", "-$0.02", "$1,234,567.89",
    ]  # fmt: skip
    assert (ratio(1, 0), ratio(2, 3), ratio(-1, 8, 2)) == (None, "0.666667", "-0.12")

"""The report of a simulation of the holdings: value, reserves and weights as charts, and the figures, in one page."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bus.messages import MICROS
from config.holdings import HoldingsSettings, percent_text
from replay.charts import Chart, Shape, chart, kept_points, money_axis, strategy_styles
from replay.figures import dollars
from replay.holdings_nights import NightResult, totals
from replay.page import figure, page, paragraph, section, table, tiles


def holdings_page(source: str, settings: HoldingsSettings, nights: Sequence[NightResult]) -> str:
    """Return the whole page."""
    targets = ", ".join(f"{target.symbol} {percent_text(target.weight_bps)} %" for target in settings.targets)
    rates = (
        f"float {percent_text(settings.float_bps)} %, tax {percent_text(settings.tax_bps)} %, payroll "
        f"{percent_text(settings.payroll_bps)} %, rebalance every {settings.rebalance_months} months"
    )
    figures = totals(nights)
    return page(
        "Long-term holdings, simulated",
        [
            "<h1>Long-term holdings, simulated</h1>",
            paragraph(f"{source}. {targets}; {rates}.", "soft"),
            tiles([figures[1], figures[2], figures[4], figures[5]]),
            *(section(drawn.title, figure(drawn.svgs, drawn.words)) for drawn in _charts(nights)),
            section("Figures", table("Money in dollars", [("figure", "value"), *figures])),
            section("Rebalances", table("What was sold and bought", _rebalance_rows(nights), tall=True)),
            paragraph(
                "The strategies' results are drawn at random; the reserve is an estimate, not tax advice.", "soft"
            ),
        ],
    )


def _charts(nights: Sequence[NightResult]) -> list[Chart]:
    value = [night.value_micros for night in nights]
    funds = [night.plan.after.holdings_micros for night in nights]
    cash = [night.plan.after.cash_micros for night in nights]
    tax, payroll = [night.tax_micros for night in nights], [night.payroll_micros for night in nights]
    drawn = [fund.symbol for fund in nights[0].plan.after.funds][: len(strategy_styles())]
    weights = {symbol: [_weight(night, place) for night in nights] for place, symbol in enumerate(drawn)}
    return [
        chart(
            "value",
            "Value of the account",
            f"Everything went from {dollars(value[0])} to {dollars(value[-1])}; {dollars(funds[-1])} of it in funds.",
            lambda figure, shape: _lines(figure, shape, nights, {"all": value, "funds": funds, "free cash": cash}),
        ),
        chart(
            "reserves",
            "Reserves",
            f"{dollars(tax[-1])} for tax and {dollars(payroll[-1])} for payroll were set aside; a reserve only grows.",
            lambda figure, shape: _lines(figure, shape, nights, {"tax": tax, "payroll": payroll}),
        ),
        chart(
            "weights",
            "Weights of the funds, %",
            "; ".join(f"{symbol} ends at {row[-1] / MICROS:.2f} %" for symbol, row in weights.items()) or "No fund.",
            lambda figure, shape: _lines(figure, shape, nights, weights),
        ),
    ]


def _weight(night: NightResult, place: int) -> int:
    """A fund's part of all funds, in millionths of a percent, so that it is drawn on the scale of money."""
    after = night.plan.after
    held = after.holdings_micros
    return after.funds[place].value_micros * 100 * MICROS // held if held else 0


def _lines(figure: Figure, shape: Shape, nights: Sequence[NightResult], rows: dict[str, list[int]]) -> None:
    axes = figure.subplots()
    for (name, values), style in zip(rows.items(), strategy_styles(), strict=False):
        kept = kept_points(values)
        axes.plot(kept, [values[i] / MICROS for i in kept], label=name, **style)
    axes.legend(loc="best", ncols=3)
    money_axis(axes)
    step = max(1, -(-len(nights) // shape.ticks))
    axes.set_xticks(range(0, len(nights), step), [night.day.isoformat()[:7] for night in nights[::step]])


def _rebalance_rows(nights: Sequence[NightResult]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("day", "sold", "bought", "set aside")]
    for night in nights:
        if not night.is_rebalance:
            continue
        sold = "; ".join(f"{leg.symbol} {dollars(leg.amount_micros)}" for step in night.plan.sales for leg in step.legs)
        bought = "; ".join(
            f"{leg.symbol} {dollars(leg.amount_micros)}" for step in night.plan.purchases for leg in step.purchase.legs
        )
        aside = sum(step.allocated.tax_micros + step.allocated.payroll_micros for step in night.plan.allocations)
        rows.append((night.day.isoformat(), sold or "-", bought or "-", dollars(aside)))
    return rows

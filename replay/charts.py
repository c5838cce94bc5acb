"""The report's charts as SVG text: drawn by matplotlib without a display, the same bytes each time.

Each chart is drawn twice, wide for a desk and narrow for a phone, so that its letters stay readable. Colours are
names of the page's CSS variables, so that a chart follows the page into dark mode. Numbers become floats here, and
only here: they are positions on paper.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bus.clock import NS_PER_MINUTE, iso_utc
from bus.messages import MICROS
from replay.curves import Curves
from replay.figures import dollars
from replay.report import Trade

#: Colours that stand for the page's variables; none of them is ever seen.
_INK: Final = {"#010101": "--ink", "#020202": "--soft", "#030303": "--line", "#040404": "--up", "#050505": "--down",
               "#060606": "--one", "#070707": "--two", "#080808": "--three", "#090909": "--panel"}  # fmt: skip
_TEXT, _SOFT, _LINE, _UP, _DOWN, _PANEL = "#010101", "#020202", "#030303", "#040404", "#050505", "#090909"
_STRATEGY_STYLES: Final = (("#060606", "-"), ("#070707", "--"), ("#080808", ":"))
_POINTS_MAX: Final = 1_500
_HATCHED_MAX: Final = 60
_STYLE: Final[Any] = {
    "svg.hashsalt": "replay", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 8.5,
    "text.color": _TEXT, "axes.labelcolor": _SOFT, "axes.edgecolor": _LINE, "xtick.color": _SOFT, "ytick.color": _SOFT,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": _LINE, "grid.linewidth": 0.6,
    "axes.grid": True, "axes.axisbelow": True, "lines.linewidth": 1.3, "legend.frameon": False,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """One of the two sizes in which a chart is drawn: inches, and how many days are named below it."""

    name: str
    width: float
    height: float
    ticks: int


SHAPES: Final = (Shape("wide", 8.6, 3.1, 8), Shape("narrow", 4.3, 3.1, 3))


@dataclass(frozen=True)
class Chart:
    """A chart for the page: `words` say what it shows to those who do not see it."""

    key: str
    title: str
    words: str
    svgs: dict[str, str]


def charts(found: Curves, trades: Sequence[Trade]) -> list[Chart]:
    """Draw every chart of a run."""
    equity = found.equity()
    falls = _falls(equity, found.start_micros)
    closed = [trade for trade in trades if not trade.is_open]
    pnl = found.day_pnl(found.whole)
    return [
        chart(
            "equity",
            "Equity and drawdown",
            f"Equity went from {dollars(found.start_micros)} to {dollars(equity[-1])}, between "
            f"{dollars(min(equity))} and {dollars(max(equity))}. "
            f"Its largest fall below an earlier high was {dollars(max(falls))}.",
            lambda figure, shape: _draw_equity(figure, shape, found, falls),
        ),
        chart(
            "days",
            "Result of each day",
            f"{sum(gain > 0 for gain in pnl)} of {len(pnl)} days ended higher. The best day made {dollars(max(pnl))}, "
            f"the worst {dollars(min(pnl))}.",
            lambda figure, shape: _draw_days(figure, shape, found),
        ),
        chart(
            "strategies",
            "Result by strategy",
            " ".join(f"{name} made {dollars(curve.pnl[-1])}." for name, curve in found.by_strategy.items())
            or "No strategy ran.",
            lambda figure, shape: _draw_strategies(figure, shape, found),
        ),
        chart(
            "trades",
            "Trades by time held",
            f"{len(closed)} closed trades: {sum(t.pnl_micros > 0 for t in closed)} won (triangles up), "
            f"{sum(t.pnl_micros <= 0 for t in closed)} did not (triangles down).",
            lambda figure, _shape: _draw_trades(figure, closed),
        ),
    ]


def chart(key: str, title: str, words: str, draw: Callable[[Figure, Shape], None]) -> Chart:
    """Draw one chart in each of its shapes.

    Args:
        key: makes its ids differ from those of other charts on the page.
        title: stands above it.
        words: say what it shows.
        draw: draws it into a figure.
    """
    svgs = {}
    for shape in SHAPES:
        with rc_context(_STYLE):
            figure = Figure(figsize=(shape.width, shape.height), layout="constrained")
            draw(figure, shape)
            out = io.StringIO()
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        svgs[shape.name] = _for_page(out.getvalue(), f"{key}-{shape.name}", f"{title}. {words}")
    return Chart(key, title, words, svgs)


def _for_page(text: str, prefix: str, words: str) -> str:
    """Make a drawing part of a page: no prolog, ids of its own, the page's colours and width, and a name."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    for colour, variable in _INK.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px system-ui, sans-serif", text)
    label = words.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    head = re.search(r'viewBox="[^"]+"', text)
    box = head[0] if head else ""
    return re.sub(
        r"<svg[^>]*>", f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{label}">', text, count=1
    )


def _draw_equity(figure: Figure, shape: Shape, found: Curves, falls: Sequence[int]) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    equity = found.equity()
    kept = kept_points(equity)
    above.plot(kept, [equity[i] / MICROS for i in kept], color=_STRATEGY_STYLES[0][0])
    deepest = kept_points([-fall for fall in falls])
    below.fill_between(deepest, [-falls[i] / MICROS for i in deepest], color=_DOWN, alpha=0.35, linewidth=0.8)
    above.set_ylabel("equity, $")
    below.set_ylabel("drawdown, $")
    money_axis(above)
    money_axis(below, ticks=2)
    above.tick_params(labelbottom=False)
    _time_axis(below, found, shape)


def _draw_days(figure: Figure, shape: Shape, found: Curves) -> None:
    axes = figure.subplots()
    gains = found.day_pnl(found.whole)
    places = range(len(gains))
    # The hatch tells a loss from a gain where colours do not; in thin bars it would look like gaps.
    bars = axes.bar(places, [gain / MICROS for gain in gains], color=[_UP if gain > 0 else _DOWN for gain in gains])
    for bar, gain in zip(bars, gains, strict=True):
        if gain <= 0 and len(gains) <= _HATCHED_MAX:
            bar.set_hatch("////")
            bar.set_edgecolor(_PANEL)
    zero_line(axes)
    axes.set_xlim(-max(0.6, 4 - len(gains)), len(gains) - 1 + max(0.6, 4 - len(gains)))
    axes.set_ylabel("result, $")
    money_axis(axes)
    step = max(1, -(-len(gains) // shape.ticks))
    axes.set_xticks(list(places)[::step], [_short(day, found) for day in found.days[::step]])


def _draw_strategies(figure: Figure, shape: Shape, found: Curves) -> None:
    axes = figure.subplots()
    for (name, curve), (colour, line) in zip(found.by_strategy.items(), _STRATEGY_STYLES, strict=False):
        kept = kept_points(curve.pnl)
        axes.plot(kept, [curve.pnl[i] / MICROS for i in kept], color=colour, linestyle=line, label=name)
    zero_line(axes)
    axes.set_ylabel("result so far, $")
    if found.by_strategy:
        axes.legend(loc="best", ncols=3)
    money_axis(axes)
    _time_axis(axes, found, shape)


def _draw_trades(figure: Figure, closed: Sequence[Trade]) -> None:
    axes = figure.subplots()
    for is_win, colour, marker in ((True, _UP, "^"), (False, _DOWN, "v")):
        some = [trade for trade in closed if (trade.pnl_micros > 0) == is_win]
        minutes = [(trade.left_ns - trade.entered_ns) / NS_PER_MINUTE for trade in some]
        gains = [trade.pnl_micros / MICROS for trade in some]
        axes.scatter(minutes, gains, s=16, marker=marker, color=colour, alpha=0.75, linewidths=0)
    zero_line(axes)
    axes.set_xlabel("minutes held")
    axes.set_ylabel("result, $")
    money_axis(axes)


def zero_line(axes: Axes) -> None:
    """Draw where neither gain nor loss is."""
    axes.axhline(0, color=_SOFT, linewidth=0.8)


def strategy_styles() -> tuple[dict[str, Any], ...]:
    """Return the colour and line of the first, second and third strategy; lines differ where colours do not."""
    return tuple({"color": colour, "linestyle": line} for colour, line in _STRATEGY_STYLES)


def money_axis(axes: Axes, ticks: int = 5) -> None:
    """Write dollars along the upright axis."""
    axes.yaxis.set_major_locator(MaxNLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _time_axis(axes: Axes, found: Curves, shape: Shape) -> None:
    """Name days below the minutes of all sessions, which follow each other without nights; of one day, hours."""
    if len(found.days) == 1:
        step = 60 if shape.ticks > 4 else 120
        places = list(range(step - 1, len(found.times), step))
        axes.set_xticks(places, [iso_utc(found.times[i])[11:16] for i in places])
        axes.set_xlabel("UTC")
        return
    starts = [0, *found.ends[:-1]]
    step = max(1, -(-len(starts) // shape.ticks))
    axes.set_xticks(starts[::step], [_short(day, found) for day in found.days[::step]])


def _short(day: str, found: Curves) -> str:
    return day[5:] if found.days[0][:4] == found.days[-1][:4] else day[2:]


def _falls(equity: Sequence[int], start: int) -> list[int]:
    """Return how far below its highest before the equity is at each minute."""
    peak, falls = start, []
    for value in equity:
        peak = max(peak, value)
        falls.append(peak - value)
    return falls


def kept_points(values: Sequence[int]) -> list[int]:
    """Return which points to draw: all, or of each stretch its lowest, highest and last, so that no extreme is lost."""
    if len(values) <= _POINTS_MAX:
        return list(range(len(values)))
    step = -(-len(values) * 3 // _POINTS_MAX)
    kept: set[int] = {0}
    for start in range(0, len(values), step):
        stretch = range(start, min(start + step, len(values)))
        kept |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__), stretch[-1]}
    return sorted(kept)

"""The report of a run: one page with its figures, charts, trades and refusals, and all it takes to run it again."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from bus.clock import iso_utc
from bus.messages import MICROS
from config.env_bot import BY_KEY
from replay.charts import charts
from replay.figures import dollars, shares
from replay.output import run_record
from replay.page import figure, folded, page, paragraph, section, table, tiles
from replay.report import Trade
from replay.results import Results, average_micros, denied_rows
from replay.stats import CONVENTIONS, Stats

_TRADES_MAX = 400


def html_report(found: Results) -> str:
    """Return the page; it needs nothing beside itself."""
    record = run_record(found)
    days = found.curves.days
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    drawn = charts(found.curves, found.trades)
    return page(
        f"Replay {span}",
        [
            f"<h1>Replay {span}</h1>",
            paragraph(
                f"{record['source']}. {len(days)} sessions, {len(record['symbols'])} symbols, {record['bars']:,} bars. "
                f"Capital at the start {dollars(found.curves.start_micros)}.",
                "soft",
            ),
            *_caution(found),
            tiles(_headline(found.whole)),
            *(section(chart.title, figure(chart.svgs, chart.words)) for chart in drawn),
            section("Figures", table("Money in dollars, after fees", figure_rows(found.whole, found.of_strategy))),
            folded("Days", table("Equity at each close, in dollars", _day_rows(found), tall=True)),
            folded("Trades", *_trades(found.trades)),
            folded("Screened out, denied and suppressed", table("How often each rule decided", _rule_rows(found))),
            folded("What was run", *_run_parts(found, record)),
            folded("How the figures are defined", table("Definitions", [("figure", "meaning"), *CONVENTIONS.items()])),
        ],
    )


def figure_rows(whole: Stats, of_strategy: dict[str, Stats]) -> list[tuple[str, ...]]:
    """Return a header and a row for each figure, with a column for all and for each strategy."""
    columns = {"all": whole, **of_strategy}
    rows = [("figure", *columns)]
    for name in whole.__struct_fields__:
        values = [getattr(stats, name) for stats in columns.values()]
        rows.append((name.replace("_", " "), *("-" if value is None else f"{Decimal(value):,}" for value in values)))
    return rows


def _caution(found: Results) -> list[str]:
    if found.outcome.prepared.env.word("MARKET_DATA_SOURCE") != "generated":
        return []
    return [
        paragraph("A generated market shows how the bot works. Results on it say nothing about real markets.", "soft")
    ]


def _headline(whole: Stats) -> list[tuple[str, str]]:
    return [
        ("Net result", dollars(int(Decimal(whole.net) * MICROS))),
        ("Trades", str(whole.trades)),
        ("Won", percent(whole.win_rate)),
        ("Profit factor", two_decimals(whole.profit_factor)),
        ("Largest drawdown", percent(whole.max_drawdown_ratio)),
        ("Sharpe (daily, annualised)", two_decimals(whole.sharpe)),
        ("Fees", dollars(int(Decimal(whole.fees) * MICROS))),
    ]


def percent(value: str | None) -> str:
    """Write a share as percent with two decimals; a dash where it is not defined."""
    return "-" if value is None else f"{Decimal(value) * 100:.2f} %"


def two_decimals(value: str | None) -> str:
    """Write a figure with two decimals; a dash where it is not defined."""
    return "-" if value is None else f"{Decimal(value):.2f}"


def _day_rows(found: Results) -> list[tuple[str, ...]]:
    equity = found.curves.equity()
    gains = found.curves.day_pnl(found.curves.whole)
    return [
        ("session", "result", "equity"),
        *(
            (day, dollars(gain), dollars(equity[end - 1]))
            for day, gain, end in zip(found.curves.days, gains, found.curves.ends, strict=True)
        ),
    ]


def _trades(found: Sequence[Trade]) -> list[str]:
    shown = found[-_TRADES_MAX:]
    rows = [
        ("entered, UTC", "strategy", "symbol", "shares", "entry", "exit", "result", "left, UTC", "reason"),
        *(
            (
                iso_utc(trade.entered_ns)[:19].replace("T", " "),
                trade.strategy,
                trade.symbol,
                shares(trade.bought_nanos),
                dollars(average_micros(trade, "BUY")),
                dollars(average_micros(trade, "SELL")) if trade.sold_nanos else "-",
                "open" if trade.is_open else dollars(trade.pnl_micros),
                iso_utc(trade.left_ns)[:19].replace("T", " ") if trade.left_ns else "-",
                "" if trade.is_open else trade.reason,
            )
            for trade in shown
        ),
    ]
    left_out = (
        [paragraph(f"The newest {_TRADES_MAX} of {len(found)}; all are in trades.csv.")]
        if len(found) > len(shown)
        else []
    )
    return [*left_out, table("Prices before fees", rows, tall=True)]


def _rule_rows(found: Results) -> list[tuple[str, ...]]:
    counted = Counter((row[2], row[3], row[5]) for row in denied_rows(found.outcome)[1:])
    return [("kind", "strategy", "rule", "times"), *((*key, str(times)) for key, times in sorted(counted.items()))]


def _run_parts(found: Results, record: dict[str, object]) -> list[str]:
    settings = found.outcome.prepared.settings
    changed = [(key, value, BY_KEY[key].proposal) for key, value in settings.items() if value != BY_KEY[key].proposal]
    names = ("version", "build", "data_sha256", "seed")
    missing, excluded = found.outcome.prepared.missing, found.outcome.prepared.excluded
    agreed = "; ".join(found.outcome.faults) or "cash and every position agree"
    facts = [(name.replace("_", " "), str(record[name])) for name in names]
    facts += [("days without data", ", ".join(missing) or "none"), ("days left out", ", ".join(excluded) or "none")]
    return [
        table("This run", [("what", "value"), *facts, ("broker against ledger", agreed)]),
        table("Settings that are not the proposals", [("setting", "value", "proposal"), *changed]),
    ]

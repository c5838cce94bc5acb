"""The report of a real session: trades as CSV and JSON, and a summary as a page with charts and as JSON."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bus.build import build_id
from bus.clock import NS_PER_MINUTE, iso_utc
from bus.instruments import cash_of
from bus.messages import (
    MICROS,
    CandidatesRanked,
    Message,
    OrderDenied,
    OrderPrepared,
    OrderRejected,
    SignalRaised,
)
from config.identity import Identity
from replay.charts import Chart, Shape, chart, money_axis, strategy_styles, zero_line
from replay.day_record import DayRecord
from replay.figures import dollars, money, ratio, shares
from replay.page import figure, folded, page, paragraph, section, table, tiles
from replay.report import Trade
from replay.results import Row, average_micros, refusal_rows

#: The columns that every trade line of the bot has, in this order.
TRADE_HEAD: Final[Row] = ("timestamp", "strategy_name", "ticker", "side", "size", "entry_price", "exit_price", "PnL",
                          "broker", "error_code", "opened_utc", "closed_utc", "fees", "exit_reason", "intent_id",
                          "entry_reason")  # fmt: skip
_REFUSAL_HEAD: Final[Row] = ("time_utc", "session", "kind", "strategy", "symbol", "rule", "value", "limit")
_MINUTES_A_DAY: Final = 1440
_Kind = TypeVar("_Kind", bound=Message)


class StrategyLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy did: money in dollars as text; `win_rate` of the closed trades, None without any."""

    strategy: str
    signals: int
    trades: int
    closed: int
    won: int
    win_rate: str | None
    pnl: str
    fees: str
    turnover: str
    denied: int


def strategy_lines(day: DayRecord) -> list[StrategyLine]:
    """Return a line for each strategy that traded, signalled or was denied, and last one for all."""
    told: list[SignalRaised | OrderDenied] = [*_of(day, SignalRaised), *_of(day, OrderDenied)]
    names = sorted({trade.strategy for trade in day.trades} | {event.strategy for event in told})
    return [_line(day, name) for name in (*names, "")]


def _line(day: DayRecord, name: str) -> StrategyLine:
    found = [trade for trade in day.trades if name in ("", trade.strategy)]
    signals = sum(name in ("", event.strategy) for event in _of(day, SignalRaised))
    denied = sum(name in ("", event.strategy) for event in _of(day, OrderDenied))
    closed = [trade for trade in found if not trade.is_open]
    fills = [fill for trade in found for fill in trade.fills if fill.session_date == day.session]
    won = sum(trade.pnl_micros > 0 for trade in closed)
    return StrategyLine(
        strategy=name or "all",
        signals=signals,
        trades=len(found),
        closed=len(closed),
        won=won,
        win_rate=ratio(won, len(closed), 4),
        pnl=money(sum(trade.pnl_micros for trade in closed)),
        fees=money(sum(fill.commission_micros for fill in fills)),
        turnover=money(sum(cash_of(fill.symbol, fill.price_micros, fill.qty_nanos) for fill in fills)),
        denied=denied,
    )


def trade_lines(day: DayRecord) -> list[Row]:
    """Return a row for each trade, and one for each order that the broker refused, with its words as error_code."""
    rows = [_trade_row(trade) for trade in day.trades]
    prepared = {order.client_order_id: order for order in _of(day, OrderPrepared)}
    for refused in _of(day, OrderRejected):
        order = prepared.get(refused.client_order_id)
        if order is not None:
            at = iso_utc(refused.ts_event)
            rows.append(
                (at, order.strategy, order.symbol, order.side, shares(order.qty_nanos), money(order.limit_micros), "",
                 "", "", refused.detail, "", "", "", "", order.intent_id, order.reason)
            )  # fmt: skip
    return sorted(rows, key=lambda row: row[0])


def _trade_row(trade: Trade) -> Row:
    first = trade.fills[0]
    entries = [fill for fill in trade.fills if fill.side == "BUY"]
    return (
        iso_utc(trade.left_ns or trade.entered_ns),
        trade.strategy,
        trade.symbol,
        "BUY" if trade.is_open else "SELL",
        shares(trade.bought_nanos),
        money(average_micros(trade, "BUY")),
        money(average_micros(trade, "SELL")) if trade.sold_nanos else "",
        "" if trade.is_open else money(trade.pnl_micros),
        first.broker,
        "",
        iso_utc(trade.entered_ns) if trade.entered_ns else "",
        "" if trade.is_open else iso_utc(trade.left_ns),
        money(sum(fill.commission_micros for fill in trade.fills)),
        "" if trade.is_open else trade.reason,
        trade.intent_id,
        entries[0].reason if entries else "",
    )


def summary(day: DayRecord, identity: Identity, books: Sequence[str] | None) -> dict[str, Any]:
    """Return the day in figures, as the summary's JSON has it.

    Args:
        day: what happened.
        identity: of which bot.
        books: where the broker's books and the ledger differ, in sentences; None = they were not compared here.
    """
    return {
        "session": day.session,
        "bot": identity.bot_identity,
        "build": build_id(),
        "by_strategy": strategy_lines(day),
        "trades": [dict(zip(TRADE_HEAD, row, strict=True)) for row in trade_lines(day)],
        "denied": [dict(zip(_REFUSAL_HEAD, row, strict=True)) for row in _refusals(day)],
        "slippage_basis_points": [f"{slip.basis_points:.2f}" for slip in day.slips],
        "latency_ms": [
            {"hop": hop.name, "count": hop.count, "p50": f"{hop.p50_ms:.3f}", "p99": f"{hop.p99_ms:.3f}",
             "max": f"{hop.max_ms:.3f}"}
            for hop in day.hops
        ],
        "incidents": day.incidents,
        "reconciliation": _books_words(books),
    }  # fmt: skip


def _books_words(books: Sequence[str] | None) -> str:
    if books is None:
        return "not compared here: the ledger compares itself with the broker's report"
    return "; ".join(books) or "cash, every position and every execution agree"


def write_report(day: DayRecord, identity: Identity, output: Path, books: Sequence[str] | None) -> list[Path]:
    """Write the four files of a session under the bot's output folder and return where they are.

    A file that is there already is replaced in one step: the same session may be reported again.

    Raises:
        OSError: a file cannot be written.
    """
    trades_folder, summaries = output / "trades", output / "summaries"
    for folder in (trades_folder, summaries):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = trade_lines(day)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([TRADE_HEAD, *rows])
    figures = summary(day, identity, books)
    written = {
        trades_folder / f"{day.session}.csv": text.getvalue().encode(),
        trades_folder / f"{day.session}.json": _json(figures["trades"]),
        summaries / f"{day.session}.json": _json(figures),
        summaries / f"{day.session}.html": day_page(day, identity, books).encode(),
    }
    for path, content in written.items():
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        part.chmod(0o600)
        part.replace(path)
    return list(written)


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def day_page(day: DayRecord, identity: Identity, books: Sequence[str] | None) -> str:
    """Return the summary as a page that needs nothing beside itself."""
    lines = strategy_lines(day)
    whole = lines[-1]
    drawn = [chart_of_results(day)] if any(not trade.is_open for trade in day.trades) else []
    return page(
        f"Session {day.session}",
        [
            f"<h1>Session {day.session}</h1>",
            paragraph(f"{identity.bot_identity}. All times are UTC.", "soft"),
            tiles(
                [
                    ("Result of closed trades", dollars(int(Decimal(whole.pnl) * MICROS))),
                    ("Trades", str(whole.trades)),
                    ("Won", f"{whole.won} of {whole.closed}"),
                    ("Denied", str(whole.denied)),
                    ("Fees", dollars(int(Decimal(whole.fees) * MICROS))),
                    ("Incidents", str(sum(i.what not in ("ChainArmed", "ChainDisarmed") for i in day.incidents))),
                ]
            ),
            *(section(one.title, figure(one.svgs, one.words)) for one in drawn),
            section("By strategy", table("Money in dollars, after fees", _strategy_rows(lines))),
            section("Trades", *_trades_part(day)),
            section("Books", paragraph(f"Broker and ledger: {_books_words(books)}.")),
            section("Incidents", *_incident_part(day)),
            folded("Denied, suppressed and refused", *_refusal_part(day)),
            folded("Slippage of entries", *_slip_part(day)),
            folded("Latency of the order path", *_hop_part(day)),
        ],
    )


def _strategy_rows(lines: Sequence[StrategyLine]) -> list[Row]:
    head = ("strategy", "result", "trades", "closed", "won", "signals", "denied", "fees", "turnover")
    return [head, *(_strategy_row(line) for line in lines)]


def _strategy_row(line: StrategyLine) -> Row:
    counts = (line.trades, line.closed, line.won, line.signals, line.denied)
    return (line.strategy, line.pnl, *(str(count) for count in counts), line.fees, line.turnover)


def _trades_part(day: DayRecord) -> list[str]:
    rows = trade_lines(day)
    if not rows:
        return [paragraph("Nothing was traded in this session.")]
    shown = ("ticker", "result", "strategy", "time", "size", "entry", "exit", "fees", "why it ended", "error")
    cells = [
        (
            row[2],
            row[7] or ("refused" if row[9] else "open"),
            row[1],
            row[0][11:19],
            *row[4:7],
            row[12],
            row[13],
            row[9],
        )
        for row in rows
    ]
    return [table("Each trade; prices in dollars a share", [shown, *cells], tall=True)]


def _incident_part(day: DayRecord) -> list[str]:
    if not day.incidents:
        return [paragraph("None.")]
    rows = [(i.at_utc[11:19], i.what, i.detail) for i in day.incidents]
    return [table("What a person should know of", [("time", "what", "detail"), *rows])]


def _refusals(day: DayRecord) -> list[Row]:
    # What the screener refuses belongs to the page of candidates: hundreds of names a day.
    return refusal_rows(day.session, [pair for pair in day.events if not isinstance(pair[1], CandidatesRanked)])


def _refusal_part(day: DayRecord) -> list[str]:
    rows = _refusals(day)
    if not rows:
        return [paragraph("Nothing was denied, suppressed or refused.")]
    return [table("Each refusal with the rule that decided", [_REFUSAL_HEAD, *rows], tall=True)]


def _slip_part(day: DayRecord) -> list[str]:
    if not day.slips:
        return [paragraph("No entry was filled.")]
    rows = [
        (
            s.symbol,
            s.strategy,
            shares(s.qty_nanos),
            money(s.quoted_micros),
            money(s.paid_micros),
            f"{s.basis_points:.2f}",
        )
        for s in day.slips
    ]
    mean = sum(slip.basis_points for slip in day.slips) / len(day.slips)
    words = f"On average entries were filled {mean:.2f} basis points above the ask that they were sized at."
    head = ("ticker", "strategy", "size", "quoted", "paid", "basis points")
    return [paragraph(words), table("Each fill of an entry against the quote", [head, *rows], tall=True)]


def _hop_part(day: DayRecord) -> list[str]:
    if not day.hops:
        return [paragraph("No order was made.")]
    rows = [(h.name, str(h.count), f"{h.p50_ms:.1f}", f"{h.p99_ms:.1f}", f"{h.max_ms:.1f}") for h in day.hops]
    words = "On the session's clock, in milliseconds. A replay's clock goes in steps, so there most of it is 0."
    return [paragraph(words, "soft"), table("Milliseconds", [("hop", "orders", "p50", "p99", "max"), *rows])]


def chart_of_results(day: DayRecord) -> Chart:
    """Draw how the result of closed trades grew over the day, for each strategy."""
    closed = sorted((trade for trade in day.trades if not trade.is_open), key=lambda trade: trade.left_ns)
    total = sum(trade.pnl_micros for trade in closed)
    won = sum(trade.pnl_micros > 0 for trade in closed)
    words = f"{len(closed)} trades closed, {won} of them with a gain; together {dollars(total)}."
    return chart("results", "Result of closed trades", words, lambda drawing, shape: _draw(drawing, shape, closed))


def _draw(drawing: Figure, shape: Shape, closed: Sequence[Trade]) -> None:
    axes: Axes = drawing.subplots()
    names = sorted({trade.strategy for trade in closed})
    for name, style in zip(names, strategy_styles(), strict=False):
        minutes, results = [], []
        total = 0
        for trade in closed:
            if trade.strategy == name:
                total += trade.pnl_micros
                minutes.append(trade.left_ns // NS_PER_MINUTE % _MINUTES_A_DAY)
                results.append(total / MICROS)
        axes.step([minutes[0], *minutes], [0.0, *results], where="post", label=name, **style)
        axes.plot(minutes, results, "o", markersize=3, color=style["color"])
    zero_line(axes)
    axes.set_ylabel("result so far, $")
    axes.legend(loc="best", ncols=3)
    money_axis(axes)
    first, last = (trade.left_ns // NS_PER_MINUTE % _MINUTES_A_DAY for trade in (closed[0], closed[-1]))
    # Whole half-hours, as many of them between two names as the width allows.
    step = 30 * max(1, -(-(last - first + 30) // (30 * shape.ticks)))
    places = list(range(first - first % 30, last + step, step))
    axes.set_xticks(places, [f"{place // 60 % 24:02d}:{place % 60:02d}" for place in places])
    axes.set_xlabel("UTC")


def _of(day: DayRecord, kind: type[_Kind]) -> list[_Kind]:
    return [event for _, event in day.events if isinstance(event, kind)]

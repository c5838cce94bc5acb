"""Answer questions about entries and trades from a ledger file: one page each, by SQL, so that no answer reads it all.

Rows are newest first. Money is in micro-dollars, units are text.
"""

import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from bus.clock import iso_utc
from bus.messages import AskLedger, LedgerCell, LedgerPage
from services.ledger import accounts
from services.ledger.ofx_text import units
from services.ledger.reading import Period

_ORDERS_MAX: Final = 50
_NS_END: Final = 2**63 - 1
#: An entry that was taken back, or that takes another back.
UNDONE: Final = "(t.reverses_seq IS NOT NULL OR EXISTS (SELECT 1 FROM tx AS r WHERE r.reverses_seq = t.seq))"
Row = tuple[LedgerCell, ...]


class QuestionError(Exception):
    """A question that cannot be answered as it is put; the message says what to ask instead."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What rows a question is about: SQL after FROM, with its parameters."""

    source: str
    where: tuple[str, ...]
    parameters: tuple[str | int, ...]

    @property
    def sql(self) -> str:
        """Return FROM and WHERE."""
        return f"FROM {self.source} WHERE {' AND '.join(self.where) or '1'}"


def period_of(ask: AskLedger) -> Period:
    """Return the days that a question is about; without a last day there is no end.

    Raises:
        QuestionError: a day is no day, or the first is after the last.
    """
    first, last = (_day(text) for text in (ask.first_day, ask.last_day))
    if first and last and first > last:
        raise QuestionError(f"The first day {first} is after the last day {last}. Give the earlier day first.")
    # The year 2261 is the last whose days fit into nanoseconds.
    return Period(first=first, last=last or date(2261, 12, 31))


def page_of(
    ask: AskLedger, columns: Sequence[str], rows_total: int, rows: Sequence[Row], **parts: object
) -> LedgerPage:
    """Return one page whose rows were already cut to it."""
    pages = max(1, -(-rows_total // ask.rows_max))
    whole = {
        "kind": ask.kind, "page": ask.page, "pages": pages, "rows_total": rows_total, "columns": tuple(columns),
        "rows": tuple(rows), **parts,
    }  # fmt: skip
    return LedgerPage(**whole)  # type: ignore[arg-type]  # the parts are totals and note alone


def cut(ask: AskLedger, columns: Sequence[str], rows: Sequence[Row], **parts: object) -> LedgerPage:
    """Return the page of rows that are all known."""
    begin = (ask.page - 1) * ask.rows_max
    return page_of(ask, columns, len(rows), rows[begin : begin + ask.rows_max], **parts)


def journal(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return lines of entries, each with the balance of its account and commodity after it."""
    where, parameters = _entry_filter(ask)
    if ask.account:
        where.append("p.account_code = ?")
        parameters.append(ask.account)
    for sign, bound in ((">=", ask.amount_min_micros), ("<=", ask.amount_max_micros)):
        if bound is not None:
            where.append(f"(p.commodity = '{accounts.CURRENCY}' AND abs(p.amount) {sign} ?)")
            parameters.append(bound)
    return _lines(db, ask, where, parameters)


def trace(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return every line that was booked for client order ids, given with commas between them."""
    orders = [part.strip() for part in ask.order.split(",") if part.strip()]
    if not 0 < len(orders) <= _ORDERS_MAX:
        raise QuestionError(f"Name 1 to {_ORDERS_MAX} client order ids, with commas between them.")
    marks = ", ".join("?" * len(orders))
    of_orders = f"SELECT tx_seq FROM trade_detail WHERE order_id IN ({marks})"  # noqa: S608 - marks only
    where = [f"(t.seq IN ({of_orders}) OR t.reverses_seq IN ({of_orders}))"]
    return _lines(db, ask, where, [*orders, *orders])


def entry(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return all that one entry is: its header, lines, lots, closes, and the trade as the broker told it."""
    columns = ("part", "name", "value", "account", "account_name", "commodity", "amount")
    found = db.execute("SELECT * FROM tx WHERE seq = ?", (ask.entry_seq,))
    names = [str(each[0]) for each in found.description]
    row = found.fetchone()
    if row is None:
        raise QuestionError(f"There is no entry {ask.entry_seq}.")
    rows: list[Row] = [("header", name, value, "", "", "", None) for name, value in zip(names, row, strict=True)]
    (taken_back,) = db.execute("SELECT max(seq) FROM tx WHERE reverses_seq = ?", (ask.entry_seq,)).fetchone()
    rows.append(("header", "reversed_by_seq", taken_back, "", "", "", None))
    for line_no, account, name, unit, amount, scale in db.execute(
        f"SELECT p.line_no, p.account_code, a.name, p.commodity, p.amount, c.scale FROM {_LINE_SOURCE} "  # noqa: S608 - parts of this module
        "WHERE t.seq = ? ORDER BY p.line_no",
        (ask.entry_seq,),
    ):
        rows.append(("line", str(line_no), None, account, name, unit, _amount(unit, amount, scale)))
    for table, key in (("lot", "open_tx"), ("lot_close", "tx_seq"), ("trade_detail", "tx_seq")):
        found = db.execute(f"SELECT * FROM {table} WHERE {key} = ?", (ask.entry_seq,))  # noqa: S608 - names above
        heads = [str(each[0]) for each in found.description]
        for number, values in enumerate(found, start=1):
            rows += [
                (f"{table} {number}", name, value, "", "", "", None) for name, value in zip(heads, values, strict=True)
            ]
    return cut(ask, columns, rows)


def trades(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return purchases and sales, with their sums; what was taken back is marked, and not in the sums."""
    where, parameters = _entry_filter(ask)
    if ask.order:
        where.append("d.order_id = ?")
        parameters.append(ask.order)
    wanted = Wanted(
        source="tx AS t JOIN trade_detail AS d ON d.tx_seq = t.seq", where=tuple(where), parameters=tuple(parameters)
    )
    columns = (
        "entry", "time_utc", "side", "symbol", "quantity", "price", "gross", "commission", "fees", "gain", "strategy",
        "leg", "order_id", "fill_id", "venue", "is_undone", "description",
    )  # fmt: skip
    found = db.execute(
        f"SELECT t.seq, t.occurred_at_ns, d.side, d.symbol, d.qty_nanos, d.price_micros, d.gross, d.commission, "
        f"d.fees, t.gain_micros, d.strategy, d.leg, d.order_id, d.fill_id, d.venue, {UNDONE}, t.description "
        f"{wanted.sql} ORDER BY t.seq DESC LIMIT ? OFFSET ?",
        (*wanted.parameters, *_limits(ask)),
    )
    rows: list[Row] = [
        (seq, iso_utc(at_ns), side, symbol, units(qty, accounts.SHARE_SCALE), *rest[:-2], bool(rest[-2]), rest[-1])
        for seq, at_ns, side, symbol, qty, *rest in found
    ]
    total, *sums = db.execute(
        "SELECT count(*), coalesce(sum(gross), 0), coalesce(sum(commission), 0), coalesce(sum(fees), 0), "  # noqa: S608 - parts of this module
        f"coalesce(sum(gain), 0) FROM (SELECT d.gross * (1 - u) AS gross, d.commission * (1 - u) AS commission, "
        f"d.fees * (1 - u) AS fees, t.gain_micros * (1 - u) AS gain FROM (SELECT t.seq AS of_seq, {UNDONE} AS u "
        f"{wanted.sql}) JOIN tx AS t ON t.seq = of_seq JOIN trade_detail AS d ON d.tx_seq = of_seq)",
        wanted.parameters,
    ).fetchone()
    sum_row: Row = (None, "", "", "", "", None, *sums, "", "", "", "", "", False, "Sum of those that stand")
    return page_of(ask, columns, total, rows, totals=(sum_row,))


def gains(db: sqlite3.Connection, ask: AskLedger) -> LedgerPage:
    """Return what each sale took from each lot, with what it gained, short-term and long-term sums."""
    where, parameters = _entry_filter(ask)
    where += ["c.kind IN ('SALE', 'EXPIRE')", f"NOT {UNDONE}"]
    wanted = Wanted(
        source="lot_close AS c JOIN lot AS l ON l.lot_id = c.lot_id JOIN tx AS t ON t.seq = c.tx_seq "
        "JOIN commodity AS m ON m.symbol = l.commodity",
        where=tuple(where),
        parameters=tuple(parameters),
    )
    columns = ("entry", "symbol", "quantity", "acquired_utc", "sold_utc", "term", "proceeds", "cost", "gain")
    found = db.execute(
        "SELECT t.seq, l.commodity, c.qty, m.scale, l.acquired_at_ns, t.occurred_at_ns, c.term, c.cost + c.gain, "
        f"c.cost, c.gain {wanted.sql} ORDER BY c.close_id DESC LIMIT ? OFFSET ?",
        (*wanted.parameters, *_limits(ask)),
    )
    rows: list[Row] = [
        (seq, commodity, units(qty, scale), iso_utc(acquired), iso_utc(sold), *rest)
        for seq, commodity, qty, scale, acquired, sold, *rest in found
    ]
    sums: dict[str, list[int]] = {"ST": [0, 0, 0, 0], "LT": [0, 0, 0, 0]}
    for term, *figures in db.execute(
        f"SELECT c.term, count(*), sum(c.cost + c.gain), sum(c.cost), sum(c.gain) {wanted.sql} GROUP BY c.term",
        wanted.parameters,
    ):
        sums[term] = figures
    totals: list[Row] = [(None, f"Total {term}", "", "", "", term, *figures[1:]) for term, figures in sums.items()]
    return page_of(ask, columns, sums["ST"][0] + sums["LT"][0], rows, totals=tuple(totals))


_LINE_SOURCE: Final = (
    "posting AS p JOIN tx AS t ON t.seq = p.tx_seq JOIN commodity AS c ON c.symbol = p.commodity "
    "LEFT JOIN coa_account AS a ON a.code = p.account_code AND a.version = t.coa_version"
)
_LINE_COLUMNS: Final = (
    "entry", "time_utc", "recorded_utc", "event_type", "symbol", "description", "line", "account", "account_name",
    "commodity", "amount", "balance", "source_event_id", "reverses_seq", "order_id",
)  # fmt: skip


def _lines(db: sqlite3.Connection, ask: AskLedger, where: Sequence[str], parameters: Sequence[str | int]) -> LedgerPage:
    wanted = Wanted(source=_LINE_SOURCE, where=tuple(where), parameters=tuple(parameters))
    (total,) = db.execute(f"SELECT count(*) {wanted.sql}", wanted.parameters).fetchone()
    found = db.execute(
        "SELECT t.seq, t.occurred_at_ns, t.recorded_at_ns, t.event_type, t.symbol, t.description, p.line_no, "  # noqa: S608 - parts of this module
        "p.account_code, coalesce(a.name, ''), p.commodity, p.amount, c.scale, t.source_event_id, t.reverses_seq, "
        "coalesce((SELECT order_id FROM trade_detail WHERE tx_seq = t.seq), '') "
        f"{wanted.sql} ORDER BY p.tx_seq DESC, p.line_no DESC LIMIT ? OFFSET ?",
        (*wanted.parameters, *_limits(ask)),
    ).fetchall()
    balances = _running(db, [(row[0], row[6], row[7], row[9]) for row in reversed(found)])
    rows: list[Row] = [
        (
            seq, iso_utc(at_ns), iso_utc(recorded_ns), *words, line, account, name, unit, _amount(unit, amount, scale),
            _amount(unit, balances[seq, line], scale), *rest,
        )
        for seq, at_ns, recorded_ns, *words, line, account, name, unit, amount, scale, _s, _r, _o in found
        for rest in ((_s, _r, _o),)
    ]  # fmt: skip
    return page_of(ask, _LINE_COLUMNS, total, rows)


def _running(db: sqlite3.Connection, lines: Sequence[tuple[int, int, str, str]]) -> dict[tuple[int, int], int]:
    """Return the balance after each line by (entry, line); `lines`: (entry, line, account, commodity), oldest first."""
    balances: dict[tuple[int, int], int] = {}
    so_far: dict[tuple[str, str], tuple[int, int, int]] = {}
    for seq, line, account, commodity in lines:
        after_seq, after_line, balance = so_far.get((account, commodity), (0, 0, 0))
        (moved,) = db.execute(
            "SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code = ? AND commodity = ? "
            "AND (tx_seq, line_no) > (?, ?) AND (tx_seq, line_no) <= (?, ?)",
            (account, commodity, after_seq, after_line, seq, line),
        ).fetchone()
        so_far[account, commodity] = seq, line, balance + moved
        balances[seq, line] = balance + moved
    return balances


def _entry_filter(ask: AskLedger) -> tuple[list[str], list[str | int]]:
    """The part of a filter that is about entries: days, symbol, text."""
    period = period_of(ask)
    where: list[str] = []
    parameters: list[str | int] = []
    if ask.first_day or ask.last_day:
        where.append("t.occurred_at_ns >= ? AND t.occurred_at_ns < ?")
        parameters += [period.start_ns, min(period.end_ns, _NS_END)]
    if ask.symbol:
        where.append("t.symbol = ?")
        parameters.append(ask.symbol)
    if ask.text:
        # Not LIKE: what a person types is no pattern.
        where.append("instr(lower(t.description || ' ' || t.symbol || ' ' || t.source_event_id), lower(?)) > 0")
        parameters.append(ask.text)
    if ask.entry_seq:
        where.append("t.seq = ?")
        parameters.append(ask.entry_seq)
    return where, parameters


def _limits(ask: AskLedger) -> tuple[int, int]:
    return ask.rows_max, (ask.page - 1) * ask.rows_max


def _amount(commodity: str, amount: int, scale: int) -> LedgerCell:
    return amount if commodity == accounts.CURRENCY else units(amount, scale)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise QuestionError(f"'{text}' is no day: write it as 2025-03-01.") from error

"""Work out the reports of a period from postings and lots: tables of exact figures. Pure.

Every figure is summed anew from the entries; nothing is taken from a stored total.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct

from bus.clock import iso_utc
from services.ledger import accounts
from services.ledger.ofx_text import number, units
from services.ledger.reading import Books, Entry, Period, utc_day
from services.ledger.trades import Trade, ticker, trades_in
from services.ledger.wash_sales import RULES, Rule, tax_view

Kind = Literal["text", "prose", "money", "number"]
Cell = str | int | None


class Column(Struct, frozen=True, kw_only=True):
    """A column: its key in JSON, its heading, and what it holds: money is in micro-dollars, all else is text."""

    key: str
    title: str
    kind: Kind = "text"


class Table(Struct, frozen=True, kw_only=True):
    """One report. A cell that is None is empty. `totals` are rows of their own, below a line."""

    key: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[tuple[Cell, ...], ...] = ()


def _money(key: str, title: str) -> Column:
    return Column(key=key, title=title, kind="money")


def _number(key: str, title: str) -> Column:
    return Column(key=key, title=title, kind="number")


def _text(key: str, title: str) -> Column:
    return Column(key=key, title=title)


def trial_balance_table(books: Books, period: Period, rule: Rule) -> Table:
    """Return what each account held before, took in and gave in the period, and held in the end."""
    before = _sums(books.until(period.start_ns))
    debits: defaultdict[str, int] = defaultdict(int)
    credits_: defaultdict[str, int] = defaultdict(int)
    for entry in books.within(period):
        for line in entry.lines:
            if line.commodity == accounts.CURRENCY:
                side = debits if line.amount > 0 else credits_
                side[line.account] += abs(line.amount)
    rows = []
    sums = [0] * 5
    for code in sorted(before.keys() | debits.keys() | credits_.keys()):
        closing = before[code] + debits[code] - credits_[code]
        figures = (before[code], debits[code], credits_[code], max(closing, 0), max(-closing, 0))
        sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
        rows.append((code, _name(books, code), *figures[:3], figures[3] or None, figures[4] or None))
    return Table(
        key="trial_balance",
        title="Trial balance",
        note="The columns of debits and credits are equal, and so are the two columns of balances.",
        columns=(
            _text("code", "Code"), _text("account", "Account"), _money("opening", "Opening, debit +"),
            _money("debits", "Debits"), _money("credits", "Credits"),
            _money("closing_debit", "Closing debit"), _money("closing_credit", "Closing credit"),
        ),
        rows=tuple(rows),
        totals=(("", "Total", *sums),),
    )  # fmt: skip


def units_table(books: Books, period: Period, rule: Rule) -> Table:
    """Return the units of each security in custody: before, in, out, after."""
    moved: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for entry in books.until(period.end_ns):
        for line in entry.lines:
            if line.account == accounts.UNITS_IN_CUSTODY:
                place = 0 if entry.occurred_ns < period.start_ns else 1 if line.amount > 0 else 2
                moved[line.commodity][place] += abs(line.amount) if place else line.amount
    rows = tuple(
        (ticker(name), *(_units(books, name, amount) for amount in (was, gained, given, was + gained - given)))
        for name, (was, gained, given) in sorted(moved.items())
        if was or gained or given
    )
    return Table(
        key="units",
        title="Units in custody",
        note="Shares, or contracts of an option.",
        columns=(
            _text("symbol", "Symbol"), _number("opening", "Opening"), _number("received", "In"),
            _number("given", "Out"), _number("closing", "Closing"),
        ),
        rows=rows,
    )  # fmt: skip


def income_statement(books: Books, period: Period, rule: Rule) -> Table:
    """Return income, expenses and the result of the period."""
    sums = _sums(books.within(period))
    income = _of_type(books, sums, "INCOME", sign=-1)
    expense = _of_type(books, sums, "EXPENSE", sign=1)
    earned, spent = (sum(amount for *_, amount in part) for part in (income, expense))
    return Table(
        key="income_statement",
        title="Income statement",
        note="Gains are economic: proceeds less cost, before commissions, which are expenses.",
        columns=(
            _text("section", "Section"), _text("code", "Code"), _text("account", "Account"), _money("amount", "Amount"),
        ),
        rows=(*(("Income", *row) for row in income), *(("Expenses", *row) for row in expense)),
        totals=(
            ("Income", "", "Total income", earned),
            ("Expenses", "", "Total expenses", spent),
            ("Result", "", "Result of the period", earned - spent),
        ),
    )  # fmt: skip


def balance_sheet(books: Books, period: Period, rule: Rule) -> Table:
    """Return what the account owned and owed at the end of the period, and whose it was."""
    sums = _sums(books.until(period.end_ns))
    earlier = _result(books, books.until(period.start_ns))
    result = _result(books, books.within(period))
    assets = _of_type(books, sums, "ASSET", sign=1)
    debts = _of_type(books, sums, "LIABILITY", sign=-1)
    equity = [*_of_type(books, sums, "EQUITY", sign=-1), ("", "Result before the period", earlier)]
    equity.append(("", "Result of the period", result))
    owned, owed, worth = (sum(amount for *_, amount in part) for part in (assets, debts, equity))
    return Table(
        key="balance_sheet",
        title="Balance sheet",
        note="Securities are at cost. Assets equal liabilities and equity.",
        columns=(
            _text("section", "Section"), _text("code", "Code"), _text("account", "Account"), _money("amount", "Amount"),
        ),
        rows=(
            *(("Assets", *row) for row in assets),
            *(("Liabilities", *row) for row in debts),
            *(("Equity", *row) for row in equity),
        ),
        totals=(
            ("Assets", "", "Total assets", owned),
            ("Liabilities and equity", "", "Total liabilities and equity", owed + worth),
        ),
    )  # fmt: skip


def realized_gains(books: Books, period: Period, rule: Rule) -> Table:
    """Return each lot that a sale of the period took from, with what it gained, as the ledger booked it."""
    rows = []
    sums = {"ST": [0, 0, 0], "LT": [0, 0, 0]}
    for entry in books.within(period):
        for close in entry.closed:
            if entry.seq in books.undone or not close.is_sale:
                continue
            lot = books.lots[close.lot_id]
            figures = (*books.sale_figures(close), close.gain)
            sums[close.term] = [total + figure for total, figure in zip(sums[close.term], figures, strict=True)]
            days = (str(utc_day(lot.acquired_ns)), str(utc_day(entry.occurred_ns)))
            qty = _units(books, lot.commodity, close.qty)
            rows.append((str(entry.seq), ticker(lot.commodity), qty, *days, close.term, *figures))
    return Table(
        key="realized_gains",
        title="Realized gains by lot",
        note=(
            "First in, first out. ST = held for a year or less, LT = longer. Before commissions. Splits and entries "
            "that were taken back are left out."
        ),
        columns=(
            _text("entry", "Entry"), _text("symbol", "Symbol"), _number("quantity", "Quantity"),
            _text("acquired", "Acquired"), _text("sold", "Sold"), _text("term", "Term"),
            _money("proceeds", "Proceeds"), _money("cost", "Cost"), _money("gain", "Gain"),
        ),
        rows=tuple(rows),
        totals=tuple(("", f"Total {term}", "", "", "", term, *figures) for term, figures in sums.items()),
    )  # fmt: skip


def tax_lots(books: Books, period: Period, rule: Rule) -> Table:
    """Return the sales of the period as lines of Form 8949, under one rule of wash sales."""
    lines = [li for li in tax_view(books, rule).lines if period.start_ns <= li.sold_ns < period.end_ns]
    rows = []
    sums = {"I": [0] * 4, "II": [0] * 4}
    for line in sorted(lines, key=lambda each: (each.is_long_term, each.sold_ns, each.close_id)):
        part = "II" if line.is_long_term else "I"
        figures = (line.proceeds, line.basis, line.disallowed, line.gain)
        sums[part] = [total + figure for total, figure in zip(sums[part], figures, strict=True)]
        what = f"{_units(books, line.commodity, line.qty)} {ticker(line.commodity)}"
        days = (str(utc_day(line.acquired_ns)), str(utc_day(line.sold_ns)))
        code = "W" if line.disallowed else ""
        rows.append((part, what, *days, *figures[:2], code, line.disallowed or None, line.gain))
    return Table(
        key="tax_lots",
        title="Sales as on Form 8949",
        note=(
            f"Rule {rule}. {RULES[rule]} Commissions are in the basis and off the proceeds. An estimate, not tax "
            "advice: purchases elsewhere, or up to 30 days after the last sale, can change it."
        ),
        columns=(
            _text("part", "Part"), _text("description", "(a) Description"), _text("acquired", "(b) Acquired"),
            _text("sold", "(c) Sold"), _money("proceeds", "(d) Proceeds"), _money("basis", "(e) Basis"),
            _text("code", "(f) Code"), _money("adjustment", "(g) Adjustment"), _money("gain", "(h) Gain or loss"),
        ),
        rows=tuple(rows),
        totals=tuple(
            (part, f"Total part {part}", "", "", proceeds, basis, "", adjustment, gain)
            for part, (proceeds, basis, adjustment, gain) in sums.items()
        ),
    )  # fmt: skip


def wash_sales_table(books: Books, period: Period, rule: Rule) -> Table:
    """Return each loss of the period that does not count, and the lot to which it goes."""
    rows = []
    total = 0
    sales = {close.close_id: entry for entry in books.entries for close in entry.closed}
    for each in tax_view(books, rule).adjustments:
        sale = sales[each.loss_close_id]
        if period.start_ns <= sale.occurred_ns < period.end_ns:
            lot = books.lots[each.replacement_lot_id]
            total += each.disallowed
            rows.append((
                str(sale.seq), str(utc_day(sale.occurred_ns)), str(lot.open_tx), str(utc_day(lot.acquired_ns)),
                f"{_units(books, lot.commodity, each.qty)} {ticker(lot.commodity)}",
                each.disallowed, str(each.holding_days_added),
            ))  # fmt: skip
    return Table(
        key="wash_sales",
        title="Wash sales",
        note=f"Rule {rule}. The loss is added to the basis of the replacement, and the days to its holding period.",
        columns=(
            _text("sale_entry", "Sale"), _text("sold", "Sold"), _text("purchase_entry", "Purchase"),
            _text("purchased", "Purchased"), _text("replacement", "Replacement"),
            _money("disallowed", "Loss disallowed"), _number("days_added", "Days added"),
        ),
        rows=tuple(rows),
        totals=(("", "Total", "", "", "", total, ""),),
    )  # fmt: skip


def trade_list(books: Books, period: Period, rule: Rule) -> Table:
    """Return every purchase and sale of the period, by time."""
    trades = trades_in(books, books.within(period))
    sums = [sum(figure) for figure in zip(*(_trade_money(trade) for trade in trades), strict=True)] or [0] * 5
    return Table(
        key="trades",
        title="Trades",
        note="Cash: received +, paid -. The price is worked out from what was paid and the quantity.",
        columns=(
            _text("entry", "Entry"), _text("time_utc", "Time (UTC)"), _text("side", "Side"), _text("symbol", "Symbol"),
            _number("quantity", "Quantity"), _number("price", "Price"), _money("gross", "Gross"),
            _money("commission", "Commission"), _money("fees", "Fees"), _money("cash", "Cash"), _money("gain", "Gain"),
            Column(key="description", title="Description", kind="prose"),
        ),
        rows=tuple(_trade_row(books, trade) for trade in trades),
        totals=(("", "", "", f"{len(trades)} trades", "", "", *sums, ""),),
    )  # fmt: skip


Maker = Callable[[Books, Period, Rule], Table]
#: The reports by their names, in the order in which they are shown.
REPORTS: Final[dict[str, Maker]] = {
    "income-statement": income_statement,
    "balance-sheet": balance_sheet,
    "trial-balance": trial_balance_table,
    "units": units_table,
    "realized-gains": realized_gains,
    "tax-lots": tax_lots,
    "wash-sales": wash_sales_table,
    "trades": trade_list,
}


def _trade_row(books: Books, trade: Trade) -> tuple[Cell, ...]:
    qty = _units(books, trade.commodity, abs(trade.units))
    side = "BUY" if trade.units > 0 else "SELL"
    return (
        str(trade.entry.seq), iso_utc(trade.entry.occurred_ns), side, ticker(trade.commodity), qty,
        number(trade.price, 2), *_trade_money(trade), trade.entry.description,
    )  # fmt: skip


def _trade_money(trade: Trade) -> tuple[int, int, int, int, int]:
    return trade.gross, trade.commission, trade.fees, trade.cash, trade.entry.gain_micros


def _sums(entries: Iterable[Entry]) -> defaultdict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    for entry in entries:
        for line in entry.lines:
            if line.commodity == accounts.CURRENCY:
                found[line.account] += line.amount
    return found


def _of_type(books: Books, sums: dict[str, int], kind: str, *, sign: int) -> list[tuple[str, str, int]]:
    return [
        (code, _name(books, code), sign * amount)
        for code, amount in sorted(sums.items())
        if amount and code in books.accounts and books.accounts[code].type == kind
    ]


def _result(books: Books, entries: Iterable[Entry]) -> int:
    sums = _sums(entries)
    income = sum(amount for *_, amount in _of_type(books, sums, "INCOME", sign=-1))
    return income - sum(amount for *_, amount in _of_type(books, sums, "EXPENSE", sign=1))


def _name(books: Books, code: str) -> str:
    account = books.accounts.get(code)
    return "not in the chart of accounts" if account is None else account.name


def _units(books: Books, commodity: str, amount: int) -> str:
    return units(amount, books.commodities[commodity].scale)

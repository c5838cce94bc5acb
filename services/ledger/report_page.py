"""Show reports as one page of HTML that needs nothing else: no script, no network, fit to print. Pure."""

from collections.abc import Sequence
from html import escape
from typing import Final

from services.ledger.figures import dollars
from services.ledger.reading import Books, Period
from services.ledger.report_tables import Cell, Column, Table

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #59636e; --line: #d1d9e0; --paper: #fff; --band: #f6f8fa;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --faint: #9198a1; --line: #3d444d; --paper: #0d1117;
  --band: #151b23; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; }
p { margin: .25rem 0 .5rem; color: var(--faint); max-width: 60rem; }
nav a { color: inherit; margin-right: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { background: var(--band); font-weight: 600; white-space: nowrap; }
td.money, td.number, th.money, th.number { text-align: right; white-space: nowrap; }
td.text { white-space: nowrap; }
tr.told td { border-bottom: 0; padding-bottom: 0; }
td.prose { color: var(--faint); font-size: .85em; padding-top: 0; }
tfoot td { font-weight: 600; border-bottom: 0; }
tfoot tr:first-child td { border-top: 2px solid var(--ink); }
.findings { border: 2px solid var(--bad); padding: .5rem 1rem; }
.findings li, .findings h2 { color: var(--bad); margin-top: 0; }
@media print {
  :root { --ink: #000; --faint: #333; --line: #999; --paper: #fff; --band: #eee; }
  @page { size: A4 landscape; margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 9pt; }
  nav { display: none; }
  .wide { overflow: visible; }
  section { break-inside: auto; }
  h2, thead, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  thead { display: table-header-group; }
  tfoot { display: table-row-group; }
}
"""


def page(books: Books, period: Period, tables: Sequence[Table], found: Sequence[str]) -> bytes:
    """Return the page in UTF-8: the same bytes for the same books and days."""
    bot = escape(books.identity.bot_identity)
    days = f"{period.first or 'The first entry'} to {period.last}, UTC days, both included"
    body = [
        f"<h1>Books of {bot}</h1>",
        f"<p>{escape(days)}. Amounts in US dollars; {len(books.entries)} entries in the ledger.</p>",
        "<nav>" + "".join(f'<a href="#{table.key}">{escape(table.title)}</a>' for table in tables) + "</nav>",
        _findings(found),
        *(_section(table) for table in tables),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Books of {bot} until {period.last}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    ).encode()


def _findings(found: Sequence[str]) -> str:
    if not found:
        return "<p>No findings: every entry balances, and lots, units and gains agree with the postings.</p>"
    listed = "".join(f"<li>{escape(finding)}</li>" for finding in found)
    return f'<div class="findings"><h2>Findings</h2><ul>{listed}</ul></div>'


def _section(table: Table) -> str:
    head = "".join(
        f'<th scope="col" class="{column.kind}">{escape(column.title)}</th>'
        for column in table.columns
        if column.kind != "prose"
    )
    rows = "".join(_row(table.columns, row) for row in table.rows)
    if not table.rows:
        rows = f'<tr><td colspan="{head.count("<th")}">None in this period.</td></tr>'
    foot = "".join(_row(table.columns, row) for row in table.totals)
    return (
        f'<section id="{table.key}"><h2>{escape(table.title)}</h2><p>{escape(table.note)}</p>'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>'
        + (f"\n<tfoot>{foot}</tfoot>" if foot else "")
        + "</table></div></section>"
    )


def _row(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    """A row; a sentence in it goes below, over the whole width."""
    pairs = list(zip(columns, row, strict=True))
    cells = "".join(f'<td class="{column.kind}">{_cell(cell)}</td>' for column, cell in pairs if column.kind != "prose")
    told = "".join(
        f'<tr><td class="prose" colspan="{len(columns) - 1}">{_cell(cell)}</td></tr>\n'
        for column, cell in pairs
        if column.kind == "prose" and cell
    )
    kind = ' class="told"' if told else ""
    return f"<tr{kind}>{cells}</tr>\n{told}"


def _cell(cell: Cell) -> str:
    if isinstance(cell, int):
        return dollars(cell)
    return "" if cell is None else escape(cell)

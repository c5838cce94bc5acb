"""Pieces of a page that stands alone: one file, no script, nothing fetched. All text is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

_CSS: Final = Path(__file__).with_name("report.css")
#: What a browser may do with the page: show it. No script, no connection, no other file.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, parts: Iterable[str]) -> str:
    """Return the whole page."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{_CSS.read_text(encoding='utf-8')}</style></head><body><main>",
            *parts,
            "</main></body></html>\n",
        ]
    )


def section(title: str, *parts: str) -> str:
    """Return a part of the page under its own heading."""
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(parts) + "</section>"


def folded(title: str, *parts: str) -> str:
    """Return a part that is open only when asked for."""
    return f"<section><details><summary>{escape(title)}</summary>\n" + "\n".join(parts) + "</details></section>"


def paragraph(text: str, css: str = "") -> str:
    """Return a paragraph."""
    return f"<p{_class(css)}>{escape(text)}</p>"


def tiles(values: Iterable[tuple[str, str]]) -> str:
    """Return names with their values, the most important figures."""
    cells = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>' for name, value in values
    )
    return f'<dl class="tiles">{cells}</dl>'


def table(caption: str, rows: Sequence[Sequence[str]], *, tall: bool = False) -> str:
    """Return a table; the first row is its head. A column whose first value is a number is set like numbers."""
    head, *body = rows
    numbers = [bool(body) and _is_number(body[0][place]) for place in range(len(head))]
    lines = [f'<div class="{"tall" if tall else "scroll"}" tabindex="0"><table><caption>{escape(caption)}</caption>']
    lines.append("<thead><tr>")
    lines.extend(
        f'<th scope="col"{_class("num" if is_number else "")}>{escape(name)}</th>'
        for name, is_number in zip(head, numbers, strict=True)
    )
    lines.append("</tr></thead><tbody>")
    for row in body:
        cells = "".join(
            f"<td{_class('num' if is_number else '')}>{escape(value)}</td>"
            for value, is_number in zip(row, numbers, strict=True)
        )
        lines.append(f"<tr>{cells}</tr>")
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


def figure(svgs: dict[str, str], words: str) -> str:
    """Return a chart in each of its shapes, of which the width of the screen shows one, with its words below."""
    drawn = "".join(f'<div class="{escape(shape)}">{svg}</div>' for shape, svg in svgs.items())
    return f"<figure>{drawn}<figcaption>{escape(words)}</figcaption></figure>"


def _class(css: str) -> str:
    return f' class="{css}"' if css else ""


def _is_number(text: str) -> bool:
    plain = text.strip("-+$%").replace(",", "").replace(".", "", 1)
    return text == "-" or (plain.isascii() and plain.isdigit())

"""The chart of accounts for its page: the tree with its levels, and its exports as Markdown and CSV. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from bus.messages import LedgerPage
from services.web import books

TYPES: Final = ("ASSET", "LIABILITY", "EQUITY", "INCOME", "EXPENSE")
#: What may be done with one account: the word of the form, what it says.
ACTIONS: Final[dict[str, str]] = {
    "add": "Add an account",
    "rename": "Rename",
    "move": "Move",
    "deactivate": "Deactivate",
    "activate": "Activate again",
}
EXPORTS: Final = ("md", "csv")
_MARKDOWN_HEAD: Final = ("Code", "Account", "Type", "Status", "Balance")


def tree_rows(page: LedgerPage) -> list[dict[str, Any]]:
    """Return the accounts in the order of the tree; `level` is 1 for those at the top."""
    return [{**row, "level": int(str(row["depth"])) + 1} for row in books.records(page)]


def version_of(page: LedgerPage) -> int:
    """Return the version that the answer says it is of, 0 where it says none."""
    word = page.note.rpartition(" ")[2]
    return int(word) if word.isdigit() else 0


def markdown(page: LedgerPage, title: str) -> str:
    """Return the chart as a Markdown table, indented as the tree is."""
    lines = [f"# {title}", "", _line(_MARKDOWN_HEAD), _line(["---", "---", "---", "---", "---:"])]
    lines += (_line(cells) for cells in _cells(page))
    return "\n".join(lines) + "\n"


def _cells(page: LedgerPage) -> Iterator[Sequence[str]]:
    for row in tree_rows(page):
        name = "\u2003" * (row["level"] - 1) + str(row["account"])
        balance = books.cell_text("balance", row["balance"])
        yield str(row["code"]), name, str(row["type"]).lower(), str(row["status"]).lower(), balance


def _line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"

"""open.log, mid.log and close.log: a line for each execution of a strategy that is booked. For people: never read back.

Each line has timestamp, strategy_name, ticker, side, size, entry_price, exit_price, PnL, broker and error_code, in the
format that LOG_FORMAT says, with times in UTC. What the broker refused is in the session's trades and on the page.
"""

import csv
import io
import logging.handlers
from pathlib import Path
from typing import Final, Literal

import msgspec

from bus.clock import iso_utc
from bus.instruments import multiplier_of
from bus.messages import NANOS, EntryPosted, TradeLine
from services.ledger.figures import dollars, shares

LogFormat = Literal["JSON", "CSV"]
STRATEGIES: Final = ("open", "mid", "close")
COLUMNS: Final = (
    "timestamp", "strategy_name", "ticker", "side", "size", "entry_price", "exit_price", "PnL", "broker", "error_code",
)  # fmt: skip
_FILE_BYTES_MAX: Final = 10 * 1024 * 1024
_FILES_KEPT: Final = 10


class TradeLogs:
    """Writes one file for each strategy, made with its first line; ten files of 10 MiB are kept of each.

    Args:
        folder: where they are.
        log_format: JSON lines, or CSV with a head at the beginning of each file.
    """

    def __init__(self, folder: Path, log_format: LogFormat) -> None:
        self._folder = folder
        self._format = log_format
        self._files: dict[str, logging.handlers.RotatingFileHandler] = {}

    def note(self, entry: EntryPosted) -> None:
        """Write the line of an entry that books an execution of a strategy; nothing for any other."""
        trade = entry.trade
        if trade is None or trade.strategy not in STRATEGIES:
            return
        file = self._file(trade.strategy)
        line = self._line(_cells(entry, trade))
        if file.shouldRollover(_record(line)):
            file.doRollover()
        if self._format == "CSV" and (file.stream is None or file.stream.tell() == 0):
            file.emit(_record(_csv(COLUMNS)))
        file.emit(_record(line))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _file(self, strategy: str) -> logging.handlers.RotatingFileHandler:
        if strategy not in self._files:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files[strategy] = logging.handlers.RotatingFileHandler(
                self._folder / f"{strategy}.log", maxBytes=_FILE_BYTES_MAX, backupCount=_FILES_KEPT, encoding="utf-8"
            )
        return self._files[strategy]

    def _line(self, cells: tuple[str, ...]) -> str:
        if self._format == "CSV":
            return _csv(cells)
        return msgspec.json.encode(dict(zip(COLUMNS, cells, strict=True))).decode()


def _cells(entry: EntryPosted, trade: TradeLine) -> tuple[str, ...]:
    """Return the columns; of a sale `entry_price` is what a share of the lots it took had cost, PnL is after costs."""
    is_sale = trade.side == "SELL"
    price = _plain(trade.price_micros)
    cost = trade.gross_micros - entry.gain_micros
    units = trade.qty_nanos * multiplier_of(trade.symbol)
    gain = entry.gain_micros - trade.commission_micros - trade.fees_micros
    return (
        iso_utc(entry.ts_event),
        trade.strategy,
        trade.symbol,
        trade.side,
        shares(trade.qty_nanos),
        _plain(cost * NANOS // units) if is_sale and units else price,
        price if is_sale else "",
        _plain(gain) if is_sale else "",
        trade.venue,
        "",
    )


def _plain(micros: int) -> str:
    """Write dollars for programs too: nothing between the thousands."""
    return dollars(micros).replace(",", "")


def _record(line: str) -> logging.LogRecord:
    return logging.LogRecord("trades", logging.INFO, "", 0, line, None, None)


def _csv(cells: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()

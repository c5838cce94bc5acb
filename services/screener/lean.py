"""Recorded minutes in LEAN's layout: one zip of trades and one of quotes for each symbol and day.

Prices in the files are dollars x 10000; times are milliseconds since midnight in New York, at the START of a
minute.
Source: the file formats in QuantConnect LEAN's repository (Data/equity/readme.md), as of commit 24863901.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from bus.messages import Bar, SessionPlanned
from services.screener.faults import (
    CorruptFileError,
    DayMissingError,
    FolderMissingError,
    MalformedLineError,
    NoMinutesError,
    QuotesMissingError,
    UnknownSymbolError,
)
from services.screener.lean_lines import check_bar, lines_of, price, time_ms, volume
from services.screener.lean_prior import Prior, prior_day
from services.screener.steps import MINUTE_NS, MarketDay, MinuteQuotes, SymbolDay, minutes_of
from services.screener.universe import UniverseRow

NEW_YORK = ZoneInfo("America/New_York")
_MINUTES = Path("equity", "usa", "minute")
_SYMBOL = re.compile(r"^[A-Z0-9][A-Z0-9.\-]{0,23}$")
_FILE = re.compile(r"^(\d{8})_(?:trade|quote)\.zip$", re.ASCII)
#: 9:30 and 16:00 in New York: which bars of an earlier day count, where only its minutes are there.
_REGULAR_MS = range(34_200_000, 57_600_000)
_NS_PER_MS = 1_000_000
_TRADE_FIELDS = 6
_QUOTE_FIELDS = 11
T = TypeVar("T")


class LeanFolder:
    """A folder that contains equity/usa/minute/SYMBOL/YYYYMMDD_{trade,quote}.zip.

    Raises:
        FolderMissingError: `root` is not a folder.
        NoMinutesError: it has no folder of minutes with symbols in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        if not root.is_dir():
            raise FolderMissingError(root)
        minutes = root / _MINUTES
        folders = _list(minutes) if minutes.is_dir() else []
        self._folders = {
            folder.name.upper(): folder for folder in folders if folder.is_dir() and _SYMBOL.match(folder.name.upper())
        }
        if not self._folders:
            raise NoMinutesError(root)

    def symbols(self) -> tuple[str, ...]:
        """Return every symbol that has a folder of minutes, in order."""
        return tuple(sorted(self._folders))

    def days(self, symbol: str) -> tuple[str, ...]:
        """Return the days, YYYY-MM-DD in order, for which a symbol has a file of trades or of quotes."""
        found = {match[1] for path in _list(self._folders[symbol]) if (match := _FILE.match(path.name))}
        return tuple(sorted(day for name in found if (day := _day(name))))

    def choose(self, session_date: str, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return the symbols to play on a day, in order: those wanted, or all that have the day.

        Raises:
            UnknownSymbolError: a wanted symbol has no folder.
            DayMissingError: a wanted symbol, or every symbol, lacks the day.
            QuotesMissingError: a symbol has the day's trades but not its quotes.
        """
        missing = [symbol for symbol in wanted if symbol not in self._folders]
        if missing:
            raise UnknownSymbolError(missing, str(self._root), sorted(self._folders))
        chosen = [symbol for symbol in sorted(wanted or self._folders) if session_date in self.days(symbol)]
        lacking = sorted(set(wanted) - set(chosen))
        if lacking:
            where = f"for {lacking[0]} in {self._folders[lacking[0]]}"
            raise DayMissingError(session_date, where, self.days(lacking[0]))
        if not chosen:
            raise self._no_day(session_date)
        for symbol in chosen:
            trades, quotes = self._files(symbol, session_date)
            if trades.exists() and not quotes.exists():
                raise QuotesMissingError(trades, quotes)
        return tuple(chosen)

    def load(self, plan: SessionPlanned, wanted: Sequence[str]) -> MarketDay:
        """Read one session in full: every file of every chosen symbol, once.

        Raises:
            CannotStartError: what `choose` raises, and CorruptFileError, MalformedLineError, DayMissingError.
        """
        symbols = self.choose(plan.session_date, wanted)
        loaded = [self._load_symbol(symbol, plan) for symbol in symbols]
        if not any(bar is not None for one, _ in loaded for bar in one.bars):
            raise self._no_day(plan.session_date)
        return MarketDay(
            source=f"recorded minutes of {plan.session_date} from {self._root}"[:400],
            symbols=tuple(one for one, _ in loaded),
            rows=tuple(row for _, row in loaded),
        )

    def _no_day(self, session_date: str) -> DayMissingError:
        days = sorted({day for symbol in self._folders for day in self.days(symbol)})
        return DayMissingError(session_date, f"in {self._root / _MINUTES}", days)

    def _files(self, symbol: str, session_date: str) -> tuple[Path, Path]:
        folder, day = self._folders[symbol], session_date.replace("-", "")
        return folder / f"{day}_trade.zip", folder / f"{day}_quote.zip"

    def _load_symbol(self, symbol: str, plan: SessionPlanned) -> tuple[SymbolDay, UniverseRow]:
        trades, quotes = self._files(symbol, plan.session_date)
        midnight_ns = _midnight_ns(plan.session_date)
        bars = list(read_trades(trades, symbol)) if trades.exists() else []
        before_open = [bar.close_micros for ms, bar in bars if midnight_ns + ms * _NS_PER_MS < plan.open_ns]
        prior = self._prior(symbol, plan.session_date)
        row = UniverseRow(
            symbol=symbol,
            prior_close_micros=prior.close_micros,
            prior_volume_nanos=prior.volume_nanos,
            price_micros=before_open[-1] if before_open else prior.close_micros,
            float_shares=0,
        )
        day = SymbolDay(
            symbol=symbol,
            quotes=_by_minute(read_quotes(quotes), plan, midnight_ns),
            bars=_by_minute(bars, plan, midnight_ns),
        )
        return day, row

    def _prior(self, symbol: str, session_date: str) -> Prior:
        equity = self._root / "equity" / "usa"
        earlier = [(day, self._files(symbol, day)[0]) for day in reversed(self.days(symbol)) if day < session_date]
        minutes = (
            (day, (bar for ms, bar in read_trades(path, symbol) if ms in _REGULAR_MS))
            for day, path in earlier
            if path.exists()
        )
        return prior_day(equity, symbol, session_date, minutes)


def read_trades(path: Path, symbol: str) -> Iterator[tuple[int, Bar]]:
    """Yield (milliseconds since midnight, bar) of each minute of trades, in the order of time.

    Raises:
        CannotStartError: CorruptFileError or MalformedLineError.
    """
    before_ms = -1
    for number, fields in lines_of(path, _TRADE_FIELDS):
        try:
            before_ms = time_ms(fields[0], before_ms)
            o, h, low, c = (price(text) for text in fields[1:5])
            check_bar((o, h, low, c))
            yield before_ms, Bar(symbol, o, h, low, c, volume(fields[5]))
        except ValueError as error:
            raise MalformedLineError(path, number, str(error)) from error


def read_quotes(path: Path) -> Iterator[tuple[int, MinuteQuotes]]:
    """Yield (milliseconds since midnight, quotes) of each minute, in the order of time; empty fields are 0.

    Raises:
        CannotStartError: CorruptFileError or MalformedLineError.
    """
    before_ms = -1
    for number, fields in lines_of(path, _QUOTE_FIELDS):
        try:
            before_ms = time_ms(fields[0], before_ms)
            bid_o, bid_h, bid_l, bid_c = (price(text or "0") for text in fields[1:5])
            ask_o, ask_h, ask_l, ask_c = (price(text or "0") for text in fields[6:10])
            sizes = volume(fields[5] or "0"), volume(fields[10] or "0")
            yield (
                before_ms,
                MinuteQuotes((bid_o, bid_h, bid_l, bid_c), (ask_o, ask_h, ask_l, ask_c), *sizes),
            )
        except ValueError as error:
            raise MalformedLineError(path, number, str(error)) from error


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise CorruptFileError(folder, error.strerror or str(error)) from error


def _day(compact: str) -> str:
    """Return YYYYMMDD as YYYY-MM-DD; empty when there is no such day."""
    try:
        return date.fromisoformat(f"{compact[:4]}-{compact[4:6]}-{compact[6:]}").isoformat()
    except ValueError:
        return ""


def _by_minute(rows: Iterable[tuple[int, T]], plan: SessionPlanned, midnight_ns: int) -> list[T | None]:
    """Lay the regular session's minutes out from the open; what is outside [open, close) is left out."""
    minutes: list[T | None] = [None] * minutes_of(plan)
    for ms, item in rows:
        index = (midnight_ns + ms * _NS_PER_MS - plan.open_ns) // MINUTE_NS
        if 0 <= index < len(minutes):
            minutes[index] = item
    return minutes


def _midnight_ns(session_date: str) -> int:
    """Return New York's midnight as UTC nanoseconds. Clocks change on Sundays, never within a trading day."""
    day = date.fromisoformat(session_date)
    midnight = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)
    return int((midnight - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000 * _NS_PER_MS

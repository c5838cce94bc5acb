"""Recorded minutes in LEAN's layout: one zip of trades and one of quotes for each symbol and day.

Prices in the files are dollars x 10000; times are milliseconds since midnight in New York, at the START of a
minute.
Source: the file formats in QuantConnect LEAN's repository (Data/equity/readme.md), as of commit 24863901.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from bus.messages import NANOS, SessionPlanned
from services.screener.faults import (
    CorruptFileError,
    DayMissingError,
    FolderMissingError,
    MalformedLineError,
    NoMinutesError,
    QuotesMissingError,
    UnknownSymbolError,
)
from services.screener.lean_lines import (
    MICROS_PER_UNIT,
    MS_PER_MINUTE,
    PRICE_UNITS_MAX,
    VOLUME_SHARES_MAX,
    are_minutes,
    check_bar,
    lines_of,
    price,
    time_ms,
    volume,
    whole_numbers,
)
from services.screener.lean_prior import Prior, prior_day
from services.screener.steps import BarColumns, Ints, MarketDay, QuoteColumns, in_played_order, minutes_of
from services.screener.universe import UniverseRow

NEW_YORK = ZoneInfo("America/New_York")
_MINUTES = Path("equity", "usa", "minute")
_SYMBOL = re.compile(r"^[A-Z0-9][A-Z0-9.\-]{0,23}$")
_FILE = re.compile(r"^(\d{8})_(?:trade|quote)\.zip$", re.ASCII)
#: 9:30 and 16:00 in New York: which bars of an earlier day count, where only its minutes are there.
_REGULAR_MS = range(34_200_000, 57_600_000)
_NS_PER_MS = 1_000_000
TRADE_FIELDS = 6
QUOTE_FIELDS = 11
# Places of fields in a row of trades, and of quotes.
_CLOSE, _VOLUME = 4, 5
_BIDS, _BID_SIZE, _ASKS, _ASK_SIZE = slice(1, 5), 5, slice(6, 10), 10
_PRICES_AND_SIZE = [MICROS_PER_UNIT] * 4 + [NANOS]
_TRADE_SCALES = np.array([1, *_PRICES_AND_SIZE], dtype=np.int64)
_QUOTE_SCALES = np.array([1, *_PRICES_AND_SIZE, *_PRICES_AND_SIZE], dtype=np.int64)


class LeanFolder:
    """A folder that contains equity/usa/minute/SYMBOL/YYYYMMDD_{trade,quote}.zip.

    Raises:
        FolderMissingError: `root` is not a folder.
        NoMinutesError: it has no folder of minutes with symbols in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
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
            raise UnknownSymbolError(missing, str(self.root), sorted(self._folders))
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
        # (symbols, minutes, fields) becomes (fields, minutes, symbols): a minute of all names lies in one piece.
        trades = np.ascontiguousarray(np.stack([one for one, _, _ in loaded]).transpose(2, 1, 0))
        quotes = np.ascontiguousarray(np.stack([one for _, one, _ in loaded]).transpose(2, 1, 0))
        if not trades[_CLOSE].any():
            raise self._no_day(plan.session_date)
        bids, asks = in_played_order(quotes[_BIDS].transpose(1, 0, 2), quotes[_ASKS].transpose(1, 0, 2))
        return MarketDay(
            source=f"recorded minutes of {plan.session_date} from {self.root}"[:400],
            rows=tuple(row for _, _, row in loaded),
            symbols=symbols,
            bars=BarColumns(
                opens=trades[1], highs=trades[2], lows=trades[3], closes=trades[_CLOSE], volumes=trades[_VOLUME]
            ),
            quotes=QuoteColumns(bids=bids, asks=asks, bid_sizes=quotes[_BID_SIZE], ask_sizes=quotes[_ASK_SIZE]),
        )

    def _no_day(self, session_date: str) -> DayMissingError:
        days = sorted({day for symbol in self._folders for day in self.days(symbol)})
        return DayMissingError(session_date, f"in {self.root / _MINUTES}", days)

    def _files(self, symbol: str, session_date: str) -> tuple[Path, Path]:
        folder, day = self._folders[symbol], session_date.replace("-", "")
        return folder / f"{day}_trade.zip", folder / f"{day}_quote.zip"

    def _load_symbol(self, symbol: str, plan: SessionPlanned) -> tuple[Ints, Ints, UniverseRow]:
        """Return trades and quotes of the session, (minutes, fields), a row of 0 where a minute has nothing."""
        trades, quotes = self._files(symbol, plan.session_date)
        open_ms = (plan.open_ns - midnight_ns(plan.session_date)) // _NS_PER_MS
        bars = read_trades(trades) if trades.exists() else np.zeros((0, TRADE_FIELDS), np.int64)
        before_open = bars[bars[:, 0] < open_ms, _CLOSE].tolist()
        prior = self._prior(symbol, plan.session_date)
        row = UniverseRow(
            symbol=symbol,
            prior_close_micros=prior.close_micros,
            prior_volume_nanos=prior.volume_nanos,
            price_micros=before_open[-1] if before_open else prior.close_micros,
            float_shares=0,
        )
        minutes = minutes_of(plan)
        return by_minute(bars, open_ms, minutes), by_minute(read_quotes(quotes), open_ms, minutes), row

    def _prior(self, symbol: str, session_date: str) -> Prior:
        equity = self.root / "equity" / "usa"
        earlier = [(day, self._files(symbol, day)[0]) for day in reversed(self.days(symbol)) if day < session_date]
        minutes = ((day, _regular(read_trades(path))) for day, path in earlier if path.exists())
        return prior_day(equity, symbol, session_date, minutes)


def read_trades(path: Path) -> Ints:
    """Return one row for each minute: milliseconds since midnight, open, high, low, close (micros), volume (nanos).

    Raises:
        CannotStartError: CorruptFileError or MalformedLineError.
    """
    table = whole_numbers(path, TRADE_FIELDS)
    if table is not None:
        opens, highs, lows, closes = (table[:, field] for field in range(1, 5))
        is_sound = (lows > 0) & (lows <= np.minimum(opens, closes)) & (np.maximum(opens, closes) <= highs)
        if is_sound.all() and are_minutes(table[:, 0]) and _fits(highs, table[:, _VOLUME]):
            return table * _TRADE_SCALES
    # Something is unusual in it: line by line it is either read, or said what is wrong in which line.
    return _as_table([[ms, *row] for ms, row in _trade_lines(path)], TRADE_FIELDS)


def read_quotes(path: Path) -> Ints:
    """Return one row for each minute: milliseconds since midnight, then of bid and ask open, high, low, close and size.

    Prices are in micros and sizes in nanos; what is empty is 0.

    Raises:
        CannotStartError: CorruptFileError or MalformedLineError.
    """
    table = whole_numbers(path, QUOTE_FIELDS)
    if table is not None:
        prices = np.concatenate([table[:, 1:5], table[:, 6:10]])
        if are_minutes(table[:, 0]) and _fits(prices, table[:, [_BID_SIZE, _ASK_SIZE]]):
            return table * _QUOTE_SCALES
    return as_quotes(path, lines_of(path, QUOTE_FIELDS))


def as_quotes(path: Path, lines: Iterable[tuple[int, list[str]]]) -> Ints:
    """Return numbered lines of quotes as `read_quotes` does.

    Raises:
        CannotStartError: MalformedLineError, with the path as the place.
    """
    return _as_table([[ms, *row] for ms, row in _quote_lines(path, lines)], QUOTE_FIELDS)


def _fits(prices: Ints, volumes: Ints) -> bool:
    return bool((prices <= PRICE_UNITS_MAX).all() and (volumes <= VOLUME_SHARES_MAX).all())


def _as_table(rows: list[list[int]], fields: int) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(len(rows), fields)


def _trade_lines(path: Path) -> Iterator[tuple[int, tuple[int, ...]]]:
    before_ms = -1
    for number, fields in lines_of(path, TRADE_FIELDS):
        try:
            before_ms = time_ms(fields[0], before_ms)
            o, h, low, c = (price(text) for text in fields[1:5])
            check_bar((o, h, low, c))
            yield before_ms, (o, h, low, c, volume(fields[5]))
        except ValueError as error:
            raise MalformedLineError(path, number, str(error)) from error


def _quote_lines(path: Path, lines: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, tuple[int, ...]]]:
    before_ms = -1
    for number, fields in lines:
        try:
            before_ms = time_ms(fields[0], before_ms)
            bids, asks = ([price(text or "0") for text in fields[first : first + 4]] for first in (1, 6))
            yield before_ms, (*bids, volume(fields[5] or "0"), *asks, volume(fields[10] or "0"))
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


def by_minute(table: Ints, open_ms: int, minutes: int) -> Ints:
    """Lay the regular session's minutes out from the open; what is outside [open, close) is left out."""
    laid = np.zeros((minutes, table.shape[1]), np.int64)
    places = (table[:, 0] - open_ms) // MS_PER_MINUTE
    inside = (table[:, 0] >= open_ms) & (places < minutes)
    laid[places[inside]] = table[inside]
    return laid


def _regular(trades: Ints) -> list[tuple[int, int]]:
    """Return (close, volume) of the minutes of a whole regular session."""
    times = trades[:, 0]
    is_regular = (times >= _REGULAR_MS.start) & (times < _REGULAR_MS.stop)
    return [(close, shares) for close, shares in trades[is_regular][:, [_CLOSE, _VOLUME]].tolist()]


def midnight_ns(session_date: str) -> int:
    """Return New York's midnight as UTC nanoseconds. Clocks change on Sundays, never within a trading day."""
    day = date.fromisoformat(session_date)
    midnight = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)
    return int((midnight - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000 * _NS_PER_MS

"""What Finnhub has said, kept between builds: its list of names and each company's fundamentals, with their times."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.screener.finnhub_answers import ListedName
from services.screener.universe_file import Fundamentals

CACHE_FILE: Final = "universe_cache.db"
_VERSION: Final = 1
_BUSY_MS: Final = 5_000
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS listed"
    " (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), at_s INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS names"
    " (symbol TEXT PRIMARY KEY, mic TEXT NOT NULL, type TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS fundamentals (symbol TEXT PRIMARY KEY, fetched_at_s INTEGER NOT NULL,"
    " shares_outstanding INTEGER NOT NULL, market_cap_dollars INTEGER NOT NULL, pe_milli INTEGER,"
    " debt_to_equity_milli INTEGER) STRICT, WITHOUT ROWID",
)


class UniverseCacheError(Exception):
    """The cache cannot be used; the message says where and what to do."""


class UniverseCache:
    """One SQLite file. Each change is one transaction: a death at any moment loses at most the answer on its way.

    Raises:
        UniverseCacheError: it cannot be opened, is damaged, or is of another version. So do all its methods.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._in_words():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1_000)
            self._open()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def listed_at_s(self) -> int:
        """Return when the list was fetched, in seconds since 1970; 0 = never."""
        with self._in_words():
            row = self._db.execute("SELECT at_s FROM listed").fetchone()
        return int(row[0]) if row else 0

    def names(self) -> tuple[ListedName, ...]:
        """Return the list as it was fetched, by symbol."""
        with self._in_words():
            rows = self._db.execute("SELECT symbol, mic, type FROM names ORDER BY symbol").fetchall()
        return tuple(ListedName(symbol=symbol, mic=mic, type=kind) for symbol, mic, kind in rows)

    def put_names(self, names: Iterable[ListedName], at_s: int) -> None:
        """Replace the list; of a symbol that is listed twice the first counts."""
        with self._transaction():
            self._db.execute("DELETE FROM names")
            rows = ((name.symbol, name.mic, name.type) for name in names)
            self._db.executemany("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", rows)
            self._db.execute("INSERT OR REPLACE INTO listed VALUES (1, ?)", (at_s,))

    def fundamentals(self) -> dict[str, Fundamentals]:
        """Return all that is known, however old."""
        with self._in_words():
            rows = self._db.execute(
                "SELECT symbol, fetched_at_s, shares_outstanding, market_cap_dollars, pe_milli, debt_to_equity_milli"
                " FROM fundamentals"
            ).fetchall()
        return {
            symbol: Fundamentals(
                fetched_at_s=at_s,
                shares_outstanding=shares,
                market_cap_dollars=worth,
                pe_milli=pe_milli,
                debt_to_equity_milli=debt_milli,
            )
            for symbol, at_s, shares, worth, pe_milli, debt_milli in rows
        }

    def put(self, symbol: str, known: Fundamentals) -> None:
        """Keep what was answered of one name; that nothing is known of it is an answer too."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO fundamentals VALUES (?, ?, ?, ?, ?, ?)",
                (
                    symbol,
                    known.fetched_at_s,
                    known.shares_outstanding,
                    known.market_cap_dollars,
                    known.pe_milli,
                    known.debt_to_equity_milli,
                ),
            )

    def _open(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            self._db.close()
            raise UniverseCacheError(
                f"The cache {self._path} was written by another version of the bot ({version}, this one reads "
                f"{_VERSION}). Delete it: it is filled again."
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        for statement in _SCHEMA:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._in_words():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise UniverseCacheError(
                f"The cache {self._path} cannot be used: {error}. Make room, correct its rights or end what else uses "
                "it, then go on."
            ) from error
        except sqlite3.DatabaseError as error:
            raise UniverseCacheError(
                f"The cache {self._path} is damaged: {error}. Delete it: it is filled again, in hours."
            ) from error


def due(symbols: Sequence[str], known: dict[str, Fundamentals], *, now_s: int, age_s_max: int) -> list[str]:
    """Return the names to ask about: never asked first, then the oldest; by symbol where that is the same."""
    at = {symbol: known[symbol].fetched_at_s if symbol in known else 0 for symbol in symbols}
    # A time that is still to come was written by a clock that was wrong: it is not fresh for ever.
    stale = [symbol for symbol in at if not at[symbol] or not 0 <= now_s - at[symbol] <= age_s_max]
    return sorted(stale, key=lambda symbol: (at[symbol], symbol))

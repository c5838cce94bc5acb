"""Recorded puts in LEAN's layout: which there were on a name before the session, and their quotes minute by minute.

What was open of a contract, and its delta, are read out of the newest universe before the session, never out of that
day's own, so that nothing is known before its time.
Source: the file formats in QuantConnect LEAN's repository (Data/option/readme.md), as of commit 24863901.
"""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from bus.messages import MICROS, ListedPut, SessionPlanned
from services.screener.faults import CorruptFileError, MalformedLineError
from services.screener.lean import QUOTE_FIELDS, as_quotes, by_minute, midnight_ns
from services.screener.lean_lines import BYTES_MAX, MICROS_PER_UNIT, UNSOUND, fields_of
from services.screener.settings import PutWindow
from services.screener.steps import BarColumns, Chain, Ints, MarketDay, QuoteColumns, in_played_order, minutes_of
from services.screener.universe import UniverseRow

#: How many puts on one name are listed, and how far their strikes may be from its price.
PUTS_MAX: Final = 120
STRIKE_DISTANCE_PERCENT_MAX: Final = 15
#: An older universe says nothing of today: a week covers every holiday.
UNIVERSE_AGE_DAYS_MAX: Final = 7
UNIVERSE_FIELDS: Final = 15
_OPTIONS: Final = Path("option", "usa")
_UNIVERSE: Final = re.compile(r"(\d{4})(\d{2})(\d{2})\.csv", re.ASCII)
#: The root of a standard contract is its underlying's symbol; one that was adjusted has a digit behind it.
_ROOT: Final = re.compile(r"[A-Z]{1,5}", re.ASCII)
_EXPIRY: Final = re.compile(r"\d{8}", re.ASCII)
_EXPIRY_FIELD, _STRIKE, _RIGHT, _INTEREST, _DELTA = 0, 1, 2, 8, 10
_NS_PER_MS: Final = 1_000_000
_PPM: Final = 1_000_000
_MICROS_PER_THOUSANDTH: Final = 1_000


class _Put(Struct, frozen=True, kw_only=True):
    """One line of a universe, for a put."""

    expiry: date
    strike_micros: int
    open_interest: int | None
    delta_ppm: int | None

    def symbol(self, root: str) -> str:
        """Return the OCC symbol."""
        return f"{root}{self.expiry:%y%m%d}P{self.strike_micros // _MICROS_PER_THOUSANDTH:08d}"


def with_puts(day: MarketDay, root: Path, plan: SessionPlanned, window: PutWindow | None) -> MarketDay:
    """Return the day with the puts on its names, and their quotes, after them; as it is where `window` is None.

    A name without recorded options, or without a universe in the week before the session, has no chain.

    Raises:
        CannotStartError: CorruptFileError or MalformedLineError.
    """
    if window is None:
        return day
    chains: list[Chain] = []
    columns: list[Ints] = []
    for row in day.rows:
        puts, quotes = _chain(root / _OPTIONS, row, plan, window)
        if puts:
            chains.append(Chain(underlying=row.symbol, puts=puts))
            columns.extend(quotes)
    return _joined(day, tuple(chains), columns) if chains else day


def _joined(day: MarketDay, chains: tuple[Chain, ...], columns: list[Ints]) -> MarketDay:
    """Put the contracts' columns after those of the names; none of them has a bar."""
    # (contracts, minutes, fields) becomes (fields, minutes, contracts), as the names' are.
    quotes = np.stack(columns).transpose(2, 1, 0)
    bids, asks = in_played_order(quotes[1:5].transpose(1, 0, 2), quotes[6:10].transpose(1, 0, 2))
    blank = np.zeros(quotes.shape[1:], np.int64)

    def after(names: Ints, contracts: Ints) -> Ints:
        return np.ascontiguousarray(np.concatenate([names, contracts], axis=-1))

    said, bars = day.quotes, day.bars
    return replace(
        day,
        symbols=(*day.symbols, *(put.symbol for chain in chains for put in chain.puts)),
        chains=chains,
        bars=BarColumns(**{name: after(getattr(bars, name), blank) for name in BarColumns.__struct_fields__}),
        quotes=QuoteColumns(
            bids=after(said.bids, bids),
            asks=after(said.asks, asks),
            bid_sizes=after(said.bid_sizes, quotes[5]),
            ask_sizes=after(said.ask_sizes, quotes[10]),
        ),
    )


def _chain(
    folder: Path, row: UniverseRow, plan: SessionPlanned, window: PutWindow
) -> tuple[tuple[ListedPut, ...], list[Ints]]:
    """Return the puts on one name that have quotes, and these, (minutes, fields) for each."""
    name, compact = row.symbol.lower(), plan.session_date.replace("-", "")
    universe = _universe_before(folder / "universes" / name, plan.session_date)
    path = folder / "minute" / name / f"{compact}_quote_american.zip"
    if universe is None or not path.is_file() or not _ROOT.fullmatch(row.symbol):
        return (), []
    listed = _nearest(_puts(universe), row.price_micros, date.fromisoformat(plan.session_date), window)
    open_ms = (plan.open_ns - midnight_ns(plan.session_date)) // _NS_PER_MS
    puts: list[ListedPut] = []
    quotes: list[Ints] = []
    try:
        with ZipFile(path) as archive:
            members = set(archive.namelist())
            for put in listed:
                strike = put.strike_micros // MICROS_PER_UNIT
                member = f"{compact}_{name}_minute_quote_american_put_{strike}_{put.expiry:%Y%m%d}.csv"
                if member not in members or len(puts) == PUTS_MAX:
                    continue
                quotes.append(by_minute(_quotes(archive, path, member), open_ms, minutes_of(plan)))
                symbol = put.symbol(row.symbol)
                puts.append(ListedPut(symbol=symbol, open_interest=put.open_interest, delta_ppm=put.delta_ppm))
    except UNSOUND as error:
        raise CorruptFileError(path, f"it is not a sound zip ({error})") from error
    except OSError as error:
        raise CorruptFileError(path, error.strerror or str(error)) from error
    return tuple(puts), quotes


def _quotes(archive: ZipFile, path: Path, member: str) -> Ints:
    if archive.getinfo(member).file_size > BYTES_MAX:
        raise CorruptFileError(path, f"{member} unpacks to more than {BYTES_MAX // 1024**2} MB")
    text = archive.read(member).decode("ascii", errors="replace")
    place = path / member
    return as_quotes(place, fields_of(place, text, QUOTE_FIELDS))


def _universe_before(folder: Path, session_date: str) -> Path | None:
    """Return the newest universe of the days before a session; None when there is none in the week before it."""
    session = date.fromisoformat(session_date)
    found: dict[date, Path] = {}
    for path in sorted(folder.glob("*.csv")) if folder.is_dir() else ():
        match = _UNIVERSE.fullmatch(path.name)
        if match is not None:
            found[_date("".join(match.groups()), path)] = path
    earlier = [day for day in found if 0 < (session - day).days <= UNIVERSE_AGE_DAYS_MAX]
    return found[max(earlier)] if earlier else None


def _date(compact: str, path: Path) -> date:
    try:
        return date(int(compact[:4]), int(compact[4:6]), int(compact[6:]))
    except ValueError as error:
        raise CorruptFileError(path, f"there is no day {compact}") from error


def _puts(path: Path) -> list[_Put]:
    """Return every put of a universe.

    Raises:
        CannotStartError: CorruptFileError or MalformedLineError.
    """
    try:
        if path.stat().st_size > BYTES_MAX:
            raise CorruptFileError(path, f"it has more than {BYTES_MAX // 1024**2} MB")
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise CorruptFileError(path, error.strerror or str(error)) from error
    found = []
    for number, fields in fields_of(path, text, UNIVERSE_FIELDS):
        if fields[_RIGHT] != "P":
            # The heading, the line of the underlying, and calls.
            continue
        try:
            found.append(_put(fields))
        except (ValueError, InvalidOperation) as error:
            raise MalformedLineError(path, number, f"it is not a put: {error}") from error
    return found


def _put(fields: Sequence[str]) -> _Put:
    """Read one put.

    Raises:
        ValueError, InvalidOperation: a field is not what may stand there.
    """
    compact, strike = fields[_EXPIRY_FIELD], Decimal(fields[_STRIKE]) * MICROS
    if not _EXPIRY.fullmatch(compact):
        raise ValueError(f"'{compact}' is not a day")
    if not strike.is_finite() or strike <= 0 or strike % _MICROS_PER_THOUSANDTH or strike >= 10**5 * MICROS:
        raise ValueError(f"'{fields[_STRIKE]}' is not a strike")
    delta = Decimal(fields[_DELTA]) if fields[_DELTA] else Decimal(0)
    if not -1 <= delta <= 0:
        raise ValueError(f"'{fields[_DELTA]}' is not the delta of a put")
    interest = int(fields[_INTEREST]) if fields[_INTEREST] else None
    if interest is not None and interest < 0:
        raise ValueError(f"'{fields[_INTEREST]}' is not a number of contracts")
    return _Put(
        expiry=date(int(compact[:4]), int(compact[4:6]), int(compact[6:])),
        strike_micros=int(strike),
        open_interest=interest,
        # Zeros stand where nobody has computed one.
        delta_ppm=int(-delta * _PPM) or None,
    )


def _nearest(puts: list[_Put], price_micros: int, session: date, window: PutWindow) -> list[_Put]:
    """Return the puts within the window and near the price; the nearest strike first, then the sooner expiry."""
    within = [
        put
        for put in puts
        if window.days_min <= (put.expiry - session).days <= window.days_max
        and abs(put.strike_micros - price_micros) * 100 <= price_micros * STRIKE_DISTANCE_PERCENT_MAX
    ]
    return sorted(within, key=lambda put: (abs(put.strike_micros - price_micros), put.expiry, put.strike_micros))

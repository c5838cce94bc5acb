"""The lines of LEAN's files: a zip with one CSV, its fields as integers in the catalogue's units."""

import re
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from bus.messages import NANOS
from services.screener.faults import CorruptFileError, MalformedLineError

MS_PER_MINUTE = 60_000
MS_PER_DAY = 86_400_000
#: A day of one symbol's minutes is under 0.1 MB, its daily bars of 25 years under 0.5 MB.
BYTES_MAX = 64 * 1024 * 1024
#: LEAN's price unit, a 10000th of a dollar, in micros.
MICROS_PER_UNIT = 100
_PRICE_MICROS_MAX = 2**53
_VOLUME_NANOS_MAX = 2**62
PRICE_UNITS_MAX = _PRICE_MICROS_MAX // MICROS_PER_UNIT
VOLUME_SHARES_MAX = _VOLUME_NANOS_MAX // NANOS
#: What reading a damaged zip raises.
UNSOUND = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_LONG = re.compile(r"[0-9]{18}", re.ASCII)
_WHOLE = re.compile(r"[0-9,\r\n]*", re.ASCII)
_NUMBER = re.compile(r"^[0-9]{1,19}(\.[0-9]{1,9})?$", re.ASCII)


def lines_of(path: Path, fields: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number from 1, fields) of the one CSV in a zip; blank lines are passed over.

    Raises:
        CorruptFileError: the file cannot be read, or is not a zip with one CSV of a sane size.
        MalformedLineError: a line has another number of fields.
    """
    return fields_of(path, _read(path), fields)


def fields_of(path: Path, text: str, fields: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number from 1, fields) of a text; blank lines are passed over.

    Raises:
        MalformedLineError: a line has another number of fields.
    """
    for number, line in enumerate(text.split("\n"), 1):
        text = line.strip()
        if not text:
            continue
        parts = text.split(",")
        if len(parts) != fields:
            raise MalformedLineError(path, number, f"it has {len(parts)} fields and must have {fields}")
        yield number, parts


def whole_numbers(path: Path, fields: int) -> NDArray[np.int64] | None:
    """Return the file as a table (lines, fields) when it is whole numbers throughout; None when it is anything else.

    Raises:
        CorruptFileError: as `lines_of`.
    """
    text = _read(path)
    lines = text.split()
    if not _WHOLE.fullmatch(text) or any(line.count(",") != fields - 1 for line in lines):
        return None
    # An empty field, or one of more digits than 64 bits hold, is for the reader of lines.
    joined = ",".join(lines)
    if ",," in f",{joined}," or _LONG.search(joined):
        return None
    return np.fromstring(joined, dtype=np.int64, sep=",").reshape(len(lines), fields)


def are_minutes(times_ms: NDArray[np.int64]) -> bool:
    """Tell whether these are starts of minutes of one day, each later than the one before."""
    is_minute = (times_ms < MS_PER_DAY) & (times_ms % MS_PER_MINUTE == 0)
    return bool(is_minute.all() and (np.diff(times_ms) > 0).all())


def time_ms(text: str, before_ms: int) -> int:
    """Return a minute's start in milliseconds since midnight, which must be later than the line before.

    Raises:
        ValueError: it is not the start of a minute of a day, or not later.
    """
    value = _scaled(text, 1)
    if value >= MS_PER_DAY or value % MS_PER_MINUTE:
        raise ValueError(f"its time '{text}' is not the start of a minute in milliseconds since midnight")
    if value <= before_ms:
        raise ValueError(f"its time '{text}' is not later than the line before it")
    return value


def price(text: str) -> int:
    """Return a price in micros.

    Raises:
        ValueError: it is not a price.
    """
    value = _scaled(text, MICROS_PER_UNIT)
    if value > _PRICE_MICROS_MAX:
        raise ValueError(f"'{text}' is too large for a price")
    return value


def volume(text: str) -> int:
    """Return a number of shares in nanos.

    Raises:
        ValueError: it is not a number of shares.
    """
    value = _scaled(text, NANOS)
    if value > _VOLUME_NANOS_MAX:
        raise ValueError(f"'{text}' is too large for a number of shares")
    return value


def check_bar(ohlc: tuple[int, int, int, int]) -> None:
    """Check (open, high, low, close) of trades against each other.

    Raises:
        ValueError: a price is zero, or the open or close is outside low and high.
    """
    opened, high, low, closed = ohlc
    if not 0 < low <= min(opened, closed) <= max(opened, closed) <= high:
        raise ValueError("its open, high, low and close contradict each other, or one is zero")


def _scaled(text: str, scale: int) -> int:
    if not _NUMBER.match(text):
        raise ValueError(f"'{text}' is not a number that may stand there")
    value = Decimal(text) * scale if "." in text else int(text) * scale
    if value != int(value):
        raise ValueError(f"'{text}' has more digits than its unit can hold")
    return int(value)


def _read(path: Path) -> str:
    """Return the text of the one CSV in a zip; bytes that are not text become a character no number has."""
    try:
        with ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".csv")]
            if len(entries) != 1:
                raise CorruptFileError(path, f"it has {len(entries)} CSV files in it and must have one")
            if entries[0].file_size > BYTES_MAX:
                raise CorruptFileError(path, f"it unpacks to more than {BYTES_MAX // 1024**2} MB")
            return archive.read(entries[0]).decode("ascii", errors="replace")
    except UNSOUND as error:
        raise CorruptFileError(path, f"it is not a sound zip ({error})") from error
    except OSError as error:
        raise CorruptFileError(path, error.strerror or str(error)) from error

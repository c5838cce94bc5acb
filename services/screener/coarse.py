"""LEAN's coarse universe: one line for each US security of one day, with its close and volume.

Fields: security id, symbol, close in dollars, volume in shares, dollar volume, whether fundamentals exist, price factor
(dividends), split factor. Source: QuantConnect LEAN's repository (Data/equity/usa/fundamental/coarse), commit 24863901.
"""

import csv
import re
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from bus.messages import MICROS, NANOS
from services.screener.faults import CorruptFileError, MalformedLineError
from services.screener.lean_lines import BYTES_MAX
from services.screener.universe import UniverseRow

_FIELDS: Final = 8
_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9.\-/]{0,23}")
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)
_PRICE_MICROS_MAX: Final = 2**53
_SHARES_MAX: Final = 2**62 // NANOS


class CoarseLine(NamedTuple):
    """One security of one day. A price times `split_factor` is comparable with that of any other day."""

    security_id: str
    symbol: str
    close_micros: int
    volume_shares: int
    split_factor: Decimal


def read_coarse(path: Path) -> tuple[CoarseLine, ...]:
    """Read one day, by symbol. Of a symbol that stands twice (a name that was used again) the most traded one counts.

    Raises:
        CorruptFileError: the file cannot be read or is not text of a sane size.
        MalformedLineError: a line is not in the format.
    """
    found: dict[str, CoarseLine] = {}
    for number, fields in enumerate(csv.reader(_text(path).splitlines()), 1):
        if not fields:
            continue
        try:
            line = _line(fields)
        except ValueError as error:
            raise MalformedLineError(path, number, str(error)) from None
        other = found.get(line.symbol)
        if other is None or line.volume_shares > other.volume_shares:
            found[line.symbol] = line
    return tuple(found[symbol] for symbol in sorted(found))


def coarse_rows(day: tuple[CoarseLine, ...], before: tuple[CoarseLine, ...] = ()) -> tuple[UniverseRow, ...]:
    """Return the names of a day to be screened.

    Without `before` they are as on the morning after: the day's close and volume are those of the day before, and no
    price is newer. With it, the day is over and measured against the day before, splits between the two taken out;
    a security is the same one by its id, whatever it is called.
    """
    if not before:
        return tuple(
            UniverseRow(
                symbol=line.symbol,
                prior_close_micros=line.close_micros,
                prior_volume_nanos=line.volume_shares * NANOS,
                price_micros=line.close_micros,
                float_shares=0,
            )
            for line in day
        )
    known = {line.security_id: line for line in before}
    return tuple(_row(line, known.get(line.security_id)) for line in day)


def _row(line: CoarseLine, prior: CoarseLine | None) -> UniverseRow:
    close_micros = volume_nanos = 0
    if prior is not None:
        close_micros, volume_nanos = prior.close_micros, prior.volume_shares * NANOS
        if prior.split_factor != line.split_factor:
            # A split in the night: yesterday's close and shares in the units of today's shares.
            ratio = prior.split_factor / line.split_factor
            close_micros = min(round(close_micros * ratio), _PRICE_MICROS_MAX)
            volume_nanos = min(round(volume_nanos / ratio), _SHARES_MAX * NANOS)
    return UniverseRow(
        symbol=line.symbol,
        prior_close_micros=close_micros,
        prior_volume_nanos=volume_nanos,
        price_micros=line.close_micros,
        float_shares=0,
        day_close_micros=line.close_micros,
        day_volume_nanos=line.volume_shares * NANOS,
    )


def _line(fields: list[str]) -> CoarseLine:
    if len(fields) != _FIELDS:
        raise ValueError(f"it has {len(fields)} fields and must have {_FIELDS}")
    security_id, symbol, close, shares, *_, split = fields
    if not _SYMBOL.fullmatch(symbol):
        raise ValueError(f"'{symbol[:40]}' is not a symbol")
    close_micros, factor, volume = _number(close) * MICROS, _number(split), _number(shares)
    if close_micros > _PRICE_MICROS_MAX or close_micros != int(close_micros):
        raise ValueError(f"'{close}' is too large or too fine for a price")
    if volume > _SHARES_MAX or volume != int(volume):
        raise ValueError(f"'{shares}' is not a number of whole shares")
    if not factor:
        raise ValueError("its split factor is zero")
    return CoarseLine(security_id, symbol, int(close_micros), int(volume), factor)


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"'{text[:40]}' is not a number that may stand there")
    return Decimal(text)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > BYTES_MAX:
            raise CorruptFileError(path, f"it is larger than {BYTES_MAX // 1024**2} MB")
        return path.read_bytes().decode("ascii", errors="replace")
    except OSError as error:
        raise CorruptFileError(path, error.strerror or str(error)) from error

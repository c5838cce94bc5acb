"""The universe on disk: one file with its date, source, filters and a hash, replaced in one step or not at all."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from bus.assembly import CannotStartError
from bus.clock import NS_PER_SECOND, iso_utc
from bus.messages import Symbol
from config.vault import Disk
from services.screener.universe import Count, Milli, UniverseRow

UNIVERSE_FILE: Final = "universe.json"
FORMAT: Final = 1
SECONDS_PER_DAY: Final = 86_400
#: A file from further in the future than this was not written by a clock that is right now.
_AHEAD_S_MAX: Final = SECONDS_PER_DAY
Seconds = Annotated[int, Meta(ge=0, le=2**40)]
_BUILD: Final = "Build it with 'python -m services.screener build-universe'."


class UniverseFileError(CannotStartError):
    """The universe file cannot be used; the message says why, where and what to do."""


class Fundamentals(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a company, and since when, in seconds since 1970; 0 and None = unknown, as in UniverseRow."""

    shares_outstanding: Count = 0
    market_cap_dollars: Count = 0
    pe_milli: Milli | None = None
    debt_to_equity_milli: Milli | None = None
    fetched_at_s: Seconds = 0


class UniverseName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One listed name. `fundamentals` None = never asked for."""

    symbol: Symbol
    mic: str
    security_type: str
    fundamentals: Fundamentals | None = None


class Universe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every name that the filters let in, by symbol; times are seconds since 1970.

    `listed_total` is how many the source listed before `mics` and `security_types` were applied.
    """

    format: int
    source: str
    listed_at_s: Seconds
    built_at_s: Seconds
    mics: tuple[str, ...]
    security_types: tuple[str, ...]
    listed_total: Count
    names: tuple[UniverseName, ...]


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    universe: msgspec.Raw


def write_universe(path: Path, universe: Universe, disk: Disk | None = None) -> str:
    """Put the file in its place: written beside it, synced, renamed, the name synced. Return its sha256.

    Raises:
        OSError: the disk refused; the file of before, if there is one, stays as it is.
    """
    disk = disk or Disk()
    content = msgspec.json.encode(universe)
    digest = hashlib.sha256(content).hexdigest()
    part = path.with_name(f".{path.name}.part")
    disk.write_file(part, msgspec.json.encode(_Envelope(digest, msgspec.Raw(content))))
    disk.rename(part, path)
    disk.sync_folder(path.parent)
    return digest


def read_universe(path: Path, *, now_s: int, age_days_max: int) -> Universe:
    """Return the universe on disk.

    Raises:
        UniverseFileError: it is missing, damaged, of another version, from the future or too old.
    """
    universe = _decoded(path)
    if universe.format != FORMAT:
        raise UniverseFileError(
            f"The universe {path} has format {universe.format}, this version reads {FORMAT}. {_BUILD}"
        )
    age_s = now_s - universe.listed_at_s
    if age_s < -_AHEAD_S_MAX:
        raise UniverseFileError(
            f"The universe {path} says it was listed at {stamp(universe.listed_at_s)}, which is still to come. Look at "
            f"this machine's clock. {_BUILD}"
        )
    if age_s > age_days_max * SECONDS_PER_DAY:
        raise UniverseFileError(
            f"The universe {path} was listed at {stamp(universe.listed_at_s)}, {age_s // SECONDS_PER_DAY} days ago; "
            f"UNIVERSE_MAX_AGE allows {age_days_max}. {_BUILD}"
        )
    return universe


def joined(rows: Iterable[UniverseRow], universe: Universe) -> tuple[UniverseRow, ...]:
    """Add what the universe knows to the rows of the market data. A row that is not in it stays without exchange."""
    known: Mapping[str, UniverseName] = {name.symbol: name for name in universe.names}
    return tuple(_joined(row, known.get(row.symbol)) for row in rows)


def stamp(seconds: int) -> str:
    """Write seconds since 1970 for people, in UTC: 2026-11-25T13:20:00Z."""
    return iso_utc(seconds * NS_PER_SECOND).replace(".000Z", "Z")


def _joined(row: UniverseRow, name: UniverseName | None) -> UniverseRow:
    if name is None:
        return row
    known = name.fundamentals or Fundamentals()
    return replace(
        row,
        mic=name.mic,
        security_type=name.security_type,
        shares_outstanding=known.shares_outstanding,
        market_cap_dollars=known.market_cap_dollars,
        pe_milli=known.pe_milli,
        debt_to_equity_milli=known.debt_to_equity_milli,
    )


def _decoded(path: Path) -> Universe:
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        content = bytes(envelope.universe)
        if hashlib.sha256(content).hexdigest() != envelope.sha256:
            raise UniverseFileError(f"The universe {path} is damaged: it is not what its sha256 says. {_BUILD}")
        return msgspec.json.decode(content, type=Universe)
    except FileNotFoundError:
        raise UniverseFileError(f"There is no universe: {path} does not exist. {_BUILD}") from None
    except OSError as error:
        raise UniverseFileError(
            f"The universe {path} cannot be read: {error.strerror}. Correct its rights, or delete it. {_BUILD}"
        ) from error
    except (msgspec.MsgspecError, RecursionError):
        raise UniverseFileError(f"The universe {path} is damaged: it is cut short or not JSON. {_BUILD}") from None

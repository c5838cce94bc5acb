"""The options that run, compare and sweep share, and what becomes of them."""

import argparse
import re
from decimal import Decimal, InvalidOperation

from bus.messages import MICROS
from replay.choice import SOURCES, RunChoice, read_settings, strategy_settings
from replay.faults import ReplayError
from replay.sources.tables import Synthesis

_SYMBOL = re.compile(r"^[A-Z0-9][A-Z0-9.\-]{0,23}$")
_SEED_MAX = 2**32 - 1
_SIZE_MAX = 1_000_000


def add_market_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which market is played with which settings."""
    add = parser.add_argument
    add("--data", default="", help="folder or file of recorded minutes; without it a market is generated")
    add("--source", default="", choices=("", *SOURCES), metavar="|".join(SOURCES), help="default: what the data is")
    add("--symbols", default="", help="names, comma separated; default: all there are")
    add("--date", default="", help="the one day to play, YYYY-MM-DD: short for the same --start and --end")
    add("--start", default="", help="first day, YYYY-MM-DD; default: the first with data")
    add("--end", default="", help="last day, YYYY-MM-DD; default: the last with data")
    add("--strategies", default="", help="open,mid,close: those that are to run; default: as the settings say")
    add("--settings", action="append", default=[], metavar="FILE|KEY=VALUE", help="change settings; may be repeated")
    add("--seed", default="2", help="seed of the generated market (default 2)")
    add("--half-spread", default="0.01", metavar="DOLLARS", help="CSV and Parquet: half the spread made (default 0.01)")
    add("--quote-size", default="1000", metavar="SHARES", help="CSV and Parquet: size of each side (default 1000)")


def read_choice(options: argparse.Namespace) -> RunChoice:
    """Return what the options choose.

    Raises:
        ReplayError: an option is malformed.
    """
    if options.date and (options.start or options.end):
        raise ReplayError("--date is short for --start and --end: give the one or the others.")
    chosen = dict(read_settings(options.settings)) | dict(strategy_settings(options.strategies))
    return RunChoice(
        data=options.data,
        source=options.source,
        symbols=_symbols(options.symbols),
        start=options.date or options.start,
        end=options.date or options.end,
        seed=whole("--seed", options.seed, (0, _SEED_MAX)),
        settings=tuple(chosen.items()),
        synthesis=Synthesis(
            half_spread_micros=_micros("--half-spread", options.half_spread),
            size_shares=whole("--quote-size", options.quote_size, (1, _SIZE_MAX)),
        ),
    )


def whole(name: str, text: str, bounds: tuple[int, int]) -> int:
    """Read a whole number.

    Raises:
        ReplayError: it is none, or outside the bounds, both of which are allowed.
    """
    if not text.isascii() or not text.isdigit() or not bounds[0] <= int(text) <= bounds[1]:
        raise ReplayError(f"{name} is '{text}': it must be a whole number from {bounds[0]} to {bounds[1]}.")
    return int(text)


def _symbols(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(word.strip().upper() for word in text.split(",") if word.strip()))
    wrong = [name for name in names if not _SYMBOL.match(name)]
    if wrong:
        raise ReplayError(f"--symbols has '{', '.join(wrong)}': give symbols such as SPY,BRK.B.")
    return names


def _micros(name: str, text: str) -> int:
    try:
        value = Decimal(text) * MICROS
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value != int(value) or not 0 <= value <= 100 * MICROS:
        raise ReplayError(f"{name} is '{text}': it must be dollars from 0 to 100 with at most 6 decimals.")
    return int(value)

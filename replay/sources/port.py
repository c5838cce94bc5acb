"""What a replay needs of a source of minutes, and the sources that the bot's own readers give."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bus.messages import SessionPlanned
from replay.faults import ReplayError
from services.screener.lean import LeanFolder
from services.screener.steps import MarketDay


class DaySource(Protocol):
    """A source of sessions. It is opened once; each day is read when it is played."""

    @property
    def name(self) -> str:
        """Return what people are told that is played."""
        ...

    def days(self) -> tuple[str, ...] | None:
        """Return the days that have data, YYYY-MM-DD in order; None = any trading day."""
        ...

    def load(self, plan: SessionPlanned) -> MarketDay:
        """Return one session, checked in full.

        Raises:
            ReplayError, CannotStartError: what is wrong, in which file and row, and what to do.
        """
        ...


@dataclass
class LeanSource:
    """Recorded minutes in LEAN's layout. `symbols` empty = on each day all that have it."""

    folder: LeanFolder
    symbols: tuple[str, ...]
    name: str

    def days(self) -> tuple[str, ...]:
        """Return the days for which any wanted symbol has a file."""
        wanted = self.symbols or self.folder.symbols()
        return tuple(sorted({day for symbol in wanted for day in self.folder.days(symbol)}))

    def load(self, plan: SessionPlanned) -> MarketDay:
        """Return the session of those wanted names that have the day."""
        there = [symbol for symbol in self.symbols if plan.session_date in self.folder.days(symbol)]
        return self.folder.load(plan, there)


@dataclass
class GeneratedSource:
    """The generated market of one seed."""

    seed: int
    symbols: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return what is played."""
        return f"generated market, seed {self.seed}"

    def days(self) -> None:
        """Return None: every trading day can be generated."""
        return

    def load(self, plan: SessionPlanned) -> MarketDay:
        """Return the session of this seed and day."""
        from services.screener.generator import generate

        return generate(plan, self.seed, self.symbols)


def open_lean(root: Path, symbols: Sequence[str]) -> LeanSource:
    """Open a LEAN folder.

    Raises:
        CannotStartError: it has no minutes.
        ReplayError: a wanted symbol is not in it.
    """
    folder = LeanFolder(root)
    missing = sorted(set(symbols) - set(folder.symbols()))
    if missing:
        raise ReplayError(f"{root} has no minutes of {', '.join(missing)}. It has {', '.join(folder.symbols())}.")
    return LeanSource(folder, tuple(symbols), f"recorded minutes from {root}")

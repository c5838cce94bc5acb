"""Rows of a table with their goals, quantiles, and the disk's own limit."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_COLUMNS: Final = ("what", "measured", "bare", "ratio", "goal", "met")
_APPEND_BYTES: Final = 512


@dataclass(frozen=True)
class Goal:
    """A limit for a row: for its ratio to the bare figure, or for the measured figure itself."""

    limit: float
    is_at_most: bool = True
    is_ratio: bool = True

    def is_met(self, value: float) -> bool:
        """Tell whether the value keeps the limit."""
        return value <= self.limit if self.is_at_most else value >= self.limit

    def text(self, unit: str) -> str:
        """Write the goal for the table."""
        return f"{'<=' if self.is_at_most else '>='} {self.limit:g}{'x' if self.is_ratio else ' ' + unit}"


@dataclass(frozen=True)
class Row:
    """One line of the table; `bare` is the limit measured in the same interleaved run, None when there is none."""

    what: str
    measured: float
    unit: str
    bare: float | None = None
    goal: Goal | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        ratio = self.measured / self.bare if self.bare else None
        met = "-"
        if self.goal:
            judged = ratio if self.goal.is_ratio else self.measured
            met = "met" if judged is not None and self.goal.is_met(judged) else "NOT MET"
        return (
            self.what,
            _figure(self.measured, self.unit),
            _figure(self.bare, self.unit) if self.bare else "-",
            f"{ratio:.2f}x" if ratio else "-",
            self.goal.text(self.unit) if self.goal else "-",
            met,
        )


#: What is said of every latency: its name, the share of all values below it, and the goal against the bare figure.
#: Between two of what is measured the bus and the disk have about as long a rest.
_BETWEEN_APPENDS_S: Final = 0.001
_LATENCY: Final = (("p50", 0.5, Goal(1.5)), ("p99", 0.99, Goal(2.0)))


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print the rows in aligned columns, separated by ` | `."""
    lines = [_COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    print(f"\n{title}")
    for line in lines:
        print(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of all values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median_quantile(rounds: Sequence[Sequence[float]], share: float) -> float:
    """Return the median over the rounds of each round's quantile: one disturbed round does not decide."""
    return statistics.median(quantile(values, share) for values in rounds)


def latency_rows(what: str, ours: Sequence[Sequence[float]], bare: Sequence[Sequence[float]]) -> list[Row]:
    """Return the rows of a latency in microseconds beside the bare one, both measured in the same rounds."""
    return [
        Row(f"{what}: {name}", median_quantile(ours, share), "us", median_quantile(bare, share), goal)
        for name, share, goal in _LATENCY
    ]


def synced_appends_us(folder: Path, count: int) -> list[float]:
    """Append to a file and sync it, `count` times, one each millisecond; return the microseconds of each."""
    sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    taken = []
    descriptor = os.open(folder / "append.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            time.sleep(_BETWEEN_APPENDS_S)
            begin = time.perf_counter_ns()
            os.write(descriptor, b"\0" * _APPEND_BYTES)
            sync(descriptor)
            taken.append((time.perf_counter_ns() - begin) / 1000)
    finally:
        os.close(descriptor)
    return taken


def _figure(value: float, unit: str) -> str:
    digits = 0 if value >= 1000 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f} {unit}"

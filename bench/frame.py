"""What every bench is: a size by its arguments, work on it, a table with words below it, and an exit code."""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from measure import Row, print_table
from workers import Crew

from config.paths import HomePaths

SizeT = TypeVar("SizeT")


@dataclass(frozen=True)
class Sizes(Generic[SizeT]):
    """How much a bench measures, and how little with --quick."""

    full: SizeT
    quick: SizeT


@dataclass(frozen=True)
class Report:
    """What a bench has found; `words` stand below its table. One that has failed ends with exit code 1."""

    title: str
    rows: Sequence[Row]
    words: str
    has_failed: bool = False


def run_bench(does: str, sizes: Sizes[SizeT], work: Callable[[SizeT], Report], arguments: Sequence[str]) -> int:
    """Run a bench by its arguments, print what it has found, and return the exit code."""
    options = _parser(does).parse_args(arguments)
    return _tell(work(_size(sizes, options)))


def run_seeded_bench(
    does: str, sizes: Sizes[SizeT], work: Callable[[SizeT, int], Report], arguments: Sequence[str]
) -> int:
    """Run a bench that draws by a seed: as `run_bench`, with --seed."""
    parser = _parser(does)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    return _tell(work(_size(sizes, options), options.seed))


@contextmanager
def crew_at_home() -> Iterator[tuple[HomePaths, Crew]]:
    """Give a new home with a short name and a crew for it; the crew is ended before the home is removed."""
    with tempfile.TemporaryDirectory(prefix="tb-") as folder, Crew() as crew:
        paths = HomePaths(Path(folder))
        paths.make()
        yield paths, crew


def _parser(does: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=does)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that the bench works")
    return parser


def _size(sizes: Sizes[SizeT], options: argparse.Namespace) -> SizeT:
    return sizes.quick if options.quick else sizes.full


def _tell(report: Report) -> int:
    print_table(report.title, report.rows)
    print(report.words)
    return 1 if report.has_failed else 0

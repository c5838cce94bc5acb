"""`python -m replay compare`: days through the real processes and through replay, and whether they did the same."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bus.processes import free_port, stop_on_signals
from config.paths import HomePaths
from replay.books import compare_books
from replay.choice import Prepared, prepare
from replay.command_run import say_left_out
from replay.compare import SAME, Comparison, Verdict, compare, days_table, journals, of_replay, table
from replay.lean_day import write_lean
from replay.options import add_market_options, read_choice
from replay.progress import Progress
from replay.run import play_days
from replay.session import DEMO_IDENTITY
from replay.sources.tables import TableSource
from replay.stage import Stage

_SESSION_TIMEOUT_S: Final = 3600
#: What is compared is decisions, not how fast a halt comes: a busy machine must not end the comparison.
_PATIENCE: Final = ("HEARTBEAT_TIMEOUT", "10000")


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the options of `compare`."""
    add_market_options(parser)


def run(options: argparse.Namespace) -> int:
    """Play each chosen day both ways and print its comparison; return 0 when all is the same, else 1.

    A day begins with fresh cash and a fresh home. One that is different keeps no other from being played.

    Raises:
        SettingsError, CannotStartError, ReplayError, StageError: with what is wrong and what to do.
    """
    choice = read_choice(options)
    data = str(Path(choice.data).expanduser().absolute()) if choice.data else ""
    choice = replace(choice, data=data, settings=(_PATIENCE, *choice.settings))
    chosen = prepare(choice)
    say_left_out(chosen)
    stop_on_signals()
    days = [plan.session_date for plan in chosen.plans]
    progress = Progress(sys.stderr)
    verdicts = []
    for done, day in enumerate(days):
        progress.move(done, len(days), f"{day} both ways")
        verdicts.append(_day(prepare(replace(choice, start=day, end=day), chosen.source)))
        progress.move(done + 1, len(days), day)
    progress.end()
    if len(days) > 1:
        print(f"\n{days_table(verdicts)}")
    return 0 if all(verdict.is_equal for verdict in verdicts) else 1


def _day(prepared: Prepared) -> Verdict:
    """Play one day both ways and print every line of it."""
    day = prepared.plans[0]
    print(f"\n{prepared.source.name}, {day.session_date}", flush=True)
    found, faults = both_ways(prepared)
    print(table(found))
    for fault in faults:
        print(f"Paper broker against ledger, in the processes: {fault}")
    difference = found.first_difference()
    print(f"\n{difference or SAME}", flush=True)
    names = tuple(row.symbol for row in prepared.source.load(day).rows)
    return Verdict(session_date=day.session_date, symbols=names, comparison=found, faults=tuple(faults))


def both_ways(prepared: Prepared) -> tuple[Comparison, list[str]]:
    """Play a prepared day in replay and through the processes; return the comparison, and what their books say.

    Raises:
        CannotStartError, StageError, ReplayError, StoreError: one of them cannot be played to its end.
    """
    with _home() as paths:
        replayed = of_replay(play_days(prepared, paths).days[0].events)
    with _home() as paths, _settings_of(prepared) as settings:
        stage = Stage(paths, free_port())
        try:
            sys.stderr.write("Starting the processes\n")
            stage.configure(settings, DEMO_IDENTITY)
            stage.arm("comparison")
            sys.stderr.write("Playing\n")
            stage.wait_for_end(_SESSION_TIMEOUT_S)
        finally:
            stage.stop()
        return compare(journals(paths), replayed), compare_books(paths, DEMO_IDENTITY)


@contextmanager
def _settings_of(prepared: Prepared) -> Iterator[dict[str, str]]:
    """Give the settings by which the processes play the same day.

    They read LEAN folders and the generated market: a day of CSV or Parquet is written into such a folder for them.
    """
    if not isinstance(prepared.source, TableSource):
        yield prepared.settings
        return
    plan = prepared.plans[0]
    with tempfile.TemporaryDirectory(prefix="tb-day-") as folder:
        write_lean(Path(folder), prepared.source.load(plan), plan)
        yield prepared.settings | {"MARKET_DATA_SOURCE": "recorded", "MARKET_DATA_DIR": folder}


@contextmanager
def _home() -> Iterator[HomePaths]:
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        yield HomePaths(Path(folder))

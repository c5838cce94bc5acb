"""`python -m replay run`: play days in one process, print what they did, and leave an output folder."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from config.paths import HomePaths
from replay.choice import Prepared, prepare
from replay.figures import dollars
from replay.options import add_market_options, read_choice
from replay.output import check_free, new_folder, write_results
from replay.progress import Progress
from replay.report import refusals_table, trades_table
from replay.results import Results, absent, results, without_candidates
from replay.run import ledger_of, play_days


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the options of `run`."""
    add_market_options(parser)
    parser.add_argument("--out", default="", help="folder for tables, ledger and report.html; default: print only")
    parser.add_argument("--force", action="store_true", help="replace the results of an earlier run in --out")


def run(options: argparse.Namespace) -> int:
    """Play and print; return 0, or 1 when broker and ledger differ.

    Raises:
        SettingsError, CannotStartError, ReplayError: with what is wrong and what to do.
    """
    prepared = prepare(read_choice(options))
    out = Path(options.out).expanduser().absolute() if options.out else None
    if out:
        check_free(out, force=options.force)
    print(f"{prepared.source.name}: {len(prepared.plans)} days, "
          f"{prepared.plans[0].session_date} to {prepared.plans[-1].session_date}", flush=True)  # fmt: skip
    say_left_out(prepared)
    bar = Progress(sys.stderr)
    with ExitStack() as stack:
        home = HomePaths(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tb-"))))
        outcome = play_days(prepared, home, bar.move)
        bar.end()
        found = results(outcome)
        for day, names in absent(outcome).items():
            sys.stderr.write(f"{day}: no data of {', '.join(names)}\n")
        for day, why in without_candidates(outcome).items():
            sys.stderr.write(f"{day}: no candidates: {why}\n")
        if out:
            folder = stack.enter_context(new_folder(out, force=options.force))
            write_results(folder, found, ledger_of(home))
            # The charts' library takes half a second to load, so only what draws loads it.
            from replay.html_report import html_report

            (folder / "report.html").write_text(html_report(found), encoding="utf-8")
    _print(found)
    if out:
        print(f"\nResults     {out}")
    return 1 if outcome.faults else 0


def say_left_out(prepared: Prepared) -> None:
    """Name the sessions that are not played, and why, on the error stream."""
    for days, why in (
        (prepared.missing, "have no data"),
        (prepared.excluded, "are not among the TRADING_DAYS"),
    ):
        if not days:
            continue
        shown = ", ".join(days[:8]) + (f" and {len(days) - 8} more" if len(days) > 8 else "")
        sys.stderr.write(f"Left out: {len(days)} trading days {why}: {shown}\n")


def _print(found: Results) -> None:
    days = found.outcome.days
    if len(days) == 1:
        print(trades_table(found.trades))
        print(refusals_table([event for _, event in days[0].events]))
    print(summary(found))


def summary(found: Results) -> str:
    """Write the days and the figures as tables for a terminal."""
    lines = [f"{'session':<12}{'result':>14}{'equity':>16}"]
    pnl = found.curves.day_pnl(found.curves.whole)
    equity = found.curves.equity()
    for day, end, gained in zip(found.curves.days, found.curves.ends, pnl, strict=True):
        lines.append(f"{day:<12}{dollars(gained):>14}{dollars(equity[end - 1]):>16}")
    names = ("all", *found.of_strategy)
    columns = [found.whole, *found.of_strategy.values()]
    lines.append("\n" + " " * 20 + "".join(f"{name:>16}" for name in names))
    for field in found.whole.__struct_fields__:
        values = (getattr(column, field) for column in columns)
        lines.append(f"{field:<20}" + "".join(f"{'-' if value is None else value!s:>16}" for value in values))
    faults = "; ".join(found.outcome.faults) or "cash and every position agree."
    return "\n".join([*lines, f"\nPaper broker against ledger: {faults}"])

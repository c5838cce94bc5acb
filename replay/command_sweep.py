"""`python -m replay sweep`: try settings side by side and rank them; a sweep that was stopped goes on."""

import argparse
import shutil
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

from replay.choice import RunChoice, prepare
from replay.engines import Engine, on_cluster, on_this_machine
from replay.faults import ReplayError
from replay.options import add_market_options, read_choice, whole
from replay.output import write_csv, write_json
from replay.progress import Progress
from replay.stats import Stats
from replay.sweep import COMBINATIONS_MAX, Job, Kept, Verdict, combinations, jobs, ranked, read_sets
from replay.sweep_report import result_rows, sweep_report

_WORKERS_MAX: Final = 1_024
_SHOWN: Final = 10
MARKER: Final = "sweep.json"


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sweep`."""
    add_market_options(parser)
    add = parser.add_argument
    add("--set", action="append", default=[], metavar="KEY=v1,v2", help="a setting and its values; may be repeated")
    add("--random", default="0", metavar="N", help="try only N combinations, drawn by --seed")
    add(
        "--metric",
        default="net",
        choices=Stats.__struct_fields__,
        metavar="FIGURE",
        help="what to rank by: net, sharpe",
    )
    add("--validate-from", default="", metavar="DATE", help="rank by the days before; show the days from it apart")
    add("--out", required=True, help="folder for the table, the report, and what is done")
    add("--force", action="store_true", help="forget what an earlier sweep in --out has done")
    add("--workers", default="0", help="processes on this machine; 0 = one for each core")
    add("--scheduler", default="", metavar="ADDRESS", help="play on this Dask cluster, such as tcp://10.0.0.1:8786")


def run(options: argparse.Namespace) -> int:
    """Sweep, print the best, and write the table and the report; return 0, or 1 when no combination could be played.

    Raises:
        SettingsError, CannotStartError, ReplayError: with what is wrong and what to do.
    """
    choice = read_choice(options)
    out = Path(options.out).expanduser().absolute()
    choice = replace(choice, data=str(Path(choice.data).expanduser().absolute()) if choice.data else "")
    some = whole("--random", options.random, (0, COMBINATIONS_MAX))
    wanted = combinations(read_sets(options.set), some, choice.seed)
    _check_split(options.validate_from, choice)
    workers = whole("--workers", options.workers, (0, _WORKERS_MAX))
    engine = on_cluster(options.scheduler) if options.scheduler else on_this_machine(workers)
    source = prepare(choice).source.name
    _take_folder(out, force=options.force)
    write_json(out / MARKER, {"source": source, "metric": options.metric, "combinations": len(wanted)})
    planned = jobs(choice, wanted, options.validate_from)
    found = ranked(play_all(planned, Kept(out / "done"), engine), options.metric)
    rows = result_rows(found, options.metric)
    write_csv(out / "results.csv", rows)
    page = sweep_report(found, options.metric, source, options.validate_from)
    (out / "report.html").write_text(page, encoding="utf-8")
    _print(found, options.metric)
    print(f"\nResults     {out}")
    return 0 if any(verdict.stats for verdict in found) else 1


def play_all(planned: list[Job], kept: Kept, engine: Engine) -> list[Verdict]:
    """Return each job's verdict, in the jobs' order; those that are kept from before are not played again."""
    known = {job.key: verdict for job in planned if (verdict := kept.get(job))}
    left = [job for job in planned if job.key not in known]
    if known:
        sys.stderr.write(f"{len(known)} of {len(planned)} combinations are done already\n")
    bar = Progress(sys.stderr)
    failed = 0
    for job, verdict in engine(left) if left else ():
        kept.put(job, verdict)
        known[job.key] = verdict
        failed += bool(verdict.error)
        bar.move(len(known), len(planned), f"{len(known)} of {len(planned)} combinations, {failed} failed")
    bar.end()
    return [known[job.key] for job in planned]


def _check_split(validate_from: str, choice: RunChoice) -> None:
    if not validate_from:
        return
    try:
        is_day = date.fromisoformat(validate_from).isoformat() == validate_from
    except ValueError:
        is_day = False
    if not is_day:
        raise ReplayError(f"--validate-from is '{validate_from}': it must be a day such as 2013-10-08 (YYYY-MM-DD).")
    if not (choice.start or "0") < validate_from <= (choice.end or "9"):
        raise ReplayError(f"--validate-from {validate_from} must lie after --start and not after --end.")


def _take_folder(out: Path, *, force: bool) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).is_file())):
        raise ReplayError(f"{out} was not made by a sweep: nothing was touched. Give --out a new or empty folder.")
    try:
        if force and out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReplayError(f"The output folder {out} cannot be written: {error.strerror}.") from error


def _print(found: list[Verdict], metric: str) -> None:
    for verdict in found[:_SHOWN]:
        settings = " ".join(f"{key}={value}" for key, value in verdict.combination)
        if verdict.stats:
            print(f"{metric} {getattr(verdict.stats, metric) or '-':>14}  {verdict.stats.trades:>6} trades  {settings}")
    for verdict in found:
        if verdict.error:
            settings = " ".join(f"{key}={value}" for key, value in verdict.combination)
            sys.stderr.write(f"Failed: {settings}: {verdict.error}\n")

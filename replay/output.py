"""The output folder of a run: made beside its place, then put there in one step; a folder of another kind is kept."""

import csv
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from bus.build import build_id
from replay.faults import ReplayError
from replay.results import (
    Results,
    Row,
    absent,
    day_rows,
    denied_rows,
    equity_rows,
    fill_rows,
    signal_rows,
    trade_rows,
)
from replay.stats import CONVENTIONS

#: Each kind of output has a file that marks its folder: only a folder with one is ever replaced.
MARKERS: Final = ("run.json", "sweep.json")


@contextmanager
def new_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to write into, which becomes `out` when the block ends well; otherwise nothing is left of it.

    Raises:
        ReplayError: `out` is there and `force` is not given, or it was not made by a replay.
    """
    check_free(out, force=force)
    building = out.with_name(f".{out.name}.building")
    try:
        if building.exists():
            shutil.rmtree(building)
        building.mkdir(parents=True)
        yield building
        if out.exists():
            shutil.rmtree(out)
        building.replace(out)
    except OSError as error:
        raise ReplayError(f"The output folder {out} cannot be written: {error.strerror} ({error.filename}).") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def check_free(out: Path, *, force: bool) -> None:
    """Check that `out` may be written.

    Raises:
        ReplayError: it may not; the message says why.
    """
    if out.exists() and not out.is_dir():
        raise ReplayError(f"{out} is a file: give --out a new or empty folder.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not any((out / marker).is_file() for marker in MARKERS):
        raise ReplayError(f"{out} is not empty and was not made by a replay: nothing was touched. Give --out another.")
    if not force:
        raise ReplayError(f"{out} has the results of an earlier run: give --force to replace them, or another --out.")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of text as CSV (RFC 4180, with line feeds)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_results(folder: Path, found: Results, ledger: Path) -> None:
    """Write every table, the figures, the ledger and what was run into a folder."""
    write_csv(folder / "trades.csv", trade_rows(found.trades))
    write_csv(folder / "fills.csv", fill_rows(found.trades))
    write_csv(folder / "signals.csv", signal_rows(found.outcome))
    write_csv(folder / "denied.csv", denied_rows(found.outcome))
    write_csv(folder / "equity.csv", equity_rows(found.curves))
    write_csv(folder / "days.csv", day_rows(found.curves))
    figures = {"whole": found.whole, "by_strategy": found.of_strategy, "conventions": CONVENTIONS}
    write_json(folder / "stats.json", figures)
    write_json(folder / "run.json", run_record(found))
    shutil.copyfile(ledger, folder / ledger.name)


def run_record(found: Results) -> dict[str, Any]:
    """Return what was run: enough to run it again and to see that the data was the same."""
    outcome = found.outcome
    prepared = outcome.prepared
    return {
        "version": version("tradebot"),
        "build": build_id(),
        "source": prepared.source.name,
        "data_sha256": outcome.digest,
        "seed": int(prepared.settings["MARKET_DATA_SEED"]),
        "days": list(found.curves.days),
        "days_without_data": list(prepared.missing),
        "days_excluded_by_trading_days": list(prepared.excluded),
        "symbols_without_data": absent(outcome),
        "bars": sum(day.bars for day in outcome.days),
        "symbols": sorted({symbol for day in outcome.days for symbol in day.symbols}),
        "broker_against_ledger": list(outcome.faults) or "cash and every position agree",
        "settings": prepared.settings,
    }

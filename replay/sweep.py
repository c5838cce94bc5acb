"""Settings tried side by side: the combinations, what one of them comes to, and what is kept so that a sweep goes on.

A combination is played by `evaluate`, which any process of any machine with this program and the same data can run.
"""

import functools
import random
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Final

import msgspec

from bus.assembly import CannotStartError
from bus.build import build_id
from bus.messages import SessionPlanned
from config.env_bot import BY_KEY, SettingsError
from config.paths import HomePaths
from replay.choice import RunChoice, open_source, prepare
from replay.faults import ReplayError
from replay.results import results
from replay.run import play_days
from replay.sources.port import DaySource
from replay.stats import Stats
from services.screener.steps import MarketDay

Combination = tuple[tuple[str, str], ...]
COMBINATIONS_MAX: Final = 100_000
#: How many opened days a process keeps for its next combination.
_DAYS_KEPT: Final = 64
#: A replay lets the process's clocks stand, so a process plays one combination at a time, however many threads it has.
_ALONE: Final = threading.Lock()
#: Of these figures less is better; of all others more.
LESS_IS_BETTER: Final = ("max_drawdown", "max_drawdown_ratio", "fees")


@dataclass(frozen=True)
class Job:
    """One combination to play. `validate_from` empty = no second part; `key` names it and what it depends on."""

    key: str
    combination: Combination
    choice: RunChoice
    validate_from: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one combination came to: its figures, or why it could not be played. `validation` is of the later days."""

    combination: Combination
    error: str = ""
    stats: Stats | None = None
    validation: Stats | None = None


def read_sets(words: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Read `KEY=v1,v2,v3` words.

    Raises:
        ReplayError: a word is malformed, or names no setting, one twice, or the market's data.
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, _, text = word.partition("=")
        key = key.strip().upper()
        values = tuple(dict.fromkeys(value.strip() for value in text.split(",") if value.strip()))
        if not values:
            raise ReplayError(f"--set {word}: give KEY=v1,v2,v3.")
        if key not in BY_KEY or key.startswith("MARKET_DATA_"):
            raise ReplayError(f"--set {word}: {key} is not a setting that can be swept; see docs/settings.md.")
        if key in found:
            raise ReplayError(f"--set {key} is given twice: put all its values into one.")
        found[key] = values
    if not found:
        raise ReplayError("Give --set KEY=v1,v2,v3 at least once.")
    return list(found.items())


def combinations(sets: Sequence[tuple[str, Sequence[str]]], some: int = 0, seed: int = 0) -> list[Combination]:
    """Return every combination of the values, in order; or so many of them, drawn without repeats by a seed.

    Raises:
        ReplayError: there are too many.
    """
    total = functools.reduce(lambda count, one: count * len(one[1]), sets, 1)
    if (some or total) > COMBINATIONS_MAX or total > 10**9:
        raise ReplayError(f"{total:,} combinations are too many: {COMBINATIONS_MAX:,} at most. Use --random N.")
    if not some or some >= total:
        return [tuple(zip((key for key, _ in sets), values, strict=True)) for values in product(*(v for _, v in sets))]
    drawn = sorted(random.Random(seed).sample(range(total), some))
    return [_combination(sets, number) for number in drawn]


def _combination(sets: Sequence[tuple[str, Sequence[str]]], number: int) -> Combination:
    """Return the combination with this place in the grid, whose last setting changes fastest."""
    chosen: list[tuple[str, str]] = []
    for key, values in reversed(sets):
        number, place = divmod(number, len(values))
        chosen.append((key, values[place]))
    return tuple(reversed(chosen))


def jobs(choice: RunChoice, wanted: Iterable[Combination], validate_from: str = "") -> list[Job]:
    """Return a job for each combination; its key changes with the program, the data's files and every choice."""
    base = f"{build_id()}|{_files(choice.data)}|{validate_from}"
    made = []
    for combination in wanted:
        changed = replace(choice, settings=tuple((dict(choice.settings) | dict(combination)).items()))
        key = sha256(f"{base}|{sorted(changed.settings)}|{replace(changed, settings=())}".encode()).hexdigest()[:24]
        made.append(Job(key, combination, changed, validate_from))
    return made


def _files(data: str) -> str:
    """Return what tells the data's files from those of another time: their names, sizes and times of change."""
    root = Path(data).expanduser()
    if not data or not root.exists():
        return data
    files = sorted(root.rglob("*")) if root.is_dir() else [root]
    said = sha256()
    for file in files:
        if file.is_file():
            known = file.stat()
            said.update(f"{file}|{known.st_size}|{known.st_mtime_ns}\n".encode())
    return said.hexdigest()


def evaluate(job: Job) -> Verdict:
    """Play one combination, in a temporary home; a fault of its settings or data is part of the verdict."""
    try:
        if not job.validate_from:
            return Verdict(combination=job.combination, stats=_figures(job.choice))
        day_before = (date.fromisoformat(job.validate_from) - timedelta(days=1)).isoformat()
        return Verdict(
            combination=job.combination,
            stats=_figures(replace(job.choice, end=day_before)),
            validation=_figures(replace(job.choice, start=job.validate_from)),
        )
    except (SettingsError, CannotStartError, ReplayError) as error:
        return Verdict(combination=job.combination, error=" ".join(str(error).split()))


def _figures(choice: RunChoice) -> Stats:
    with _ALONE, tempfile.TemporaryDirectory(prefix="tb-") as folder:
        prepared = prepare(choice, _source(replace(choice, settings=(), start="", end="")))
        outcome = play_days(prepared, HomePaths(Path(folder)))
    if outcome.faults:
        raise ReplayError(f"Paper broker and ledger differ: {'; '.join(outcome.faults)}")
    return results(outcome).whole


class _KeptDays:
    """A source that keeps the newest days it has opened: the next combination plays the same ones."""

    def __init__(self, source: DaySource) -> None:
        self._source = source
        self._days: OrderedDict[SessionPlanned, MarketDay] = OrderedDict()

    @property
    def name(self) -> str:
        return self._source.name

    def days(self) -> tuple[str, ...] | None:
        return self._source.days()

    def load(self, plan: SessionPlanned) -> MarketDay:
        if plan not in self._days:
            self._days[plan] = self._source.load(plan)
            if len(self._days) > _DAYS_KEPT:
                self._days.popitem(last=False)
        return self._days[plan]


@functools.lru_cache(maxsize=1)
def _source(choice: RunChoice) -> DaySource:
    return _KeptDays(open_source(choice))


def ranked(verdicts: Iterable[Verdict], metric: str) -> list[Verdict]:
    """Return verdicts, the best by this figure first; those without the figure come after, failed ones last."""

    def place(verdict: Verdict) -> tuple[int, float]:
        value = getattr(verdict.stats, metric) if verdict.stats else None
        if value is None:
            return (2 if verdict.error else 1), 0.0
        # Only an order is made of this number; the figure itself stays exact.
        return 0, float(value) if metric in LESS_IS_BETTER else -float(value)

    return sorted(verdicts, key=place)


class Kept:
    """The verdicts in a sweep's folder: one file each, so that a sweep that was stopped goes on where it was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, job: Job) -> Verdict | None:
        """Return a job's verdict; None when it has none, could not be played, or its file is damaged."""
        try:
            verdict = msgspec.json.decode(self._file(job).read_bytes(), type=Verdict)
        except (OSError, msgspec.MsgspecError):
            return None
        return None if verdict.error or verdict.combination != job.combination else verdict

    def put(self, job: Job, verdict: Verdict) -> None:
        """Keep a verdict: whole, or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        building = self._file(job).with_suffix(".building")
        building.write_bytes(msgspec.json.encode(verdict))
        building.replace(self._file(job))

    def _file(self, job: Job) -> Path:
        return self._folder / f"{job.key}.json"

"""What a person chooses to replay, and the settings, source and days that follow from it; checked before any play."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from bus.calendar import plan_session, read_exchange_sessions
from bus.messages import SessionPlanned
from config.env_bot import BY_KEY, EnvBot, parse, proposals
from replay.faults import ReplayError
from replay.sources.port import DaySource, GeneratedSource, open_lean
from replay.sources.tables import Synthesis, TableSource, open_tables

SOURCES = ("lean", "csv", "parquet", "generated")
STRATEGIES = ("open", "mid", "close")
_PAIR = re.compile(r"^\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
_DAYS_MAX = 366 * 60


@dataclass(frozen=True, kw_only=True)
class RunChoice:
    """What to play; it can be sent to another process.

    Args:
        data: folder or file of recorded minutes; empty = the generated market.
        source: one of SOURCES; empty = what the data looks like.
        symbols: names to play; empty = all there are.
        start: first day, YYYY-MM-DD; empty = the first with data, of the generated market MARKET_DATA_DATE's proposal.
        end: last day; empty = the last with data, of the generated market the first.
        settings: (key, value) pairs that differ from the proposals.
        synthesis: the quotes that are made for a source that has none.
    """

    data: str = ""
    source: str = ""
    symbols: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    seed: int = 2
    settings: tuple[tuple[str, str], ...] = ()
    synthesis: Synthesis = field(default_factory=Synthesis)


@dataclass(frozen=True)
class Prepared:
    """A choice that can be played: full settings, their checked form, an open source, and the days in order.

    `missing` are sessions of the exchange without data, `excluded` those that TRADING_DAYS leaves out.
    """

    settings: dict[str, str]
    env: EnvBot
    source: DaySource
    plans: tuple[SessionPlanned, ...]
    missing: tuple[str, ...]
    excluded: tuple[str, ...]


def prepare(choice: RunChoice, source: DaySource | None = None) -> Prepared:
    """Check settings, source and days; nothing is written.

    Args:
        choice: what to play.
        source: the choice's own source, when it is open already.

    Raises:
        config.env_bot.SettingsError: with every fault of the settings.
        CannotStartError, ReplayError: the source or the days cannot be played.
    """
    source = source or open_source(choice)
    first, last = _span(choice, source.days())
    settings = full_settings(choice, first)
    env = parse(settings)
    sessions = _sessions(first, last)
    plans = [plan_session(day, env, 0) for day in sessions]
    having = source.days()
    dated = [plan for plan in plans if having is None or plan.session_date in having]
    played = tuple(plan for plan in dated if plan.is_trading_day)
    if not played:
        raise ReplayError(
            f"There is nothing to play from {first} to {last}: {len(sessions)} sessions of the exchange, "
            f"{len(dated)} of them with data. {_days_there(having)}"
        )
    return Prepared(
        settings=settings,
        env=env,
        source=source,
        plans=played,
        missing=tuple(plan.session_date for plan in plans if having is not None and plan.session_date not in having),
        excluded=tuple(plan.session_date for plan in dated if not plan.is_trading_day),
    )


#: Each question starts a process, and a sweep asks the same one for every combination.
_sessions = functools.lru_cache(maxsize=8)(read_exchange_sessions)


def open_source(choice: RunChoice) -> DaySource:
    """Open the source that the choice names, or that its data looks like.

    Raises:
        CannotStartError, ReplayError: it cannot be opened; the message says what to do.
    """
    root = Path(choice.data).expanduser()
    if choice.data and not root.exists():
        raise ReplayError(f"--data {choice.data}: there is no such file or folder.")
    kind = choice.source or _kind_of(choice.data, root)
    if kind == "generated":
        if choice.data:
            raise ReplayError("The generated market has no data folder: leave --data out, or choose another --source.")
        return GeneratedSource(choice.seed, choice.symbols)
    if not choice.data:
        raise ReplayError(f"--source {kind} needs --data: the folder or file of the recorded minutes.")
    if kind == "lean":
        return open_lean(root, choice.symbols)
    if kind in ("csv", "parquet"):
        return _open_tables(root, kind, choice)
    raise ReplayError(f"--source is '{kind}': it must be one of {', '.join(SOURCES)}.")


def _open_tables(root: Path, kind: str, choice: RunChoice) -> TableSource:
    return open_tables(root, kind, choice.symbols, choice.synthesis)


def full_settings(choice: RunChoice, first: str) -> dict[str, str]:
    """Return every setting: the proposals, what the choice changes, and where the data is."""
    taken = [key for key, _ in choice.settings if key.startswith("MARKET_DATA_")]
    if taken:
        raise ReplayError(f"{', '.join(taken)} cannot be set here: use --data, --symbols, --start, --end and --seed.")
    broker = dict(choice.settings).get("BROKER_NAME", "PAPER")
    if broker != "PAPER":
        raise ReplayError(
            f"BROKER_NAME is {broker}, but a replay trades at the embedded paper broker alone: leave BROKER_NAME, "
            "ALPACA_ENABLED and IBKR_ENABLED out of the settings."
        )
    market = {
        "MARKET_DATA_SOURCE": "recorded" if choice.data else "generated",
        "MARKET_DATA_DIR": choice.data,
        "MARKET_DATA_DATE": first,
        "MARKET_DATA_SYMBOLS": ",".join(choice.symbols),
        "MARKET_DATA_SEED": str(choice.seed),
        "MARKET_DATA_SPEED": "0",
    }
    return proposals() | dict(choice.settings) | market


def read_settings(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read `KEY=VALUE` and files with a `KEY=VALUE` on each line (`#` begins a comment); later ones win.

    Raises:
        ReplayError: a word is neither, a file cannot be read, or a line of it is malformed.
    """
    found: dict[str, str] = {}
    for word in words:
        pair = _PAIR.match(word)
        if pair and not Path(word).is_file():
            found[pair[1].upper()] = pair[2]
        else:
            found |= _settings_file(Path(word).expanduser())
    return tuple(found.items())


def strategy_settings(names: str) -> tuple[tuple[str, str], ...]:
    """Return the switches of every strategy for a comma-separated list of those that are to run; empty = no change.

    Raises:
        ReplayError: a name is not a strategy.
    """
    wanted = [name.strip().lower() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in STRATEGIES]
    if unknown:
        raise ReplayError(f"--strategies has {', '.join(unknown)}: there are {', '.join(STRATEGIES)}.")
    if not wanted:
        return ()
    return tuple((f"STRAT_{name.upper()}_ENABLED", str(name in wanted).lower()) for name in STRATEGIES)


def _settings_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReplayError(
            f"--settings {path} is neither KEY=VALUE nor a file that can be read ({error}). Known keys are in "
            "docs/settings.md."
        ) from error
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        pair = _PAIR.match(text)
        if text and not pair:
            raise ReplayError(f"{path}, line {number}: '{text}' is not KEY=VALUE.")
        if pair:
            found[pair[1].upper()] = pair[2]
    return found


def _kind_of(data: str, root: Path) -> str:
    if not data:
        return "generated"
    if root.suffix.lower() in (".csv", ".parquet"):
        return root.suffix.lower().removeprefix(".")
    if root.is_dir() and not (root / "equity").is_dir():
        for kind in ("parquet", "csv"):
            if any(root.glob(f"*.{kind}")):
                return kind
    return "lean"


def _span(choice: RunChoice, having: tuple[str, ...] | None) -> tuple[str, str]:
    """Return the first and last day that are asked for.

    Raises:
        ReplayError: one of them is not a day, or the last is before the first.
    """
    if having is not None and not having:
        raise ReplayError("The data has no days in it.")
    default = BY_KEY["MARKET_DATA_DATE"].proposal
    first = choice.start or (having[0] if having else choice.end or default)
    last = choice.end or (having[-1] if having else first)
    for name, text in (("--start", first), ("--end", last)):
        if not _is_day(text):
            raise ReplayError(f"{name} is '{text}': it must be a day such as 2013-10-08 (YYYY-MM-DD).")
    if last < first:
        raise ReplayError(f"The last day, {last}, is before the first, {first}. {_days_there(having)}")
    if (date.fromisoformat(last) - date.fromisoformat(first)).days > _DAYS_MAX:
        raise ReplayError("At most 60 years can be played at once.")
    return first, last


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _days_there(having: tuple[str, ...] | None) -> str:
    if having is None:
        return "The generated market has every trading day."
    return f"The data has {len(having)} days, from {having[0]} to {having[-1]}."

"""What a person may ask of the screener on the command line: build the universe, look at it, screen it and say why."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, get_args

import msgspec

from bus.assembly import CannotStartError
from bus.calendar import NEW_YORK, plan_session, read_exchange_day
from bus.clock import NS_PER_SECOND, boot_ns, iso_utc, utc_ns
from bus.lock import LockTakenError
from bus.messages import Reason, ScanMode, SessionPlanned
from config.credentials import alpaca_data_pair
from config.env_bot import EnvBot, SettingsError, parse, proposals
from config.paths import HomeError, HomePaths, home_paths
from config.vault import Vault, VaultError
from services.screener.coarse import coarse_rows, read_coarse
from services.screener.finnhub_api import API_URL, FinnhubError
from services.screener.list_file import list_text
from services.screener.rules import not_applied
from services.screener.screening import Screening
from services.screener.settings import ScreenerSettings
from services.screener.snapshots import SnapshotError, SnapshotSource, live_rows
from services.screener.universe import SCAN_MODES, UniverseLoaded, scan_mode_at
from services.screener.universe_build import Progress, duration
from services.screener.universe_cache import UniverseCacheError
from services.screener.universe_file import Universe, stamp
from services.screener.universe_keeper import build_universe, load_universe, universe_path

EXIT_DONE: Final = 0
EXIT_FAULT: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
_SAY_EVERY_NS: Final = 30 * NS_PER_SECOND
_SHOWN: Final = 25


class Urls(NamedTuple):
    """Where the providers are; None = where alpaca-py knows it to be."""

    finnhub: str = API_URL
    alpaca: str | None = None


class _Call(NamedTuple):
    asked: argparse.Namespace
    paths: HomePaths
    env: EnvBot
    settings: ScreenerSettings
    urls: Urls


def run_verb(arguments: Sequence[str], paths: HomePaths | None = None, *, urls: Urls | None = None) -> int:
    """Do what is asked for; return 0, or 1: it cannot be done, 2: a wrong command line, 130: interrupted.

    Args:
        arguments: the verb and its options.
        paths: the home, by default TRADEBOT_HOME.
        urls: other addresses than the providers' own.
    """
    try:
        asked = _parser().parse_args(arguments)
    except SystemExit as end:
        return EXIT_DONE if end.code in (0, None) else EXIT_USAGE
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        paths = paths or home_paths()
        paths.make()
        env = _env(paths, may_be_unconfigured=asked.verb == "screen" and asked.coarse is not None)
        return _VERBS[asked.verb](_Call(asked, paths, env, ScreenerSettings.from_env(env), urls or Urls()))
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. What is answered is kept: the next build goes on here.\n")
        return EXIT_INTERRUPTED
    except (
        HomeError,
        VaultError,
        SettingsError,
        CannotStartError,
        LockTakenError,
        FinnhubError,
        SnapshotError,
        UniverseCacheError,
    ) as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename or paths}: {error.strerror}. Make room or correct its rights.\n")
    return EXIT_FAULT


class _Line:
    """One line on stderr that is written over; where nobody looks, a new one every 30 seconds."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._due_boot_ns = 0

    def show(self, progress: Progress) -> None:
        is_last = progress.done + progress.failed == progress.total
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{progress.words()}" + ("\n" if is_last else ""))
        elif is_last or boot_ns() >= self._due_boot_ns:
            self._due_boot_ns = boot_ns() + _SAY_EVERY_NS
            sys.stderr.write(f"{progress.words()}\n")
        sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.screener", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build-universe", help="build it from Finnhub, or go on where the last build was left")
    show = verbs.add_parser("universe", help="say of what date, source and filters it is, and what is known")
    show.add_argument("--json", action="store_true")
    screen = verbs.add_parser("screen", help="rank the universe by live prices, or a recorded one, and say why not")
    screen.add_argument("--coarse", type=Path, metavar="FILE", help="a day of LEAN's coarse universe, YYYYMMDD.csv")
    screen.add_argument("--prior", type=Path, metavar="FILE", help="the day before: the move between is the gap")
    screen.add_argument("--mode", choices=get_args(ScanMode), help="default: by SCREENER_SCAN_MODE and the time")
    screen.add_argument("--why", metavar="SYMBOL", help="say all about one name")
    screen.add_argument("--json", action="store_true", help="the whole list")
    return parser


def _env(paths: HomePaths, *, may_be_unconfigured: bool) -> EnvBot:
    vault = Vault(paths)
    if may_be_unconfigured and not vault.is_provisioned():
        sys.stderr.write(f"{paths.root} is not configured: the proposals of the configuration page are used.\n")
        return parse(proposals())
    return parse(vault.open().settings)


def _build(call: _Call) -> int:
    started = boot_ns()
    built = build_universe(call.paths, call.settings, sleep=time.sleep, report=_Line().show, url=call.urls.finnhub)
    took = duration((boot_ns() - started) / NS_PER_SECOND)
    sys.stdout.write(
        f"{universe_path(call.paths)}: {len(built.universe.names):,} names of {built.universe.listed_total:,} listed "
        f"at {stamp(built.universe.listed_at_s)}; {built.asked:,} asked about in {took}, {built.failed:,} without an "
        f"answer; sha256 {built.sha256}\n"
    )
    return EXIT_FAULT if built.failed else EXIT_DONE


def _show(call: _Call) -> int:
    universe = load_universe(call.paths, call.settings)
    if call.asked.json:
        sys.stdout.write(msgspec.json.encode(universe).decode() + "\n")
        return EXIT_DONE
    sys.stdout.write("\n".join(_told(universe, utc_ns() // NS_PER_SECOND)) + "\n")
    return EXIT_DONE


def _told(universe: Universe, now_s: int) -> list[str]:
    times = sorted(name.fundamentals.fetched_at_s for name in universe.names if name.fundamentals)
    lines = [
        f"source        {universe.source}",
        f"listed        {stamp(universe.listed_at_s)}, {universe.listed_total:,} names",
        f"built         {stamp(universe.built_at_s)}",
        f"exchanges     {', '.join(universe.mics)}",
        f"types         {', '.join(universe.security_types)}",
        f"names         {len(universe.names):,}",
        f"fundamentals  {len(times):,} known",
    ]
    if times:
        lines[-1] += f", {duration(now_s - times[-1])} to {(now_s - times[0]) // 86_400} days old"
    return lines


def _screen(call: _Call) -> int:
    loaded, settings = _recorded(call) if call.asked.coarse else _live(call)
    started = boot_ns()
    screening = Screening(loaded.rows, settings, loaded.scan_mode)
    took_ms = (boot_ns() - started) / 1_000_000
    if call.asked.json:
        sys.stdout.write(list_text(loaded, settings).decode() + "\n")
        return EXIT_DONE
    if call.asked.why:
        return _why(call.asked.why.upper(), screening)
    lines = [f"{loaded.source}: {len(loaded.rows):,} names, {loaded.scan_mode}, screened in {took_ms:.1f} ms"]
    lines += [
        f"{one.rank:>4} {one.symbol:<10}{_in_words(one.reasons, only_failed=False)}"
        for one in islice(screening.candidates(), _SHOWN)
    ]
    lines.append(f"{screening.candidates_total:,} candidates, {screening.rejected_total:,} screened out, by rule:")
    lines += [f"     {rule:<20}{count:>7,}" for rule, count in screening.failures().items() if count]
    lines += [f"     {each}" for each in not_applied(settings)]
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_DONE


def _recorded(call: _Call) -> tuple[UniverseLoaded, ScreenerSettings]:
    asked, now = call.asked, utc_ns()
    rows = coarse_rows(read_coarse(asked.coarse), read_coarse(asked.prior) if asked.prior else ())
    loaded = UniverseLoaded(
        ts_event=now,
        ts_init=now,
        session_date=asked.coarse.stem,
        source=str(asked.coarse),
        rows=rows,
        scan_mode=asked.mode or ("intraday" if asked.prior else "pre-market"),
    )
    # LEAN's universe knows no exchanges, whatever UNIVERSE_SOURCE is: only prices and volumes are screened.
    return loaded, msgspec.structs.replace(call.settings, universe_source="session")


def _live(call: _Call) -> tuple[UniverseLoaded, ScreenerSettings]:
    settings, now = call.settings, utc_ns()
    universe = load_universe(call.paths, settings)
    day = datetime.fromtimestamp(now // NS_PER_SECOND, NEW_YORK).date().isoformat()
    plan = plan_session(read_exchange_day(day), call.env, now)
    with _prices(call) as (source, words):
        found = source.snapshots([name.symbol for name in universe.names], day)
    loaded = UniverseLoaded(
        ts_event=now,
        ts_init=now,
        session_date=day,
        source=f"{len(found):,} snapshots of {words} at {iso_utc(now)}; universe of {stamp(universe.listed_at_s)}",
        rows=live_rows(universe.names, found),
        scan_mode=call.asked.mode or _mode(settings, plan, now),
    )
    return loaded, msgspec.structs.replace(settings, universe_source="finnhub")


@contextmanager
def _prices(call: _Call) -> Iterator[tuple[SnapshotSource, str]]:
    """Give what the names' prices come from, and its name for people: Interactive Brokers, if data comes from there."""
    settings = call.settings
    if settings.ibkr is not None:
        from services.screener.ibkr_world import IbkrWorld

        world = IbkrWorld(settings.ibkr, settings)
        try:
            yield world.snapshots(), world.words
        finally:
            world.close()
        return
    # Only this needs alpaca-py and the pandas that it brings.
    from services.screener.alpaca_snapshots import AlpacaSnapshots

    keys = alpaca_data_pair(Vault(call.paths).open().credentials)
    feed = settings.alpaca_data_feed
    yield (
        AlpacaSnapshots(keys, feed, sleep=time.sleep, utc_ns=utc_ns, url=call.urls.alpaca),
        f"Alpaca's {feed} feed",
    )


def _mode(settings: ScreenerSettings, plan: SessionPlanned, now_ns: int) -> ScanMode:
    # SCREENER_SCAN_MODE auto: by the time of the session.
    return next((mode for mode in SCAN_MODES if mode == settings.scan_mode), scan_mode_at(plan, now_ns))


def _why(symbol: str, screening: Screening) -> int:
    for one in screening.candidates():
        if one.symbol == symbol:
            sys.stdout.write(f"{symbol} is candidate {one.rank}: {_in_words(one.reasons, only_failed=False)}\n")
            return EXIT_DONE
    for out in screening.rejections():
        if out.symbol == symbol:
            sys.stdout.write(f"{symbol} is screened out: {_in_words(out.reasons, only_failed=True)}\n")
            return EXIT_DONE
    sys.stderr.write(f"{symbol} is not in this universe.\n")
    return EXIT_FAULT


def _in_words(reasons: Sequence[Reason], *, only_failed: bool) -> str:
    return "; ".join(
        f"{reason.rule} {reason.value} ({reason.threshold})"
        for reason in reasons
        if not (only_failed and reason.passed)
    )


_VERBS: Final[dict[str, Callable[[_Call], int]]] = {"build-universe": _build, "universe": _show, "screen": _screen}

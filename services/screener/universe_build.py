"""Build the universe from Finnhub: list, filter, ask about what is stale, write. It goes on where it was left."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from bus.clock import NS_PER_SECOND
from bus.messages import Symbol
from services.screener.finnhub_answers import ListedName, Metrics, Missing, Profile
from services.screener.finnhub_api import FinnhubBusyError, FinnhubError, FinnhubKeyError
from services.screener.settings import ScreenerSettings
from services.screener.universe_cache import UniverseCache, due
from services.screener.universe_file import (
    FORMAT,
    SECONDS_PER_DAY,
    Fundamentals,
    Universe,
    UniverseName,
    write_universe,
)

logger = logging.getLogger(__name__)

SOURCE: Final = "Finnhub stock/symbol, exchange=US; stock/profile2 and stock/metric"
LISTING_AGE_S_MAX: Final = SECONDS_PER_DAY
#: Funds have no fundamentals: asking for them would only use up calls.
UNASKED_TYPES: Final = frozenset({"ETP"})
CALLS_A_NAME: Final = 2
WRITE_EVERY: Final = 500
LOG_EVERY: Final = 100
FAILED_IN_A_ROW_MAX: Final = 5
_TOLD_MAX: Final = 12


class Source(Protocol):
    """What is asked of Finnhub; `FinnhubApi` says what each raises."""

    def names(self) -> tuple[ListedName, ...]:
        """Return every US name."""
        ...

    def profile(self, symbol: str) -> Profile | Missing:
        """Return a company's shares and worth."""
        ...

    def metrics(self, symbol: str) -> Metrics | Missing:
        """Return a company's ratios."""
        ...


class Progress(Struct, frozen=True, kw_only=True):
    """How far a build is: of `total` names to ask about `done` are answered and `failed` are not."""

    done: int
    failed: int
    total: int
    elapsed_s: float

    def words(self) -> str:
        """Say it in one line: count, rate and the time that is left."""
        line = f"universe: {self.done:,} of {self.total:,} names"
        if self.failed:
            line += f", {self.failed:,} without an answer"
        per_minute = 60 * self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0
        if not per_minute:
            return line
        left = self.total - self.done - self.failed
        return f"{line}, {per_minute:,.0f} a minute, {duration(60 * left / per_minute)} left"


class BuildReport(Struct, frozen=True, kw_only=True):
    """What a build did, and the universe that it wrote."""

    universe: Universe
    sha256: str
    asked: int
    failed: int


class UniverseBuild:
    """One build. Everything that was answered is in the cache before the next question is asked.

    Args:
        source: answers questions about names.
        cache: what was answered before.
        path: the universe file.
        utc_ns: the wall clock.
        report: hears of the progress, once for each name.
    """

    def __init__(
        self,
        settings: ScreenerSettings,
        source: Source,
        cache: UniverseCache,
        path: Path,
        *,
        utc_ns: Callable[[], int],
        report: Callable[[Progress], object],
    ) -> None:
        self._settings = settings
        self._source = source
        self._cache = cache
        self._path = path
        self._utc_ns = utc_ns
        self._report = report
        self._is_plan_said = False

    def run(self) -> BuildReport:
        """Build to the end; the file is there, without new fundamentals, as soon as the names are known.

        Raises:
            FinnhubError: the list or five names in a row have no answer, the key is refused or has no calls left, or
                the filters let no name in.
            UniverseCacheError: the cache cannot be used.
            OSError: the file cannot be written.
        """
        self._list_names()
        self._check_filters()
        self._write()
        now_s = self._now_s()
        blocked = set(self._settings.block_list)
        asked = [
            name.symbol for name in self._chosen() if name.type not in UNASKED_TYPES and name.symbol not in blocked
        ]
        age_s_max = self._settings.fundamentals_age_days_max * SECONDS_PER_DAY
        stale = due(asked, self._cache.fundamentals(), now_s=now_s, age_s_max=age_s_max)
        failed = self._ask(stale)
        universe, sha256 = self._write()
        return BuildReport(universe=universe, sha256=sha256, asked=len(stale), failed=failed)

    def _list_names(self) -> None:
        age_s = self._now_s() - self._cache.listed_at_s()
        if 0 <= age_s < LISTING_AGE_S_MAX:
            return
        names = self._source.names()
        self._cache.put_names(names, self._now_s())
        logger.info("Finnhub lists %d US names", len(names))

    def _check_filters(self) -> None:
        """Refuse filters that let nothing in, such as a type that is written otherwise than Finnhub writes it."""
        if self._chosen():
            return
        names = self._cache.names()
        mics, types = ",".join(self._settings.mics), ",".join(self._settings.security_types)
        raise FinnhubError(
            f"UNIVERSE_MICS {mics} and UNIVERSE_TYPES {types} let none of Finnhub's {len(names):,} names in. Its "
            f"exchanges are {_most(name.mic for name in names)}; its types are {_most(name.type for name in names)}. "
            "Write them in the settings as they are written here."
        )

    def _ask(self, stale: list[str]) -> int:
        """Ask about each name; return how many have no answer."""
        start_ns, failed, in_a_row = self._utc_ns(), 0, 0
        for number, symbol in enumerate(stale, 1):
            try:
                self._cache.put(symbol, self._answered(symbol))
                in_a_row = 0
            except (FinnhubKeyError, FinnhubBusyError):
                raise
            except FinnhubError as error:
                failed, in_a_row = failed + 1, in_a_row + 1
                if in_a_row == FAILED_IN_A_ROW_MAX:
                    raise
                logger.warning("%s left for the next build: %s", symbol, error)
            elapsed_s = (self._utc_ns() - start_ns) / NS_PER_SECOND
            progress = Progress(done=number - failed, failed=failed, total=len(stale), elapsed_s=elapsed_s)
            self._report(progress)
            if number % LOG_EVERY == 0:
                logger.info("%s", progress.words())
            if number % WRITE_EVERY == 0:
                self._write()
        return failed

    def _answered(self, symbol: str) -> Fundamentals:
        profile, metrics = self._source.profile(symbol), self._source.metrics(symbol)
        if Missing.NOT_IN_PLAN in (profile, metrics) and not self._is_plan_said:
            self._is_plan_said = True
            logger.warning("%s: what the key's plan leaves out stays unknown in the universe", symbol)
        company = profile if isinstance(profile, Profile) else Profile(shares_outstanding=0, market_cap_dollars=0)
        known = Fundamentals(
            fetched_at_s=self._now_s(),
            shares_outstanding=company.shares_outstanding,
            market_cap_dollars=company.market_cap_dollars,
        )
        if isinstance(metrics, Missing):
            return known
        return msgspec.structs.replace(
            known, pe_milli=metrics.pe_milli, debt_to_equity_milli=metrics.debt_to_equity_milli
        )

    def _chosen(self) -> list[ListedName]:
        """Return the names that UNIVERSE_MICS and UNIVERSE_TYPES let in and that the bus can carry."""
        mics, types = set(self._settings.mics), set(self._settings.security_types)
        return [
            name for name in self._cache.names() if name.mic in mics and name.type in types and _is_symbol(name.symbol)
        ]

    def _write(self) -> tuple[Universe, str]:
        known = self._cache.fundamentals()
        names = tuple(
            UniverseName(symbol=name.symbol, mic=name.mic, security_type=name.type, fundamentals=known.get(name.symbol))
            for name in self._chosen()
        )
        universe = Universe(
            format=FORMAT,
            source=SOURCE,
            listed_at_s=self._cache.listed_at_s(),
            built_at_s=self._now_s(),
            mics=self._settings.mics,
            security_types=self._settings.security_types,
            listed_total=len(self._cache.names()),
            names=names,
        )
        return universe, write_universe(self._path, universe)

    def _now_s(self) -> int:
        return self._utc_ns() // NS_PER_SECOND


def duration(seconds: float) -> str:
    """Write a time that is left for people: 45 s, 12 min, 5 h 03 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"


def _most(words: Iterable[str]) -> str:
    """List the most frequent words, most frequent first."""
    return ", ".join(f"{word} ({count:,})" for word, count in Counter(words).most_common(_TOLD_MAX) if word) or "none"


def _is_symbol(text: str) -> bool:
    try:
        msgspec.convert(text, Symbol)
    except msgspec.ValidationError:
        return False
    return True

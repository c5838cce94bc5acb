"""Build the universe for a home, and keep it fresh beside the running service."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bus.clock import NS_PER_SECOND, boot_ns, utc_ns
from bus.lock import LockTakenError, service_lock
from config.credentials import FINNHUB_KEY
from config.paths import HomePaths
from config.vault import Vault, VaultError
from services.screener.call_budget import CallBudget
from services.screener.finnhub_api import API_URL, FinnhubApi, FinnhubError, FinnhubKeyError
from services.screener.settings import ScreenerSettings
from services.screener.universe_build import BuildReport, Progress, UniverseBuild, duration
from services.screener.universe_cache import CACHE_FILE, UniverseCache, UniverseCacheError
from services.screener.universe_file import UNIVERSE_FILE, Universe, UniverseFileError, read_universe

logger = logging.getLogger(__name__)

LOCK: Final = "universe-build"
FRESHEN_EVERY_S: Final = 3_600.0
RETRY_S: Final = 600.0
_JOIN_S: Final = 0.5
Sleep = Callable[[float], object]


class _StoppedError(Exception):
    """The service ends: the build stops where it is, and goes on at the next start."""


def universe_path(paths: HomePaths) -> Path:
    """Return where the universe of a home is."""
    return paths.state / UNIVERSE_FILE


def build_universe(
    paths: HomePaths,
    settings: ScreenerSettings,
    *,
    sleep: Sleep,
    report: Callable[[Progress], object],
    url: str = API_URL,
) -> BuildReport:
    """Build the home's universe to the end, going on where the last build was left.

    Raises:
        LockTakenError: another build runs on this home.
        FinnhubError, UniverseCacheError, OSError: as `UniverseBuild.run`.
    """
    with service_lock(paths, LOCK):
        key = _key(paths)
        cache = UniverseCache(paths.state / CACHE_FILE)
        budget = CallBudget(
            settings.finnhub_calls_per_minute, settings.finnhub_calls_per_second, now_ns=boot_ns, sleep=sleep
        )
        api = FinnhubApi(key, budget, utc_ns=utc_ns, sleep=sleep, url=url)
        try:
            return UniverseBuild(settings, api, cache, universe_path(paths), utc_ns=utc_ns, report=report).run()
        finally:
            api.close()
            cache.close()


def load_universe(paths: HomePaths, settings: ScreenerSettings) -> Universe:
    """Return the home's universe.

    Raises:
        UniverseFileError: it is missing, damaged, too old, or was built with other filters than are set now.
    """
    path = universe_path(paths)
    universe = read_universe(path, now_s=utc_ns() // NS_PER_SECOND, age_days_max=settings.universe_age_days_max)
    built_for = set(universe.mics), set(universe.security_types)
    if built_for != (set(settings.mics), set(settings.security_types)):
        raise UniverseFileError(
            f"The universe {path} was built for UNIVERSE_MICS {','.join(universe.mics)} and UNIVERSE_TYPES "
            f"{','.join(universe.security_types)}, which are set otherwise now. Build it again with 'python -m "
            "services.screener build-universe': what is known already is not asked for again."
        )
    return universe


class UniverseKeeper:
    """Builds the universe when the service starts and every hour after, in a thread; each build asks what is stale.

    A build that fails is told in the log and tried again in ten minutes: the universe of before stays in use until
    UNIVERSE_MAX_AGE.
    """

    def __init__(self, paths: HomePaths, settings: ScreenerSettings, url: str = API_URL) -> None:
        self._paths = paths
        self._settings = settings
        self._url = url
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="universe", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ask the thread to end. It is not waited for longer than half a second: an answer may still be on its way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def check(self) -> None:
        """Raise when the thread is gone without being asked: that is a fault of ours, and its traceback is in the log.

        Raises:
            RuntimeError: it is gone.
        """
        if self._thread is not None and not self._thread.is_alive() and not self._stop.is_set():
            raise RuntimeError("The thread that keeps the universe fresh has died.")

    def universe(self) -> Universe:
        """Return the universe as it is on disk now.

        Raises:
            UniverseFileError: as `load_universe`.
        """
        return load_universe(self._paths, self._settings)

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self._build_once())

    def _build_once(self) -> float:
        """Build once; return after how many seconds to look again."""
        try:
            built = build_universe(
                self._paths, self._settings, sleep=self._sleep, report=lambda _progress: None, url=self._url
            )
        except _StoppedError:
            return 0.0
        except LockTakenError as error:
            logger.info("%s It keeps the universe fresh meanwhile.", error)
            return RETRY_S
        except (FinnhubError, UniverseCacheError, OSError) as error:
            logger.warning("The universe is not fresh: %s Tried again in %s.", error, duration(RETRY_S))
            return RETRY_S
        if built.asked:
            logger.info("the universe has %d names, %d asked about", len(built.universe.names), built.asked)
        return FRESHEN_EVERY_S

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _StoppedError


def _key(paths: HomePaths) -> str:
    try:
        key = Vault(paths).open().credentials.get(FINNHUB_KEY, "")
    except VaultError as error:
        raise FinnhubKeyError(str(error)) from error
    if not key:
        raise FinnhubKeyError(
            f"There is no Finnhub API key: the vault under {paths.secrets} has no credential '{FINNHUB_KEY}'. Get a "
            "free key at finnhub.io and enter it on the configuration page, or set UNIVERSE_SOURCE to session."
        )
    return key

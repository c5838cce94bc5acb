"""Try once, in a process of its own, whether a provider of data lets this bot in.

`python -m services.screener --test-connection` does so: Finnhub is asked whether the market is open, Alpaca's market
data for one snapshot.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from bus.clock import NS_PER_SECOND, boot_ns, utc_ns
from config.connection_check import Answer, Question, answer_on_stdio
from config.credentials import FINNHUB_KEY, alpaca_data_pair
from config.env_bot import SettingsError, parse
from config.paths import HomePaths, home_paths
from config.vault import Vault, VaultError
from services.screener.call_budget import CallBudget
from services.screener.finnhub_answers import Missing
from services.screener.finnhub_api import FinnhubApi, FinnhubError
from services.screener.settings import ScreenerSettings
from services.screener.snapshots import SnapshotError
from services.screener.verbs import Urls

#: How long an answer may take to begin, and the longest pause between two tries: a person waits.
SILENCE_S_MAX: Final = 5.0
PAUSE_S_MAX: Final = 4.0
_SYMBOL: Final = "SPY"


class _TooLongError(Exception):
    """A provider wants to be left alone for longer than a person waits."""


def main() -> int:
    """Answer the question on standard input; return the exit code."""
    return answer_on_stdio(lambda question: check(question, home_paths(), Urls()))


def check(question: Question, paths: HomePaths, urls: Urls) -> Answer:
    """Return whether the provider lets the bot in, with typed keys or with those that are kept."""
    asker = _ASKERS.get(question.provider)
    if asker is None:
        return Answer(is_in=False, words=(f"There is no provider '{question.provider}' to be tested.",))
    try:
        secrets = Vault(paths).open()
        settings = ScreenerSettings.from_env(parse(secrets.settings))
        return Answer(is_in=True, words=(asker(question.keys or secrets.credentials, settings, urls),))
    except _TooLongError:
        words = "The provider refuses for too many calls with this key. Try again in a minute."
    except (VaultError, SettingsError, FinnhubError, SnapshotError) as error:
        words = str(error)
    return Answer(is_in=False, words=(words,))


def _finnhub(keys: Mapping[str, str], settings: ScreenerSettings, urls: Urls) -> str:
    budget = CallBudget(
        settings.finnhub_calls_per_minute, settings.finnhub_calls_per_second, now_ns=boot_ns, sleep=_briefly
    )
    api = FinnhubApi(
        keys.get(FINNHUB_KEY, ""),
        budget,
        utc_ns=utc_ns,
        sleep=_briefly,
        url=urls.finnhub,
        silence_s_max=SILENCE_S_MAX,
    )
    try:
        status = api.market_status()
    finally:
        api.close()
    if isinstance(status, Missing):
        return "Finnhub takes the key, but its plan does not say whether the market is open."
    return f"Finnhub takes the key and says that the US market is {'open' if status.is_open else 'closed'}."


def _alpaca_data(keys: Mapping[str, str], settings: ScreenerSettings, urls: Urls) -> str:
    # ALPACA_ENDPOINT simulator: the stand-in takes no keys, so there is nothing to be tested.
    if settings.is_simulated:
        return "Prices come from the stand-in on this machine, which never gets the keys: they are not tested."
    # Only this needs alpaca-py and the pandas that it brings.
    from services.screener.alpaca_snapshots import AlpacaSnapshots

    source = AlpacaSnapshots(
        alpaca_data_pair(keys),
        settings.alpaca_data_feed,
        sleep=_briefly,
        utc_ns=utc_ns,
        url=urls.alpaca,
        timeout_s=(SILENCE_S_MAX, SILENCE_S_MAX),
    )
    day = datetime.fromtimestamp(utc_ns() // NS_PER_SECOND, UTC).date().isoformat()
    found = source.snapshots([_SYMBOL], day)
    seen = f"knows a price of {_SYMBOL}" if _SYMBOL in found else f"has no price of {_SYMBOL} now"
    return f"Alpaca's market data takes the pair for the feed {settings.alpaca_data_feed} and {seen}."


def _briefly(seconds: float) -> None:
    if seconds > PAUSE_S_MAX:
        raise _TooLongError
    time.sleep(seconds)


_ASKERS: Final[Mapping[str, Callable[[Mapping[str, str], ScreenerSettings, Urls], str]]] = {
    "finnhub": _finnhub,
    "alpaca_data": _alpaca_data,
}

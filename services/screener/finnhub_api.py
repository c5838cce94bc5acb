"""Finnhub over finnhub-python: within its limits, with every failure in plain words and the key in none of them.

Source: finnhub.io/docs/api, read 2026-11: 60 calls a minute with a free key, 30 a second on every plan, 429 beyond;
a key goes into the header X-Finnhub-Token or into the URL. The library puts it into the URL; here it is in the header.
"""

import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import finnhub
import msgspec
import requests
from msgspec import Struct

from config.credentials import api_key_fault
from services.screener import finnhub_answers as answers
from services.screener.call_budget import NS_PER_SECOND, CallBudget
from services.screener.server_words import server_words

logger = logging.getLogger(__name__)
T = TypeVar("T")

TOKEN_HEADER: Final = "X-Finnhub-Token"  # noqa: S105 - the name of a header, not a secret
API_URL: Final[str] = finnhub.Client.API_URL
TRIES_MAX: Final = 4
_CONNECT_S: Final = 5.0
_REDIRECTS_MAX: Final = 3
#: Without X-Ratelimit-Reset: the minute that is over the limit ends within these.
_BUSY_BACKOFF_S: Final = (15.0, 30.0, 60.0)
_BACKOFF_S: Final = (1.0, 2.0, 4.0)
_RESET_WAIT_S_MAX: Final = 120.0
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429


class FinnhubError(Exception):
    """Finnhub did not answer a question; the message says what, where and what to do, and never the key."""


class FinnhubKeyError(FinnhubError):
    """The key is missing or refused: no other question will be answered either."""


class FinnhubBusyError(FinnhubError):
    """Finnhub kept answering 429, also after the waits it asked for."""


class _Response(NamedTuple):
    status: int
    body: bytes
    reset_s: str


class _Failure(Struct, frozen=True):
    """One try that failed: in words, how long to wait before the next, and whether there should be one."""

    words: str
    wait_s: float = 0.0
    is_busy: bool = False


class _HeaderSession(requests.Session):
    """A session whose key stays with the host that it was meant for.

    stock/symbol is answered with a redirect to another host, and requests takes only `Authorization` out then.
    """

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop(TOKEN_HEADER, None)
        super().rebuild_auth(prepared_request, response)


class _Library(finnhub.Client):  # type: ignore[misc]  # finnhub-python has no types
    """The library's paths and parameters, with the key in a header and answers as they came."""

    @staticmethod
    def _init_session(api_key: str, proxies: Any) -> requests.Session:
        session = _HeaderSession()
        session.headers.update({"Accept": "application/json", "User-Agent": "tradebot", TOKEN_HEADER: api_key})
        session.max_redirects = _REDIRECTS_MAX
        return session

    @staticmethod
    def _handle_response(response: Any) -> _Response:
        # The library raises exceptions that carry the request with its headers; these values carry nothing.
        return _Response(response.status_code, response.content, response.headers.get("X-Ratelimit-Reset", ""))


class FinnhubApi:
    """The questions that the universe needs answered. One thread may use it; each call may wait for the budget.

    Args:
        key: the API key; it is in no log, message or `repr`.
        budget: how many calls may be made.
        utc_ns: the wall clock, for X-Ratelimit-Reset.
        sleep: waits for so many seconds; what it raises ends the call.
        url: the API's address, without a slash at the end.
        silence_s_max: how long an answer may take to begin, or to go on.
    """

    def __init__(
        self,
        key: str,
        budget: CallBudget,
        *,
        utc_ns: Callable[[], int],
        sleep: Callable[[float], object],
        url: str = API_URL,
        silence_s_max: float = 20.0,
    ) -> None:
        if fault := api_key_fault(key):
            raise FinnhubKeyError(f"The Finnhub API key cannot be used. {fault}, the dashboard of finnhub.io.")
        self._key = key
        self._budget = budget
        self._utc_ns = utc_ns
        self._sleep = sleep
        self._url = url
        self._library = _Library(key)
        self._library.API_URL = url
        self._library.DEFAULT_TIMEOUT = (_CONNECT_S, silence_s_max)

    def __repr__(self) -> str:
        """Return the address alone."""
        return f"FinnhubApi({self._url})"

    def close(self) -> None:
        """Close the connections."""
        self._library.close()

    def names(self) -> tuple[answers.ListedName, ...]:
        """Return every US name. These calls raise FinnhubError when there is no answer after all tries."""
        found = self._ask("stock/symbol", answers.listed_names, lambda: self._library.stock_symbols("US"))
        if isinstance(found, answers.Missing) or not found:
            raise FinnhubError(
                f"Finnhub's stock/symbol at {self._url} has no US names for this key. Try it again later; if it stays "
                "so, ask Finnhub what the key's plan includes."
            )
        return found

    def profile(self, symbol: str) -> answers.Profile | answers.Missing:
        """Return a company's shares and worth."""
        ask = "stock/profile2 of " + symbol
        return self._ask(ask, answers.profile, lambda: self._library.company_profile2(symbol=symbol))

    def quote(self, symbol: str) -> answers.Quote | answers.Missing:
        """Return one name's newest price: one call a name, so not for whole markets."""
        return self._ask(f"quote of {symbol}", answers.quote, lambda: self._library.quote(symbol))

    def metrics(self, symbol: str) -> answers.Metrics | answers.Missing:
        """Return a company's ratios."""
        ask = f"stock/metric of {symbol}"
        return self._ask(ask, answers.metrics, lambda: self._library.company_basic_financials(symbol, "all"))

    def market_status(self) -> answers.MarketStatus | answers.Missing:
        """Return whether the US exchanges are open."""
        return self._ask(
            "stock/market-status", answers.market_status, lambda: self._library.market_status(exchange="US")
        )

    def holidays(self) -> tuple[answers.Holiday, ...] | answers.Missing:
        """Return the US exchanges' holidays and short days."""
        return self._ask("stock/market-holiday", answers.holidays, lambda: self._library.market_holiday(exchange="US"))

    def _ask(self, what: str, read: Callable[[bytes], T], call: Callable[[], _Response]) -> T | answers.Missing:
        failure = _Failure("")
        for attempt in range(TRIES_MAX):
            if attempt:
                logger.warning("Finnhub's %s: %s; asked again in %.0f s", what, failure.words, failure.wait_s)
                self._sleep(failure.wait_s)
            self._budget.take()
            found = self._try(what, read, call, attempt)
            if not isinstance(found, _Failure):
                return found
            failure = found
        if failure.is_busy:
            raise FinnhubBusyError(
                f"Finnhub refuses {what} for too many calls, also after {TRIES_MAX} tries: {failure.words}. Something "
                "else uses the same key, or FINNHUB_CALLS_PER_MINUTE is above its plan: lower it, then go on."
            )
        raise FinnhubError(
            f"Finnhub gives no answer to {what} at {self._url} after {TRIES_MAX} tries: {failure.words}. Look whether "
            "this machine reaches finnhub.io and whether finnhub.io is up, then go on."
        )

    def _try(
        self, what: str, read: Callable[[bytes], T], call: Callable[[], _Response], attempt: int
    ) -> T | answers.Missing | _Failure:
        backoff_s = _BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)]
        try:
            response = call()
        except (requests.RequestException, OSError, ValueError) as error:
            # Only the kind is said: the text of these errors has addresses in it, after a redirect signed ones.
            return _Failure(_KINDS.get(type(error), type(error).__name__), backoff_s)
        if response.status == _TOO_MANY and "sign up" not in self._words(response).lower():
            return _Failure(f"429, {self._words(response)}", self._busy_wait_s(response, attempt), is_busy=True)
        if response.status == _FORBIDDEN:
            return answers.Missing.NOT_IN_PLAN
        if 400 <= response.status < 500:
            self._refuse(what, response)
        if response.status != 200:
            return _Failure(f"status {response.status}, {self._words(response)}", backoff_s)
        try:
            return read(response.body)
        except (msgspec.MsgspecError, RecursionError):
            return _Failure(f"an answer that is not understood, {self._words(response)}", backoff_s)

    def _refuse(self, what: str, response: _Response) -> None:
        if response.status in {401, _TOO_MANY}:
            raise FinnhubKeyError(
                f"Finnhub refuses the API key: {response.status}, {self._words(response)}. Copy the key from the "
                "dashboard of finnhub.io and enter it again."
            )
        raise FinnhubError(
            f"Finnhub refuses {what} at {self._url}: {response.status}, {self._words(response)}. The question is "
            "wrong for this version of Finnhub's API: report it."
        )

    def _busy_wait_s(self, response: _Response, attempt: int) -> float:
        try:
            wait_s = float(int(response.reset_s) - self._utc_ns() // NS_PER_SECOND) + 1.0
        except ValueError:
            wait_s = 0.0
        if 0 < wait_s <= _RESET_WAIT_S_MAX:
            return wait_s
        return _BUSY_BACKOFF_S[min(attempt, len(_BUSY_BACKOFF_S) - 1)]

    def _words(self, response: _Response) -> str:
        return server_words(response.body, (self._key,))


_KINDS: Final[dict[type[Exception], str]] = {
    requests.ConnectTimeout: f"no connection within {_CONNECT_S:.0f} s",
    requests.ReadTimeout: "nothing but silence",
    requests.ConnectionError: "the connection could not be made, or broke",
    requests.TooManyRedirects: f"more than {_REDIRECTS_MAX} redirects",
    requests.exceptions.ChunkedEncodingError: "the answer broke off",
    requests.exceptions.SSLError: "the server's certificate is not valid",
}

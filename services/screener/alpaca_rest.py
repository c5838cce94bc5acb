"""One question to Alpaca's REST interface: typed, with an end, and without a key in what it raises."""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
import requests

from services.screener.server_words import server_words

DATA_URL: Final = "https://data.alpaca.markets"
_TIMEOUT_S: Final = (5.0, 20.0)
_BYTES_MAX: Final = 32 * 1024 * 1024

T = TypeVar("T")


class RestError(Exception):
    """There is no answer; the message says why, for people. `status` 0 = nobody answered."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


class AlpacaRest:
    """Asks one of Alpaca's servers.

    Args:
        keys: the key id and its secret; neither is in any log, message or `repr`.
        url: the beginning of the address.
        timeout_s: for the connection, and for the answer to begin or to go on.
    """

    def __init__(
        self,
        keys: tuple[str, str],
        *,
        url: str = DATA_URL,
        timeout_s: tuple[float, float] = _TIMEOUT_S,
    ) -> None:
        self._keys = keys
        self._url = url
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        """Return the address alone."""
        return f"AlpacaRest({self._url})"

    def ask(self, path: str, question: Mapping[str, str], kind: type[T]) -> T:
        """Return the answer as a type.

        Raises:
            RestError: nobody answered, the question was refused, or the answer is not of this type.
        """
        headers = {"APCA-API-KEY-ID": self._keys[0], "APCA-API-SECRET-KEY": self._keys[1]}
        try:
            answer = requests.get(
                f"{self._url}{path}",
                params=question,
                headers=headers,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise RestError(f"no answer ({type(error).__name__})") from None
        if answer.status_code != requests.codes.ok:
            words = server_words(answer.content[:_BYTES_MAX], self._keys)
            raise RestError(f"refused with {answer.status_code}, {words}", answer.status_code)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise RestError("an answer that is not understood") from error

"""The line to the gateway for market data: one thread with one event loop, and a connection that is made again.

It has a client number of its own (IBKR_DATA_CLIENT_ID), so that what is asked here never stands before an order.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

from bus.clock import NS_PER_SECOND
from bus.ib_library import IbLibrary, load_ib_library
from services.screener.ibkr_codes import Meaning
from services.screener.ibkr_ears import DataEars, Question, RequestError
from services.screener.ibkr_pacing import Pacing
from services.screener.settings import IbkrDataAccess

HOST: Final = "127.0.0.1"
#: Messages in a second: the gateway ends a connection that sends more than 50.
#: Source: Interactive Brokers, "TWS API: Pacing Limitations", 2025-11: at most 50 messages per second.
MESSAGES_MAX: Final = 40
#: A gateway that is asked for the time and says nothing for so long is not there.
_ALIVE_S: Final = 5.0
_ROUND_S: Final = 0.02
#: 326 passes when the gateway has noticed that an older connection is gone; it does not when something else holds it.
_TAKEN_MAX: Final = 8
_LIVE, _DELAYED = 1, 3
_log = logging.getLogger(__name__)

T = TypeVar("T")


class IbkrDataError(Exception):
    """Interactive Brokers gives no answer; the message says why, for people."""


class IbkrDataLine:
    """The thread and the connection in it, shared by everything that takes data of Interactive Brokers.

    Args:
        access: where and how.
        boot_ns: the clock that pacing and patience are measured by.
    """

    def __init__(self, access: IbkrDataAccess, boot_ns: Callable[[], int]) -> None:
        self.access = access
        self.boot_ns = boot_ns
        #: Rises with each connection.
        self.life = 0
        self.ears: DataEars | None = None
        #: Why there is no connection, in words; and why it is given up for good.
        self.why_away = "not connected yet"
        self.fault = ""
        #: The gateway's time when it was asked last, in seconds since 1970, and boot time then; 0 = it said none.
        self.server_time: tuple[int, int] = (0, 0)
        #: Names whose past cannot be had: what is measured of them would be wrong, so they have no bars at all.
        self.unusable: dict[str, str] = {}
        self.history = Pacing()
        self.bars = Pacing()
        self._library: IbLibrary | None = None
        self._client: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._requests = 0
        self._writes: deque[int] = deque()

    def __repr__(self) -> str:
        """Return the port alone."""
        return f"IbkrDataLine({self.access.port})"

    # --- from other threads -----

    def start(self) -> None:
        """Begin to connect; what has begun goes on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="ibkr-data", daemon=True)
            self._thread.start()

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let a coroutine work in the thread for as long as it lives."""
        self.start()

        def begin() -> None:
            self._loop.create_task(work()).add_done_callback(_tell_fault)

        self._loop.call_soon_threadsafe(begin)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]], timeout_s: float) -> T:
        """Let a coroutine work in the thread, on a connection that is up, and wait for it.

        Raises:
            IbkrDataError: there is no connection, no answer in time, or the line was closed meanwhile.
            RequestError: the gateway refuses.
        """
        if self._stopping.is_set():
            raise IbkrDataError("the line to the gateway was closed")
        self.start()
        future = asyncio.run_coroutine_threadsafe(self._worked(work), self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            future.cancel()
            raise IbkrDataError(f"the gateway did not answer within {timeout_s:.0f} s") from error
        except CancelledError as error:
            raise IbkrDataError("the line to the gateway was closed") from error

    def close(self) -> None:
        """End the connection and the thread, without waiting for them."""
        self._stopping.set()
        if self._thread is None and not self._loop.is_closed():
            self._loop.close()

    # --- in the thread -----

    @property
    def is_ready(self) -> bool:
        """Tell whether there is a connection with everything behind it."""
        return self.ears is not None and not self.ears.is_lost and not self.ears.away

    @property
    def away(self) -> str:
        """Return in words what is away; empty when all is there."""
        if self.ears is None or self.ears.is_lost:
            return self.why_away
        return "; ".join(self.ears.away.values())

    @property
    def library(self) -> IbLibrary:
        """Return the library; it is loaded at the first use."""
        if self._library is None:
            self._library = load_ib_library(self.access.library)
        return self._library

    @property
    def client(self) -> Any:
        """Return the library's client.

        Raises:
            IbkrDataError: there is no connection.
        """
        if self._client is None or self.ears is None or self.ears.is_lost:
            raise IbkrDataError(f"no connection to the gateway: {self.why_away}")
        return self._client

    async def open_request(self, listener: Any) -> int:
        """Wait for room among this second's messages; return the number under which the listener hears.

        Raises:
            IbkrDataError: there is no connection.
        """
        await self._room()
        ears = self.ears
        if ears is None or ears.is_lost:
            raise IbkrDataError(f"no connection to the gateway: {self.why_away}")
        self._requests += 1
        ears.listeners[self._requests] = listener
        return self._requests

    def end_request(self, key: int, cancel: Callable[[Any, int], None] | None = None) -> None:
        """Listen no more; tell the gateway so where the request goes on by itself."""
        ears = self.ears
        if ears is None or ears.listeners.pop(key, None) is None or cancel is None or ears.is_lost:
            return
        with contextlib.suppress(ConnectionError, OSError):
            self._writes.append(self.boot_ns())
            cancel(self._client, key)

    async def ask(
        self,
        send: Callable[[Any, int], None],
        cancel: Callable[[Any, int], None] | None = None,
        *,
        answer_s: float | None = None,
    ) -> list[Any]:
        """Send a request and return all that was answered.

        Raises:
            IbkrDataError: no answer in time; the request is cancelled then.
            RequestError: the gateway refuses.
        """
        question = Question(self._loop)
        key = await self.open_request(question)
        limit_s = self.access.answer_s if answer_s is None else answer_s
        try:
            send(self.client, key)
            return await asyncio.wait_for(question.answer, limit_s)
        except TimeoutError as error:
            self.end_request(key, cancel)
            raise IbkrDataError(f"the gateway did not answer within {limit_s:.0f} s") from error
        except (ConnectionError, OSError) as error:
            raise IbkrDataError(f"the connection to the gateway broke: {error}") from error
        finally:
            self.end_request(key)

    async def paced(self, pacing: Pacing, contract: str, request: str, *, longest_s: float = float("inf")) -> None:
        """Wait until this request may be sent, and count it.

        Raises:
            IbkrDataError: the connection was lost meanwhile, or it would take longer.
        """
        life = self.life
        while (wait_ns := pacing.wait_ns(contract, request, self.boot_ns())) > 0:
            if wait_ns > longest_s * NS_PER_SECOND:
                raise IbkrDataError(f"Interactive Brokers' pacing allows it in {wait_ns / NS_PER_SECOND:.0f} s")
            await asyncio.sleep(min(1.0, wait_ns / NS_PER_SECOND))
            if self.life != life or not self.is_ready:
                raise IbkrDataError("the connection was lost while the request waited for its turn")
        pacing.made(contract, request, self.boot_ns())

    async def poll(self, has_come: Callable[[], bool], until_ns: float) -> bool:
        """Wait for something that no event tells of, until this boot time; return whether it came."""
        while True:
            if has_come():
                return True
            if self.boot_ns() >= until_ns:
                return False
            await asyncio.sleep(_ROUND_S)

    async def _room(self) -> None:
        while True:
            now = self.boot_ns()
            while self._writes and self._writes[0] <= now - NS_PER_SECOND:
                self._writes.popleft()
            if len(self._writes) < MESSAGES_MAX:
                self._writes.append(now)
                return
            await asyncio.sleep(_ROUND_S)

    async def _worked(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        deadline_ns = self.boot_ns() + int(self.access.answer_s * NS_PER_SECOND)
        await self.poll(lambda: self.is_ready or bool(self.fault), deadline_ns)
        if not self.is_ready:
            raise IbkrDataError(self.fault or f"Interactive Brokers is not there: {self.away}")
        try:
            return await work()
        except (ConnectionError, OSError) as error:
            raise IbkrDataError(f"the connection to the gateway broke: {error}") from error

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._stay_connected())
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _stay_connected(self) -> None:
        tries = taken = 0
        while not self._stopping.is_set():
            ears = DataEars(self._loop, takes_delayed=self.access.takes_delayed)
            words = await self._connected(ears)
            if not words:
                tries = taken = 0
                words = await self._hold(ears)
            self._drop(words)
            taken = taken + 1 if ears.turned_away else 0
            if taken > _TAKEN_MAX:
                self.fault = f"Interactive Brokers gives no market data: {words}."
                _log.error("%s", self.fault)
                await self._pause(float("inf"))
                return
            wait_s = self.access.backoff_s[min(tries, len(self.access.backoff_s) - 1)]
            tries += 1
            await self._pause(wait_s)

    async def _pause(self, seconds: float) -> None:
        await self.poll(self._stopping.is_set, self.boot_ns() + seconds * NS_PER_SECOND)

    async def _connected(self, ears: DataEars) -> str:
        """Connect; return why it could not be done, empty when it was."""
        access, client = self.access, self.library.new_client(ears)
        shaking = self._loop.create_task(client.connectAsync(HOST, access.port, access.client_id, access.answer_s))
        # A gateway that turns us away says so and hangs up, which the library does not notice here.
        while not shaking.done() and not ears.is_lost and not ears.turned_away and not self._stopping.is_set():
            await asyncio.wait({shaking}, timeout=_ROUND_S)
        shaking.cancel()
        await asyncio.gather(shaking, return_exceptions=True)
        if not ears.turned_away and not ears.is_lost and client.isReady():
            client.reqMarketDataType(_DELAYED if access.takes_delayed else _LIVE)
            self._client, self.ears, self.why_away = client, ears, ""
            self.life += 1
            _log.info("connected to the gateway of Interactive Brokers for market data")
            return ""
        with contextlib.suppress(OSError, RuntimeError):
            client.disconnect()
        if ears.turned_away:
            return (
                f"number {access.client_id} is in use there; set IBKR_DATA_CLIENT_ID to a number that no other program "
                "has"
            )
        return (
            f"no connection on {HOST}:{access.port}; see that TWS or IB Gateway runs and is logged in, that its API "
            "settings enable socket clients, and that IBKR_PORT is its port"
        )

    async def _hold(self, ears: DataEars) -> str:
        """Ask for the time now and then; return why the connection is over."""
        while not self._stopping.is_set():
            asked_ns = self.boot_ns()
            ears.time = self._loop.create_future()
            try:
                await self._room()
                self.client.reqCurrentTime()
                seconds = await asyncio.wait_for(ears.time, self.access.answer_s)
                self.server_time = (seconds, self.boot_ns())
            except TimeoutError:
                return f"the gateway said nothing for {self.access.answer_s:.0f} s"
            except (asyncio.CancelledError, ConnectionError, OSError, IbkrDataError):
                return "the connection broke"
            next_ns = asked_ns + _ALIVE_S * NS_PER_SECOND
            await self.poll(lambda: ears.is_lost or self._stopping.is_set(), next_ns)
            if ears.is_lost:
                return "the connection broke"
        return "it was closed"

    def _drop(self, words: str) -> None:
        client, self._client, self.ears = self._client, None, None
        if words != self.why_away and not self._stopping.is_set():
            _log.warning("market data of Interactive Brokers: %s; connected again", words)
        self.why_away = words
        if client is not None:
            with contextlib.suppress(OSError, RuntimeError):
                client.disconnect()


def _tell_fault(task: "asyncio.Task[None]") -> None:
    """Log what ended a task that was to live on: nobody waits for it."""
    if not task.cancelled() and task.exception() is not None:
        _log.error("a task of market data ended by a fault of this program", exc_info=task.exception())


def in_words(error: RequestError) -> str:
    """Return what a refusal means and what to do about it."""
    return f"{_WORDS.get(error.meaning, 'Interactive Brokers refuses')}: {error}"


_WORDS: Final = {
    Meaning.NOT_SUBSCRIBED: (
        "the account has no subscription for this market data; subscribe to it in Client Portal, and share it with the "
        "paper account"
    ),
    Meaning.COMPETING: "another session of this user gets the market data; log out of it",
    Meaning.TOO_MANY_LINES: "the account has no more market data lines; lower IBKR_STREAM_SYMBOLS_MAX or the puts'",
    Meaning.NO_CONTRACT: "Interactive Brokers does not know the name, or knows several",
    Meaning.PACING: "Interactive Brokers was asked too often",
}

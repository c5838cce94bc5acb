"""The line to the gateway: one thread with one event loop, in which one connection lives and is made again.

The library speaks asyncio; execution does not. Whoever calls hands over a coroutine, waits for it in short slices and
breathes between them. A request that is not answered in time ends the connection: what would answer it later could be
taken for the answer to another one.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct

from bus.clock import boot_ns, utc_ns
from bus.ib_library import IbLibrary
from services.execution.brokers.ibkr_books import IbkrBooks
from services.execution.brokers.ibkr_ears import IbkrEars, RequestFailedError
from services.execution.brokers.ibkr_windows import is_overdue, may_be_away, waiting_words
from services.execution.brokers.interface import PlannedPauseError, RetryableBrokerError, StopTradingError

HOST: Final = "127.0.0.1"
#: How long the caller waits at a time, in seconds, before it breathes.
SLICE_S: Final = 0.01
#: What the work of a call leaves of its time to whoever waits for it: this, or a quarter of a call that is shorter.
_MARGIN_NS: Final = 200_000_000
#: After a connection that failed the next is tried after this, in nanoseconds of boot time.
RECONNECT_NS: Final = 500_000_000
#: Away for so long shortly before the open, in nanoseconds of boot time, it is missing at the open.
OVERDUE_NS: Final = 60_000_000_000
#: So many hints are kept; they only say where to look sooner.
HINTS_MAX: Final = 1000
#: Messages in a second: the gateway ends a connection that sends more than 50. What only asks leaves room for orders,
#: and what places orders leaves room for cancels.
#: Source: Interactive Brokers, "TWS API: Pacing Limitations", 2025-11: at most 50 messages per second.
READS_MAX: Final = 40
ORDERS_MAX: Final = 45
CANCELS_MAX: Final = 48
PACE_NS: Final = 1_000_000_000
_SECOND_NS: Final = 1_000_000_000
#: Request numbers begin here, so that none is ever an order's number too.
_FIRST_REQUEST: Final = 1_000_000_000
_log = logging.getLogger(__name__)

T = TypeVar("T")


class IbkrAccess(Struct, frozen=True, kw_only=True):
    """Where the gateway is and as whom it is used. `account` may be empty where it manages only one."""

    port: int
    client_id: int
    account: str
    mode: Literal["paper", "live"]


class Call:
    """One call to the gateway: until when it may take, and whether it was given up or has written an order."""

    def __init__(self, patience_ns: int) -> None:
        self.lock = threading.Lock()
        self.is_abandoned = False
        self.has_written = False
        #: When whoever waits gives it up, in boot time.
        self.given_up_ns = boot_ns() + patience_ns
        self._until_ns = self.given_up_ns - min(_MARGIN_NS, patience_ns // 4)
        self._late_ns = self._until_ns - patience_ns // 10

    @property
    def is_late(self) -> bool:
        """Tell whether less than a tenth of the time is left: nothing more is begun."""
        return boot_ns() >= self._late_ns

    @property
    def left_s(self) -> float:
        """Return how many seconds are left."""
        return max(0, self._until_ns - boot_ns()) / _SECOND_NS


class IbkrLine:
    """The thread and the connection in it.

    Args:
        library: which of the two libraries speaks.
        access: where and as whom.
        books: what outlives the process; used in the thread only once it runs.
        patience_ns: how long one call may take, in nanoseconds of boot time.
        pace_ns: for how long a message counts among those that the gateway takes in a second.
        clock: the time of the day, UTC nanoseconds, for planned windows.
    """

    def __init__(
        self,
        library: IbLibrary,
        access: IbkrAccess,
        books: IbkrBooks,
        *,
        patience_ns: int,
        pace_ns: int = PACE_NS,
        clock: Callable[[], int] = utc_ns,
    ) -> None:
        self.breathe: Callable[[], None] = _take_no_breath
        #: Client ids of orders that something happened to, as the gateway pushed it; filled in the thread.
        self.hints: deque[str] = deque(maxlen=HINTS_MAX)
        self.ears: IbkrEars | None = None
        self._client: Any = None
        self.account = access.account
        self._library = library
        self._access = access
        self._books = books
        self._patience_ns = patience_ns
        self._pace_ns = pace_ns
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failure: RetryableBrokerError | StopTradingError | None = None
        self._retry_at_ns = 0
        #: Boot time since when the gateway, or what is behind it, is away; 0 = it is there.
        self._away_since_ns = 0
        self._writes: deque[int] = deque()
        self._requests = _FIRST_REQUEST
        self._raised: set[str] = set()

    @property
    def client(self) -> Any:
        """Return the library's client of the connection.

        Raises:
            ConnectionError: there is no connection.
        """
        if self._client is None:
            raise ConnectionError("it was closed")
        return self._client

    # --- from the caller's thread -----

    def new_call(self) -> Call:
        """Begin a call."""
        return Call(self._patience_ns)

    def run(self, call: Call, work: Callable[[Call], Coroutine[Any, Any, T]]) -> T:
        """Let a coroutine work in the thread, on a connection that is up, and wait for it.

        Raises:
            RetryableBrokerError: it did not end in time, or the connection is away.
            StopTradingError: the gateway cannot be traded through, or contradicts what is known.
        """
        self._start()
        future = asyncio.run_coroutine_threadsafe(self._worked(call, work), self._loop)
        while not future.done():
            concurrent.futures.wait([future], timeout=SLICE_S)
            self.breathe()
            if boot_ns() >= call.given_up_ns and not future.done():
                with call.lock:
                    call.is_abandoned = True
                future.cancel()
                raise RetryableBrokerError("the gateway of Interactive Brokers did not answer in time")
        return future.result()

    def close(self) -> None:
        """End the connection and the thread."""
        if self._loop.is_closed():
            return
        if self._thread is None:
            self._loop.close()
            return
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop)
        self._thread.join(self._patience_ns / _SECOND_NS)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="ibkr", daemon=True)
            self._thread.start()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _leave(self) -> None:
        self.drop("the bot closes it")
        # The library's transport closes in the next rounds of the loop.
        await asyncio.sleep(0.01)
        self._loop.stop()

    # --- in the thread -----

    async def _worked(self, call: Call, work: Callable[[Call], Coroutine[Any, Any, T]]) -> T:
        try:
            await self._ready(call)
            result = await work(call)
        except (ConnectionError, OSError) as error:
            self.drop(str(error))
            raise RetryableBrokerError(f"the connection to the gateway broke: {error}") from error
        except RequestFailedError as error:
            raise RetryableBrokerError(f"Interactive Brokers answers: {error}") from error
        self._raise_contradiction()
        return result

    async def ask(self, call: Call, key: Hashable, send: Callable[[], None]) -> list[Any]:
        """Send a request and return what was heard until its end.

        Raises:
            RetryableBrokerError: it was not answered in time; the connection is ended then.
            RequestFailedError: the gateway answered with a fault.
        """
        ears = self._ears()
        await self.slot(call, READS_MAX)
        future = ears.ask(key)
        send()
        try:
            return await asyncio.wait_for(future, call.left_s)
        except TimeoutError as error:
            self.drop(f"no answer about {key}")
            raise RetryableBrokerError(f"the gateway of Interactive Brokers did not answer about {key}") from error
        except asyncio.CancelledError:
            # Another call may have a new connection by now.
            if self.ears is ears:
                self.drop(f"nobody waits for the answer about {key} any more")
            raise
        finally:
            ears.forget(key)

    async def hear_executions(self, call: Call) -> None:
        """Let today's executions be told; the ears put them into the books, and this puts the books on disk."""
        request = self.next_request()
        only = self._library.package.ExecutionFilter(acctCode=self.account)
        await self.ask(call, request, lambda: self.client.reqExecutions(request, only))
        self._books.flush()

    async def until(self, call: Call, has_come: Callable[[], bool], *, longest_s: float | None = None) -> bool:
        """Wait until something was heard; False when the time is over before.

        Raises:
            ConnectionError: the connection broke meanwhile.
        """
        ears = self._ears()
        until_ns = boot_ns() + int(min(call.left_s, call.left_s if longest_s is None else longest_s) * _SECOND_NS)
        while not has_come():
            if ears.is_lost:
                raise ConnectionError("it was closed")
            left_s = (until_ns - boot_ns()) / _SECOND_NS
            if left_s <= 0:
                return False
            ears.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ears.changed.wait(), left_s)
        return True

    async def slot(self, call: Call, most: int) -> None:
        """Wait for room among the messages of this second, and take it.

        Raises:
            RetryableBrokerError: there is none before the call ends.
        """
        while self.is_full(most):
            if call.left_s <= SLICE_S:
                raise RetryableBrokerError(f"more than {most} messages to the gateway in a second")
            await asyncio.sleep(SLICE_S)
        self.note_write()

    def is_full(self, most: int) -> bool:
        """Tell whether as many messages as this were sent in the last second."""
        while self._writes and self._writes[0] <= boot_ns() - self._pace_ns:
            self._writes.popleft()
        return len(self._writes) >= most

    def note_write(self) -> None:
        """Count a message that is sent now."""
        self._writes.append(boot_ns())

    def next_request(self) -> int:
        """Return a number for a request, which is never an order's."""
        self._requests += 1
        return self._requests

    def is_writable(self) -> bool:
        """Tell whether what is written now leaves this process now: nothing older waits in front of it."""
        transport = None if self._client is None else self._client.conn.transport
        return transport is not None and not transport.is_closing() and transport.get_write_buffer_size() == 0

    def drop(self, why: str) -> None:
        """End the connection; the next call makes a new one."""
        client, self._client, self.ears = self._client, None, None
        if client is not None:
            _log.warning("the connection to the gateway of Interactive Brokers ends: %s", why)
            with contextlib.suppress(OSError, RuntimeError):
                client.disconnect()

    def _ears(self) -> IbkrEars:
        if self.ears is None or self.ears.is_lost:
            raise ConnectionError("it was closed")
        return self.ears

    async def _ready(self, call: Call) -> None:
        """Have a connection that is up, with everything behind it."""
        if self.ears is None or self.ears.is_lost:
            self.drop("it broke")
            if self._connecting is None or self._connecting.done():
                if boot_ns() < self._retry_at_ns and self._failure is not None:
                    raise self._failure
                self._connecting = self._loop.create_task(self._connect())
            connecting = self._connecting
            await asyncio.wait({connecting}, timeout=call.left_s)
            if not connecting.done():
                raise self._away("the gateway of Interactive Brokers takes long to connect")
            connecting.result()
            if self._failure is not None:
                raise self._failure
        self._raise_contradiction()
        away = self._ears().away
        if away:
            raise self._away(f"Interactive Brokers is not all there: {'; '.join(away.values())}")
        self._away_since_ns = 0

    def _raise_contradiction(self) -> None:
        """Raise the oldest contradiction that was not raised yet: whoever hears it halts."""
        if self.ears is None:
            return
        for words in self.ears.contradictions:
            if words not in self._raised:
                self._raised.add(words)
                raise StopTradingError(words)

    def _away(self, words: str) -> RetryableBrokerError | StopTradingError:
        """Return what it means now that the gateway is away: nothing by plan, too late before an open."""
        now = self._clock()
        self._away_since_ns = self._away_since_ns or boot_ns()
        if may_be_away(now):
            return PlannedPauseError(f"{words}. {waiting_words(now)}")
        if is_overdue(now) and boot_ns() - self._away_since_ns >= OVERDUE_NS:
            return StopTradingError(
                f"{words}, less than 15 minutes before the open: see that TWS or IB Gateway runs and is logged in, "
                "then arm again"
            )
        return RetryableBrokerError(words)

    async def _connect(self) -> None:
        """Connect, and bring what was missed into the books; `_failure` says how it went."""
        call = self.new_call()
        ears = IbkrEars(self._books, self._access.client_id, self._loop, self.hints)
        client = self._library.new_client(ears)
        ears.guard(client.decoder)
        self._failure = None
        try:
            await self._shake_hands(client, ears, call)
            self._client, self.ears = client, ears
            ears.account = self.account = self._account_of(client.getAccounts())
            self._check_numbers(ears)
            await self.hear_executions(call)
        except (OSError, RequestFailedError, RetryableBrokerError) as error:
            words = ears.turned_away or str(error) or type(error).__name__
            self._failure = self._away(self._why_not(words, ears))
        except StopTradingError as error:
            self._failure = error
        if self._failure is not None:
            self._retry_at_ns = boot_ns() + RECONNECT_NS
            self.drop(str(self._failure))
            with contextlib.suppress(OSError, RuntimeError):
                client.disconnect()

    async def _shake_hands(self, client: Any, ears: IbkrEars, call: Call) -> None:
        """Wait until the gateway has named its accounts and the next order number.

        Raises:
            OSError: it did not, or nobody listens there.
        """
        access = self._access
        shaking = self._loop.create_task(client.connectAsync(HOST, access.port, access.client_id, call.left_s))
        # A gateway that turns us away says so and hangs up, which the library does not notice here.
        while not shaking.done() and not ears.is_lost and not ears.turned_away and call.left_s > 0:
            await asyncio.wait({shaking}, timeout=SLICE_S)
        if not shaking.done():
            shaking.cancel()
        results = await asyncio.gather(shaking, return_exceptions=True)
        error = results[0]
        if isinstance(error, ConnectionRefusedError):
            raise ConnectionRefusedError(f"nobody listens on {HOST}:{access.port}")
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"{HOST}:{access.port} takes the connection and says nothing")
        if isinstance(error, asyncio.CancelledError) or not client.isReady():
            raise ConnectionError(f"{HOST}:{access.port} ended the connection before it was ready")
        if isinstance(error, BaseException):
            raise error
        ears.next_valid_id = max(ears.next_valid_id, int(client.getReqId()))

    def _account_of(self, accounts: list[str]) -> str:
        """Return the account that is traded.

        Raises:
            StopTradingError: it is not certain which, or it is of the wrong kind.
        """
        access, named = self._access, self._access.account
        told = ", ".join(accounts)
        if named and named not in accounts:
            raise StopTradingError(f"IBKR_ACCOUNT is {named}, but the gateway is logged in to {told}: correct either")
        if not named and len(accounts) > 1:
            raise StopTradingError(
                f"the gateway manages several accounts ({told}): set IBKR_ACCOUNT to the one to trade"
            )
        account = named or accounts[0]
        # Source: Interactive Brokers, "Paper Trading Account", 2025-11: its number begins with D.
        is_paper = account.startswith("D")
        if is_paper != (access.mode == "paper"):
            kind = "a paper account" if is_paper else "a live account"
            raise StopTradingError(
                f"IBKR_MODE is {access.mode}, but {account} is {kind}: log the gateway in to the other one, or set "
                "IBKR_MODE to what you mean"
            )
        return account

    def _check_numbers(self, ears: IbkrEars) -> None:
        """Note it when the gateway has forgotten order numbers that certainly arrived; they are never used again."""
        proven = self._books.newest_proven(self._access.client_id)
        if 0 < ears.next_valid_id <= proven:
            ears.contradictions.append(
                f"the gateway gives {ears.next_valid_id} as the next order number, but order {proven} arrived there "
                "before: its numbers were reset, or it is another gateway. Compare the open orders in TWS; the bot "
                "goes on with higher numbers once it is armed again"
            )

    def _why_not(self, words: str, ears: IbkrEars) -> str:
        access = self._access
        if ears.turned_away:
            hint = f"another program uses client number {access.client_id}, or an older connection of the bot lives on"
        elif ears.is_read_only:
            hint = "in its API settings, switch Read-Only API off"
        else:
            hint = (
                "see that TWS or IB Gateway runs and is logged in, that its API settings enable socket clients, and "
                "that IBKR_PORT is its port"
            )
        return f"no connection to Interactive Brokers as client {access.client_id}: {words}; {hint}"


def _take_no_breath() -> None:
    return

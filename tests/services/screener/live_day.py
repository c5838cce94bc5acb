"""A session of three minutes on a clock that a test moves, with a stream and past bars that say what they are told."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from bus.messages import (
    MICROS,
    NANOS,
    BarBatch,
    ChainStatus,
    FeedEnded,
    MarketMessage,
    PastBars,
    QuoteBatch,
    ServiceHealth,
    ServiceName,
    SessionPlanned,
)
from services.screener.live import BarsError, Heard, LiveBar, LiveQuote
from services.screener.live_names import Watched
from services.screener.live_session import LivePorts, LiveSession

T = TypeVar("T")
DEADLINE_S = 10.0
MINUTE = 60_000_000_000
SECOND = 1_000_000_000
OPEN = 1_741_786_200_000_000_000  # 2025-03-12T13:30Z, 9:30 in New York
PLAN = SessionPlanned(
    ts_event=1,
    ts_init=1,
    session_date="2025-03-12",
    open_ns=OPEN,
    close_ns=OPEN + 3 * MINUTE,
    is_half_day=False,
    is_trading_day=True,
    start_open_ns=OPEN,
    start_mid_ns=OPEN,
    start_close_ns=OPEN,
    flatten_ns=OPEN + 2 * MINUTE,
)


def until(look: Callable[[], T | None], what: str) -> T:
    """Wait for something a thread does."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"no {what} in {DEADLINE_S:.0f} s")


def a_bar(symbol: str, minute: int, dollars: int = 100) -> LiveBar:
    """Return the bar of the minute that starts so many minutes after the open."""
    price = dollars * MICROS
    return LiveBar(symbol, price, price, price, price, 1_000 * NANOS, OPEN + (minute + 1) * MINUTE)


def a_quote(symbol: str, after_ns: int, bid: int = 100) -> LiveQuote:
    return LiveQuote(symbol, bid * MICROS, (bid + 1) * MICROS, NANOS, NANOS, OPEN + after_ns)


def bars_of(said: Sequence[MarketMessage]) -> list[tuple[str, int, tuple[str, ...]]]:
    """Return (kind, which minute after the open, names) of each batch of bars."""
    return [
        (type(one).__name__, (one.ts_event - OPEN) // MINUTE - 1, one.symbols)
        for one in said
        if isinstance(one, BarBatch) and not (isinstance(one, PastBars) and one.begins)
    ]


def parts_of(said: Sequence[MarketMessage]) -> list[tuple[tuple[str, ...], int]]:
    """Return the names of each batch of new bars, and how many parts of its minute follow."""
    return [(one.symbols, one.parts_left) for one in said if type(one) is BarBatch]


class TellingStream:
    """A stream that brings what a test gives it."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self.barred: set[str] = set()
        self.is_closed = False
        #: Who is subscribed, but whose bars do not come.
        self.mute: set[str] = set()
        self._next = Heard(quotes={}, bars=(), life=0, is_up=False)

    def want(self, symbols: Sequence[str], barred: Collection[str]) -> None:
        self.wanted |= set(symbols)
        self.barred |= set(barred)

    def drop(self, symbols: Collection[str]) -> None:
        self.wanted -= set(symbols)
        self.barred -= set(symbols)

    def tell(self, *items: LiveBar | LiveQuote, **changes: object) -> None:
        quotes = {one.symbol: one for one in items if isinstance(one, LiveQuote)}
        bars = [one for one in items if isinstance(one, LiveBar)]
        newest = max([self._next.newest_ns, *(q.ts_ns for q in quotes.values()), *(b.end_ns for b in bars)])
        self._next = replace(
            self._next,
            quotes={**self._next.quotes, **quotes},
            bars=[*self._next.bars, *bars],
            newest_ns=newest,
            **changes,
        )

    def take(self) -> Heard:
        said = self._next
        self._next = replace(said, quotes={}, bars=())
        return replace(said, barred=frozenset(self.barred - self.mute) if said.is_up else frozenset())

    def close(self) -> None:
        self.is_closed = True


class KeptBars:
    """Past bars that a test has put there; a question waits until it may be answered."""

    def __init__(self) -> None:
        self.kept: list[LiveBar] = []
        self.faults = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked: list[tuple[int, int]] = []
        self.asked_of: list[tuple[str, ...]] = []

    def bars(self, symbols: Sequence[str], from_ns: int, until_ns: int) -> Sequence[LiveBar]:
        self.asked_of.append(tuple(symbols))
        self.asked.append(((from_ns - OPEN) // MINUTE, (until_ns - OPEN) // MINUTE))
        assert self.may_answer.wait(DEADLINE_S)
        if self.faults:
            self.faults -= 1
            raise BarsError("no answer")
        return [bar for bar in self.kept if bar.symbol in symbols and from_ns < bar.end_ns <= until_ns]


class TellingPuts:
    """Quotes of puts that a test gives."""

    def __init__(self) -> None:
        self.watched: tuple[str, ...] = ()
        self.is_closed = False
        self._next: dict[str, LiveQuote] = {}

    def watch(self, puts: Collection[str]) -> None:
        self.watched = tuple(puts)

    def tell(self, quote: LiveQuote) -> None:
        self._next[quote.symbol] = quote

    def take(self) -> Mapping[str, LiveQuote]:
        said, self._next = self._next, {}
        return said

    def close(self) -> None:
        self.is_closed = True


class LiveDay:
    """Drives one live session; time goes on by `wait` alone. A screener that starts `late_s` after the open."""

    LEAVE_AFTER_S = 30

    def __init__(self, *names: str, late_s: int = -60, room: int = 2, minutes: int = 3) -> None:
        self.stream, self.past, self.puts = TellingStream(), KeptBars(), TellingPuts()
        self.boot_ns = 1_000 * SECOND
        self.utc_ns = OPEN + late_s * SECOND
        self.faults: list[str] = []
        ports = LivePorts(
            stream=self.stream,
            past=self.past,
            puts=self.puts,
            utc_ns=lambda: self.utc_ns,
            boot_ns=lambda: self.boot_ns,
            is_simulated=False,
            on_fault=self.faults.append,
            leave_after_ns=self.LEAVE_AFTER_S * SECOND,
        )
        plan = replace(PLAN, close_ns=OPEN + minutes * MINUTE)
        self.session = LiveSession(plan, Watched(symbols=names, barred=names, left_out=(), room=room), ports)
        self.said: list[MarketMessage] = []

    def connect(self, pid: int = 7) -> None:
        """Let the stream stand, with listeners before the open; wait until it is known whether a minute is missing."""
        self.stream.tell(life=1, is_up=True)
        self.wait(4)
        if self.utc_ns < OPEN and pid:
            self.listeners(pid)
        self.settle()
        self.wait(1)

    def settle(self) -> None:
        """Let a question that is under way come to its answer, without time going on."""
        until(lambda: not any(one.name == "past-bars" and one.is_alive() for one in threading.enumerate()), "answer")
        self.wait(0.25)

    def wait(self, seconds: float) -> list[MarketMessage]:
        """Let time go on in steps of a quarter second; return what was said."""
        said: list[MarketMessage] = []
        for _ in range(max(1, round(seconds * 4))):
            self.boot_ns += SECOND // 4
            self.utc_ns += SECOND // 4
            while not self.session.has_ended and (message := self.session.next()) is not None:
                said.append(message)
        self.said.extend(said)
        return said

    def wait_until(self, after_ns: int) -> list[MarketMessage]:
        """Let time go on until so long after the open."""
        return self.wait((OPEN + after_ns - self.utc_ns) / SECOND)

    def listeners(self, pid: int, step: int | None = None, *, holes: int = 0) -> None:
        """Tell the session that strategy and risk run as this process, what they have heard, and what they missed."""
        heard = self.said[-1].step if step is None and self.said else step or 0
        self.session.hear_status(a_status(pid, heard, holes))

    def heard_list(self, depth: int = 0) -> None:
        """Tell the session how many messages of the screener's nobody has acknowledged."""
        heard = self.said[-1].step if self.said else 0
        self.session.hear_status(a_status(7, heard, depth=depth))


def a_status(pid: int, step: int, holes: int = 0, *, depth: int = 0) -> ChainStatus:
    names: tuple[ServiceName, ...] = ("strategy", "risk")
    line = ServiceHealth(
        service="risk", status="up", pid=pid, age_ms=1, restarts=0, step=step, outbox_depth=0, detail=""
    )
    measuring = (replace(line, service=name, market_holes=holes) for name in names)
    lines = (replace(line, service="screener", outbox_depth=depth), *measuring)
    return ChainStatus(
        ts_event=1,
        ts_init=1,
        state="ACTIVE",
        bot_state="TRADING",
        stopped="",
        goes_on="",
        detail="",
        session_date="2025-03-12",
        halt_counter=0,
        armed_by="ann",
        services=lines,
    )


def kinds(said: Sequence[MarketMessage]) -> list[str]:
    return [type(one).__name__ for one in said]


def quotes_of(said: Sequence[MarketMessage]) -> list[tuple[str, int]]:
    return [(q.symbol, q.bid_micros // MICROS) for one in said if isinstance(one, QuoteBatch) for q in one.quotes]


def has_ended(said: Sequence[MarketMessage]) -> bool:
    return any(isinstance(one, FeedEnded) for one in said)

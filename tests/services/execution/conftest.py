"""A rig for execution: core and shell driven as the runtime drives them, over a journal that survives a crash."""

import copy
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from unreliable_broker import UnreliableBroker

from bus import messages as m
from bus.assembly import Ports
from bus.failpoints import failpoints
from bus.testing import CLOSE_NS, OPEN_NS, a_plan
from services.execution.brokers import reports as r
from services.execution.brokers.commission import FREE, Commission
from services.execution.brokers.interface import Broker
from services.execution.brokers.paper import PaperBroker
from services.execution.core import ExecutionCore
from services.execution.entry_checks import EntryChecks
from services.execution.orders import client_order_id
from services.execution.settings import EntryLimits, ExecutionSettings
from services.execution.shell import ExecutionShell
from services.execution.unresolved import UnresolvedOrders

SECOND = 1_000_000_000
ACCOUNT = "ACME_USA_main_PAPER_BOT01"
CASH = 100_000 * m.MICROS
INTENT = "2013-10-08:open:SPY:BULLISH"
LIMITS = EntryLimits(
    notional_max_micros=25_000 * m.MICROS,
    qty_max_nanos=1_000 * m.NANOS,
    per_second_max=3,
    collar_ppm=50_000,
    quote_age_max_ns=2_000_000_000,
)


def settings_of(halt_positions: str, stop_positions: str) -> ExecutionSettings:
    paper = {"paper_starting_cash_micros": CASH, "paper_slippage_ppm": 0, "paper_commission": FREE}
    choices = {
        "halt_positions": halt_positions,
        "stop_positions": stop_positions,
        "entry_limits": LIMITS,
    }
    return ExecutionSettings(broker_name="PAPER", **paper, **choices)


class LetsAllIn(EntryChecks):
    """Holds no entry against anything: what it refuses has tests of its own."""

    def refusal(self, state: Any, entry: m.OrderPrepared, now_ns: int, *, is_external: bool) -> str | None:
        return "external" if is_external else None


class OpenGate:
    """Lets through what `is_open` says; exits may be held separately."""

    def __init__(self) -> None:
        self.is_open = True
        self.lets_exits = True
        self.lapsed = 0

    def refusal(self, *, reduces: bool) -> str | None:
        may = self.lets_exits if reduces else self.is_open
        return None if may else "no lease"

    def lapsed_ns(self) -> int:
        return self.lapsed


class CrashError(Exception):
    """The process died here."""


class Rig:
    """One execution service without a bus: `journal` is what is on disk."""

    def __init__(
        self,
        broker: Broker,
        journal: Sequence[m.Message] = (),
        halt_positions: str = "keep",
        stop_positions: str = "keep",
        checks: EntryChecks | None = None,
        logs: Path | None = None,
    ) -> None:
        settings = settings_of(halt_positions, stop_positions)
        self.core = ExecutionCore(settings, ACCOUNT, one_side_at_a_time=broker.refuses_opposite_sides)
        self.broker = broker
        self.gate = OpenGate()
        self.halts: list[tuple[str, str]] = []
        self.boot_ns = 0
        self.shell = ExecutionShell(
            broker,
            stop_positions=stop_positions,
            checks=checks or LetsAllIn(LIMITS),
            unresolved=UnresolvedOrders(logs),
            clock=lambda: self.boot_ns,
        )
        ports = Ports(self.gate, lambda _message: None, lambda rule, text: self.halts.append((rule, text)))
        self.shell.attach(ports)
        self.journal = list(journal)
        self.now_ns = 0
        self.state = self.core.initial()
        #: Called with each event after its commit and before its effects; raises CrashError to die there.
        self.failpoint: Callable[[m.Message], None] = lambda _event: None
        #: Called with each report before it is decided.
        self.report_failpoint: Callable[[m.Message], None] = lambda _report: None
        for event in journal:
            self.state = self.core.evolve(self.state, event)

    def start(self) -> list[m.Message]:
        return self._run(self.shell.on_start(self.state, self.now_ns))

    def give(self, *messages: m.Message) -> list[m.Message]:
        return self._run(messages)

    def market(self, data: m.MarketMessage) -> list[m.Message]:
        self.now_ns = max(self.now_ns, data.ts_event)
        self.state = self.core.observe(self.state, data)
        events = self._run([data])
        return events + self._run(self.shell.on_market(self.state, data, self.now_ns))

    def idle(self) -> list[m.Message]:
        return self._run(self.shell.on_idle(self.state, self.now_ns))

    def gap(self) -> list[m.Message]:
        return self._run(self.shell.on_gap(self.state, self.now_ns))

    def stop(self) -> list[m.Message]:
        """Stop as the runtime does: ask until there is nothing more to do, at most for 20 seconds."""
        done: list[m.Message] = []
        for _ in range(1000):
            done += self._run(self.shell.on_stop(self.state, self.now_ns))
            if not self.decided:
                break
            self.boot_ns += SECOND // 50
        return done

    def idle_for(self, seconds: float, every: float = 0.1) -> list[m.Message]:
        """Let boot time pass in steps, with an idle call in each."""
        done: list[m.Message] = []
        for _ in range(round(seconds / every)):
            self.boot_ns += round(every * SECOND)
            done += self.idle()
        return done

    def armed(self) -> "Rig":
        self.start()
        self.give(a_plan(), arm())
        self.idle()
        return self

    def _run(self, messages: Iterable[m.Message]) -> list[m.Message]:
        """Decide as the runtime does: what an effect reports comes before the next effect."""
        done: list[m.Message] = []
        self.decided = 0
        waiting = [iter(messages)]
        while waiting:
            message = next(waiting[-1], None)
            if message is None:
                waiting.pop()
                continue
            self.decided += 1
            assert self.decided < 10_000, "the reports never end"
            self.report_failpoint(message)
            events = list(self.core.decide(self.state, message, self.now_ns))
            for event in events:
                self.shell.before_commit(event)
            self.journal.extend(events)
            for event in events:
                self.state = self.core.evolve(self.state, event)
            waiting.append(self._effects(events, done))
        return done

    def _effects(self, events: Sequence[m.Message], done: list[m.Message]) -> Iterator[m.Message]:
        for event in events:
            self.failpoint(event)
            done.append(event)
            yield from self.shell.after_commit(self.state, event, self.now_ns)


class Desk:
    """The core alone; the test plays the broker."""

    def __init__(self, kit: Any, halt_positions: str = "keep", stop_positions: str = "keep") -> None:
        settings = settings_of(halt_positions, stop_positions)
        self.core = ExecutionCore(settings, "ACME_USA_main_PAPER_BOT01")
        self.state = self.core.initial()
        self.kit = kit
        self.now = kit.OPEN_NS
        self.events = []

    def give(self, *messages: m.Message) -> list[m.Message]:
        out = []
        for message in messages:
            before = copy.deepcopy(self.state)
            events = list(self.core.decide(self.state, message, self.now))
            assert self.state == before, "decide changed the state"
            for event in events:
                self.state = self.core.evolve(self.state, event)
                due = {one.intent_id: self.state._due_of(one) for one in self.state.open_intents()}
                assert self.state._due_ns == due, f"{type(event).__name__} changed when an intent is looked at"
            out += events
        self.events += out
        return out

    def at(self, seconds: int) -> list[m.Message]:
        """Let market data come at so many seconds after the open."""
        self.now = self.kit.OPEN_NS + seconds * self.kit.SECOND
        return self.give(m.BarBatch.of((), ts_event=self.now, ts_init=self.now, step=1))

    def accepted(self, key: str) -> list[m.Message]:
        return self.give(
            r.BrokerAccepted(ts_event=self.now, ts_init=self.now, client_order_id=key, broker_order_id=f"B-{key}")
        )

    def filled(self, key: str, shares: int, execution_id: str, price: int = 100) -> list[m.Message]:
        return self.give(
            r.BrokerFill(
                ts_event=self.now,
                ts_init=self.now,
                execution_id=execution_id,
                client_order_id=key,
                broker_order_id=f"B-{key}",
                qty_nanos=shares * m.NANOS,
                price_micros=price * m.MICROS,
                commission_micros=0,
                broker="FAKE",
            )
        )

    def cancelled(self, key: str, filled_shares: int = 0) -> list[m.Message]:
        return self.give(
            r.BrokerCancelled(
                ts_event=self.now,
                ts_init=self.now,
                client_order_id=key,
                filled_qty_nanos=filled_shares * m.NANOS,
                detail="done",
            )
        )

    def says(self, kind: Any, key: str) -> list[m.Message]:
        return self.give(kind(ts_event=self.now, ts_init=self.now, client_order_id=key, detail="so it is"))

    def order(self, key: str) -> Any:
        return self.state.find(key)

    def with_position(self, shares: int = 100) -> "Desk":
        """Enter, fill and protect one intent."""
        entry, stop = self.kit.order_id("entry"), self.kit.order_id("stop")
        self.give(self.kit.submit(shares=shares))
        self.accepted(entry)
        self.filled(entry, shares, "X-1")
        self.accepted(stop)
        return self


def arm(halt_counter: int = 0) -> m.ChainArmed:
    return m.ChainArmed(ts_event=0, ts_init=0, halt_counter=halt_counter, operator="ann", reason="morning")


def disarm() -> m.ChainDisarmed:
    return m.ChainDisarmed(ts_event=0, ts_init=0, detail="stopped")


def halt(counter: int = 1) -> m.HaltRaised:
    return m.HaltRaised(ts_event=0, ts_init=0, counter=counter, source="watchdog", rule="dead", detail="risk is dead")


def kill() -> m.KillSwitchTripped:
    return m.KillSwitchTripped(ts_event=0, ts_init=0, session_date="2013-10-08", pnl_micros=-3, limit_micros=2)


def submit(intent_id: str = INTENT, symbol: str = "SPY", shares: int = 100, **changes: object) -> m.SubmitOrder:
    values: dict[str, object] = {
        "ts_event": OPEN_NS,
        "ts_init": OPEN_NS,
        "intent_id": intent_id,
        "session_date": "2013-10-08",
        "strategy": "open",
        "symbol": symbol,
        "side": "BUY",
        "qty_nanos": shares * m.NANOS,
        "order_type": "MARKET",
        "limit_micros": 0,
        "reference_micros": 100 * m.MICROS,
        "trail_bps": 200,
        "expires_ns": OPEN_NS + 60 * SECOND,
        "cancel_at_ns": OPEN_NS + 120 * SECOND,
        "exit_at_ns": OPEN_NS + 3600 * SECOND,
        "reason": "breakout",
    }
    return m.SubmitOrder(**(values | changes))


def quotes(step: int, *rows: tuple[str, float, float, int, int], at_s: int | None = None) -> m.QuoteBatch:
    """Build a batch of (symbol, bid, ask, bid shares, ask shares), `at_s` seconds after the open (default: step)."""
    at = OPEN_NS + (step if at_s is None else at_s) * SECOND
    items = tuple(
        m.Quote(s, round(bid * m.MICROS), round(ask * m.MICROS), bid_size * m.NANOS, ask_size * m.NANOS, at)
        for s, bid, ask, bid_size, ask_size in rows
    )
    return m.QuoteBatch.of(items, ts_event=at, ts_init=at, step=step)


def spy(step: int, bid: float = 100.0, size: int = 1000, at_s: int | None = None) -> m.QuoteBatch:
    return quotes(step, ("SPY", bid, bid + 0.02, size, size), at_s=at_s)


class Kit:
    """Builders, so that tests read as playbooks."""

    Rig = Rig
    Crash = CrashError
    Unreliable = UnreliableBroker
    SECOND = SECOND
    CASH = CASH
    INTENT = INTENT
    LIMITS = LIMITS
    OPEN_NS = OPEN_NS
    CLOSE_NS = CLOSE_NS
    arm = staticmethod(arm)
    disarm = staticmethod(disarm)
    halt = staticmethod(halt)
    kill = staticmethod(kill)
    submit = staticmethod(submit)
    quotes = staticmethod(quotes)
    spy = staticmethod(spy)

    @staticmethod
    def enter(rig: Rig, first_step: int = 1) -> list[m.Message]:
        """Buy 100 SPY: quotes, request, quotes."""
        rig.market(spy(first_step))
        rig.give(submit())
        return rig.market(spy(first_step + 1))

    @staticmethod
    def entered(open_broker: Callable[..., PaperBroker], count: int = 1, **options: Any) -> Rig:
        """Return an armed rig whose entries, one in each symbol, wait at the broker."""
        rig = Rig(UnreliableBroker(open_broker()), **options).armed()
        symbols = ["SPY", "QQQ", "IWM"][:count]
        rig.market(quotes(1, *((symbol, 100.0, 100.02, 1000, 1000) for symbol in symbols)))
        rig.idle()
        for symbol in symbols:
            rig.give(submit(intent_id=f"2013-10-08:open:{symbol}:BULLISH", symbol=symbol))
        return rig

    @staticmethod
    def die_at(point: str, *, at_visit: int = 1) -> AbstractContextManager[None]:
        """Die when this point is reached for the n-th time."""
        visits = 0

        def reached(name: str) -> None:
            nonlocal visits
            if name == point:
                visits += 1
                if visits == at_visit:
                    raise CrashError

        return failpoints(reached)

    @staticmethod
    def fills(rig: Rig) -> list[tuple[str, int]]:
        return [(e.execution_id, e.qty_nanos) for e in rig.journal if isinstance(e, m.OrderFilled)]

    @staticmethod
    def broker_fills(broker: Any) -> list[tuple[str, int]]:
        return [(f.execution_id, f.qty_nanos) for f in broker.executions_after("", 0)]

    @staticmethod
    def listed(broker: Any) -> list[str]:
        return [order.client_order_id for order in broker.open_orders(0)]

    @staticmethod
    def order_id(leg: m.Leg, attempt: int = 1, intent_id: str = INTENT) -> str:
        return client_order_id(ACCOUNT, intent_id, leg, attempt=attempt)

    @staticmethod
    def names(events: Sequence[m.Message]) -> list[str]:
        """Name each event, with its leg where it has one."""
        return [
            type(e).__name__ + (f":{e.leg}" if isinstance(e, m.OrderPrepared | m.OrderFilled) else "") for e in events
        ]


@pytest.fixture
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
def books_path(tmp_path: Path) -> Path:
    return tmp_path / "paper_broker.db"


@pytest.fixture
def open_broker(books_path: Path) -> Iterator[Callable[..., PaperBroker]]:
    """Open the same books again and again; a crashed process leaves them without closing."""
    opened: list[PaperBroker] = []

    def open_it(cash: int = CASH, commission: Commission = FREE, **options: Any) -> PaperBroker:
        opened.append(PaperBroker(books_path, starting_cash_micros=cash, commission=commission, **options))
        return opened[-1]

    yield open_it
    for broker in opened:
        broker.close()


@pytest.fixture
def rig(open_broker: Callable[..., PaperBroker]) -> Rig:
    return Rig(open_broker())


@pytest.fixture
def bare(kit: Any) -> Desk:
    return Desk(kit)


@pytest.fixture
def desk(kit: Any) -> Desk:
    desk = Desk(kit)
    desk.give(a_plan(), kit.arm())
    return desk


@pytest.fixture
def new_desk(kit: Any) -> Callable[[], Desk]:
    """Return what makes another armed desk, for a test of many courses of events."""

    def make() -> Desk:
        desk = Desk(kit)
        desk.give(a_plan(), kit.arm())
        return desk

    return make


@pytest.fixture
def flattening_desk(kit: Any) -> Desk:
    desk = Desk(kit, halt_positions="flatten")
    desk.give(a_plan(), kit.arm())
    return desk

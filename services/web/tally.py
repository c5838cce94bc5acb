"""What monitoring from outside is told: figures of the newest status, counts since this process began to listen.

Names and units follow Prometheus: `_total` only grows until the web interface starts anew, `_seconds`, `_dollars` are
their units. A figure that nobody has said yet is not there, instead of a zero that would look well.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bus import messages as m
from bus.build import build_id
from bus.clock import boot_ns, utc_ns
from config.archive import SUFFIX
from config.paths import HomePaths
from services.web.traces import TRACES_MAX

# A moment of birth for each counter doubles what is sent, and says nothing that a restart of the process does not.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has none here
_NS_PER_S: Final = 1_000_000_000
_MS_PER_S: Final = 1_000
#: An order's way takes some milliseconds on one machine; a broker's answer up to seconds.
_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_RESULTS: Final[dict[type[m.Message], str]] = {
    m.OrderPrepared: "prepared",
    m.OrderAccepted: "accepted",
    m.OrderRejected: "rejected",
    m.OrderExpired: "expired",
    m.OrderCancelled: "cancelled",
    m.OrderUnknown: "unknown",
}
Moments = dict[str, int]


class Tally:
    """Counts every message that the hub hears; thread-safe."""

    def __init__(self, alerts_unseen: Callable[[], int] = lambda: 0) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._alerts_unseen = alerts_unseen
        self._newest: dict[type[m.Message], tuple[m.Message, int]] = {}
        self._beats: dict[str, m.Heartbeat] = {}
        self._made: dict[str, Moments] = {name: {} for name in ("signal", "request", "intent")}
        self._entries: dict[str, str] = {}

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"tradebot_{name}", words, labels, registry=self.registry)

        self._orders = counter("orders", "Orders, by what became of them.", "result")
        self._denied = counter("orders_denied", "Orders that risk denied, by its rule.", "rule")
        self._fills = counter("fills", "Executions, by strategy and side.", "strategy", "side")
        self._signals = counter("signals", "Signals that strategies raised.", "strategy")
        self._halts = counter("halts", "Halts that were raised, by rule.", "rule")
        self._hops = Histogram(
            "tradebot_hop_seconds",
            "Time of an entry from each step of its way to the next.",
            ("hop",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(_Figures(self._figures))

    def count(self, message: m.Message) -> None:
        """Take one message; what nobody asks for is left."""
        with self._lock:
            if isinstance(message, m.Heartbeat):
                self._beats[message.service] = message
                return
            if isinstance(message, (m.ChainStatus, m.PortfolioSnapshot, m.LedgerSnapshot, m.OrdersSnapshot)):
                self._newest[type(message)] = (message, boot_ns())
                return
            self._count_event(message)

    def beat(self, service: str) -> m.Heartbeat | None:
        """Return the newest heartbeat of a service, None when it never was heard."""
        with self._lock:
            return self._beats.get(service)

    def _count_event(self, message: m.Message) -> None:
        result = _RESULTS.get(type(message))
        if result:
            self._orders.labels(result).inc()
        match message:
            case m.OrderDenied():
                self._denied.labels(message.rule).inc()
            case m.HaltRaised():
                self._halts.labels(message.rule).inc()
            case m.OrderFilled():
                self._fills.labels(message.strategy, message.side).inc()
            case m.SignalRaised():
                self._signals.labels(message.strategy).inc()
            case _:
                pass
        self._time(message)

    def _time(self, message: m.Message) -> None:
        """Measure the hop that this message ends."""
        match message:
            case m.SignalRaised():
                self._begin("signal", message.signal_id, message.ts_init)
            case m.SubmitOrder():
                self._end("signal_to_approval", "signal", message.intent_id, message.ts_init)
                self._begin("request", message.intent_id, message.ts_init)
            case m.OrderPrepared(leg="entry"):
                self._end("approval_to_disk", "request", message.intent_id, message.ts_init)
                self._begin("intent", message.intent_id, message.ts_init)
                self._entries[message.client_order_id] = message.intent_id
            case m.OrderAccepted() if message.client_order_id in self._entries:
                self._end("disk_to_broker", "intent", self._entries.pop(message.client_order_id), message.ts_init)
            case m.OrderFilled(leg="entry"):
                self._end("signal_to_fill", "signal", message.intent_id, message.ts_init)
                self._made["signal"].pop(message.intent_id, None)
            case _:
                pass

    def _begin(self, step: str, key: str, at_ns: int) -> None:
        made = self._made[step]
        made.setdefault(key, at_ns)
        for table in (made, self._entries):
            while len(table) > TRACES_MAX:
                table.pop(next(iter(table)))

    def _end(self, hop: str, step: str, key: str, at_ns: int) -> None:
        began = self._made[step].get(key)
        if began is not None:
            self._hops.labels(hop).observe(max(0, at_ns - began) / _NS_PER_S)

    def _figures(self) -> Iterator[Metric]:
        with self._lock:
            newest, beats = dict(self._newest), dict(self._beats)
        yield _one("build_info", "The build that this web interface runs.", 1, build=build_id())
        yield _one("alerts_unseen", "Alerts that nobody has acknowledged.", self._alerts_unseen())
        yield from _of_chain(*newest.get(m.ChainStatus, (None, 0)))
        yield from _of_portfolio(newest.get(m.PortfolioSnapshot, (None, 0))[0])
        yield from _of_ledger(newest.get(m.LedgerSnapshot, (None, 0))[0])
        yield from _of_orders(newest.get(m.OrdersSnapshot, (None, 0))[0])
        yield from _of_beats(beats)


class _Figures(Collector):
    """What is looked up at the moment of the question."""

    def __init__(self, figures: Callable[[], Iterator[Metric]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Return every figure there is now."""
        return self._figures()


def home_figures(paths: HomePaths) -> Iterator[Metric]:
    """Return what the disk says: free space, and how old the newest archive and ledger are."""
    found = os.statvfs(paths.root)
    yield _one("disk_free_bytes", "Free space where the home is.", found.f_bavail * found.f_frsize)
    age = _age_s(paths.root.glob(f"backups/*{SUFFIX}"))
    if age is not None:
        yield _one("archive_age_seconds", "Age of the newest archive of the home.", age)
    age = _age_s(paths.entities.glob("*/backups/**/*"))
    if age is not None:
        yield _one("ledger_backup_age_seconds", "Age of the newest write into the ledger's backups.", age)


def _age_s(files: Iterator[Path]) -> float | None:
    times = [path.stat().st_mtime_ns for path in files if path.is_file()]
    return max(0, utc_ns() - max(times)) / _NS_PER_S if times else None


def _family(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tradebot_{name}", words, labels=labels)


def _one(name: str, words: str, value: float, **labels: str) -> GaugeMetricFamily:
    family = _family(name, words, *labels)
    family.add_metric(list(labels.values()), value)
    return family


def _of_chain(status: m.Message | None, heard_ns: int) -> Iterator[Metric]:
    if not isinstance(status, m.ChainStatus):
        return
    yield _one("watchdog_age_seconds", "Since when the watchdog was not heard.", (boot_ns() - heard_ns) / _NS_PER_S)
    for name, words, states, now in (
        ("state", "The chain's state: 1 at the one it is in.", get_args(m.ChainState), status.state),
        ("bot_state", "Where the bot is in its day: 1 at the one it is in.", get_args(m.BotState), status.bot_state),
    ):
        family = _family(name, words, "state")
        for state in states:
            family.add_metric([state], float(state == now))
        yield family
    yield _one("halt_number", "Number of the newest halt.", status.halt_counter)
    yield _one(
        "clock_drift_seconds", "How far the wall clock was set since the start.", status.clock_drift_ms / _MS_PER_S
    )
    up = _family("service_up", "1 where the watchdog hears the service in time.", "service")
    age = _family("heartbeat_age_seconds", "Age of the newest heartbeat as the watchdog saw it.", "service")
    restarts = _family("service_restarts", "Restarts since the watchdog began.", "service")
    queue = _family("outbox_messages", "Messages that wait for their acknowledgement.", "service")
    holes = _family("market_holes", "How often numbers of market data were missing.", "service")
    for line in status.services:
        up.add_metric([line.service], float(line.status == "up"))
        age.add_metric([line.service], line.age_ms / _MS_PER_S)
        restarts.add_metric([line.service], line.restarts)
        queue.add_metric([line.service], line.outbox_depth)
        holes.add_metric([line.service], line.market_holes)
    yield from (up, age, restarts, queue, holes)


def _of_portfolio(found: m.Message | None) -> Iterator[Metric]:
    if not isinstance(found, m.PortfolioSnapshot):
        return
    for name, words, micros in (
        ("equity_dollars", "The account's equity as risk values it.", found.equity_micros),
        ("realized_dollars", "The day's realized result.", found.realized_micros),
        ("unrealized_dollars", "The result of open positions.", found.unrealized_micros),
        ("day_result_dollars", "The day's result.", found.realized_micros + found.unrealized_micros),
        ("loss_limit_dollars", "The day's loss that halts the chain.", found.loss_limit_micros),
        ("allocated_dollars", "What is allocated to positions and orders.", found.allocated_micros),
        ("allocation_limit_dollars", "The most that may be allocated.", found.allocation_limit_micros),
    ):
        yield _one(name, words, micros / m.MICROS)
    yield _one("open_positions", "Open positions.", len(found.positions))


def _of_ledger(found: m.Message | None) -> Iterator[Metric]:
    if isinstance(found, m.LedgerSnapshot):
        yield _one("ledger_entries", "Entries of the ledger.", found.entries)
        yield _one("ledger_imbalance", "Debits less credits; anything but 0 is a fault.", found.imbalance)
        yield _one("ledger_suspended", "Events that the ledger could not book.", found.suspended)


def _of_orders(found: m.Message | None) -> Iterator[Metric]:
    if isinstance(found, m.OrdersSnapshot):
        yield _one("orders_of_day", "Orders of the day.", found.orders_total)
        yield _one("stops_resting", "Open positions that a stop protects.", len(found.stops))


def _of_beats(beats: dict[str, m.Heartbeat]) -> Iterator[Metric]:
    lag = _family("hop_lag_seconds", "How long the oldest message of a sender waits for its receiver.", "service")
    refused = _family("refused_messages", "Messages that were refused since the start of the service.", "service")
    strangers = _family("refused_connections", "Connections with an unknown key since its start.", "service")
    stopped = _family("stopped_streams", "Senders that a service takes nothing more from.", "service")
    for name, beat in sorted(beats.items()):
        lag.add_metric([name], beat.oldest_unacked_ms / _MS_PER_S)
        refused.add_metric([name], beat.rejected_messages)
        strangers.add_metric([name], beat.refused_connections)
        stopped.add_metric([name], len(beat.stopped_streams))
    yield from (lag, refused, strangers, stopped)
    execution = beats.get("execution")
    if execution is not None and execution.reconciled_ms >= 0:
        words = "How long ago bot and broker agreed; not there when they do not."
        yield _one("reconciled_age_seconds", words, execution.reconciled_ms / _MS_PER_S)

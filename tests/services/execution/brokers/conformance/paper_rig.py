"""The embedded paper broker for the cards: quotes are batches that it hears, and its house is its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from conformance.rig import STARTING_CASH_MICROS, Rig
from conformance.rigs import RIGS
from msgspec.structs import replace

from bus import messages as m
from bus.testing import OPEN_NS, a_plan
from services.execution.brokers import reports as r
from services.execution.brokers.interface import BrokerPorts
from services.execution.brokers.paper import PaperBroker

SECOND = m.NANOS
DAY_NS = 86_400 * SECOND
FRIDAY = 4


class PaperMarket:
    """What the market shows: for each symbol bid, ask, and the shares that are left of each."""

    def __init__(self) -> None:
        self.shown: dict[str, list[int]] = {}
        self.step = 0

    def quote(self, symbol: str, *values: int) -> None:
        """Show prices in micros and sizes in nanos."""
        self.shown[symbol] = list(values)

    def batch(self, now_ns: int) -> m.QuoteBatch:
        """Return what stands now as the next step."""
        self.step += 1
        quotes = [m.Quote(symbol, *values, now_ns) for symbol, values in sorted(self.shown.items())]
        return m.QuoteBatch.of(quotes, ts_event=now_ns, ts_init=now_ns, step=self.step)

    def took(self, symbol: str, side: m.Side, qty_nanos: int) -> None:
        """Take what was traded off what is shown."""
        self.shown[symbol][3 if side == "BUY" else 2] -= qty_nanos


class PaperRig(Rig):
    """The paper broker without slippage and charges."""

    name = "paper"
    capabilities = RIGS["paper"].capabilities

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._market = PaperMarket()
        self._now_ns = OPEN_NS + SECOND
        self._day = "2013-10-08"
        self._plan = a_plan(self._day)
        self._opened: list[PaperBroker] = []
        self._open()

    def _open(self) -> None:
        self.broker = PaperBroker(self._path, starting_cash_micros=STARTING_CASH_MICROS)
        self.broker.attach(BrokerPorts(gate=self.gate, breathe=self.breathe))
        self.broker.planned(self._plan)
        self._opened.append(self.broker)

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @property
    def session_date(self) -> str:
        return self._day

    def quote(
        self, symbol: str, bid_micros: int, ask_micros: int, bid_shares: int = 1000, ask_shares: int = 1000
    ) -> None:
        self._market.quote(symbol, bid_micros, ask_micros, bid_shares * m.NANOS, ask_shares * m.NANOS)

    def settle(self) -> None:
        self._now_ns += SECOND
        sides = {key: (request.symbol, request.side) for key, request in self.requested.items()}
        for fill in self.broker.on_quotes(self._market.batch(self._now_ns), self._day):
            if isinstance(fill, r.BrokerFill):
                self._market.took(*sides[fill.client_order_id], fill.qty_nanos)

    def restart(self) -> None:
        self._open()

    def end_session(self) -> None:
        self._now_ns = self._plan.close_ns
        self.settle()

    def next_session(self) -> None:
        day = date.fromisoformat(self._day)
        days = 3 if day.weekday() == FRIDAY else 1
        self._day = (day + timedelta(days=days)).isoformat()
        later = {name: getattr(self._plan, name) + days * DAY_NS for name in ("ts_event", "open_ns", "close_ns")}
        self._plan = replace(self._plan, session_date=self._day, **later)
        self._now_ns = self._plan.open_ns + SECOND
        self._market.step = 0
        self._opened[-1].planned(self._plan)

    def close(self) -> None:
        for broker in self._opened:
            broker.close()


@contextmanager
def make(folder: Path) -> Iterator[Rig]:
    """Give a rig whose books lie in this folder."""
    rig = PaperRig(folder / "paper_broker.db")
    yield rig
    rig.close()

"""The chain in one process: risk, execution with the paper broker, ledger and holdings, over a made market."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

import services.execution.shell
import services.holdings.shell
import services.ledger.shell
import services.risk.shell
from bus.assembly import Assembly, Setup
from bus.local import LocalChain
from bus.messages import (
    MICROS,
    NANOS,
    MarketMessage,
    Message,
    OrderFilled,
    Quote,
    QuoteBatch,
    ServiceName,
    SessionPlanned,
    SubmitOrder,
)
from bus.testing import RecorderCore
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY
from services.ledger.coa_utils_ledger import load_template

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
FIRST_DAY = date(2025, 3, 10)
HOLDINGS: dict[str, Any] = {"is_enabled": True, "etfs": {"AAA": "60", "BBB": "40"}}


def plan_of(day: date) -> SessionPlanned:
    start = int(datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC).timestamp()) * SECOND
    close = start + 390 * MINUTE
    return SessionPlanned(
        ts_event=start,
        ts_init=start,
        session_date=day.isoformat(),
        open_ns=start,
        close_ns=close,
        is_half_day=False,
        is_trading_day=True,
        start_open_ns=start,
        start_mid_ns=start + 60 * MINUTE,
        start_close_ns=start + 300 * MINUTE,
        flatten_ns=close - 5 * MINUTE,
    )


class Evening:
    """A home, its chain, and what each service has committed; `prices` are in dollars, spread one cent."""

    def __init__(self, folder: Path, holdings: dict[str, Any] | None = None, *, cash: int = 10_000, **env: str) -> None:
        self.paths = HomePaths(folder)
        self.paths.make()
        request = {"coa": load_template(), "currency_code": "USD"}
        (self.paths.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
        settings = {**proposals(), "PAPER_STARTING_CASH": str(cash), "PAPER_SLIPPAGE": "0", "PAPER_LATENCY": "0", **env}
        self.setup = Setup(paths=self.paths, env=parse(settings), identity=DEMO_IDENTITY, holdings=holdings or HOLDINGS)
        self.events: list[tuple[ServiceName, Message]] = []
        self.day = FIRST_DAY
        self.prices = {"AAA": 100.0, "BBB": 50.0, "CCC": 5.0}
        self.size_nanos = 10**6 * NANOS
        self.step = 0
        self.assemblies: dict[ServiceName, Assembly[Any]] = {
            "screener": Assembly(core=RecorderCore()),
            "risk": services.risk.shell.build(self.setup),
            "execution": services.execution.shell.build(self.setup),
            "ledger": services.ledger.shell.build(self.setup),
            "holdings": services.holdings.shell.build(self.setup),
        }
        self.chain = LocalChain(self.assemblies, lambda service, event: self.events.append((service, event)))

    def night(self, *, gain: int = 0, first: int = 0, last: int = 240) -> list[Message]:
        """Play the end of one session, from `first` to `last` seconds after the flatten; return what the holdings did.

        `gain` in dollars is what a strategy earns in the morning, by a purchase and a sale through the broker.
        """
        self.events.clear()
        plan = plan_of(self.day)
        self.chain.begin(plan)
        self.step = 0
        if gain:
            self.chain.play(self._batches(plan.open_ns + MINUTE, 2))
            self.chain.nodes["execution"].on_reliable(self._trade(plan))
            self.chain.play(self._batches(plan.open_ns + MINUTE + 2 * SECOND, 3))
            self.prices["CCC"] += gain / 100
            self.chain.play(self._batches(plan.open_ns + 3 * MINUTE, 5))
            self.prices["CCC"] = 5.0
        self.chain.play(self._batches(plan.flatten_ns + first * SECOND, last - first))
        self.day += timedelta(days=3 if self.day.weekday() == 4 else 1)
        return self.of("holdings")

    def _trade(self, plan: SessionPlanned) -> SubmitOrder:
        at = plan.open_ns + MINUTE + SECOND
        return SubmitOrder(
            ts_event=at,
            ts_init=at,
            intent_id=f"{plan.session_date}:open:CCC:BULLISH",
            session_date=plan.session_date,
            strategy="open",
            symbol="CCC",
            side="BUY",
            qty_nanos=100 * NANOS,
            order_type="MARKET",
            limit_micros=0,
            reference_micros=round(self.prices["CCC"] * MICROS),
            trail_bps=500,
            expires_ns=at + MINUTE,
            cancel_at_ns=at + MINUTE,
            exit_at_ns=at + MINUTE,
            reason="a test",
        )

    def _batches(self, start_ns: int, seconds: int) -> Iterator[MarketMessage]:
        for second in range(seconds):
            self.step += 1
            at = start_ns + second * SECOND
            quotes = [
                Quote(symbol, round(price * MICROS), round(price * MICROS), self.size_nanos, self.size_nanos, at)
                for symbol, price in self.prices.items()
            ]
            yield QuoteBatch.of(quotes, ts_event=at, ts_init=at, step=self.step)

    def deliver(self) -> None:
        """Let what was said by a command reach the others."""
        self.chain.play(self._batches(self.chain.clock.now_ns() + SECOND, 1))

    def of(self, service: ServiceName, *kinds: type[Message]) -> list[Any]:
        return [event for name, event in self.events if name == service and (not kinds or isinstance(event, kinds))]

    def fills(self) -> dict[str, int]:
        """Shares in billionths that the night's fills moved, sales below zero."""
        moved: dict[str, int] = {}
        for fill in self.of("execution", OrderFilled):
            sign = 1 if fill.side == "BUY" else -1
            moved[fill.symbol] = moved.get(fill.symbol, 0) + sign * fill.qty_nanos
        return moved

    @property
    def holdings(self) -> Any:
        return self.chain.nodes["holdings"].state

    @property
    def ledger(self) -> Any:
        return self.chain.nodes["ledger"].state

    def balance(self, code: str) -> float:
        return float(self.ledger.holdings.of(code)) / MICROS

    def close(self) -> None:
        self.chain.close()

    def records(self) -> Sequence[Path]:
        return sorted((self.paths.output / DEMO_IDENTITY.bot_identity / "holdings").glob("*.json"))

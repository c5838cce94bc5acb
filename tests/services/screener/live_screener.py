"""A screener with live data, driven as the runtime does it, on a session of four minutes."""

import time
from collections.abc import Callable
from typing import Any

from live_day import MINUTE, OPEN, PLAN, a_status, until
from msgspec.structs import replace

from bus.assembly import Assembly, Ports, Setup
from bus.local import OpenGate
from bus.messages import CandidatesRanked, MarketMessage, PortfolioSnapshot, PositionLine
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.screener.core import ScreenerState
from services.screener.generator import generate
from services.screener.shell import build

MINUTES = 4
SHORT = replace(PLAN, close_ns=OPEN + MINUTES * MINUTE)
DAY = generate(SHORT, 2)
IDENTITY = Identity(
    entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)


class Screener:
    """A screener's core and shell, driven as the runtime does it."""

    def __init__(self, paths: HomePaths, port: int, **settings: str) -> None:
        live = {
            "MARKET_DATA_SOURCE": "alpaca",
            "ALPACA_ENDPOINT": "simulator",
            "ALPACA_DATA_SIMULATOR_PORT": str(port),
            "MARKET_DATA_DATE": SHORT.session_date,
            "MARKET_DATA_SYMBOLS": ",".join(DAY.symbols),
            "ALPACA_STREAM_SYMBOLS_MAX": "200",
        }
        env = parse(proposals() | live | settings)
        self.halts: list[tuple[str, str]] = []
        self.assembly: Assembly[ScreenerState] = build(Setup(paths=paths, env=env, identity=IDENTITY)).checked()
        self.assembly.attach(Ports(OpenGate(), lambda _status: None, lambda *halt: self.halts.append(halt)))
        self.state = self.assembly.core.initial()
        self.events: list[Any] = []

    def hear(self, message: Any) -> None:
        for event in self.assembly.core.decide(self.state, message, 0):
            self.assembly.shell.before_commit(event)
            self.state = self.assembly.core.evolve(self.state, event)
            self.events.append(event)
            for report in self.assembly.shell.after_commit(self.state, event, 0):
                self.hear(report)

    def idle(self) -> None:
        for report in self.assembly.shell.on_idle(self.state, 0):
            self.hear(report)

    def ranked(self) -> CandidatesRanked:
        def look() -> CandidatesRanked | None:
            self.idle()
            return next((event for event in self.events if isinstance(event, CandidatesRanked)), None)

        found = until(look, "candidates")
        self.idle()
        return found

    def holds(self, *symbols: str) -> None:
        """Hear from risk what is held."""
        lines = tuple(
            PositionLine(
                intent_id="1", strategy="open", symbol=one, qty_nanos=1, entry_micros=1, last_micros=1, pnl_micros=0
            )
            for one in symbols
        )
        numbers = {name: 1 for name in PortfolioSnapshot.__struct_fields__ if name.endswith(("_micros", "_total"))}
        said = PortfolioSnapshot(
            ts_event=1, ts_init=1, session_date="2025-03-12", positions=lines, denied=(), **numbers
        )
        self.assembly.on_status("risk", said)

    def open(self) -> Any:
        assert self.assembly.live is not None
        self.holds()
        return self.assembly.live(SHORT)


def heard(session: Any, status: Callable[[], None] = lambda: None) -> list[MarketMessage]:
    """Return what a session says, to its end."""
    said: list[MarketMessage] = []
    deadline = time.monotonic() + 30
    while not session.has_ended:
        assert time.monotonic() < deadline, f"no end after {said[-1:]}"
        message = session.next()
        if message is None:
            time.sleep(0.001)
            continue
        said.append(message)
        session.hear_status(a_status(7, message.step))
    return said

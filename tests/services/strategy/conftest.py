"""A day for the strategy core: plan, watch list, minutes, restarts; the way the runtime drives it."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bus import messages as m
from config.env_bot import EnvBot, parse_value, proposals
from config.env_bot_settings import SETTINGS
from services.strategy.core import StrategyCore
from services.strategy.settings import StrategySettings

sys.path.insert(0, str(Path(__file__).resolve().parent))

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
DATE = "2025-03-12"
OPEN = 1_741_786_200_000_000_000  # 2025-03-12T13:30Z, 9:30 in New York


class Day:
    """Drives one core through a session; `journal` is what a restart folds. Minute 0 starts at 9:30."""

    OPEN, MINUTE = OPEN, MINUTE

    def __init__(self, plugins: tuple[Any, ...] = (), **env: str) -> None:
        """Make a day with the bot's strategies, or with these plug-ins in their place."""
        self.env = settings_of(**env)
        settings = StrategySettings.from_env(self.env)
        if plugins:
            self.core = StrategyCore(settings, lambda found: tuple(plugin(found) for plugin in plugins))
        else:
            self.core = StrategyCore(settings)
        self.state = self.core.initial()
        self.journal: list[m.Message] = []
        self.step = 0

    def say(self, message: m.Message, now_ns: int = OPEN - HOUR) -> list[m.Message]:
        events = list(self.core.decide(self.state, message, now_ns))
        for event in events:
            self.state = self.core.evolve(self.state, event)
        self.journal.extend(events)
        return events

    def plan(self, **changes: object) -> list[m.Message]:
        return self.say(planned(**changes))

    def watch(self, *symbols: str, date: str = DATE) -> list[m.Message]:
        return self.say(ranked(symbols, date))

    def market(self, data: m.MarketMessage, now_ns: int | None = None) -> list[m.Message]:
        self.step = data.step
        self.state = self.core.observe(self.state, data)
        return self.say(data, data.ts_event if now_ns is None else now_ns)

    def minute(self, minute: int, bars: dict[str, tuple[int, int, int]], now_ns: int | None = None) -> list[m.Message]:
        """Play the minute that starts so many minutes after the open; bars are (high, low, close)."""
        return self.market(batch(self.step + 1, minute, bars), now_ns)

    def analysis(self, *symbols: str, minutes: range = range(15)) -> list[m.Message]:
        """Play range minutes, high $10.50 and low $10.00 each; return the last minute's events."""
        said: list[m.Message] = []
        for minute in minutes:
            said = self.minute(minute, dict.fromkeys(symbols, (10_500_000, 10_000_000, 10_200_000)))
        return said

    def quote(self, minute: int) -> None:
        self.market(m.QuoteBatch.of((), **times(OPEN + minute * MINUTE), step=self.step + 1))

    def restart(self) -> None:
        """Lose everything but the journal; the feed goes on where it is."""
        self.state = self.core.initial()
        for event in self.journal:
            self.state = self.core.evolve(self.state, event)


def times(ts_ns: int) -> dict[str, int]:
    return {"ts_event": ts_ns, "ts_init": ts_ns}


def settings_of(**env: str) -> EnvBot:
    # Value by value: the rules between settings refuse what the strategy must still answer to by itself.
    # Each strategy is tested alone: mid and close run where a test switches them on.
    raw = proposals() | {"STRAT_MID_ENABLED": "false", "STRAT_CLOSE_ENABLED": "false"} | env
    return EnvBot({setting.key: parse_value(setting, raw[setting.key]) for setting in SETTINGS})


def planned(**changes: object) -> m.SessionPlanned:
    facts: dict[str, object] = {
        "session_date": DATE,
        "open_ns": OPEN,
        "close_ns": OPEN + 390 * MINUTE,
        "is_half_day": False,
        "is_trading_day": True,
        "start_open_ns": OPEN,
        "start_mid_ns": OPEN + 60 * MINUTE,
        "start_close_ns": OPEN + 300 * MINUTE,
        "flatten_ns": OPEN + 385 * MINUTE,
    }
    return m.SessionPlanned(**times(OPEN - HOUR), **(facts | changes))


def ranked(symbols: tuple[str, ...], date: str = DATE) -> m.CandidatesRanked:
    candidates = tuple(
        m.Candidate(symbol=symbol, rank=rank, score=1, prior_close_micros=0, price_micros=1, gap_bps=0, reasons=())
        for rank, symbol in enumerate(symbols, start=1)
    )
    return m.CandidatesRanked(
        **times(OPEN - HOUR),
        session_date=date,
        source="test",
        candidates=candidates,
        rejected=(),
        rejected_total=0,
    )


def batch(step: int, minute: int, bars: dict[str, tuple[int, int, int]], parts_left: int = 0) -> m.BarBatch:
    """Return the minute that starts so many minutes after the open; bars are (high, low, close)."""
    whole = {symbol: (close, high, low, close, m.NANOS) for symbol, (high, low, close) in bars.items()}
    return batch_of(OPEN + (minute + 1) * MINUTE, step, whole, parts_left)


def batch_of(
    end_ns: int,
    step: int,
    bars: dict[str, tuple[int, int, int, int, int]],
    parts_left: int = 0,
    again: tuple[str, ...] = (),
) -> m.BarBatch:
    """Return the minute that ends then; bars are (open, high, low, close, volume). The one place that makes batches.

    `again` names symbols whose bar comes a second time, at the end.
    """
    rows = tuple(m.Bar(symbol, *bars[symbol]) for symbol in (*bars, *again))
    return m.BarBatch.of(rows, **times(end_ns), step=step, parts_left=parts_left)


@pytest.fixture
def new_day() -> type[Day]:
    """Return the class of a day, so that a test chooses its settings."""
    return Day


@pytest.fixture
def make() -> type:
    """Return the builders of single messages."""

    class Make:
        settings = staticmethod(settings_of)
        plan = staticmethod(planned)
        ranked = staticmethod(ranked)
        batch = staticmethod(batch)
        batch_of = staticmethod(batch_of)
        OPEN, MINUTE, DATE = OPEN, MINUTE, DATE

    return Make

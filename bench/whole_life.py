"""Whole sessions through every core in one process, over random walks: signals, risk, orders, fills and postings."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from opening_range import SESSION_MINUTES, Bars

import services.execution.shell
import services.ledger.shell
import services.risk.shell
import services.strategy.shell
from bus.assembly import Assembly, Setup
from bus.decider import Shell
from bus.local import LocalChain
from bus.messages import (
    NANOS,
    Candidate,
    CandidatesRanked,
    MarketMessage,
    Message,
    OrderFilled,
    ServiceName,
    SessionPlanned,
)
from bus.testing import RecorderCore
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY
from services.ledger.coa_utils_ledger import load_template
from services.risk.core import RiskCore
from services.risk.settings import RiskSettings
from services.screener.steps import MINUTE_NS, BarColumns, MarketDay, QuoteColumns, messages

_FIRST_DAY: Final = date(2024, 1, 2)
_HOUR_NS: Final = 60 * MINUTE_NS
_SIZE: Final = 1_000_000 * NANOS
_CENT: Final = 10_000


@dataclass(frozen=True)
class Lived:
    """What was played: seconds, trades and events."""

    seconds: float
    fills: int
    events: int


def settings() -> dict[str, str]:
    """Return the settings of the rule that is measured everywhere: long only, 2 % trail, flat before the close."""
    return proposals() | {
        "STRAT_OPEN_ENABLED": "true",
        "STRAT_MID_ENABLED": "false",
        "STRAT_CLOSE_ENABLED": "false",
        "SHORT_TYPE_OPEN": "disabled",
        "OPEN_BREAKOUT_TIME": "370",
        "OPEN_MONITORING_TIME": "0",
        "PAPER_STARTING_CASH": "100000000",
        "MIN_VOLUME_THRESHOLD": "0",
        "DAILY_LOSS_LIMIT": "20",
        "TOTAL_ALLOCATION": "100",
    }


def play_days(bars: Bars, folder: Path) -> Lived:
    """Play every day of `bars`, (days, minutes, names), one after the other on one account."""
    paths = HomePaths(folder)
    paths.make()
    request = {"coa": load_template(), "currency_code": "USD"}
    (paths.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
    chain, counts = _chain(paths)
    names = bars.close.shape[2]
    symbols = tuple(f"N{name:05d}" for name in range(names))
    days = list(zip(*bars, strict=True))
    begun = time.perf_counter()
    for number, (high, low, close) in enumerate(days):
        plan = _plan(number)
        chain.begin(plan)
        for node in ("strategy", "risk"):
            chain.nodes[node].on_reliable(_candidates(plan, symbols))
        chain.play(_feed(plan, symbols, high, low, close))
    seconds = time.perf_counter() - begun
    chain.close()
    return Lived(seconds, counts.get(OrderFilled, 0), sum(counts.values()))


def _chain(paths: HomePaths) -> tuple[LocalChain, dict[type[Message], int]]:
    env = parse(settings())
    setup = Setup(paths=paths, env=env, identity=DEMO_IDENTITY, is_buffered=True)
    risk = services.risk.shell.build(setup)
    limits = msgspec.structs.replace(RiskSettings.from_env(env), max_open_positions=10_000)
    assemblies: dict[ServiceName, Assembly[Any]] = {
        "screener": Assembly(core=RecorderCore(), shell=Shell()),
        "strategy": services.strategy.shell.build(setup),
        "risk": replace(risk, core=RiskCore(limits)),
        "execution": services.execution.shell.build(setup),
        "ledger": services.ledger.shell.build(setup),
    }
    counts: dict[type[Message], int] = {}

    def count(_service: ServiceName, event: Message) -> None:
        counts[type(event)] = counts.get(type(event), 0) + 1

    return LocalChain(assemblies, count), counts


def _plan(number: int) -> SessionPlanned:
    day = _FIRST_DAY + timedelta(days=number)
    open_ns = (day - date(1970, 1, 1)).days * 24 * _HOUR_NS + 14 * _HOUR_NS + 30 * MINUTE_NS
    close_ns = open_ns + SESSION_MINUTES * MINUTE_NS
    return SessionPlanned(
        ts_event=open_ns - _HOUR_NS,
        ts_init=open_ns - _HOUR_NS,
        session_date=day.isoformat(),
        open_ns=open_ns,
        close_ns=close_ns,
        is_half_day=False,
        is_trading_day=True,
        start_open_ns=open_ns,
        start_mid_ns=open_ns + _HOUR_NS,
        start_close_ns=open_ns + 5 * _HOUR_NS,
        flatten_ns=close_ns - 5 * MINUTE_NS,
    )


def _candidates(plan: SessionPlanned, symbols: tuple[str, ...]) -> CandidatesRanked:
    return CandidatesRanked(
        ts_event=plan.ts_event,
        ts_init=plan.ts_event,
        session_date=plan.session_date,
        source="random walks",
        candidates=tuple(
            Candidate(symbol=symbol, rank=rank, score=0, prior_close_micros=0, price_micros=1, gap_bps=0, reasons=())
            for rank, symbol in enumerate(symbols, 1)
        ),
        rejected=(),
        rejected_total=0,
    )


def _feed(plan: SessionPlanned, symbols: tuple[str, ...], *columns: Any) -> Iterator[MarketMessage]:
    high, low, close = columns
    volumes = np.full(close.shape, 10_000 * NANOS)
    sizes = np.full(close.shape, _SIZE)
    bids = np.stack([np.concatenate([close[:1], close[:-1]]), close], axis=1)
    day = MarketDay(
        source="random walks",
        rows=(),
        symbols=symbols,
        bars=BarColumns(opens=close, highs=high, lows=low, closes=close, volumes=volumes),
        quotes=QuoteColumns(bids=bids, asks=bids + _CENT, bid_sizes=sizes, ask_sizes=sizes),
    )
    return messages(day, plan, names_max=len(symbols))

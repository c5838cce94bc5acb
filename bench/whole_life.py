"""Whole sessions through every core in one process, over random walks: signals, risk, orders, fills and postings."""

import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from opening_range import RANGE_MINUTES, SESSION_MINUTES, make_bars

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
    IntentClosed,
    MarketMessage,
    Message,
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
from services.strategy.arrays import IntArray

_FIRST_DAY: Final = date(2024, 1, 2)
_HOUR_NS: Final = 60 * MINUTE_NS
_SIZE: Final = 1_000_000 * NANOS
_CENT: Final = 10_000
_FLAT_MINUTES: Final = 5
_ORDERS_MAX: Final = 1_000_000


class Lived(msgspec.Struct, frozen=True):
    """What was played: seconds of each engine, trades of each, all events, and the most memory it took.

    `seconds` is the life alone, with the postings in memory; `file_seconds` what it takes at the end to write ledger
    and broker's books, every entry through every rule of the ledger file.
    """

    names: int
    days: int
    seconds: float
    file_seconds: float
    bare_seconds: float
    trades: int
    bare_trades: int
    events: int
    peak_mib: float

    @property
    def bars(self) -> int:
        """Return how many bars were played."""
        return self.days * self.names * SESSION_MINUTES


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


def play_days(days: int, names: int, folder: Path) -> Lived:
    """Play random days one after the other on one account; the bare loop plays each of them as well, in turn."""
    paths = HomePaths(folder)
    paths.make()
    request = {"coa": load_template(), "currency_code": "USD"}
    (paths.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
    chain, counts = _chain(paths)
    symbols = tuple(f"N{name:05d}" for name in range(names))
    seconds = bare_seconds = 0.0
    bare_trades = 0
    for number in range(days):
        high, low, close = (column[0] for column in make_bars(1, names, seed=number))
        begun = time.perf_counter()
        _play_day(chain, _plan(number), symbols, (high, low, close))
        between = time.perf_counter()
        bare_trades += bare_life(high, close)
        seconds, bare_seconds = seconds + between - begun, bare_seconds + time.perf_counter() - between
    begun = time.perf_counter()
    chain.close()
    return Lived(
        names=names,
        days=days,
        seconds=seconds,
        file_seconds=time.perf_counter() - begun,
        bare_seconds=bare_seconds,
        # Execution says that an intent is closed, and risk keeps it in its journal as well.
        trades=counts.get(IntentClosed, 0) // 2,
        bare_trades=bare_trades,
        events=sum(counts.values()),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def bare_life(high: IntArray, close: IntArray) -> int:
    """Play one day, (minutes, names), with numpy alone and return the trades: no orders, no money, no books.

    Range of bars 0 to 14; long once when a close is above the range's high by more than 0.1 %; sold at 2 % below the
    highest close since, or five minutes before the end; filled at the close of the minute that decided it.
    """
    above = high[:RANGE_MINUTES].max(axis=0)
    above += above // 1_000
    names = close.shape[1]
    held, was_held = np.zeros(names, np.bool_), np.zeros(names, np.bool_)
    peak = np.zeros(names, np.int64)
    trades = 0
    for minute in range(RANGE_MINUTES, SESSION_MINUTES - _FLAT_MINUTES):
        now = close[minute]
        np.maximum(peak, now, out=peak, where=held)
        hit = held & (now * 100 <= peak * 98)
        if hit.any():
            held &= ~hit
        enters = (now > above) & ~was_held
        if enters.any():
            trades += int(np.count_nonzero(enters))
            held |= enters
            was_held |= enters
            peak[enters] = now[enters]
    return trades


def _play_day(
    chain: LocalChain, plan: SessionPlanned, symbols: tuple[str, ...], columns: tuple[IntArray, IntArray, IntArray]
) -> None:
    chain.begin(plan)
    for name in ("strategy", "risk"):
        chain.nodes[name].on_reliable(_candidates(plan, symbols))
    chain.play(_feed(plan, symbols, columns))


def _chain(paths: HomePaths) -> tuple[LocalChain, dict[type[Message], int]]:
    env = parse(settings())
    setup = Setup(paths=paths, env=env, identity=DEMO_IDENTITY, is_buffered=True)
    risk = services.risk.shell.build(setup)
    # Thousands of names may break out in one minute, and none of them is to be left out.
    limits = msgspec.structs.replace(
        RiskSettings.from_env(env),
        max_open_positions=10_000,
        trades_per_day_max=_ORDERS_MAX,
        orders_per_second_max=_ORDERS_MAX,
        orders_per_minute_max=_ORDERS_MAX,
    )
    assemblies: dict[ServiceName, Assembly[Any]] = {
        "screener": Assembly(core=RecorderCore(), shell=Shell()),
        "strategy": services.strategy.shell.build(setup),
        "risk": replace(risk, core=RiskCore(limits)),
        "execution": services.execution.shell.build(setup),
        "ledger": services.ledger.shell.build(setup),
    }
    counts: dict[type[Message], int] = defaultdict(int)

    def count(_service: ServiceName, event: Message) -> None:
        counts[type(event)] += 1

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


def _feed(
    plan: SessionPlanned, symbols: tuple[str, ...], columns: tuple[IntArray, IntArray, IntArray]
) -> Iterator[MarketMessage]:
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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tb-") as home:
        print(msgspec.json.encode(play_days(int(sys.argv[1]), int(sys.argv[2]), Path(home))).decode())

"""Whole days through the strategy core, recorded or generated, and what it says beside what the naive rules say."""

import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import naive_rules as naive

from bus import messages as m
from bus.calendar import ExchangeDay, plan_session
from config.env_bot import EnvBot, parse, proposals
from services.screener.generator import generate
from services.screener.lean import LeanFolder
from services.screener.names import NAMES
from services.screener.steps import MarketDay, messages
from services.strategy.core import StrategyCore
from services.strategy.settings import StrategySettings

LEAN = (Path(__file__).resolve().parents[3] / "../shared/data/lean").resolve()
SYMBOLS = ("SPY", "AIG", "BAC", "IBM")
INDEX_FUNDS = ("SPY", "QQQ", "IWM")
MINUTE = 60_000_000_000
NEW_YORK = ZoneInfo("America/New_York")


def planned(day: str, env: EnvBot, closes: str = "16:00") -> m.SessionPlanned:
    """Return the plan of a session from 9:30 to `closes` in New York."""
    on = date.fromisoformat(day)
    open_ns, close_ns = (
        int(datetime(on.year, on.month, on.day, *map(int, clock.split(":")), tzinfo=NEW_YORK).timestamp()) * m.NANOS
        for clock in ("09:30", closes)
    )
    whole = ExchangeDay(day=day, is_session=True, open_ns=open_ns, close_ns=close_ns, is_half_day=closes != "16:00")
    return plan_session(whole, env, 0)


def settings(**changes: str) -> EnvBot:
    """Return the proposals with these changes."""
    return parse(proposals() | changes)


def ranked(day: str, symbols: tuple[str, ...]) -> m.CandidatesRanked:
    """Return a list of these candidates, the first the best."""
    candidates = tuple(
        m.Candidate(symbol=symbol, rank=rank, score=1, prior_close_micros=0, price_micros=1, gap_bps=0, reasons=())
        for rank, symbol in enumerate(symbols, start=1)
    )
    return m.CandidatesRanked(
        ts_event=1, ts_init=1, session_date=day, source="test", candidates=candidates, rejected=(), rejected_total=0
    )


def vix(day: str, hundredths: int = 2_000, as_of: str = "") -> m.VixObserved:
    """Return a volatility of the day before."""
    before = date.fromordinal(date.fromisoformat(day).toordinal() - 1).isoformat()
    return m.VixObserved(
        ts_event=1, ts_init=1, session_date=day, as_of_date=as_of or before, vix_hundredths=hundredths, source="test"
    )


def run(env: EnvBot, plan: m.SessionPlanned, facts: list[m.Message], feed: Any) -> list[m.Message]:
    """Drive a core through a session as the runtime does; return every event."""
    core = StrategyCore(StrategySettings.from_env(env))
    state, events = core.initial(), []

    def say(message: m.Message, now_ns: int) -> None:
        nonlocal state
        for event in core.decide(state, message, now_ns):
            state = core.evolve(state, event)
            events.append(event)

    for fact in (plan, *facts):
        say(fact, plan.open_ns)
    for data in feed:
        state = core.observe(state, data)
        say(data, data.ts_event)
    return events


class Session(NamedTuple):
    """A day to play: recorded where `seed` is None, else generated."""

    day: str
    seed: int | None = None

    def market(self, plan: m.SessionPlanned) -> MarketDay:
        """Return the day's minutes; inverse funds are left out, they never signal by themselves."""
        if self.seed is None:
            return LeanFolder(LEAN).load(plan, SYMBOLS)
        names = tuple(name.symbol for name in NAMES if name.kind != "inverse")
        return generate(plan, self.seed, names)

    def events(self, env: EnvBot) -> list[m.Message]:
        """Return what the core says on this day."""
        plan = planned(self.day, env)
        market = self.market(plan)
        return run(env, plan, [ranked(self.day, market.symbols), vix(self.day)], messages(market, plan))

    def bars(self, env: EnvBot) -> Mapping[str, naive.Bars]:
        """Return the day's minutes for the naive rules; recorded ones are read by a reader of their own."""
        if self.seed is None:
            name = self.day.replace("-", "")
            return {s: naive.read_bars(LEAN / f"equity/usa/minute/{s.lower()}/{name}_trade.zip") for s in SYMBOLS}
        market = self.market(planned(self.day, env))
        bars = market.bars
        prices = (bars.opens, bars.highs, bars.lows, bars.closes)
        return {
            symbol: {
                minute: (
                    *(Fraction(int(column[minute, name]), m.MICROS) for column in prices),
                    int(bars.volumes[minute, name]) // m.NANOS,
                )
                for minute in range(len(bars.closes))
                if bars.closes[minute, name]
            }
            for name, symbol in enumerate(market.symbols)
        }


#: The four recorded sessions, where the recordings are there; and generated ones, with thin names and halts.
RECORDED = tuple(Session(f"2013-10-{day:02d}") for day in (7, 8, 9, 10)) if LEAN.is_dir() else ()
SESSIONS = (*RECORDED, Session("2025-03-12", 2), Session("2025-03-13", 5))
Key = tuple[int, str, str, str, str]


def keys_of(events: list[m.Message], open_ns: int) -> list[Key]:
    """Return (minute, strategy, symbol, what, side) of every signal, exit and strong trend, in order of time and name.

    A signal that is suppressed because nothing is the opposite of the name was one all the same.
    """
    keys = []
    for event in events:
        if not isinstance(event, m.SignalRaised | m.SignalSuppressed | m.ExitSignalled) or event.symbol == "ALL":
            continue
        what = "exit" if isinstance(event, m.ExitSignalled) else "signal"
        if isinstance(event, m.SignalSuppressed) and event.rule == "strong_trend":
            what = "strong_trend"
        keys.append(((event.ts_event - open_ns) // MINUTE - 1, event.strategy, event.symbol, what, event.direction))
    return sorted(keys)


def keys_of_the_oracle(said: Mapping[str, list[naive.Said]]) -> list[Key]:
    """Return the same of the naive rules."""
    return sorted(
        (one.minute, one.strategy, symbol, one.what, one.side)
        for symbol, found in said.items()
        for one in found
        # A signal that bought nothing has no way back: only index funds have an inverse here.
        if one.what != "exit" or one.side == "BULLISH" or symbol in INDEX_FUNDS
    )


def table() -> str:
    """Return every signal of the recorded days with the rule's numbers, by the proposals and with mid at 0.3 %."""
    lines = []
    for threshold in ("0.8", "0.3"):
        env = settings(STRAT_MID_VWAP_THRESHOLD=threshold)
        lines.append(f"STRAT_MID_VWAP_THRESHOLD {threshold}, everything else as proposed; times UTC")
        for session in RECORDED:
            events = session.events(env)
            lines += [_line(event) for event in events if isinstance(event, _IN_TABLE) and event.symbol != "ALL"]
    return "\n".join(lines) + "\n"


_IN_TABLE = m.SignalRaised | m.SignalSuppressed | m.ExitSignalled


def _line(event: m.SignalRaised | m.SignalSuppressed | m.ExitSignalled) -> str:
    end = datetime.fromtimestamp(event.ts_event // m.NANOS, UTC)
    match event:
        case m.SignalRaised():
            what = f"buy {event.instrument}, stop {event.trail_bps} bps"
            numbers = "; ".join(f"{reason.rule}: {reason.value}, {reason.threshold}" for reason in event.reasons)
        case m.SignalSuppressed():
            what, numbers = event.rule, event.detail
        case m.ExitSignalled():
            what, numbers = "exit", event.detail
    return f"{end:%Y-%m-%d %H:%M} {event.strategy:<5} {event.symbol:<4} {event.direction:<7} {what:<24} {numbers}"


if __name__ == "__main__":
    # The table of the recorded days, to be stored beside this file.
    sys.stdout.write(table())

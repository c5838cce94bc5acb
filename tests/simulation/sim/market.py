"""A short session with something to trade: minutes of a few names, most of which break out of their range."""

import random
from typing import Final

from bus.calendar import ExchangeDay
from bus.messages import MICROS, NANOS, Bar
from config.env_bot import EnvBot, parse, proposals
from services.screener.steps import MINUTE_NS, MarketDay, MinuteQuotes, SymbolDay
from services.screener.universe import UniverseRow

DATE: Final = "2025-03-12"
MINUTES: Final = 9
OPEN_NS: Final = 1_741_786_200 * NANOS
CLOSE_NS: Final = OPEN_NS + MINUTES * MINUTE_NS
FLATTEN_NS: Final = CLOSE_NS - MINUTE_NS
TTL_NS: Final = 5 * NANOS
#: SPY falls, and its inverse fund SH is what is bought then; FLAT never leaves its range.
SYMBOLS: Final = ("AAA", "BBB", "CCC", "DDD", "FLAT", "SH", "SPY")
_SIZE: Final = 10_000 * NANOS

EXCHANGE_DAY: Final = ExchangeDay(day=DATE, is_session=True, open_ns=OPEN_NS, close_ns=CLOSE_NS, is_half_day=False)


def settings(speed: int, halt_positions: str, entry_timeout_s: int) -> EnvBot:
    """Return settings that fit this session."""
    chosen = {
        "MARKET_DATA_DATE": DATE,
        "MARKET_DATA_SPEED": str(speed),
        "OPEN_ANALYSIS_TIME": "1",
        "OPEN_BREAKOUT_TIME": "5",
        "OPEN_MONITORING_TIME": "1",
        "FLATTEN_BEFORE_CLOSE": "1",
        "START_TIME_OPEN": "14:30",
        # The mid strategy speaks in the last minutes, so that exits which a strategy asks for meet every fault too.
        "START_TIME_MID": "14:30",
        "MID_ANALYSIS_TIME": "3",
        "MID_SIGNAL_TIME": "3",
        "MID_MONITORING_TIME": "2",
        "STRAT_MID_VWAP_THRESHOLD": "0.01",
        "STRAT_MID_BOLLINGER_PERIOD": "2",
        "STRAT_MID_BOLLINGER_WIDTH": "0.5",
        "STRAT_MID_ADX_PERIOD": "2",
        "STRAT_MID_ADX_MAX": "100",
        "MIN_VOLUME_THRESHOLD": "0",
        "SCREENER_VOLUME_MIN": "0",
        "HALT_POSITIONS": halt_positions,
        "ENTRY_TIMEOUT": str(entry_timeout_s),
        "MAX_RISK_PER_TRADE": "0.1",
        "DAILY_LOSS_LIMIT": "20",
    }
    return parse(proposals() | chosen)


def make_day(rng: random.Random) -> MarketDay:
    """Return a day whose breakouts come in minutes that this seed draws."""
    symbols = []
    for symbol in SYMBOLS:
        start = rng.randrange(20, 120) * MICROS
        leaves_at = rng.randrange(1, 5)
        symbols.append(_symbol_day(symbol, start, leaves_at, rng))
    rows = tuple(
        UniverseRow(
            symbol=one.symbol,
            prior_close_micros=one.bars[0].open_micros if one.bars[0] else 0,
            prior_volume_nanos=1_000_000 * NANOS,
            price_micros=one.bars[0].open_micros if one.bars[0] else 0,
            float_shares=0,
        )
        for one in symbols
    )
    return MarketDay(source="a simulated market", rows=rows, symbols=tuple(symbols))


def _symbol_day(symbol: str, start: int, leaves_at: int, rng: random.Random) -> SymbolDay:
    sign = {"FLAT": 0, "SH": 0, "SPY": -1}.get(symbol, 1)
    quotes: list[MinuteQuotes | None] = []
    bars: list[Bar | None] = []
    price = start
    for minute in range(MINUTES):
        if minute == leaves_at and sign:
            move = sign * rng.randrange(4_000, 9_000)
        elif minute > leaves_at and sign:
            # Afterwards some fall through their trailing stop, some go on.
            move = rng.choice((-25_000, -3_000, 1_000, 4_000))
        else:
            move = rng.randrange(-300, 300)
        close = price * (MICROS + move) // MICROS
        low, high = min(price, close), max(price, close)
        bars.append(Bar(symbol, price, high, low, close, 50_000 * NANOS))
        bid = (price, high, low, close)
        ask = (*(value * 10_004 // 10_000 for value in bid),)
        quotes.append(MinuteQuotes(bid, (ask[0], ask[1], ask[2], ask[3]), _SIZE, _SIZE))
        price = close
    return SymbolDay(symbol=symbol, quotes=quotes, bars=bars)

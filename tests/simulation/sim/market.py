"""A short session with something to trade: minutes of a few names, most of which break out of their range."""

import random
from collections.abc import Iterator
from typing import Final

import numpy as np

from bus.calendar import ExchangeDay
from bus.messages import MICROS, NANOS
from config.env_bot import EnvBot, parse, proposals
from services.screener.steps import MINUTE_NS, BarColumns, MarketDay, QuoteColumns, in_played_order
from services.screener.universe import UniverseRow

DATE: Final = "2025-03-12"
MINUTES: Final = 9
OPEN_NS: Final = 1_741_786_200 * NANOS
CLOSE_NS: Final = OPEN_NS + MINUTES * MINUTE_NS
FLATTEN_NS: Final = CLOSE_NS - MINUTE_NS
TTL_NS: Final = 5 * NANOS
#: SPY falls, and its inverse fund SH is what is bought then; FLAT never leaves its range.
SYMBOLS: Final = ("AAA", "BBB", "CCC", "DDD", "FLAT", "SH", "SPY")
#: A night of the holdings takes the last minutes, after the flatten; its funds have prices that move.
NIGHT_MINUTES: Final = 3
NIGHT_CLOSE_NS: Final = CLOSE_NS + NIGHT_MINUTES * MINUTE_NS
FUNDS: Final = ("FNDA", "FNDB")
HOLDINGS: Final = {"is_enabled": True, "etfs": {"FNDA": "60", "FNDB": "40"}, "payroll_percent": "20"}
_SIZE: Final = 10_000 * NANOS


def exchange_day(day: MarketDay) -> ExchangeDay:
    """Return the exchange's hours of a made day."""
    close_ns = OPEN_NS + day.bars.opens.shape[0] * MINUTE_NS
    return ExchangeDay(day=DATE, is_session=True, open_ns=OPEN_NS, close_ns=close_ns, is_half_day=False)


def settings(speed: int, halt_positions: str, entry_timeout_s: int, *, has_night: bool) -> EnvBot:
    """Return settings that fit this session."""
    chosen = {
        "MARKET_DATA_DATE": DATE,
        "MARKET_DATA_SPEED": str(speed),
        "OPEN_ANALYSIS_TIME": "1",
        "OPEN_BREAKOUT_TIME": "5",
        "OPEN_MONITORING_TIME": "1",
        "FLATTEN_BEFORE_CLOSE": str(1 + has_night * NIGHT_MINUTES),
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


def make_day(rng: random.Random, *, has_night: bool) -> MarketDay:
    """Return a day whose breakouts come in minutes that this seed draws."""
    symbols = (*SYMBOLS, *FUNDS) if has_night else SYMBOLS
    minutes = MINUTES + has_night * NIGHT_MINUTES
    paths = np.zeros((minutes, len(symbols), 2), np.int64)
    for name, symbol in enumerate(symbols):
        start = rng.randrange(20, 120) * MICROS
        leaves_at = rng.randrange(1, 5)
        paths[:, name] = list(_minutes(symbol, minutes, start, leaves_at, rng))
    opens, closes = (np.ascontiguousarray(paths[:, :, side]) for side in (0, 1))
    highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
    bids = np.stack([opens, highs, lows, closes], axis=1)
    played_bids, played_asks = in_played_order(bids, bids * 10_004 // 10_000)
    sizes = np.full(opens.shape, _SIZE)
    rows = tuple(
        UniverseRow(
            symbol=symbol,
            prior_close_micros=price,
            prior_volume_nanos=1_000_000 * NANOS,
            price_micros=price,
            float_shares=0,
        )
        for symbol, price in zip(symbols, opens[0].tolist(), strict=True)
    )
    return MarketDay(
        source="a simulated market",
        rows=rows,
        symbols=symbols,
        bars=BarColumns(
            opens=opens, highs=highs, lows=lows, closes=closes, volumes=np.full(opens.shape, 50_000 * NANOS)
        ),
        quotes=QuoteColumns(bids=played_bids, asks=played_asks, bid_sizes=sizes, ask_sizes=sizes),
    )


def _minutes(symbol: str, minutes: int, start: int, leaves_at: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Yield the first and the last price of each minute."""
    sign = {"FLAT": 0, "SH": 0, "SPY": -1}.get(symbol, 1)
    price = start
    for minute in range(minutes):
        if symbol in FUNDS:
            move = rng.choice((-20_000, -8_000, 12_000, 30_000))
        elif minute == leaves_at and sign:
            move = sign * rng.randrange(4_000, 9_000)
        elif minute > leaves_at and sign:
            # Afterwards some fall through their trailing stop, some go on.
            move = rng.choice((-25_000, -3_000, 1_000, 4_000))
        else:
            move = rng.randrange(-300, 300)
        close = price * (MICROS + move) // MICROS
        yield price, close
        price = close

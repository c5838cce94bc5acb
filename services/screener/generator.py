"""A generated session: one seed and one date give one market, the same on every machine with the same numpy.

Prices follow a common market factor, each name's beta and its own noise, with trends, reversals, gaps and
halts on top. Arrays are (names, minutes) unless said otherwise; bars and quotes are made of whole cents.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus.messages import NANOS, SessionPlanned
from services.screener.faults import UnknownSymbolError
from services.screener.names import NAMES, Name
from services.screener.steps import BarColumns, MarketDay, QuoteColumns, in_played_order, minutes_of
from services.screener.universe import UniverseRow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MICROS_PER_CENT = 10_000
_POINTS = 6  # moves in a minute
_FULL_DAY_MINUTES = 390
_MARKET_VOL = 0.008
_RANGE_MINUTES = 16  # trends begin when the opening range is over
_LARGE_GAPS = (0.05, -0.06, 0.09, -0.11, 0.19)  # the last is beyond the proposed SCREENER_GAP_MAX
_HALTS = 2
_TRENDING_SHARE = 0.4
_REVERSING_SHARE = 0.25
_TRADED_CHANCE = {"index": 0.999, "inverse": 0.9, "plain": 0.97, "wide": 0.75, "thin": 0.06}
_THIN_AT_THE_OPEN = 0.6  # even thin names trade, a few shares, in most of the first minutes
_WIDE_SPREAD = 0.021
_TODAY_OF_THIN = 0.22
_VIX_STREAM = 1
_VIX_LOW, _VIX_HIGH = 1_500, 3_500


class _Overnight(NamedTuple):
    """Arrays over names, in dollars and shares: the day before, and what today opens with."""

    prior_close: Floats
    opened: Floats
    prior_volume: Floats


class _Tape(NamedTuple):
    """The session in cents and shares. A minute's bids begin with the last of the minute before."""

    bid: Ints  # (names, minutes, points + 1)
    spread: Ints
    lots: Ints  # (names, minutes, 2)
    price: Ints  # (names, minutes, points)
    traded: Bools  # (names, minutes, points)
    volume: Ints
    halted: Bools


def generate(plan: SessionPlanned, seed: int, wanted: Sequence[str] = ()) -> MarketDay:
    """Return the session of this seed and the plan's date; `wanted` chooses names, empty = all.

    What a name does is the same whichever others are chosen.

    Raises:
        UnknownSymbolError: a wanted name is not generated.
    """
    known = {name.symbol for name in NAMES}
    missing = [symbol for symbol in wanted if symbol not in known]
    if missing:
        raise UnknownSymbolError(missing, "the generated market", sorted(known))
    day_number = date.fromisoformat(plan.session_date).toordinal()
    rng = np.random.Generator(np.random.PCG64([seed, day_number]))
    minutes = minutes_of(plan)
    overnight = _overnight(rng)
    halted = _halts(rng, minutes)
    tape = _tape(rng, overnight, halted)
    chosen = [i for i, name in enumerate(NAMES) if not wanted or name.symbol in wanted]
    chosen.sort(key=lambda i: NAMES[i].symbol)
    places = np.array(chosen, dtype=np.int64)
    return MarketDay(
        source=f"generated session of {plan.session_date}, seed {seed}",
        rows=tuple(_row(NAMES[i], i, overnight) for i in chosen),
        symbols=tuple(NAMES[i].symbol for i in chosen),
        bars=_bar_columns(tape, places),
        quotes=_quote_columns(tape, places),
    )


def volatility_hundredths(plan: SessionPlanned, seed: int) -> int:
    """Return the volatility index of the day before this session, 15 to 35 points in hundredths."""
    day_number = date.fromisoformat(plan.session_date).toordinal()
    # A stream of its own: the market of a seed stays what it is.
    rng = np.random.Generator(np.random.PCG64([seed, day_number, _VIX_STREAM]))
    return int(rng.integers(_VIX_LOW, _VIX_HIGH + 1))


def _column(field: str) -> Floats:
    return np.array([float(getattr(name, field)) for name in NAMES])


def _bases() -> list[tuple[int, int]]:
    """Return (inverse, what it mirrors) as positions in NAMES."""
    place = {name.symbol: i for i, name in enumerate(NAMES)}
    return [(i, place[name.base]) for i, name in enumerate(NAMES) if name.base]


def _of_kind(*kinds: str) -> Ints:
    return np.array([i for i, name in enumerate(NAMES) if name.kind in kinds], dtype=np.int64)


def _activity(minutes: int) -> Floats:
    """Return how busy each minute is: high after the open, low at mid-day, higher into the close; mean 1."""
    since_open = np.arange(minutes)
    until_close = since_open[::-1]
    busy: Floats = 0.55 + 1.9 * np.exp(-since_open / 22.0) + 1.0 * np.exp(-until_close / 18.0)
    busy /= busy.mean()
    return busy


def _overnight(rng: np.random.Generator) -> _Overnight:
    count = len(NAMES)
    prior_close = np.round(_column("price_dollars") * np.exp(rng.normal(0, 0.06, count)), 2)
    gaps = _column("beta") * rng.normal(0, 0.004) + rng.normal(0, 0.004, count)
    index = _of_kind("index")
    gaps[index] = _column("beta")[index] * rng.normal(0, 0.004)
    gapping = rng.choice(_of_kind("plain"), len(_LARGE_GAPS), replace=False)
    gaps[gapping] = np.array(_LARGE_GAPS) * rng.uniform(0.9, 1.1, len(_LARGE_GAPS))
    for inverse, base in _bases():
        gaps[inverse] = -gaps[base]
    volume = np.round(_column("shares_daily") * np.exp(rng.normal(0, 0.2, count)))
    return _Overnight(prior_close, np.round(prior_close * (1 + gaps), 2), volume)


def _halts(rng: np.random.Generator, minutes: int) -> Bools:
    """Return which minutes of which names are halted: a few names, 5 to 12 minutes, at mid-day."""
    halted = np.zeros((len(NAMES), minutes), dtype=np.bool_)
    if minutes < 120:
        return halted
    for place in rng.choice(_of_kind("plain"), _HALTS, replace=False):
        start = int(rng.integers(25, minutes - 60))
        halted[place, start : start + int(rng.integers(5, 13))] = True
    return halted


def _tape(rng: np.random.Generator, overnight: _Overnight, halted: Bools) -> _Tape:
    path = overnight.opened[:, None] * np.exp(_moves(rng, halted))
    minutes = halted.shape[1]
    points = np.arange(minutes)[:, None] * _POINTS + np.arange(_POINTS + 1)
    middle = path[:, points] * 100
    spread = _spreads(rng, middle[:, :, 0])
    bid = np.maximum(np.rint(middle - spread[:, :, None] / 2), 1).astype(np.int64)
    side = rng.random((*halted.shape, _POINTS))
    across = spread[:, :, None]
    offset = np.where(side < 0.45, 0, np.where(side < 0.9, across, across // 2))
    traded = (rng.random(side.shape) < _traded_chance(minutes)[:, :, None]) & ~halted[:, :, None]
    volume = _volumes(rng, overnight, np.abs(middle[:, :, -1] / middle[:, :, 0] - 1))
    volume = np.where(traded.any(axis=2), volume, 0)
    usual = np.sqrt(overnight.prior_volume / 1e6)[:, None, None]
    lots = np.maximum(rng.gamma(2.0, 1.0 + 2.0 * usual, (*halted.shape, 2)), 1).astype(np.int64)
    return _Tape(bid, spread, lots, bid[:, :, 1:] + offset, traded, volume, halted)


def _traded_chance(minutes: int) -> Floats:
    """Return the chance that a point of a minute is a trade."""
    chance = np.repeat(np.array([[_TRADED_CHANCE[name.kind]] for name in NAMES]), minutes, axis=1)
    chance[_of_kind("thin"), :_RANGE_MINUTES] = _THIN_AT_THE_OPEN
    return chance


def _moves(rng: np.random.Generator, halted: Bools) -> Floats:
    """Return the logarithm of price over opening price, (names, minutes x points + 1)."""
    count, minutes = halted.shape
    busy = np.repeat(_activity(minutes), _POINTS)
    pace = np.sqrt(busy / (_FULL_DAY_MINUTES * _POINTS))
    market = rng.normal(0, _MARKET_VOL, minutes * _POINTS) * pace
    market += _trend(rng, minutes, float(rng.normal(0, 0.007)), reverses=False)
    own = rng.normal(0, 1, (count, minutes * _POINTS)) * (_column("vol_bps") / 10_000)[:, None] * pace
    moves = _column("beta")[:, None] * market + own + _own_trends(rng, minutes)
    moves = np.where(np.repeat(halted, _POINTS, axis=1), 0.0, moves)
    for place in np.flatnonzero(halted.any(axis=1)):
        # The news is out when trading resumes: the jump falls between the last halted minute and the next.
        last = int(np.flatnonzero(halted[place])[-1])
        moves[place, (last + 1) * _POINTS - 1] = rng.choice([-1, 1]) * rng.uniform(0.025, 0.06)
    for inverse, base in _bases():
        moves[inverse] = -moves[base]
    return np.concatenate([np.zeros((count, 1)), np.cumsum(moves, axis=1)], axis=1)


def _own_trends(rng: np.random.Generator, minutes: int) -> Floats:
    """Return the drift of each name: some break out and run, some run and turn back, most do neither."""
    trends = np.zeros((len(NAMES), minutes * _POINTS))
    for i, name in enumerate(NAMES):
        draw, direction, size = rng.random(), rng.choice([-1.0, 1.0]), rng.uniform(1.0, 2.5)
        drift = _trend(rng, minutes, direction * size * name.vol_bps / 10_000, reverses=draw > 1 - _REVERSING_SHARE)
        # Names that risk is to refuse always run, so that there is a signal to refuse.
        if name.kind in {"wide", "thin"} or draw < _TRENDING_SHARE or draw > 1 - _REVERSING_SHARE:
            trends[i] = drift * (2.0 if name.kind == "wide" else 1.0)
    return trends


def _trend(rng: np.random.Generator, minutes: int, size: float, *, reverses: bool) -> Floats:
    """Spread a move of `size` over part of the day after the opening range; reversed, it turns back after."""
    start = int(rng.integers(_RANGE_MINUTES, _RANGE_MINUTES + 45))
    length = int(rng.integers(40, 150))
    drift = np.zeros(minutes)
    drift[start : start + length] = size / length
    if reverses:
        drift[start + length : start + 2 * length] = -1.3 * size / length
    return np.repeat(drift, _POINTS) / _POINTS


def _spreads(rng: np.random.Generator, middle_cents: Floats) -> Ints:
    """Return whole-cent spreads: the tighter the more dollars trade in a name, wider just after the open."""
    minutes = middle_cents.shape[1]
    turnover = middle_cents[:, :1] / 100 * _column("shares_daily")[:, None]
    relative = np.repeat(0.00002 + 3.0 / np.sqrt(turnover), minutes, axis=1)
    relative[_of_kind("wide")] = _WIDE_SPREAD
    after_open = 1 + 1.2 * np.exp(-np.arange(minutes) / 6.0)
    cents = middle_cents * relative * after_open * np.exp(rng.normal(0, 0.15, middle_cents.shape))
    spreads: Ints = np.maximum(np.rint(cents), 1).astype(np.int64)
    return spreads


def _volumes(rng: np.random.Generator, overnight: _Overnight, moved: Floats) -> Ints:
    """Return shares for each minute: busy times, and minutes with large moves, trade more; at least 1."""
    minutes = moved.shape[1]
    today = overnight.prior_volume * np.exp(rng.normal(0, 0.25, len(NAMES)))
    today[_of_kind("thin")] *= _TODAY_OF_THIN
    usual = np.median(moved, axis=1, keepdims=True) + 1e-9
    excited = 0.8 + 0.2 * np.minimum(moved / usual, 6)
    share = _activity(minutes) / _FULL_DAY_MINUTES
    shares = today[:, None] * share * excited * np.exp(rng.normal(0, 0.3, moved.shape))
    return np.maximum(np.rint(shares), 1).astype(np.int64)


def _row(name: Name, place: int, overnight: _Overnight) -> UniverseRow:
    return UniverseRow(
        symbol=name.symbol,
        prior_close_micros=_micros(overnight.prior_close[place]),
        prior_volume_nanos=int(overnight.prior_volume[place]) * NANOS,
        price_micros=_micros(overnight.opened[place]),
        float_shares=name.float_shares,
    )


def _micros(dollars: np.float64) -> int:
    return round(float(dollars) * 100) * _MICROS_PER_CENT


def _quote_columns(tape: _Tape, chosen: Ints) -> QuoteColumns:
    """Return the quotes of these names; a halted minute has none."""
    bid, spread = tape.bid[chosen], tape.spread[chosen]
    bids = _ohlc(bid[:, :, 0], bid.max(axis=2), bid.min(axis=2), bid[:, :, -1])
    asks = bids + spread.T[:, None, :] * _MICROS_PER_CENT
    runs = ~tape.halted[chosen].T[:, None, :]
    played_bids, played_asks = in_played_order(bids * runs, asks * runs)
    sizes = tape.lots[chosen] * 100 * NANOS
    return QuoteColumns(
        bids=played_bids,
        asks=played_asks,
        bid_sizes=np.ascontiguousarray(sizes[:, :, 0].T),
        ask_sizes=np.ascontiguousarray(sizes[:, :, 1].T),
    )


def _bar_columns(tape: _Tape, chosen: Ints) -> BarColumns:
    price, traded, volume = tape.price[chosen], tape.traded[chosen], tape.volume[chosen]
    first = traded.argmax(axis=2)
    last = _POINTS - 1 - traded[:, :, ::-1].argmax(axis=2)
    never = np.iinfo(np.int64).max // _MICROS_PER_CENT
    prices = (
        _ohlc(
            np.take_along_axis(price, first[:, :, None], axis=2)[:, :, 0],
            np.where(traded, price, 0).max(axis=2),
            np.where(traded, price, never).min(axis=2),
            np.take_along_axis(price, last[:, :, None], axis=2)[:, :, 0],
        )
        * (volume > 0).T[:, None, :]
    )
    opens, highs, lows, closes = (np.ascontiguousarray(prices[:, letter]) for letter in range(4))
    volumes = np.ascontiguousarray(volume.T) * NANOS
    return BarColumns(opens=opens, highs=highs, lows=lows, closes=closes, volumes=volumes)


def _ohlc(*letters: Ints) -> Ints:
    """Return open, high, low and close of cents, each (names, minutes), in micros, (minutes, 4, names)."""
    return np.stack([letter.T for letter in letters], axis=1) * _MICROS_PER_CENT

"""The generated session: the same for a seed and a date, consistent, with something of everything."""

from statistics import median

import pytest
from symbol_days import SymbolDay, by_symbol, symbol_days

from bus.messages import NANOS, Bar, BarBatch, FeedEnded, QuoteBatch, SessionPlanned
from services.screener.faults import UnknownSymbolError
from services.screener.generator import generate
from services.screener.names import NAMES
from services.screener.steps import MINUTE_NS, crossed_quotes, messages

OPEN_NS = 1_741_786_200 * NANOS  # 2025-03-12 13:30 UTC
SEEDS = (0, 7, 11)
CENT = 10_000


def plan_of(minutes: int = 390, day: str = "2025-03-12") -> SessionPlanned:
    close_ns = OPEN_NS + minutes * MINUTE_NS
    return SessionPlanned(
        ts_event=1,
        ts_init=1,
        session_date=day,
        open_ns=OPEN_NS,
        close_ns=close_ns,
        is_half_day=minutes < 390,
        is_trading_day=True,
        start_open_ns=OPEN_NS,
        start_mid_ns=OPEN_NS,
        start_close_ns=OPEN_NS,
        flatten_ns=close_ns,
    )


def bars_of(one: SymbolDay) -> list[Bar]:
    return [bar for bar in one.bars if bar is not None]


def test_generate_when_seed_and_date_are_the_same_then_the_session_is_identical() -> None:
    assert symbol_days(generate(plan_of(), 7)) == symbol_days(generate(plan_of(), 7))
    assert generate(plan_of(), 7).rows == generate(plan_of(), 7).rows


def test_generate_when_seed_or_date_differs_then_the_session_differs() -> None:
    first = symbol_days(generate(plan_of(), 7))
    assert symbol_days(generate(plan_of(), 8)) != first
    assert symbol_days(generate(plan_of(day="2025-03-13"), 7)) != first


def test_generate_when_names_are_chosen_then_they_do_what_they_did_among_all() -> None:
    chosen = generate(plan_of(), 7, ("QQQ", "PSQ"))
    everything = by_symbol(generate(plan_of(), 7))
    assert set(chosen.symbols) == {"QQQ", "PSQ"} == {row.symbol for row in chosen.rows}
    assert all(everything[one.symbol] == one for one in symbol_days(chosen))


def test_generate_when_a_name_is_unknown_then_names_some_that_are_there() -> None:
    with pytest.raises(UnknownSymbolError, match=r"NOPE.*ALVQ"):
        generate(plan_of(), 7, ("SPY", "NOPE"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("minutes", [390, 210])
def test_generate_when_any_seed_then_bars_and_quotes_are_consistent(seed: int, minutes: int) -> None:
    day = generate(plan_of(minutes), seed)
    assert crossed_quotes(day) == 0
    assert len(day.symbols) == len(NAMES) == 40
    for one in symbol_days(day):
        assert len(one.bars) == len(one.quotes) == minutes
        for bar, quotes in zip(one.bars, one.quotes, strict=True):
            if quotes is None:
                assert bar is None
                continue
            assert min(quotes.bid) > 0
            assert all(bid < ask for bid, ask in zip(quotes.bid, quotes.ask, strict=True))
            assert all(price % CENT == 0 for price in (*quotes.bid, *quotes.ask))
            assert all(
                size >= 100 * NANOS and size % (100 * NANOS) == 0
                for size in (quotes.bid_size_nanos, quotes.ask_size_nanos)
            )
            if bar is not None:
                prices = (bar.open_micros, bar.high_micros, bar.low_micros, bar.close_micros)
                assert all(min(quotes.bid) <= price <= max(quotes.ask) and price % CENT == 0 for price in prices)
                assert (bar.low_micros, bar.high_micros) == (min(prices), max(prices))
                assert bar.volume_nanos >= NANOS


@pytest.mark.parametrize("seed", SEEDS)
def test_generate_when_played_then_steps_are_gapless_and_times_rise(seed: int) -> None:
    plan = plan_of(210)
    played = list(messages(generate(plan, seed), plan))
    assert [m.step for m in played] == list(range(1, 210 * 5 + 2))
    assert [m.ts_event for m in played] == sorted(m.ts_event for m in played)
    assert isinstance(played[-1], FeedEnded)
    for message in played:
        symbols = [q.symbol for q in message.quotes] if isinstance(message, QuoteBatch) else []
        symbols += [b.symbol for b in message.bars] if isinstance(message, BarBatch) else []
        assert symbols == sorted(symbols)


@pytest.mark.parametrize("seed", SEEDS)
def test_generate_when_any_seed_then_volume_is_a_u_and_the_open_moves_most(seed: int) -> None:
    volume, moved = [0] * 390, [0.0] * 390
    for one in symbol_days(generate(plan_of(), seed)):
        for minute, bar in enumerate(one.bars):
            if bar is not None:
                volume[minute] += bar.volume_nanos
                moved[minute] += (bar.high_micros - bar.low_micros) / bar.low_micros
    noon = slice(180, 210)
    assert sum(volume[:30]) > 1.5 * sum(volume[noon])
    assert sum(volume[-30:]) > 1.1 * sum(volume[noon])
    assert sum(moved[:15]) > 1.2 * sum(moved[195:210])


@pytest.mark.parametrize("seed", SEEDS)
def test_generate_when_any_seed_then_inverse_funds_mirror_their_base(seed: int) -> None:
    days = by_symbol(generate(plan_of(), seed))
    for inverse, base in (("SH", "SPY"), ("PSQ", "QQQ"), ("RWM", "IWM")):
        there, mirrored = (
            [quotes.bid[3] for quotes in days[symbol].quotes if quotes is not None] for symbol in (base, inverse)
        )
        for start, end in zip(range(0, 390, 15), range(15, 390, 15), strict=False):
            move = there[end] / there[start] - 1
            # Each price is rounded to a cent, at both ends.
            assert mirrored[end] / mirrored[start] - 1 == pytest.approx(-move, abs=0.0008)


@pytest.mark.parametrize("seed", SEEDS)
def test_generate_when_any_seed_then_halts_are_minutes_without_data_and_then_a_jump(seed: int) -> None:
    halted = 0
    for one in symbol_days(generate(plan_of(), seed)):
        stopped = [minute for minute, quotes in enumerate(one.quotes) if quotes is None]
        if not stopped:
            continue
        halted += 1
        assert stopped == list(range(stopped[0], stopped[-1] + 1))
        before, after = one.quotes[stopped[0] - 1], one.quotes[stopped[-1] + 1]
        assert before is not None
        assert after is not None
        assert abs(after.bid[0] / before.bid[3] - 1) > 0.02
    assert halted == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_generate_when_any_seed_then_wide_and_thin_names_are_there(seed: int) -> None:
    wide = thin = 0
    for one in symbol_days(generate(plan_of(), seed)):
        spreads = [(q.ask[3] - q.bid[3]) / q.ask[3] for q in one.quotes if q is not None]
        wide += median(spreads) > 0.015
        thin += sum(bar.volume_nanos for bar in bars_of(one)) < 50_000 * NANOS
    assert (wide, thin) == (3, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_generate_when_any_seed_then_names_break_their_opening_range_up_and_down(seed: int) -> None:
    up = down = 0
    for one in symbol_days(generate(plan_of(), seed)):
        opening = [bar for bar in one.bars[:15] if bar is not None]
        high, low = max(bar.high_micros for bar in opening), min(bar.low_micros for bar in opening)
        later = [bar.close_micros for bar in one.bars[15:135] if bar is not None]
        up += any(close > high * 1.001 for close in later)
        down += any(close < low * 0.999 for close in later)
    assert up >= 6
    assert down >= 6


@pytest.mark.parametrize("seed", SEEDS)
def test_generate_when_any_seed_then_gaps_and_prices_give_the_screener_something_to_reject(seed: int) -> None:
    rows = generate(plan_of(), seed).rows
    gaps = [abs(row.price_micros / row.prior_close_micros - 1) for row in rows]
    assert sum(gap > 0.04 for gap in gaps) >= 4
    assert any(gap > 0.15 for gap in gaps)
    assert min(row.price_micros for row in rows) < 5_000_000
    assert max(row.price_micros for row in rows) > 1_000_000_000

"""SHORT_TYPE_* LongPut: which put a bearish signal buys, and what is said when it buys none."""

from typing import Any

from msgspec.structs import replace

from bus import messages as m

PUT, OTHER = "SPY250404P00010000", "SPY250404P00009000"
DATE = "2025-03-12"
DOWN = (10_000_000, 9_800_000, 9_800_000)


def listing(symbol: str = "SPY", date: str = DATE, *puts: m.ListedPut) -> m.OptionsListed:
    return m.OptionsListed(ts_event=1, ts_init=1, session_date=date, underlying=symbol, puts=puts)


def put(symbol: str = PUT, interest: int | None = 500, delta: int | None = 500_000) -> m.ListedPut:
    return m.ListedPut(symbol=symbol, open_interest=interest, delta_ppm=delta)


def ready(new_day: Any, *puts: m.ListedPut, **env: str) -> Any:
    """Return a day after its opening range, $10.00 to $10.50, with these puts on SPY."""
    day = new_day(SHORT_TYPE_OPEN="LongPut", **env)
    day.plan()
    day.watch("SPY")
    if puts:
        day.say(listing("SPY", DATE, *puts))
    day.analysis("SPY")
    return day


def quote(day: Any, symbol: str, bid: int, ask: int, *, minute: int = 15, late_ns: int = 59_900_000_000) -> None:
    """Quote a put, in cents, at so many nanoseconds of a minute."""
    ts = day.OPEN + minute * day.MINUTE + late_ns
    row = m.Quote(symbol, bid * 10_000, ask * 10_000, m.NANOS, m.NANOS, ts)
    day.market(m.QuoteBatch.of((row,), ts_event=ts, ts_init=ts, step=day.step + 1))


def test_bearish_when_a_put_fits_then_it_is_bought_at_its_ask_with_every_reason(new_day: Any) -> None:
    day = ready(new_day, put())
    quote(day, PUT, 29, 30)
    [raised] = day.minute(15, {"SPY": DOWN})
    assert isinstance(raised, m.SignalRaised)
    assert (raised.symbol, raised.instrument, raised.direction) == ("SPY", PUT, "BEARISH")
    assert (raised.reference_micros, raised.trail_bps, raised.leverage) == (300_000, 5_000, 1)
    rules = [reason.rule for reason in raised.reasons]
    assert rules[0] == "close_below_range_low"
    assert rules[-6:] == ["expiry_min", "expiry_max", "open_interest", "two_sided", "spread", "delta"]


def test_bearish_when_puts_differ_then_the_delta_nearest_to_the_target_is_bought(new_day: Any) -> None:
    day = ready(new_day, put(), put(OTHER, delta=300_000), PUT_DELTA_TARGET="0.30", PUT_TRAILING_STOP="40")
    for symbol in (PUT, OTHER):
        quote(day, symbol, 29, 30)
    [raised] = day.minute(15, {"SPY": DOWN})
    assert (raised.instrument, raised.trail_bps) == (OTHER, 4_000)


def test_bearish_when_no_put_fits_then_suppressed_with_the_first_reasons(new_day: Any) -> None:
    day = ready(new_day, put(interest=99), put(OTHER))
    quote(day, PUT, 29, 30)
    quote(day, OTHER, 20, 30)
    [told] = day.minute(15, {"SPY": DOWN})
    assert isinstance(told, m.SignalSuppressed)
    assert told.rule == "no_put"
    assert f"{PUT}: 99 contracts, not at least 100" in told.detail
    assert f"{OTHER}: 33.3333 % of $0.30, not at most 10.00 %" in told.detail


def test_bearish_when_the_puts_quote_is_old_then_it_is_no_market(new_day: Any) -> None:
    day = ready(new_day, put())
    quote(day, PUT, 29, 30, late_ns=57_000_000_000)
    [told] = day.minute(15, {"SPY": DOWN})
    assert told.rule == "no_put"
    assert "bid $0.00, ask $0.00" in told.detail


def test_bearish_when_there_is_no_chain_then_suppressed_by_name(new_day: Any) -> None:
    day = ready(new_day)
    day.say(listing("QQQ", DATE, put("QQQ250404P00010000")))
    [told] = day.minute(15, {"SPY": DOWN})
    assert told.rule == "no_chain"
    assert told.detail.startswith("SHORT_TYPE_OPEN is LongPut, but there is no chain of SPY")


LIVE = {"MARKET_DATA_SOURCE": "ibkr", "MARKET_DATA_SYMBOLS": "SPY", "PUT_CHAIN_AGE_MAX": "30"}


def live(new_day: Any, asked_ns: int) -> Any:
    """Return a live day after its opening range, with a chain that was asked for then."""
    day = new_day(SHORT_TYPE_OPEN="LongPut", **LIVE)
    day.step = 1_000_000
    day.plan()
    day.watch("SPY")
    empty = m.BarBatch.of((), ts_event=day.OPEN - 1, ts_init=day.OPEN - 1, step=day.step + 1)
    names = m.BarBatch.__struct_fields__
    day.market(m.PastBars(**{name: getattr(empty, name) for name in names}, begins=True))
    day.say(replace(listing("SPY", DATE, put()), ts_event=asked_ns))
    day.analysis("SPY")
    return day


def test_chain_when_live_and_old_then_no_put_is_bought_and_it_is_said(new_day: Any) -> None:
    day = live(new_day, 0)
    day.say(replace(listing("SPY", DATE, put()), ts_event=day.OPEN - 15 * day.MINUTE))
    quote(day, PUT, 29, 30)
    [told] = day.minute(15, {"SPY": DOWN})
    assert told.rule == "stale_chain"
    assert told.detail.startswith("SHORT_TYPE_OPEN is LongPut, but the chain of SPY is 31 minutes old, not at most 30")


def test_chain_when_live_and_asked_for_again_then_the_newer_one_counts(new_day: Any) -> None:
    day = live(new_day, 0)
    newer = replace(listing("SPY", DATE, put(OTHER)), ts_event=day.OPEN)
    assert day.say(newer) == [newer]
    assert day.say(newer) == []
    for symbol in (PUT, OTHER):
        quote(day, symbol, 29, 30)
    [raised] = day.minute(15, {"SPY": DOWN})
    assert raised.instrument == OTHER


def test_chain_when_it_is_of_another_session_then_does_not_count(new_day: Any) -> None:
    day = ready(new_day)
    day.say(listing("SPY", "2025-03-11", put()))
    quote(day, PUT, 29, 30)
    [told] = day.minute(15, {"SPY": DOWN})
    assert told.rule == "no_chain"


def test_chain_when_said_twice_then_journaled_once_and_back_after_a_restart(new_day: Any) -> None:
    day = ready(new_day, put())
    assert day.say(listing("SPY", DATE, put())) == []
    assert [event for event in day.journal if isinstance(event, m.OptionsListed)] == [listing("SPY", DATE, put())]
    day.restart()
    assert day.state.chains.contracts("SPY", DATE, 0)[0].symbol == PUT


def test_quotes_when_no_strategy_buys_puts_then_none_is_kept(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    quote(day, PUT, 29, 30)
    assert day.state.chains.board.quote_of(PUT) is None

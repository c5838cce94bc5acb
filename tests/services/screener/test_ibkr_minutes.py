"""Minutes made of five-second bars: exact, in time, and again when something came late."""

from hypothesis import given
from hypothesis import strategies as st
from live_day import MINUTE, OPEN, SECOND

from services.screener.ibkr_minutes import WAIT_NS, FiveSeconds, MinuteMaker

OPEN_S = OPEN // SECOND


def part(after_s: int, price: int, volume: int = 1) -> FiveSeconds:
    return FiveSeconds(OPEN_S + after_s, price, price, price, price, volume)


@given(st.permutations(range(12)), st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), min_size=12, max_size=12))
def test_minute_when_its_parts_come_in_any_order_then_it_is_that_of_its_trades(
    order: list[int], told: list[tuple[int, int]]
) -> None:
    maker = MinuteMaker()
    made = [maker.add("SPY", part(5 * place, *told[place])) for place in order]
    made += list(maker.due(OPEN + MINUTE + WAIT_NS))
    traded = [(price, volume) for price, volume in told if volume]
    bars = [bar for bar in made if bar is not None]
    if not traded:
        assert bars == []
        return
    bar, prices = bars[-1], [price for price, _ in traded]
    assert (bar.open_micros, bar.close_micros) == (prices[0], prices[-1])
    assert (bar.high_micros, bar.low_micros) == (max(prices), min(prices))
    assert bar.volume_nanos == sum(volume for _, volume in traded)
    assert bar.end_ns == OPEN + MINUTE


def test_minute_when_its_last_five_seconds_come_then_it_is_ready_at_once() -> None:
    maker = MinuteMaker()
    assert maker.add("SPY", part(0, 10)) is None
    assert list(maker.due(OPEN + MINUTE)) == []
    assert maker.add("SPY", part(55, 11)) is not None
    assert list(maker.due(OPEN + MINUTE + WAIT_NS)) == [], "it was made already"


def test_minute_when_five_seconds_come_late_then_it_is_made_again() -> None:
    maker = MinuteMaker()
    maker.add("SPY", part(55, 11))
    late = maker.add("SPY", part(50, 20))
    assert late is not None
    assert late.high_micros == 20
    assert maker.add("SPY", part(50, 20)) is None, "the same again changes nothing"


def test_minute_when_it_began_before_everything_was_heard_then_it_is_left_to_history() -> None:
    maker = MinuteMaker()
    maker.add("SPY", part(0, 10))
    maker.begin(OPEN + MINUTE)
    assert maker.add("SPY", part(55, 11)) is None
    assert list(maker.due(OPEN + 2 * MINUTE)) == []
    assert maker.add("SPY", part(115, 12)) is not None


def test_minutes_when_old_then_they_are_forgotten() -> None:
    maker = MinuteMaker()
    for minute in range(20):
        maker.add("SPY", part(60 * minute, 10))
        list(maker.due(OPEN + minute * MINUTE))
    assert len(maker._parts) < 8


def test_trades_when_sampled_then_the_minute_is_made_when_it_is_over() -> None:
    maker = MinuteMaker()
    for after_s, price, volume in ((1, 10, 5), (2, 13, 1), (58, 9, 4), (59, 11, 2)):
        maker.sample("SPY", price, volume, OPEN + after_s * SECOND)
    maker.sample("SPY", 0, 1, OPEN)
    (bar,) = maker.due(OPEN + MINUTE + WAIT_NS)
    assert (bar.open_micros, bar.high_micros, bar.low_micros, bar.close_micros) == (10, 13, 9, 11)
    assert bar.volume_nanos == 12

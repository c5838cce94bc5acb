"""The judge of the drain by itself: which times count, and against which bound."""

import pytest
from sim.broker import HouseOrder, Trouble
from sim.chain import Granted
from sim.drains import (
    AFTER_TROUBLE_NS,
    ALTOGETHER_NS,
    UNDISTURBED_NS,
    Cause,
    Drained,
    drained,
    lapses,
)
from sim.host import SECOND, Span

from services.execution.brokers.interface import OrderRequest

_ENDED = 200 * SECOND


def _entry(over_s: float) -> HouseOrder:
    request = OrderRequest(
        reduces=False,
        client_order_id="tb1-a",
        symbol="AAA",
        side="BUY",
        qty_nanos=SECOND,
        order_type="MARKET",
        limit_micros=0,
        stop_micros=0,
        trail_bps=0,
        ts_ns=0,
    )
    order = HouseOrder(1, request, accepted_ns=0, accepted_market_ns=0, visible_ns=0)
    order.over_ns = int(over_s * SECOND)
    return order


def _drained(
    over_s: float, held_up: tuple[tuple[float, float], ...] = (), troubles: tuple[tuple[float, str], ...] = ()
) -> Drained:
    """Return what became of an entry in a halt that stands from second 100 on."""
    found = list(
        drained(
            _entry(over_s),
            [Cause("a halt", 100 * SECOND, _ENDED)],
            [Span(int(since * SECOND), int(until * SECOND)) for since, until in held_up],
            [Trouble(int(at * SECOND), key) for at, key in troubles],
            _ENDED,
        )
    )
    assert len(found) == 1
    return found[0]


def test_an_entry_when_nothing_goes_wrong_has_to_go_within_the_short_bound() -> None:
    bound_s = UNDISTURBED_NS / SECOND
    assert not _drained(100 + bound_s).is_too_long()
    assert _drained(100.001 + bound_s).is_too_long()


def test_an_entry_when_execution_was_dead_counts_from_its_return() -> None:
    bound_s = UNDISTURBED_NS / SECOND
    assert not _drained(108 + bound_s, held_up=((101, 108),)).is_too_long()
    assert _drained(108.001 + bound_s, held_up=((101, 108),)).is_too_long()


@pytest.mark.parametrize("key", ["", "tb1-a"])
def test_an_entry_when_the_broker_did_not_answer_may_stay_for_one_more_wait(key: str) -> None:
    bound_s = AFTER_TROUBLE_NS / SECOND
    assert not _drained(101 + bound_s, troubles=((101, key),)).is_too_long()
    assert _drained(101.001 + bound_s, troubles=((101, key),)).is_too_long()


def test_an_entry_when_the_cancel_of_another_was_lost_is_not_excused() -> None:
    assert _drained(106, troubles=((103, "tb1-b"),)).is_too_long()


def test_an_entry_when_one_trouble_follows_another_may_not_stay_beyond_the_whole_bound() -> None:
    over_s = 100.001 + ALTOGETHER_NS / SECOND
    assert _drained(over_s, troubles=tuple((100 + second, "") for second in range(31))).is_too_long()


def test_leases_when_one_issuer_is_away_have_lapsed_a_second_after_its_last_one_ended() -> None:
    steps = [quarter * SECOND // 4 for quarter in range(100)]
    granted = [Granted("risk", at, at + SECOND) for at in steps]
    granted += [Granted("watchdog", at, at + SECOND) for at in steps if not 5 * SECOND < at < 12 * SECOND]
    assert [(one.since_ns, one.until_ns) for one in lapses(granted, 20 * SECOND)] == [(7 * SECOND, 12 * SECOND)]


def test_leases_when_no_pair_was_ever_there_have_not_lapsed() -> None:
    assert list(lapses([Granted("risk", 0, SECOND)], 20 * SECOND)) == []

"""Lock-step: one message at a time, repeated when nobody answers, paced when asked."""

import pytest

from bus.feed import REPEAT_NS, FeedDriver
from bus.messages import FeedEnded
from bus.testing import a_quote_batch


def _feed(count: int) -> list[object]:
    end = FeedEnded(ts_event=a_quote_batch(step=count + 1).ts_event, ts_init=0, step=count + 1, steps=count + 1)
    return [*(a_quote_batch(step=step) for step in range(1, count + 1)), end]


def test_the_feed_when_nobody_has_finished_waits_and_then_repeats() -> None:
    driver = FeedDriver(iter(_feed(2)), speed=0)
    first = driver.due(0)
    assert first is not None
    assert driver.due(1) is None
    assert driver.due(REPEAT_NS) is first
    driver.heard_mark(1)
    second = driver.due(REPEAT_NS + 1)
    assert second is not None
    assert second.step == 2


def test_the_feed_when_everybody_finished_the_last_message_has_ended() -> None:
    driver = FeedDriver(iter(_feed(1)), speed=0)
    driver.due(0)
    driver.heard_mark(1)
    driver.due(1)
    assert not driver.has_ended
    driver.heard_mark(2)
    assert driver.has_ended
    assert driver.due(10**12) is None


def test_the_feed_when_paced_keeps_the_session_in_proportion() -> None:
    driver = FeedDriver(iter(_feed(3)), speed=10)
    for step in (1, 2):
        assert driver.due(step) is not None
        driver.heard_mark(step)
    # One second of the session between the messages, ten times real time.
    assert driver.due(50_000_000) is None
    assert driver.due(100_000_003) is not None


def test_the_feed_when_it_stops_without_its_last_message_is_a_fault() -> None:
    driver = FeedDriver(iter([]), speed=0)
    with pytest.raises(RuntimeError, match="without a FeedEnded"):
        driver.due(0)

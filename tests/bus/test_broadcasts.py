"""Numbers of market data that are missing: counted where they are heard, whoever lost them."""

import pytest

from bus.broadcasts import KEPT_MAX, Broadcasts
from bus.codec import MalformedMessageError, encode_message
from bus.messages import FeedEnded, MarketMessage, PastBars
from bus.testing import a_quote_batch
from bus.transport import TOPIC_MARKET


class Wire:
    """Brings what a test says was published."""

    def __init__(self) -> None:
        self.coming: list[tuple[str, bytes, bytes]] = []

    def say(self, *messages: MarketMessage) -> None:
        self.coming += [("screener", TOPIC_MARKET, encode_message(message)) for message in messages]

    def broadcasts(self, _most: int) -> list[tuple[str, bytes, bytes]]:
        said, self.coming = self.coming, []
        return said


class Ear:
    """A service's ear, and the wire to it."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.broadcasts = Broadcasts(self.wire, self._reject)  # type: ignore[arg-type] - all of it that is asked

    def _reject(self, sender: str, error: MalformedMessageError, _payload: bytes) -> None:
        raise AssertionError(f"{sender}: {error}")

    def hears(self, *messages: MarketMessage) -> int:
        """Hear these; return how many holes there were so far."""
        self.wire.say(*messages)
        list(self.broadcasts.heard())
        return self.broadcasts.holes


def quotes(*steps: int) -> list[MarketMessage]:
    return [a_quote_batch(step=step) for step in steps]


def begun(step: int) -> PastBars:
    empty = dict.fromkeys(("opens_micros", "highs_micros", "lows_micros", "closes_micros", "volumes_nanos"), b"")
    return PastBars(ts_event=1, ts_init=1, step=step, symbols=(), begins=True, **empty)


def ended(step: int) -> FeedEnded:
    return FeedEnded(ts_event=1, ts_init=1, step=step, steps=step)


@pytest.mark.parametrize(
    ("said", "holes"),
    [
        (quotes(7, 8, 9), 0),
        (quotes(7, 9), 1),
        (quotes(7, 9, 10, 20, 21), 2),
        (quotes(7, 8, 8, 8, 9), 0),
        (quotes(7, 9, 8, 10), 1),
        ([*quotes(7), begun(900), *quotes(901)], 0),
        ([*quotes(7), begun(900), *quotes(902)], 1),
        ([*quotes(7, 8), ended(9), *quotes(5_000)], 0),
        ([*quotes(50), *quotes(1, 2)], 0),
    ],
    ids=["in order", "one", "two", "said again", "late", "begins anew", "after that", "next session", "a new replay"],
)
def test_numbers_when_some_are_missing_then_each_hole_counts_once(said: list[MarketMessage], holes: int) -> None:
    assert Ear().hears(*said) == holes


def test_numbers_when_messages_were_dropped_while_the_loop_waited_then_that_is_a_hole() -> None:
    ear = Ear()
    ear.hears(*quotes(1))
    ear.wire.say(*quotes(*range(2, KEPT_MAX + 12)))
    assert list(ear.broadcasts.urgent()) == []
    assert ear.hears() == 1
    assert ear.broadcasts.dropped == 10

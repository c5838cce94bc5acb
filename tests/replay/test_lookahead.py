"""Nothing of the future: when every bar and quote after a minute is another, all events up to it are the same."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from bus.clock import NS_PER_MINUTE
from bus.messages import Message, OrderFilled, ServiceName, SessionPlanned, SignalRaised
from config.paths import HomePaths
from replay.choice import Prepared, RunChoice, prepare
from replay.run import play_days
from replay.sources.port import GeneratedSource
from services.screener.steps import MarketDay

Event = tuple[ServiceName, Message]
CHOICE = RunChoice(start="2025-03-12", end="2025-03-12")
#: Minute, and the prices after it in percent: just after the opening range, among breakouts, in the quiet afternoon,
#: just before positions are sold.
MINUTES = ((17, 70), (20, 140), (38, 70), (95, 140), (250, 70), (374, 140))


class Altered:
    """The generated market, in which everything after one minute is another."""

    def __init__(self, minute: int, factor_percent: int) -> None:
        self._source = GeneratedSource(2, ())
        self._minute = minute
        self._percent = factor_percent
        self.name = "altered"

    def days(self) -> None:
        return self._source.days()

    def load(self, plan: SessionPlanned) -> MarketDay:
        day = self._source.load(plan)
        return _altered(day, self._minute, self._percent)


def _altered(day: MarketDay, minute: int, percent: int) -> MarketDay:
    """Return the day with prices of later minutes times a factor, mirrored in time, and with other volumes."""

    def other(name: str, values: np.ndarray) -> np.ndarray:
        later = values[minute:][::-1]
        later = later * 3 if "volume" in name or "size" in name else later * percent // 100 // 10_000 * 10_000
        return np.concatenate([values[:minute], later])

    parts = {
        part: replace(columns, **{name: other(name, getattr(columns, name)) for name in columns.__struct_fields__})
        for part, columns in (("bars", day.bars), ("quotes", day.quotes))
    }
    return replace(day, **parts)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(CHOICE)


@pytest.fixture(scope="module")
def events(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Event]:
    return _play(prepared, tmp_path_factory)


def _play(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Event]:
    outcome = play_days(prepared, HomePaths(tmp_path_factory.mktemp("h")))
    return [event for day in outcome.days for event in day.events]


def _up_to(events: Sequence[Event], end_ns: int) -> list[Event]:
    """Return the events from the first to the last that was made up to this time, in the order they were made."""
    return [(name, event) for name, event in events if event.ts_init <= end_ns]


@pytest.mark.parametrize(("minute", "percent"), MINUTES)
def test_the_future_when_it_is_another_changes_no_event_of_the_past(
    events: Sequence[Event],
    prepared: Prepared,
    tmp_path_factory: pytest.TempPathFactory,
    minute: int,
    percent: int,
) -> None:
    altered = dataclasses.replace(prepared, source=Altered(minute, percent))
    end_ns = prepared.plans[-1].open_ns + minute * NS_PER_MINUTE
    played = _play(altered, tmp_path_factory)
    past = _up_to(events, end_ns)
    assert _up_to(played, end_ns) == past
    # The change was heard: otherwise the test would prove nothing.
    assert played != events
    assert any(isinstance(event, OrderFilled | SignalRaised) for _, event in past)


def test_the_past_when_it_is_another_changes_what_follows(
    events: Sequence[Event], prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The guard can fail: the same change one minute earlier is seen in the signals of that minute."""
    signals = [event for _, event in events if isinstance(event, SignalRaised)]
    first = signals[0]
    minute = (first.ts_event - prepared.plans[-1].open_ns) // NS_PER_MINUTE
    altered = dataclasses.replace(prepared, source=Altered(minute - 1, 70))
    assert _up_to(_play(altered, tmp_path_factory), first.ts_event) != _up_to(events, first.ts_event)

"""Live market data through a service's loop: no lock-step, the wall clock, and a decision after every message."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from runner_rig import NAME, RunnerRig

from bus.assembly import Assembly, Setup
from bus.clock import on_host, utc_ns
from bus.codec import StepMark
from bus.live_feed import session_clock
from bus.market_drive import MarketDrive
from bus.messages import FeedEnded, HaltRaised, MarketMessage, Message, PastBars, SessionPlanned
from bus.testing import RecorderCore, RecorderState, a_halt, a_plan, a_quote_batch
from bus.transport import TOPIC_MARKET
from config.env_bot import EnvBot, parse, proposals

LIVE = {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"}


def env(**changes: str) -> EnvBot:
    return parse(proposals() | LIVE | changes)


class Still:
    """A host whose clocks stand."""

    def utc_ns(self) -> int:
        return 5

    def boot_ns(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 5), ({"ALPACA_ENDPOINT": "simulator"}, 3), ({"MARKET_DATA_SOURCE": "generated"}, 3)],
    ids=["live", "simulated exchange", "replay"],
)
def test_the_session_clock_when_a_feed_is_heard_then_only_a_real_one_leaves_the_wall_clock_in_charge(
    settings: dict[str, str], expected: int
) -> None:
    clock = session_clock(env(**settings))
    clock.heard(3)
    with on_host(Still()):
        assert clock.now_ns() == expected


class SettlingCore(RecorderCore):
    """Says how often everything of a message was in."""

    def settle(self, state: RecorderState, now_ns: int) -> Sequence[Message]:
        return [a_halt(len(state.events) + 1)]


def _numbered(step: int) -> MarketMessage:
    return replace(a_quote_batch(1), step=step)


def _live_rig(rig: RunnerRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig, "setup", lambda: RunnerRig.setup(rig, **LIVE))


def test_a_market_message_when_live_then_the_core_settles_after_it_and_no_step_is_told(
    rig: RunnerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _live_rig(rig, monkeypatch)

    def build(_setup: Setup) -> Assembly[RecorderState]:
        return Assembly(core=SettlingCore())

    rig.start(build)
    screener, risk = rig.peer("screener"), rig.peer("risk")
    # Numbers begin anywhere: those of an earlier feed are below them.
    first = 1_741_786_200_000
    beat = screener.new_beat(lambda beat: beat.step == first, lambda: screener.publish(TOPIC_MARKET, _numbered(first)))
    screener.new_beat(lambda beat: beat.step == first + 9, lambda: screener.publish(TOPIC_MARKET, _numbered(first + 9)))
    assert abs(beat.ts_event - utc_ns()) < 60_000_000_000, "session time is the wall clock"
    assert len(rig.journal(HaltRaised)) == 2
    assert not [frame for frame in risk.inbox if isinstance(frame, StepMark)]


def test_the_past_when_published_then_the_loop_hears_it_as_market_data(
    rig: RunnerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _live_rig(rig, monkeypatch)
    rig.start()
    screener = rig.peer("screener")
    none = {name: b"" for name in PastBars.__struct_fields__ if name.endswith(("micros", "nanos"))}
    said = PastBars(ts_event=1, ts_init=1, step=4, symbols=(), begins=True, **none)
    beat = screener.new_beat(lambda beat: beat.step == 4, lambda: screener.publish(TOPIC_MARKET, said))
    assert beat.rejected_messages == 0


class OneDay:
    """A live feed that says what it was given, then ends."""

    def __init__(self, *said: MarketMessage) -> None:
        self.waiting = list(said)
        self.has_ended = False
        self.is_closed = False

    def next(self) -> MarketMessage | None:
        message = self.waiting.pop(0) if self.waiting else None
        self.has_ended = isinstance(message, FeedEnded)
        return message

    def close(self) -> None:
        self.is_closed = True


class Publisher:
    """What a drive looks at in the service that publishes."""

    def __init__(self, *feeds: OneDay | None) -> None:
        self.feeds = list(feeds)
        self.opened: list[str] = []
        self.mail = 0
        self.plan: SessionPlanned | None = None
        self.assembly: Assembly[Any] = Assembly(core=RecorderCore(), live=self._open)

    def outbox_depth(self) -> int:
        return self.mail

    def _open(self, plan: SessionPlanned) -> OneDay | None:
        self.opened.append(plan.session_date)
        return self.feeds.pop(0)


END = FeedEnded(ts_event=1, ts_init=1, step=2, steps=2)


def _due(drive: MarketDrive, node: Any, *, is_active: bool = False) -> MarketMessage | None:
    return drive.due(node, is_active=is_active)


def test_a_live_feed_when_planned_then_it_begins_without_being_armed_and_waits_for_the_candidates() -> None:
    drive, node = MarketDrive(env()), Publisher(None, OneDay(a_quote_batch(1)))
    assert _due(drive, node) is None
    node.plan, node.mail = a_plan(), 1
    assert _due(drive, node) is None
    assert node.opened == []
    node.mail = 0
    assert _due(drive, node) is None, "it is not its time"
    assert _due(drive, node) == a_quote_batch(1)
    assert drive.wait_ns(0) == 0
    assert _due(drive, node) is None
    assert drive.wait_ns(0) == 20_000_000


def test_a_simulated_exchange_when_the_chain_is_not_armed_then_its_session_waits() -> None:
    drive, node = MarketDrive(env(ALPACA_ENDPOINT="simulator")), Publisher(OneDay(a_quote_batch(1)))
    node.plan = a_plan()
    assert _due(drive, node) is None
    assert _due(drive, node, is_active=True) == a_quote_batch(1)


def test_a_chain_when_the_next_day_is_planned_then_its_feed_follows_without_a_restart() -> None:
    first, second = OneDay(END), OneDay(a_quote_batch(3))
    drive, node = MarketDrive(env()), Publisher(first, second)
    node.plan = a_plan()
    assert _due(drive, node) == END
    assert [_due(drive, node) for _ in range(3)] == [None, None, None]
    node.plan = a_plan("2013-10-09")
    assert _due(drive, node) == a_quote_batch(3)
    assert (first.is_closed, node.opened) == (True, ["2013-10-08", "2013-10-09"])
    drive.close()
    assert second.is_closed


def test_a_service_without_market_data_when_asked_then_it_publishes_none() -> None:
    node = Publisher()
    node.plan, node.assembly = a_plan(), Assembly(core=RecorderCore())
    assert _due(MarketDrive(env()), node, is_active=True) is None
    assert _due(MarketDrive(parse(proposals())), node, is_active=True) is None
    assert MarketDrive(env()).wait_ns(0) is None
    assert NAME == "execution"

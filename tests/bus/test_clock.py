"""Time: UTC, boot time that only rises, and session time that follows the feed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SessionClock, boot_ns, iso_utc, utc_now, utc_ns
from bus.testing import OPEN_NS


def test_utc_now_when_called_then_is_aware_and_utc() -> None:
    now = utc_now()
    assert now.tzinfo is UTC
    assert now.utcoffset() == timedelta(0)


def test_utc_now_and_utc_ns_when_called_then_tell_the_same_time() -> None:
    before, now, after = utc_ns(), utc_now(), utc_ns()
    assert before // 1_000_000 <= int(now.timestamp() * 1000) + 1
    assert int(now.timestamp() * 1000) <= after // 1_000_000 + 1


def test_boot_ns_when_called_again_then_never_goes_back() -> None:
    times = [boot_ns() for _ in range(1000)]
    assert times == sorted(times)
    assert times[-1] > times[0]


def test_iso_utc_when_given_nanoseconds_then_writes_milliseconds_rounded_down() -> None:
    assert iso_utc(0) == "1970-01-01T00:00:00.000Z"
    assert iso_utc(OPEN_NS) == "2013-10-08T13:30:00.000Z"
    assert iso_utc(OPEN_NS + 1_999_999) == "2013-10-08T13:30:00.001Z"
    assert iso_utc(OPEN_NS + 999_999_999) == "2013-10-08T13:30:00.999Z"


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_iso_utc_when_read_back_then_is_the_same_moment(ms: int) -> None:
    parsed = datetime.fromisoformat(iso_utc(ms * 1_000_000))
    assert round((parsed - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)) == ms


def test_session_clock_when_nothing_was_heard_in_replay_then_is_zero() -> None:
    assert SessionClock(follows_feed=True).now_ns() == 0


@given(st.lists(st.integers(min_value=0, max_value=2**62)))
def test_session_clock_when_it_follows_the_feed_then_is_the_newest_time_and_never_goes_back(times: list[int]) -> None:
    clock = SessionClock(follows_feed=True)
    newest = 0
    for ts_ns in times:
        clock.heard(ts_ns)
        newest = max(newest, ts_ns)
        assert clock.now_ns() == newest


def test_session_clock_when_live_then_is_wall_time_whatever_the_feed_says() -> None:
    clock = SessionClock(follows_feed=False)
    clock.heard(OPEN_NS)
    before = utc_ns()
    now = clock.now_ns()
    assert before <= now <= utc_ns()
    clock.heard(2**62)
    assert clock.now_ns() < 2**62

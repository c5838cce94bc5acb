"""The halts that risk raises itself: a broker that refuses again and again, and an order that comes again and again.

The event comes first; risk's shell puts the halt on disk and on the bus before it is committed. Until the control
folder says otherwise, the event alone keeps risk from approving anything and from granting a lease.
"""

from typing import Final

from bus.messages import HaltRaised

REJECTIONS: Final = "broker_rejections"
REPEATED: Final = "repeated_order"
#: What is older does not count any more.
_WINDOW_NS: Final = 60_000_000_000
#: So many refusals are remembered; MAX_BROKER_REJECTIONS is less.
_KEPT: Final = 32
_TEXT_MAX: Final = 400


def rejections_after(rejections: tuple[int, ...], now_ns: int) -> tuple[int, ...]:
    """Return the session times of the refusals that still count, with one at `now_ns`."""
    return (*(ts_ns for ts_ns in rejections if ts_ns > now_ns - _WINDOW_NS), now_ns)[-_KEPT:]


def rejections_halt(count: int, most: int, detail: str, now_ns: int) -> HaltRaised:
    """Return the halt for more refusals within a minute than MAX_BROKER_REJECTIONS; `detail` is the newest one's."""
    words = f"the broker refused {count} orders within 60 s, {most} are allowed; the last time: {detail}"
    return _halt(REJECTIONS, words, now_ns)


def repeated_halt(value: str, limit: str, now_ns: int) -> HaltRaised:
    """Return the halt for an order that MAX_REPEATED_ORDERS denied, in the words of its denial."""
    return _halt(REPEATED, f"{value}, {limit}: find out what sends it, then arm again", now_ns)


def _halt(rule: str, detail: str, now_ns: int) -> HaltRaised:
    return HaltRaised(ts_event=now_ns, ts_init=now_ns, counter=0, source="risk", rule=rule, detail=detail[:_TEXT_MAX])

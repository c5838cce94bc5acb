"""The halts that risk raises itself: a broker that refuses again and again, and an order that comes again and again.

The event comes first; risk's shell puts the halt on disk and on the bus before it is committed. Until the control
folder says otherwise, the event alone keeps risk from approving anything and from granting a lease.
"""

from typing import Final

from bus.messages import HaltRaised
from services.risk.settings import RiskSettings
from services.risk.wording import seconds

REJECTIONS: Final = "broker_rejections"
REPEATED: Final = "repeated_order"
#: So many refusals are remembered; MAX_BROKER_REJECTIONS is less.
_KEPT: Final = 32
_TEXT_MAX: Final = 400


def rejections_after(rejections: tuple[int, ...], now_ns: int) -> tuple[int, ...]:
    """Return the session times of the newest refusals, with one at `now_ns`."""
    return (*rejections, now_ns)[-_KEPT:]


def count_within(rejections: tuple[int, ...], window_ns: int, now_ns: int) -> int:
    """Return how many refusals came later than BROKER_REJECTIONS_WINDOW ago."""
    return sum(1 for ts_ns in rejections if ts_ns > now_ns - window_ns)


def rejections_halt(count: int, limits: RiskSettings, detail: str, now_ns: int) -> HaltRaised:
    """Return the halt for more refusals than MAX_BROKER_REJECTIONS; `detail` is the newest one's."""
    within, most = seconds(limits.rejections_window_ns), limits.broker_rejections_max
    words = f"the broker refused {count} orders within {within}, {most} are allowed; the last time: {detail}"
    return _halt(REJECTIONS, words, now_ns)


def repeated_halt(value: str, limit: str, now_ns: int) -> HaltRaised:
    """Return the halt for an order that MAX_REPEATED_ORDERS denied, in the words of its denial."""
    return _halt(REPEATED, f"{value}, {limit}: find out what sends it, then arm again", now_ns)


def _halt(rule: str, detail: str, now_ns: int) -> HaltRaised:
    return HaltRaised(ts_event=now_ns, ts_init=now_ns, counter=0, source="risk", rule=rule, detail=detail[:_TEXT_MAX])

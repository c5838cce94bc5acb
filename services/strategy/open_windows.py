"""The open strategy's day: when it analyses, may signal, and sells its positions. UTC nanoseconds."""

from msgspec import Struct

from bus.messages import SessionPlanned
from services.strategy.open import EARLY_MINUTES
from services.strategy.settings import NS_PER_MINUTE, StrategySettings


class OpenWindows(Struct, frozen=True, kw_only=True):
    """Half-open windows: a bar belongs to the one that its minute STARTS in."""

    start_ns: int
    range_end_ns: int
    breakout_end_ns: int
    exit_at_ns: int

    def is_analysis(self, bar_end_ns: int) -> bool:
        """Tell whether the minute that ended then is part of the opening range."""
        return self.start_ns <= bar_end_ns - NS_PER_MINUTE < self.range_end_ns

    def is_early(self, bar_end_ns: int) -> bool:
        """Tell whether the minute that ended then is one of the first of the opening range."""
        return self.start_ns <= bar_end_ns - NS_PER_MINUTE < self.start_ns + EARLY_MINUTES * NS_PER_MINUTE

    def is_breakout(self, bar_end_ns: int) -> bool:
        """Tell whether a breakout in the minute that ended then may open a position."""
        return self.range_end_ns <= bar_end_ns - NS_PER_MINUTE < self.breakout_end_ns


def open_windows(plan: SessionPlanned, settings: StrategySettings) -> OpenWindows:
    """Resolve OPEN_ANALYSIS_TIME, OPEN_BREAKOUT_TIME and OPEN_MONITORING_TIME against the day's plan.

    The plan's flatten ends all of them: on a half-day the breakout window is cut short.
    """
    range_end_ns = plan.start_open_ns + settings.open_analysis_ns
    breakout_end_ns = range_end_ns + settings.open_breakout_ns
    return OpenWindows(
        start_ns=plan.start_open_ns,
        range_end_ns=range_end_ns,
        breakout_end_ns=min(breakout_end_ns, plan.flatten_ns),
        exit_at_ns=min(breakout_end_ns + settings.open_monitoring_ns, plan.flatten_ns),
    )


def is_inside_session(windows: OpenWindows, plan: SessionPlanned) -> bool:
    """Tell whether the range lies in the exchange's hours and leaves time to signal before the flatten."""
    return plan.open_ns <= windows.start_ns and windows.range_end_ns < plan.flatten_ns

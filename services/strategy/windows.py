"""A strategy's day: since when it needs bars, when it analyses, may signal, and sells. UTC nanoseconds."""

from collections.abc import Sequence

from msgspec import Struct

from bus.messages import SessionPlanned
from services.strategy.settings import NS_PER_MINUTE


class Windows(Struct, frozen=True, kw_only=True):
    """Half-open windows: a bar belongs to the one that its minute STARTS in.

    Bars count from `data_from_ns`; a market message missed after that is a minute missed. Signals may be raised from
    `signals_from_ns`, the end of the analysis, and positions are sold at `exit_at_ns`.
    """

    data_from_ns: int
    analysis_from_ns: int
    signals_from_ns: int
    signals_until_ns: int
    exit_at_ns: int

    def has_begun(self, bar_end_ns: int) -> bool:
        """Tell whether the strategy needs the minute that ended then."""
        return bar_end_ns - NS_PER_MINUTE >= self.data_from_ns

    def is_analysis(self, bar_end_ns: int) -> bool:
        """Tell whether the minute that ended then is part of the analysis."""
        return self.analysis_from_ns <= bar_end_ns - NS_PER_MINUTE < self.signals_from_ns

    def is_signalling(self, bar_end_ns: int) -> bool:
        """Tell whether a signal in the minute that ended then may open a position."""
        return self.signals_from_ns <= bar_end_ns - NS_PER_MINUTE < self.signals_until_ns


def windows_of(plan: SessionPlanned, start_ns: int, lengths_ns: Sequence[int], *, data_from_ns: int) -> Windows:
    """Return the windows that follow each other from `start_ns`: analysis, signals, monitoring.

    The plan's flatten ends all of them: on a half-day they are cut short.
    """
    analysis_ns, signals_ns, monitoring_ns = lengths_ns
    signals_from_ns = start_ns + analysis_ns
    signals_until_ns = signals_from_ns + signals_ns
    return Windows(
        data_from_ns=data_from_ns,
        analysis_from_ns=start_ns,
        signals_from_ns=signals_from_ns,
        signals_until_ns=min(signals_until_ns, plan.flatten_ns),
        exit_at_ns=min(signals_until_ns + monitoring_ns, plan.flatten_ns),
    )

"""What the strategy service reads of the operator's settings, as integers with their unit in the name."""

from decimal import Decimal

from msgspec import Struct

from bus.messages import StrategyName
from config.env_bot import EnvBot

NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
PPM_PER_PERCENT = 10_000
BPS_PER_PERCENT = 100

#: The exchange's regular day in minutes after midnight UTC: 14:30 to 21:00 in winter, an hour earlier in
#: summer. Source: NYSE "Holidays & Trading Hours", 2026: the core session is 9:30 to 16:00 in New York.
_OPEN_MINUTE_WINTER = 14 * 60 + 30
_CLOSE_MINUTE_WINTER = 21 * 60
_SUMMER_SHIFT_MINUTES = 60


class StrategySettings(Struct, frozen=True, kw_only=True):
    """The slice of .env_bot that the strategies use; `_ppm` parts per million, `_bps` basis points."""

    is_open_enabled: bool
    is_mid_enabled: bool
    is_close_enabled: bool
    start_open_minute: int
    start_time_dst: str
    open_analysis_ns: int
    open_breakout_ns: int
    open_monitoring_ns: int
    open_buffer_ppm: int
    short_type_open: str
    trail_bps: int
    signal_ttl_ns: int
    flatten_before_close_ns: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "StrategySettings":
        """Take this service's settings out of all of them."""
        hours, minutes = env.word("START_TIME_OPEN").split(":")
        return cls(
            is_open_enabled=env.flag("STRAT_OPEN_ENABLED"),
            is_mid_enabled=env.flag("STRAT_MID_ENABLED"),
            is_close_enabled=env.flag("STRAT_CLOSE_ENABLED"),
            start_open_minute=int(hours) * 60 + int(minutes),
            start_time_dst=env.word("START_TIME_DST"),
            open_analysis_ns=env.whole("OPEN_ANALYSIS_TIME") * NS_PER_MINUTE,
            open_breakout_ns=env.whole("OPEN_BREAKOUT_TIME") * NS_PER_MINUTE,
            open_monitoring_ns=env.whole("OPEN_MONITORING_TIME") * NS_PER_MINUTE,
            open_buffer_ppm=env.scaled("OPEN_BREAKOUT_BUFFER", PPM_PER_PERCENT),
            short_type_open=env.word("SHORT_TYPE_OPEN"),
            trail_bps=env.scaled("TRAILING_STOP", BPS_PER_PERCENT),
            signal_ttl_ns=env.whole("SIGNAL_TTL") * NS_PER_SECOND,
            flatten_before_close_ns=env.whole("FLATTEN_BEFORE_CLOSE") * NS_PER_MINUTE,
        )

    @property
    def analysis_minutes(self) -> int:
        """Return OPEN_ANALYSIS_TIME in minutes."""
        return self.open_analysis_ns // NS_PER_MINUTE

    def is_enabled(self, strategy: StrategyName) -> bool:
        """Tell what STRAT_OPEN_ENABLED, STRAT_MID_ENABLED or STRAT_CLOSE_ENABLED says."""
        enabled = {"open": self.is_open_enabled, "mid": self.is_mid_enabled, "close": self.is_close_enabled}
        return enabled[strategy]

    def faults(self) -> tuple[str, ...]:
        """Return one sentence for each way in which the open strategy's windows do not fit a regular day.

        Half-days and holidays are not judged here: the day's own SessionPlanned is.
        """
        if not self.is_open_enabled:
            # STRAT_OPEN_ENABLED is false: its times are not used, so they cannot be wrong.
            return ()
        faults = []
        # START_TIME_DST fixed: the same UTC time is an hour later on New York's clock in summer, so the
        # earliest time that can be right is the summer open. START_TIME_DST exchange: start times are as in
        # winter.
        is_fixed = self.start_time_dst == "fixed"
        earliest = _OPEN_MINUTE_WINTER - (_SUMMER_SHIFT_MINUTES if is_fixed else 0)
        if self.start_open_minute < earliest:
            faults.append(
                f"START_TIME_OPEN is {hhmm(self.start_open_minute)}, before the exchange opens at "
                f"{hhmm(earliest)} UTC: set it to {hhmm(earliest)} or later"
            )
        flatten = _CLOSE_MINUTE_WINTER - self.flatten_before_close_ns // NS_PER_MINUTE
        breakout_end = self.start_open_minute + self.analysis_minutes + self.open_breakout_ns // NS_PER_MINUTE
        if breakout_end > flatten:
            faults.append(
                f"START_TIME_OPEN + OPEN_ANALYSIS_TIME + OPEN_BREAKOUT_TIME end at {hhmm(breakout_end)} UTC, "
                f"after all positions are sold at {hhmm(flatten)}: make one of the windows shorter"
            )
        return tuple(faults)


def hhmm(minute: int) -> str:
    """Write a minute of the UTC day as HH:MM; minutes past midnight wrap to the next day.

    >>> hhmm(14 * 60 + 30)
    '14:30'
    """
    return f"{minute // 60 % 24:02d}:{minute % 60:02d}"


def precision_faults(env: EnvBot) -> tuple[str, ...]:
    """Return one sentence for each percentage that has more decimals than the integers here can hold."""
    scales = (("OPEN_BREAKOUT_BUFFER", PPM_PER_PERCENT, "four"), ("TRAILING_STOP", BPS_PER_PERCENT, "two"))
    return tuple(
        f"{key} is {env.number(key)} percent: write at most {decimals} decimals, finer steps would be lost"
        for key, scale, decimals in scales
        if env.number(key) * scale != Decimal(env.scaled(key, scale))
    )

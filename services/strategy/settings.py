"""What the strategy service reads of the operator's settings, as integers with their unit in the name."""

from msgspec import Struct

from bus.messages import StrategyName
from config.env_bot import EnvBot

NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
PPM_PER_PERCENT = 10_000
BPS_PER_PERCENT = 100


class StrategySettings(Struct, frozen=True, kw_only=True):
    """The slice of .env_bot that the strategies use; `_ppm` parts per million, `_bps` basis points."""

    is_open_enabled: bool
    is_mid_enabled: bool
    is_close_enabled: bool
    open_analysis_ns: int
    open_breakout_ns: int
    open_monitoring_ns: int
    open_buffer_ppm: int
    short_type_open: str
    trail_bps: int
    signal_ttl_ns: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "StrategySettings":
        """Take this service's settings out of all of them."""
        return cls(
            is_open_enabled=env.flag("STRAT_OPEN_ENABLED"),
            is_mid_enabled=env.flag("STRAT_MID_ENABLED"),
            is_close_enabled=env.flag("STRAT_CLOSE_ENABLED"),
            open_analysis_ns=env.whole("OPEN_ANALYSIS_TIME") * NS_PER_MINUTE,
            open_breakout_ns=env.whole("OPEN_BREAKOUT_TIME") * NS_PER_MINUTE,
            open_monitoring_ns=env.whole("OPEN_MONITORING_TIME") * NS_PER_MINUTE,
            open_buffer_ppm=env.scaled("OPEN_BREAKOUT_BUFFER", PPM_PER_PERCENT),
            short_type_open=env.word("SHORT_TYPE_OPEN"),
            trail_bps=env.scaled("TRAILING_STOP", BPS_PER_PERCENT),
            signal_ttl_ns=env.whole("SIGNAL_TTL") * NS_PER_SECOND,
        )

    @property
    def analysis_minutes(self) -> int:
        """Return OPEN_ANALYSIS_TIME in minutes."""
        return self.open_analysis_ns // NS_PER_MINUTE

    def is_enabled(self, strategy: StrategyName) -> bool:
        """Tell what STRAT_OPEN_ENABLED, STRAT_MID_ENABLED or STRAT_CLOSE_ENABLED says."""
        enabled = {"open": self.is_open_enabled, "mid": self.is_mid_enabled, "close": self.is_close_enabled}
        return enabled[strategy]

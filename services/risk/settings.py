"""The slice of .env_bot that limits money. Nothing here has a default: a limit that is not set is a fault."""

from msgspec import Struct

from bus.messages import NANOS
from config.env_bot import EnvBot

_NS_PER_SECOND = 1_000_000_000
#: One percent in parts per million. What is finer than that is cut off, which only makes a limit tighter.
_PPM_PER_PERCENT = 10_000


class RiskSettings(Struct, frozen=True, kw_only=True):
    """Limits on money; `_ppm` are millionths of the day's starting equity, or of the ask for the spread."""

    total_allocation_ppm: int
    max_risk_per_trade_ppm: int
    max_open_positions: int
    daily_loss_limit_ppm: int
    min_volume_nanos: int
    max_spread_ppm: int
    max_quote_age_ns: int
    entry_timeout_ns: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "RiskSettings":
        """Read the limits from the checked settings."""
        return cls(
            total_allocation_ppm=env.scaled("TOTAL_ALLOCATION", _PPM_PER_PERCENT),
            max_risk_per_trade_ppm=env.scaled("MAX_RISK_PER_TRADE", _PPM_PER_PERCENT),
            max_open_positions=env.whole("MAX_OPEN_POSITIONS"),
            daily_loss_limit_ppm=env.scaled("DAILY_LOSS_LIMIT", _PPM_PER_PERCENT),
            min_volume_nanos=env.whole("MIN_VOLUME_THRESHOLD") * NANOS,
            max_spread_ppm=env.scaled("MAX_SPREAD", _PPM_PER_PERCENT),
            max_quote_age_ns=env.whole("MAX_QUOTE_AGE") * _NS_PER_SECOND,
            entry_timeout_ns=env.whole("ENTRY_TIMEOUT") * _NS_PER_SECOND,
        )

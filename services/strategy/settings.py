"""What the strategy service reads of the operator's settings, as integers with their unit in the name."""

from typing import cast

from msgspec import Struct

from bus.messages import StrategyName
from config.env_bot import EnvBot
from config.live_source import is_live
from services.strategy.arrays import PPM

NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
PPM_PER_PERCENT = 10_000
BPS_PER_PERCENT = 100
MILLI = 1_000
HUNDREDTHS = 100


class PutRules(Struct, frozen=True, kw_only=True):
    """The operator's rules for a put."""

    expiry_days_min: int
    expiry_days_max: int
    delta_target_ppm: int
    open_interest_min: int
    spread_max_ppm: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "PutRules":
        """Read PUT_EXPIRY_MIN_DAYS, PUT_EXPIRY_MAX_DAYS, PUT_DELTA_TARGET, PUT_OPEN_INTEREST_MIN and PUT_SPREAD_MAX."""
        return cls(
            expiry_days_min=env.whole("PUT_EXPIRY_MIN_DAYS"),
            expiry_days_max=env.whole("PUT_EXPIRY_MAX_DAYS"),
            delta_target_ppm=env.scaled("PUT_DELTA_TARGET", PPM),
            open_interest_min=env.whole("PUT_OPEN_INTEREST_MIN"),
            spread_max_ppm=env.scaled("PUT_SPREAD_MAX", PPM_PER_PERCENT),
        )


class StrategySettings(Struct, frozen=True, kw_only=True):
    """The slice of .env_bot that the strategies use.

    `_ppm` parts per million, `_bps` basis points, `_milli` thousandths, `_hundredths` hundredths. `strategy_override`
    is empty or the one strategy that runs. `is_live`: minutes that were missed are said again.
    """

    is_open_enabled: bool
    is_mid_enabled: bool
    is_close_enabled: bool
    strategy_sequence: tuple[StrategyName, ...]
    strategy_override: str
    open_analysis_ns: int
    open_breakout_ns: int
    open_monitoring_ns: int
    open_buffer_ppm: int
    open_first_bar_ns: int
    mid_analysis_ns: int
    mid_signal_ns: int
    mid_monitoring_ns: int
    mid_vwap_threshold_ppm: int
    mid_bollinger_period: int
    mid_bollinger_width_milli: int
    mid_adx_period: int
    mid_adx_max_milli: int
    mid_stop_atr_milli: int
    close_analysis_ns: int
    close_signal_ns: int
    close_monitoring_ns: int
    close_high_proximity_ppm: int
    close_vix_hundredths_min: int
    vix_age_days_max: int
    analysis_bars_percent_min: int
    short_type_open: str
    short_type_mid: str
    short_type_close: str
    max_inverse_leverage: int
    trail_bps: int
    puts: PutRules
    put_trail_bps: int
    max_quote_age_ns: int
    put_chain_age_max_ns: int
    signal_ttl_ns: int
    is_live: bool = False

    @classmethod
    def from_env(cls, env: EnvBot) -> "StrategySettings":
        """Take this service's settings out of all of them."""

        def minutes(key: str) -> int:
            return env.whole(key) * NS_PER_MINUTE

        return cls(
            is_open_enabled=env.flag("STRAT_OPEN_ENABLED"),
            is_mid_enabled=env.flag("STRAT_MID_ENABLED"),
            is_close_enabled=env.flag("STRAT_CLOSE_ENABLED"),
            # The parser lets nothing but the three names through.
            strategy_sequence=cast("tuple[StrategyName, ...]", env.words("STRATEGY_SEQUENCE")),
            strategy_override=env.word("STRATEGY_OVERRIDE"),
            open_analysis_ns=minutes("OPEN_ANALYSIS_TIME"),
            open_breakout_ns=minutes("OPEN_BREAKOUT_TIME"),
            open_monitoring_ns=minutes("OPEN_MONITORING_TIME"),
            open_buffer_ppm=env.scaled("OPEN_BREAKOUT_BUFFER", PPM_PER_PERCENT),
            open_first_bar_ns=minutes("OPEN_FIRST_BAR_TIME"),
            mid_analysis_ns=minutes("MID_ANALYSIS_TIME"),
            mid_signal_ns=minutes("MID_SIGNAL_TIME"),
            mid_monitoring_ns=minutes("MID_MONITORING_TIME"),
            mid_vwap_threshold_ppm=env.scaled("STRAT_MID_VWAP_THRESHOLD", PPM_PER_PERCENT),
            mid_bollinger_period=env.whole("STRAT_MID_BOLLINGER_PERIOD"),
            mid_bollinger_width_milli=env.scaled("STRAT_MID_BOLLINGER_WIDTH", MILLI),
            mid_adx_period=env.whole("STRAT_MID_ADX_PERIOD"),
            mid_adx_max_milli=env.scaled("STRAT_MID_ADX_MAX", MILLI),
            mid_stop_atr_milli=env.scaled("STRAT_MID_STOP_ATR", MILLI),
            close_analysis_ns=minutes("CLOSE_ANALYSIS_TIME"),
            close_signal_ns=minutes("CLOSE_SIGNAL_TIME"),
            close_monitoring_ns=minutes("CLOSE_MONITORING_TIME"),
            close_high_proximity_ppm=env.scaled("STRAT_CLOSE_HIGH_PROXIMITY", PPM_PER_PERCENT),
            close_vix_hundredths_min=env.scaled("STRAT_CLOSE_VIX_THRESHOLD", HUNDREDTHS),
            vix_age_days_max=env.whole("VIX_AGE_MAX"),
            analysis_bars_percent_min=env.whole("ANALYSIS_BARS_MIN"),
            short_type_open=env.word("SHORT_TYPE_OPEN"),
            short_type_mid=env.word("SHORT_TYPE_MID"),
            short_type_close=env.word("SHORT_TYPE_CLOSE"),
            max_inverse_leverage=env.whole("MAX_INVERSE_LEVERAGE"),
            trail_bps=env.scaled("TRAILING_STOP", BPS_PER_PERCENT),
            puts=PutRules.from_env(env),
            put_trail_bps=env.scaled("PUT_TRAILING_STOP", BPS_PER_PERCENT),
            max_quote_age_ns=env.whole("MAX_QUOTE_AGE") * NS_PER_SECOND,
            put_chain_age_max_ns=minutes("PUT_CHAIN_AGE_MAX"),
            signal_ttl_ns=env.whole("SIGNAL_TTL") * NS_PER_SECOND,
            is_live=is_live(env),
        )

    @property
    def wants_puts(self) -> bool:
        """Tell whether SHORT_TYPE_* is LongPut for any strategy."""
        return "LongPut" in {self.short_type_open, self.short_type_mid, self.short_type_close}

    @property
    def analysis_minutes(self) -> int:
        """Return OPEN_ANALYSIS_TIME in minutes."""
        return self.open_analysis_ns // NS_PER_MINUTE

    def is_enabled(self, strategy: StrategyName) -> bool:
        """Tell what STRAT_OPEN_ENABLED, STRAT_MID_ENABLED or STRAT_CLOSE_ENABLED says."""
        enabled = {"open": self.is_open_enabled, "mid": self.is_mid_enabled, "close": self.is_close_enabled}
        return enabled[strategy]

    def short_type(self, strategy: StrategyName) -> str:
        """Return what SHORT_TYPE_OPEN, SHORT_TYPE_MID or SHORT_TYPE_CLOSE says."""
        types = {"open": self.short_type_open, "mid": self.short_type_mid, "close": self.short_type_close}
        return types[strategy]

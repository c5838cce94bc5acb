"""The slice of .env_bot that limits money. Nothing here has a default: a limit that is not set is a fault."""

from typing import Final, Literal, cast, get_args

from msgspec import Struct

from bus.messages import MICROS, NANOS, StrategyName
from config.env_bot import EnvBot
from services.risk.options import OptionLimits

_NS_PER_SECOND = 1_000_000_000
#: One percent in parts per million. What is finer than that is cut off, which only makes a limit tighter.
_PPM_PER_PERCENT = 10_000
#: A factor in percent: 10 times is 1000.
_HUNDRED = 100
#: The switch of each broker that trades real accounts. The embedded one has none: it is no account anywhere.
_BROKER_SWITCHES: Final = {"ALPACA": "ALPACA_ENABLED", "IBKR": "IBKR_ENABLED"}
_EMBEDDED_BROKER: Final = "PAPER"


class RiskSettings(Struct, frozen=True, kw_only=True):
    """Limits on money.

    `_ppm` are millionths: of the day's starting equity, of the ask for the spread, of the signal's price for the
    collar. `price_jump_percent` is a factor in percent: 1000 = ten times. `restricted` holds the symbols as
    `plain_symbol` writes them. `funds` are those of the long-term holdings, which are restricted for the strategies:
    both would share one queue of tax lots.
    """

    total_allocation_ppm: int
    max_risk_per_trade_ppm: int
    max_open_positions: int
    position_per_symbol_ppm: int
    order_notional_max_micros: int
    order_max_nanos: int
    is_fractional: bool
    daily_loss_limit_ppm: int
    daily_loss_from: Literal["start", "peak"]
    trades_per_day_max: int
    orders_per_second_max: int
    orders_per_minute_max: int
    repeated_orders_max: int
    repeats_window_ns: int
    broker_rejections_max: int
    rejections_window_ns: int
    min_volume_nanos: int
    max_spread_ppm: int
    max_quote_age_ns: int
    price_collar_ppm: int
    price_jump_percent: int
    restricted: frozenset[str]
    is_defending: bool
    options: OptionLimits
    enabled_strategies: frozenset[StrategyName]
    broker_name: str
    is_broker_enabled: bool
    entry_timeout_ns: int
    funds: frozenset[str]

    @classmethod
    def from_env(cls, env: EnvBot, funds: frozenset[str] = frozenset()) -> "RiskSettings":
        """Read the limits from the checked settings."""
        broker = env.word("BROKER_NAME")
        return cls(
            total_allocation_ppm=env.scaled("TOTAL_ALLOCATION", _PPM_PER_PERCENT),
            max_risk_per_trade_ppm=env.scaled("MAX_RISK_PER_TRADE", _PPM_PER_PERCENT),
            max_open_positions=env.whole("MAX_OPEN_POSITIONS"),
            position_per_symbol_ppm=env.scaled("MAX_POSITION_PER_SYMBOL", _PPM_PER_PERCENT),
            order_notional_max_micros=env.whole("MAX_ORDER_NOTIONAL") * MICROS,
            order_max_nanos=env.whole("MAX_ORDER_SHARES") * NANOS,
            is_fractional=env.flag("FRACTIONAL_SHARES"),
            daily_loss_limit_ppm=env.scaled("DAILY_LOSS_LIMIT", _PPM_PER_PERCENT),
            daily_loss_from="peak" if env.word("DAILY_LOSS_FROM") == "peak" else "start",
            trades_per_day_max=env.whole("MAX_TRADES_PER_DAY"),
            orders_per_second_max=env.whole("MAX_ORDERS_PER_SECOND"),
            orders_per_minute_max=env.whole("MAX_ORDERS_PER_MINUTE"),
            repeated_orders_max=env.whole("MAX_REPEATED_ORDERS"),
            repeats_window_ns=env.whole("REPEATED_ORDERS_WINDOW") * _NS_PER_SECOND,
            broker_rejections_max=env.whole("MAX_BROKER_REJECTIONS"),
            rejections_window_ns=env.whole("BROKER_REJECTIONS_WINDOW") * _NS_PER_SECOND,
            min_volume_nanos=env.whole("MIN_VOLUME_THRESHOLD") * NANOS,
            max_spread_ppm=env.scaled("MAX_SPREAD", _PPM_PER_PERCENT),
            max_quote_age_ns=env.whole("MAX_QUOTE_AGE") * _NS_PER_SECOND,
            price_collar_ppm=env.scaled("PRICE_COLLAR", _PPM_PER_PERCENT),
            price_jump_percent=env.scaled("MAX_PRICE_JUMP", _HUNDRED),
            restricted=frozenset(map(plain_symbol, (*env.words("RESTRICTED_SYMBOLS"), *funds))),
            is_defending=env.flag("DEFENSE_MODE"),
            options=OptionLimits.from_env(env),
            enabled_strategies=_enabled_strategies(env),
            broker_name=broker,
            is_broker_enabled=_is_enabled(broker, env),
            entry_timeout_ns=env.whole("ENTRY_TIMEOUT") * _NS_PER_SECOND,
            funds=funds,
        )


_NO_SIGNS: Final = str.maketrans("", "", ".-/ ")


def plain_symbol(symbol: str) -> str:
    """Return a symbol without the signs that sources write differently: BRK.B, BRK/B, BRK-B and BRK B are one.

    >>> plain_symbol("BRK/B")
    'BRKB'
    """
    letters = symbol.upper()
    return letters if letters.isalnum() else letters.translate(_NO_SIGNS)


def _enabled_strategies(env: EnvBot) -> frozenset[StrategyName]:
    # STRAT_*_ENABLED: the strategy service is silent without it; here it is asked a second time.
    names = cast("tuple[StrategyName, ...]", get_args(StrategyName))
    return frozenset(name for name in names if env.flag(f"STRAT_{name.upper()}_ENABLED"))


def _is_enabled(broker: str, env: EnvBot) -> bool:
    # ALPACA_ENABLED, IBKR_ENABLED: a broker that is not known here is not enabled.
    if broker == _EMBEDDED_BROKER:
        return True
    return broker in _BROKER_SWITCHES and env.flag(_BROKER_SWITCHES[broker])

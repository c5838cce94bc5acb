"""The settings the screener reads, in integers with their units in the names."""

from msgspec import Struct

from bus.messages import MICROS, NANOS
from config.env_bot import EnvBot

_BPS_PER_PERCENT = 100


class ScreenerSettings(Struct, frozen=True, kw_only=True):
    """What to play, and which names to screen out. `symbols` empty = all there are."""

    source: str
    data_dir: str
    session_date: str
    symbols: tuple[str, ...]
    seed: int
    price_min_micros: int
    price_max_micros: int
    gap_max_bps: int
    volume_min_nanos: int
    float_min_shares: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "ScreenerSettings":
        """Take the screener's slice of the parsed settings."""
        return cls(
            source=env.word("MARKET_DATA_SOURCE"),
            data_dir=env.word("MARKET_DATA_DIR"),
            session_date=env.word("MARKET_DATA_DATE"),
            symbols=env.words("MARKET_DATA_SYMBOLS"),
            seed=env.whole("MARKET_DATA_SEED"),
            price_min_micros=env.scaled("SCREENER_PRICE_MIN", MICROS),
            price_max_micros=env.scaled("SCREENER_PRICE_MAX", MICROS),
            gap_max_bps=env.scaled("SCREENER_GAP_MAX", _BPS_PER_PERCENT),
            volume_min_nanos=env.whole("SCREENER_VOLUME_MIN") * NANOS,
            float_min_shares=env.whole("SCREENER_FLOAT_MIN"),
        )

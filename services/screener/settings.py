"""The settings the screener reads, in integers with their units in the names."""

from typing import Final, get_args

from msgspec import Struct

from bus.messages import MICROS, NANOS, StrategyName
from config.env_bot import EnvBot
from config.env_bot_rules import LIVE_SOURCES
from config.live_source import is_simulated

_BPS_PER_PERCENT: Final = 100
_MILLION: Final = 1_000_000
_MILLI: Final = 1_000
_LOT_SHARES: Final = 100
_NS_PER_SECOND: Final = 1_000_000_000
_NS_PER_MINUTE: Final = 60 * _NS_PER_SECOND
#: So many seconds after a fill its position is known to all who look, many times over.
_REPORTED_S: Final = 15


class PutWindow(Struct, frozen=True, kw_only=True):
    """Which puts are listed, in days from the session to their expiry.

    The rest is for live chains: the delta that is wanted, without its sign, in parts per million; of how many names,
    how many puts of each, and how old a chain may be.
    """

    days_min: int
    days_max: int
    delta_target_ppm: int = 500_000
    names_max: int = 5
    per_name: int = 6
    age_max_ns: int = 60 * _NS_PER_MINUTE


class IbkrDataAccess(Struct, frozen=True, kw_only=True):
    """Where the gateway of Interactive Brokers is, and how market data is taken from it.

    `answer_s`: how long one answer may take. `takes_delayed` and `is_in_lots`: IBKR_DELAYED_DATA and IBKR_SIZES.
    `backoff_s`: how long to wait before the next connection; the last one stands for all that follow.
    """

    port: int
    client_id: int
    library: str
    takes_delayed: bool = False
    is_in_lots: bool = False
    answer_s: float = 10.0
    backoff_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

    @property
    def share_factor(self) -> int:
        """Return how many shares one unit of a size stands for."""
        return _LOT_SHARES if self.is_in_lots else 1


class ScreenerSettings(Struct, frozen=True, kw_only=True):
    """What to play, where the names come from, and which of them to screen out.

    `symbols` empty = all there are. `puts` is None where no strategy that runs buys puts. A limit that is None is not
    applied. `scan_mode` is auto or a `ScanMode`. The lists after the first are made every `intraday_every_ns`, and
    `after_hours_ns` after the close; 0 = not. After `leave_after_ns` nothing is bought any more of a name that left.
    """

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
    gap_min_bps: int = 0
    float_max_shares: int | None = None
    market_cap_min_dollars: int | None = None
    market_cap_max_dollars: int | None = None
    pe_max_milli: int | None = None
    debt_to_equity_max_milli: int | None = None
    candidates_max: int
    scan_mode: str = "auto"
    universe_source: str = "session"
    mics: tuple[str, ...] = ()
    security_types: tuple[str, ...] = ()
    block_list: tuple[str, ...] = ()
    universe_age_days_max: int = 0
    fundamentals_age_days_max: int = 0
    finnhub_calls_per_minute: int = 0
    finnhub_calls_per_second: int = 0
    alpaca_data_feed: str = "iex"
    alpaca_options_feed: str = "indicative"
    is_simulated: bool = False
    simulator_port: int = 0
    list_before_open_ns: int = 0
    intraday_every_ns: int = 0
    after_hours_ns: int = 0
    leave_after_ns: int = 0
    stream_symbols_max: int = 30
    quiet_s_max: int = 15
    max_inverse_leverage: int = 1
    puts: PutWindow | None = None
    ibkr: IbkrDataAccess | None = None
    ibkr_lines_max: int = 100
    ibkr_list_symbols_max: int = 300
    funds: frozenset[str] = frozenset()

    @classmethod
    def from_env(cls, env: EnvBot, funds: frozenset[str] = frozenset()) -> "ScreenerSettings":
        """Take the screener's slice of the parsed settings; `funds` are those of the long-term holdings."""
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
            gap_min_bps=env.scaled("SCREENER_GAP_MIN", _BPS_PER_PERCENT),
            float_max_shares=env.scaled_or_none("SCREENER_FLOAT_MAX", 1),
            market_cap_min_dollars=env.scaled_or_none("SCREENER_MARKET_CAP_MIN", _MILLION),
            market_cap_max_dollars=env.scaled_or_none("SCREENER_MARKET_CAP_MAX", _MILLION),
            pe_max_milli=env.scaled_or_none("SCREENER_PE_MAX", _MILLI),
            debt_to_equity_max_milli=env.scaled_or_none("SCREENER_DEBT_TO_EQUITY_MAX", _MILLI),
            candidates_max=env.whole("SCREENER_CANDIDATES"),
            scan_mode=env.word("SCREENER_SCAN_MODE"),
            universe_source=env.word("UNIVERSE_SOURCE"),
            mics=env.words("UNIVERSE_MICS"),
            security_types=tuple(word.strip() for word in env.word("UNIVERSE_TYPES").split(",") if word.strip()),
            # The strategies may not trade funds: both would share one queue of tax lots. Their quotes are needed.
            block_list=(*env.words("UNIVERSE_BLOCK_LIST"), *sorted(funds)),
            funds=funds,
            universe_age_days_max=env.whole("UNIVERSE_MAX_AGE"),
            fundamentals_age_days_max=env.whole("FUNDAMENTALS_MAX_AGE"),
            finnhub_calls_per_minute=env.whole("FINNHUB_CALLS_PER_MINUTE"),
            finnhub_calls_per_second=env.whole("FINNHUB_CALLS_PER_SECOND"),
            alpaca_data_feed=env.word("ALPACA_DATA_FEED"),
            alpaca_options_feed=env.word("ALPACA_OPTIONS_FEED"),
            is_simulated=is_simulated(env),
            simulator_port=env.whole("ALPACA_DATA_SIMULATOR_PORT"),
            list_before_open_ns=env.whole("LIVE_LIST_BEFORE_OPEN") * _NS_PER_MINUTE,
            intraday_every_ns=env.whole("SCREENER_INTRADAY_EVERY") * _NS_PER_MINUTE,
            after_hours_ns=env.whole("SCREENER_AFTER_HOURS") * _NS_PER_MINUTE,
            # What was signalled before the name left may still be sent for SIGNAL_TTL, and fill for ENTRY_TIMEOUT.
            leave_after_ns=(env.whole("SIGNAL_TTL") + env.whole("ENTRY_TIMEOUT") + _REPORTED_S) * _NS_PER_SECOND,
            stream_symbols_max=_stream_symbols_max(env),
            ibkr=_ibkr(env),
            ibkr_lines_max=env.whole("IBKR_LINES_MAX"),
            ibkr_list_symbols_max=env.whole("IBKR_LIST_SYMBOLS_MAX"),
            quiet_s_max=env.whole("MARKET_DATA_TIMEOUT"),
            max_inverse_leverage=env.whole("MAX_INVERSE_LEVERAGE"),
            puts=_puts(env),
        )

    @property
    def is_live(self) -> bool:
        """Tell whether MARKET_DATA_SOURCE is one whose data comes as it happens."""
        return self.source in LIVE_SOURCES


def _stream_symbols_max(env: EnvBot) -> int:
    # MARKET_DATA_SOURCE: each has a limit of its own.
    is_ibkr = env.word("MARKET_DATA_SOURCE") == "ibkr"
    return env.whole("IBKR_STREAM_SYMBOLS_MAX" if is_ibkr else "ALPACA_STREAM_SYMBOLS_MAX")


def _ibkr(env: EnvBot) -> IbkrDataAccess | None:
    if env.word("MARKET_DATA_SOURCE") != "ibkr":
        return None
    return IbkrDataAccess(
        port=env.whole("IBKR_PORT"),
        client_id=env.whole("IBKR_DATA_CLIENT_ID"),
        library=env.word("IBKR_LIBRARY"),
        takes_delayed=env.flag("IBKR_DELAYED_DATA"),
        is_in_lots=env.word("IBKR_SIZES") == "lots",
    )


def _puts(env: EnvBot) -> PutWindow | None:
    # SHORT_TYPE_*: without LongPut for a strategy that is switched on, no option is ever read.
    names = [name.upper() for name in get_args(StrategyName)]
    wanting = [n for n in names if env.flag(f"STRAT_{n}_ENABLED") and env.word(f"SHORT_TYPE_{n}") == "LongPut"]
    if not wanting:
        return None
    return PutWindow(
        days_min=env.whole("PUT_EXPIRY_MIN_DAYS"),
        days_max=env.whole("PUT_EXPIRY_MAX_DAYS"),
        delta_target_ppm=env.scaled("PUT_DELTA_TARGET", _MILLION),
        names_max=env.whole("LIVE_PUT_NAMES_MAX"),
        per_name=env.whole("LIVE_PUTS_PER_NAME"),
        age_max_ns=env.whole("PUT_CHAIN_AGE_MAX") * _NS_PER_MINUTE,
    )

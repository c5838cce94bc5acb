"""Whether market data comes as it happens, and whether it comes from a real exchange."""

from config.env_bot import EnvBot
from config.env_bot_rules import LIVE_SOURCES


def is_live(env: EnvBot) -> bool:
    """Tell whether MARKET_DATA_SOURCE is one whose data comes as it happens."""
    return env.word("MARKET_DATA_SOURCE") in LIVE_SOURCES


def is_simulated(env: EnvBot) -> bool:
    """Tell whether live data comes from a simulated exchange (ALPACA_ENDPOINT), which has a time of its own."""
    return env.word("MARKET_DATA_SOURCE") == "alpaca" and env.word("ALPACA_ENDPOINT") == "simulator"

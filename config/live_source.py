"""Whether market data comes as it happens, and whether it comes from a real exchange."""

from typing import Final

from config.env_bot import EnvBot

#: Values of MARKET_DATA_SOURCE that are live.
LIVE_SOURCES: Final = ("alpaca",)


def is_live(env: EnvBot) -> bool:
    """Tell whether MARKET_DATA_SOURCE is one whose data comes as it happens."""
    return env.word("MARKET_DATA_SOURCE") in LIVE_SOURCES


def is_simulated(env: EnvBot) -> bool:
    """Tell whether live data comes from a simulated exchange (ALPACA_ENDPOINT), which has a time of its own."""
    return is_live(env) and env.word("ALPACA_ENDPOINT") == "simulator"

"""Whether market data comes as it happens, and whether it comes from a real exchange."""

from config.env_bot import EnvBot
from config.env_bot_rules import LIVE_SOURCES


def is_live(env: EnvBot) -> bool:
    """Tell whether MARKET_DATA_SOURCE is one whose data comes as it happens."""
    return env.word("MARKET_DATA_SOURCE") in LIVE_SOURCES


def is_simulated(env: EnvBot) -> bool:
    """Tell whether live data comes from a simulated exchange (ALPACA_ENDPOINT), which has a time of its own."""
    return env.word("MARKET_DATA_SOURCE") == "alpaca" and env.word("ALPACA_ENDPOINT") == "simulator"


def is_real_money(env: EnvBot) -> bool:
    """Tell whether orders go to an account with money: whatever is not known for certain to be without is one."""
    match env.word("BROKER_NAME"):
        case "PAPER":
            return False
        case "ALPACA":
            return env.word("ALPACA_ENDPOINT") not in ("paper", "simulator")
        case "IBKR":
            return env.word("IBKR_MODE") != "paper"
        case _:
            return True

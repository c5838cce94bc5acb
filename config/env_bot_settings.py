"""The table of settings: every group of config/settings_table, in the order in which the form shows them."""

from typing import Final

from config.settings_table.alerts import ALERTS
from config.settings_table.archives import ARCHIVES
from config.settings_table.broker import BROKER
from config.settings_table.ledger import LEDGER
from config.settings_table.market_data import MARKET_DATA
from config.settings_table.risk_limits import RISK_LIMITS
from config.settings_table.screener import SCREENER
from config.settings_table.session_times import SESSION_TIMES
from config.settings_table.setting import Setting
from config.settings_table.strategies import STRATEGIES
from config.settings_table.system import SYSTEM
from config.settings_table.universe import UNIVERSE
from config.settings_table.web_interface import WEB_INTERFACE

__all__ = ["SETTINGS", "Setting"]

SETTINGS: Final[tuple[Setting, ...]] = (
    *SESSION_TIMES,
    *STRATEGIES,
    *RISK_LIMITS,
    *BROKER,
    *LEDGER,
    *MARKET_DATA,
    *SCREENER,
    *UNIVERSE,
    *ALERTS,
    *ARCHIVES,
    *WEB_INTERFACE,
    *SYSTEM,
)

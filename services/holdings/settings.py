"""What the holdings service starts from: the operator's settings for the funds, and whose books they are in."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bus.inverse_etfs import INVERSE_ETFS
from config.env_bot import EnvBot
from config.holdings import HoldingsSettings


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """The settings of the holdings, and BROKER_NAME, under which the ledger books their reserves."""

    holdings: HoldingsSettings
    broker_name: str

    @classmethod
    def read(cls, part: Mapping[str, Any], env: EnvBot) -> "ServiceSettings":
        """Read the part `holdings` of the vault; the inverse funds that the strategies buy may not be among them.

        Raises:
            HoldingsSettingsError: what is wrong, all faults at once.
        """
        traded = {row.inverse for row in INVERSE_ETFS}
        return cls(
            holdings=HoldingsSettings.from_vault(part, day_trading=traded),
            broker_name=env.word("BROKER_NAME"),
        )

"""Who this bot is: entity, jurisdiction, account, broker and bot id; and the names of files made from them."""

import re

from msgspec import Struct

_CODE = re.compile(r"^[A-Z0-9]{2,12}$")
_ACCOUNT = re.compile(r"^[a-z0-9]{1,24}$")
_FIELDS = (
    ("entity_code", _CODE, "2 to 12 capital letters or digits, such as ACME"),
    ("jurisdiction_code", _CODE, "2 to 12 capital letters or digits, such as USA"),
    ("account_name", _ACCOUNT, "1 to 24 small letters or digits, such as main"),
    ("broker_code", _CODE, "2 to 12 capital letters or digits, such as PAPER"),
    ("bot_id", _CODE, "2 to 12 capital letters or digits, such as BOT01"),
)


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bot's identity; every part is safe in a file name once `faults` is empty."""

    entity_code: str
    jurisdiction_code: str
    account_name: str
    broker_code: str
    bot_id: str

    @property
    def bot_identity(self) -> str:
        """Return the name of this bot's output folder."""
        return f"{self.entity_code}_{self.jurisdiction_code}_{self.account_name}_{self.broker_code}_{self.bot_id}"

    @property
    def entity_folder(self) -> str:
        """Return the name of the entity's folder under entities/."""
        return f"{self.entity_code}_{self.jurisdiction_code}"

    @property
    def ledger_file(self) -> str:
        """Return the ledger's file name."""
        return f"{self.bot_identity}_BOT_ledger.db"

    def faults(self) -> tuple[str, ...]:
        """Return one plain sentence for each part that is malformed."""
        return tuple(
            f"{name} is '{value}': it must be {allowed}"
            for name, pattern, allowed in _FIELDS
            if not pattern.match(value := str(getattr(self, name)))
        )

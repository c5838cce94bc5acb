"""What the ledger reads of the operator's settings."""

from msgspec import Struct

from config.env_bot import EnvBot


class LedgerSettings(Struct, frozen=True, kw_only=True):
    """`broker_name` is the one broker whose fills belong in this ledger."""

    broker_name: str

    @classmethod
    def from_env(cls, env: EnvBot) -> "LedgerSettings":
        """Take the ledger's slice of the parsed settings."""
        return cls(broker_name=env.word("BROKER_NAME"))

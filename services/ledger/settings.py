"""What the ledger reads of the operator's settings."""

from msgspec import Struct

from config.env_bot import EnvBot


class LedgerSettings(Struct, frozen=True, kw_only=True):
    """What the core needs: the one broker whose fills belong in this ledger, and in how many days trades settle."""

    broker_name: str
    settlement_days: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "LedgerSettings":
        """Take the ledger's slice of the parsed settings."""
        return cls(broker_name=env.word("BROKER_NAME"), settlement_days=env.whole("SETTLEMENT_DAYS"))


class BackupSettings(Struct, frozen=True, kw_only=True):
    """How much is kept beside the ledger: see docs/settings.md, group Ledger."""

    base_every_links: int
    bases_kept: int
    redo_days_kept: int

    @classmethod
    def from_env(cls, env: EnvBot) -> "BackupSettings":
        """Take the backups' slice of the parsed settings."""
        return cls(
            base_every_links=env.whole("LEDGER_BASE_EVERY"),
            bases_kept=env.whole("LEDGER_BASES_KEPT"),
            redo_days_kept=env.whole("LEDGER_REDO_DAYS"),
        )

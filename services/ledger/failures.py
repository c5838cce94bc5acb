"""What goes wrong with the ledger file and with what is kept beside it."""


class LedgerError(Exception):
    """The ledger file cannot be used or refused an entry; the message says what, where and what to do."""


class BackupError(LedgerError):
    """What has to be kept before a write could not be kept, so nothing is written; the message says what to do."""

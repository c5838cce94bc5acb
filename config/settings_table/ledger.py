"""How the books are kept: when trades settle, and what is kept beside the ledger."""

from typing import Final

from config.settings_table.setting import Setting

LEDGER: Final[tuple[Setting, ...]] = (
    Setting(
        key="SETTLEMENT_DAYS",
        group="Ledger",
        kind="int",
        proposal="0",
        unit="trading days",
        bounds=("0", "3"),
        description=(
            "0: a margin account, whose proceeds may be used at once. 1: a cash account; trades wait in accounts 1110 "
            "and 2110 until they are settled. Monday to Friday count; holidays are not known to the books."
        ),
    ),
    Setting(
        key="LEDGER_BASE_EVERY",
        group="Ledger",
        kind="int",
        proposal="10000",
        unit="links of the chain",
        bounds=("100", "1000000"),
        description="After so many writes a new whole copy of the ledger is made; the redo log goes on from it.",
    ),
    Setting(
        key="LEDGER_BASES_KEPT",
        group="Ledger",
        kind="int",
        proposal="5",
        unit="copies",
        bounds=("2", "100"),
        description="Verified whole copies of the ledger that are kept; older ones are removed.",
    ),
    Setting(
        key="LEDGER_REDO_DAYS",
        group="Ledger",
        kind="int",
        proposal="2557",
        unit="days",
        bounds=("1", "36500"),
        description=(
            "Redo segments older than this are removed, and only those that a verified copy has made needless. The "
            "proposal is seven years."
        ),
    ),
)

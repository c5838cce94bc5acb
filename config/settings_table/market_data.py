"""Where prices come from."""

from typing import Final

from config.settings_table.setting import Setting

MARKET_DATA: Final[tuple[Setting, ...]] = (
    Setting(
        key="MARKET_DATA_SOURCE",
        group="Market data",
        kind="choice",
        proposal="generated",
        unit="one of",
        choices=("generated", "recorded"),
        description="generated: a seeded, realistic session. recorded: minute bars and quotes from a folder.",
    ),
    Setting(
        key="MARKET_DATA_DIR",
        group="Market data",
        kind="text",
        proposal="",
        unit="folder",
        optional=True,
        description=("Folder of recorded minutes in LEAN's layout (equity/usa/minute/...), for the recorded source."),
    ),
    Setting(
        key="MARKET_DATA_DATE",
        group="Market data",
        kind="date",
        proposal="2025-03-12",
        unit="YYYY-MM-DD",
        description="Trading day to play.",
    ),
    Setting(
        key="MARKET_DATA_SYMBOLS",
        group="Market data",
        kind="symbols",
        proposal="",
        unit="symbols, comma separated",
        optional=True,
        description="Names to play; empty = all there are.",
    ),
    Setting(
        key="MARKET_DATA_SEED",
        group="Market data",
        kind="int",
        proposal="2",
        unit="any whole number",
        bounds=("0", "4294967295"),
        description="Seed of the generated session: the same seed and date give the same session.",
    ),
    Setting(
        key="MARKET_DATA_SPEED",
        group="Market data",
        kind="int",
        proposal="60",
        unit="times real time, 0 = as fast as it goes",
        bounds=("0", "100000"),
        description="How fast a recorded or generated session is played.",
    ),
    Setting(
        key="VIX_DATA_FILE",
        group="Market data",
        kind="text",
        proposal="",
        unit="file",
        optional=True,
        description=(
            "For recorded data: a CSV of the VIX by day (DATE,OPEN,HIGH,LOW,CLOSE). The close of the trading day "
            "before counts. Empty = unknown, and the close strategy is silent."
        ),
    ),
)

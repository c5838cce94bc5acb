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
        choices=("generated", "recorded", "alpaca"),
        description=(
            "generated: a seeded, realistic session. recorded: minute bars and quotes from a folder. alpaca: live, "
            "from Alpaca's stream by ALPACA_DATA_FEED; the day is today's."
        ),
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
        description="Trading day to play; live data takes today's instead.",
    ),
    Setting(
        key="MARKET_DATA_SYMBOLS",
        group="Market data",
        kind="symbols",
        proposal="",
        unit="symbols, comma separated",
        optional=True,
        description=(
            "Names to play; empty = all there are. Live with UNIVERSE_SOURCE session: the names to choose from, which "
            "must be given."
        ),
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
            "For recorded and live data: a CSV of the VIX by day (DATE,OPEN,HIGH,LOW,CLOSE). The close of the trading "
            "day before counts. Empty = unknown, and the close strategy is silent."
        ),
    ),
    Setting(
        key="LIVE_LIST_BEFORE_OPEN",
        group="Market data",
        kind="int",
        proposal="5",
        unit="minutes",
        bounds=("1", "55"),
        description=(
            "For live data: how long before the open the names of the day are chosen and their stream is opened. A "
            "screener that is started later does it at once."
        ),
    ),
    Setting(
        key="ALPACA_STREAM_SYMBOLS_MAX",
        group="Market data",
        kind="int",
        proposal="30",
        unit="symbols",
        bounds=("1", "2000"),
        description=(
            "The most names whose quotes are asked of Alpaca's stream: 30 on the free plan. What is held comes first, "
            "then the candidates by rank, each with its inverse ETF; the rest has no data."
        ),
    ),
    Setting(
        key="MARKET_DATA_TIMEOUT",
        group="Market data",
        kind="int",
        proposal="15",
        unit="seconds",
        bounds=("2", "600"),
        riskier="up",
        description=(
            "For live data: after so much silence in the exchange's hours the connection is made anew, and the missed "
            "minutes are fetched."
        ),
    ),
    Setting(
        key="ALPACA_DATA_SIMULATOR_PORT",
        group="Market data",
        kind="int",
        proposal="8421",
        unit="port of 127.0.0.1",
        bounds=("1", "65535"),
        description="Where the stand-in's market data listens; used while ALPACA_ENDPOINT is simulator.",
    ),
)

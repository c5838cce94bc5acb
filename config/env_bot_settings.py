"""The table of settings: each key with its kind, unit, range, proposal for the form, and meaning."""

from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["bool", "int", "decimal", "time", "date", "choice", "days", "symbols", "text"]


class Setting(Struct, frozen=True, kw_only=True):
    """One setting. `bounds` limit numbers inclusively, `choices` limit choices; `proposal` fills in the form.

    `decimals`: the finest step of a number, so that nothing is lost when it becomes a scaled integer.
    """

    key: str
    group: str
    kind: Kind
    proposal: str
    description: str
    unit: str = ""
    bounds: tuple[str, str] | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    decimals: int = 4

    @property
    def low(self) -> Decimal | None:
        """Return the least value of a number."""
        return Decimal(self.bounds[0]) if self.bounds else None

    @property
    def high(self) -> Decimal | None:
        """Return the greatest value of a number."""
        return Decimal(self.bounds[1]) if self.bounds else None


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        key="START_TIME_OPEN",
        group="Session times",
        kind="time",
        proposal="14:30",
        unit="HH:MM UTC, as in winter",
        description="When the open strategy starts. See START_TIME_DST for the summer.",
    ),
    Setting(
        key="START_TIME_MID",
        group="Session times",
        kind="time",
        proposal="15:30",
        unit="HH:MM UTC, as in winter",
        description="When the mid strategy starts. See START_TIME_DST for the summer.",
    ),
    Setting(
        key="START_TIME_CLOSE",
        group="Session times",
        kind="time",
        proposal="19:30",
        unit="HH:MM UTC, as in winter",
        description="When the close strategy starts. See START_TIME_DST for the summer.",
    ),
    Setting(
        key="START_TIME_DST",
        group="Session times",
        kind="choice",
        proposal="exchange",
        unit="one of",
        choices=("exchange", "fixed"),
        description=(
            "exchange: start times move with the exchange's daylight saving, so 14:30 is 9:30 in New York"
            " all year. fixed: they are taken literally as UTC."
        ),
    ),
    Setting(
        key="OPEN_ANALYSIS_TIME",
        group="Session times",
        kind="int",
        proposal="15",
        unit="minutes",
        bounds=("1", "120"),
        description="Length of the opening range, from START_TIME_OPEN.",
    ),
    Setting(
        key="OPEN_BREAKOUT_TIME",
        group="Session times",
        kind="int",
        proposal="120",
        unit="minutes",
        bounds=("1", "390"),
        description="How long after the range breakouts may open positions.",
    ),
    Setting(
        key="OPEN_MONITORING_TIME",
        group="Session times",
        kind="int",
        proposal="240",
        unit="minutes",
        bounds=("0", "390"),
        description=(
            "How long after the breakout window positions are kept before they are sold. The flatten "
            "before the close always wins."
        ),
    ),
    Setting(
        key="MID_ANALYSIS_TIME",
        group="Session times",
        kind="int",
        proposal="30",
        unit="minutes",
        bounds=("1", "240"),
        description="Length of the mid-day analysis, from START_TIME_MID.",
    ),
    Setting(
        key="MID_MONITORING_TIME",
        group="Session times",
        kind="int",
        proposal="120",
        unit="minutes",
        bounds=("0", "390"),
        description="How long the mid-day strategy watches its positions.",
    ),
    Setting(
        key="CLOSE_ANALYSIS_TIME",
        group="Session times",
        kind="int",
        proposal="30",
        unit="minutes",
        bounds=("1", "240"),
        description="Length of the late-day analysis, from START_TIME_CLOSE.",
    ),
    Setting(
        key="CLOSE_MONITORING_TIME",
        group="Session times",
        kind="int",
        proposal="60",
        unit="minutes",
        bounds=("0", "390"),
        description="How long the late-day strategy watches its positions.",
    ),
    Setting(
        key="FLATTEN_BEFORE_CLOSE",
        group="Session times",
        kind="int",
        proposal="5",
        unit="minutes before the close",
        bounds=("1", "60"),
        description="When all intraday positions are sold. Follows the real close, also on half-days.",
    ),
    Setting(
        key="TRADING_DAYS",
        group="Session times",
        kind="days",
        proposal="Mon,Tue,Wed,Thu,Fri",
        unit="weekdays",
        description="Weekdays on which the bot may trade; exchange holidays are always excluded.",
    ),
    Setting(
        key="STRAT_OPEN_ENABLED",
        group="Strategies",
        kind="bool",
        proposal="true",
        unit="true or false",
        description="Opening-range breakout.",
    ),
    Setting(
        key="STRAT_MID_ENABLED",
        group="Strategies",
        kind="bool",
        proposal="false",
        unit="true or false",
        description="Mid-day VWAP reversion.",
    ),
    Setting(
        key="STRAT_CLOSE_ENABLED",
        group="Strategies",
        kind="bool",
        proposal="false",
        unit="true or false",
        description="Late-day momentum or fade.",
    ),
    Setting(
        key="SHORT_TYPE_OPEN",
        group="Strategies",
        kind="choice",
        proposal="InverseETF",
        unit="one of",
        choices=("InverseETF", "disabled"),
        description="What the open strategy buys on a bearish signal.",
    ),
    Setting(
        key="SHORT_TYPE_MID",
        group="Strategies",
        kind="choice",
        proposal="InverseETF",
        unit="one of",
        choices=("InverseETF", "disabled"),
        description="What the mid strategy buys on a bearish signal.",
    ),
    Setting(
        key="SHORT_TYPE_CLOSE",
        group="Strategies",
        kind="choice",
        proposal="InverseETF",
        unit="one of",
        choices=("InverseETF", "disabled"),
        description="What the close strategy buys on a bearish signal.",
    ),
    Setting(
        key="OPEN_BREAKOUT_BUFFER",
        group="Strategies",
        kind="decimal",
        proposal="0.10",
        unit="percent",
        bounds=("0", "5"),
        description="How far beyond the opening range a minute must close to be a breakout.",
    ),
    Setting(
        key="TRAILING_STOP",
        group="Strategies",
        kind="decimal",
        proposal="2",
        unit="percent",
        decimals=2,
        bounds=("0.1", "20"),
        description="Distance of the protective trailing stop from the best price since the entry.",
    ),
    Setting(
        key="SIGNAL_TTL",
        group="Strategies",
        kind="int",
        proposal="5",
        unit="seconds",
        bounds=("1", "60"),
        description="A signal, or an entry not yet sent, older than this on the session's clock is dropped.",
    ),
    Setting(
        key="ENTRY_TIMEOUT",
        group="Strategies",
        kind="int",
        proposal="60",
        unit="seconds",
        bounds=("5", "600"),
        description="What is unfilled of an entry after this is cancelled.",
    ),
    Setting(
        key="TOTAL_ALLOCATION",
        group="Risk limits",
        kind="decimal",
        proposal="50",
        unit="percent of the day's starting equity",
        bounds=("0.1", "100"),
        description="The most that all open positions and orders together may cost.",
    ),
    Setting(
        key="MAX_RISK_PER_TRADE",
        group="Risk limits",
        kind="decimal",
        proposal="0.25",
        unit="percent of the day's starting equity",
        bounds=("0.01", "5"),
        description="The most one trade may lose if its stop is hit.",
    ),
    Setting(
        key="MAX_OPEN_POSITIONS",
        group="Risk limits",
        kind="int",
        proposal="8",
        unit="positions",
        bounds=("1", "50"),
        description="The most positions and entries that may be open together.",
    ),
    Setting(
        key="DAILY_LOSS_LIMIT",
        group="Risk limits",
        kind="decimal",
        proposal="2",
        unit="percent of the day's starting equity",
        bounds=("0.1", "20"),
        description="A day's loss, realized and not, beyond which the kill switch halts the chain.",
    ),
    Setting(
        key="MIN_VOLUME_THRESHOLD",
        group="Risk limits",
        kind="int",
        proposal="50000",
        unit="shares traded today",
        bounds=("0", "1000000000"),
        description="A name with less volume since the open is not bought.",
    ),
    Setting(
        key="MAX_SPREAD",
        group="Risk limits",
        kind="decimal",
        proposal="1.5",
        unit="percent of the entry price",
        bounds=("0.01", "1.5"),
        description="A name with a wider market is not bought. 1.5 is the most the bot allows.",
    ),
    Setting(
        key="MAX_QUOTE_AGE",
        group="Risk limits",
        kind="int",
        proposal="2",
        unit="seconds",
        bounds=("1", "2"),
        description=("An entry needs a quote no older than this on the session's clock. 2 is the most the bot allows."),
    ),
    Setting(
        key="HALT_POSITIONS",
        group="Risk limits",
        kind="choice",
        proposal="keep",
        unit="one of",
        choices=("keep", "flatten"),
        description=(
            "What a halt does with open positions. keep: they stay, protected by their stops. flatten: they are sold."
        ),
    ),
    Setting(
        key="STOP_POSITIONS",
        group="Risk limits",
        kind="choice",
        proposal="keep",
        unit="one of",
        choices=("keep", "flatten"),
        description=(
            "What stopping the processes in the session does with open positions. keep: their protective stops rest at "
            "the broker. flatten: they are sold first."
        ),
    ),
    Setting(
        key="ARM_EXPIRES",
        group="Risk limits",
        kind="choice",
        proposal="never",
        unit="one of",
        choices=("never", "session"),
        description=(
            "How long arming lasts. never: from day to day, until the chain is stopped or halts. session: to the close "
            "of the session it was armed for."
        ),
    ),
    Setting(
        key="BROKER_NAME",
        group="Broker",
        kind="choice",
        proposal="PAPER",
        unit="one of",
        choices=("PAPER",),
        description="The broker that this bot trades through.",
    ),
    Setting(
        key="ALPACA_ENABLED",
        group="Broker",
        kind="bool",
        proposal="false",
        unit="true or false",
        description="Allow orders to Alpaca.",
    ),
    Setting(
        key="IBKR_ENABLED",
        group="Broker",
        kind="bool",
        proposal="false",
        unit="true or false",
        description="Allow orders to Interactive Brokers.",
    ),
    Setting(
        key="PAPER_STARTING_CASH",
        group="Broker",
        kind="int",
        proposal="100000",
        unit="dollars",
        bounds=("1000", "100000000"),
        description="Cash the embedded paper broker opens its account with.",
    ),
    Setting(
        key="PAPER_SLIPPAGE",
        group="Broker",
        kind="decimal",
        proposal="0",
        unit="basis points",
        decimals=2,
        bounds=("0", "100"),
        description="How much worse than the quote the paper broker fills market orders.",
    ),
    Setting(
        key="PAPER_COMMISSION_SHARE",
        group="Broker",
        kind="decimal",
        proposal="0",
        unit="dollars a share",
        bounds=("0", "1"),
        description="What the paper broker charges for each share it buys or sells, in whole cents a fill.",
    ),
    Setting(
        key="PAPER_COMMISSION_ORDER",
        group="Broker",
        kind="decimal",
        proposal="0",
        unit="dollars an order",
        decimals=2,
        bounds=("0", "100"),
        description="What the paper broker charges for each order that trades, with its first fill.",
    ),
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
        key="SCREENER_PRICE_MIN",
        group="Market data",
        kind="decimal",
        proposal="5",
        unit="dollars",
        decimals=2,
        bounds=("0", "100000"),
        description="Cheaper names are screened out.",
    ),
    Setting(
        key="SCREENER_PRICE_MAX",
        group="Market data",
        kind="decimal",
        proposal="1000",
        unit="dollars",
        decimals=2,
        bounds=("0", "1000000"),
        description="Dearer names are screened out.",
    ),
    Setting(
        key="SCREENER_GAP_MAX",
        group="Market data",
        kind="decimal",
        proposal="15",
        unit="percent",
        decimals=2,
        bounds=("0.1", "100"),
        description="Names that opened further from yesterday's close are screened out.",
    ),
    Setting(
        key="SCREENER_VOLUME_MIN",
        group="Market data",
        kind="int",
        proposal="100000",
        unit="shares a day",
        bounds=("0", "1000000000"),
        description="Names whose previous day, where known, traded less are screened out.",
    ),
    Setting(
        key="SCREENER_FLOAT_MIN",
        group="Market data",
        kind="int",
        proposal="0",
        unit="shares",
        bounds=("0", "100000000000"),
        description="Names with a smaller float, where known, are screened out.",
    ),
    Setting(
        key="LOG_FORMAT",
        group="System",
        kind="choice",
        proposal="JSON",
        unit="one of",
        choices=("JSON", "CSV"),
        description="How log lines are written.",
    ),
    Setting(
        key="BUS_TRANSPORT",
        group="System",
        kind="choice",
        proposal="ipc",
        unit="one of",
        choices=("ipc", "tcp"),
        description="ipc: unix sockets in the home's run folder. tcp: ports on BUS_TCP_HOST from BUS_TCP_PORT.",
    ),
    Setting(
        key="BUS_TCP_HOST",
        group="System",
        kind="text",
        proposal="127.0.0.1",
        unit="address",
        description="Address of the bus when BUS_TRANSPORT is tcp.",
    ),
    Setting(
        key="BUS_TCP_PORT",
        group="System",
        kind="int",
        proposal="5750",
        unit="first of 14 ports",
        bounds=("1024", "65400"),
        description="First port of the bus when BUS_TRANSPORT is tcp: two for each service.",
    ),
    Setting(
        key="ORDER_PATH_CPU",
        group="System",
        kind="int",
        proposal="-1",
        unit="number of a processor",
        bounds=("-1", "1023"),
        description=(
            "Strategy, risk and execution run on this processor alone, which shortens the way of an order. -1: as the "
            "system places them. Linux only."
        ),
    ),
    Setting(
        key="HEARTBEAT_TIMEOUT",
        group="System",
        kind="int",
        proposal="750",
        unit="milliseconds",
        bounds=("500", "10000"),
        description="A service silent for longer is dead or frozen, and the chain halts.",
    ),
)

"""The table of settings: each key with its kind, unit, range, proposal for the form, and meaning."""

from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["bool", "int", "decimal", "time", "date", "choice", "choices", "days", "symbols", "text"]


class Setting(Struct, frozen=True, kw_only=True):
    """One setting. `bounds` limit numbers inclusively, `choices` what may be chosen; `proposal` fills in the form.

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
        description="Length of the mid-day analysis, from START_TIME_MID. Its indicators begin at the open.",
    ),
    Setting(
        key="MID_SIGNAL_TIME",
        group="Session times",
        kind="int",
        proposal="120",
        unit="minutes",
        bounds=("1", "390"),
        description="How long after the mid-day analysis the mid strategy may open positions.",
    ),
    Setting(
        key="MID_MONITORING_TIME",
        group="Session times",
        kind="int",
        proposal="120",
        unit="minutes",
        bounds=("0", "390"),
        description=(
            "How long after its signals the mid strategy keeps its positions before they are sold. The flatten before "
            "the close always wins."
        ),
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
        key="CLOSE_SIGNAL_TIME",
        group="Session times",
        kind="int",
        proposal="30",
        unit="minutes",
        bounds=("1", "390"),
        description="How long after the late-day analysis the close strategy may open positions.",
    ),
    Setting(
        key="CLOSE_MONITORING_TIME",
        group="Session times",
        kind="int",
        proposal="60",
        unit="minutes",
        bounds=("0", "390"),
        description=(
            "How long after its signals the close strategy keeps its positions before they are sold. The flatten "
            "before the close always wins."
        ),
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
        description="The open strategy: opening-range breakout.",
    ),
    Setting(
        key="STRAT_MID_ENABLED",
        group="Strategies",
        kind="bool",
        proposal="true",
        unit="true or false",
        description="The mid strategy: reversion to the volume-weighted average price (VWAP).",
    ),
    Setting(
        key="STRAT_CLOSE_ENABLED",
        group="Strategies",
        kind="bool",
        proposal="true",
        unit="true or false",
        description="The close strategy: late-day momentum or fade.",
    ),
    Setting(
        key="STRATEGY_SEQUENCE",
        group="Strategies",
        kind="choices",
        proposal="open,mid,close",
        unit="strategies, comma separated",
        choices=("open", "mid", "close"),
        description="In which order the strategies are asked in a minute. Every enabled strategy must be in it.",
    ),
    Setting(
        key="STRATEGY_OVERRIDE",
        group="Strategies",
        kind="choice",
        proposal="",
        unit="one of",
        choices=("open", "mid", "close"),
        optional=True,
        description="Empty, or the one strategy that runs: the others are then silent and say so.",
    ),
    Setting(
        key="SHORT_TYPE_OPEN",
        group="Strategies",
        kind="choice",
        proposal="InverseETF",
        unit="one of",
        choices=("InverseETF", "LongPut", "disabled"),
        description=(
            "What the open strategy buys on a bearish signal. LongPut cannot be chosen yet: no option orders are sent."
        ),
    ),
    Setting(
        key="SHORT_TYPE_MID",
        group="Strategies",
        kind="choice",
        proposal="InverseETF",
        unit="one of",
        choices=("InverseETF", "LongPut", "disabled"),
        description=(
            "What the mid strategy buys on a bearish signal. LongPut cannot be chosen yet: no option orders are sent."
        ),
    ),
    Setting(
        key="SHORT_TYPE_CLOSE",
        group="Strategies",
        kind="choice",
        proposal="InverseETF",
        unit="one of",
        choices=("InverseETF", "LongPut", "disabled"),
        description=(
            "What the close strategy buys on a bearish signal. LongPut cannot be chosen yet: no option orders are sent."
        ),
    ),
    Setting(
        key="MAX_INVERSE_LEVERAGE",
        group="Strategies",
        kind="int",
        proposal="1",
        unit="times",
        bounds=("1", "3"),
        description=(
            "The most leverage an inverse fund may have. A fund of more than 1 is used only where no smaller one "
            "is known; its stop is wider and its size smaller by as much."
        ),
    ),
    Setting(
        key="PUT_EXPIRY_MIN_DAYS",
        group="Strategies",
        kind="int",
        proposal="7",
        unit="days",
        bounds=("0", "365"),
        description="A put that expires sooner is not chosen.",
    ),
    Setting(
        key="PUT_EXPIRY_MAX_DAYS",
        group="Strategies",
        kind="int",
        proposal="45",
        unit="days",
        bounds=("1", "730"),
        description="A put that expires later is not chosen.",
    ),
    Setting(
        key="PUT_DELTA_TARGET",
        group="Strategies",
        kind="decimal",
        proposal="0.50",
        unit="delta, without its sign",
        bounds=("0.05", "0.95"),
        decimals=2,
        description=(
            "The put whose delta is nearest to this is chosen; without deltas the one whose strike is nearest to "
            "what it stands for."
        ),
    ),
    Setting(
        key="PUT_OPEN_INTEREST_MIN",
        group="Strategies",
        kind="int",
        proposal="100",
        unit="contracts",
        bounds=("0", "1000000"),
        description="A put with less open interest is not chosen.",
    ),
    Setting(
        key="PUT_SPREAD_MAX",
        group="Strategies",
        kind="decimal",
        proposal="10",
        unit="percent of the ask",
        bounds=("0.1", "100"),
        decimals=2,
        description="A put with a wider market is not chosen.",
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
        key="STRAT_MID_VWAP_THRESHOLD",
        group="Strategies",
        kind="decimal",
        proposal="0.8",
        unit="percent",
        bounds=("0.01", "20"),
        description="How far from its VWAP a name must close to be expected back.",
    ),
    Setting(
        key="STRAT_MID_BOLLINGER_PERIOD",
        group="Strategies",
        kind="int",
        proposal="20",
        unit="minutes",
        bounds=("2", "200"),
        description="How many closes the Bollinger bands of the mid strategy are made of.",
    ),
    Setting(
        key="STRAT_MID_BOLLINGER_WIDTH",
        group="Strategies",
        kind="decimal",
        proposal="2",
        unit="standard deviations",
        bounds=("0.1", "10"),
        decimals=3,
        description="How far from their mean the Bollinger bands are; a signal must close on or beyond one.",
    ),
    Setting(
        key="STRAT_MID_ADX_PERIOD",
        group="Strategies",
        kind="int",
        proposal="14",
        unit="minutes",
        bounds=("2", "100"),
        description="Period of Wilder's average directional index (ADX) and average true range (ATR).",
    ),
    Setting(
        key="STRAT_MID_ADX_MAX",
        group="Strategies",
        kind="decimal",
        proposal="40",
        unit="index points",
        bounds=("1", "100"),
        decimals=3,
        description="With an ADX of this or more the trend is too strong to expect a name back.",
    ),
    Setting(
        key="STRAT_MID_STOP_ATR",
        group="Strategies",
        kind="decimal",
        proposal="8",
        unit="average true ranges",
        bounds=("0.1", "100"),
        decimals=3,
        description="Distance of the mid strategy's trailing stop, at most TRAILING_STOP.",
    ),
    Setting(
        key="STRAT_CLOSE_HIGH_PROXIMITY",
        group="Strategies",
        kind="decimal",
        proposal="0.3",
        unit="percent",
        bounds=("0.01", "10"),
        description="How near to the day's high a name must close late in the day to be expected to go on.",
    ),
    Setting(
        key="STRAT_CLOSE_VIX_THRESHOLD",
        group="Strategies",
        kind="decimal",
        proposal="15",
        unit="index points",
        bounds=("0", "200"),
        decimals=2,
        description="The close strategy runs only when the VIX closed here or higher the day before.",
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
    Setting(
        key="SCREENER_PRICE_MIN",
        group="Screener",
        kind="decimal",
        proposal="5",
        unit="dollars",
        decimals=2,
        bounds=("0", "100000"),
        description="Cheaper names are screened out.",
    ),
    Setting(
        key="SCREENER_PRICE_MAX",
        group="Screener",
        kind="decimal",
        proposal="1000",
        unit="dollars",
        decimals=2,
        bounds=("0", "1000000"),
        description="Dearer names are screened out.",
    ),
    Setting(
        key="SCREENER_GAP_MIN",
        group="Screener",
        kind="decimal",
        proposal="0",
        unit="percent",
        decimals=2,
        bounds=("0", "100"),
        description="Names that moved less, either way, are screened out. 0 = not applied.",
    ),
    Setting(
        key="SCREENER_GAP_MAX",
        group="Screener",
        kind="decimal",
        proposal="15",
        unit="percent",
        decimals=2,
        bounds=("0.1", "100"),
        description=(
            "Names that moved further are screened out: from the prior close, and after hours from the day's close."
        ),
    ),
    Setting(
        key="SCREENER_VOLUME_MIN",
        group="Screener",
        kind="int",
        proposal="100000",
        unit="shares a day",
        bounds=("0", "1000000000"),
        description=(
            "Names that traded less are screened out: before the open on the previous day, where known; later on the "
            "day itself, so far."
        ),
    ),
    Setting(
        key="SCREENER_FLOAT_MIN",
        group="Screener",
        kind="int",
        proposal="0",
        unit="shares",
        bounds=("0", "100000000000"),
        description="Names with a smaller float, where known, are screened out.",
    ),
    Setting(
        key="SCREENER_FLOAT_MAX",
        group="Screener",
        kind="int",
        proposal="",
        unit="shares",
        bounds=("1", "1000000000000"),
        optional=True,
        description=(
            "Names with a larger float, where known, are screened out. Empty = not applied. Where only the "
            "shares outstanding are known, they stand in for the float."
        ),
    ),
    Setting(
        key="SCREENER_MARKET_CAP_MIN",
        group="Screener",
        kind="decimal",
        proposal="",
        unit="millions of dollars",
        decimals=2,
        bounds=("0", "100000000"),
        optional=True,
        description="Companies worth less, or of unknown worth, are screened out. Empty = not applied.",
    ),
    Setting(
        key="SCREENER_MARKET_CAP_MAX",
        group="Screener",
        kind="decimal",
        proposal="",
        unit="millions of dollars",
        decimals=2,
        bounds=("0", "100000000"),
        optional=True,
        description="Companies worth more, or of unknown worth, are screened out. Empty = not applied.",
    ),
    Setting(
        key="SCREENER_PE_MAX",
        group="Screener",
        kind="decimal",
        proposal="",
        unit="price to earnings",
        decimals=2,
        bounds=("0.01", "100000"),
        optional=True,
        description=(
            "Names with a higher ratio, a loss, or no known ratio (so every fund) are screened out. Empty = "
            "not applied."
        ),
    ),
    Setting(
        key="SCREENER_DEBT_TO_EQUITY_MAX",
        group="Screener",
        kind="decimal",
        proposal="",
        unit="total debt to total equity",
        decimals=2,
        bounds=("0", "100000"),
        optional=True,
        description=(
            "Names with a higher ratio, negative equity, or no known ratio (so every fund) are screened out. "
            "Empty = not applied."
        ),
    ),
    Setting(
        key="SCREENER_CANDIDATES",
        group="Screener",
        kind="int",
        proposal="100",
        unit="names",
        bounds=("1", "500"),
        description="How many names, the best first, the strategies watch in a session.",
    ),
    Setting(
        key="SCREENER_SCAN_MODE",
        group="Screener",
        kind="choice",
        proposal="auto",
        unit="one of",
        choices=("auto", "pre-market", "intraday", "after-hours"),
        description=(
            "Which price and volume the list is made of. auto: by the time of the session. A recorded or generated "
            "session is ranked before its open, so it takes auto or pre-market."
        ),
    ),
    Setting(
        key="UNIVERSE_SOURCE",
        group="Universe",
        kind="choice",
        proposal="session",
        unit="one of",
        choices=("session", "finnhub"),
        description=(
            "Which names there are. session: those of the market data. finnhub: those of the universe file, which is "
            "built from Finnhub's list and kept fresh; it needs a Finnhub API key."
        ),
    ),
    Setting(
        key="UNIVERSE_MICS",
        group="Universe",
        kind="symbols",
        proposal="XNYS,XNAS,XASE,ARCX,BATS",
        unit="exchanges by MIC, comma separated",
        description="Names listed elsewhere are left out of the universe. OOTC is over the counter.",
    ),
    Setting(
        key="UNIVERSE_TYPES",
        group="Universe",
        kind="text",
        proposal="Common Stock,ADR,ETP",
        unit="Finnhub's types, comma separated",
        description="Names of other types (Unit, PUBLIC, Closed-End Fund and so on) are left out of the universe.",
    ),
    Setting(
        key="UNIVERSE_BLOCK_LIST",
        group="Universe",
        kind="symbols",
        proposal="",
        unit="symbols, comma separated",
        optional=True,
        description="Names that are never candidates, whatever their numbers.",
    ),
    Setting(
        key="UNIVERSE_MAX_AGE",
        group="Universe",
        kind="int",
        proposal="7",
        unit="days",
        bounds=("1", "365"),
        description="An older universe file is refused; Finnhub's list is asked for anew when it is a day old.",
    ),
    Setting(
        key="FUNDAMENTALS_MAX_AGE",
        group="Universe",
        kind="int",
        proposal="30",
        unit="days",
        bounds=("1", "365"),
        description="Fundamentals of a company older than this are asked for again, the oldest first.",
    ),
    Setting(
        key="FINNHUB_CALLS_PER_MINUTE",
        group="Universe",
        kind="int",
        proposal="60",
        unit="calls in any minute",
        bounds=("1", "10000"),
        description="The most calls to Finnhub: 60 with a free key, more with a paid plan.",
    ),
    Setting(
        key="FINNHUB_CALLS_PER_SECOND",
        group="Universe",
        kind="int",
        proposal="30",
        unit="calls in any second",
        bounds=("1", "1000"),
        description="The most calls to Finnhub in one second: 30 on every plan it sells.",
    ),
    Setting(
        key="ALPACA_DATA_FEED",
        group="Universe",
        kind="choice",
        proposal="iex",
        unit="one of",
        choices=("iex", "sip", "delayed_sip"),
        description=(
            "Where live prices come from. iex: free, one exchange, a few percent of the volume. sip: all "
            "exchanges, a paid plan. delayed_sip: all exchanges, 15 minutes late."
        ),
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

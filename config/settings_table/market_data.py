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
        choices=("generated", "recorded", "alpaca", "ibkr"),
        description=(
            "generated: a seeded, realistic session. recorded: minute bars and quotes from a folder. alpaca: live, "
            "from Alpaca's stream by ALPACA_DATA_FEED; the day is today's. ibkr: live, from the gateway of Interactive "
            "Brokers at IBKR_PORT."
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
            "day before counts. Empty = unknown, and the close strategy is silent. With MARKET_DATA_SOURCE ibkr the "
            "gateway is asked, and this file only where it has no VIX."
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
    Setting(
        key="IBKR_DATA_CLIENT_ID",
        group="Market data",
        kind="int",
        proposal="12",
        unit="number",
        bounds=("1", "999"),
        description=(
            "For MARKET_DATA_SOURCE ibkr: the number under which market data is asked of the gateway. No other program "
            "may use it, and it is another one than IBKR_CLIENT_ID, under which orders are sent."
        ),
    ),
    Setting(
        key="IBKR_STREAM_SYMBOLS_MAX",
        group="Market data",
        kind="int",
        proposal="30",
        unit="symbols",
        bounds=("1", "60"),
        description=(
            "The most names that are watched at Interactive Brokers, each with quotes and five-second bars: two market "
            "data lines. It gives at most 60 new subscriptions of bars in ten minutes."
        ),
    ),
    Setting(
        key="IBKR_LINES_MAX",
        group="Market data",
        kind="int",
        proposal="100",
        unit="market data lines",
        bounds=("10", "10000"),
        description=(
            "How many market data lines the account has at Interactive Brokers: 100 unless it bought more or pays much "
            "in commissions."
        ),
    ),
    Setting(
        key="IBKR_LIST_SYMBOLS_MAX",
        group="Market data",
        kind="int",
        proposal="300",
        unit="symbols",
        bounds=("1", "2000"),
        description=(
            "The most names whose prices are asked of Interactive Brokers when the day's names are chosen. It answers "
            "one name a request, so a larger universe is refused: narrow it by MARKET_DATA_SYMBOLS or UNIVERSE_*."
        ),
    ),
    Setting(
        key="IBKR_DELAYED_DATA",
        group="Market data",
        kind="bool",
        proposal="false",
        unit="true or false",
        description=(
            "Take quotes that are 15 to 20 minutes old where the account has no subscription for live ones. For trying "
            "it out: the page says DELAYED, and with IBKR_MODE or ALPACA_ENDPOINT live it is refused."
        ),
    ),
    Setting(
        key="IBKR_SIZES",
        group="Market data",
        kind="choice",
        proposal="shares",
        unit="one of",
        choices=("shares", "lots"),
        description=(
            "What the gateway counts sizes and volumes of shares in, as its API setting 'Send market data in lots for "
            "US stocks for dual-mode API clients' says: off = shares, on = lots of 100."
        ),
    ),
    Setting(
        key="LIVE_PUT_NAMES_MAX",
        group="Market data",
        kind="int",
        proposal="5",
        unit="symbols",
        bounds=("1", "50"),
        description=(
            "With SHORT_TYPE_* LongPut and live data: of so many candidates, the best ranked, the broker's chain is "
            "asked for and their puts are quoted. The others have no chain, so no put."
        ),
    ),
    Setting(
        key="LIVE_PUTS_PER_NAME",
        group="Market data",
        kind="int",
        proposal="6",
        unit="puts",
        bounds=("1", "40"),
        description=(
            "How many puts of a name are asked for and quoted: within PUT_EXPIRY_*_DAYS those nearest to the strike "
            "that PUT_DELTA_TARGET means. At Interactive Brokers each takes a market data line."
        ),
    ),
    Setting(
        key="PUT_CHAIN_AGE_MAX",
        group="Market data",
        kind="int",
        proposal="60",
        unit="minutes",
        bounds=("5", "480"),
        description=(
            "With live data: from a chain that was asked for longer ago no put is bought. Chains are asked for again "
            "when they are half as old."
        ),
    ),
    Setting(
        key="ALPACA_OPTIONS_FEED",
        group="Market data",
        kind="choice",
        proposal="indicative",
        unit="one of",
        choices=("indicative", "opra"),
        description=(
            "Whose quotes of options Alpaca gives: indicative comes with every plan and is no market that can be "
            "traded on, so it is refused with real money; opra needs a paid plan."
        ),
    ),
)

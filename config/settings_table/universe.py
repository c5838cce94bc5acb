"""Which names are looked at at all, and how old what is known of them may be."""

from typing import Final

from config.settings_table.setting import Setting

UNIVERSE: Final[tuple[Setting, ...]] = (
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
        riskier="shorter",
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
)

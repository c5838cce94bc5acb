"""Which broker orders go to, and how the embedded one behaves."""

from typing import Final

from config.settings_table.setting import Setting

BROKER: Final[tuple[Setting, ...]] = (
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
        key="ALPACA_ENDPOINT",
        group="Broker",
        kind="choice",
        proposal="paper",
        unit="one of",
        choices=("paper", "live", "simulator"),
        description="Which of Alpaca's accounts orders go to. paper: its account without money. live: REAL MONEY. "
        "simulator: a stand-in on this machine, which never gets the keys. Each of the first two has keys of its own.",
    ),
    Setting(
        key="ALPACA_SIMULATOR_PORT",
        group="Broker",
        kind="int",
        proposal="8420",
        unit="port of 127.0.0.1",
        bounds=("1", "65535"),
        description="Where the stand-in listens; used while ALPACA_ENDPOINT is simulator.",
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
)

"""What the machine and the chain do when started and stopped."""

from typing import Final

from config.settings_table.setting import Setting

SYSTEM: Final[tuple[Setting, ...]] = (
    Setting(
        key="LOG_FORMAT",
        group="System",
        kind="choice",
        proposal="JSON",
        unit="one of",
        choices=("JSON", "CSV"),
        takes_effect="start",
        description="How log lines are written.",
    ),
    Setting(
        key="BUS_TRANSPORT",
        group="System",
        kind="choice",
        proposal="ipc",
        unit="one of",
        choices=("ipc", "tcp"),
        takes_effect="start",
        description="ipc: unix sockets in the home's run folder. tcp: ports on BUS_TCP_HOST from BUS_TCP_PORT.",
    ),
    Setting(
        key="BUS_TCP_HOST",
        group="System",
        kind="text",
        proposal="127.0.0.1",
        unit="address",
        takes_effect="start",
        description="Address of the bus when BUS_TRANSPORT is tcp.",
    ),
    Setting(
        key="BUS_TCP_SECOND_HOST",
        group="System",
        kind="text",
        proposal="",
        unit="address",
        optional=True,
        takes_effect="start",
        description=(
            "Address of the host that runs screener and strategy, where they do not run beside the other services; "
            "empty = one host for all. It needs BUS_TRANSPORT tcp, and BUS_TCP_HOST an address that it reaches."
        ),
    ),
    Setting(
        key="BUS_TCP_PORT",
        group="System",
        kind="int",
        proposal="5750",
        unit="first of 16 ports",
        bounds=("1024", "65400"),
        takes_effect="start",
        description="First port of the bus when BUS_TRANSPORT is tcp: two for each service.",
    ),
    Setting(
        key="ORDER_PATH_CPU",
        group="System",
        kind="int",
        proposal="-1",
        unit="number of a processor",
        bounds=("-1", "1023"),
        takes_effect="start",
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
        riskier="up",
        takes_effect="start",
        description="A service silent for longer is dead or frozen, and the chain halts.",
    ),
)

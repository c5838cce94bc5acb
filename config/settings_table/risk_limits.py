"""The limits on money. Nothing here has a default in the code, and none means "unlimited"."""

from typing import Final

from config.settings_table.setting import Setting

RISK_LIMITS: Final[tuple[Setting, ...]] = (
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
)

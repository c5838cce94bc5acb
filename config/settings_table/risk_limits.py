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
        riskier="up",
        description="The most that all open positions and orders together may cost.",
    ),
    Setting(
        key="MAX_RISK_PER_TRADE",
        group="Risk limits",
        kind="decimal",
        proposal="0.25",
        unit="percent of the day's starting equity",
        bounds=("0.01", "5"),
        riskier="up",
        description="The most one trade may lose if its stop is hit.",
    ),
    Setting(
        key="MAX_OPEN_POSITIONS",
        group="Risk limits",
        kind="int",
        proposal="8",
        unit="positions",
        bounds=("1", "50"),
        riskier="up",
        description="The most positions and entries that may be open together.",
    ),
    Setting(
        key="MAX_POSITION_PER_SYMBOL",
        group="Risk limits",
        kind="decimal",
        proposal="25",
        unit="percent of the day's starting equity",
        bounds=("0.1", "100"),
        riskier="up",
        description=(
            "The most that one symbol may be worth: what the bot holds and has ordered, and what the account had "
            "before."
        ),
    ),
    Setting(
        key="MAX_ORDER_NOTIONAL",
        group="Risk limits",
        kind="int",
        proposal="25000",
        unit="dollars",
        bounds=("1", "10000000"),
        riskier="up",
        description="The most that one entry may cost at the ask.",
    ),
    Setting(
        key="MAX_ORDER_SHARES",
        group="Risk limits",
        kind="int",
        proposal="10000",
        unit="shares",
        bounds=("1", "1000000"),
        riskier="up",
        description="The most shares, or contracts of an option, of one entry.",
    ),
    Setting(
        key="FRACTIONAL_SHARES",
        group="Risk limits",
        kind="bool",
        proposal="false",
        unit="true or false",
        dangers=(("true", "No broker keeps a stop for a fraction of a share: it is guarded only while the bot runs."),),
        description=(
            "Size entries to a ten-thousandth of a share where the broker allows fractions of the symbol. Brokers take "
            "no stop for a fraction: execution guards it, and only while it runs."
        ),
    ),
    Setting(
        key="DAILY_LOSS_LIMIT",
        group="Risk limits",
        kind="decimal",
        proposal="2",
        unit="percent of the day's starting equity",
        bounds=("0.1", "20"),
        riskier="up",
        description="A day's loss, realized and not, beyond which the kill switch halts the chain.",
    ),
    Setting(
        key="DAILY_LOSS_FROM",
        group="Risk limits",
        kind="choice",
        proposal="start",
        unit="one of",
        choices=("start", "peak"),
        dangers=(("start", "What was gained in the day may be lost again before the kill switch acts."),),
        description=(
            "What DAILY_LOSS_LIMIT is counted from. start: the day's beginning. peak: the day's best result so far."
        ),
    ),
    Setting(
        key="MAX_TRADES_PER_DAY",
        group="Risk limits",
        kind="int",
        proposal="100",
        unit="entries a session",
        bounds=("1", "10000"),
        riskier="up",
        description="After so many approved entries, filled or not, no more is bought that day.",
    ),
    Setting(
        key="MAX_ORDERS_PER_SECOND",
        group="Risk limits",
        kind="int",
        proposal="10",
        unit="entries",
        bounds=("1", "100"),
        riskier="up",
        description="More entries than this are not approved within one second of the session's clock.",
    ),
    Setting(
        key="MAX_ORDERS_PER_MINUTE",
        group="Risk limits",
        kind="int",
        proposal="60",
        unit="entries",
        bounds=("1", "1000"),
        riskier="up",
        description="More entries than this are not approved within one minute of the session's clock.",
    ),
    Setting(
        key="MAX_REPEATED_ORDERS",
        group="Risk limits",
        kind="int",
        proposal="3",
        unit="entries in REPEATED_ORDERS_WINDOW",
        bounds=("1", "10"),
        riskier="up",
        description=(
            "The same symbol, side, quantity and price more often than this within REPEATED_ORDERS_WINDOW halts the "
            "chain."
        ),
    ),
    Setting(
        key="REPEATED_ORDERS_WINDOW",
        group="Risk limits",
        kind="int",
        proposal="10",
        unit="seconds",
        bounds=("10", "600"),
        riskier="down",
        description="So long equal entries count for MAX_REPEATED_ORDERS. 10 is the least the bot allows.",
    ),
    Setting(
        key="MAX_BROKER_REJECTIONS",
        group="Risk limits",
        kind="int",
        proposal="5",
        unit="rejections in BROKER_REJECTIONS_WINDOW",
        bounds=("1", "20"),
        riskier="up",
        description="More orders that the broker refuses within BROKER_REJECTIONS_WINDOW than this halt the chain.",
    ),
    Setting(
        key="BROKER_REJECTIONS_WINDOW",
        group="Risk limits",
        kind="int",
        proposal="60",
        unit="seconds",
        bounds=("60", "3600"),
        riskier="down",
        description="So long a refusal counts for MAX_BROKER_REJECTIONS. 60 is the least the bot allows.",
    ),
    Setting(
        key="MIN_VOLUME_THRESHOLD",
        group="Risk limits",
        kind="int",
        proposal="50000",
        unit="shares traded today",
        bounds=("0", "1000000000"),
        riskier="down",
        description=(
            "A name with less volume since the open is not bought. Of a put, PUT_OPEN_INTEREST_MIN counts instead."
        ),
    ),
    Setting(
        key="MAX_SPREAD",
        group="Risk limits",
        kind="decimal",
        proposal="1.5",
        unit="percent of the entry price",
        bounds=("0.01", "1.5"),
        riskier="up",
        description=(
            "A name with a wider market is not bought. 1.5 is the most the bot allows; of a put, PUT_SPREAD_MAX counts."
        ),
    ),
    Setting(
        key="MAX_QUOTE_AGE",
        group="Risk limits",
        kind="int",
        proposal="2",
        unit="seconds",
        bounds=("1", "2"),
        riskier="up",
        description=(
            "An entry needs a quote no older than this on the session's clock, in risk and once more in execution. 2 "
            "is the most the bot allows."
        ),
    ),
    Setting(
        key="PRICE_COLLAR",
        group="Risk limits",
        kind="decimal",
        proposal="5",
        unit="percent of the signal's price",
        bounds=("0.01", "50"),
        riskier="up",
        description=(
            "An entry whose ask is further than this from the price that the signal was made at is not bought."
        ),
    ),
    Setting(
        key="MAX_PRICE_JUMP",
        group="Risk limits",
        kind="decimal",
        proposal="10",
        unit="times the signal's price",
        bounds=("1.1", "10"),
        decimals=2,
        riskier="up",
        description=(
            "An ask so many times above or below the price that the signal was made at is a wrong quote: nothing is "
            "bought on it. 10 is the most the bot allows."
        ),
    ),
    Setting(
        key="EXECUTION_COLLAR",
        group="Risk limits",
        kind="decimal",
        proposal="5",
        unit="percent of the newest ask",
        bounds=("0.01", "5"),
        riskier="up",
        description=(
            "Execution sends no entry whose price is further than this from the newest ask that it has heard itself. "
            "5 is the most the bot allows."
        ),
    ),
    Setting(
        key="RESTRICTED_SYMBOLS",
        group="Risk limits",
        kind="symbols",
        proposal="",
        unit="symbols, comma separated, or empty",
        optional=True,
        riskier="shorter",
        description="What the bot never buys: neither as the name of a signal nor as what is bought for it.",
    ),
    Setting(
        key="DEFENSE_MODE",
        group="Risk limits",
        kind="bool",
        proposal="false",
        unit="true or false",
        dangers=(("false", "New positions may be opened again."),),
        description="When true nothing new is bought; stops and exits go on.",
    ),
    Setting(
        key="MAX_OPTION_PREMIUM",
        group="Risk limits",
        kind="int",
        proposal="500",
        unit="dollars a trade",
        bounds=("1", "1000000"),
        riskier="up",
        description="The most premium that one option trade may cost.",
    ),
    Setting(
        key="HALT_POSITIONS",
        group="Risk limits",
        kind="choice",
        proposal="keep",
        unit="one of",
        choices=("keep", "flatten"),
        dangers=(("flatten", "A halt sells every position at the market, whatever the price."),),
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
        dangers=(("flatten", "Stopping the processes in the session sells every position at the market."),),
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
        dangers=(("never", "Once armed, the bot trades on every trading day until somebody stops it."),),
        description=(
            "How long arming lasts. never: from day to day, until the chain is stopped or halts. session: to the close "
            "of the session it was armed for."
        ),
    ),
)

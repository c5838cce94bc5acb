"""When the strategies look, buy and sell."""

from typing import Final

from config.settings_table.setting import Setting

SESSION_TIMES: Final[tuple[Setting, ...]] = (
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
        riskier="down",
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
)

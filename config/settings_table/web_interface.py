"""How long a log-in of the web interface lasts, and how often a password may be tried."""

from typing import Final

from config.settings_table.setting import Setting

WEB_INTERFACE: Final[tuple[Setting, ...]] = (
    Setting(
        key="WEB_SESSION_IDLE",
        group="Web interface",
        kind="int",
        proposal="15",
        unit="minutes",
        bounds=("1", "60"),
        riskier="up",
        takes_effect="now",
        description="A session that was not used for longer is over. 60 is the most the bot allows.",
    ),
    Setting(
        key="WEB_SESSION_AGE",
        group="Web interface",
        kind="int",
        proposal="12",
        unit="hours",
        bounds=("1", "24"),
        riskier="up",
        takes_effect="now",
        description="A session is over after this long in any case. 24 is the most the bot allows.",
    ),
    Setting(
        key="WEB_CONFIRM_TIME",
        group="Web interface",
        kind="int",
        proposal="5",
        unit="minutes",
        bounds=("1", "15"),
        riskier="up",
        takes_effect="now",
        description="How long the password, typed again, is good for what needs it. 15 is the most the bot allows.",
    ),
    Setting(
        key="WEB_LOGIN_TRIES",
        group="Web interface",
        kind="int",
        proposal="5",
        unit="tries in WEB_LOGIN_WAIT",
        bounds=("2", "10"),
        riskier="up",
        takes_effect="now",
        description="After so many wrong passwords even the right one waits. 10 is the most the bot allows.",
    ),
    Setting(
        key="WEB_LOGIN_WAIT",
        group="Web interface",
        kind="int",
        proposal="15",
        unit="minutes",
        bounds=("15", "1440"),
        riskier="down",
        takes_effect="now",
        description="So long a wrong password counts for WEB_LOGIN_TRIES. 15 is the least the bot allows.",
    ),
)

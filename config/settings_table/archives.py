"""What is kept of the home after each session, and for how long."""

from typing import Final

from config.settings_table.setting import Setting

ARCHIVES: Final[tuple[Setting, ...]] = (
    Setting(
        key="ARCHIVE_KEEP_DAYS",
        group="Archives",
        kind="int",
        proposal="30",
        unit="days",
        bounds=("2", "3650"),
        description="The archives of so many of the newest days are all kept.",
    ),
    Setting(
        key="ARCHIVE_KEEP_MONTHS",
        group="Archives",
        kind="int",
        proposal="84",
        unit="months",
        bounds=("1", "600"),
        description="The first archive of each of so many of the newest months is kept as well.",
    ),
    Setting(
        key="ARCHIVE_REMOTE",
        group="Archives",
        kind="text",
        proposal="",
        unit="remote of rclone",
        optional=True,
        description="Where rclone copies the archives after each session, such as backup:tradebot; empty = nowhere.",
    ),
)

"""Which names may be traded."""

from typing import Final

from config.settings_table.setting import Setting

SCREENER: Final[tuple[Setting, ...]] = (
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
            "session is ranked before its open, so it takes auto or pre-market. Later scans go by the time."
        ),
    ),
    Setting(
        key="SCREENER_INTRADAY_EVERY",
        group="Screener",
        kind="int",
        proposal="0",
        unit="minutes",
        bounds=("0", "240"),
        description=(
            "How often all names of live data are screened again while the exchange is open, from the open on; names "
            "that join are traded once their minutes since the open are known, names that leave are bought no more. "
            "0 = only once, before the open."
        ),
    ),
    Setting(
        key="SCREENER_AFTER_HOURS",
        group="Screener",
        kind="int",
        proposal="20",
        unit="minutes after the close",
        bounds=("0", "25"),
        description=(
            "When all names of live data are screened after hours. Those on that list have a place on the next "
            "session's, as long as they pass its rules. 0 = not at all."
        ),
    ),
)

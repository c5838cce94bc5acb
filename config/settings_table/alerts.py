"""What the operator is told by mail or webhook, and through which server."""

from typing import Final

from config.settings_table.setting import Setting

ALERTS: Final[tuple[Setting, ...]] = (
    Setting(
        key="NOTIFY_ON_FILL",
        group="Alerts",
        kind="bool",
        proposal="false",
        unit="true or false",
        description="Send a notice of each purchase that opens or adds to a position.",
    ),
    Setting(
        key="NOTIFY_ON_EXIT",
        group="Alerts",
        kind="bool",
        proposal="false",
        unit="true or false",
        description="Send a notice of each sale by a stop, a target, the end of a window or an operator.",
    ),
    Setting(
        key="NOTIFY_ON_FAILURE",
        group="Alerts",
        kind="bool",
        proposal="true",
        unit="true or false",
        description="Send a notice of each halt, with its reason.",
    ),
    Setting(
        key="UNSEEN_ERROR_MINUTES",
        group="Alerts",
        kind="int",
        proposal="15",
        unit="minutes",
        bounds=("0", "390"),
        riskier="up",
        description=(
            "While the market is open, an error on the page of alerts that nobody has acknowledged for so long stops "
            "new positions until an operator arms again. 0 = never."
        ),
    ),
    Setting(
        key="SMTP_HOST",
        group="Alerts",
        kind="text",
        proposal="",
        unit="host name",
        optional=True,
        description="The mail server that takes notices; empty = no mail is sent.",
    ),
    Setting(
        key="SMTP_PORT",
        group="Alerts",
        kind="int",
        proposal="587",
        unit="port",
        bounds=("1", "65535"),
        description="Its port: 587 with STARTTLS, 465 with TLS, as a rule.",
    ),
    Setting(
        key="SMTP_SECURITY",
        group="Alerts",
        kind="choice",
        proposal="STARTTLS",
        unit="one of",
        choices=("STARTTLS", "TLS", "NONE"),
        description="How the connection is encrypted. NONE only for a server on this machine.",
    ),
    Setting(
        key="SMTP_FROM",
        group="Alerts",
        kind="text",
        proposal="",
        unit="mail address",
        optional=True,
        description="Whom the mail comes from.",
    ),
    Setting(
        key="SMTP_TO",
        group="Alerts",
        kind="text",
        proposal="",
        unit="mail addresses",
        optional=True,
        description="Who gets it; several addresses are separated by commas.",
    ),
)

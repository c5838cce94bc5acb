"""An error that nobody looks at while the market is open: no new positions, until somebody does.

A notice may not have arrived, and a person who does not answer may not be there. What is open stays under its stops.
UNSEEN_ERROR_MINUTES says how long is waited; 0 = for ever.
"""

import logging
import threading
from typing import Final

from bus.clock import utc_ns
from bus.control import ControlFolder
from config.env_bot import SettingsError, parse
from config.vault import VaultError
from services.web.alerts import Alert
from services.web.hub import StatusHub
from services.web.site import Site

LOOK_EVERY_S: Final = 5.0
_MS_PER_MINUTE: Final = 60_000
_NS_PER_MS: Final = 1_000_000
log = logging.getLogger(__name__)


def overdue(hub: StatusHub, minutes: int, now_ms: int) -> Alert | None:
    """Return the oldest error that nobody has acknowledged for too long, while the chain trades and the market is open.

    Args:
        hub: what was heard of the chain, and the alerts.
        minutes: how long is waited; 0 = for ever.
        now_ms: the wall clock, by which alerts are dated.
    """
    if minutes <= 0 or not hub.is_trading():
        return None
    waiting = [alert for alert in hub.alerts.newest_first() if alert.level == "bad" and not alert.seen_by]
    late = [alert for alert in waiting if now_ms - (alert.first_ms or alert.ts_ms) >= minutes * _MS_PER_MINUTE]
    return late[-1] if late else None


class AlertWatch:
    """Looks every few seconds, on a thread of its own; one stop for each alert."""

    def __init__(self, here: Site) -> None:
        self._site = here
        self._control = ControlFolder(here.paths)
        self._stopped_for = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End soon."""
        self._ended.set()

    def look(self) -> None:
        """Stop new positions where an error waits for too long; what keeps it from that goes to the log."""
        try:
            if not self._site.is_configured():
                return
            minutes = parse(self._site.running().settings).whole("UNSEEN_ERROR_MINUTES")
            alert = overdue(self._site.hub, minutes, utc_ns() // _NS_PER_MS)
            if alert is None or alert.number == self._stopped_for:
                return
            words = f"web: alert {alert.number} was seen by nobody for {minutes} minutes: {alert.text}"
            self._control.request_stop(words)
            self._stopped_for = alert.number
            self._site.audit.record("stopped_for_alert", f"alert {alert.number}", after=alert.text, actor="web")
        except (SettingsError, VaultError, OSError):
            log.exception("whether an alert waits for too long is not known")

    def _run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self.look()

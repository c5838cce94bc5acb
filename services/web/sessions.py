"""Who is logged in, kept on the server: a cookie is worth nothing once its session has ended here."""

import secrets
import threading
from dataclasses import dataclass
from typing import Final

from bus.clock import NS_PER_MINUTE, boot_ns

IDLE_NS_MAX: Final = 60 * NS_PER_MINUTE
AGE_NS_MAX: Final = 12 * 60 * NS_PER_MINUTE
SESSIONS_MAX: Final = 200


@dataclass
class _Session:
    user_name: str
    started_ns: int
    seen_ns: int


class SessionBook:
    """Thread-safe table of open sessions; the ids have 256 random bits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Session] = {}

    def start(self, user_name: str) -> str:
        """Open a session and return its id; beyond SESSIONS_MAX the one that was idle longest ends."""
        now = boot_ns()
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._open) >= SESSIONS_MAX:
                oldest = min(self._open, key=lambda key: self._open[key].seen_ns)
                del self._open[oldest]
            self._open[session_id] = _Session(user_name, now, now)
        return session_id

    def user_of(self, session_id: str | None) -> str | None:
        """Return whose session this is and note that it is in use, or None when it has ended."""
        now = boot_ns()
        with self._lock:
            session = self._open.get(session_id or "")
            if session is None or session_id is None:
                return None
            if now - session.seen_ns > IDLE_NS_MAX or now - session.started_ns > AGE_NS_MAX:
                del self._open[session_id]
                return None
            session.seen_ns = now
            return session.user_name

    def end(self, session_id: str | None) -> None:
        """End a session; twice is harmless."""
        with self._lock:
            self._open.pop(session_id or "", None)

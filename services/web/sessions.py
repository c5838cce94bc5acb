"""Who is logged in, kept on the server: a cookie is worth nothing once its session has ended here."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bus.clock import boot_ns, utc_ns
from services.web.settings import WebLimits

SESSIONS_MAX: Final = 200
_AGENT_CHARS_MAX: Final = 200


@dataclass
class _Session:
    user_name: str
    address: str
    agent: str
    started_utc_ns: int
    started_ns: int
    seen_ns: int
    mark: str
    confirmed_ns: int | None = None


@dataclass(frozen=True)
class OpenSession:
    """A session as a list shows it. `handle` names it in a form and opens nothing; `idle_ns` since its last use."""

    handle: str
    user_name: str
    address: str
    agent: str
    started_utc_ns: int
    idle_ns: int


class SessionBook:
    """Thread-safe table of open sessions; the ids have 256 random bits. `limits` are asked for at each look."""

    def __init__(self, limits: Callable[[], WebLimits]) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open: dict[str, _Session] = {}

    def start(self, user_name: str, address: str = "", agent: str = "", *, mark: str = "") -> str:
        """Open a session and return its id; beyond SESSIONS_MAX the one that was idle longest ends.

        `mark` stands for the password and second factor that opened it: with others it is over.
        """
        now = boot_ns()
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._open) >= SESSIONS_MAX:
                oldest = min(self._open, key=lambda key: self._open[key].seen_ns)
                del self._open[oldest]
            self._open[session_id] = _Session(user_name, address, agent[:_AGENT_CHARS_MAX], utc_ns(), now, now, mark)
        return session_id

    def owner_of(self, session_id: str | None) -> tuple[str, str] | None:
        """Return whose session this is, with its mark, and note that it is in use; None when it has ended."""
        now = boot_ns()
        with self._lock:
            session = self._living(session_id, now)
            if session is None:
                return None
            session.seen_ns = now
            return session.user_name, session.mark

    def set_mark(self, session_id: str | None, mark: str) -> None:
        """Let a session go on after its user has changed what opened it."""
        with self._lock:
            session = self._open.get(session_id or "")
            if session is not None:
                session.mark = mark

    def confirm(self, session_id: str | None) -> str | None:
        """Note that the password was typed again, and return the session's new id; None when it has ended."""
        now = boot_ns()
        with self._lock:
            session = self._living(session_id, now)
            if session is None or session_id is None:
                return None
            del self._open[session_id]
            session.confirmed_ns = session.seen_ns = now
            new_id = secrets.token_urlsafe(32)
            self._open[new_id] = session
            return new_id

    def is_confirmed(self, session_id: str | None) -> bool:
        """Tell whether the password was typed again in this session within WEB_CONFIRM_TIME."""
        now = boot_ns()
        with self._lock:
            session = self._living(session_id, now)
            confirmed_ns = None if session is None else session.confirmed_ns
            return confirmed_ns is not None and now - confirmed_ns <= self._limits().confirmed_ns

    def end(self, session_id: str | None) -> None:
        """End a session; twice is harmless."""
        with self._lock:
            self._open.pop(session_id or "", None)

    def end_all_of(self, user_name: str, *, but: str | None = None) -> int:
        """End every session of a user, except the one with the id `but`; return how many ended."""
        return self._end_where(lambda key, session: session.user_name == user_name and key != but)

    def end_handle(self, handle: str, *, user_name: str | None = None) -> int:
        """End the session with this handle, only if it is this user's where one is named; return how many ended."""
        return self._end_where(lambda key, session: _handle(key) == handle and user_name in {None, session.user_name})

    def open_sessions(self, user_name: str | None = None) -> list[OpenSession]:
        """Return the open sessions, of one user where one is named, last used first."""
        now = boot_ns()
        with self._lock:
            for key in list(self._open):
                self._living(key, now)
            found = [
                OpenSession(_handle(key), one.user_name, one.address, one.agent, one.started_utc_ns, now - one.seen_ns)
                for key, one in self._open.items()
                if user_name in {None, one.user_name}
            ]
        return sorted(found, key=lambda one: one.idle_ns)

    def handle_of(self, session_id: str | None) -> str:
        """Return the handle by which a list names this session."""
        return _handle(session_id or "")

    def _living(self, session_id: str | None, now: int) -> _Session | None:
        session = self._open.get(session_id or "")
        if session is None or session_id is None:
            return None
        limits = self._limits()
        # WEB_SESSION_IDLE, WEB_SESSION_AGE
        if now - session.seen_ns > limits.idle_ns or now - session.started_ns > limits.age_ns:
            del self._open[session_id]
            return None
        return session

    def _end_where(self, is_meant: Callable[[str, _Session], bool]) -> int:
        with self._lock:
            ended = [key for key, session in self._open.items() if is_meant(key, session)]
            for key in ended:
                del self._open[key]
        return len(ended)


def _handle(session_id: str) -> str:
    return sha256(session_id.encode()).hexdigest()[:16]

"""Who did what in the web interface: one line of code in a page puts a row into the audit log.

What goes wrong with the log never stops a halt: it is logged and shown, and whatever needs the password again
(arming, settings, users, credentials, keys) is refused until the log can be written.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

from flask import g, has_request_context, request

from bus.clock import iso_utc, utc_ns
from config.users import User
from services.web.audit_log import AuditError, AuditLog, Entry

#: Stands for a secret that was set or replaced; the secret itself is never in the log.
REPLACED: Final = "replaced"
TEXT_CHARS_MAX: Final = 4000
SECRET_CHARS_MIN: Final = 6
_MASK: Final = "[secret]"
#: Form fields whose value is a secret, whatever a page does with it: by their beginning, or by their end.
_SECRET_BEGINNINGS: Final = ("password", "csrf_token")
_SECRET_ENDS: Final = ("_password", "_secret", "_key", "_token", "totp_code")
log = logging.getLogger(__name__)


class Audit:
    """Records what is done, with who, from where and by which request taken from Flask. Thread-safe."""

    def __init__(self, audit_log: AuditLog, kept_secrets: Callable[[], Iterable[str]]) -> None:
        self.log = audit_log
        self._kept_secrets = kept_secrets
        self._lock = threading.Lock()
        self._unwritten = ""

    def record(self, action: str, subject: str, before: str = "", after: str = "", *, actor: str = "") -> None:
        """Put one row into the log, durably; what cannot be written is logged and shown by `fault`.

        Args:
            action: what was done, in small letters with underscores, such as settings_saved.
            subject: to what: the name of a user, a setting, a file, an order.
            before: what it was. Of a secret: nothing, or REPLACED.
            after: what it is now. Of a secret: REPLACED.
            actor: who, where that is not whoever is logged in: a name that was tried at the log-in.
        """
        masked = [self._without_secrets(text) for text in (subject, before, after, actor or _actor())]
        entry = Entry(
            at_utc=iso_utc(utc_ns()),
            actor=masked[3],
            address=(request.remote_addr or "") if has_request_context() else "this machine",
            request=_request(),
            action=action,
            subject=masked[0],
            before=masked[1],
            after=masked[2],
        )
        try:
            self.log.append(entry)
        except AuditError as error:
            log.exception("not in the audit log: %s by %s: %s -> %s", action, entry.actor, entry.before, entry.after)
            with self._lock:
                self._unwritten = str(error)
        else:
            with self._lock:
                self._unwritten = ""

    def fault(self) -> str:
        """Return why the log cannot be written, or an empty text."""
        with self._lock:
            if self._unwritten:
                return self._unwritten
        return self.log.fault()

    def _without_secrets(self, text: str) -> str:
        """Return a text without any secret that is kept or was just typed: the last net under every page."""
        for secret in {*self._kept_secrets(), *_typed_secrets()}:
            if len(secret) >= SECRET_CHARS_MIN and secret in text:
                text = text.replace(secret, _MASK)
        return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"


def _actor() -> str:
    user = g.get("user") if has_request_context() else None
    return user.name if isinstance(user, User) else "nobody"


def _request() -> str:
    """Return method and route; never the address as typed, which could carry anything."""
    if not has_request_context():
        return "command"
    return f"{request.method} {request.url_rule.rule if request.url_rule else '?'}"


def _typed_secrets() -> list[str]:
    if not has_request_context():
        return []
    fields = request.form.items(multi=True)
    return [value for name, value in fields if name.startswith(_SECRET_BEGINNINGS) or name.endswith(_SECRET_ENDS)]

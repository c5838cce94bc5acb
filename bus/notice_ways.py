"""The ways a letter leaves the machine: a mail server, and a webhook. Each call returns when it is delivered or failed.

Certificates are checked, redirects are not followed, and every wait has an end. What a server answers is kept to its
code: its words could repeat what was sent to it.
"""

import http.client
import json
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from bus.notifier import DeliveryError

_TIMEOUT_S: Final = 15.0
_ANSWER_BYTES_MAX: Final = 4096


class MailAccount(Struct, frozen=True, kw_only=True):
    """A mail server and who writes to whom; `repr` shows neither user nor password."""

    host: str
    port: int
    security: str
    sender: str
    receivers: tuple[str, ...]
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        """Return the server alone."""
        return f"MailAccount({self.host}:{self.port})"


class MailWay:
    """Sends mail through one server.

    Args:
        account: the server, its user and the addresses.
        trust: whose certificates are believed; None = the system's.
    """

    name = "mail"

    def __init__(self, account: MailAccount, trust: ssl.SSLContext | None = None) -> None:
        self._account = account
        self._trust = trust or ssl.create_default_context()

    def deliver(self, subject: str, text: str) -> None:
        """Send one mail to every address.

        Raises:
            DeliveryError: the server cannot be reached, or refused the user, an address or the mail.
        """
        account = self._account
        mail = EmailMessage()
        mail["Subject"] = " ".join(subject.split())[:200]
        mail["From"] = account.sender
        mail["To"] = ", ".join(account.receivers)
        mail["Date"] = formatdate(usegmt=True)
        mail["Message-ID"] = make_msgid(domain=account.sender.rpartition("@")[2])
        mail.set_content(text)
        try:
            with self._connected() as server:
                if account.user:
                    server.login(account.user, account.password)
                refused = server.send_message(mail, account.sender, account.receivers)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(f"{account.host}:{account.port} did not take the mail: {_words(error)}") from None
        if refused:
            raise DeliveryError(f"{account.host}:{account.port} refused {', '.join(refused)}")

    def _connected(self) -> smtplib.SMTP:
        account = self._account
        # SMTP_SECURITY = TLS: encrypted from the first byte; STARTTLS: before anything is said; NONE: not at all.
        if account.security == "TLS":
            return smtplib.SMTP_SSL(account.host, account.port, timeout=_TIMEOUT_S, context=self._trust)
        server = smtplib.SMTP(account.host, account.port, timeout=_TIMEOUT_S)
        if account.security == "STARTTLS":
            try:
                server.starttls(context=self._trust)
            except BaseException:
                server.close()
                raise
        return server


class WebhookWay:
    """Posts a letter as JSON: {"subject": …, "text": …}.

    Args:
        url: where; whoever knows it may post there, so it is never written anywhere.
        trust: whose certificates are believed; None = the system's.
    """

    name = "webhook"

    def __init__(self, url: str, trust: ssl.SSLContext | None = None) -> None:
        self._parts = urlsplit(url)
        self._trust = trust or ssl.create_default_context()

    def deliver(self, subject: str, text: str) -> None:
        """Post one letter.

        Raises:
            DeliveryError: the server cannot be reached, or answered anything but 2xx.
        """
        host, port = self._parts.hostname or "", self._parts.port
        connection: http.client.HTTPConnection
        if self._parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._trust)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        try:
            # `content` and `text` are the names under which chat services take plain words.
            body = json.dumps(
                {"subject": subject, "text": f"{subject}\n{text}", "content": f"{subject}\n{text}"[:1900]}
            )
            connection.request("POST", target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read(_ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"the webhook at {host} was not reached: {_words(error)}") from None
        finally:
            connection.close()
        if not http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES:
            raise DeliveryError(f"the webhook at {host} answered {answer.status}")


def _words(error: Exception) -> str:
    """Return what failed: a server's code, or the system's own words, and never the server's text."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, smtplib.SMTPException):
        return error.strerror
    return type(error).__name__

"""A mail server on this machine that keeps every letter and passes none on."""

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, Final

from aiosmtpd.controller import Controller

from bus.processes import free_port

_LETTERS_MAX: Final = 1000
_parser: Final = BytesParser(EmailMessage, policy=default)


class MailSink:
    """One server, from its start to its end."""

    def __init__(self) -> None:
        """Start it on a free port of the loopback address."""
        self.host: Final = "127.0.0.1"
        self.port: Final = free_port()
        self._letters: list[EmailMessage] = []
        self._server = Controller(_Keeper(self._letters), hostname=self.host, port=self.port)
        self._server.start()

    def letters(self) -> list[tuple[str, str]]:
        """Return subject and text of each letter, the oldest first."""
        return [(str(one["Subject"]), str(one.get_content())) for one in list(self._letters)]

    def close(self) -> None:
        """Stop it; what it kept is still there."""
        self._server.stop(no_assert=True)


class _Keeper:
    def __init__(self, letters: list[EmailMessage]) -> None:
        self._letters = letters

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if len(self._letters) >= _LETTERS_MAX:
            return "452 the test's mail server is full"
        self._letters.append(_parser.parsebytes(envelope.content))
        return "250 kept"

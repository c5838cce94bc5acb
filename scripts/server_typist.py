"""A person at a terminal: types a line, waits for the prompt, answers what is asked, and reads what came of it."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_READ_BYTES: Final = 65536
_POLL_S: Final = 0.2
_LINE_S: Final = 900
_LOGIN_S: Final = 60
_ROWS, _COLUMNS = 200, 200
#: Said by the shell before each prompt, where a terminal takes it for a window's title and shows nothing.
_DONE: Final = re.compile(rb"\x1b\]0;(\d+)\x07")
_PROMPT: Final = re.compile(rb"[\w.-]+@[\w.-]+:[^\r\n]*[$#] $")
_SAY_STATUS: Final = r"""PROMPT_COMMAND='printf "\033]0;%s\007" $?'; stty -echo; PS1='\u@\h:\w\$ '"""
_NOT_SHOWN: Final = re.compile(rb"\x1b\][^\x07]*\x07|\x1b\[[0-9;?]*[A-Za-z]")
#: What a progress bar has written over.
_OVERWRITTEN: Final = re.compile(rb"[^\n]*\r")
_BECOME: Final = "sudo -iu "


class TypingError(Exception):
    """A line did not do what the page promises; the message has the line and what was answered."""


@dataclass(frozen=True)
class Typed:
    """What came of one line."""

    status: int
    text: str


class Typist:
    """One terminal with a shell in it.

    Args:
        command: what opens the shell, such as ssh to a server.
        name: how the terminal is called in the transcript.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        self._names = [name]
        self._heard = b""
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (_ROWS, _COLUMNS))
        self._process = subprocess.Popen(  # noqa: S603 - the caller's own command
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "TERM": "dumb", "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")},
        )
        os.close(slave)
        self._terminal = master
        self._settle(_LOGIN_S)

    @property
    def name(self) -> str:
        """Return who types, and where."""
        return self._names[-1]

    def type(
        self, line: str, *, answers: Sequence[tuple[str, str]] = (), may_fail: bool = False, timeout_s: float = _LINE_S
    ) -> Typed:
        """Type a line, answer its questions in their order, and return what it ended with.

        Raises:
            TypingError: it ended with another code than 0, or did not come back in time.
        """
        _show(f"\n{self.name}$ {line}\n")
        if line.startswith(_BECOME):
            self._send(line)
            self._settle(_LOGIN_S)
            self._names.append(f"{line.removeprefix(_BECOME)}@{self.name.partition('@')[2]}")
            return Typed(0, "")
        typed = self.look(line, answers=answers, timeout_s=timeout_s)
        if line == "exit":
            self._names.pop()
        _show(typed.text)
        if typed.status and not may_fail:
            raise TypingError(f"`{line}`, typed at {self.name}, ended with {typed.status}.")
        return typed

    def look(self, line: str, *, answers: Sequence[tuple[str, str]] = (), timeout_s: float = _LINE_S) -> Typed:
        """Type a line that is left out of the transcript, whatever it ends with."""
        self._send(line)
        for question, answer in answers:
            self._hear(re.compile(re.escape(question.encode())), timeout_s, line)
            self._send(answer)
        found = self._hear(_DONE, timeout_s, line)
        text = _plain(self._heard[: found.start()])
        self._heard = self._heard[found.end() :]
        self._hear(_PROMPT, _LOGIN_S, line)
        self._heard = b""
        return Typed(int(found[1]), text)

    def start(self, line: str, until: str, timeout_s: float = _LINE_S) -> str:
        """Type a line that stays in the foreground, and return what it said up to where it says `until`."""
        _show(f"\n{self.name}$ {line}\n")
        self._send(line)
        found = self._hear(re.compile(until.encode()), timeout_s, line)
        text = _plain(self._heard[: found.end()])
        _show(text)
        return text

    def interrupt(self) -> Typed:
        """Press Ctrl-C, and return how the line in the foreground ended."""
        self._heard = b""
        os.write(self._terminal, b"\x03")
        found = self._hear(_DONE, _LINE_S, "Ctrl-C")
        text = _plain(self._heard[: found.start()])
        self._heard = b""
        _show(f"^C\n{text}")
        return Typed(int(found[1]), text)

    def close(self) -> None:
        """Close the terminal; what runs in it is hung up."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGHUP)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._terminal)

    def _settle(self, timeout_s: float) -> None:
        """Wait for the prompt of a new shell, and have it say how each line ends."""
        self._heard = b""
        self._hear(_PROMPT, timeout_s, "a new shell")
        self._send(_SAY_STATUS)
        self._hear(_DONE, timeout_s, "a new shell")
        self._heard = b""
        time.sleep(_POLL_S)
        self._read(_POLL_S)
        self._heard = b""

    def _send(self, line: str) -> None:
        os.write(self._terminal, line.encode() + b"\n")

    def _hear(self, pattern: re.Pattern[bytes], timeout_s: float, line: str) -> re.Match[bytes]:
        end = time.monotonic() + timeout_s
        while True:
            found = pattern.search(self._heard)
            if found:
                return found
            if time.monotonic() > end or not self._read(_POLL_S):
                raise TypingError(
                    f"`{line}`, typed at {self.name}, did not come to its end. It said:\n{_plain(self._heard)}"
                )

    def _read(self, wait_s: float) -> bool:
        """Take what there is; tell whether the terminal is still open."""
        if not select.select([self._terminal], [], [], wait_s)[0]:
            return True
        try:
            said = os.read(self._terminal, _READ_BYTES)
        except OSError:
            return False
        self._heard += said
        return bool(said)


def _plain(said: bytes) -> str:
    lines = _OVERWRITTEN.sub(b"", _NOT_SHOWN.sub(b"", said).replace(b"\r\n", b"\n"))
    return lines.decode(errors="replace").strip("\n") + "\n"


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

"""A real chain of processes brought to the start of a session: configured by its pages, ready, armed."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from bus.clock import utc_ns
from bus.processes import Chain
from bus.status_file import STATUS_FILE, StatusRecord
from config.bootstrap_token import BootstrapToken
from config.identity import Identity
from config.paths import HomePaths
from replay.browser import Browser, PageError

_POLL_S: Final = 0.1
_UP_TIMEOUT_S: Final = 60
_READY_TIMEOUT_S: Final = 90
ADMIN: Final = "admin"


class StageError(Exception):
    """The chain did not get where it should; the message says what it waits for."""


class Stage:
    """One chain and the browser session of its administrator.

    Args:
        paths: the home; it must not be configured yet.
        port: the web UI's port.
        dies_with_parent: the chain is killed when this process is.
    """

    def __init__(self, paths: HomePaths, port: int, *, dies_with_parent: bool = False) -> None:
        self.chain = Chain(paths, port, dies_with_parent=dies_with_parent)
        self.browser = Browser(self.chain.url)
        self.password = secrets.token_urlsafe(18)

    def configure(self, settings: dict[str, str], identity: Identity) -> None:
        """Start the processes, configure it, register its administrator, log in.

        Raises:
            StageError: the web UI does not answer, or a page refuses.
        """
        self.chain.start(quiet=True)
        self._wait_for(self.browser.is_up, _UP_TIMEOUT_S, "the web UI does not answer")
        names = identity.__struct_fields__
        form = settings | {name: str(getattr(identity, name)) for name in names}
        token = {"bootstrap_token": BootstrapToken(self.chain.paths, utc_ns).issue()}
        admin = {"admin_name": ADMIN, "password": self.password, "password_again": self.password}
        try:
            self.browser.fill_in("/configuration", form | token)
            self.browser.fill_in("/registration", admin | token)
            self.browser.fill_in("/login", {"name": ADMIN, "password": self.password})
        except PageError as error:
            raise StageError(str(error)) from error

    def resume(self) -> None:
        """Start the processes on the home that was configured before, and log in.

        Raises:
            StageError: the web UI does not answer, or refuses.
        """
        self.chain.start(quiet=True)
        self._wait_for(self.browser.is_up, _UP_TIMEOUT_S, "the web UI does not answer")
        try:
            self.browser.fill_in("/login", {"name": ADMIN, "password": self.password})
        except PageError as error:
            raise StageError(str(error)) from error

    def wait_until_ready(self) -> None:
        """Wait until every service is ready to be armed.

        Raises:
            StageError: a service cannot start, or none gets ready in time; with the watchdog's own words.
        """
        self._wait_for(self._is_ready, _READY_TIMEOUT_S, "the chain does not get ready")

    def arm(self, reason: str) -> None:
        """Wait until every service is ready, then arm.

        Raises:
            StageError: a service cannot start, or none gets ready in time; with the watchdog's own words.
        """
        self.wait_until_ready()
        try:
            self.browser.fill_in("/control/arm", {"reason": reason, "password": self.password})
        except PageError as error:
            raise StageError(str(error)) from error

    def chain_state(self) -> dict[str, Any]:
        """Return the newest ChainStatus as the dashboard has it; empty before there is one."""
        return dict(self.browser.snapshot().get("chain") or {})

    def is_session_over(self) -> bool:
        """Tell whether the market has closed and every message of the session is acknowledged."""
        services = self.chain_state().get("services", [])
        return bool(services) and self._has_closed() and all(line["outbox_depth"] == 0 for line in services)

    def _has_closed(self) -> bool:
        # A halted or stopped chain says that instead of CLOSED, so its clock is asked.
        path = self.chain.paths.output / STATUS_FILE
        if not path.is_file():
            return False
        times = msgspec.json.decode(path.read_bytes(), type=StatusRecord).times
        return bool(times.close_utc) and times.session_utc >= times.close_utc

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait until the session is over.

        Raises:
            StageError: it is not over in time.
        """
        self._wait_for(self.is_session_over, timeout_s, "the session does not end")

    def stop(self) -> None:
        """Stop every process."""
        self.chain.stop()

    def _is_ready(self) -> bool:
        state = self.chain_state()
        failed = [line["detail"] for line in state.get("services", []) if "cannot start" in line["detail"]]
        if failed:
            raise StageError("; ".join(failed))
        return bool(state.get("state") in ("DISARMED", "HALTED"))

    def _wait_for(self, holds: Callable[[], bool], timeout_s: float, what: str) -> None:
        end = time.monotonic() + timeout_s
        while not holds():
            if not self.chain.is_running():
                raise StageError(f"supervisord ended; see {self.chain.paths.logs / 'supervisord.log'}")
            if time.monotonic() > end:
                raise StageError(f"After {timeout_s:g} s {what}. {self._last_words()}")
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        try:
            return str(self.chain_state().get("detail", "")) or f"See {self.chain.paths.logs}."
        except (OSError, ValueError):
            return f"See {Path(self.chain.paths.logs)}."

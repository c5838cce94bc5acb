"""One real chain in mid-session: what a trial may do to it, and the way back to an armed chain."""

import os
import signal
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bus.clock import NS_PER_MINUTE, boot_ns
from bus.control import ControlFolder
from bus.halt import ControlState
from replay.browser import PageError
from replay.stage import ADMIN, Stage

CRITICAL = ("screener", "strategy", "risk", "execution", "ledger")
SERVICES = (*CRITICAL, "watchdog", "web")
#: A service that dies more often than that in a minute stays down.
DEATHS_IN_A_MINUTE_MAX = 3
_POLL_S = 0.05
_TIMEOUT_S = 60.0
_ACTIVE_TIMEOUT_S = 5.0


class ArenaError(Exception):
    """The chain did not get where it should; the message says what was waited for and what there was instead."""


@dataclass(frozen=True)
class Arming:
    """One arming: when it was asked for, and the newest halt that it answered."""

    asked_ns: int
    answers: int


@dataclass
class Arena:
    """A stage, the record of what was done to it, and the operator who arms it again."""

    stage: Stage
    armings: list[Arming] = field(default_factory=list)
    deaths: dict[str, list[int]] = field(default_factory=dict)

    @property
    def control(self) -> ControlFolder:
        return ControlFolder(self.stage.chain.paths)

    # --- looking ---

    def pid(self, service: str) -> int:
        """Return the process that holds the service's lock, 0 while there is none."""
        try:
            return int((self.stage.chain.paths.run / f"{service}.lock").read_text())
        except (OSError, ValueError):
            return 0

    def chain(self) -> dict[str, Any]:
        """Return the dashboard's chain status, after a new login where the web UI was started again; {} = none yet."""
        try:
            return dict(self.stage.browser.snapshot().get("chain") or {})
        except urllib.error.HTTPError:
            self._log_in()
        except (OSError, ValueError):
            if self.stage.browser.is_up():
                self._log_in()
        return {}

    def _log_in(self) -> None:
        try:
            self.stage.browser.fill_in("/login", {"name": ADMIN, "password": self.stage.password})
        except (OSError, PageError):
            return

    def until(self, holds: Callable[[], Any], what: str, timeout_s: float = _TIMEOUT_S) -> None:
        end = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > end:
                raise ArenaError(f"after {timeout_s:g} s: {what}. The chain: {self.words()}")
            time.sleep(_POLL_S)

    def words(self) -> str:
        chain = self.chain()
        lines = [f"{s['service']} {s['status']} {s['detail']}" for s in chain.get("services", [])]
        return f"{chain.get('state')}; {chain.get('detail')}; {'; '.join(lines)}; {self.control.read()}"

    # --- dying ---

    def may_die(self, service: str) -> bool:
        """Tell whether one more death of it is not a crash loop."""
        recent = [at for at in self.deaths.get(service, ()) if boot_ns() - at < NS_PER_MINUTE]
        return len(recent) < DEATHS_IN_A_MINUTE_MAX

    def note_death(self, service: str) -> None:
        self.deaths.setdefault(service, []).append(boot_ns())

    def kill(self, *services: str) -> None:
        """Kill -9 all of them at once, and wait until supervisord has started each again."""
        before = {service: self.pid(service) for service in services}
        for service, pid in before.items():
            self.note_death(service)
            os.kill(pid, signal.SIGKILL)
        self.until_restarted(before)

    def until_restarted(self, before: dict[str, int]) -> None:
        for service, pid in before.items():
            self.until(partial(self._is_another, service, pid), f"{service} is not started again")

    def _is_another(self, service: str, pid: int) -> bool:
        return self.pid(service) not in (0, pid)

    def until_halted(self, why: str) -> None:
        """Wait for a halt on disk that nobody has answered."""
        self.until(lambda: self.control.read().is_halted(), f"no halt after {why}")

    def until_unarmed(self, why: str) -> None:
        """Wait until the chain says that an operator has to look at it."""
        self.until(lambda: self.chain().get("state") in ("DISARMED", "HALTED"), f"nobody has to arm after {why}")

    def until_shown_halted(self, why: str) -> None:
        """Wait until the dashboard shows it as well."""
        self.until_halted(why)
        self.until(lambda: self.chain().get("state") == "HALTED", f"no halt is shown after {why}")

    # --- coming back ---

    def recover(self, words: str) -> None:
        """Arm with a reason as often as it takes, until the chain is active and no halt stands."""
        end = time.monotonic() + 2 * _TIMEOUT_S
        while not self._is_active():
            if time.monotonic() > end:
                raise ArenaError(f"not active again after {words}. The chain: {self.words()}")
            if self._may_be_armed(self.chain()) and self._arm(words):
                self._wait_a_little()
            time.sleep(_POLL_S)

    def _is_active(self) -> bool:
        return self.chain().get("state") == "ACTIVE" and not self._stands(self.control.read())

    @staticmethod
    def _stands(state: ControlState) -> bool:
        return state.is_halted() or state.is_stop_requested

    @staticmethod
    def _may_be_armed(chain: dict[str, Any]) -> bool:
        lines = [line for line in chain.get("services", []) if line["service"] in CRITICAL]
        return chain.get("state") not in (None, "STARTING", "ACTIVE") and all(
            line["status"] == "up" and "cannot start" not in line["detail"] for line in lines
        )

    def _arm(self, words: str) -> bool:
        asked = boot_ns()
        try:
            self.stage.browser.fill_in("/control/arm", {"reason": words, "password": self.stage.password})
        except (OSError, PageError):
            return False
        self.armings.append(Arming(asked, self.control.read().answered))
        return True

    def _wait_a_little(self) -> None:
        end = time.monotonic() + _ACTIVE_TIMEOUT_S
        while time.monotonic() < end and not self._is_active() and not self.control.read().is_halted():
            time.sleep(_POLL_S)

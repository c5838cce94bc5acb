"""The turn from one generation of settings to the next: between two sessions, all services together.

The watchdog pins the new generation when a session is over; every service sees that the pin is no longer its own,
ends in good order and is started anew by supervisord. In mid-session nothing moves the pin.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from config import generation_pin
from config.env_bot import SettingsError, parse
from config.paths import HomePaths
from config.vault import PARTS, Vault, VaultError

logger = logging.getLogger(__name__)
POLL_S: Final = 1.0
#: Parts that change without any effect on what the chain does.
_OF_PEOPLE: Final = frozenset({"users", "curve"})


class PinWatch:
    """Looks once a second, on a thread of its own, whether the pin still names this service's generation.

    Args:
        paths: the home.
        generation: what this service opened.
        on_moved: called once, from the thread.
    """

    def __init__(self, paths: HomePaths, generation: int, on_moved: Callable[[], None]) -> None:
        self._paths = paths
        self._generation = generation
        self._on_moved = on_moved
        self._end = threading.Event()
        self.has_moved = False

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look, name="settings-watch", daemon=True).start()

    def stop(self) -> None:
        """Stop looking."""
        self._end.set()

    def _look(self) -> None:
        while not self._end.wait(POLL_S):
            # 0: the file cannot be read now. That is no reason to leave a chain that runs.
            if generation_pin.pinned(self._paths) not in (0, self._generation):
                self.has_moved = True
                self._on_moved()
                return


def waiting_generation(paths: HomePaths, generation: int) -> int:
    """Return the generation in force that a chain of `generation` has not turned to yet; 0 where there is none to take.

    One that differs in nothing but who may log in is none: no chain is disarmed because somebody changed a password;
    its keys of the bus come with the next start. One that cannot be used is left alone and logged.
    """
    vault = Vault(paths)
    try:
        newest = vault.generation()
        if not generation or newest == generation:
            return 0
        new, old = vault.open(newest), vault.open(generation)
        if all(getattr(new, part) == getattr(old, part) for part in PARTS if part not in _OF_PEOPLE):
            return 0
        parse(new.settings)
    except (VaultError, SettingsError):
        logger.exception("the chain goes on with the settings of generation %d", generation)
        return 0
    return newest

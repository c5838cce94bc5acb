"""Whether the control folder has changed, for a service that asks at every market message."""

from typing import Final

from bus.clock import boot_ns
from bus.control import ControlFolder

#: No market data is decided on by a look into the folder that is older than this, in nanoseconds.
_FRESH_NS: Final = 5_000_000


class Glance:
    """Looks at the folder's times; a halt that is told on the bus needs no look.

    Args:
        control: the folder.
    """

    def __init__(self, control: ControlFolder) -> None:
        self._control = control
        self._seen: tuple[int, int] | None = None
        self._due_ns = 0

    def shows_change(self, step: int) -> bool:
        """Tell whether the folder has to be read before this market step is decided on.

        Whoever sees step 1 of a replay also sees the arm record that started it.
        """
        now = boot_ns()
        if now < self._due_ns and step > 1:
            return False
        self._due_ns = now + _FRESH_NS
        glance = self._control.glance()
        is_same = glance is not None and glance == self._seen
        self._seen = glance
        return not is_same

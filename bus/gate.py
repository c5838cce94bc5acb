"""The last check before an order leaves a process: the control folder and the leases, read at that moment."""

from bus.build import build_id
from bus.clock import boot_ns
from bus.control import ControlFolder
from bus.halt import LeaseBook


class RunnerGate:
    """The last check before an order leaves: control folder and leases, read at that moment."""

    def __init__(self, control: ControlFolder, leases: LeaseBook) -> None:
        self._control = control
        self._leases = leases
        self._opened_ns = boot_ns()

    def refusal(self, *, reduces: bool) -> str | None:
        """Return why not. An order that can only lower exposure passes without permission."""
        if reduces:
            return None
        return self._control.read().refusal(build_id()) or self._leases.refusal(boot_ns())

    def lapsed_ns(self) -> int:
        """Return for how long not every lease has been valid; nobody could have one before this process began."""
        now = boot_ns()
        lapsed = self._leases.lapsed_ns(now)
        return max(1, min(lapsed, now - self._opened_ns)) if lapsed else 0

"""A service under supervisord ends when supervisord does: nobody could stop or restart it any more.

`python -m bus.orphan MODULE ...` runs any module so: it ends with whoever started it.
"""

import ctypes
import os
import runpy
import signal
import sys
from collections.abc import Mapping
from typing import Final

#: supervisord sets this for its children (supervisor 4.3, subprocess environment).
_VARIABLE: Final = "SUPERVISOR_ENABLED"
#: Source: linux/prctl.h.
_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> bool:
    """Let the kernel kill this process when its parent ends, even while it is frozen.

    Only Linux can do that; elsewhere a service notices by itself, within a turn of its loop (see `Parent`).

    Args:
        parent: the parent's process id, read before this call.

    Returns:
        Whether the parent still lives. Where it does not, it may have ended before the kernel was told.
    """
    if sys.platform == "linux":
        rest = (ctypes.c_ulong(0),) * 3
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *rest)
    return os.getppid() == parent


class Parent:
    """The process that started this one; watched only where that is supervisord."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        values = os.environ if environment is None else environment
        self._pid = os.getppid() if values.get(_VARIABLE) else None

    def has_died(self) -> bool:
        """Tell whether supervisord is gone; always False for a service that was started by hand."""
        return self._pid is not None and os.getppid() != self._pid


def main(arguments: list[str]) -> int:
    """Run a module that ends with its parent."""
    if not arguments:
        sys.stderr.write("usage: python -m bus.orphan MODULE [ARGUMENT ...]\n")
        return 2
    if not die_with(os.getppid()):
        return 0
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

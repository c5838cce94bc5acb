"""Which processor a service runs on. The way of an order is serial, so one processor for all of it is the shortest."""

import logging
import os
from typing import Final

from bus.messages import ServiceName

#: The services that an order goes through.
ORDER_PATH: Final[tuple[ServiceName, ...]] = ("strategy", "risk", "execution")
#: ORDER_PATH_CPU: as the system places them.
ANYWHERE: Final = -1
logger = logging.getLogger(__name__)


class PlacementError(Exception):
    """ORDER_PATH_CPU names a processor that this process may not use; the message lists those it may."""


def place(service: ServiceName, cpu: int) -> None:
    """Bind this process to a processor when it is part of the order path and the operator has chosen one.

    Raises:
        PlacementError: there is no such processor for this process.
    """
    if service not in ORDER_PATH or cpu == ANYWHERE:
        return
    if not hasattr(os, "sched_setaffinity"):
        # macOS has no such call; the chain works the same, an order only takes a little longer.
        logger.warning("ORDER_PATH_CPU is set, but this system cannot bind a process to a processor")
        return
    usable = sorted(os.sched_getaffinity(0))
    if cpu not in usable:
        raise PlacementError(
            f"ORDER_PATH_CPU is {cpu}, but this machine offers {', '.join(map(str, usable))}: choose one of these, "
            f"or {ANYWHERE} for any"
        )
    os.sched_setaffinity(0, {cpu})

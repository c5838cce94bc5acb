"""The end of a service that was told to stop: what it owes the broker, and then its last messages to the others."""

from collections.abc import Callable
from typing import Any, Final

from bus.clock import boot_ns
from bus.courier import Courier
from bus.node import Node
from bus.transport import Transport

#: How long a service may take to leave its positions as it should; supervisord waits longer than all of this.
STOP_NS: Final = 20_000_000_000
#: And then for its last messages to be taken, and for how long it must have heard nothing new.
LINGER_NS: Final = 5_000_000_000
QUIET_NS: Final = 500_000_000
_POLL_MS: Final = 20
_BATCH: Final = 64


def leave(node: Node[Any], courier: Courier, sockets: Transport, tell: Callable[[], None]) -> None:
    """Let the shell do what is owed, then carry messages until it is quiet and nothing of ours waits.

    What still waits then is on disk and is sent after the next start. Market data and timers are over.
    """

    def turn(*, hears: bool) -> None:
        sockets.wait(_POLL_MS)
        sockets.broadcasts(_BATCH)
        courier.hear_answers()
        if hears:
            courier.hear_inbox()
            courier.apply_held()
        courier.send()
        tell()

    begin = boot_ns()
    # Nothing new is taken meanwhile: an order that comes now would have to be stopped as well.
    while not node.on_stop() and boot_ns() - begin < STOP_NS:
        turn(hears=False)
    begin = quiet_since = boot_ns()
    heard = courier.heard_total
    while boot_ns() - begin < LINGER_NS and (node.outbox_depth() or boot_ns() - quiet_since < QUIET_NS):
        turn(hears=True)
        if courier.heard_total != heard:
            heard, quiet_since = courier.heard_total, boot_ns()

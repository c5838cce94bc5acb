"""Grants leases: the permission to send orders for one second, which execution needs of every issuer."""

from bus.build import build_id
from bus.clock import SessionClock, boot_ns
from bus.codec import encode_message
from bus.control import ControlFolder
from bus.failpoints import Failpoint
from bus.halt import LEASE_VALID_NS
from bus.messages import Lease, ServiceName
from bus.transport import TOPIC_LEASE, Transport


class LeaseGiver:
    """Publishes the leases of one issuer, numbered.

    Args:
        issuer: which service grants.
        control: what the control folder says.
        sockets: what carries the leases.
        clock: session time.
    """

    def __init__(self, issuer: ServiceName, control: ControlFolder, sockets: Transport, clock: SessionClock) -> None:
        self._issuer: ServiceName = issuer
        self._control = control
        self._sockets = sockets
        self._clock = clock
        self._seq = 0
        self._point = Failpoint(f"{issuer}.lease")

    def grant(self) -> bool:
        """Grant a lease where the control folder lets anybody trade; its time counts from its issue."""
        state = self._control.read()
        if state.refusal(build_id()):
            return False
        self._seq += 1
        now = self._clock.now_ns()
        lease = Lease(
            ts_event=now,
            ts_init=now,
            issuer=self._issuer,
            seq=self._seq,
            halt_counter=state.halt_counter,
            expires_boot_ns=boot_ns() + LEASE_VALID_NS,
        )
        with self._point:
            self._sockets.publish(TOPIC_LEASE, encode_message(lease))
        return True

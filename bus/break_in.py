"""The self-test of the bus's locks: each service tries to break into its own sockets before it uses them.

A CURVE server without a running ZAP handler accepts anyone who knows its public key, and nothing says so. So every
bound socket is tried with a key that nobody knows and with none at all; one that lets either in, or that keeps our own
key out, stops the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import zmq
from zmq.utils.monitor import parse_monitor_message

from bus.keys import KeyRing

_ANSWER_MS: Final = 2_000
_FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_DISCONNECTED,
)
#: (public, secret) in Z85, or None for a connection without keys.
_Keys = tuple[bytes, bytes] | None
Answer = Literal["let in", "kept out", "no answer"]


@dataclass(frozen=True)
class Door:
    """A bound socket: its address, and the kind of socket that connects to it."""

    address: str
    knocks_with: int


def break_ins(doors: Sequence[Door], ring: KeyRing) -> list[str]:
    """Return one sentence for each lock that does not hold; empty when all of them do.

    Args:
        doors: the sockets that are bound now, their ZAP handler running.
        ring: our own keys, which must be let in: a door that keeps everybody out proves nothing.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    own = (ring.public[ring.service], ring.secret)
    faults: list[str] = []
    try:
        for door in doors:
            answers: dict[str, Answer] = {
                "our own key": _knock(context, door, ring, own),
                "a key that nobody knows": _knock(context, door, ring, zmq.curve_keypair()),
                "no key": _knock(context, door, ring, None),
            }
            faults += [
                f"{door.address}: {who} was {answer}"
                for who, answer in answers.items()
                if answer != ("let in" if who == "our own key" else "kept out")
            ]
    finally:
        context.destroy(linger=0)
    return faults


def _knock(context: zmq.Context[zmq.Socket[bytes]], door: Door, ring: KeyRing, keys: _Keys) -> Answer:
    """Connect once and return what the handshake came to."""
    socket = context.socket(door.knocks_with)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, -1)
    if keys is not None:
        socket.curve_serverkey = ring.public[ring.service]
        socket.curve_publickey, socket.curve_secretkey = keys
    monitor = socket.get_monitor_socket()
    try:
        socket.connect(door.address)
        while monitor.poll(_ANSWER_MS):
            event = parse_monitor_message(monitor.recv_multipart())["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                return "let in"
            if event in _FAILED:
                return "kept out"
        return "no answer"
    finally:
        socket.disable_monitor()
        socket.close(linger=0)

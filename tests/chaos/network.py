"""An empty network for this process and all that it starts: a namespace with nothing but its own loopback."""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_NEW_USER = 0x10000000
_NEW_NET = 0x40000000
_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914
_IFF_UP = 1
_REQUEST = "16sh22x"


def enter_empty_network() -> str:
    """Leave the machine's network, where the system lets an ordinary process do that; return in words what happened."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return "NOTE: this system has no network namespaces; the machine's own network is used"
    # Where root may not make a namespace of users, it may still make one of the network alone.
    if user == 0 and libc.unshare(_NEW_NET) == 0:
        return _described()
    if libc.unshare(_NEW_USER | _NEW_NET) != 0:
        why = os.strerror(ctypes.get_errno())
        return f"NOTE: the system refuses a network namespace ({why}); the machine's own network is used"
    # The namespace is made; from here on a failure is a failure.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    return _described()


def enter_network_of_its_own() -> None:
    """Leave the network once more, for a second namespace beside the first.

    Raises:
        OSError: the system refuses it.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _bring_up("lo")


def _described() -> str:
    _bring_up("lo")
    names = ", ".join(name for _, name in socket.if_nameindex())
    return f"network: an empty namespace ({names})"


def _bring_up(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack(_REQUEST, interface.encode(), 0)
        _, flags = struct.unpack(_REQUEST, fcntl.ioctl(probe, _GET_FLAGS, request))
        fcntl.ioctl(probe, _SET_FLAGS, struct.pack(_REQUEST, interface.encode(), flags | _IFF_UP))

"""Make a Python on Linux look like one on macOS to the code it runs: on PYTHONPATH it is imported at the start.

What macOS lacks is taken away, so that code which needs it without asking fails as it would there.
Source: the availability notes of Python 3.11's documentation of os, time, signal, select and socket.
"""

import ctypes
import os
import select
import signal
import socket
import sys
import sysconfig
import time
from typing import Any

ABSENT = {
    os: (
        "copy_file_range", "eventfd", "fdatasync", "getrandom", "memfd_create", "pidfd_open", "posix_fadvise",
        "posix_fallocate", "sched_getaffinity", "sched_setaffinity", "sched_getscheduler", "sched_setscheduler",
        "setns", "splice", "unshare", "SCHED_BATCH", "SCHED_IDLE", "O_DIRECT", "O_PATH", "O_TMPFILE",
    ),
    time: ("CLOCK_BOOTTIME", "CLOCK_TAI", "pthread_getcpuclockid"),
    signal: ("SIGPWR", "SIGSTKFLT", "SIGPOLL", "SIGRTMIN", "SIGRTMAX", "sigtimedwait", "sigwaitinfo"),
    select: ("epoll",),
    socket: ("AF_NETLINK", "AF_PACKET", "SO_PEERCRED", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "SO_BINDTODEVICE"),
}  # fmt: skip


class _Library(ctypes.CDLL):
    """The C library without the calls of the Linux kernel."""

    def __getattr__(self, name: str) -> Any:
        if name in {"prctl", "adjtimex", "fallocate", "sync_file_range"}:
            raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")
        return super().__getattr__(name)


# What the interpreter itself is built with stays as it is: read before the name of the system changes.
sysconfig.get_config_vars()
for _module, _names in ABSENT.items():
    for _name in _names:
        if hasattr(_module, _name):
            delattr(_module, _name)
ctypes.CDLL = _Library
sys.platform = "darwin"

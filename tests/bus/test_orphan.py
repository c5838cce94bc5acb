"""A service outlives its terminal, not its supervisord."""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from bus.orphan import Parent

#: Binds itself to its parent, says so, and freezes itself where the kernel can end a frozen process.
CHILD = """
import os, signal, sys
from bus.orphan import die_with
print(die_with(os.getppid()), os.getpid(), flush=True)
while os.getppid() == int(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGSTOP if sys.platform == "linux" else 0)
"""
#: The parent: starts the child, waits until it is frozen, says so and lives on.
PARENT = f"""
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(os.getpid())])
if sys.platform == "linux":
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
print("frozen", child.pid, flush=True)
signal.pause()
"""


def test_a_service_when_supervisord_is_gone_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Parent({"SUPERVISOR_ENABLED": "1"})
    assert not parent.has_died()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert parent.has_died()


def test_a_service_when_started_by_hand_has_no_parent_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Parent({})
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not parent.has_died()


def test_a_frozen_service_when_its_parent_is_killed_ends() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    said = dict(parent.stdout.readline().split() for _ in range(2))
    child = int(said["True"])
    assert "frozen" in said
    try:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        # The child holds the other end of the pipe: it is closed when the child is gone, and no earlier.
        is_closed, _, _ = select.select([parent.stdout], [], [], 30)
        assert is_closed, "the frozen child lives on"
        assert parent.stdout.read() == ""
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_a_service_when_its_parent_ended_before_it_could_look_is_told() -> None:
    code = "import os; from bus.orphan import die_with; print(die_with(os.getppid()), die_with(os.getppid() + 1))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", "False"]

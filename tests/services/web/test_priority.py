"""Where the web interface stands on the cores: behind the chain, with all that it starts."""

import os
import subprocess
import sys
from pathlib import Path

from config.paths import HOME_VARIABLE
from services.web.priority import NICENESS

_TELL = """
import os, subprocess, sys, threading
from services.web.priority import stand_behind_the_chain

stand_behind_the_chain()
places = [os.getpriority(os.PRIO_PROCESS, 0)]
thread = threading.Thread(target=lambda: places.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
thread.start()
thread.join()
print(*places, flush=True)
subprocess.run([sys.executable, "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"], check=True)
print(not hasattr(os, "SCHED_BATCH") or os.sched_getscheduler(0) == os.SCHED_BATCH)
"""


def test_web_interface_when_it_stands_behind_the_chain_then_its_threads_and_processes_do_too() -> None:
    done = subprocess.run([sys.executable, "-c", _TELL], capture_output=True, text=True, check=True)
    behind = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
    assert done.stdout.split() == [str(behind)] * 3 + ["True"]


def test_web_interface_when_it_is_started_then_stands_there(tmp_path: Path) -> None:
    code = "import runpy, os\ntry:\n    runpy.run_module('services.web', run_name='__main__', alter_sys=True)\n"
    code += "except SystemExit:\n    print(os.getpriority(os.PRIO_PROCESS, 0))"
    env = {**os.environ, HOME_VARIABLE: str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, "--self-check"], capture_output=True, text=True, check=False, env=env
    )
    assert done.stdout.split() == [str(min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19))], done.stderr

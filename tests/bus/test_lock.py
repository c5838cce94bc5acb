"""One copy of a service for each home."""

import subprocess
import sys
from pathlib import Path

import pytest

from bus.lock import LockTakenError, service_lock
from config.paths import HomePaths


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    home.make()
    return home


def test_a_second_copy_when_the_first_runs_is_refused_with_its_process_id(paths: HomePaths) -> None:
    script = (
        "import sys; from pathlib import Path; from bus.lock import service_lock; from config.paths import HomePaths\n"
        "with service_lock(HomePaths(Path(sys.argv[1])), 'risk'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(paths.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockTakenError, match=f"process {holder.pid}"), service_lock(paths, "risk"):
            pass
        with service_lock(paths, "strategy"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with service_lock(paths, "risk"):
        pass

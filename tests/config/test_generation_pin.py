"""The pin: all services of a chain open one generation, whatever is saved while any of them lives."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from config import generation_pin
from config.paths import HomePaths

ROOT = Path(__file__).resolve().parents[2]
#: Joins the chain of a home with a number in force, says what it was given, and lives until its input ends.
SERVICE = """
import sys
from pathlib import Path
from config.generation_pin import join
from config.paths import HomePaths
print(join(HomePaths(Path(sys.argv[1])), lambda: int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


class Chain:
    """Processes that share a home."""

    def __init__(self, paths: HomePaths) -> None:
        self.paths = paths
        self.services: list[subprocess.Popen[str]] = []

    def start(self, in_force: int) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", SERVICE, str(self.paths.root), str(in_force)]
        service = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.services.append(service)
        return service

    def kill(self) -> None:
        for service in self.services:
            service.kill()
            service.wait()
            for stream in (service.stdin, service.stdout):
                if stream is not None:
                    stream.close()
        self.services = []


def said(service: subprocess.Popen[str]) -> int:
    out: IO[str] | None = service.stdout
    assert out is not None
    return int(out.readline())


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    paths = HomePaths(tmp_path / "home")
    paths.make()
    found = Chain(paths)
    yield found
    found.kill()


def test_service_when_restarted_after_a_save_then_opens_what_the_others_opened(chain: Chain) -> None:
    assert said(chain.start(in_force=7)) == 7
    late = chain.start(in_force=8)
    assert said(late) == 7
    late.kill()
    late.wait()
    assert said(chain.start(in_force=9)) == 7
    assert generation_pin.running_generation(chain.paths) == 7


def test_chain_when_all_of_it_ended_then_the_next_start_takes_what_is_in_force(chain: Chain) -> None:
    assert said(chain.start(in_force=7)) == 7
    chain.kill()
    assert generation_pin.running_generation(chain.paths) == 0
    assert generation_pin.pinned(chain.paths) == 7
    assert said(chain.start(in_force=9)) == 9


def test_chain_when_its_services_start_at_once_amid_saves_then_all_have_one_generation(chain: Chain) -> None:
    generation_pin.move(chain.paths, 3)
    looking = threading.Event()

    def look() -> None:
        while not looking.is_set():
            generation_pin.is_chain_running(chain.paths)

    watcher = threading.Thread(target=look)
    watcher.start()
    services = [chain.start(in_force=number) for number in (4, 5, 6, 7, 8, 9)]
    found = {said(service) for service in services}
    looking.set()
    watcher.join()
    assert len(found) == 1
    assert found <= {4, 5, 6, 7, 8, 9}, "a pin of a chain that is over counts for nothing"


@pytest.mark.parametrize("text", [b"", b"g1", b"\xff\xff", b"g000007"])
def test_pin_when_damaged_then_counts_as_none(chain: Chain, text: bytes) -> None:
    (chain.paths.run / generation_pin.PIN_FILE).write_bytes(text)
    assert generation_pin.pinned(chain.paths) == 0
    assert said(chain.start(in_force=5)) == 5

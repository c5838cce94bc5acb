"""A chain on two hosts that share nothing but a wire: `python two_hosts.py FOLDER` plays it and prints what it found.

Each host is a network namespace of its own, and a veth pair is the wire. Where the system gives no namespace, two
addresses of the loopback stand for the hosts, and the output says so.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "chaos")]

from network import enter_empty_network, enter_network_of_its_own  # noqa: E402 - the folder is put on the path above

from bus.halt import HaltRecord  # noqa: E402 - the same
from bus.messages import SignalRaised  # noqa: E402 - the same
from bus.processes import Chain, free_port  # noqa: E402 - the same
from bus.routes import SECOND_HOST_SERVICES  # noqa: E402 - the same
from bus.store import read_journal  # noqa: E402 - the same
from config.paths import HomePaths  # noqa: E402 - the same
from config.second_host import export, install  # noqa: E402 - the same
from replay.books import compare_books  # noqa: E402 - the same
from replay.local import play  # noqa: E402 - the same
from replay.report import fill_keys  # noqa: E402 - the same
from replay.session import DEMO_IDENTITY, SessionChoice, open_session  # noqa: E402 - the same
from replay.stage import Stage  # noqa: E402 - the same

PASSPHRASE = "one file between two hosts"
WIRE = ("first0", "second0")


def say(key: str, value: object) -> None:
    sys.stdout.write(f"{json.dumps({key: value})}\n")
    sys.stdout.flush()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=10)


class Second:
    """The other host: a process in a network of its own, told what to do line by line."""

    def __init__(self, *, is_apart: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--second", "apart" if is_apart else "beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, *words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if words:
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer.startswith("done"):
            raise SystemExit(f"the second host said: {answer or 'nothing'}")
        return answer

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def second_host(kind: str) -> None:
    """Be the second host until the input ends."""
    if kind == "apart":
        enter_network_of_its_own()
    sys.stdout.write("done\n")
    sys.stdout.flush()
    chain: Chain | None = None
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "address":
            ip("addr", "add", f"{words[0]}/24", "dev", WIRE[1])
            ip("link", "set", WIRE[1], "up")
        elif verb == "start":
            paths = HomePaths(Path(words[0]))
            paths.make()
            install(paths, Path(words[1]), PASSPHRASE)
            chain = Chain(paths, free_port())
            chain.start(quiet=True)
        elif verb == "stop" and chain is not None:
            chain.stop()
        sys.stdout.write("done\n")
        sys.stdout.flush()
    if chain is not None:
        chain.stop()


def until(holds: Callable[[], Any], what: str, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"after {timeout_s} s: {what}")
        time.sleep(0.1)


def staged(folder: Path, second: Second, addresses: tuple[str, str], choice: SessionChoice, timeout_ms: int) -> Stage:
    """Configure the first host by its page, carry the keys over, and start both."""
    stage = Stage(HomePaths(folder / "a"), free_port())
    divided = {
        "BUS_TRANSPORT": "tcp",
        "BUS_TCP_HOST": addresses[0],
        "BUS_TCP_SECOND_HOST": addresses[1],
        "HEARTBEAT_TIMEOUT": str(timeout_ms),
    }
    stage.configure(choice.settings() | divided, DEMO_IDENTITY)
    stage.stop()
    export(stage.chain.paths, SECOND_HOST_SERVICES, PASSPHRASE, folder / "keys")
    second.tell("start", str(folder / "b"), str(folder / "keys"))
    stage.resume()
    return stage


def whole_session(folder: Path, second: Second, addresses: tuple[str, str]) -> None:
    """Play a session over the wire, and compare it with the same one in one process."""
    folder.mkdir()
    choice = SessionChoice()
    stage = staged(folder, second, addresses, choice, 10_000)
    try:
        stage.arm("two hosts")
        stage.wait_for_end(150)
        running = stage.chain.control("status")
        say("first_host", sorted(line.split(":")[1].split()[0] for line in running.splitlines() if "RUNNING" in line))
    finally:
        stage.stop()
        second.tell("stop")
    here = fill_keys(read_journal(stage.chain.paths.state / "execution.db"))
    alone = fill_keys(play(open_session(choice.settings(), HomePaths((folder / "unused").absolute()))).of("execution"))
    signals = [e for e in read_journal(folder / "b" / "state" / "strategy.db") if isinstance(e, SignalRaised)]
    say("fills", len(here))
    say("same_fills_as_one_process", here == alone)
    say("signals_on_the_second_host", len(signals))
    say("books", compare_books(stage.chain.paths, DEMO_IDENTITY))
    say("journals_here", sorted(path.stem for path in stage.chain.paths.state.glob("*.db")))


def cut_wire(folder: Path, second: Second, addresses: tuple[str, str], *, is_apart: bool) -> None:
    """Trade, cut the wire, and see the chain halt."""
    folder.mkdir()
    stage = staged(folder, second, addresses, SessionChoice(speed="60"), 2_000)
    try:
        stage.arm("until the wire is cut")
        until(lambda: stage.chain_state().get("state") == "ACTIVE", "the chain is not active", 60)
        if is_apart:
            ip("link", "set", WIRE[0], "down")
        else:
            second.tell("stop")
        until(lambda: stage.chain_state().get("state") == "HALTED", "the chain goes on without its strategies", 30)
    finally:
        stage.stop()
        if is_apart:
            second.tell("stop")
    import msgspec

    records = sorted(stage.chain.paths.halts.glob("*.json"))
    say("halted_by", [msgspec.json.decode(path.read_bytes(), type=HaltRecord).rule for path in records])


def main(folder: Path) -> None:
    """Play both on two hosts."""
    note = enter_empty_network()
    is_apart = not note.startswith("NOTE")
    say("network", note)
    addresses = ("10.77.0.1", "10.77.0.2") if is_apart else ("127.0.0.2", "127.0.0.3")
    second = Second(is_apart=is_apart)
    try:
        if is_apart:
            ip("link", "add", WIRE[0], "type", "veth", "peer", "name", WIRE[1], "netns", str(second.pid))
            ip("addr", "add", f"{addresses[0]}/24", "dev", WIRE[0])
            ip("link", "set", WIRE[0], "up")
            second.tell("address", addresses[1])
        whole_session(folder / "s", second, addresses)
        cut_wire(folder / "c", second, addresses, is_apart=is_apart)
    finally:
        second.end()


if __name__ == "__main__":
    if sys.argv[1] == "--second":
        second_host(sys.argv[2])
    else:
        main(Path(sys.argv[1]))

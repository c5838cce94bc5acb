"""The server process: starts where it may, says why where it may not, and ends at once."""

import os
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from canaries import PASSWORD

from bus.assembly import Setup
from bus.codec import CommandAnswer
from bus.control import ControlFolder
from bus.halt import HaltRecord
from bus.keys import make_pairs
from bus.lock import service_lock
from bus.messages import Message, ResolveStream
from config import generation_pin
from config.paths import HomePaths
from config.vault import Secrets, Vault
from services.web import server
from services.web.assets import VENDOR, asset_faults
from services.web.hub import StatusHub
from services.web.server import Publish

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server start where the front-end packages are not installed."""
    monkeypatch.setattr(server, "asset_faults", lambda: ())


def test_start_when_port_is_in_use_then_says_so_and_returns_two(
    home: HomePaths, front_end: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code = server.main([], {"TRADEBOT_HOME": str(home.root), "TRADEBOT_WEB_PORT": port})
    assert code == 2
    assert f"Port {port} of 127.0.0.1 is in use" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "٣"])
def test_start_when_port_is_nonsense_then_says_so_and_returns_two(
    home: HomePaths, front_end: None, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    assert server.main([], {"TRADEBOT_HOME": str(home.root), "TRADEBOT_WEB_PORT": port}) == 2
    assert "TRADEBOT_WEB_PORT" in capsys.readouterr().err


def test_start_when_front_end_is_missing_then_says_make_setup(tmp_path: Path) -> None:
    faults = asset_faults(tmp_path)
    assert len(faults) == len(VENDOR)
    assert all("make setup" in fault for fault in faults)


def test_start_when_a_key_is_missing_then_returns_two(
    configured: HomePaths, front_end: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (configured.keys / "g000001.key").unlink()
    assert server.main([], {"TRADEBOT_HOME": str(configured.root)}) == 2
    assert "g000001.key is missing" in capsys.readouterr().err


def test_self_check_when_all_is_well_then_returns_zero_and_does_not_serve(
    configured: HomePaths, front_end: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.main(["--self-check"], {"TRADEBOT_HOME": str(configured.root)}) == 0
    assert "no fault" in capsys.readouterr().err


def test_self_check_when_something_is_wrong_then_returns_one(
    configured: HomePaths, front_end: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (configured.secrets / "g000001" / "users.enc").unlink()
    assert server.main(["--self-check"], {"TRADEBOT_HOME": str(configured.root)}) == 1
    assert "users.enc is missing" in capsys.readouterr().err


def test_self_check_when_a_setting_is_wrong_then_returns_one_and_names_it(
    configured: HomePaths, front_end: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _spoil(configured)
    assert server.main(["--self-check"], {"TRADEBOT_HOME": str(configured.root)}) == 1
    assert "MAX_SPREAD is missing" in capsys.readouterr().err


class FakeListener:
    """Remembers what it was made with and how often it started and stopped."""

    def __init__(self, setup: Setup, secrets: Secrets, publish: Publish) -> None:
        self.setup, self.secrets, self.publish = setup, secrets, publish
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def tell_halt(self, record: HaltRecord) -> None:
        self.calls.append(f"halt {record.counter}")

    def command(self, message: ResolveStream, timeout_s: float) -> CommandAnswer | None:
        return CommandAnswer(message.command_id, True, f"within {timeout_s}")


def test_ear_when_started_twice_then_one_listener_feeds_the_hub(
    configured: HomePaths, hub: StatusHub, say: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "set_up_logs", lambda *_arguments: None)
    made: list[FakeListener] = []

    def factory(setup: Setup, secrets: Secrets, publish: Publish) -> FakeListener:
        made.append(FakeListener(setup, secrets, publish))
        return made[-1]

    ear = server.Ear(configured, hub, factory)
    secrets = Vault(configured).open()
    ear.start(secrets)
    ear.start(secrets)
    ear.stop()
    ear.stop()
    assert [listener.calls for listener in made] == [["start", "stop"]]
    assert made[0].setup.identity.bot_id == "BOT01"
    made[0].publish(say("chain"), "watchdog")
    assert hub.snapshot()["chain"]["state"] == "ACTIVE"


def test_ear_when_the_chain_turns_to_another_generation_then_listens_with_its_keys_and_not_before(
    configured: HomePaths, hub: StatusHub
) -> None:
    made: list[FakeListener] = []

    def factory(setup: Setup, secrets: Secrets, publish: Callable[[Message], None]) -> FakeListener:
        made.append(FakeListener(setup, secrets, publish))
        return made[-1]

    vault, ear = Vault(configured, new_pairs=make_pairs), server.Ear(configured, hub, factory)
    generation_pin.move(configured, 1)
    ear.follow(vault)
    assert made == [], "what never listened does not begin by itself"
    ear.start(vault.open())
    vault.replace(vault.open(), 1)
    ear.follow(vault)
    assert len(made) == 1, "a save moves nothing"
    generation_pin.move(configured, 7)
    ear.follow(vault)
    assert [listener.calls for listener in made] == [["start"]], "a generation that is not there is not followed"
    generation_pin.move(configured, 2)
    ear.follow(vault)
    ear.follow(vault)
    assert [listener.calls for listener in made] == [["start", "stop"], ["start"]]
    assert made[1].secrets == vault.open(2)
    assert made[1].setup.generation == 2


def test_ear_when_it_listens_then_passes_on_what_pages_say_and_before_and_after_that_nothing(
    configured: HomePaths, hub: StatusHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "set_up_logs", lambda *_arguments: None)
    made: list[FakeListener] = []

    def factory(setup: Setup, secrets: Secrets, publish: Publish) -> FakeListener:
        made.append(FakeListener(setup, secrets, publish))
        return made[-1]

    ear = server.Ear(configured, hub, factory)
    record = ControlFolder(configured).raise_halt("web", "operator", "now")
    command = ResolveStream(
        ts_event=0,
        ts_init=0,
        command_id="c1",
        expires_boot_ns=1,
        halt_counter=1,
        operator="olga",
        reason="x",
        receiver="execution",
        sender="risk",
        action="skip_message",
        seq=2,
    )
    ear.tell_halt(record)
    assert ear.command(command, 1.5) is None
    ear.start(Vault(configured).open())
    ear.tell_halt(record)
    assert ear.command(command, 1.5) == CommandAnswer("c1", True, "within 1.5")
    ear.stop()
    ear.tell_halt(record)
    assert ear.command(command, 1.5) is None
    assert made[0].calls == ["start", "halt 1", "stop"]


FAKE_EAR = """
class Deaf:
    def __init__(self, *arguments): pass
    def start(self): pass
    def stop(self): pass
raise SystemExit(s.main([], None, Deaf))
"""
PROGRAM = """
import sys
from services.web import server
server.asset_faults = lambda: ()
sys.exit(server.main([]))
"""


@pytest.fixture
def process(home: HomePaths) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "TRADEBOT_HOME": str(home.root), "TRADEBOT_WEB_PORT": str(port)}
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    assert "open http://127.0.0.1" in child.stderr.readline()
    yield child, port
    child.kill()
    child.wait()
    child.stderr.close()


def _spoil(home: HomePaths) -> None:
    """Take a setting out, as a home has it that an older version configured."""
    secrets = Vault(home).open()
    settings = {key: text for key, text in secrets.settings.items() if key != "MAX_SPREAD"}
    Vault(home).replace(msgspec.structs.replace(secrets, settings=settings), secrets.generation)


def test_process_when_settings_are_of_an_older_version_then_it_starts_and_shows_where_to_confirm_them(
    configured: HomePaths,
) -> None:
    _spoil(configured)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "TRADEBOT_HOME": str(configured.root), "TRADEBOT_WEB_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        assert "those of another version" in child.stderr.readline()
        assert "MAX_SPREAD is missing" in child.stderr.readline()
        assert "open http://127.0.0.1" in child.stderr.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            assert b'"configured":true' in answer.read()
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=10) == 0


def test_server_when_told_to_stop_with_streams_open_then_ends_cleanly_at_once(
    configured: HomePaths, password_hash: str
) -> None:
    program = "import services.web.server as s\ns.asset_faults = lambda: ()" + FAKE_EAR
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "TRADEBOT_HOME": str(configured.root), "TRADEBOT_WEB_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        assert "open http://127.0.0.1" in child.stderr.readline()
        jar = urllib.request.HTTPCookieProcessor()
        opener = urllib.request.build_opener(jar)
        address = f"http://127.0.0.1:{port}"
        page = opener.open(f"{address}/login", timeout=10).read().decode()
        token = page.split('name="csrf_token" value="')[1].split('"')[0]
        fields = {"name": "vera", "password": PASSWORD, "csrf_token": token}
        opener.open(f"{address}/login", urllib.parse.urlencode(fields).encode(), timeout=10).close()
        streams = [opener.open(f"{address}/stream", timeout=10) for _ in range(3)]
        for stream in streams:
            while not stream.readline().startswith(b"data:"):
                pass
        child.send_signal(signal.SIGTERM)
        # Well below the five seconds that the server would wait for a thread that does not end.
        assert child.wait(timeout=4) == 0
        for stream in streams:
            stream.close()


def test_process_when_told_to_stop_then_ends_cleanly(process: tuple[subprocess.Popen[str], int]) -> None:
    child, port = process
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        assert b'"ok"' in answer.read()
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=10) == 0


def test_start_when_another_copy_runs_on_the_home_then_returns_75(
    home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    with service_lock(home, "web"):
        assert server.main([], {"TRADEBOT_HOME": str(home.root)}) == 75
    assert "already runs" in capsys.readouterr().err

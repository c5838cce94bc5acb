"""From the browser's form to a stream that goes on: a real service, the real listener and the real application."""

import re
import secrets as random_ids
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from flask import Flask

from bus.assembly import Assembly, Setup
from bus.codec import Ack, Data, Greet, Hello, Refusal, Welcome, decode_frame, encode_frame, encode_message
from bus.control import ControlFolder
from bus.decider import Shell
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.listener import StatusListener
from bus.messages import OrderFilled, StreamResolved
from bus.runner import Runner
from bus.sockets import BusSockets
from bus.store import read_journal
from bus.testing import RecorderCore, RecorderState, a_fill
from config.env_bot import parse
from config.paths import HomePaths
from config.vault import Vault
from services.web.app import create_app
from services.web.hub import StatusHub

T = TypeVar("T")
DEADLINE_S = 10.0
PATH = "/control/streams"
POISON = b"\xc1poison"


def until(found: Callable[[], T | None], what: str, doing: Callable[[], object]) -> T:
    """Repeat `doing`, which waits a little, until something is found."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if value := found():
            return value
        doing()
    raise AssertionError(f"no {what}")


class Execution:
    """The sender: says fills to the ledger, one of them not readable, and repeats what is not acknowledged."""

    def __init__(self, paths: HomePaths) -> None:
        self.cursor = 0
        self.refused = ""
        self._epoch = random_ids.token_hex(4)
        self._payloads = [encode_message(a_fill("e1")), POISON, encode_message(a_fill("e3"))]
        self._sockets = BusSockets(KeyRing.of("execution", Vault(paths).open().curve), Endpoints(paths))
        self._sockets.bind()
        self._sockets.connect(["ledger"])

    def turn(self) -> None:
        """Say Hello or what is not acknowledged, and hear the answers."""
        self._hello("")
        for seq, payload in enumerate(self._payloads, 1):
            if seq > self.cursor:
                self._sockets.send("ledger", encode_frame(Data(self._epoch, seq, 0, payload)))
        self._sockets.wait(50)
        for _, payload in self._sockets.answers(100):
            match decode_frame(payload):
                case Greet(nonce):
                    self._hello(nonce)
                case Welcome(_, cursor) | Ack(_, cursor):
                    self.cursor, self.refused = max(self.cursor, cursor), ""
                case Refusal(detail):
                    self.refused = detail

    def _hello(self, nonce: str) -> None:
        last = len(self._payloads)
        self._sockets.send("ledger", encode_frame(Hello(nonce, self._epoch, self.cursor + 1, last, last)))

    def close(self) -> None:
        self._sockets.close()


@pytest.fixture
def home(short_home: HomePaths) -> HomePaths:
    """The home that the shared fixtures configure."""
    return short_home


@pytest.fixture
def setup(configured: HomePaths) -> Setup:
    secrets = Vault(configured).open()
    return Setup(paths=configured, env=parse(secrets.settings), identity=secrets.identity)


@pytest.fixture
def listener(setup: Setup, hub: StatusHub) -> Iterator[StatusListener]:
    ring = KeyRing.of("web", Vault(setup.paths).open().curve)
    made = StatusListener(setup, ring, lambda _sender, message: hub.publish(message))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def app(configured: HomePaths, hub: StatusHub, listener: StatusListener) -> Flask:
    return create_app(configured, hub, bus=listener)


@pytest.fixture
def ledger(setup: Setup) -> Iterator[Shell[RecorderState]]:
    """Run a real service under the ledger's name, in a thread."""
    shell: Shell[RecorderState] = Shell()
    ring = KeyRing.of("ledger", Vault(setup.paths).open().curve)
    runner = Runner("ledger", setup, BusSockets(ring, Endpoints(setup.paths)))

    def build(_setup: Setup) -> Assembly[RecorderState]:
        return Assembly(core=RecorderCore(), shell=shell, attach=lambda _ports: None)

    def live() -> None:
        # The store belongs to the thread that opened it, as to the one thread of a process.
        runner.start(build)
        runner.run()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    yield shell
    runner.stop()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


@pytest.fixture
def execution(configured: HomePaths) -> Iterator[Execution]:
    made = Execution(configured)
    yield made
    made.close()


def fills(paths: HomePaths) -> list[str]:
    journal = read_journal(paths.state / "ledger.db")
    return [event.execution_id for event in journal if isinstance(event, OrderFilled)]


def form_of(page: str) -> dict[str, str]:
    """Return the hidden fields of the page's only answer form."""
    form = page.partition('action="/control/streams"')[2].partition("</form>")[0]
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))


def test_a_poisoned_stream_when_an_operator_skips_the_message_on_the_page_goes_on_and_only_once(
    ledger: Any, execution: Execution, person_of: Callable[[str], Any], hub: StatusHub, configured: HomePaths
) -> None:
    until(lambda: execution.refused, "refusal", execution.turn)
    until(hub.stopped_streams, "stopped stream in a heartbeat", execution.turn)
    assert fills(configured) == ["e1"]
    olga = person_of("olga")
    form = form_of(olga.get(PATH).text)
    assert (form["receiver"], form["sender"], form["action"], form["seq"]) == (
        "ledger",
        "execution",
        "skip_message",
        "2",
    )
    form |= {"reason": "seen, not needed", "password": olga.password}
    answer = olga.post_bare(PATH, form)
    assert answer.status_code == 303, answer.text
    assert "ledger answers: The stream goes on." in olga.get("/").text
    until(lambda: execution.cursor == 3, "acknowledgement of the message after it", execution.turn)
    assert fills(configured) == ["e1", "e3"]
    again = olga.post_bare(PATH, form)
    assert again.status_code == 409
    assert "ledger refuses: execution&#39;s stream to ledger is not stopped" in again.text
    (resolved,) = [e for e in read_journal(configured.state / "ledger.db") if isinstance(e, StreamResolved)]
    assert (resolved.operator, resolved.reason, resolved.seq) == ("olga", "seen, not needed", 2)
    until(lambda: hub.stopped_streams() == () or None, "heartbeat without it", execution.turn)
    assert ControlFolder(configured).read().is_halted(), "only arming ends a halt"
    assert olga.post("/control/arm", {**form, "halt_counter": "1"}).status_code == 303


def test_a_stopped_stream_when_its_service_is_gone_is_answered_by_nobody(
    configured: HomePaths, person_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.web.streams_web.ANSWER_TIMEOUT_S", 0.05)
    ControlFolder(configured).raise_halt("ledger", "poison_message", "cannot be read")
    form = {"receiver": "ledger", "sender": "execution", "action": "skip_message", "seq": "2", "halt_counter": "1"}
    olga = person_of("olga")
    answer = olga.post(PATH, {**form, "reason": "x", "password": olga.password}, form_on="/")
    assert answer.status_code == 503
    assert "Nobody answered: is ledger up?" in answer.text

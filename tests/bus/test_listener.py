"""The web's place on the bus, over real sockets: halts told at once, commands answered, lies dropped."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from peers import DEADLINE_S, Peer, Rig

from bus import listener as listener_module
from bus.clock import boot_ns
from bus.codec import Ack, Command, CommandAnswer, Frame, decode_message
from bus.commands import COMMAND_VALID_NS
from bus.listener import Doorbell, StatusListener
from bus.messages import Heartbeat, Message, ResolveStream, ServiceName
from bus.sockets import BindError
from bus.testing import a_beat, a_fill
from bus.transport import TOPIC_STATUS
from config.paths import HomePaths
from config.vault import CurvePair

AN_HOUR_NS = 3_600_000_000_000


class CommandTaker(Peer):
    """Another service: hears halts and heartbeats of the web, and takes its commands."""

    def __init__(self, name: ServiceName, rig: "ListenerRig") -> None:
        super().__init__(name, rig)
        self.commands: list[ResolveStream] = []
        self.answer_of: Callable[[ResolveStream], Frame | None] = lambda c: CommandAnswer(c.command_id, True, name)

    def hear_frame(self, frame: Frame) -> None:
        assert isinstance(frame, Command)
        command = decode_message(frame.payload)
        assert isinstance(command, ResolveStream)
        self.commands.append(command)
        answer = self.answer_of(command)
        if answer is not None:
            self.reply(answer)

    def hear_answer(self, frame: Frame) -> None:
        raise AssertionError(f"the web answers nobody, and said {frame}")

    def counted(self, number: int, doing: Callable[[], None] = lambda: None) -> Heartbeat:
        """Wait until the web says that it has dropped so many messages."""
        return self.until(
            lambda: next((beat for beat in self.beats if beat.rejected_messages >= number), None), "count", doing
        )


class ListenerRig(Rig[CommandTaker]):
    """The listener, its home, and the other services around it."""

    tested = "web"
    kind_of_peer = CommandTaker

    def __init__(self, paths: HomePaths, pairs: dict[str, CurvePair]) -> None:
        super().__init__(paths, pairs)
        self.heard: list[tuple[ServiceName, Message]] = []
        self.listener = self.another()

    def another(self) -> StatusListener:
        return StatusListener(self.setup(), self.ring("web"), lambda *said: self.heard.append(said))

    def command(
        self, service: CommandTaker, command: ResolveStream, timeout_s: float = DEADLINE_S
    ) -> CommandAnswer | None:
        """Give a command as a page's thread does, while the service listens."""
        answers: list[CommandAnswer | None] = []
        thread = threading.Thread(target=lambda: answers.append(self.listener.command(command, timeout_s)))
        thread.start()
        service.until(lambda: not thread.is_alive(), "end of the command")
        return answers[0]


@pytest.fixture
def rig(short_home: HomePaths, pairs: dict[str, CurvePair]) -> Iterator[ListenerRig]:
    made = ListenerRig(short_home, pairs)
    made.listener.start()
    yield made
    made.listener.stop()
    made.close_peers()


@pytest.fixture
def waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the socket thread wait for an hour, so that only a doorbell or a message ends its wait."""
    monkeypatch.setattr(listener_module, "_HEARTBEAT_NS", AN_HOUR_NS)


def a_command(**changes: Any) -> ResolveStream:
    command = ResolveStream(
        ts_event=0,
        ts_init=0,
        command_id="c1",
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS,
        halt_counter=1,
        operator="olga",
        reason="compared the books",
        receiver="execution",
        sender="risk",
        action="accept_history",
        seq=4,
    )
    return replace(command, **changes)


# --- halts -------------------------------------------------------------------------------------------------------


def test_a_halt_when_told_is_published_though_the_thread_waits_for_an_hour(
    waits_for_ever: None, rig: ListenerRig
) -> None:
    execution = rig.peer("execution")
    record = rig.control.raise_halt("web", "operator", "olga: runaway")
    notice = execution.until(lambda: execution.halts[-1:], "halt", lambda: rig.listener.tell_halt(record))[0]
    assert (notice.counter, notice.source, notice.rule, notice.detail) == (1, "web", "operator", "olga: runaway")


def test_a_halt_when_the_thread_has_ended_is_no_error(rig: ListenerRig, caplog: pytest.LogCaptureFixture) -> None:
    other = rig.another()
    record = rig.control.raise_halt("web", "operator", "olga: runaway")
    for _ in range(100):
        other.tell_halt(record)
    assert "halt 1 is on disk and could not be told at once" in caplog.text


# --- commands ----------------------------------------------------------------------------------------------------


def test_a_command_when_given_reaches_its_receiver_whole_and_its_answer_comes_back(
    waits_for_ever: None, rig: ListenerRig
) -> None:
    execution = rig.peer("execution")
    command = a_command()
    assert rig.command(execution, command) == CommandAnswer("c1", True, "execution")
    assert execution.commands == [command]


@pytest.mark.parametrize("receiver", ["screener", "strategy", "risk", "execution", "ledger", "watchdog"])
def test_a_command_when_given_to_any_service_with_an_inbox_is_answered(rig: ListenerRig, receiver: ServiceName) -> None:
    answer = rig.command(rig.peer(receiver), a_command(receiver=receiver))
    assert answer == CommandAnswer("c1", True, receiver)


def test_a_command_when_refused_brings_the_words_back(rig: ListenerRig) -> None:
    execution = rig.peer("execution")
    execution.answer_of = lambda command: CommandAnswer(command.command_id, False, "it is older than 10 s")
    answer = rig.command(execution, a_command())
    assert answer is not None
    assert (answer.is_done, answer.detail) == (False, "it is older than 10 s")


def test_a_command_when_its_receiver_is_not_up_is_answered_by_nobody(rig: ListenerRig) -> None:
    assert rig.listener.command(a_command(), 0.05) is None


def test_a_command_when_the_web_itself_is_meant_is_a_fault_of_ours(rig: ListenerRig) -> None:
    with pytest.raises(ValueError, match="web takes no commands"):
        rig.listener.command(a_command(receiver="web"), 0.05)


def test_an_answer_when_it_is_to_another_command_or_comes_from_another_service_does_not_count(
    rig: ListenerRig, caplog: pytest.LogCaptureFixture
) -> None:
    execution, risk = rig.peer("execution"), rig.peer("risk")
    assert rig.command(risk, a_command(command_id="c0", receiver="risk"))
    execution.answer_of = lambda _command: CommandAnswer("c9", True, "another")
    answers: list[CommandAnswer | None] = []
    thread = threading.Thread(target=lambda: answers.append(rig.listener.command(a_command(), DEADLINE_S)))
    thread.start()
    execution.until(lambda: execution.commands, "command")
    risk.reply(CommandAnswer("c1", True, "not mine"))
    execution.until(lambda: caplog.text.count("nobody waits for") == 2, "two answers that do not count")
    assert thread.is_alive()
    execution.reply(CommandAnswer("c1", True, "mine"))
    execution.until(lambda: not thread.is_alive(), "end of the command")
    assert answers == [CommandAnswer("c1", True, "mine")]


def test_commands_when_given_by_many_threads_at_once_get_each_its_own_answer(rig: ListenerRig) -> None:
    execution = rig.peer("execution")
    execution.answer_of = lambda command: CommandAnswer(command.command_id, True, f"to {command.command_id}")
    answers: dict[str, CommandAnswer | None] = {}

    def give(command_id: str) -> None:
        answers[command_id] = rig.listener.command(a_command(command_id=command_id), DEADLINE_S)

    names = [f"c{number}" for number in range(20)]
    threads = [threading.Thread(target=give, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    execution.until(lambda: not any(thread.is_alive() for thread in threads), "end of all commands")
    assert answers == {name: CommandAnswer(name, True, f"to {name}") for name in names}


def test_a_command_when_the_listener_stops_ends_without_an_answer(
    short_home: HomePaths, pairs: dict[str, CurvePair]
) -> None:
    rig = ListenerRig(short_home, pairs)
    rig.listener.start()
    execution = rig.peer("execution")
    execution.answer_of = lambda _command: None
    answers: list[CommandAnswer | None] = []
    thread = threading.Thread(target=lambda: answers.append(rig.listener.command(a_command(), 3_600)))
    thread.start()
    execution.until(lambda: execution.commands, "command")
    rig.listener.stop()
    thread.join(DEADLINE_S)
    assert answers == [None]
    assert rig.listener.command(a_command(command_id="c2"), 3_600) is None
    rig.close_peers()


# --- what it hears -----------------------------------------------------------------------------------------------


def test_status_when_its_sender_may_say_it_is_passed_on_with_its_sender(rig: ListenerRig) -> None:
    risk = rig.peer("risk")
    beat = a_beat("risk")
    risk.until(lambda: ("risk", beat) in rig.heard, "heartbeat", lambda: risk.publish(TOPIC_STATUS, beat))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (a_fill(), "risk may not say OrderFilled here"),
        (a_beat("execution"), "risk may not say another service's heartbeat here"),
        (b"\xc1poison", "risk may not say what is not a message here"),
    ],
    ids=["of another service", "in another's name", "not a message"],
)
def test_status_when_it_may_not_be_said_is_dropped_and_counted_and_logged_once(
    rig: ListenerRig, caplog: pytest.LogCaptureFixture, said: Message | bytes, words: str
) -> None:
    caplog.set_level(logging.WARNING)
    risk = rig.peer("risk")
    assert risk.counted(3, lambda: risk.publish(TOPIC_STATUS, said)).rejected_messages >= 3
    assert rig.heard == []
    assert caplog.text.count(words) == 1


def test_a_message_when_sent_to_the_inbox_or_as_an_answer_is_dropped_and_counted(rig: ListenerRig) -> None:
    risk = rig.peer("risk")
    assert rig.command(risk, a_command(receiver="risk"))
    risk.send(b"\xc1poison")
    risk.reply(Ack("e1", 1))
    risk.reply(b"\xc1poison")
    assert risk.counted(3).rejected_messages == 3
    assert rig.command(risk, a_command(command_id="c2", receiver="risk"))


def test_the_web_when_it_listens_says_that_it_is_alive(rig: ListenerRig) -> None:
    watchdog = rig.peer("watchdog")
    first, second = watchdog.until(lambda: watchdog.beats[:2] if len(watchdog.beats) > 1 else None, "two heartbeats")
    assert (first.service, first.state, first.rejected_messages) == ("web", "ready", 0)
    assert first.boot_id == second.boot_id


def test_a_second_listener_when_the_chain_has_one_on_tcp_cannot_start(rig: ListenerRig) -> None:
    setup = rig.setup(BUS_TRANSPORT="tcp", BUS_TCP_PORT="23570")
    first, second = (StatusListener(setup, rig.ring("web"), lambda *_said: None) for _ in range(2))
    first.start()
    with pytest.raises(BindError, match="cannot be used"):
        second.start()
    first.stop()


# --- the doorbell ------------------------------------------------------------------------------------------------


def test_a_doorbell_when_rung_very_often_or_closed_never_blocks_and_is_hushed_at_once() -> None:
    bell = Doorbell()
    for _ in range(100_000):
        bell.ring()
    bell.hush()
    bell.hush()
    bell.close()
    bell.ring()

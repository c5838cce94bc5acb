"""Commands and questions of a service's own, over real sockets: once, fresh, and never in anybody's way."""

import dataclasses
from typing import Any

from msgspec.structs import replace
from runner_rig import NAME, RunnerRig

from bus.clock import boot_ns
from bus.codec import Command, CommandAnswer, encode_message
from bus.commands import COMMAND_VALID_NS, Deciding, Outcome, Pending
from bus.messages import AskLedger, OperatorRequest, ReverseEntry


class Office:
    """Carries commands out as a service does, and answers questions when the test says so."""

    def __init__(self, rig: RunnerRig) -> None:
        self.taken: list[OperatorRequest] = []
        self.answers: list[Outcome] = []
        rig.start(lambda setup: dataclasses.replace(rig.build(setup), on_request=self.on_request))

    def on_request(self, request: OperatorRequest, deciding: Deciding) -> Outcome | Pending:
        self.taken.append(request)
        if isinstance(request, AskLedger):
            return lambda: self.answers.pop() if self.answers else None
        events = deciding.decided(request)
        deciding.follow(events)
        return Outcome(is_done=True, detail=f"{len(events)} done")


def _reverse(rig: RunnerRig, **changes: Any) -> Command:
    command = ReverseEntry(
        ts_event=0,
        ts_init=0,
        command_id="c1",
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS,
        halt_counter=rig.control.read().halt_counter,
        operator="ann",
        reason="wrong",
        receiver=NAME,
        entry_seq=1,
    )
    return Command(encode_message(replace(command, **changes)))


def _question() -> Command:
    question = AskLedger(
        ts_event=0,
        ts_init=0,
        command_id="q1",
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS,
        operator="ann",
        receiver=NAME,
        kind="journal",
    )
    return Command(encode_message(question))


def test_a_services_own_command_when_given_twice_is_decided_and_committed_once(rig: RunnerRig) -> None:
    office, web = Office(rig), rig.peer("web")
    assert web.told(_reverse(rig)) == CommandAnswer("c1", True, "1 done")
    assert web.told(_reverse(rig)) == CommandAnswer("c1", False, "this command was carried out before")
    assert len(office.taken) == 1
    assert len(rig.journal(ReverseEntry)) == 1


def test_a_services_own_command_when_a_halt_came_after_it_is_refused_and_a_question_is_not(rig: RunnerRig) -> None:
    office, web = Office(rig), rig.peer("web")
    before = _reverse(rig)
    rig.control.raise_halt("web", "operator", "stop")
    assert "came after it was given" in web.told(before).detail
    office.answers.append(Outcome(is_done=True, detail="", body=b"{}"))
    assert web.told(_question()) == CommandAnswer("q1", True, "", b"{}")


def test_a_question_when_its_answer_takes_a_while_holds_nothing_up(rig: RunnerRig) -> None:
    office, web = Office(rig), rig.peer("web")
    web.say(_question())
    web.until(lambda: office.taken, "question")
    assert web.told(_reverse(rig)).is_done
    office.answers.append(Outcome(is_done=True, detail="", body=b"late"))
    assert web.until(lambda: [a for a in web.command_answers if a.command_id == "q1"], "answer")[0].body == b"late"


def test_a_command_when_the_service_knows_none_is_refused_in_words(rig: RunnerRig) -> None:
    rig.start()
    assert rig.peer("web").told(_reverse(rig)).detail == f"{NAME} does not do ReverseEntry"

"""One service's streams over real sockets: one effect for each message, and a halt for what nobody may say."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace
from runner_rig import NAME, FillsOnEachStep, RunnerRig, StreamPeer, order_frame

from bus.clock import boot_ns
from bus.codec import (
    Ack,
    Command,
    CommandAnswer,
    Data,
    Hello,
    MalformedMessageError,
    Refusal,
    Welcome,
    decode_frame,
    encode_message,
)
from bus.commands import COMMAND_VALID_NS, Deciding, Outcome, Pending
from bus.messages import AskLedger, OperatorRequest, ResolveStream, ReverseEntry, StreamResolved
from bus.testing import a_plan, a_quote_batch
from bus.transport import TOPIC_MARKET

# --- numbered messages -------------------------------------------------------------------------------------------


def test_a_message_when_sent_twice_is_acknowledged_twice_and_has_one_effect(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    risk.answers.clear()
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    assert rig.orders() == ["1"]
    assert rig.quarantine() == []
    assert rig.halts() == []


def test_a_message_when_one_before_it_is_missing_waits_until_that_one_came(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    risk.answers.clear()
    risk.say(order_frame(3))
    risk.answer(Ack("e1", 1))
    assert rig.orders() == ["1"]
    risk.say(order_frame(2), order_frame(3))
    risk.answer(Ack("e1", 3))
    assert rig.orders() == ["1", "2", "3"]


def test_a_gap_when_older_messages_come_after_it_is_answered_each_time_it_shows(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    risk.answers.clear()
    # They come at once: two that show the gap of pass 7, and a repeat between and after them.
    risk.say(*(replace(order_frame(seq), pass_number=7) for seq in (3, 1, 4, 1)))
    risk.until(lambda: risk.answers.count(Ack("e1", 1, 7)) == 2 or None, "two answers to the gap")
    assert rig.orders() == ["1"]


def test_a_message_when_applied_before_a_restart_has_no_second_effect_after_it(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    rig.stop()
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1), order_frame(2))
    risk.answer(Ack("e1", 2))
    assert rig.orders() == ["1", "2"]


# --- what nobody may say -----------------------------------------------------------------------------------------


def test_a_message_when_its_sender_may_not_say_it_halts_and_is_kept_and_not_applied(rig: RunnerRig) -> None:
    rig.start()
    watchdog = rig.peer("watchdog")
    frame = order_frame(1)
    watchdog.say(frame)
    assert rig.halt_of(watchdog, "forbidden_message") == "watchdog may not send SubmitOrder to execution"
    assert watchdog.new_beat(lambda beat: beat.rejected_messages > 0)
    assert rig.orders() == []
    (kept,) = rig.quarantine()
    assert kept == ("watchdog", "watchdog may not send SubmitOrder to execution", frame.payload)
    assert watchdog.answer(Refusal) == Refusal("watchdog may not send SubmitOrder to execution")
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    assert rig.orders() == ["1"]


@pytest.mark.parametrize("step", [0, 5], ids=["of this step", "of a step to come"])
def test_a_sender_when_it_has_nothing_to_say_here_is_refused_and_counted(rig: RunnerRig, step: int) -> None:
    rig.start()
    web = rig.peer("web")
    web.is_welcome = True  # it does not care
    web.say(order_frame(1, step=step), Hello("", "e1", 1, 1, 0))
    web.new_beat(lambda beat: beat.rejected_messages == 2)
    assert rig.orders() == []
    assert [(sender, "says nothing" in why) for sender, why, _ in rig.quarantine()] == [("web", True)] * 2
    assert web.greets == []
    assert web.answers == []


def test_a_message_when_its_bytes_are_poison_halts_and_stops_that_sender_alone(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1), Data("e1", 2, 0, b"\xc1poison"), order_frame(3))
    assert rig.halt_of(risk, "poison_message").startswith("execution cannot read message 2 of risk: not a message")
    risk.until(lambda: risk.answers[2:], "third answer")
    assert risk.answers[0] == Ack("e1", 1)
    assert [isinstance(answer, Refusal) for answer in risk.answers] == [False, True, True]
    assert rig.orders() == ["1"]
    assert [(sender, payload) for sender, _, payload in rig.quarantine()] == [("risk", b"\xc1poison")]
    watchdog = rig.peer("watchdog")
    watchdog.say(Data("w", 1, 0, encode_message(a_plan())))
    watchdog.answer(Ack("w", 1))
    assert rig.halts() == ["000001.json"]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x00", b"\xc1" * 100, b"\x94\xa1d\xa1e\x01", b"\x91" * 60_000],
    ids=["nothing", "zero", "unused codes", "half a frame", "nested"],
)
def test_a_frame_when_it_is_garbage_is_counted_and_the_service_goes_on(rig: RunnerRig, garbage: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode_frame(garbage)
    rig.start()
    risk = rig.peer("risk")
    risk.say(garbage, garbage, order_frame(1))
    risk.answer(Ack("e1", 1))
    risk.new_beat(lambda beat: beat.rejected_messages == 2)
    assert rig.is_alive()
    assert rig.orders() == ["1"]
    assert [(sender, payload) for sender, _, payload in rig.quarantine()] == [("risk", garbage)] * 2


# --- streams with another history --------------------------------------------------------------------------------


def _stopped(rig: RunnerRig, epoch: str = "e1", **standing: int) -> tuple[StreamPeer, Refusal]:
    """Let risk say three messages, then come back as if its file had been put back from a copy."""
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1), order_frame(2), order_frame(3))
    risk.answer(Ack("e1", 3))
    verdict = risk.introduce(epoch, **standing)
    assert isinstance(verdict, Refusal)
    return risk, verdict


def test_a_sender_when_it_comes_with_another_history_is_refused_and_halts(rig: RunnerRig) -> None:
    risk, refusal = _stopped(rig, "e2")
    assert "another history" in refusal.detail
    assert rig.halt_of(risk, "regressed_producer") == refusal.detail
    risk.is_welcome = True
    risk.say(order_frame(4))
    risk.until(lambda: risk.greets, "greeting: the connection is not welcome any more")
    assert rig.orders() == ["1", "2", "3"]
    assert rig.halts() == ["000001.json"]


def test_a_sender_when_it_knows_fewer_messages_than_were_taken_is_refused_and_halts(rig: RunnerRig) -> None:
    risk, refusal = _stopped(rig, first=1, last=2, base=2)
    assert "3 messages were taken from it, and it knows of 2" in refusal.detail
    assert rig.halt_of(risk, "regressed_producer") == refusal.detail


def test_a_sender_when_it_was_told_of_more_than_is_known_here_is_refused_and_halts(rig: RunnerRig) -> None:
    risk, refusal = _stopped(rig, first=6, last=9)
    assert "5 messages were taken, and 3 are known here" in refusal.detail
    assert rig.halt_of(risk, "lost_history") == refusal.detail


def test_a_receiver_when_it_never_heard_a_sender_that_has_history_refuses_it(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    verdict = risk.introduce("e1", first=4, last=9)
    assert isinstance(verdict, Refusal)
    assert rig.halt_of(risk, "lost_history") == verdict.detail


def test_a_hello_when_it_is_late_and_of_an_older_greeting_is_not_believed(rig: RunnerRig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    old = risk.greets[-1].nonce
    risk.say(order_frame(2))
    risk.answer(Ack("e1", 2))
    risk.say(Hello(old, "e1", 1, 1, 1))
    risk.until(lambda: risk.greets[1:], "another greeting")
    assert rig.halts() == []


def test_a_stopped_stream_when_the_service_restarts_stays_stopped(rig: RunnerRig) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    rig.stop()
    rig.start()
    risk = rig.peer("risk")
    assert risk.introduce("e1") == refusal
    beat = risk.new_beat(lambda beat: bool(beat.stopped_streams))
    assert [(stop.sender, stop.rule, stop.detail) for stop in beat.stopped_streams] == [
        ("risk", "regressed_producer", refusal.detail)
    ]
    assert rig.orders() == ["1", "2", "3"]


def test_a_sender_when_refused_again_and_again_halts_once_beside_its_own_halt(rig: RunnerRig) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    # What the refused service writes when it hears of it, in a process of its own.
    rig.control.raise_halt("risk", "refused_stream", "execution refuses messages of risk")
    assert [risk.introduce("e2") for _ in range(2)] == [refusal, refusal]
    risk.new_beat(lambda _beat: True)
    assert rig.halts() == ["000001.json", "000002.json"]


# --- an operator's command ---------------------------------------------------------------------------------------


def _command(rig: RunnerRig, *, command_id: str = "c1", age_ns: int = 0, **changes: Any) -> Command:
    command = ResolveStream(
        ts_event=0,
        ts_init=0,
        command_id=command_id,
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS - age_ns,
        halt_counter=rig.control.read().halt_counter,
        operator="ann",
        reason="compared the books",
        receiver=NAME,
        sender="risk",
        action="accept_history",
        seq=10_000,
    )
    return Command(encode_message(replace(command, **changes)))


def _told(web: StreamPeer, command: Command) -> CommandAnswer:
    web.command_answers.clear()
    web.say(command)
    return web.until(lambda: web.command_answers[-1:], "answer to the command")[0]


def test_a_stopped_stream_when_an_operator_accepts_its_history_goes_on_with_what_is_not_acknowledged(
    rig: RunnerRig,
) -> None:
    risk, _ = _stopped(rig, "e2", first=2, last=4)
    rig.halt_of(risk, "regressed_producer")
    web = rig.peer("web")
    assert _told(web, _command(rig, seq=4)).is_done
    assert isinstance(risk.introduce("e2", first=2, last=4), Welcome)
    risk.say(*(order_frame(seq, epoch="e2") for seq in (2, 3, 4)))
    risk.answer(Ack("e2", 4))
    assert rig.orders() == ["1", "2", "3", "2", "3", "4"]
    (resolved,) = rig.journal(StreamResolved)
    assert isinstance(resolved, StreamResolved)
    assert (resolved.operator, resolved.reason, resolved.seq) == ("ann", "compared the books", 1)


def test_a_restored_sender_when_accepted_goes_on_after_what_it_had_made_before(rig: RunnerRig) -> None:
    # It was restored at message 2 and has made 3 anew: that one is not the 3 that was taken.
    risk, _ = _stopped(rig, "e1", first=1, last=2, base=2)
    web = rig.peer("web")
    assert _told(web, _command(rig, seq=2)).is_done
    assert risk.introduce("e1", first=1, last=3, base=2) == risk.verdicts[-1]
    assert isinstance(risk.verdicts[-1], Welcome)
    assert risk.verdicts[-1].cursor == 2
    risk.say(order_frame(3))
    risk.until(lambda: rig.orders() == ["1", "2", "3", "3"], "third message, made anew")


def test_a_poison_message_when_an_operator_skips_it_is_kept_and_the_stream_goes_on(rig: RunnerRig) -> None:
    rig.start()
    risk, web = rig.peer("risk"), rig.peer("web")
    risk.say(order_frame(1), Data("e1", 2, 0, b"\xc1poison"))
    rig.halt_of(risk, "poison_message")
    risk.answer(Refusal)
    assert not _told(web, _command(rig, command_id="c0", seq=2)).is_done
    assert _told(web, _command(rig, seq=2, action="skip_message")).is_done
    risk.introduce("e1")
    risk.say(order_frame(2), order_frame(3))
    risk.answer(Ack("e1", 3))
    assert rig.orders() == ["1", "3"]
    assert [payload for _, _, payload in rig.quarantine()] == [b"\xc1poison"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"age_ns": COMMAND_VALID_NS}, "older than 10 s"),
        ({"age_ns": -COMMAND_VALID_NS}, "older than 10 s"),
        ({"halt_counter": 0}, "halt 1 came after it was given"),
        ({"receiver": "ledger"}, "it was given to ledger"),
        ({"sender": "watchdog"}, "is not stopped"),
        ({"seq": 9}, "stands at 10000 by now"),
        ({"action": "skip_message"}, "does not answer regressed_producer"),
    ],
)
def test_a_command_when_it_does_not_fit_is_refused_with_words(
    rig: RunnerRig, changes: dict[str, Any], words: str
) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    answer = _told(rig.peer("web"), _command(rig, **changes))
    assert not answer.is_done
    assert words in answer.detail
    assert risk.introduce("e2") == refusal


def test_a_command_when_replayed_is_carried_out_once(rig: RunnerRig) -> None:
    risk, _ = _stopped(rig, "e2", first=2, last=4)
    rig.halt_of(risk, "regressed_producer")
    web = rig.peer("web")
    command = _command(rig, seq=4)
    assert _told(web, command).is_done
    assert isinstance(risk.introduce("e1", first=1, last=4), Refusal)
    again = _told(web, command)
    assert (again.is_done, again.detail) == (False, "this command was carried out before")


def test_a_command_when_another_service_than_the_web_gives_it_halts_the_chain(rig: RunnerRig) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    risk.say(_command(rig))
    assert rig.halt_of(risk, "forbidden_message") == "risk may not command ResolveStream to execution"
    assert risk.introduce("e2") == refusal


# --- a command of the service's own --------------------------------------------------------------------------------


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
    assert _told(web, _reverse(rig)) == CommandAnswer("c1", True, "1 done")
    assert _told(web, _reverse(rig)) == CommandAnswer("c1", False, "this command was carried out before")
    assert len(office.taken) == 1
    assert len(rig.journal(ReverseEntry)) == 1


def test_a_services_own_command_when_a_halt_came_after_it_is_refused_and_a_question_is_not(rig: RunnerRig) -> None:
    office, web = Office(rig), rig.peer("web")
    before = _reverse(rig)
    rig.control.raise_halt("web", "operator", "stop")
    assert "came after it was given" in _told(web, before).detail
    office.answers.append(Outcome(is_done=True, detail="", body=b"{}"))
    assert _told(web, _question()) == CommandAnswer("q1", True, "", b"{}")


def test_a_question_when_its_answer_takes_a_while_holds_nothing_up(rig: RunnerRig) -> None:
    office, web = Office(rig), rig.peer("web")
    web.say(_question())
    web.until(lambda: office.taken, "question")
    assert _told(web, _reverse(rig)).is_done
    office.answers.append(Outcome(is_done=True, detail="", body=b"late"))
    assert web.until(lambda: [a for a in web.command_answers if a.command_id == "q1"], "answer")[0].body == b"late"


def test_a_command_when_the_service_knows_none_is_refused_in_words(rig: RunnerRig) -> None:
    rig.start()
    assert _told(rig.peer("web"), _reverse(rig)).detail == f"{NAME} does not do ReverseEntry"


# --- as a sender -------------------------------------------------------------------------------------------------


def test_a_stream_when_its_receiver_refuses_it_halts_the_sender(rig: RunnerRig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    ledger = rig.peer("ledger")
    screener = rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    ledger.until(lambda: ledger.inbox, "message")
    ledger.reply(Refusal("the ledger was restored"))
    assert rig.halt_of(ledger, "refused_stream") == "ledger refuses messages of execution: the ledger was restored"


def test_a_message_when_acknowledged_is_not_repeated_and_leaves_the_outbox(rig: RunnerRig) -> None:
    rig.shell = FillsOnEachStep()
    runner = rig.start()
    ledger, risk, screener = rig.peer("ledger"), rig.peer("risk"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    for peer in (ledger, risk):
        peer.until(lambda heard=peer.inbox: heard, "message")
        frame = next(frame for frame in peer.inbox if isinstance(frame, Data))
        peer.reply(Ack("another life", 1))
        assert peer.new_beat(lambda beat: beat.outbox_depth > 0)
        peer.reply(Ack(frame.epoch, 1))
    assert screener.new_beat(lambda beat: beat.outbox_depth == 0)
    assert runner.failure == ""
    assert rig.halts() == []


def test_an_acknowledgement_when_it_is_of_more_than_was_ever_said_halts(rig: RunnerRig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    ledger, screener = rig.peer("ledger"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    ledger.until(lambda: ledger.inbox, "message")
    frame = next(frame for frame in ledger.inbox if isinstance(frame, Data))
    ledger.reply(Ack(frame.epoch, 99))
    ledger.until(rig.halts, "halt")
    halt = rig.control.read().halt
    assert halt is not None
    assert halt.rule == "regressed_producer"


# --- messages of a later market step -----------------------------------------------------------------------------


def test_a_message_when_made_at_a_later_step_is_held_until_that_step_is_heard(rig: RunnerRig) -> None:
    rig.start()
    risk, screener = rig.peer("risk"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    risk.say(order_frame(1, step=1), order_frame(2, step=2), order_frame(3, step=1))
    risk.answer(Ack("e1", 1))
    risk.new_beat(lambda beat: beat.step == 1)
    assert rig.orders() == ["1"]
    screener.publish(TOPIC_MARKET, a_quote_batch(2))
    risk.answer(Ack("e1", 3))
    assert rig.orders() == ["1", "2", "3"]
    assert rig.quarantine() == []


def test_a_message_when_repeated_while_it_is_held_has_one_effect(rig: RunnerRig) -> None:
    rig.start()
    risk, screener = rig.peer("risk"), rig.peer("screener")
    risk.say(*[order_frame(1, step=1)] * 5)
    risk.new_beat(lambda beat: beat.step == 0)
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    risk.answer(Ack("e1", 1))
    assert rig.orders() == ["1"]

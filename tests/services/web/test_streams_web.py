"""The page of stopped streams: what it tells, what it sends to the receiver, and what it refuses."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from canaries import PASSWORD

from bus.clock import boot_ns
from bus.commands import COMMAND_VALID_NS
from bus.control import ControlFolder
from bus.delivery import StopRule
from bus.messages import Message, StoppedStream
from config.paths import HomePaths
from services.web.app import create_app
from services.web.hub import StatusHub
from services.web.streams_web import ACTIONS, WORDS

Say = Callable[..., Message]
PATH = "/control/streams"
DETAIL = "risk does not fit to execution: it has another history than the one known here"
FORM = {
    "halt_counter": "1",
    "receiver": "execution",
    "sender": "risk",
    "action": "accept_history",
    "seq": "4",
    "reason": "compared the books",
    "password": PASSWORD,
}


@pytest.fixture
def control(configured: HomePaths) -> ControlFolder:
    return ControlFolder(configured)


@pytest.fixture
def olga(person_of: Callable[[str], Any]) -> Any:
    return person_of("olga")


@pytest.fixture
def stopped(control: ControlFolder, hub: StatusHub, say: Say) -> None:
    """Stop the stream of risk to execution, as execution's heartbeat says, and halt for it."""
    control.raise_halt("execution", "regressed_producer", DETAIL)
    hub.publish(say("beat", stopped_streams=(a_stop(),)))


def a_stop(rule: StopRule = "regressed_producer", seq: int = 4) -> StoppedStream:
    return StoppedStream(sender="risk", rule=rule, seq=seq, detail=DETAIL)


def resolve(person: Any, **changes: str) -> Any:
    return person.post(PATH, {**FORM, **changes}, form_on="/")


def test_page_when_nothing_is_stopped_then_says_so_and_has_no_form(olga: Any) -> None:
    page = olga.get(PATH).text
    assert "No stream is stopped, as last heard." in page
    assert 'name="password"' not in page


def test_rules_when_listed_then_each_has_its_words_and_its_one_answer() -> None:
    assert set(WORDS) == set(ACTIONS) == set(get_args(StopRule))


@pytest.mark.parametrize(
    ("rule", "words", "button"),
    [
        ("regressed_producer", "risk comes with another history than execution knows.", "Accept the sender"),
        ("lost_history", "execution has lost messages of risk that it once took.", "Accept the sender"),
        ("poison_message", "execution cannot read a message of risk.", "Skip this one message"),
        ("forbidden_message", "risk said what it may not say to execution.", "Skip this one message"),
    ],
)
def test_page_when_a_stream_is_stopped_then_tells_all_and_offers_the_one_answer_to_its_rule(
    olga: Any, stopped: None, hub: StatusHub, say: Say, rule: StopRule, words: str, button: str
) -> None:
    hub.publish(say("beat", stopped_streams=(a_stop(rule, 17),)))
    page = olga.get(PATH).text
    assert "From risk to execution" in page
    assert words in page
    assert DETAIL in page
    assert "at message 17 of risk" in page
    assert button in page.split("<form method")[-1]
    assert f'name="action" value="{ACTIONS[rule]}"' in page
    assert page.count('name="seq" value="17"') == 1


def test_page_when_streams_of_several_services_are_stopped_then_has_a_form_for_each(
    olga: Any, stopped: None, hub: StatusHub, say: Say
) -> None:
    hub.publish(say("beat", service="ledger", stopped_streams=(a_stop("poison_message"),)))
    page = olga.get(PATH).text
    assert page.count('name="seq"') == 2
    for part in ("stream-1", "stream-2", "reason-1", "reason-2", "password-1", "password-2"):
        assert page.count(f'id="{part}"') == 1


def test_page_when_the_chain_is_not_halted_then_has_no_form_and_leads_to_the_kill_switch(
    olga: Any, hub: StatusHub, say: Say
) -> None:
    hub.publish(say("beat", stopped_streams=(a_stop(),)))
    page = olga.get(PATH).text
    assert "The chain is not halted" in page
    assert 'name="seq"' not in page


def test_answer_when_the_receiver_does_it_then_was_asked_in_full_and_the_stream_leaves_the_page(
    olga: Any, stopped: None, bus: Any, hub: StatusHub, control: ControlFolder
) -> None:
    before = boot_ns()
    answer = resolve(olga)
    assert (answer.status_code, answer.location) == (303, PATH)
    (command,) = bus.commands
    assert (command.receiver, command.sender, command.action, command.seq) == ("execution", "risk", "accept_history", 4)
    assert (command.operator, command.reason, command.halt_counter) == ("olga", "compared the books", 1)
    assert before + COMMAND_VALID_NS <= command.expires_boot_ns <= boot_ns() + COMMAND_VALID_NS
    assert hub.stopped_streams() == ()
    page = olga.get(PATH).text
    assert "execution answers: The stream goes on." in page
    assert "No stream is stopped" in page
    assert control.read().is_halted()


def test_answer_when_given_twice_then_has_another_id_each_time(olga: Any, stopped: None, bus: Any) -> None:
    resolve(olga)
    resolve(olga)
    first, second = bus.commands
    assert first.command_id != second.command_id
    assert len(first.command_id) >= 32


def test_answer_when_the_stream_went_on_meanwhile_then_is_refused_in_the_services_words(
    olga: Any, stopped: None, bus: Any
) -> None:
    resolve(olga)
    bus.answer = (False, "risk's stream to execution is not stopped")
    answer = resolve(olga)
    assert answer.status_code == 409
    assert "execution refuses: risk&#39;s stream to execution is not stopped. Nothing was changed." in answer.text


def test_answer_when_the_receiver_refuses_then_page_keeps_the_reason_and_not_the_password(
    olga: Any, stopped: None, bus: Any, hub: StatusHub
) -> None:
    bus.answer = (False, "the stream stands at 5 by now: look again")
    answer = resolve(olga)
    assert answer.status_code == 409
    assert "the stream stands at 5 by now" in answer.text
    assert 'value="compared the books"' in answer.text
    assert FORM["password"] not in answer.text
    assert len(hub.stopped_streams()) == 1


def test_answer_when_nobody_answers_then_says_so_and_what_may_still_happen(
    olga: Any, stopped: None, bus: Any, hub: StatusHub
) -> None:
    bus.answer = None
    answer = resolve(olga)
    assert answer.status_code == 503
    assert "Nobody answered: is execution up?" in answer.text
    assert "within 10 s" in answer.text
    assert len(hub.stopped_streams()) == 1


def test_answer_when_there_is_no_bus_then_nobody_answers(
    configured: HomePaths, hub: StatusHub, new_person: Callable[..., Any], stopped: None
) -> None:
    olga = new_person(create_app(configured, hub))
    olga.log_in("olga")
    assert resolve(olga).status_code == 503


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"reason": "  "}, 400, "Give a reason"),
        ({"reason": "x" * 301}, 400, "longer than 300"),
        ({"password": "wrong"}, 401, "The password is wrong"),
        ({"password": ""}, 401, "The password is wrong"),
        ({"receiver": "broker"}, 400, "no such stream"),
        ({"receiver": "web"}, 400, "no such stream"),
        ({"sender": "ledger"}, 400, "no such stream"),
        ({"sender": ""}, 400, "no such stream"),
        ({"action": "forget"}, 400, "The answer must be"),
        ({"action": ""}, 400, "The answer must be"),
        ({"seq": ""}, 400, "not a number"),
        ({"seq": "4.5"}, 400, "not a number"),
        ({"seq": "٤"}, 400, "not a number"),
        ({"seq": "9" * 19}, 400, "not a number"),
        ({"halt_counter": "0"}, 409, "A halt was raised after this page was shown"),
        ({"halt_counter": ""}, 409, "A halt was raised after this page was shown"),
    ],
)
def test_answer_when_the_form_is_bad_then_is_refused_and_nothing_is_sent(
    olga: Any, stopped: None, bus: Any, changes: dict[str, str], code: int, words: str
) -> None:
    answer = resolve(olga, **changes)
    assert answer.status_code == code
    assert words in answer.text
    assert "Nothing was changed" in answer.text
    assert bus.commands == []


def test_answer_when_a_halt_came_after_the_page_was_shown_then_is_refused_and_shows_it(
    olga: Any, stopped: None, bus: Any, control: ControlFolder
) -> None:
    control.raise_halt("watchdog", "dead_service", "ledger is silent")
    answer = resolve(olga)
    assert answer.status_code == 409
    assert "ledger is silent" in answer.text
    assert bus.commands == []


def test_answer_when_the_chain_is_not_halted_then_is_refused(olga: Any, bus: Any) -> None:
    answer = resolve(olga, halt_counter="0")
    assert answer.status_code == 409
    assert "The chain is not halted" in answer.text
    assert bus.commands == []


def test_answer_when_the_control_folder_is_unreadable_then_is_refused(
    olga: Any, stopped: None, bus: Any, configured: HomePaths
) -> None:
    (configured.control / "arm.json").write_text("{broken")
    answer = resolve(olga, halt_counter="0")
    assert answer.status_code == 409
    assert "cannot be read" in answer.text
    assert bus.commands == []


def test_answer_when_the_password_is_guessed_then_is_locked_like_the_log_in(olga: Any, stopped: None, bus: Any) -> None:
    assert [resolve(olga, password="wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    assert resolve(olga).status_code == 429
    assert olga.post("/control/arm", {**FORM, "halt_counter": "1"}).status_code == 409, "the stream comes first"
    assert bus.commands == []


def test_answer_when_a_viewer_gives_it_then_is_forbidden(
    person_of: Callable[[str], Any], stopped: None, bus: Any
) -> None:
    assert resolve(person_of("vera")).status_code == 403
    assert bus.commands == []


def test_words_of_a_service_when_they_are_markup_then_are_shown_as_text(
    olga: Any, stopped: None, hub: StatusHub, say: Say, bus: Any
) -> None:
    evil = "<script>alert(1)</script>"
    stop = StoppedStream(sender="risk", rule="lost_history", seq=4, detail=evil)
    hub.publish(say("beat", stopped_streams=(stop,)))
    bus.answer = (False, evil)
    for page in (olga.get(PATH).text, resolve(olga, reason=evil).text):
        assert evil not in page
        assert "&lt;script&gt;alert(1)" in page

"""Arm, stop and kill: what they leave in a real control folder, and what they refuse."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from msgspec.structs import replace

from bus.build import build_id
from bus.control import ControlFolder
from bus.lifecycle import EFFECTS
from bus.messages import Message, StoppedStream
from bus.testing import a_plan
from config.env_bot import proposals
from config.paths import HomePaths
from config.vault import Vault
from services.web.app import create_app
from services.web.hub import StatusHub

ARM = {"reason": "morning check done", "password": "correct horse battery"}


@pytest.fixture
def control(configured: HomePaths) -> ControlFolder:
    return ControlFolder(configured)


@pytest.fixture
def olga(person_of: Callable[[str], Any]) -> Any:
    return person_of("olga")


def arm(person: Any, **changes: str) -> Any:
    return person.post("/control/arm", {**ARM, "halt_counter": "0", **changes})


def test_arm_when_ordered_then_chain_is_armed_for_this_build_and_generation(
    olga: Any, control: ControlFolder, configured: HomePaths
) -> None:
    answer = arm(olga)
    assert (answer.status_code, answer.location) == (303, "/")
    record = control.read().arm
    assert record is not None
    assert (record.operator, record.reason) == ("olga", "morning check done")
    assert record.generation == Vault(configured).generation()
    assert control.read().refusal(build_id()) is None
    assert "Armed." in olga.get("/").text


def test_arm_when_a_halt_stands_then_arming_answers_that_halt(olga: Any, control: ControlFolder) -> None:
    control.raise_halt("risk", "daily_loss_limit", "lost too much")
    page = olga.get("/control/arm").text
    assert "lost too much" in page
    assert arm(olga, halt_counter="1").status_code == 303
    assert not control.read().is_halted()


def test_arm_when_a_halt_came_after_the_page_was_shown_then_is_refused(olga: Any, control: ControlFolder) -> None:
    token = olga.token("/control/arm")
    control.raise_halt("watchdog", "dead_service", "risk is silent")
    answer = olga.post_bare("/control/arm", {**ARM, "halt_counter": "0", "csrf_token": token})
    assert answer.status_code == 409
    assert "risk is silent" in answer.text
    assert control.read().arm is None


@pytest.mark.parametrize(
    ("changes", "code"), [({"reason": "  "}, 400), ({"reason": "x" * 301}, 400), ({"password": "wrong"}, 401)]
)
def test_arm_when_reason_or_password_is_missing_then_is_refused(
    olga: Any, control: ControlFolder, changes: dict[str, str], code: int
) -> None:
    answer = arm(olga, **changes)
    assert answer.status_code == code
    assert "Nothing was changed" in answer.text
    assert control.read().arm is None


def test_arm_when_password_is_guessed_then_is_locked_like_the_log_in(olga: Any, control: ControlFolder) -> None:
    assert [arm(olga, password="wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    assert arm(olga).status_code == 429
    assert control.read().arm is None


def test_arm_when_kill_file_is_present_then_says_to_remove_it(
    olga: Any, control: ControlFolder, configured: HomePaths
) -> None:
    (configured.control / "kill.txt").touch()
    answer = arm(olga)
    assert answer.status_code == 409
    assert "control/kill.txt is present" in answer.text
    assert control.read().arm is None


def test_arm_when_control_folder_is_unreadable_then_is_refused(olga: Any, configured: HomePaths) -> None:
    (configured.control / "arm.json").write_text("{broken")
    answer = arm(olga)
    assert answer.status_code == 409
    assert "cannot be read" in answer.text


def test_stop_when_ordered_then_no_new_positions_until_armed_again(olga: Any, control: ControlFolder) -> None:
    arm(olga)
    assert olga.post("/control/stop", {"reason": "news at ten"}).status_code == 303
    assert "stopped: arm it again" in (control.read().refusal(build_id()) or "")
    arm(olga)
    assert control.read().refusal(build_id()) is None


def test_kill_when_word_and_reason_are_given_then_a_halt_is_on_disk(olga: Any, control: ControlFolder) -> None:
    arm(olga)
    answer = olga.post("/control/kill", {"word": "KILL", "reason": "runaway\nlosses"})
    assert answer.status_code == 303
    state = control.read()
    assert state.is_halted()
    assert state.halt is not None
    assert (state.halt.source, state.halt.rule) == ("web", "operator")
    assert state.halt.detail == "olga: runaway losses"


def test_kill_when_pressed_again_then_is_heard_and_no_second_record_is_written(
    olga: Any, control: ControlFolder, bus: Any
) -> None:
    for _ in range(2):
        assert olga.post("/control/kill", {"word": "KILL", "reason": "now"}).status_code == 303
    assert "your halt 1 stands until an operator arms again" in olga.get("/").text
    assert [halt.counter for halt in control.unanswered()] == [1]
    assert [halt.counter for halt in bus.halts] == [1, 1]
    assert arm(olga, halt_counter="1").status_code == 303
    olga.post("/control/kill", {"word": "KILL", "reason": "once more"})
    assert control.read().halt_counter == 2
    assert control.read().is_halted()


def test_kill_when_another_operator_presses_it_then_is_a_record_that_an_arming_must_have_seen(
    olga: Any, control: ControlFolder
) -> None:
    control.raise_halt("web", "operator", "oleg: he saw it first")
    token = olga.token("/control/arm")
    olga.post("/control/kill", {"word": "KILL", "reason": "me too"})
    assert [halt.detail for halt in control.unanswered()] == ["olga: me too", "oleg: he saw it first"]
    answer = olga.post_bare("/control/arm", {**ARM, "halt_counter": "1", "csrf_token": token})
    assert answer.status_code == 409
    assert control.read().is_halted()


def test_kill_when_the_halt_is_on_disk_then_is_told_on_the_bus_at_once(
    olga: Any, control: ControlFolder, bus: Any
) -> None:
    olga.post("/control/kill", {"word": "KILL", "reason": "now"})
    assert bus.halts == [control.read().halt]


def test_kill_when_nothing_could_be_written_then_nothing_is_told(olga: Any, configured: HomePaths, bus: Any) -> None:
    configured.halts.rmdir()
    assert olga.post("/control/kill", {"word": "KILL", "reason": "now"}).status_code == 503
    assert bus.halts == []


def test_kill_when_there_is_no_bus_then_a_halt_is_on_disk_all_the_same(
    configured: HomePaths, hub: StatusHub, new_person: Callable[..., Any], control: ControlFolder
) -> None:
    olga = new_person(create_app(configured, hub))
    olga.log_in("olga")
    assert olga.post("/control/kill", {"word": "KILL", "reason": "now"}).status_code == 303
    assert control.read().is_halted()


def test_arm_when_a_stream_is_stopped_as_last_heard_then_is_refused_until_it_goes_on(
    olga: Any, control: ControlFolder, hub: StatusHub, say: Callable[..., Message]
) -> None:
    stop = StoppedStream(sender="risk", rule="poison_message", seq=2, detail="execution cannot read message 2 of risk")
    hub.publish(say("beat", stopped_streams=(stop,)))
    said = "The chain can be armed when it is <a"
    assert said in " ".join(olga.get("/control/arm").text.split())
    answer = arm(olga)
    assert answer.status_code == 409
    assert "A stream is stopped. Resolve it first" in answer.text
    assert control.read().arm is None
    hub.publish(say("beat"))
    assert said not in " ".join(olga.get("/control/arm").text.split())
    assert arm(olga).status_code == 303


@pytest.mark.parametrize(
    "fields", [{"word": "kill", "reason": "x"}, {"word": "", "reason": "x"}, {"word": "KILL", "reason": ""}]
)
def test_kill_when_word_or_reason_is_missing_then_nothing_is_halted(
    olga: Any, control: ControlFolder, fields: dict[str, str]
) -> None:
    assert olga.post("/control/kill", fields).status_code == 400
    assert not control.read().is_halted()


def test_kill_when_nothing_can_be_written_then_says_how_to_halt_otherwise(olga: Any, configured: HomePaths) -> None:
    for path in configured.halts.iterdir():
        path.unlink()
    configured.halts.rmdir()
    answer = olga.post("/control/kill", {"word": "KILL", "reason": "now"})
    assert answer.status_code == 503
    assert "kill.txt" in answer.text


def test_pages_when_shown_then_tell_the_consequence_and_what_is_at_stake(
    olga: Any, hub: StatusHub, say: Callable[..., Message]
) -> None:
    hub.publish(say("portfolio"))
    assert "sends orders by itself" in olga.get("/control/arm").text
    assert "Open positions keep their protective stops" in olga.get("/control/stop").text
    kill = olga.get("/control/kill").text
    assert "working orders are cancelled" in kill
    assert "$12,500.00 allocated" in kill


def test_reason_when_it_is_markup_then_is_shown_as_text(olga: Any) -> None:
    answer = olga.post("/control/stop", {"reason": "<script>alert(1)</script>" * 13})
    assert "<script>alert" not in answer.text
    arm(olga, reason="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in olga.get("/control/arm").text
    assert "&lt;img src=x" in olga.get("/control/arm").text


@pytest.mark.parametrize(("drift_ms", "code"), [(5_000, 303), (-5_000, 303), (5_001, 409), (-3_600_000, 409)])
def test_arm_when_the_wall_clock_was_set_then_is_refused_in_words_beyond_five_seconds(
    olga: Any, control: ControlFolder, hub: StatusHub, say: Callable[..., Message], drift_ms: int, code: int
) -> None:
    hub.publish(say("chain", clock_drift_ms=drift_ms))
    answer = arm(olga)
    assert answer.status_code == code
    assert (control.read().arm is None) == (code == 409)
    if code == 409:
        assert f"cannot be armed: the wall clock was set by {drift_ms / 1000:+.1f} s" in answer.text
        assert "then restart the watchdog, then arm again. Nothing was changed." in answer.text


# --- ARM_EXPIRES ---


@pytest.fixture
def for_session(configured: HomePaths, app: Flask) -> None:
    """Set ARM_EXPIRES to session in what the site has read."""
    found = app.extensions["tradebot"]
    found._loaded = replace(found.secrets(), settings=proposals() | {"ARM_EXPIRES": "session"})


@pytest.mark.usefixtures("for_session")
def test_arm_when_it_expires_with_the_session_then_the_record_names_the_session_heard_last(
    olga: Any, control: ControlFolder, hub: StatusHub, say: Callable[..., Message]
) -> None:
    hub.publish(say("chain", session_date="2025-03-12"))
    assert "to the close of this session" in olga.get("/control/arm").text
    assert arm(olga).status_code == 303
    record = control.read().arm
    assert record is not None
    assert record.expires == "2025-03-12"
    assert "to the close of the session of 2025-03-12" in olga.get("/control/stop").text


@pytest.mark.usefixtures("for_session")
@pytest.mark.parametrize("heard", [None, ""])
def test_arm_when_no_session_was_heard_then_is_refused_before_the_password_counts(
    olga: Any, control: ControlFolder, hub: StatusHub, say: Callable[..., Message], heard: str | None
) -> None:
    if heard is not None:
        hub.publish(say("chain", session_date=heard))
    answer = arm(olga)
    assert answer.status_code == 409
    assert "has not said yet which session it plans" in answer.text
    assert control.read().arm is None


@pytest.mark.usefixtures("for_session")
def test_arm_when_the_session_is_over_then_is_refused(
    olga: Any, control: ControlFolder, hub: StatusHub, say: Callable[..., Message]
) -> None:
    plan = a_plan("2025-03-12")
    hub.publish(plan)
    hub.publish(replace(say("chain"), ts_event=plan.close_ns))
    answer = arm(olga)
    assert answer.status_code == 409
    assert "the session of 2025-03-12 is over" in answer.text
    hub.publish(replace(say("chain"), ts_event=plan.close_ns - 1_000_000))
    assert arm(olga).status_code == 303
    assert control.read().arm is not None


def test_arm_when_it_does_not_expire_then_no_session_need_be_known(olga: Any, control: ControlFolder) -> None:
    assert arm(olga).status_code == 303
    record = control.read().arm
    assert record is not None
    assert record.expires == ""
    assert "on every trading day" in olga.get("/control/arm").text


@pytest.mark.parametrize("path", ["/", "/control/arm", "/control/stop", "/control/kill"])
def test_pages_when_the_chain_was_heard_then_say_what_is_stopped_and_what_goes_on(
    olga: Any, hub: StatusHub, say: Callable[..., Message], path: str
) -> None:
    assert "Waiting for the first status of the watchdog" in olga.get(path).text
    said = EFFECTS["HALTED"]
    hub.publish(say("chain", state="HALTED", stopped=said.stopped, goes_on=said.goes_on, detail="<b>why</b>"))
    page = olga.get(path).text
    assert said.stopped in page
    assert said.goes_on in page
    assert "&lt;b&gt;why" in page

"""The dashboard's data: the first state and the stream."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from bus.messages import Message, StoppedStream
from config.paths import HomePaths
from config.vault import Vault
from services.web.hub import StatusHub

Say = Callable[..., Message]


def test_dashboard_when_shown_then_names_the_mode_and_what_the_role_may_do(
    person_of: Callable[[str], Any],
) -> None:
    viewer, operator = person_of("vera").get("/").text, person_of("olga").get("/").text
    assert "PAPER" in viewer
    assert "/control/kill" not in viewer
    assert "/control/kill" in operator
    assert "/control/arm" in operator


def test_dashboard_when_a_theme_is_chosen_then_page_has_it(person_of: Callable[[str], Any]) -> None:
    person = person_of("vera")
    assert "theme.js" in person.get("/").text
    person.post("/preferences", {"theme": "dark"}, form_on="/")
    assert 'data-bs-theme="dark"' in person.get("/").text
    person.post("/preferences", {"theme": '"><b>'}, form_on="/")
    assert "data-bs-theme" not in person.get("/").text


def test_dashboard_when_a_stream_is_stopped_then_says_so_and_leads_operators_to_the_page(
    person_of: Callable[[str], Any], hub: StatusHub, say: Say
) -> None:
    stop = StoppedStream(sender="risk", rule="poison_message", seq=2, detail="cannot be read")
    viewer, operator = person_of("vera"), person_of("olga")
    assert 'id="stopped" role="alert" hidden' in operator.get("/").text
    hub.publish(say("beat", stopped_streams=(stop,)))
    assert 'id="stopped" role="alert">' in operator.get("/").text
    assert 'href="/control/streams"' in operator.get("/").text
    assert "An operator must answer" in viewer.get("/").text
    assert "/control/streams" not in viewer.get("/").text


def test_snapshot_when_asked_then_is_json_with_decimal_text(
    person_of: Callable[[str], Any], hub: StatusHub, say: Say
) -> None:
    hub.publish(say("portfolio"))
    hub.publish(say("chain"))
    hub.publish(say("fill"))
    answer = person_of("vera").get("/api/snapshot")
    assert answer.mimetype == "application/json"
    found = answer.json
    assert found["portfolio"]["equity"] == "99500.00"
    assert found["chain"]["state"] == "ACTIVE"
    assert found["chain_age_ms"] >= 0
    assert found["events"][0]["kind"] == "OrderFilled"


def test_snapshot_when_text_is_markup_then_is_data_not_a_page(
    person_of: Callable[[str], Any], hub: StatusHub, say: Say
) -> None:
    hub.publish(say("denied", value="<script>alert(1)</script>"))
    answer = person_of("vera").get("/api/snapshot")
    assert answer.mimetype == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_stream_when_opened_then_begins_with_snapshot_and_is_freed_when_closed(
    person_of: Callable[[str], Any], hub: StatusHub, say: Say
) -> None:
    person = person_of("vera")
    answer = person.get("/stream", buffered=False)
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["X-Accel-Buffering"] == "no"
    frames = iter(answer.response)
    first = next(frames).decode()
    assert first.startswith("retry: ")
    assert "event: snapshot" in first
    hub.publish(say("chain"))
    second = next(frames).decode()
    assert json.loads(second.split("data: ")[1])["state"] == "ACTIVE"
    assert hub.client_count() == 1
    answer.close()
    assert hub.client_count() == 0


def test_stream_when_session_ends_then_ends_too(person_of: Callable[[str], Any], hub: StatusHub, say: Say) -> None:
    person = person_of("vera")
    answer = person.get("/stream", buffered=False)
    frames = iter(answer.response)
    next(frames)
    person.post("/logout", form_on="/")
    hub.publish(say("chain"))
    assert list(frames) == []


def test_stream_when_its_user_is_removed_then_ends_too(
    person_of: Callable[[str], Any], configured: HomePaths, hub: StatusHub, say: Say
) -> None:
    answer = person_of("vera").get("/stream", buffered=False)
    frames = iter(answer.response)
    next(frames)
    vault = Vault(configured)
    secrets = vault.open()
    users = tuple(user for user in secrets.users if user.name != "vera")
    vault.replace(msgspec.structs.replace(secrets, users=users), secrets.generation)
    hub.publish(say("chain"))
    assert list(frames) == []


def test_stream_when_too_many_are_open_then_answers_503(
    app: Any, new_person: Callable[..., Any], configured: Any
) -> None:
    app.extensions["tradebot"].hub = StatusHub(clients_max=0)
    person = new_person(app)
    person.log_in("vera")
    answer = person.get("/stream")
    assert answer.status_code == 503
    assert "Close one" in answer.json["error"]

"""Changing settings: nothing is saved unseen, unexplained or unconfirmed, and what two people typed is never lost."""

import fcntl
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from canaries import PASSWORD
from flask import Flask

from config import generation_pin
from config.env_bot import proposals
from config.env_bot_settings import SETTINGS
from config.paths import HomePaths
from config.vault import Secrets, Vault
from services.web.audit_log import AuditFilter

CONFIRMED = {"reason": "a calmer week", "password": PASSWORD}


@pytest.fixture
def adam(person_of: Callable[[str], Any]) -> Any:
    return person_of("adam")


def was(settings: dict[str, str] | None = None) -> dict[str, str]:
    return {f"was.{key}": text for key, text in (proposals() if settings is None else settings).items()}


def post(person: Any, step: str, shown: dict[str, str] | None = None, **changes: str) -> Any:
    """Send a step of the form, as it is sent from a page that showed `shown`."""
    return person.post(f"/settings/{step}", {**was(shown), **changes}, form_on="/settings")


def stored(home: HomePaths) -> Secrets:
    return Vault(home).open()


def store(home: HomePaths, settings: dict[str, str]) -> None:
    secrets = stored(home)
    Vault(home).replace(msgspec.structs.replace(secrets, settings=settings), secrets.generation)


def audited(app: Flask, action: str) -> list[Any]:
    return list(app.extensions["tradebot"].audit.log.rows(AuditFilter(action=action)))


@pytest.mark.parametrize("name", ["vera", "olga"])
@pytest.mark.parametrize("path", ["/settings", "/settings/history", "/settings/identity"])
def test_pages_when_the_role_may_not_then_refused(person_of: Callable[[str], Any], name: str, path: str) -> None:
    assert person_of(name).get(path).status_code == 403


@pytest.mark.parametrize("step", ["review", "save", "edit"])
def test_steps_when_the_role_may_not_then_refused(person_of: Callable[[str], Any], step: str) -> None:
    assert person_of("olga").post(f"/settings/{step}", form_on="/control/arm").status_code == 403


def test_page_when_opened_then_every_setting_has_its_value_range_unit_proposal_and_help(adam: Any) -> None:
    page = adam.get("/settings").text
    for setting in SETTINGS:
        assert f'name="{setting.key}"' in page
        assert f'for="{setting.key}"' in page
        assert f'name="was.{setting.key}"' in page
    assert "0.1 to 20 percent of the day&#39;s starting equity" in page
    assert "proposal: <code>2</code>" in page
    assert "Saved: generation 1" in page
    assert "No chain runs: the next one takes it." in page


def test_page_when_a_chain_runs_then_says_with_which_generation_and_what_waits(adam: Any, home: HomePaths) -> None:
    # A lock on the same file through another descriptor counts as another process does.
    with (home.run / generation_pin.LOCK_FILE).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        generation_pin.move(home, 1)
        assert "The chain runs with it." in adam.get("/settings").text
        assert post(adam, "save", MAX_OPEN_POSITIONS="3", **CONFIRMED).status_code == 303
        assert "The chain runs with generation 1: what was saved since waits" in adam.get("/settings").text


def test_review_when_something_changed_then_shows_old_new_and_when_and_saves_nothing(
    adam: Any, home: HomePaths
) -> None:
    answer = post(adam, "review", MAX_OPEN_POSITIONS="3", BUS_TRANSPORT="tcp")
    assert answer.status_code == 200
    text = re.sub(r"\s+", " ", answer.text)
    assert "<code>MAX_OPEN_POSITIONS</code>" in text
    assert "<code>8</code>" in text
    assert "<code>3</code>" in text
    assert "at the next session start" in text
    assert "when all processes are started again" in text
    assert "Read this first" not in text, "a lower limit is no danger"
    assert stored(home).generation == 1


def test_review_when_only_changed_fields_are_sent_then_all_others_stay(adam: Any, home: HomePaths) -> None:
    assert post(adam, "save", MAX_OPEN_POSITIONS="3", **CONFIRMED).status_code == 303
    assert stored(home).settings == {**proposals(), "MAX_OPEN_POSITIONS": "3"}


def test_save_when_confirmed_then_a_new_generation_with_audit_rows_and_words(
    adam: Any, app: Flask, home: HomePaths
) -> None:
    answer = post(adam, "save", MAX_OPEN_POSITIONS="3", VIX_DATA_FILE="vix.csv", **CONFIRMED)
    assert (answer.status_code, answer.location) == (303, "/settings")
    assert stored(home).generation == 2
    page = adam.get("/settings").text
    assert "Saved as generation 2: 2 changed. In force at the next session start." in page
    assert "changed by adam" in page
    rows = {row.subject: row for row in audited(app, "setting_changed")}
    assert (rows["MAX_OPEN_POSITIONS"].before, rows["MAX_OPEN_POSITIONS"].after) == ("8", "3")
    assert (rows["VIX_DATA_FILE"].before, rows["VIX_DATA_FILE"].after) == ("(empty)", "vix.csv")
    (whole,) = audited(app, "settings_saved")
    assert (whole.actor, whole.subject, whole.after) == ("adam", "generation 2", "2 changed: a calmer week")


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"reason": "", "password": PASSWORD}, 400, "Give a reason"),
        ({"reason": "x", "password": "wrong"}, 401, "The password is wrong"),
    ],
)
def test_save_when_not_confirmed_then_the_difference_is_shown_again(
    adam: Any, home: HomePaths, changes: dict[str, str], code: int, says: str
) -> None:
    answer = post(adam, "save", MAX_OPEN_POSITIONS="3", **changes)
    assert answer.status_code == code
    assert says in answer.text
    assert 'name="MAX_OPEN_POSITIONS" value="3"' in answer.text
    assert stored(home).generation == 1


def test_save_when_dangerous_then_only_after_the_words_are_read(adam: Any, home: HomePaths) -> None:
    shown = post(adam, "review", DAILY_LOSS_LIMIT="5", ARM_EXPIRES="session")
    assert "raises a limit from 2 to 5 percent" in shown.text
    refused = post(adam, "save", DAILY_LOSS_LIMIT="5", **CONFIRMED)
    assert refused.status_code == 400
    assert "tick the box" in refused.text
    assert stored(home).generation == 1
    assert post(adam, "save", DAILY_LOSS_LIMIT="5", has_read="yes", **CONFIRMED).status_code == 303


def test_review_when_much_is_wrong_then_all_faults_at_once_and_what_was_typed_stays(adam: Any, home: HomePaths) -> None:
    answer = post(adam, "review", TOTAL_ALLOCATION="250", MAX_SPREAD="abc", TRADING_DAYS="Mon,Funday", LOG_FORMAT="CSV")
    assert answer.status_code == 422
    faulty = set(re.findall(r'<p class="fault" id="(\w+)-fault1">', answer.text))
    assert faulty == {"TOTAL_ALLOCATION", "MAX_SPREAD", "TRADING_DAYS"}
    assert "3 faults: nothing was saved" in answer.text
    assert 'value="250"' in answer.text
    assert "<option selected>CSV</option>" in answer.text
    assert "in force: <code>JSON</code>" in answer.text
    assert stored(home).generation == 1


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true"}, "BROKER_NAME", "Set up another home for another broker"),
        ({"UNIVERSE_SOURCE": "finnhub"}, "UNIVERSE_SOURCE", "on the page of credentials first"),
        ({"MAX_RISK_PER_TRADE": "3"}, "MAX_RISK_PER_TRADE", "is above DAILY_LOSS_LIMIT"),
    ],
)
def test_review_when_the_whole_does_not_go_together_then_the_fault_is_at_its_setting(
    adam: Any, changes: dict[str, str], field: str, says: str
) -> None:
    answer = post(adam, "review", **changes)
    assert answer.status_code == 422
    assert f'id="{field}-fault1"' in answer.text
    assert says in answer.text


def test_review_when_nothing_differs_then_says_so(adam: Any) -> None:
    answer = post(adam, "review", MAX_OPEN_POSITIONS=" 8 ")
    assert answer.status_code == 422
    assert "Nothing differs" in answer.text


def test_edit_when_back_from_the_difference_then_what_was_typed_is_there(adam: Any) -> None:
    assert 'value="7"' in post(adam, "edit", MAX_OPEN_POSITIONS="7").text


@pytest.mark.parametrize("step", ["review", "save", "edit"])
def test_step_when_somebody_else_saved_first_then_both_changes_are_shown_and_nothing_is_lost(
    adam: Any, home: HomePaths, step: str
) -> None:
    theirs = {**proposals(), "MAX_OPEN_POSITIONS": "4", "LOG_FORMAT": "CSV"}
    store(home, theirs)
    answer = post(adam, step, MAX_OPEN_POSITIONS="3", MAX_ORDER_SHARES="500", **CONFIRMED)
    assert answer.status_code == 409
    assert 'name="MAX_OPEN_POSITIONS" value="4" checked' in answer.text
    assert 'name="MAX_OPEN_POSITIONS" value="3">' in answer.text
    assert 'name="MAX_ORDER_SHARES" value="500"' in answer.text
    assert "<code>LOG_FORMAT</code>" in answer.text
    assert stored(home).settings == theirs
    # The choice goes on from what is in force by now.
    again = post(adam, "save", theirs, MAX_OPEN_POSITIONS="3", MAX_ORDER_SHARES="500", **CONFIRMED)
    assert again.status_code == 303
    assert stored(home).settings == {**theirs, "MAX_OPEN_POSITIONS": "3", "MAX_ORDER_SHARES": "500"}


def test_save_when_somebody_is_faster_between_look_and_save_then_conflict(
    adam: Any, app: Flask, home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = app.extensions["tradebot"].vault
    replace = vault.replace

    def late(secrets: Secrets, expected: int) -> int:
        monkeypatch.setattr(vault, "replace", replace)
        store(home, {**proposals(), "MAX_OPEN_POSITIONS": "5"})
        return replace(secrets, expected)

    monkeypatch.setattr(vault, "replace", late)
    answer = post(adam, "save", MAX_OPEN_POSITIONS="3", **CONFIRMED)
    assert answer.status_code == 409
    assert "Somebody else saved first" in answer.text
    assert stored(home).settings["MAX_OPEN_POSITIONS"] == "5"


def test_save_when_only_other_secrets_changed_meanwhile_then_saved(adam: Any, home: HomePaths) -> None:
    store(home, proposals())
    assert post(adam, "save", MAX_OPEN_POSITIONS="3", **CONFIRMED).status_code == 303
    assert stored(home).generation == 3


def test_settings_when_of_another_version_then_proposed_shown_as_new_and_saved_as_they_are(
    adam: Any, app: Flask, home: HomePaths
) -> None:
    older = {key: text for key, text in proposals().items() if key not in {"MAX_SPREAD", "LOG_FORMAT"}}
    store(home, {**older, "SETTING_OF_OLD": "1"})
    heard: list[Secrets] = []
    app.extensions["tradebot"].on_provisioned = heard.append
    page = adam.get("/settings")
    assert page.status_code == 200
    assert page.text.count("new in this version") == 2
    assert "No longer used, and dropped with the next save: SETTING_OF_OLD" in page.text
    shown = {**older, "SETTING_OF_OLD": "1"}
    review = post(adam, "review", shown, MAX_SPREAD="1.5", LOG_FORMAT="JSON")
    assert review.status_code == 200
    assert "<code>SETTING_OF_OLD</code>" in review.text
    assert post(adam, "save", shown, MAX_SPREAD="1.5", LOG_FORMAT="JSON", **CONFIRMED).status_code == 303
    assert stored(home).settings == proposals()
    assert [secrets.settings for secrets in heard] == [proposals()], "the bus is listened to from now on"
    assert "(not set)" in {row.before for row in audited(app, "setting_changed")}


def test_settings_when_a_new_one_is_not_typed_then_it_is_a_fault_and_never_filled_in(
    adam: Any, home: HomePaths
) -> None:
    older = {key: text for key, text in proposals().items() if key != "MAX_SPREAD"}
    store(home, older)
    answer = post(adam, "review", older, LOG_FORMAT="CSV")
    assert answer.status_code == 422
    assert 'id="MAX_SPREAD-fault1"' in answer.text


def test_other_pages_when_settings_are_of_another_version_then_they_open_too(adam: Any, home: HomePaths) -> None:
    store(home, {key: text for key, text in proposals().items() if key not in {"BROKER_NAME", "MARKET_DATA_SOURCE"}})
    for path in ("/", "/control/arm", "/settings/identity"):
        assert adam.get(path).status_code == 200


def test_arm_when_settings_are_of_another_version_then_refused(adam: Any, home: HomePaths) -> None:
    store(home, {key: text for key, text in proposals().items() if key != "MAX_SPREAD"})
    answer = adam.post("/control/arm", {**CONFIRMED, "halt_counter": "0"})
    assert answer.status_code == 409
    assert "page of settings" in answer.text


def test_history_when_a_setting_is_chosen_then_only_its_changes(adam: Any) -> None:
    post(adam, "save", MAX_OPEN_POSITIONS="3", MAX_ORDER_SHARES="500", **CONFIRMED)
    everything = adam.get("/settings/history").text
    assert "2 changes" in everything
    one = adam.get("/settings/history?key=MAX_ORDER_SHARES").text
    assert "1 change<" in one
    assert ">500<" in one
    assert "Nothing was changed yet" in adam.get("/settings/history?key=LOG_FORMAT").text


def test_page_when_the_audit_log_cannot_be_written_then_says_so_and_saves_nothing(
    adam: Any, app: Flask, home: HomePaths
) -> None:
    post(adam, "save", MAX_OPEN_POSITIONS="3", **CONFIRMED)
    app.extensions["tradebot"].audit.log.path.write_bytes(b"no database" * 100)
    page = adam.get("/settings")
    assert page.status_code == 200
    assert "cannot be read" in page.text
    shown = {**proposals(), "MAX_OPEN_POSITIONS": "3"}
    assert post(adam, "save", shown, MAX_OPEN_POSITIONS="2", **CONFIRMED).status_code == 503
    assert stored(home).settings["MAX_OPEN_POSITIONS"] == "3"


def test_form_when_typed_text_is_markup_then_it_is_shown_as_text(adam: Any) -> None:
    answer = post(adam, "review", VIX_DATA_FILE='"><script>alert(1)</script>')
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "{{ 7 * 7 }}<b>x</b>",
    "javascript:alert(1)//<i>",
    '" autofocus onfocus=alert(1) x="<u>',
    "<!--<script>-->",
)


@pytest.mark.parametrize("payload", MARKUP)
def test_texts_when_markup_is_stored_in_settings_and_reasons_then_every_page_shows_it_as_text(
    adam: Any, home: HomePaths, payload: str
) -> None:
    tag = payload[payload.index("<") :]
    review = post(adam, "review", VIX_DATA_FILE=payload, MARKET_DATA_DIR=payload)
    saved = post(adam, "save", VIX_DATA_FILE=payload, **{**CONFIRMED, "reason": payload})
    assert saved.status_code == 303
    shown = stored(home).settings
    assert shown["VIX_DATA_FILE"] == payload
    pages = [review, *(adam.get(path) for path in ("/settings", "/settings/history", "/"))]
    pages.append(post(adam, "review", {**shown, "VIX_DATA_FILE": "older"}, VIX_DATA_FILE=payload + "!"))
    for page in pages:
        assert tag not in page.text
        assert "49<b>" not in page.text
    assert "alert" in pages[1].text or "&lt;" in pages[1].text


def test_saves_when_repeated_then_each_is_a_generation_of_its_own(adam: Any, home: HomePaths) -> None:
    shown = proposals()
    for count in range(2, 8):
        answer = post(adam, "save", shown, MAX_ORDER_SHARES=str(9000 - count), **CONFIRMED)
        assert answer.status_code == 303
        shown = stored(home).settings
        assert (stored(home).generation, shown["MAX_ORDER_SHARES"]) == (count, str(9000 - count))


def test_identity_when_opened_then_every_part_and_why_none_changes(adam: Any) -> None:
    page = adam.get("/settings/identity").text
    for part in ("TBOT", "USA", "main", "PAPER", "BOT01", "TBOT_USA_main_PAPER_BOT01_BOT_ledger.db"):
        assert part in page
    assert "gets a\n  home of its own" in page
    assert "<form" not in page.split("<main")[1].split("</main>")[0]

"""Going live: every tick comes from what is found, and none where nothing is."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from bus import messages as m
from bus.store import StoreError
from config.paths import HomePaths
from services.web import golive, golive_web
from services.web.audit import Audit
from services.web.audit_log import AuditLog
from services.web.hub import StatusHub
from services.web.short_process import Job, Outcome

TS = 1_741_786_200_000_000_000
DAY = "2025-03-12"


def signal(strategy: str) -> m.SignalRaised:
    return m.SignalRaised(
        ts_event=TS,
        ts_init=TS,
        signal_id=f"s-{strategy}",
        session_date=DAY,
        strategy=strategy,
        symbol="AAPL",
        direction="BULLISH",
        instrument="AAPL",
        reference_micros=1,
        trail_bps=100,
        expires_ns=TS,
        exit_at_ns=TS,
        reasons=(),
    )


def compared(detail: str = "", at_ns: int = TS + 9) -> m.BooksCompared:
    return m.BooksCompared(
        ts_event=at_ns,
        ts_init=at_ns,
        broker="PAPER",
        occasion="close",
        cash_told_micros=1,
        cash_booked_micros=1,
        symbols=(),
        told_nanos=(),
        booked_nanos=(),
        detail=detail,
    )


class Home:
    """Stands in for the journals of the other services and for the ledger's own check."""

    def __init__(self) -> None:
        self.journals: dict[str, list[m.Message]] = {}
        self.checked = Outcome(code=0, out="sound: 42 entries\n", err="")
        self.jobs: list[Job] = []

    def read(self, path: Any, kinds: tuple[type, ...]) -> list[m.Message]:
        if path.stem not in self.journals:
            raise StoreError(f"There is no journal at {path}")
        return [event for event in self.journals[path.stem] if isinstance(event, kinds)]

    def run(self, _paths: HomePaths, job: Job) -> Outcome:
        self.jobs.append(job)
        return self.checked


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home()
    monkeypatch.setattr(golive, "read_journal", home.read)
    monkeypatch.setattr(golive_web, "run", home.run)
    monkeypatch.setattr(golive_web, "_check", golive_web.LedgerCheck())
    return home


@pytest.fixture
def shown_all(found: Home, configured: HomePaths, hub: StatusHub, say: Callable[..., m.Message]) -> Home:
    """Put everything that the page looks for in its place."""
    buy = say("fill", strategy="open")
    sell = say("fill", execution_id="e2", side="SELL", leg="target", strategy="open")
    found.journals = {
        "strategy": [signal(name) for name in golive.STRATEGIES],
        "execution": [buy, sell],
        "ledger": [compared()],
    }
    folder = configured.output / "TBOT_USA_main_PAPER_BOT01" / "logs"
    folder.mkdir(parents=True)
    (folder / "open.log").write_text("one line for people\n")
    ledger = configured.entities / "TBOT_USA" / "TBOT_USA_main_PAPER_BOT01_BOT_ledger.db"
    ledger.parent.mkdir()
    ledger.write_bytes(b"a ledger")
    hub.publish(say("chain"))
    hub.publish(say("beat", reconciled_ms=900))
    return found


def ticks(page: str) -> dict[str, bool]:
    return {key: shown == "yes" for key, shown in re.findall(r'id="fact-(\w+)" data-shown="(\w+)"', page)}


def test_page_when_the_home_is_new_then_nothing_is_ticked(found: Home, person_of: Callable[[str], Any]) -> None:
    page = person_of("vera").get("/going-live").text
    assert ticks(page) == dict.fromkeys(("broker", "strategies", "logs", "ledger", "dry_run", "alerts"), False)
    assert "0 of 6 shown" in page
    assert found.jobs == [], "there is no ledger to be checked"


def test_page_when_all_was_done_then_all_is_ticked_but_the_alerts_that_nobody_tested(
    shown_all: Home, configured: HomePaths, app: Flask, person_of: Callable[[str], Any]
) -> None:
    page = person_of("vera").get("/going-live").text
    assert [key for key, is_shown in ticks(page).items() if not is_shown] == ["alerts"]
    assert "Neither a mail server nor a webhook is set" in page
    assert f"{DAY}: 2 executions, everything sold" in page
    assert "sound: 42 entries" in page


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        (lambda home: home.journals["strategy"].pop(), "strategies"),
        (lambda home: home.journals["execution"].pop(), "dry_run"),
        (lambda home: home.journals.update(ledger=[compared("cash differs by $1.00")]), "dry_run"),
        (lambda home: home.journals.update(ledger=[compared(at_ns=TS - 1)]), "dry_run"),
        (lambda home: setattr(home, "checked", Outcome(code=1, out="", err="NOT SOUND: row 7")), "ledger"),
        (lambda home: setattr(home, "checked", Outcome(code=None, out="", err="")), "ledger"),
    ],
)
def test_tick_when_one_thing_lacks_then_is_not_there(
    shown_all: Home, person_of: Callable[[str], Any], spoil: Callable[[Home], Any], key: str
) -> None:
    spoil(shown_all)
    found = ticks(person_of("vera").get("/going-live").text)
    assert {name for name, is_shown in found.items() if not is_shown} == {key, "alerts"}


@pytest.mark.parametrize("beat", [{"reconciled_ms": -1}, {"reconciled_ms": 60_001}, {"state": "cannot start: no key"}])
def test_broker_when_it_does_not_agree_now_then_is_not_ticked(
    shown_all: Home, hub: StatusHub, say: Callable[..., m.Message], person_of: Callable[[str], Any], beat: Any
) -> None:
    hub.publish(say("beat", **{"reconciled_ms": 900, **beat}))
    assert ticks(person_of("vera").get("/going-live").text)["broker"] is False


def test_logs_when_a_strategy_traded_and_its_log_is_empty_then_it_is_named(
    shown_all: Home, say: Callable[..., m.Message], person_of: Callable[[str], Any]
) -> None:
    pair = [say("fill", execution_id=f"m{side}", side=side, strategy="mid") for side in ("BUY", "SELL")]
    shown_all.journals["execution"] += pair
    page = person_of("vera").get("/going-live").text
    assert ticks(page)["logs"] is False
    assert "Not written: mid.log" in page


def test_alerts_when_a_test_was_taken_after_the_last_change_then_ticked_with_who_and_when(
    shown_all: Home, configured: HomePaths, person_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = golive_web._evidence

    def with_webhook(here: Any, env: Any) -> golive.Evidence:
        return golive.Evidence(**{**vars(original(here, env)), "has_webhook": True})

    monkeypatch.setattr(golive_web, "_evidence", with_webhook)
    audit = Audit(AuditLog(configured), tuple)
    vera = person_of("vera")

    def tick() -> bool:
        return ticks(vera.get("/going-live").text)["alerts"]

    assert not tick()
    audit.record("connection_tested", "Webhook", after="what is kept: not let in", actor="adam")
    assert not tick()
    audit.record("connection_tested", "Alpaca, trading", after="what is kept: let in", actor="adam")
    assert not tick()
    audit.record("connection_tested", "Webhook", after="what is kept: let in", actor="adam")
    assert tick()
    assert "asked for by adam" in vera.get("/going-live").text
    audit.record("credential_changed", "webhook_url", before="set", after="replaced", actor="adam")
    assert not tick(), "what was tested is no longer what is kept"


def test_ledger_when_it_changes_all_the_time_then_is_not_read_for_every_look(
    shown_all: Home, configured: HomePaths, person_of: Callable[[str], Any]
) -> None:
    vera = person_of("vera")
    ledger = next(configured.entities.glob("*/*.db"))
    for size in range(3):
        ledger.write_bytes(b"x" * (size + 100))
        vera.get("/going-live")
    assert len(shown_all.jobs) == 1


def test_page_when_money_is_real_and_something_lacks_then_says_so(
    found: Home, person_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = golive_web.venue_of({"BROKER_NAME": "ALPACA", "ALPACA_ENDPOINT": "live"})
    monkeypatch.setattr(golive_web, "venue_of", lambda _settings: real)
    page = person_of("vera").get("/going-live").text
    assert "Not everything below has been shown." in page

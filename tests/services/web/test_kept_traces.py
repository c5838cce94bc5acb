"""The chain of a trade after the web interface was started anew: from the journals of the services."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chain_day import accepted, denied, entry_posted, fill, play_trades, prepared, signal
from flask import Flask
from msgspec.structs import replace

from bus import messages as m
from bus.store import Store
from config.paths import HomePaths
from config.vault import Vault
from services.web import server
from services.web.app import create_app
from services.web.hub import StatusHub
from services.web.kept_traces import kept_trace, newest_messages
from services.web.traces import TRACES_MAX

SAID_BY = ("strategy", "risk", "execution", "ledger")


class Journals:
    """The stores of the four services that say something of an intent, open as in services that run."""

    def __init__(self, state: Path) -> None:
        self.stores = {name: Store(state / f"{name}.db", "NORMAL") for name in SAID_BY}

    def publish(self, message: m.Message, sender: str) -> None:
        self.stores[sender].commit([message], [], None)

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


@pytest.fixture
def journals(configured: HomePaths) -> Iterator[Journals]:
    made = Journals(configured.state)
    yield made
    made.close()


class Silent:
    """A listener that hears nothing."""

    def __init__(self, *_arguments: Any) -> None:
        return

    def start(self) -> None:
        return

    def stop(self) -> None:
        return


def started_anew(home: HomePaths, monkeypatch: pytest.MonkeyPatch) -> tuple[Flask, StatusHub]:
    monkeypatch.setattr(server, "set_up_logs", lambda *_arguments: None)
    hub = StatusHub()
    ear = server.Ear(home, hub, Silent)  # type: ignore[arg-type]  # of a listener it needs start and stop alone
    ear.start(Vault(home).open())
    return create_app(home, hub), hub


def test_chain_when_the_page_was_started_anew_then_has_every_step_from_signal_to_postings(
    configured: HomePaths, journals: Journals, new_person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    play_trades(journals)  # type: ignore[arg-type]  # of a hub it needs publish alone
    app, hub = started_anew(configured, monkeypatch)
    vera = new_person(app)
    vera.log_in("vera")
    trades = vera.get("/trades").text
    assert "1 closed, 1 open" in trades
    assert "▲ +$99.88" in trades
    page = vera.get("/orders/chain?intent=i-TSLA").text
    for words in ("above range high $101.20", "every check passed", "accepted by the broker", "Entry 9", "4,160.00"):
        assert words in page
    assert len(hub.snapshot()["fills"]) == 3
    heard = StatusHub()
    play_trades(heard)
    kept, said = kept_trace(configured.state, "i-TSLA"), heard.trace("i-TSLA")
    assert kept is not None
    assert said is not None
    assert len(kept.messages) == len(said.messages) == 11
    assert set(kept.messages) == set(said.messages), "what is kept is what was said"


def test_chain_when_it_is_older_than_what_is_in_memory_then_is_read_all_the_same(
    configured: HomePaths, journals: Journals, new_person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    journals.publish(signal("AAPL"), "strategy")
    for number in range(TRACES_MAX):
        later = replace(signal("AAPL"), signal_id=f"i{number}", ts_init=signal("AAPL").ts_init + 1)
        journals.publish(later, "strategy")
    app, hub = started_anew(configured, monkeypatch)
    assert hub.trace("i-AAPL") is None
    vera = new_person(app)
    vera.log_in("vera")
    assert "No verdict yet" in vera.get("/orders/chain?intent=i-AAPL").text


def test_hub_when_something_was_said_while_journals_were_read_then_counts_once(hub: StatusHub) -> None:
    kept = [signal("AAPL"), prepared("AAPL"), accepted("AAPL"), fill("AAPL"), denied()]
    for message in (fill("AAPL"), entry_posted(1, fill("AAPL")), denied()):
        hub.publish(message)
    hub.restore(kept)
    trace = hub.trace("i-AAPL")
    assert trace is not None
    assert [type(message).__name__ for message in trace.messages] == [
        "SignalRaised", "OrderPrepared", "OrderAccepted", "OrderFilled",
    ]  # fmt: skip
    assert (len(hub.snapshot()["fills"]), len(hub.snapshot()["denied"])) == (1, 1)


def test_journals_when_missing_or_damaged_then_the_others_are_read(
    configured: HomePaths, journals: Journals, caplog: pytest.LogCaptureFixture
) -> None:
    play_trades(journals)  # type: ignore[arg-type]  # of a hub it needs publish alone
    journals.close()
    (configured.state / "ledger.db").unlink()
    (configured.state / "risk.db").write_bytes(b"no database at all" * 100)
    kinds = {type(message).__name__ for message in newest_messages(configured.state)}
    assert {"SignalRaised", "OrderFilled"} <= kinds
    assert not kinds & {"SubmitOrder", "EntryPosted"}
    assert "the journal of risk is left out" in caplog.text
    assert kept_trace(configured.state, "") is None
    assert kept_trace(configured.state, "i-nobody") is None

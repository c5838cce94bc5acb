"""Alerts: what raises one, that none is lost or repeated, and who may say that it was seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chain_day import OPEN_NS, chain, play_trades

from bus import messages as m
from services.web.alerts import ALERTS_MAX, AlertBook
from services.web.audit_log import AuditFilter
from services.web.hub import StatusHub


def orders(warnings: str) -> m.OrdersSnapshot:
    return m.OrdersSnapshot(ts_event=OPEN_NS, ts_init=OPEN_NS, orders=(), orders_total=0, warnings=warnings)


def ledger(imbalance: int) -> m.LedgerSnapshot:
    return m.LedgerSnapshot(
        ts_event=OPEN_NS, ts_init=OPEN_NS, ledger="x.db", entries=1, imbalance=imbalance, cash_micros=0,
        realized_micros=0, suspended=0,
    )  # fmt: skip


def compared(detail: str) -> m.BooksCompared:
    return m.BooksCompared(
        ts_event=OPEN_NS, ts_init=OPEN_NS, broker="PAPER", occasion="close", cash_told_micros=1, cash_booked_micros=2,
        symbols=(), told_nanos=(), booked_nanos=(), detail=detail,
    )  # fmt: skip


def chain_with(status: Any) -> m.ChainStatus:
    said = chain()
    row = m.ServiceHealth(
        service="risk", status=status, pid=1, age_ms=9_000, restarts=0, step=0, outbox_depth=0, detail="silent"
    )
    return m.ChainStatus(**{name: getattr(said, name) for name in said.__struct_fields__} | {"services": (row,)})


TIMES = {"ts_event": OPEN_NS, "ts_init": OPEN_NS}
RAISING: list[tuple[m.Message, str, str]] = [
    (m.HaltRaised(**TIMES, counter=3, source="watchdog", rule="dead_service", detail="risk"), "halt", "bad"),
    (m.KillSwitchTripped(**TIMES, session_date="d", pnl_micros=-1, limit_micros=1), "halt", "bad"),
    (m.OrderRejected(**TIMES, client_order_id="a", detail="no"), "rejection", "bad"),
    (m.OrderUnknown(**TIMES, client_order_id="a", detail="time-out"), "order unknown", "warn"),
    (m.EntrySuspended(**TIMES, source_event_id="a", detail="no account"), "books", "bad"),
    (compared("cash is 1.00 at PAPER and 2.00 in the books"), "books", "bad"),
    (ledger(5), "books", "bad"),
    (orders("the clock is 2100 ms behind"), "warning", "warn"),
    (chain_with("down"), "service", "bad"),
]


@pytest.mark.parametrize(("message", "kind", "level"), RAISING, ids=lambda item: type(item).__name__)
def test_alert_when_something_needs_a_person_then_is_raised_once(message: m.Message, kind: str, level: str) -> None:
    hub = StatusHub()
    client = hub.subscribe()
    hub.publish(message, "execution")
    hub.publish(message, "execution")
    [alert] = hub.alerts.newest_first()
    assert (alert.kind, alert.level) == (kind, level)
    hub.close()
    assert client is not None


@pytest.mark.parametrize("message", [ledger(0), compared(""), orders(""), chain_with("up"), chain_with("never seen")])
def test_alert_when_all_is_well_then_there_is_none(message: m.Message) -> None:
    hub = StatusHub()
    hub.publish(message)
    assert hub.alerts.newest_first() == []


def test_alert_when_the_same_comes_with_other_numbers_then_is_counted_until_it_was_seen() -> None:
    book = AlertBook()
    for ms in (2100, 2200, 2300):
        book.add("warn", "warning", "execution", f"the clock is {ms} ms behind", ts_ms=ms)
    [alert] = book.newest_first()
    assert (alert.times, alert.text, alert.ts_ms) == (3, "the clock is 2300 ms behind", 2300)
    assert book.acknowledge(alert.number, "olga", 5) == 1
    assert book.acknowledge(alert.number, "olga", 6) == 0
    assert book.unseen() == 0
    book.add("warn", "warning", "execution", "the clock is 2400 ms behind", ts_ms=2400)
    assert [one.number for one in book.newest_first()] == [2, 1]


def test_alerts_when_the_web_interface_starts_again_then_are_still_there(tmp_path: Path) -> None:
    path = tmp_path / "web_alerts.json"
    book = AlertBook(path)
    book.add("bad", "halt", "web", "first", ts_ms=1)
    book.add("bad", "halt", "web", "first", ts_ms=2)
    book.close()
    again = AlertBook(path)
    assert [(one.text, one.times) for one in again.newest_first()] == [("first", 2)]
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("{broken")
    assert AlertBook(path).newest_first() == []


def test_alerts_when_there_are_too_many_then_seen_ones_go_first() -> None:
    book = AlertBook()
    book.add("bad", "halt", "web", "old and not seen", ts_ms=1)
    seen = book.add("bad", "halt", "web", "seen", ts_ms=2)
    book.acknowledge(seen.number, "olga", 3)
    for number in range(ALERTS_MAX - 1):
        book.add("bad", f"kind{number}", "web", "x", ts_ms=10)
    texts = [one.text for one in book.newest_first()]
    assert len(texts) == ALERTS_MAX
    assert "old and not seen" in texts
    assert "seen" not in texts


def test_chain_when_a_service_has_an_alert_then_its_line_has_the_last_error_until_it_was_seen() -> None:
    hub = StatusHub()
    hub.publish(m.EntrySuspended(**TIMES, source_event_id="a", detail="no account"), "ledger")
    hub.publish(chain())
    rows = {row["service"]: row["last_error"] for row in hub.snapshot()["chain"]["services"]}
    assert rows["ledger"] == "The ledger cannot book a: no account"
    assert rows["risk"] == ""
    hub.acknowledge(None, "olga")
    hub.publish(chain())
    assert {row["last_error"] for row in hub.snapshot()["chain"]["services"]} == {""}


def test_page_when_an_operator_says_seen_then_it_is_kept_with_the_name_and_in_the_audit_log(
    hub: StatusHub, person_of: Callable[..., Any], app: Any
) -> None:
    play_trades(hub)
    olga, vera = person_of("olga"), person_of("vera")
    assert 'aria-label="Seen: alert 1"' in olga.get("/alerts").text
    assert "<form" not in vera.get("/alerts").text.partition("<main")[2]
    assert vera.post_bare("/alerts", {"csrf_token": vera.token("/"), "number": "1"}).status_code == 403
    assert hub.alerts.unseen() == 1
    assert olga.post("/alerts", {"number": "1"}).status_code == 303
    page = olga.get("/alerts").text
    assert "Seen: 1 alert." in page
    assert "by olga" in page
    assert hub.alerts.unseen() == 0
    actions = [row.action for row in app.extensions["tradebot"].audit.log.rows(AuditFilter())]
    assert "alerts_acknowledged" in actions


@pytest.mark.parametrize("number", ["", "x", "-1", "1" * 20])
def test_page_when_the_number_is_none_then_refuses(number: str, person_of: Callable[..., Any]) -> None:
    assert person_of("olga").post("/alerts", {"number": number}).status_code == 400

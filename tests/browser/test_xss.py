"""Forty payloads in every text that is stored or heard and shown: no script runs, and each is on the page as text."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chain_day import (
    OPEN_NS,
    accepted,
    chain,
    denied,
    entry_posted,
    fill,
    order,
    play_a_day,
    prepared,
    rejected,
    signal,
    stop_fill,
)
from msgspec.structs import replace
from playwright.sync_api import Page, expect
from real_books import RealBooks
from xss import FOUND, PAYLOADS, WATCH

from bus import messages as m
from bus.codec import CommandAnswer
from bus.control import ControlFolder
from config.users import User
from config.vault import Vault
from services.web.audit import Audit
from services.web.audit_log import AuditLog

pytestmark = pytest.mark.browser
#: What the books have as words of people and of brokers.
WORDS = {"description", "account", "account_name", "name", "value", "symbol", "object", "payload", "actor", "order_id"}
PAGES = (
    *("/", "/candidates", "/candidates?side=out", "/trades", "/orders/chain?intent=i-X0", "/orders/chain?intent=i-X1"),
    *("/books/journal", "/books/entry?seq=2", "/books/accounts", "/books/accounts/versions", "/books/reconciliation"),
    *("/books/reports", "/books/reports?report=trades", "/books/reports?report=audit", "/books/files", "/holdings"),
    *("/alerts", "/logs", "/control/streams", "/control/arm", "/control/kill", "/settings", "/settings/history"),
    *("/settings/identity", "/credentials", "/help", "/account", "/users", "/audit"),
)


class EvilBooks(RealBooks):
    """The real ledger, in which somebody has written payloads wherever words are."""

    def command(self, message: m.OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        said = super().command(message, timeout_s)
        if said is None or not said.body:
            return said
        page = msgspec.json.decode(said.body, type=m.LedgerPage)
        evil = itertools.cycle(PAYLOADS)
        rows = tuple(
            tuple(
                next(evil) if name in WORDS and isinstance(cell, str) else cell
                for name, cell in zip(page.columns, row, strict=True)
            )
            for row in page.rows
        )
        return replace(said, body=msgspec.json.encode(replace(page, rows=rows)))


def say(hub: Any) -> None:
    """Let every kind of message that has words say each payload."""
    play_a_day(hub)
    for number, evil in enumerate(PAYLOADS):
        name = f"X{number}"
        hub.publish(denied(evil))
        asked = signal(name)
        hub.publish(replace(asked, reasons=tuple(replace(one, value=evil, rule=evil) for one in asked.reasons)))
        hub.publish(replace(prepared(name), reason=evil))
        hub.publish(
            replace(rejected(name), detail=evil) if number % 2 else replace(accepted(name), broker_order_id=evil)
        )
        hub.publish(replace(fill(name), reason=evil))
        hub.publish(replace(entry_posted(number, fill(name)), description=evil))
        hub.publish(replace(stop_fill(name, 104_000_000), reason=evil))
        hub.publish(m.EntrySuspended(ts_event=OPEN_NS, ts_init=OPEN_NS, source_event_id=evil, detail=evil))
        stop = m.StoppedStream(sender="risk", rule="poison_message", seq=number, detail=evil)
        hub.publish(beat(number, stop))
    evil_orders = tuple(order(f"X{number}", "entry", "REJECTED", evil) for number, evil in enumerate(PAYLOADS))
    hub.publish(m.OrdersSnapshot(ts_event=OPEN_NS, ts_init=OPEN_NS, orders=evil_orders, orders_total=40))
    status = chain()
    lines = tuple(replace(one, detail=evil) for one, evil in zip(status.services, PAYLOADS, strict=False))
    hub.publish(replace(status, detail=PAYLOADS[0], stopped=PAYLOADS[5], goes_on=PAYLOADS[6], services=lines))


def beat(number: int, stop: m.StoppedStream) -> m.Heartbeat:
    receivers: tuple[m.ServiceName, ...] = ("execution", "ledger", "holdings", "strategy")
    return m.Heartbeat(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        service=receivers[number % len(receivers)],
        build="b",
        boot_id="one",
        pid=1,
        step=0,
        state="ready",
        outbox_depth=0,
        oldest_unacked_ms=0,
        rejected_messages=0,
        stopped_streams=(stop,),
    )


def write_files(output: Path) -> None:
    """Write payloads into the files that pages show: logs and the screener's list."""
    (output / "logs").mkdir(parents=True)
    (output / "screener").mkdir()
    with (output / "logs" / "risk.log").open("w") as out:
        for number, evil in enumerate(PAYLOADS):
            record = {"timestamp": f"2025-03-12T14:00:{number:02d}.000Z", "level": "ERROR", "service": "risk"}
            out.write(json.dumps({**record, "logger": evil, "message": evil}) + "\n")
    reasons = [[{"rule": evil, "value": evil, "threshold": evil, "passed": False}] for evil in PAYLOADS]
    names = [{"symbol": evil, "reasons": why} for evil, why in zip(PAYLOADS, reasons, strict=True)]
    figures = {"rank": 1, "score": 9, "prior_close_micros": 1, "price_micros": 1, "gap_bps": 1}
    content = {
        "session_date": "2025-03-12",
        "scan_mode": "pre-market",
        "source": PAYLOADS[6],
        "made_at": "2025-03-12T13:00:00Z",
        "names": 80,
        "failed_by_rule": dict.fromkeys(PAYLOADS, 1),
        "not_applied": list(PAYLOADS[:3]),
        "candidates": [{**one, **figures} for one in names],
        "rejected": names,
    }
    (output / "screener" / "2025-03-12_pre-market.json").write_text(json.dumps(content))


@pytest.fixture
def evil_site(serve: Callable[..., Any], password_hash: str) -> Any:
    users = [User(name="adam", password_hash=password_hash, role="admin")]
    users += [User(name=evil, password_hash=password_hash, role="viewer") for evil in PAYLOADS]
    settings = {"MARKET_DATA_SYMBOLS": PAYLOADS[6], "ALPACA_DATA_FEED": PAYLOADS[24], "MARKET_DATA_DIR": PAYLOADS[0]}
    made = serve(users=tuple(users), settings=settings, bus_of=EvilBooks)
    write_files(made.paths.output / "TBOT_USA_main_PAPER_BOT01")
    audit = Audit(AuditLog(made.paths), tuple)
    for evil in PAYLOADS:
        audit.record("settings_saved", evil, before=evil, after=evil, actor=evil)
    ControlFolder(made.paths).raise_halt("execution", "regressed_producer", PAYLOADS[6])
    say(made.hub)
    return made


def test_pages_when_every_stored_text_is_a_payload_then_no_script_runs(
    evil_site: Any, clean_page: Page, log_in_at: Callable[[Any, str], Page]
) -> None:
    assert len(set(PAYLOADS)) == 40
    clean_page.add_init_script(WATCH)
    clean_page.on("dialog", lambda shown: shown.dismiss())
    page = log_in_at(evil_site, "adam")
    seen: set[str] = set()
    for path in PAGES:
        page.goto(f"{evil_site.address}{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        say(evil_site.hub)
        if path == "/":
            expect(page.locator("#events tbody tr").first).to_be_visible()
        assert page.evaluate(FOUND) == [], path
        text = page.locator("body").inner_text()
        shown = {evil for evil in PAYLOADS if " ".join(evil.split()) in " ".join(text.split())}
        assert shown or path not in {"/", "/candidates", "/trades", "/books/journal", "/logs", "/users", "/audit"}, path
        seen |= shown
    assert seen == set(PAYLOADS), "each is shown as text somewhere"
    assert Vault(evil_site.paths).generation() == 1

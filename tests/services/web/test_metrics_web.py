"""/metrics: who gets it, what is in it, and that dashboard and alert rules ask for nothing else."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from bus import messages as m
from config.paths import HomePaths
from config.vault import Vault
from services.web.hub import StatusHub

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "0123456789abcdef0123456789abcdef"
TS = 1_741_786_200_000_000_000
NAME = re.compile(r"\btradebot_\w+")


@pytest.fixture
def with_token(configured: HomePaths) -> HomePaths:
    vault = Vault(configured)
    kept = vault.open()
    vault.replace(msgspec.structs.replace(kept, credentials={**kept.credentials, "metrics_token": TOKEN}), 1)
    return configured


def scraped(app: Flask, token: str = TOKEN, address: str = "127.0.0.1", scheme: str = "Bearer") -> Any:
    headers = {"Authorization": f"{scheme} {token}"} if token else {}
    return app.test_client().get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def say_everything(hub: StatusHub, say: Callable[..., m.Message]) -> None:
    """Let every figure be known: one message of each kind that is counted or shown."""
    health = m.ServiceHealth(
        service="risk",
        status="up",
        pid=7,
        age_ms=120,
        restarts=2,
        step=1,
        outbox_depth=3,
        detail="ready",
        market_holes=1,
    )
    hub.publish(say("chain", services=(health,), halt_counter=4, clock_drift_ms=250))
    hub.publish(say("portfolio"))
    hub.publish(say("beat", oldest_unacked_ms=1500, rejected_messages=2, refused_connections=1, reconciled_ms=900))
    ids = {"intent_id": "i1", "session_date": "2025-03-12", "strategy": "open"}
    signal = {"symbol": "AAPL", "direction": "BULLISH", "instrument": "AAPL", "reference_micros": 1, "trail_bps": 100}
    at = {"ts_event": TS, "expires_ns": TS, "exit_at_ns": TS, "session_date": "2025-03-12", "strategy": "open"}
    hub.publish(m.SignalRaised(ts_init=TS, signal_id="i1", reasons=(), **at, **signal))
    hub.publish(say("denied", **{**ids, "intent_id": "i9"}))
    hub.publish(say("fill"))
    hub.publish(m.HaltRaised(ts_event=TS, ts_init=TS, counter=4, source="web", rule="operator", detail="olga"))
    hub.publish(m.OrderUnknown(ts_event=TS, ts_init=TS, client_order_id="tb1-a", detail="time-out"))
    hub.publish(m.OrdersSnapshot(ts_event=TS, ts_init=TS, orders=(), orders_total=5))
    hub.publish(
        m.LedgerSnapshot(
            ts_event=TS, ts_init=TS, ledger="l", entries=9, imbalance=0, cash_micros=0, realized_micros=0, suspended=0
        )
    )


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, 200),
        ({"token": ""}, 401),
        ({"token": TOKEN[:-1]}, 401),
        ({"token": f"{TOKEN}x"}, 401),
        ({"scheme": "Basic"}, 401),
        ({"address": "192.168.1.7"}, 403),
        ({"address": "", "token": TOKEN}, 403),
    ],
)
def test_figures_when_asked_for_then_only_this_machine_with_the_token_gets_them(
    with_token: HomePaths, app: Flask, given: dict[str, str], code: int
) -> None:
    answer = scraped(app, **given)
    assert answer.status_code == code
    assert ("tradebot_" in answer.text) is (code == 200)
    assert TOKEN not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_figures_when_no_token_is_set_then_nobody_gets_them_and_it_is_said_where_to_set_it(app: Flask) -> None:
    answer = scraped(app)
    assert answer.status_code == 403
    assert "page of credentials" in answer.json["error"]


def test_figures_when_the_token_is_in_the_address_then_it_does_not_count(with_token: HomePaths, app: Flask) -> None:
    assert app.test_client().get(f"/metrics?token={TOKEN}").status_code == 401


def test_figures_when_nothing_was_heard_then_none_is_made_up(with_token: HomePaths, app: Flask) -> None:
    found = {name for name, _ in samples(scraped(app).text)}
    assert found == {
        "tradebot_build_info",
        "tradebot_alerts_unseen",
        "tradebot_disk_free_bytes",
    }


def test_figures_when_the_chain_speaks_then_are_what_it_said(
    with_token: HomePaths, app: Flask, hub: StatusHub, say: Callable[..., m.Message]
) -> None:
    say_everything(hub, say)
    hub.publish(say("denied", intent_id="i3", rule="max_spread"))
    answer = scraped(app)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    assert found["tradebot_state", ("ACTIVE",)] == 1
    assert found["tradebot_state", ("HALTED",)] == 0
    assert found["tradebot_bot_state", ("TRADING",)] == 1
    assert found["tradebot_service_up", ("risk",)] == 1
    assert found["tradebot_heartbeat_age_seconds", ("risk",)] == 0.12
    assert found["tradebot_hop_lag_seconds", ("execution",)] == 1.5
    assert found["tradebot_reconciled_age_seconds", ()] == 0.9
    assert found["tradebot_day_result_dollars", ()] == -500
    assert found["tradebot_loss_limit_dollars", ()] == 2000
    assert found["tradebot_orders_denied_total", ("max_spread",)] == 2
    assert found["tradebot_fills_total", ("BUY", "open")] == 1
    assert found["tradebot_orders_total", ("unknown",)] == 1
    assert found["tradebot_halts_total", ("operator",)] == 1
    assert found["tradebot_ledger_imbalance", ()] == 0
    assert found["tradebot_hop_seconds_count", ("signal_to_fill",)] == 1


def test_figures_when_bot_and_broker_do_not_agree_then_the_age_is_gone(
    with_token: HomePaths, app: Flask, hub: StatusHub, say: Callable[..., m.Message]
) -> None:
    hub.publish(say("beat", reconciled_ms=-1))
    assert "reconciled_age" not in scraped(app).text


def test_dashboard_and_rules_when_compared_with_the_figures_then_neither_has_one_that_the_other_lacks(
    with_token: HomePaths, app: Flask, hub: StatusHub, say: Callable[..., m.Message]
) -> None:
    say_everything(hub, say)
    (with_token.root / "backups" / "a.zip.age").write_bytes(b"")
    (with_token.entities / "E" / "backups").mkdir(parents=True)
    (with_token.entities / "E" / "backups" / "redo").write_bytes(b"")
    exported = {name for name, _ in samples(scraped(app).text)}
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "tradebot.json").read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for query in panel.get("targets", ())
        for name in NAME.findall(query["expr"])
    }
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    asked = {name for rule in rules["groups"][0]["rules"] for name in NAME.findall(rule["expr"])}
    assert sorted((shown | asked) - exported) == []
    of_histogram = {"tradebot_hop_seconds_count", "tradebot_hop_seconds_sum"}
    assert sorted(exported - shown - of_histogram) == []
    operations = (ROOT / "docs" / "operations.md").read_text()
    named = {name.removesuffix("_bucket") for name in exported - of_histogram}
    assert sorted(name for name in named if f"`{name}`" not in operations) == []


def test_rules_when_read_then_each_has_a_severity_and_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 12
    assert {rule["labels"]["severity"] for rule in rules} == {"page", "warn"}
    assert all(rule["annotations"]["summary"] and rule["annotations"]["do"].endswith(".") for rule in rules)


def test_scrape_job_when_read_then_has_the_token_in_a_file_and_asks_this_machine() -> None:
    job = yaml.safe_load((ROOT / "deploy" / "prometheus" / "scrape.yml").read_text())["scrape_configs"][0]
    assert job["authorization"] == {"type": "Bearer", "credentials_file": "/etc/prometheus/tradebot.token"}
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8780"]}]


def test_healthz_when_the_chain_is_heard_then_says_so(
    app: Flask, hub: StatusHub, say: Callable[..., m.Message]
) -> None:
    assert app.test_client().get("/healthz").json == {"configured": True, "hears_chain": False, "status": "ok"}
    hub.publish(say("chain"))
    assert app.test_client().get("/healthz").json["hears_chain"] is True

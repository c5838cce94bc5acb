"""The status hub: the newest of everything, a snapshot before changes, and slow browsers dropped."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from services.web.hub import EVENTS_KEPT, HubFullError, StatusHub, Subscription
from services.web.session_curve import STEP_MS as CURVE_STEP_MS

Say = Callable[..., m.Message]
STEP_NS = CURVE_STEP_MS * 1_000_000


def take(client: Subscription, count: int) -> list[tuple[str, Any]]:
    """Read that many frames as (kind, value)."""
    frames = frames_of(client, count)
    pairs = []
    for frame in frames:
        lines = dict(line.split(": ", 1) for line in frame.split("\n"))
        pairs.append((lines["event"], json.loads(lines["data"])))
    return pairs


def frames_of(client: Subscription, count: int) -> list[str]:
    """Read until there are so many frames; a piece of the stream may hold several."""
    stream, found = client.read(heartbeat_every_s=0.01), list[str]()
    while len(found) < count:
        found += next(stream).decode().strip().split("\n\n")
    assert len(found) == count
    return found


def test_hub_when_nothing_was_heard_then_snapshot_is_empty_not_wrong() -> None:
    snapshot = StatusHub().snapshot()
    assert snapshot["chain"] is None
    assert snapshot["chain_age_ms"] is None
    assert snapshot["events"] == []


def test_stream_when_opened_then_snapshot_comes_first_and_then_only_changes(hub: StatusHub, say: Say) -> None:
    hub.publish(say("fill"))
    client = hub.subscribe()
    hub.publish(say("chain"))
    (first, snapshot), (second, chain) = take(client, 2)
    assert first == "snapshot"
    assert [fill["symbol"] for fill in snapshot["fills"]] == ["AAPL"]
    assert snapshot["chain"] is None
    assert (second, chain["state"]) == ("chain", "ACTIVE")


def test_snapshot_when_status_is_repeated_then_newest_wins(hub: StatusHub, say: Say) -> None:
    hub.publish(say("chain", state="STARTING"))
    hub.publish(say("chain", state="HALTED"))
    chain = hub.snapshot()["chain"]
    assert chain["state"] == "HALTED"


def test_amounts_when_shown_then_are_exact_text_in_dollars_and_shares(hub: StatusHub, say: Say) -> None:
    hub.publish(say("fill", price_micros=101_500_001, qty_nanos=1_500_000_000))
    hub.publish(say("portfolio"))
    snapshot = hub.snapshot()
    assert snapshot["fills"][0]["price"] == "101.500001"
    assert snapshot["fills"][0]["qty"] == "1.5"
    assert snapshot["portfolio"]["day_pnl"] == "-500.00"
    assert snapshot["portfolio"]["day_pnl_bps"] == -50
    assert snapshot["portfolio"]["loss_used_bps"] == 2_500
    assert snapshot["portfolio"]["allocation_used_bps"] == 2_500


def test_curve_when_status_comes_often_then_has_one_point_for_each_stretch(hub: StatusHub, say: Say) -> None:
    for index in range(4):
        hub.publish(say("portfolio", ts_event=10 * STEP_NS + index * STEP_NS // 2, equity_micros=index))
    assert [ms for ms, _ in hub.snapshot()["equity"]] == [10 * CURVE_STEP_MS, 11 * CURVE_STEP_MS]
    assert hub.snapshot()["equity"][-1][1] == "0.000003"


def test_curve_when_a_new_day_begins_then_starts_anew(hub: StatusHub, say: Say) -> None:
    hub.publish(say("portfolio", ts_event=20 * STEP_NS))
    hub.publish(say("portfolio", ts_event=STEP_NS, session_date="2025-03-13"))
    assert [ms for ms, _ in hub.snapshot()["equity"]] == [CURVE_STEP_MS]


def test_events_when_very_many_then_newest_are_kept(hub: StatusHub, say: Say) -> None:
    for number in range(EVENTS_KEPT + 20):
        hub.publish(say("denied", intent_id=f"i{number}"))
    events = hub.snapshot()["events"]
    assert len(events) == EVENTS_KEPT
    assert events[-1]["n"] == EVENTS_KEPT + 20


def test_events_when_a_rule_denies_then_line_names_rule_value_and_limit(hub: StatusHub, say: Say) -> None:
    hub.publish(say("denied"))
    line = hub.snapshot()["events"][0]
    assert line["level"] == "warn"
    assert "max_spread: 2.1 %, limit 1.5 %" in line["text"]


def test_event_when_its_kind_has_no_sentence_then_fields_are_listed(hub: StatusHub) -> None:
    hub.publish(m.OrderRejected(ts_event=1, ts_init=1, client_order_id="tb1-a", detail="no buying power"))
    line = hub.snapshot()["events"][0]
    assert line["level"] == "bad"
    assert "no buying power" in line["text"]


def test_stream_when_browser_is_slow_then_is_dropped_and_others_go_on(say: Say) -> None:
    hub = StatusHub(queue_frames=4)
    slow, quick = hub.subscribe(), hub.subscribe()
    take(quick, 1)
    for _ in range(6):
        hub.publish(say("chain"))
        take(quick, 1)
    assert hub.client_count() == 1
    assert list(slow.read(heartbeat_every_s=0.01)) == []
    again = hub.subscribe()
    assert take(again, 1)[0][0] == "snapshot"


def test_stream_when_nothing_happens_then_says_it_is_there(hub: StatusHub) -> None:
    client = hub.subscribe()
    stream = client.read(heartbeat_every_s=0.01)
    next(stream)
    assert next(stream).startswith(b":")


def test_stream_when_too_many_are_open_then_next_is_refused_until_one_closes() -> None:
    hub = StatusHub(clients_max=2)
    first, _second = hub.subscribe(), hub.subscribe()
    with pytest.raises(HubFullError, match="Close one"):
        hub.subscribe()
    hub.unsubscribe(first)
    hub.unsubscribe(first)
    assert hub.subscribe()


def test_stream_when_server_stops_then_ends_at_once_and_none_opens(hub: StatusHub) -> None:
    client = hub.subscribe()
    hub.close()
    assert list(client.read(heartbeat_every_s=60)) == []
    with pytest.raises(HubFullError, match="stopping"):
        hub.subscribe()


def test_hub_when_market_data_or_heartbeats_come_then_browsers_are_not_told(hub: StatusHub) -> None:
    client = hub.subscribe()
    hub.publish(m.QuoteBatch.of((), ts_event=1, ts_init=1, step=1))
    hub.publish(m.Lease(ts_event=1, ts_init=1, issuer="risk", seq=1, halt_counter=0, expires_boot_ns=1))
    hub.close()
    assert list(client.read()) == []
    assert hub.snapshot()["events"] == []


def test_stream_when_much_is_said_at_once_then_it_comes_in_one_piece(hub: StatusHub, say: Say) -> None:
    client = hub.subscribe()
    stream = client.read()
    assert b"event: snapshot" in next(stream), "the first comes at once"
    for state in ("STARTING", "ACTIVE", "HALTED"):
        hub.publish(say("chain", state=state))
    piece = next(stream).decode()
    assert [json.loads(line[6:])["state"] for line in piece.split("\n") if line.startswith("data")] == [
        "STARTING",
        "ACTIVE",
        "HALTED",
    ]


def test_frame_when_text_has_line_breaks_then_stays_one_event(hub: StatusHub, say: Say) -> None:
    client = hub.subscribe()
    hub.publish(say("denied", value="a\n\nevent: chain\ndata: {}"))
    kinds = [kind for kind, _ in take(client, 3)]
    assert kinds == ["snapshot", "event", "denied"]


def a_stop(sender: m.ServiceName = "risk", seq: int = 2) -> m.StoppedStream:
    return m.StoppedStream(sender=sender, rule="poison_message", seq=seq, detail="cannot be read")


def test_heartbeat_when_it_tells_of_a_stopped_stream_then_snapshot_and_streams_have_it(
    hub: StatusHub, say: Say
) -> None:
    client = hub.subscribe()
    for _ in range(3):
        hub.publish(say("beat", stopped_streams=(a_stop(),)))
    line = {"receiver": "execution", "sender": "risk", "rule": "poison_message", "seq": 2, "detail": "cannot be read"}
    assert hub.snapshot()["stopped_streams"] == [line]
    assert hub.stopped_streams() == (("execution", a_stop()),)
    hub.publish(say("chain"))
    frames = take(client, 4)
    assert [kind for kind, _ in frames] == ["snapshot", "stopped_streams", "alerts", "chain"]
    assert frames[1][1] == [line]
    assert frames[2][1]["newest"]["text"].startswith("execution takes nothing more from risk: cannot be read")
    assert hub.snapshot()["events"] == []


def test_stopped_stream_when_another_service_beats_then_stays_and_goes_when_its_own_says_so(
    hub: StatusHub, say: Say
) -> None:
    hub.publish(say("beat", stopped_streams=(a_stop(), a_stop("watchdog", 7))))
    hub.publish(say("beat", service="risk", stopped_streams=(a_stop("screener", 1),)))
    hub.publish(say("beat", service="ledger"))
    assert [(receiver, stop.sender) for receiver, stop in hub.stopped_streams()] == [
        ("execution", "risk"),
        ("execution", "watchdog"),
        ("risk", "screener"),
    ]
    hub.publish(say("beat"))
    assert [receiver for receiver, _ in hub.stopped_streams()] == ["risk"]


def test_stopped_stream_when_its_receiver_said_that_it_goes_on_then_is_gone_before_the_next_heartbeat(
    hub: StatusHub, say: Say
) -> None:
    hub.publish(say("beat", stopped_streams=(a_stop(), a_stop("watchdog", 7))))
    client = hub.subscribe()
    hub.stream_goes_on("execution", "risk")
    hub.stream_goes_on("ledger", "risk")
    assert hub.stopped_streams() == (("execution", a_stop("watchdog", 7)),)
    assert [stop["sender"] for stop in take(client, 2)[1][1]] == ["watchdog"]


def test_orders_when_execution_warns_then_the_page_gets_its_words(hub: StatusHub) -> None:
    words = {
        "warnings": "this machine's clock is 2,100 ms behind",
        "drain": "cancelling: 2 orders",
        "external": "1 order",
    }
    hub.publish(m.OrdersSnapshot(ts_event=1, ts_init=1, orders=(), orders_total=0, **words))
    assert {name: hub.snapshot()["orders"][name] for name in words} == words
    hub.publish(m.OrdersSnapshot(ts_event=2, ts_init=2, orders=(), orders_total=0))
    assert {hub.snapshot()["orders"][name] for name in words} == {""}


def test_past_minutes_when_said_again_then_the_feed_has_no_line_of_them(hub: StatusHub) -> None:
    hub.publish(m.PastBars.of((), ts_event=1, ts_init=1, step=1))
    assert hub.snapshot()["events"] == []

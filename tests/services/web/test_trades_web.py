"""The pages of trades and of one trade's chain, and the export."""

import csv
import io
from collections.abc import Callable
from typing import Any

from chain_day import OPEN_NS, fill, order, play_trades, prepared, rejected
from msgspec.structs import replace

from bus import messages as m
from services.web.hub import StatusHub


def test_page_when_trades_were_heard_then_shows_them_by_each_grouping(
    hub: StatusHub, person_of: Callable[..., Any]
) -> None:
    play_trades(hub)
    vera = person_of("vera")
    for by in ("strategy", "day", "month", "nonsense"):
        page = vera.get(f"/trades?by={by}").text
        assert "▲ +$99.88" in page
        assert "1 closed, 1 open" in page
    assert "No trades yet" in vera.get("/trades?strategy=mid").text


def test_export_when_taken_then_has_the_filtered_rows_and_a_total(
    hub: StatusHub, person_of: Callable[..., Any]
) -> None:
    play_trades(hub)
    vera = person_of("vera")
    rows = list(csv.reader(io.StringIO(vera.get("/trades.csv").text)))
    assert [row[2] for row in rows[1:-1]] == ["AAPL", "TSLA"]
    assert rows[-1][0] == "total of 2"
    assert rows[-1][11] == "99.88"
    assert len(list(csv.reader(io.StringIO(vera.get("/trades.csv?strategy=mid").text)))) == 2


def test_export_when_a_reason_looks_like_a_formula_then_no_spreadsheet_runs_it(
    hub: StatusHub, person_of: Callable[..., Any]
) -> None:
    hub.publish(replace(fill("AAPL"), reason="=cmd|'/c calc'!A1"))
    text = person_of("vera").get("/trades.csv").text
    assert ",'=cmd" in text


def test_chain_when_known_then_has_every_step_and_when_not_says_where_it_is(
    hub: StatusHub, person_of: Callable[..., Any]
) -> None:
    play_trades(hub)
    vera = person_of("vera")
    page = vera.get("/orders/chain?intent=i-TSLA").text
    for words in ("above range high $101.20", "every check passed", "accepted by the broker", "Entry 9", "4,160.00"):
        assert words in page
    refused = vera.get("/orders/chain?intent=i-NVDA").text
    assert "refused by the broker" in refused
    assert "Nothing is booked yet" in refused
    unknown = vera.get("/orders/chain?intent=<script>")
    assert unknown.status_code == 404
    assert "<script>" not in unknown.text.partition("<main")[2]


def test_orders_when_the_broker_refused_one_then_the_status_has_its_words(hub: StatusHub) -> None:
    hub.publish(prepared("NVDA"))
    hub.publish(rejected("NVDA"))
    line = order("NVDA", "entry", "REJECTED", "breakout")
    hub.publish(m.OrdersSnapshot(ts_event=OPEN_NS, ts_init=OPEN_NS, orders=(line,), orders_total=1))
    [shown] = hub.snapshot()["orders"]["orders"]
    assert shown["reason"] == "breakout"
    assert shown["broker_words"].startswith("403: insufficient buying power")

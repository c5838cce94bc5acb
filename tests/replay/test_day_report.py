"""The report of a real session from its services' journals: trades, refusals, incidents, and the files it leaves."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.messages import (
    MICROS,
    NANOS,
    HaltRaised,
    Message,
    OrderAccepted,
    OrderDenied,
    OrderFilled,
    OrderPrepared,
    OrderRejected,
    OrderUnknown,
    SubmitOrder,
)
from bus.store import Store, StoreError
from bus.testing import a_plan, a_signal
from replay.day_record import DayRecord, last_session, read_day
from replay.day_report import TRADE_HEAD, day_page, strategy_lines, summary, trade_lines, write_report
from replay.session import DEMO_IDENTITY

DAY = "2013-10-08"
#: 14:00 UTC of that day.
START_NS = 1_381_240_800_000_000_000
MS = 1_000_000
PLAN = a_plan(DAY)
SIGNAL = a_signal("i1", START_NS, START_NS)
REQUEST = SubmitOrder(
    ts_event=START_NS,
    ts_init=START_NS + 2 * MS,
    intent_id="i1",
    session_date=DAY,
    strategy="open",
    symbol="SPY",
    side="BUY",
    qty_nanos=10 * NANOS,
    order_type="LIMIT",
    limit_micros=101 * MICROS,
    reference_micros=100 * MICROS,
    trail_bps=200,
    expires_ns=START_NS,
    cancel_at_ns=START_NS,
    exit_at_ns=START_NS,
    reason="breakout",
)
PREPARED = OrderPrepared(
    ts_event=START_NS,
    ts_init=START_NS + 5 * MS,
    client_order_id="tb1-a",
    intent_id="i1",
    leg="entry",
    attempt=1,
    session_date=DAY,
    strategy="open",
    symbol="SPY",
    side="BUY",
    qty_nanos=10 * NANOS,
    order_type="LIMIT",
    limit_micros=101 * MICROS,
    stop_micros=0,
    trail_bps=0,
    expires_ns=START_NS,
    cancel_at_ns=START_NS,
    exit_at_ns=START_NS,
    reason="breakout",
    reference_micros=100 * MICROS,
)
ACCEPTED = OrderAccepted(ts_event=START_NS, ts_init=START_NS + 25 * MS, client_order_id="tb1-a", broker_order_id="b1")
BOUGHT = OrderFilled(
    ts_event=START_NS + 40 * MS,
    ts_init=START_NS + 45 * MS,
    execution_id="e1",
    client_order_id="tb1-a",
    broker_order_id="b1",
    intent_id="i1",
    leg="entry",
    session_date=DAY,
    strategy="open",
    symbol="SPY",
    side="BUY",
    qty_nanos=10 * NANOS,
    price_micros=100_250_000,
    commission_micros=1 * MICROS,
    cumulative_qty_nanos=10 * NANOS,
    order_qty_nanos=10 * NANOS,
    broker="PAPER",
    reason="breakout",
)
SOLD = replace(
    BOUGHT,
    ts_event=START_NS + 3_600_000 * MS,
    execution_id="e2",
    client_order_id="tb1-b",
    leg="stop",
    side="SELL",
    price_micros=103_500_000,
    reason="trailing stop 2.00 %",
)
DENIED = OrderDenied(
    ts_event=START_NS,
    ts_init=START_NS,
    intent_id="i2",
    session_date=DAY,
    strategy="mid",
    symbol="QQQ",
    side="BUY",
    rule="max_open_positions",
    value="8",
    limit="8",
)
REFUSED_ORDER = replace(PREPARED, client_order_id="tb1-c", intent_id="i3", symbol="IWM", strategy="close")
REFUSED = OrderRejected(ts_event=START_NS, ts_init=START_NS, client_order_id="tb1-c", detail="<b>insufficient</b>")
UNKNOWN = OrderUnknown(ts_event=START_NS + 1, ts_init=START_NS, client_order_id="tb1-c", detail="timed out")
HALT = HaltRaised(
    ts_event=START_NS + 2, ts_init=START_NS, counter=3, source="risk", rule="daily_loss_limit", detail="beyond"
)


def write_journals(state: Path, journals: dict[str, Sequence[Message]]) -> None:
    state.mkdir(exist_ok=True)
    for name, events in journals.items():
        store = Store(state / f"{name}.db", "NORMAL")
        store.commit(events, [], None)
        store.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give the journals of a day with one trade, one denial, one refusal and a halt."""
    write_journals(
        tmp_path,
        {
            "watchdog": [PLAN, HALT],
            "strategy": [SIGNAL],
            "risk": [REQUEST, DENIED],
            "execution": [PREPARED, ACCEPTED, BOUGHT, SOLD, REFUSED_ORDER, REFUSED, UNKNOWN],
        },
    )
    return tmp_path


@pytest.fixture
def day(state: Path) -> DayRecord:
    return read_day(state, DAY)


def test_trade_has_every_column_of_the_log_standard(day: DayRecord) -> None:
    rows = [dict(zip(TRADE_HEAD, row, strict=True)) for row in trade_lines(day)]

    sold = next(row for row in rows if row["ticker"] == "SPY")
    assert list(sold)[:10] == [
        "timestamp", "strategy_name", "ticker", "side", "size", "entry_price", "exit_price", "PnL", "broker",
        "error_code",
    ]  # fmt: skip
    assert (sold["size"], sold["entry_price"], sold["exit_price"]) == ("10", "100.25", "103.50")
    # 10 x 3.25 less two commissions of a dollar.
    assert sold["PnL"] == "30.50"
    assert (sold["timestamp"], sold["broker"], sold["error_code"]) == ("2013-10-08T15:00:00.000Z", "PAPER", "")


def test_order_that_the_broker_refused_is_a_line_with_its_words(day: DayRecord) -> None:
    rows = [dict(zip(TRADE_HEAD, row, strict=True)) for row in trade_lines(day)]

    refused = next(row for row in rows if row["ticker"] == "IWM")
    assert (refused["error_code"], refused["PnL"], refused["strategy_name"]) == ("<b>insufficient</b>", "", "close")


def test_strategies_and_their_sum_are_counted(day: DayRecord) -> None:
    lines = {line.strategy: line for line in strategy_lines(day)}

    assert (lines["open"].pnl, lines["open"].won, lines["open"].win_rate) == ("30.50", 1, "1.0000")
    assert (lines["mid"].trades, lines["mid"].denied, lines["mid"].win_rate) == (0, 1, None)
    assert (lines["all"].pnl, lines["all"].denied, lines["all"].signals) == ("30.50", 1, 1)
    assert (lines["all"].fees, lines["all"].turnover) == ("2.00", "2037.50")


def test_slippage_is_against_the_ask_that_the_entry_was_sized_at(day: DayRecord) -> None:
    (slip,) = day.slips

    assert slip.basis_points == pytest.approx(25)


def test_each_hop_of_the_order_path_is_timed(day: DayRecord) -> None:
    assert {hop.name: hop.max_ms for hop in day.hops} == {
        "signal to risk's approval": 2,
        "approval to the order on disk": 3,
        "order on disk to the broker's answer": 20,
        "order on disk to the first fill": 40,
        "signal to the first fill": 45,
    }


def test_incidents_are_in_the_order_in_which_they_happened(day: DayRecord) -> None:
    assert [(incident.what, incident.detail) for incident in day.incidents] == [
        ("OrderUnknown", "tb1-c: timed out"),
        ("HaltRaised", "halt 3 by risk, daily_loss_limit: beyond"),
    ]


def test_trade_over_night_counts_on_the_day_it_ends_with_its_whole_result(tmp_path: Path) -> None:
    later = replace(SOLD, ts_event=SOLD.ts_event + 86_400_000 * MS, session_date="2013-10-09")
    write_journals(tmp_path, {"watchdog": [PLAN, a_plan("2013-10-09")], "execution": [PREPARED, BOUGHT, later]})

    first, second = read_day(tmp_path, DAY), read_day(tmp_path, "2013-10-09")

    assert [trade_lines(day)[0][TRADE_HEAD.index("PnL")] for day in (first, second)] == ["", "30.50"]
    # Only the day's own fills are turned over on it.
    assert [strategy_lines(day)[-1].turnover for day in (first, second)] == ["1002.50", "1035.00"]
    assert last_session(tmp_path) == "2013-10-09"


def test_report_leaves_trades_and_summary_that_agree(state: Path, day: DayRecord, tmp_path: Path) -> None:
    output = tmp_path / "output"

    paths = write_report(day, DEMO_IDENTITY, output, ["cash differs"])
    again = write_report(day, DEMO_IDENTITY, output, ["cash differs"])

    assert [path.relative_to(output).as_posix() for path in paths] == [
        "trades/2013-10-08.csv",
        "trades/2013-10-08.json",
        "summaries/2013-10-08.json",
        "summaries/2013-10-08.html",
    ]
    assert paths == again
    assert not [path for path in output.rglob("*") if path.is_file() and path not in paths]
    with paths[0].open(newline="") as file:
        of_csv = list(csv.DictReader(file))
    assert of_csv == json.loads(paths[1].read_text()) == json.loads(paths[2].read_text())["trades"]
    assert json.loads(paths[2].read_text())["reconciliation"] == "cash differs"
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}


def test_page_escapes_what_a_broker_says_and_needs_no_script(day: DayRecord) -> None:
    page = day_page(day, DEMO_IDENTITY, [])

    assert "&lt;b&gt;insufficient" in page
    assert "<b>insufficient" not in page
    assert "<script" not in page
    assert "cash, every position and every execution agree" in page


def test_day_without_anything_says_so(tmp_path: Path) -> None:
    write_journals(tmp_path, {"watchdog": [PLAN]})
    empty = read_day(tmp_path, DAY)

    page = day_page(empty, DEMO_IDENTITY, None)

    assert "Nothing was traded in this session." in page
    assert summary(empty, DEMO_IDENTITY, None)["reconciliation"].startswith("not compared here")


def test_home_without_journals_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has this chain ever run"):
        read_day(tmp_path, DAY)

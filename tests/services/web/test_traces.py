"""What became of each signal: the chain of one intent, its trade, and the statistics over trades."""

import pytest
from chain_day import (
    OPEN_NS,
    accepted,
    entry_posted,
    fill,
    play_trades,
    prepared,
    rejected,
    signal,
    stop_fill,
)
from msgspec.structs import replace

from bus import messages as m
from services.web.hub import StatusHub
from services.web.traces import MESSAGES_MAX, TRACES_MAX, TraceBook
from services.web.trades import Trade, line_of, statistics, trade_of


def book_of(*messages: m.Message) -> TraceBook:
    book = TraceBook()
    for message in messages:
        book.add(message)
    return book


def a_trade(gain: int, strategy: str = "open", day: str = "2025-03-12", *, is_open: bool = False) -> Trade:
    return Trade(
        intent_id=f"{day}:{gain}",
        strategy=strategy,
        symbol="AAPL",
        session_date=day,
        opened_ns=1,
        closed_ns=0 if is_open else 2,
        bought_nanos=m.NANOS,
        sold_nanos=m.NANOS,
        entry_micros=1,
        exit_micros=1,
        commission_micros=10_000,
        gain_micros=gain,
        is_booked=True,
        why_in="",
        why_out="",
    )


def test_trace_when_orders_and_postings_come_by_other_ids_then_all_are_in_the_chain_of_their_intent() -> None:
    hub = StatusHub()
    play_trades(hub)
    trace = hub.trace("i-TSLA")
    assert trace is not None
    kinds = [type(message).__name__ for message in trace.messages]
    assert kinds == [
        "SignalRaised", "SubmitOrder", "OrderPrepared", "OrderAccepted", "OrderFilled", "EntryPosted",
        "OrderPrepared", "OrderAccepted", "OrderFilled", "EntryPosted", "IntentClosed",
    ]  # fmt: skip
    assert hub.trace("i-nobody") is None


def test_trace_when_an_order_belongs_to_nobody_known_then_is_not_kept() -> None:
    book = book_of(accepted("AAPL"), entry_posted(1, fill("AAPL")))
    assert book.traces() == []


def test_trace_when_an_entry_is_said_again_then_is_kept_once() -> None:
    book = book_of(prepared("AAPL"), entry_posted(1, fill("AAPL")), entry_posted(1, fill("AAPL")))
    [trace] = book.traces()
    assert [type(message) for message in trace.messages] == [m.OrderPrepared, m.EntryPosted]


def test_traces_when_there_are_too_many_then_the_oldest_go_and_long_ones_say_what_is_left_out() -> None:
    book = book_of(*(replace(signal("AAPL"), signal_id=f"i{number}") for number in range(TRACES_MAX + 3)))
    assert [trace.intent_id for trace in book.traces()][:1] == ["i3"]
    long = book_of(*[signal("AAPL")] * (MESSAGES_MAX + 2)).trace("i-AAPL")
    assert long is not None
    assert (len(long.messages), long.left_out) == (MESSAGES_MAX, 2)


def test_broker_words_when_an_order_is_refused_then_are_kept_by_its_id() -> None:
    book = book_of(prepared("NVDA"), rejected("NVDA"))
    assert book.broker_words("tb1-NVDA-entry").startswith("403: insufficient")
    assert book.broker_words("other") == ""


def test_trade_when_all_sales_are_booked_then_has_the_ledgers_gain() -> None:
    bought, sold = fill("TSLA"), stop_fill("TSLA", 104_000_000)
    book = book_of(prepared("TSLA"), prepared("TSLA", "stop"), bought, sold, entry_posted(2, sold, 99_880_000))
    [trace] = book.traces()
    trade = trade_of(trace)
    assert trade is not None
    assert (trade.gain_micros, trade.is_booked, trade.is_open) == (99_880_000, True, False)
    assert (trade.entry_micros, trade.exit_micros) == (101_500_000, 104_000_000)


def test_trade_when_a_part_is_sold_and_not_booked_then_its_gain_is_reckoned_from_the_fills() -> None:
    part = replace(stop_fill("TSLA", 104_000_000), qty_nanos=10 * m.NANOS, commission_micros=0)
    [trace] = book_of(fill("TSLA"), part, part).traces()
    trade = trade_of(trace)
    assert trade is not None
    assert (trade.sold_nanos, trade.gain_micros, trade.is_booked) == (10 * m.NANOS, 25_000_000, False)
    assert trade.is_open


def test_trade_when_nothing_was_bought_then_there_is_none() -> None:
    [trace] = book_of(signal("AAPL")).traces()
    assert trade_of(trace) is None


def test_statistics_when_there_are_wins_and_losses_then_counts_averages_and_the_factor() -> None:
    line = line_of("all", [a_trade(30_000_000), a_trade(10_000_000), a_trade(-20_000_000), a_trade(5, is_open=True)])
    assert (line.trades, line.open_trades, line.wins, line.losses) == (3, 1, 2, 1)
    assert (line.gain_micros, line.best_micros, line.worst_micros) == (20_000_000, 30_000_000, -20_000_000)
    assert (line.average_win_micros, line.average_loss_micros) == (20_000_000, -20_000_000)
    assert (line.win_bps, line.profit_factor_hundredths) == (6_667, 200)


def test_statistics_when_nothing_lost_then_there_is_no_factor() -> None:
    line = line_of("all", [a_trade(1)])
    assert (line.profit_factor_hundredths, line.average_loss_micros, line.win_bps) == (None, None, 10_000)
    assert line_of("none", []).win_bps is None


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("strategy", ["mid", "open"]),
        ("day", ["2025-04-01", "2025-03-12", "2025-03-11"]),
        ("month", ["2025-04", "2025-03"]),
    ],
)
def test_statistics_when_grouped_then_each_group_has_a_line(by: str, names: list[str]) -> None:
    trades = [a_trade(1), a_trade(2, day="2025-03-11"), a_trade(3, "mid", "2025-04-01")]
    assert [line.name for line in statistics(trades, by)] == names  # type: ignore[arg-type]  # one of the three words


def test_stop_when_it_moves_then_the_page_knows_when_and_where_it_is_kept() -> None:
    hub = StatusHub()
    position = m.PositionLine(
        intent_id="i1", strategy="open", symbol="AAPL", qty_nanos=10 * m.NANOS,
        entry_micros=100_000_000, last_micros=102_000_000, pnl_micros=20_000_000,
    )  # fmt: skip
    day = m.PortfolioSnapshot(
        ts_event=OPEN_NS, ts_init=OPEN_NS, session_date="2025-03-12", start_equity_micros=0, equity_micros=0,
        realized_micros=0, unrealized_micros=0, loss_limit_micros=0, allocated_micros=0, allocation_limit_micros=0,
        positions=(position,), denied=(), denied_total=0,
    )  # fmt: skip

    def stop_at(micros: int, at_ns: int, bot_nanos: int = 0) -> m.OrdersSnapshot:
        line = m.StopLine(
            intent_id="i1", stop_micros=micros, trail_bps=200, broker_nanos=9 * m.NANOS, bot_nanos=bot_nanos
        )
        return m.OrdersSnapshot(ts_event=at_ns, ts_init=at_ns, orders=(), orders_total=0, stops=(line,))

    hub.publish(day)
    [shown] = hub.snapshot()["portfolio"]["positions"]
    assert (shown["rests"], shown["at_risk"], shown["moved_ms"]) == ("", "1020.00", 0)
    hub.publish(stop_at(98_000_000, OPEN_NS))
    hub.publish(day)
    [shown] = hub.snapshot()["portfolio"]["positions"]
    assert (shown["rests"], shown["uncovered"], shown["moved_ms"]) == ("broker", "1", 0)
    assert (shown["stop"], shown["at_risk"], shown["room_bps"]) == ("98.00", "40.00", 392)
    hub.publish(stop_at(99_000_000, OPEN_NS + 60_000_000_000, m.NANOS))
    hub.publish(day)
    [shown] = hub.snapshot()["portfolio"]["positions"]
    assert (shown["rests"], shown["uncovered"]) == ("both", "0")
    assert shown["moved_ms"] == OPEN_NS // 1_000_000 + 60_000

"""What a session did: each execution once, money to the last micro-dollar, and tables that a person reads."""

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, NANOS, Message, OrderDenied, OrderFilled, SignalSuppressed
from bus.testing import OPEN_NS, a_deposit, a_fill
from replay.report import dollars, fill_keys, refusals_table, trades, trades_table

MINUTE_NS = 60 * NANOS


def _round_trip(intent: str = "i1", symbol: str = "SPY", bought: int = 100, sold: int = 101) -> list[OrderFilled]:
    buy, sell = a_fill(f"{intent}-B", dollars=bought), a_fill(f"{intent}-S", "SELL", dollars=sold)
    return [
        replace(buy, intent_id=intent, symbol=symbol),
        replace(sell, intent_id=intent, symbol=symbol, ts_event=OPEN_NS + MINUTE_NS, reason="trailing stop"),
    ]


def test_a_trade_when_bought_and_sold_has_entry_exit_reason_and_result() -> None:
    (trade,) = trades(_round_trip())
    assert not trade.is_open
    assert (trade.entry_micros, trade.exit_micros) == (100 * MICROS, 101 * MICROS)
    assert trade.pnl_micros == 10 * MICROS
    assert (trade.entered_ns, trade.left_ns) == (OPEN_NS, OPEN_NS + MINUTE_NS)
    assert trade.reason == "trailing stop"


def test_a_trade_when_filled_in_parts_has_average_prices() -> None:
    buy, sell = _round_trip()
    parts: list[Message] = [
        replace(buy, execution_id="1", price_micros=100 * MICROS, qty_nanos=2 * NANOS),
        replace(buy, execution_id="2", price_micros=103 * MICROS, qty_nanos=4 * NANOS, ts_event=OPEN_NS + 1),
        replace(sell, execution_id="3", price_micros=105 * MICROS, qty_nanos=6 * NANOS),
    ]
    (trade,) = trades(parts)
    assert trade.entry_micros == 102 * MICROS
    assert trade.pnl_micros == 18 * MICROS
    assert trade.entered_ns == OPEN_NS
    assert [fill.execution_id for fill in trade.fills] == ["1", "2", "3"]


def test_an_execution_when_reported_twice_counts_once() -> None:
    fills = _round_trip()
    assert trades(fills + fills) == trades(fills)
    assert fill_keys(fills + fills) == fill_keys(fills)


def test_a_commission_when_charged_lowers_the_result_on_both_sides() -> None:
    (trade,) = trades([replace(fill, commission_micros=250_000) for fill in _round_trip()])
    assert trade.pnl_micros == 10 * MICROS - 500_000


def test_a_trade_when_shares_are_left_is_open_and_not_in_the_total() -> None:
    buy, sell = _round_trip("i1")
    lasting = replace(sell, qty_nanos=sell.qty_nanos - NANOS)
    found = trades([buy, lasting, *_round_trip("i2", sold=90)])
    assert [trade.is_open for trade in found] == [True, False]
    lines = trades_table(found).splitlines()
    assert " open " in lines[1]
    assert lines[-1] == "2 trades, 0 won, realized -100.00"


def test_trades_when_of_several_intents_stand_in_the_order_of_their_first_fill() -> None:
    one, two = _round_trip("i1", "SPY"), _round_trip("i2", "AIG")
    assert [trade.symbol for trade in trades([two[0], one[0], one[1], two[1]])] == ["AIG", "SPY"]


def test_events_when_they_are_no_fills_make_no_trades() -> None:
    assert trades([a_deposit()]) == []
    assert trades_table([]) == "No trades."
    assert fill_keys([a_deposit()]) == []


def test_fill_keys_when_two_runs_differ_in_anything_that_matters_differ() -> None:
    fills = _round_trip()
    keys = fill_keys(fills)
    assert [key[3] for key in keys] == [10 * NANOS, -10 * NANOS]
    for change in (
        {"price_micros": 1},
        {"qty_nanos": 1},
        {"symbol": "AIG"},
        {"ts_event": 1},
        {"client_order_id": "other"},
        {"execution_id": "other"},
    ):
        assert fill_keys([replace(fills[0], **change), fills[1]]) != keys
    assert fill_keys([replace(fill, reason="other words") for fill in fills]) == keys


@pytest.mark.parametrize(
    ("micros", "plain", "signed"),
    [
        (0, "0.00", "+0.00"),
        (1_234_567_890_000, "1,234,567.89", "+1,234,567.89"),
        (-12_340_000, "-12.34", "-12.34"),
        (10_000, "0.01", "+0.01"),
    ],
)
def test_dollars_when_written_have_two_places_and_a_sign_where_asked(micros: int, plain: str, signed: str) -> None:
    assert dollars(micros) == plain
    assert dollars(micros, sign=True) == signed


def test_the_table_when_printed_names_times_prices_and_the_total() -> None:
    text = trades_table(trades([*_round_trip("i1"), *_round_trip("i2", "AIG", 50, 49)]))
    header, first, second, total = text.splitlines()
    assert header.split() == ["symbol", "shares", "entered", "entry", "left", "exit", "P&L", "reason"]
    assert first.split() == ["SPY", "10", "13:30:00", "100.00", "13:31:00", "101.00", "+10.00", "trailing", "stop"]
    assert second.split()[:1] == ["AIG"]
    assert "-10.00" in second
    assert total == "2 trades, 1 won, realized +0.00"


def test_refusals_when_there_are_some_name_the_rule_that_decided() -> None:
    denied = OrderDenied(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        intent_id="i1",
        session_date="2013-10-08",
        strategy="open",
        symbol="SPY",
        side="BUY",
        rule="MAX_TRADES",
        value="5 open",
        limit="5",
    )
    suppressed = SignalSuppressed(
        ts_event=0,
        ts_init=0,
        session_date="2013-10-08",
        strategy="open",
        symbol="AIG",
        direction="BEARISH",
        rule="SHORT_TYPE_OPEN",
        detail="no inverse ETF",
    )
    first, second = refusals_table([denied, a_fill(), suppressed]).splitlines()
    assert first == "13:30:00  SPY     denied      MAX_TRADES: 5 open; limit 5"
    assert second == "--  AIG     suppressed  SHORT_TYPE_OPEN: no inverse ETF"


def test_refusals_when_there_are_none_say_so() -> None:
    assert refusals_table([a_fill()]) == "Nothing was denied or suppressed."

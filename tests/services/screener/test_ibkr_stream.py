"""Quotes and minutes of Interactive Brokers over both libraries: what is heard, lost, refused and asked for again."""

import ib_gateway_data as data
import pytest
from ibkr_data_bench import NAMES, DataBench, dollars
from live_day import MINUTE, OPEN, SECOND, until

from services.screener.ibkr_puts import COMPETING_NS
from services.screener.ibkr_stream import IbkrStream
from services.screener.live import Heard, LiveQuote


def two_sided(ib: DataBench, stream: IbkrStream, symbol: str) -> LiveQuote:
    """Return the first quote of a name that has both sides: they come in messages of their own."""

    def has(heard: Heard) -> bool:
        return symbol in heard.quotes and bool(heard.quotes[symbol].bid_micros and heard.quotes[symbol].ask_micros)

    return ib.heard(stream, has).quotes[symbol]


def test_names_when_watched_then_quotes_and_whole_minutes_come(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    heard = ib.rise(stream, *NAMES)
    assert (heard.life, heard.fault, ib.gateway.data_types) == (1, "", [1])
    ib.quote("AAPL", "100.01", "100.03")
    quote = two_sided(ib, stream, "AAPL")
    assert (quote.bid_micros, quote.ask_micros) == (dollars(100.01), dollars(100.03))
    assert (quote.bid_size_nanos, quote.ts_ns) == (3 * SECOND, ib.now_ns)
    ib.gateway.say_ticks("AAPL", bid="-1")
    assert ib.heard(stream, lambda one: "AAPL" in one.quotes).quotes["AAPL"].bid_micros == 0, "no bid is no price"
    for after_s, price, volume in ((0, "10", "100"), (5, "12", "0"), (10, "11", "50"), (55, "10.5", "1")):
        ib.bar("SPY", after_s, price, volume)
    bar = ib.heard(stream, lambda one: one.bars).bars[0]
    assert (bar.symbol, bar.end_ns) == ("SPY", OPEN + MINUTE)
    prices = (bar.open_micros, bar.high_micros, bar.low_micros, bar.close_micros)
    assert prices == tuple(map(dollars, (10, 11, 10, 10.5))), "five seconds without a trade have no price"
    assert bar.volume_nanos == 151 * SECOND


def test_names_when_only_held_then_they_have_quotes_and_no_bars(ib: DataBench) -> None:
    stream = ib.stream(*NAMES, barred=["SPY"])
    ib.rise(stream, "SPY")
    stream.want(["MSFT"], ())
    until(lambda: "MSFT" in ib.gateway.names(), "quotes of what is held")
    assert ib.gateway.names(50) == ["SPY"]
    assert stream.take().is_up, "a name without bars interrupts nothing"


@pytest.mark.parametrize("code", [1101, 1102])
def test_line_when_it_was_lost_then_a_new_life_begins_and_what_is_gone_is_asked_for_again(
    ib: DataBench, code: int
) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.gateway.say(1100, "Connectivity between IB and Trader Workstation has been lost.")
    words = ib.heard(stream, lambda one: not one.is_up).remark
    assert "1100" in words
    asked = len(ib.gateway.received)
    if code == 1101:
        ib.gateway.lose_data()
    ib.gateway.say(code, "Connectivity between IB and Trader Workstation has been restored.")
    ib.now_ns += 20 * SECOND
    assert ib.rise(stream, *NAMES).life == 2
    again = [fields[0] for fields in ib.gateway.received[asked:] if fields[0] in {"1", "50"}]
    assert len(again) == (4 if code == 1101 else 0), "data that was kept is not asked for again"


def test_line_when_it_was_lost_for_a_moment_alone_then_what_was_missed_is_fetched_all_the_same(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.gateway.say(1100, "Connectivity between IB and Trader Workstation has been lost.")
    ib.gateway.say(1102, "Connectivity between IB and Trader Workstation has been restored, data maintained.")
    ib.heard(stream, lambda one: not one.is_up)
    assert ib.rise(stream, *NAMES).life == 2


def test_farm_when_it_was_away_then_no_minute_is_believed_before_history(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.gateway.say(2103, "Market data farm connection is broken:usfarm")
    ib.heard(stream, lambda one: not one.is_up)
    ib.gateway.say(2104, "Market data farm connection is OK:usfarm")
    assert ib.rise(stream, *NAMES).life == 2


def test_connection_when_it_breaks_then_everything_is_asked_for_again(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.gateway.drop()
    ib.heard(stream, lambda one: not one.is_up)
    assert ib.rise(stream, *NAMES).life == 2
    ib.quote("SPY", "1", "2")
    assert ib.heard(stream, lambda one: "SPY" in one.quotes).quotes["SPY"].bid_micros == dollars(1)


def test_a_name_when_it_has_no_subscription_then_it_alone_is_left_out_in_words(ib: DataBench) -> None:
    ib.gateway.data_refusals[1, "AAPL"] = data.NOT_SUBSCRIBED
    stream = ib.stream(*NAMES)
    heard = ib.rise(stream, "SPY")
    assert heard.fault == ""
    assert "no data of AAPL" in heard.remark
    assert ib.gateway.names(50) == ["SPY"]


def test_account_when_it_has_no_subscription_at_all_then_the_feed_is_given_up_with_what_to_do(ib: DataBench) -> None:
    ib.gateway.data_refusals |= {(1, "AAPL"): data.NOT_SUBSCRIBED, (50, "SPY"): data.NOT_SUBSCRIBED}
    fault = ib.heard(ib.stream(*NAMES), lambda one: one.fault).fault
    assert "subscribe to it in Client Portal" in fault
    assert "(354)" in fault


def test_lines_when_there_are_too_few_then_the_last_names_are_left_out(ib: DataBench) -> None:
    ib.gateway.lines_max = 3
    stream = ib.stream(*NAMES)
    heard = ib.rise(stream, "SPY")
    assert "no data of AAPL" in heard.remark


def test_another_session_when_it_takes_the_data_then_it_is_said_and_asked_for_again_later(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.gateway.say_of(1, "SPY", *data.COMPETING)
    assert "another session of this user" in ib.heard(stream, lambda one: not one.is_up).remark
    until(lambda: not ib.gateway.names(), "end of the subscriptions")
    ib.skipped_ns += COMPETING_NS
    assert ib.rise(stream, *NAMES).life == 2


def test_data_when_it_is_delayed_then_it_is_never_a_quote(ib: DataBench) -> None:
    ib.gateway.kind_of_data = data.DELAYED
    stream = ib.stream(*NAMES)
    until(lambda: set(NAMES) <= set(ib.gateway.names()), "subscriptions")
    ib.quote("SPY", "1", "2")
    heard = ib.heard(stream, lambda one: "delayed" in one.remark)
    assert heard.quotes == {}
    assert "not used" in heard.remark


def test_data_when_delayed_is_wanted_then_quotes_and_minutes_of_its_trades_come_and_it_is_said(ib: DataBench) -> None:
    ib.open(takes_delayed=True)
    ib.gateway.kind_of_data = data.DELAYED
    ib.gateway.data_refusals[1, "SPY"] = data.SHOWN_DELAYED
    stream = ib.stream("SPY")
    until(lambda: ib.gateway.names() == ["SPY"], "quotes are asked for")
    until(lambda: stream._names["SPY"].bars, "sampling")
    ib.skipped_ns += 3 * SECOND
    until(lambda: stream._counts_from_ns, "count")
    ib.now_ns = stream._counts_from_ns
    heard = ib.heard(stream, lambda one: one.is_up)
    assert "DELAYED" in heard.remark
    assert ib.gateway.data_types == [3]
    ib.gateway.say_ticks("SPY", last="10", volume="100")
    ib.gateway.say_ticks("SPY", last="11", volume="150")
    until(lambda: stream._maker._parts, "sampled trade")
    minute_ns = ib.now_ns
    ib.now_ns += MINUTE + 3 * SECOND
    bar = ib.heard(stream, lambda one: one.bars).bars[0]
    assert (bar.close_micros, bar.volume_nanos, bar.end_ns) == (dollars(11), 50 * SECOND, minute_ns + MINUTE)


def test_bars_when_a_name_trades_on_without_them_then_they_are_asked_for_again(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    asked = len([fields for fields in ib.gateway.received if fields[0] == "50"])
    ib.gateway.say_ticks("SPY", last="10", volume="100")
    ib.gateway.say_ticks("SPY", last="10", volume="101")
    ib.heard(stream, lambda _one: stream._names["SPY"].quotes.trades)
    ib.skipped_ns += 16 * SECOND
    ib.heard(stream, lambda one: not one.is_up)
    until(lambda: len([fields for fields in ib.gateway.received if fields[0] == "50"]) > asked, "another request")
    assert ib.rise(stream, *NAMES).life == 2


def test_bars_when_a_trade_was_cancelled_by_the_exchange_then_they_are_asked_for_again(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.gateway.say_of(50, "SPY", 10225, "Bust event occurred, current subscription is deactivated.")
    assert "Bust event" in ib.heard(stream, lambda one: not one.is_up).remark
    assert ib.rise(stream, *NAMES).life == 2


def test_subscriptions_when_there_were_sixty_in_ten_minutes_then_the_rest_waits_and_no_minute_is_believed(
    ib: DataBench,
) -> None:
    for number in range(59):
        ib.line.bars.made(f"X{number}", f"bars X{number}", ib.boot_ns())
    stream = ib.stream(*NAMES)
    until(lambda: ib.gateway.names(50) == ["SPY"], "bars of one name")
    assert "pacing" in ib.heard(stream, lambda one: "pacing" in one.remark).remark
    assert not stream.take().is_up
    ib.skipped_ns += 600 * SECOND
    assert ib.rise(stream, *NAMES).life == 1


def test_number_when_another_program_has_it_then_it_is_tried_some_times_and_given_up_with_what_to_do(
    ib: DataBench,
) -> None:
    first = ib.line
    first.start()
    until(lambda: first.is_ready, "first connection")
    ib.open()
    fault = ib.heard(ib.stream("SPY"), lambda one: one.fault).fault
    assert "IBKR_DATA_CLIENT_ID" in fault


def test_gateway_when_nobody_listens_then_it_is_said_and_tried_again(ib: DataBench) -> None:
    ib.gateway.stop()
    stream = ib.stream(*NAMES)
    remark = ib.heard(stream, lambda one: "IBKR_PORT" in one.remark).remark
    assert "see that TWS or IB Gateway runs and is logged in" in remark
    ib.gateway.start()
    assert ib.rise(stream, *NAMES).life == 1


def test_gateway_when_it_falls_silent_then_the_connection_is_made_anew(ib: DataBench) -> None:
    ib.open(answer_s=0.3)
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.gateway.on_next({49}, "mute")
    ib.skipped_ns += 6 * SECOND
    ib.heard(stream, lambda one: not one.is_up)
    assert ib.rise(stream, *NAMES).life == 2


def test_sizes_when_the_gateway_counts_in_lots_then_they_are_shares_here(ib: DataBench) -> None:
    ib.open(is_in_lots=True)
    stream = ib.stream("SPY")
    ib.rise(stream, "SPY")
    ib.quote("SPY", "1", "2", size="4")
    assert two_sided(ib, stream, "SPY").ask_size_nanos == 400 * SECOND


def test_clock_when_the_gateways_is_another_then_it_is_told(ib: DataBench) -> None:
    ib.gateway.clock_s = ib.now_ns // SECOND - 90
    stream = ib.stream("SPY")
    until(lambda: ib.line.server_time[0], "the gateway's time")
    lag_s = stream.take().lag_ns / SECOND
    assert 85 < lag_s < 92


def test_a_name_when_its_past_cannot_be_had_then_it_has_no_bars_at_all(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    ib.rise(stream, *NAMES)
    ib.line.unusable["AAPL"] = "no past minutes: because"
    assert "no data of AAPL" in ib.heard(stream, lambda one: one.remark).remark
    until(lambda: ib.gateway.names(50) == ["SPY"], "end of its bars")
    assert stream.take().is_up


def test_a_name_when_it_fails_three_times_for_a_reason_that_nobody_knows_then_the_others_go_on(ib: DataBench) -> None:
    ib.gateway.data_refusals[50, "AAPL"] = (10_999, "Something new")
    stream = ib.stream(*NAMES)
    until(lambda: "SPY" in ib.gateway.names(50), "bars of the other name")

    def look() -> bool:
        ib.skipped_ns += SECOND
        return "no data of AAPL" in stream.take().remark

    until(look, "word of it")
    assert ib.rise(stream, "SPY").life == 1


def test_names_when_dropped_then_their_lines_are_given_up_and_others_bars_go_on(ib: DataBench) -> None:
    stream = ib.stream(*NAMES)
    assert ib.rise(stream, *NAMES).barred == set(NAMES)
    stream.drop(["AAPL"])
    until(lambda: "AAPL" not in ib.gateway.names() and "AAPL" not in ib.gateway.names(50), "end of the line")
    stream.want(["MSFT"], ["MSFT"])
    until(lambda: "MSFT" in ib.gateway.names(50), "bars of the new name")
    heard = stream.take()
    assert (heard.is_up, heard.life) == (True, 1), "nobody else is interrupted"
    ib.now_ns += 20 * SECOND
    assert ib.heard(stream, lambda one: "MSFT" in one.barred).barred == {"SPY", "MSFT"}

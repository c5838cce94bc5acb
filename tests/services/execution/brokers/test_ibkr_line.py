"""The line to Interactive Brokers' gateway: what breaks it, what closes it for a while, and what must never leave."""

import itertools
import threading
import time
from typing import Any

import pytest
from exchange import MICROS, NANOS
from ib_gateway_bench import SHORT_NS, Bench, bench, new_york_ns

from bus.clock import boot_ns
from services.execution.brokers import reports as r
from services.execution.brokers.ibkr import IbkrBroker
from services.execution.brokers.ibkr_line import IbkrAccess
from services.execution.brokers.interface import NotSentError, PlannedPauseError, RetryableBrokerError, StopTradingError

__all__ = ["bench"]


def orders_written(bench: Bench) -> int:
    """Return how many orders the gateway ever got, on any line."""
    return sum(fields[0] == "3" for fields in bench.gateway.received)


def hold(seconds: float) -> None:
    """Keep the gate's thread busy, as a slow disk would."""
    until_ns = boot_ns() + int(seconds * NANOS)
    while boot_ns() < until_ns:
        time.sleep(0.005)


def test_gateway_when_of_any_version_then_an_order_lives_and_fills(bench: Bench) -> None:
    for version in range(157, 177):
        bench.gateway.version = version
        bench.open()
        key = f"tb1-{version}"
        assert isinstance(bench.submit(key), r.BrokerAccepted)
        assert bench.kinds(key) == ["Accepted", "Fill"]
        bench.submit(f"{key}-b", limit=50)
        bench.broker.cancel(f"{key}-b", bench.now_ns)
        bench.open()
        assert bench.kinds(f"{key}-b") == ["Accepted", "Cancelled"]


@pytest.mark.parametrize("kind", [16, 99, 7, 62, 61, 49])
def test_request_when_it_is_never_answered_then_the_call_proves_nothing_and_the_line_is_made_anew(
    bench: Bench, kind: int
) -> None:
    bench.listed()
    bench.wait_briefly()
    bench.gateway.unanswered.add(kind)
    with pytest.raises(RetryableBrokerError, match="did not answer about"):
        {
            16: bench.listed,
            99: lambda: bench.lookup("tb1-a"),
            7: bench.fills,
            62: lambda: bench.broker.account("2025-07-01", bench.now_ns),
            61: lambda: bench.broker.account("2025-07-01", bench.now_ns),
            49: lambda: bench.broker.clock(bench.now_ns),
        }[kind]()
    bench.wait_briefly(is_on=False)
    bench.gateway.unanswered.clear()
    assert bench.kinds("tb1-a") == ["NotFound"]


def test_connection_when_its_first_request_is_never_answered_then_it_is_not_taken_for_one(bench: Bench) -> None:
    bench.wait_briefly()
    bench.gateway.unanswered.add(7)
    with pytest.raises(RetryableBrokerError):
        bench.listed()
    assert orders_written(bench) == 0


def test_gateway_when_it_falls_silent_then_a_call_ends_in_time_and_breathes(bench: Bench) -> None:
    bench.listed()
    bench.wait_briefly()
    bench.gateway.go_silent()
    before = bench.breaths
    with pytest.raises(RetryableBrokerError):
        bench.listed()
    assert bench.breaths - before > 5


def test_breath_when_an_answer_is_waited_for_then_comes_in_short_slices(bench: Bench) -> None:
    bench.listed()
    bench.wait_briefly()
    bench.gateway.go_silent()
    times: list[int] = []
    bench.broker._line.breathe = lambda: times.append(boot_ns())
    with pytest.raises(RetryableBrokerError):
        bench.listed()
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(times))
    # The middle one: a machine that is busy may hold one of them up.
    assert gaps[len(gaps) // 2] <= 50_000_000


def test_line_when_it_breaks_in_the_middle_of_a_call_then_it_is_no_crash(bench: Bench) -> None:
    bench.listed()
    bench.gateway.on_next({16}, "drop")
    with pytest.raises(RetryableBrokerError, match="connection to the gateway broke"):
        bench.listed()
    assert bench.listed() == []


def test_line_when_a_call_was_given_up_while_it_connected_then_later_calls_go_on_after_it_breaks(bench: Bench) -> None:
    bench.wait_briefly()
    bench.gateway.on_next({7}, "hold")
    with pytest.raises(RetryableBrokerError):
        bench.listed()
    # That attempt has an end of its own, a little later than the call.
    _until(bench, bench.broker._line._connecting.done)
    bench.wait_briefly(is_on=False)
    bench.gateway.release()
    for _ in range(2):
        bench.broker._line._retry_at_ns = 0
        assert bench.listed() == []
        bench.break_line()
    bench.broker._line._retry_at_ns = 0
    assert bench.listed() == []


def test_order_when_the_call_was_given_up_before_it_was_written_then_it_never_leaves(bench: Bench) -> None:
    bench.listed()
    bench.wait_briefly()
    bench.gateway.on_next({9}, "hold")
    with pytest.raises(NotSentError):
        bench.submit("tb1-a", limit=50)
    bench.wait_briefly(is_on=False)
    bench.gateway.release()
    assert bench.kinds("tb1-a") == ["NotFound"]
    assert orders_written(bench) == 0


def test_order_when_the_line_thread_is_held_up_before_the_write_then_it_never_leaves(bench: Bench) -> None:
    bench.broker.assets(("AAPL",), bench.now_ns)
    bench.wait_briefly()
    is_stuck = threading.Event()
    bench.broker._line._loop.call_soon_threadsafe(lambda: (is_stuck.set(), hold(SHORT_NS / NANOS * 1.5)))
    is_stuck.wait(2)
    with pytest.raises(NotSentError, match="did not answer in time"):
        bench.submit("tb1-a", limit=50)
    bench.wait_briefly(is_on=False)
    assert bench.kinds("tb1-a") == ["NotFound"]
    assert orders_written(bench) == 0


def test_order_when_the_gate_closes_right_before_the_write_then_it_never_leaves(bench: Bench) -> None:
    bench.gate.at_question = lambda: setattr(bench.gate, "is_open", False)
    with pytest.raises(NotSentError, match="no lease") as told:
        bench.submit("tb1-a", limit=50)
    assert told.value.after_ns > 0
    assert bench.gate.asked == [False]
    bench.gate.is_open = True
    assert isinstance(bench.submit("tb1-a", limit=50), r.BrokerAccepted)
    assert orders_written(bench) == 1


def test_exit_when_sent_then_the_gate_hears_that_it_reduces(bench: Bench) -> None:
    bench.submit("tb1-a")
    bench.submit("tb1-x", "SELL")
    assert bench.gate.asked == [False, True]


def test_order_when_what_was_written_before_still_waits_then_it_is_not_written(bench: Bench) -> None:
    bench.broker.assets(("AAPL",), bench.now_ns)
    bench.broker._line.is_writable = lambda: False
    with pytest.raises(NotSentError, match="does not take what was written"):
        bench.submit("tb1-a", limit=50)
    assert orders_written(bench) == 0


def test_order_when_nobody_listens_then_it_is_certainly_not_sent(bench: Bench) -> None:
    bench.gateway.stop()
    with pytest.raises(NotSentError, match=r"nobody listens on 127.0.0.1.*see that TWS or IB Gateway runs"):
        bench.submit("tb1-a", limit=50)


def test_messages_when_too_many_in_a_second_then_an_order_waits_and_a_cancel_goes(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    bench.wait_briefly()
    line = bench.broker._line
    line._pace_ns = 60 * NANOS
    for _ in range(45 - len(line._writes)):
        line.note_write()
    with pytest.raises(NotSentError) as told:
        bench.submit("tb1-b", limit=50)
    assert told.value.after_ns > 0
    assert orders_written(bench) == 1
    with pytest.raises(RetryableBrokerError, match="in a second"):
        bench.broker.cancel("tb1-a", bench.now_ns)
    line._pace_ns = 1
    bench.wait_briefly(is_on=False)
    assert bench.kinds("tb1-a") == ["Accepted", "Cancelled"]


@pytest.mark.parametrize(
    ("code", "text", "back", "back_text"),
    [
        (1100, "Connectivity between IB and Trader Workstation has been lost.", 1101, "restored - data lost."),
        (1100, "Connectivity between IB and Trader Workstation has been lost.", 1102, "restored - data maintained."),
        (2110, "Connectivity between Trader Workstation and server is broken.", 1102, "restored"),
        (2103, "Market data farm connection is broken:usfarm", 2104, "Market data farm connection is OK:usfarm"),
        (2157, "Sec-def data farm connection is broken:secdefnj", 2158, "Sec-def data farm connection is OK:secdefnj"),
    ],
)
def test_gateway_when_it_has_lost_interactive_brokers_then_nothing_is_done_until_it_is_back(
    bench: Bench, code: int, text: str, back: int, back_text: str
) -> None:
    bench.submit("tb1-a", limit=50)
    bench.gateway.say(code, text)
    _until(bench, lambda: bool(bench.broker._line.ears and bench.broker._line.ears.away))
    for ask in (bench.listed, bench.fills, lambda: bench.kinds("tb1-a")):
        with pytest.raises(RetryableBrokerError, match=f"not all there: .*{code}"):
            ask()
    with pytest.raises(NotSentError):
        bench.submit("tb1-b", limit=50)
    bench.gateway.say(back, back_text)
    _until(bench, lambda: bool(bench.broker._line.ears and not bench.broker._line.ears.away))
    assert bench.kinds("tb1-a") == ["Accepted"]
    assert bench.listed() == ["tb1-a"]


def test_gateway_when_only_one_of_two_farms_is_back_then_it_is_not_all_there(bench: Bench) -> None:
    bench.listed()
    bench.gateway.say(2103, "Market data farm connection is broken:usfarm")
    bench.gateway.say(2103, "Market data farm connection is broken:usopt")
    bench.gateway.say(2104, "Market data farm connection is OK:usfarm")
    _until(bench, lambda: list(bench.broker._line.ears.away) == ["usopt"])
    with pytest.raises(RetryableBrokerError, match="usopt"):
        bench.listed()


def test_gateway_when_its_port_moves_then_the_words_say_which(bench: Bench) -> None:
    bench.listed()
    bench.gateway.say(1300, "Socket port has been reset and this connection is being dropped. Reconnect on - 4010")
    _until(bench, lambda: bool(bench.broker._line.ears.away))
    with pytest.raises(RetryableBrokerError, match="4010"):
        bench.listed()


def test_historical_farm_when_it_is_away_then_trading_goes_on(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    bench.gateway.say(2105, "HMDS data farm connection is broken:ushmds")
    assert bench.listed() == ["tb1-a"]


# --- what a person has to mend -----


def faults_of(bench: Bench) -> str:
    """Return what the check at the start finds, as one text."""
    bench.gateway.clock_s = bench.now_ns // NANOS
    return " ".join(bench.broker.faults())


def test_check_when_all_is_well_then_finds_nothing(bench: Bench) -> None:
    assert faults_of(bench) == ""


def test_check_when_nobody_listens_then_says_where_and_what_to_look_at(bench: Bench) -> None:
    bench.gateway.stop()
    found = faults_of(bench)
    assert f"nobody listens on 127.0.0.1:{bench.gateway.port}" in found
    assert "TWS or IB Gateway runs and is logged in" in found
    assert "as client 11" in found


def test_check_when_the_client_number_is_in_use_then_says_so(bench: Bench) -> None:
    bench.listed()
    other = IbkrBroker(
        IbkrAccess(port=bench.gateway.port, client_id=11, account="", mode="paper"),
        library=bench.library,
        path=bench.path.with_name("other.db"),
        patience_ns=bench.patience_ns,
        clock=lambda: bench.now_ns,
    )
    [found] = other.faults()
    other.close()
    assert "client id is already in use" in found
    assert "another program uses client number 11" in found


def test_check_when_the_api_may_only_read_then_says_which_setting(bench: Bench) -> None:
    bench.gateway.is_read_only = True
    assert "switch Read-Only API off" in faults_of(bench)
    answer = bench.submit("tb1-a", limit=50)
    assert isinstance(answer, r.BrokerRejected)
    assert "Read-Only" in answer.detail


@pytest.mark.parametrize(
    ("accounts", "access", "words"),
    [
        (["U7654321"], {}, "IBKR_MODE is paper, but U7654321 is a live account"),
        (["DU1234567"], {"mode": "live"}, "IBKR_MODE is live, but DU1234567 is a paper account"),
        (["DU1", "DU2"], {}, r"several accounts (DU1, DU2): set IBKR_ACCOUNT"),
        (["DU1", "DU2"], {"account": "DU3"}, "IBKR_ACCOUNT is DU3, but the gateway is logged in to DU1, DU2"),
    ],
)
def test_account_when_it_is_not_certainly_the_right_one_then_nothing_is_done(
    bench: Bench, accounts: list[str], access: dict[str, Any], words: str
) -> None:
    bench.gateway.accounts = accounts
    bench.open(**access)
    assert words in faults_of(bench)
    with pytest.raises(StopTradingError):
        bench.submit("tb1-a", limit=50)
    assert orders_written(bench) == 0


def test_account_when_one_of_several_is_named_then_only_its_figures_count(bench: Bench) -> None:
    bench.gateway.accounts = ["DU1", "DU2"]
    bench.open(account="DU2")
    bench.submit("tb1-a", limit=50)
    assert bench.gateway.order_of("tb1-a").account == "DU2"
    assert bench.broker.account("2025-07-01", bench.now_ns).cash_micros == 100_000 * MICROS
    assert bench.broker.account("2025-07-01", bench.now_ns).symbols == ()


def test_check_when_the_base_currency_is_not_the_dollar_then_says_so(bench: Bench) -> None:
    bench.gateway.currency = "EUR"
    assert "base currency of account DU1234567 is EUR" in faults_of(bench)
    with pytest.raises(StopTradingError, match="base currency has to be USD"):
        bench.broker.account("2025-07-01", bench.now_ns)


def test_check_when_the_clocks_differ_then_says_by_how_much(bench: Bench) -> None:
    bench.gateway.clock_s = bench.now_ns // NANOS - 30
    assert "differ by -30 s" in " ".join(bench.broker.faults())


# --- planned windows -----


@pytest.mark.parametrize("moment", ["2025-07-01 23:45", "2025-07-02 00:05", "2025-07-06 12:00"])
def test_order_when_in_a_planned_window_then_it_is_not_sent(bench: Bench, moment: str) -> None:
    bench.now_ns = new_york_ns(moment)
    with pytest.raises(NotSentError, match="planned window") as told:
        bench.submit("tb1-a", limit=50)
    assert told.value.after_ns > 0
    assert bench.listed() == []


@pytest.mark.parametrize("moment", ["2025-07-01 23:45", "2025-07-06 12:00", "2025-07-02 04:00", "2025-07-02 09:14"])
def test_gateway_when_away_while_nobody_needs_it_then_it_is_no_fault(bench: Bench, moment: str) -> None:
    bench.now_ns = new_york_ns(moment)
    bench.gateway.stop()
    assert bench.broker.faults() == ()
    with pytest.raises(PlannedPauseError):
        bench.listed()


def test_gateway_when_not_back_a_quarter_of_an_hour_before_the_open_then_a_person_is_called(bench: Bench) -> None:
    bench.now_ns = new_york_ns("2025-07-02 03:00")
    bench.gateway.stop()
    with pytest.raises(PlannedPauseError):
        bench.listed()
    line = bench.broker._line
    line._away_since_ns -= 61 * NANOS
    line._retry_at_ns = 0
    bench.now_ns = new_york_ns("2025-07-02 09:15")
    with pytest.raises(StopTradingError, match="less than 15 minutes before the open"):
        bench.listed()
    line._retry_at_ns = 0
    bench.gateway.start()
    assert bench.listed() == []


# --- the fence, and what is asked of contracts and clocks -----


def test_fence_when_only_entries_stand_then_one_global_cancel_takes_them(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    bench.submit("tb1-b", limit=51)
    for _ in range(2):
        bench.broker.fence(is_up=True, now_ns=bench.now_ns)
    assert (bench.listed(), bench.gateway.global_cancels) == ([], 1)
    bench.broker.fence(is_up=False, now_ns=bench.now_ns)
    bench.broker.fence(is_up=True, now_ns=bench.now_ns)
    bench.listed()
    assert bench.gateway.global_cancels == 2


def test_fence_when_a_stop_protects_or_somebody_else_has_an_order_then_only_entries_go(bench: Bench) -> None:
    bench.submit("tb1-in")
    bench.submit("tb1-stop", "SELL", stop=90)
    bench.submit("tb1-entry", limit=50)
    theirs = bench.gateway.place_foreign("AAPL", "BUY", NANOS, 40 * MICROS)
    bench.broker.fence(is_up=True, now_ns=bench.now_ns)
    assert sorted(bench.listed()) == ["", "tb1-stop"]
    assert bench.gateway.global_cancels == 0
    assert not theirs.is_over


def test_fence_when_the_gateway_is_away_then_it_is_told_again_later(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    bench.gateway.stop()
    with pytest.raises(RetryableBrokerError):
        bench.broker.fence(is_up=True, now_ns=bench.now_ns)
    bench.gateway.start()
    bench.broker._line._retry_at_ns = 0
    bench.broker.fence(is_up=True, now_ns=bench.now_ns)
    assert bench.listed() == []


def test_assets_when_asked_for_again_on_the_same_day_then_the_gateway_is_asked_once(bench: Bench) -> None:
    for _ in range(3):
        lines = bench.broker.assets(("AAPL", "NOPE"), bench.now_ns)
        assert [(line.symbol, line.is_tradable, line.is_fractionable) for line in lines] == [
            ("AAPL", True, False),
            ("NOPE", False, False),
        ]
    assert sum(fields[0] == "9" for fields in bench.gateway.received) == 2
    bench.now_ns = new_york_ns("2025-07-02 10:00")
    bench.broker.assets(("AAPL",), bench.now_ns)
    assert sum(fields[0] == "9" for fields in bench.gateway.received) == 3


def test_assets_when_there_are_more_than_fit_into_a_call_then_the_next_call_goes_on(bench: Bench) -> None:
    bench.wait_briefly()
    symbols = tuple(f"S{n}" for n in range(120))
    bench.gateway.know(*symbols)
    bench.broker._line._pace_ns = 200_000_000
    answers = cut = 0
    for _ in range(20):
        try:
            answers = len(bench.broker.assets(symbols, bench.now_ns))
            break
        except RetryableBrokerError:
            cut += 1
    assert answers == 120
    assert cut
    # One question at a time: a call whose time is over loses the answer to its last one at most, and no other.
    assert 120 <= sum(fields[0] == "9" for fields in bench.gateway.received) <= 120 + cut


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        ("20250701:0930-20250701:1600", "2025-07-01 10:00", True),
        ("20250701:0930-20250701:1600", "2025-07-01 16:00", False),
        ("20250703:0930-20250703:1300;20250704:CLOSED", "2025-07-03 13:00", False),
        ("20250703:0930-20250703:1300;20250704:CLOSED", "2025-07-04 11:00", False),
        ("20251101:CLOSED;20251103:0930-1600", "2025-11-03 09:30", True),
    ],
)
def test_clock_when_asked_then_it_is_open_by_the_gateways_own_hours(
    bench: Bench, hours: str, moment: str, is_open: bool
) -> None:
    bench.gateway.know("SPY")
    bench.now_ns = new_york_ns(moment)
    bench.gateway.hours = ("", hours)
    bench.gateway.clock_s = bench.now_ns // NANOS
    told = bench.broker.clock(bench.now_ns)
    assert told.is_open is is_open
    assert abs(told.utc_ns - bench.now_ns) <= NANOS


def test_clock_when_the_hours_cannot_be_read_then_nothing_is_claimed(bench: Bench) -> None:
    bench.gateway.know("SPY")
    bench.gateway.hours = ("", "from nine to four")
    with pytest.raises(RetryableBrokerError, match="trading hours 'from nine to four' cannot be read"):
        bench.broker.clock(bench.now_ns)


def test_position_when_it_is_short_or_an_option_then_its_symbol_and_sign_are_right(bench: Bench) -> None:
    bench.gateway.foreign_positions = {"BRK.B": -5 * NANOS, "AAPL251219P00150000": 2 * NANOS}
    account = bench.broker.account("2025-07-01", bench.now_ns)
    assert dict(zip(account.symbols, account.qtys_nanos, strict=True)) == {
        "BRK.B": -5 * NANOS,
        "AAPL251219P00150000": 2 * NANOS,
    }


def _until(bench: Bench, has_come: Any) -> None:
    until_ns = boot_ns() + 5 * NANOS
    while not has_come() and boot_ns() < until_ns:
        time.sleep(0.002)
    assert has_come()

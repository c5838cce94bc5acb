"""The account at Alpaca: what is checked at the start, its money, its assets, its fence, its clock and its budget."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from alpaca_bench import NOW, SECOND, Bench, opened_bench
from exchange import MICROS, NANOS, Ticket

from bus.assembly import CannotStartError, Setup
from bus.clock import utc_ns
from config.credentials import ALPACA_TRADING_KEY, ALPACA_TRADING_SECRET
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.execution.brokers import reports as r
from services.execution.brokers.alpaca import AlpacaBroker
from services.execution.brokers.alpaca_account import AccountDesk
from services.execution.brokers.alpaca_budget import LIMITS, Budget
from services.execution.brokers.alpaca_line import Line
from services.execution.brokers.choice import open_broker
from services.execution.brokers.interface import NotSentError, RetryableBrokerError, StopTradingError
from services.execution.settings import ExecutionSettings


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened_bench() as one:
        yield one


def test_the_check_when_all_is_well_then_finds_nothing(bench: Bench) -> None:
    assert list(bench.broker.faults()) == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"status": "ACCOUNT_UPDATED"}, "is ACCOUNT_UPDATED, not ACTIVE"),
        ({"trading_blocked": True}, "blocked from trading"),
        ({"account_blocked": True}, "blocked from trading"),
    ],
)
def test_the_check_when_the_account_cannot_trade_then_says_so(
    bench: Bench, answer: dict[str, object], says: str
) -> None:
    bench.house.account = answer
    [fault] = bench.broker.faults()
    assert says in fault


def test_the_check_when_the_keys_are_refused_then_says_what_to_do(bench: Bench) -> None:
    bench.house.keys = ("PKOTHER", "other")
    [fault] = bench.broker.faults()
    assert "alpaca_trading_key and alpaca_trading_secret" in fault


def test_the_check_when_the_clock_is_off_then_says_which_way(bench: Bench) -> None:
    bench.house.clock = lambda: utc_ns() + 60 * SECOND
    [fault] = bench.broker.faults()
    assert "s behind Alpaca's" in fault


def test_the_check_when_the_network_is_down_then_it_is_asked_for_later(bench: Bench) -> None:
    bench.line.cut()
    assert list(bench.broker.faults()) == []
    bench.line.mend()
    assert bench.broker.account("2026-01-05", NOW).cash_micros == 100_000 * MICROS


def test_the_check_when_there_are_no_keys_then_nothing_is_asked() -> None:
    broker = AlpacaBroker(("", ""), "paper")
    [fault] = broker.faults()
    assert "There is no key pair for trading" in fault
    with pytest.raises(StopTradingError, match="no key pair"):
        broker.lookup("tb1-a", NOW)
    broker.close()


@pytest.mark.parametrize(("endpoint", "key", "kind"), [("paper", "AKLIVE", "live"), ("live", "PKPAPER", "paper")])
def test_the_check_when_the_key_is_of_the_other_kind_then_it_is_not_even_tried(
    endpoint: str, key: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    broker = AlpacaBroker((key, "secret0secret"), endpoint, listens=False)
    [fault] = broker.faults()
    assert f"the key of a {kind} account" in fault
    assert key not in fault
    assert ("REAL MONEY" in caplog.text) == (endpoint == "live")
    broker.close()


def test_the_account_when_fields_of_old_are_gone_then_is_read_all_the_same(bench: Bench) -> None:
    bench.house.account = {"multiplier": None, "equity": None, "daytrade_count": None, "pattern_day_trader": None}
    assert bench.broker.account("2026-01-05", NOW).buying_power_micros == 100_000 * MICROS
    bench.house.account = {"cash": None}
    with pytest.raises(RetryableBrokerError, match="no cash"):
        bench.broker.account("2026-01-05", NOW)


def test_a_short_position_when_its_quantity_has_no_sign_then_is_below_zero_all_the_same(bench: Bench) -> None:
    body = b'[{"symbol": "SPY", "qty": "7", "side": "short"}, {"symbol": "AAPL", "qty": "-2.5", "side": "short"}]'
    bench.line.spoil("GET", "/v2/positions", "status_before", status=200, body=body)
    account = bench.broker.account("2026-01-05", NOW)
    assert dict(zip(account.symbols, account.qtys_nanos, strict=True)) == {"AAPL": -2_500_000_000, "SPY": -7 * NANOS}


def test_open_orders_when_one_has_an_unknown_status_then_all_are_listed_all_the_same(bench: Bench) -> None:
    for key in ("tb1-a", "tb1-b", "tb1-c"):
        bench.submit(key, order_type="LIMIT", limit_micros=50 * MICROS)
    bench.house.statuses = {"tb1-b": "sold_to_the_moon", "tb1-c": "done_for_day"}
    assert [one.client_order_id for one in bench.broker.open_orders(NOW)] == ["tb1-a", "tb1-b"]
    with pytest.raises(RetryableBrokerError, match="sold_to_the_moon"):
        bench.lookup("tb1-b")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("pending_cancel", r.BrokerAccepted),
        ("calculated", r.BrokerAccepted),
        ("held", r.BrokerAccepted),
        ("canceled", r.BrokerCancelled),
        ("expired", r.BrokerCancelled),
        ("done_for_day", r.BrokerCancelled),
        ("replaced", r.BrokerCancelled),
        ("rejected", r.BrokerRejected),
    ],
)
def test_a_look_up_when_the_order_has_this_status_then_it_ends_with_this_report(
    bench: Bench, status: str, kind: type
) -> None:
    bench.submit("tb1-a", order_type="LIMIT", limit_micros=50 * MICROS)
    bench.house.statuses = {"tb1-a": status}
    assert type(bench.lookup("tb1-a")[-1]) is kind


def test_an_order_when_refused_after_a_part_of_it_traded_then_it_has_ended_with_that_part(bench: Bench) -> None:
    bench.submit("tb1-a", order_type="LIMIT", limit_micros=50 * MICROS)
    bench.exchange.fill(bench.exchange.order_of("tb1-a").order_id, 3 * NANOS, 50 * MICROS)
    bench.house.statuses = {"tb1-a": "rejected"}
    accepted, fill, end = bench.lookup("tb1-a")
    assert isinstance(end, r.BrokerCancelled)
    assert end.filled_qty_nanos == fill.qty_nanos == 3 * NANOS
    assert accepted.broker_order_id == fill.broker_order_id


def test_open_orders_when_there_are_more_than_a_page_then_all_are_listed(bench: Bench) -> None:
    ticket = Ticket("", "SPY", "BUY", NANOS, "LIMIT", limit_micros=10_000)
    for number in range(501):
        bench.exchange.place(replace(ticket, client_id=f"manual-{number}"))
    assert len({one.broker_order_id for one in bench.broker.open_orders(NOW)}) == 501


def test_money_when_it_moves_then_each_movement_is_told_with_its_own_id(bench: Bench) -> None:
    for kind, dollars in (("CSD", 500), ("CSW", -200), ("DIV", 1), ("INT", 2), ("FEE", -3), ("JNLC", 100_000)):
        bench.exchange.move_cash(kind, dollars * MICROS)
    bench.submit("tb1-a")
    told = list(bench.broker.activities(NOW))
    assert sorted(report.amount_micros // MICROS for report in told) == [-200, -3, 1, 2, 500, 100_000]
    bench.exchange.move_cash("FEE", -4 * MICROS)
    again = list(bench.broker.activities(NOW))
    assert {one.activity_id for one in told} < {one.activity_id for one in again}
    assert len({one.activity_id for one in again}) == 7
    bench.restart()
    assert sorted(bench.broker.activities(NOW), key=str) == sorted(again, key=str)


def test_money_when_there_are_pages_of_movements_then_all_are_told(bench: Bench) -> None:
    for _ in range(205):
        bench.exchange.move_cash("DIV", MICROS)
    assert len(bench.broker.activities(NOW)) == 205
    assert len(bench.broker.activities(NOW)) == 205


def test_a_movement_when_it_is_cancelled_then_a_movement_back_is_told(bench: Bench) -> None:
    body = b"""[
        {"id": "20260105000000000::a", "activity_type": "DIV", "net_amount": "1.02", "status": "canceled",
         "created_at": "2026-01-05T12:00:00Z"},
        {"id": "20260105000000000::b", "activity_type": "JNLS", "net_amount": "0", "date": "2026-01-05"},
        {"id": "20260105000000000::c", "activity_type": "DIV", "net_amount": "5", "currency": "EUR"}]"""
    bench.line.spoil("GET", "/v2/account/activities", "status_before", status=200, body=body)
    told = [(one.activity_id, one.amount_micros) for one in bench.broker.activities(NOW)]
    assert told == [("20260105000000000::a", 1_020_000), ("20260105000000000::a:canceled", -1_020_000)]


def test_f50_assets_when_asked_anew_then_a_few_cost_a_question_each_and_many_the_list(bench: Bench) -> None:
    bench.broker.assets(["SPY", "AAPL", "QQQ", "THIN", "AAPL251219P00150000"], NOW)
    bench.house.assets["AAPL"]["tradable"] = False
    del bench.house.assets["QQQ"]
    told = bench.broker.assets_anew(["AAPL", "QQQ", "AAPL251219P00150000"], NOW)
    assert [line.is_tradable for line in told] == [False, False, True]
    assert bench.line.count("GET", "/v2/assets") == 1
    assert bench.line.count("GET", "/v2/assets/.*") == 2
    bench.house.assets["SPY"]["fractionable"] = False
    told = bench.broker.assets_anew(["SPY", "AAPL", "QQQ", "THIN"], NOW)
    assert (told[0].is_tradable, told[0].is_fractionable) == (True, False)
    assert bench.line.count("GET", "/v2/assets") == 2
    assert bench.line.count("GET", "/v2/options/contracts/.*") == 1


def test_assets_when_asked_for_all_day_then_the_list_is_read_once(bench: Bench) -> None:
    bench.house.assets["QQQ"]["status"] = "inactive"
    lines = bench.broker.assets(["THIN", "AAPL", "QQQ", "ZZZZZ", "AAPL251219P00150000"], NOW)
    flags = [(one.is_tradable, one.is_fractionable, one.is_shortable) for one in lines]
    nothing = (False, False, False)
    assert flags == [(True, False, False), (True, True, True), nothing, nothing, (True, False, False)]
    bench.broker.assets(["SPY", "AAPL251219P00150000"], NOW + SECOND)
    assert bench.line.count("GET", "/v2/assets") == 1
    assert bench.line.count("GET", "/v2/options/contracts/.*") == 1
    bench.broker.assets(["SPY"], NOW + 86_400 * SECOND)
    assert bench.line.count("GET", "/v2/assets") == 2


def test_the_fence_when_it_is_up_then_alpaca_refuses_and_it_is_told_once(bench: Bench) -> None:
    for _ in range(3):
        bench.broker.fence(is_up=True, now_ns=NOW)
    assert bench.house.suspends
    assert isinstance(bench.submit("tb1-a"), r.BrokerRejected)
    assert list(bench.broker.faults()) == []
    bench.broker.fence(is_up=False, now_ns=NOW)
    assert not bench.house.suspends
    assert bench.line.count("PATCH", "/v2/account/configurations") == 2


def test_the_fence_when_alpaca_does_not_confirm_it_then_it_is_told_again(bench: Bench) -> None:
    bench.line.spoil("PATCH", ".*", "status_before", status=500)
    with pytest.raises(RetryableBrokerError):
        bench.broker.fence(is_up=True, now_ns=NOW)
    bench.broker.fence(is_up=True, now_ns=NOW)
    assert bench.house.suspends


def test_the_fence_when_its_answer_is_lost_then_it_is_told_whatever_is_wanted_next(bench: Bench) -> None:
    bench.broker.fence(is_up=False, now_ns=NOW)
    bench.line.spoil("PATCH", ".*", "reset_after")
    with pytest.raises(RetryableBrokerError):
        bench.broker.fence(is_up=True, now_ns=NOW)
    assert bench.house.suspends
    bench.broker.fence(is_up=False, now_ns=NOW)
    assert not bench.house.suspends


def test_the_clock_when_asked_then_is_alpacas(bench: Bench) -> None:
    bench.house.clock, bench.house.open_market = (lambda: 1_767_625_200_000_000_000), False
    clock = bench.broker.clock(NOW)
    assert clock is not None
    assert (clock.utc_ns, clock.is_open) == (1_767_625_200_000_000_000, False)


def test_requests_when_the_minute_is_used_up_then_cancels_and_exits_still_go(bench: Bench) -> None:
    bench.submit("tb1-rest", order_type="LIMIT", limit_micros=50 * MICROS)
    for _ in range(LIMITS["query"] - 1):
        bench.broker.open_orders(NOW)
    with pytest.raises(RetryableBrokerError, match="used up"):
        bench.broker.open_orders(NOW)
    with pytest.raises(NotSentError, match="used up") as told:
        bench.submit("tb1-a")
    assert 0 < told.value.after_ns <= 60 * SECOND
    assert any(isinstance(one, r.BrokerCancelled) for one in bench.broker.cancel("tb1-rest", NOW))
    assert isinstance(bench.submit("tb1-s", "SELL"), r.BrokerRejected)
    bench.passed_ns += 61 * SECOND
    assert isinstance(bench.submit("tb1-a"), r.BrokerAccepted)


def test_the_budget_when_spent_evenly_then_no_minute_ever_has_more_than_the_limit() -> None:
    now = 0
    budget = Budget(lambda: now, lambda: 0)
    sent: list[int] = []
    for _ in range(2_000):
        if budget.wait_ns("exit") == 0:
            sent.append(now)
        now += SECOND // 20
    for at in sent:
        assert sum(at <= other < at + 60 * SECOND for other in sent) <= LIMITS["exit"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1),
        ({"retry-after": "5"}, 5),
        ({"x-ratelimit-reset": "1030"}, 30),
        ({"x-ratelimit-reset": "1030", "retry-after": "40"}, 40),
        ({"x-ratelimit-reset": "900"}, 1),
        ({"x-ratelimit-reset": "99999999999"}, 70),
        ({"retry-after": "-5", "x-ratelimit-reset": "soon"}, 1),
        ({"retry-after": "9" * 400}, 1),
    ],
)
def test_a_pause_when_the_server_asks_for_one_then_is_a_second_to_seventy(
    headers: dict[str, str], seconds: int
) -> None:
    budget = Budget(lambda: 0, lambda: 1_000 * SECOND)
    assert budget.heard(429, headers) == seconds * SECOND
    assert budget.wait_ns("entry") == seconds * SECOND
    assert budget.wait_ns("exit") == 0


def setup_of(home: HomePaths, **changes: str) -> Setup:
    values = proposals() | {"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true"} | changes
    identity = Identity(
        entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="ALPACA", bot_id="BOT01"
    )
    return Setup(paths=home, env=parse(values), identity=identity)


def test_the_choice_when_it_is_the_simulator_then_the_vault_stays_shut(bench: Bench, short_home: HomePaths) -> None:
    setup = setup_of(short_home, ALPACA_ENDPOINT="simulator", ALPACA_SIMULATOR_PORT=str(bench.line.port))
    broker = open_broker(setup, ExecutionSettings.from_env(setup.env))
    assert broker.name == "ALPACA"
    assert list(broker.faults()) == []
    broker.close()


def test_the_choice_when_the_vault_cannot_be_opened_then_says_so(short_home: HomePaths) -> None:
    setup = setup_of(short_home)
    with pytest.raises(CannotStartError):
        open_broker(setup, ExecutionSettings.from_env(setup.env))


def test_the_names_of_the_keys_then_are_those_that_the_messages_tell_a_person() -> None:
    assert (ALPACA_TRADING_KEY, ALPACA_TRADING_SECRET) == ("alpaca_trading_key", "alpaca_trading_secret")
    desk = AccountDesk(Line(("", ""), "http://127.0.0.1:1"), "live", "PKPAPER")
    assert "alpaca_trading_key" in desk.faults()[0]


@pytest.mark.parametrize(
    ("order", "tif"),
    [
        ({"order_type": "TRAILING_STOP", "trail_bps": 200}, "gtc"),
        ({"order_type": "STOP", "stop_micros": 90 * MICROS}, "gtc"),
        ({"order_type": "LIMIT", "limit_micros": 120 * MICROS}, "day"),
        ({}, "day"),
    ],
)
def test_a_sale_when_it_is_a_stop_of_whole_shares_then_it_stands_until_it_is_cancelled(
    bench: Bench, order: dict[str, Any], tif: str
) -> None:
    bench.submit("tb1-a")
    bench.submit("tb1-s", "SELL", **order)
    assert bench.house.shown("tb1-s")["time_in_force"] == tif


def test_a_stop_over_night_when_alpaca_does_not_list_it_as_open_then_it_is_looked_up_and_stays_on_the_list(
    bench: Bench,
) -> None:
    bench.submit("tb1-a")
    bench.submit("tb1-s", "SELL", order_type="TRAILING_STOP", trail_bps=200)
    for is_new_process in (False, True):
        if is_new_process:
            bench.restart()
            bench.house.statuses = {"tb1-s": "done_for_day"}
            # What rests by the journal and is not listed is looked up by execution.
            bench.lookup("tb1-s")
        bench.line.spoil("GET", "/v2/orders", "status_before", status=200, body=b"[]")
        assert [one.client_order_id for one in bench.broker.open_orders(NOW)] == ["tb1-s"]
    bench.house.statuses = {"tb1-s": "canceled"}
    bench.line.spoil("GET", "/v2/orders", "status_before", status=200, body=b"[]", times=2)
    assert bench.broker.open_orders(NOW) == []
    asked = bench.line.count("GET", "/v2/orders:by_client_order_id")
    bench.broker.open_orders(NOW)
    assert bench.line.count("GET", "/v2/orders:by_client_order_id") == asked


@pytest.mark.parametrize(("level", "may"), [(0, False), (1, False), (2, True), (3, True), (None, True)])
def test_puts_when_the_account_has_this_options_level_then_they_may_be_bought_or_not(
    bench: Bench, caplog: pytest.LogCaptureFixture, level: int | None, may: bool
) -> None:
    put = "AAPL261218P00100000"
    bench.quote(200, symbol=put)
    bench.house.account = {"options_trading_level": level}
    for _ in range(2):
        bench.broker.account("2026-11-26", NOW)
    share, contract = bench.broker.assets(("AAPL", put), NOW)
    assert (share.is_tradable, contract.is_tradable) == (True, may)
    assert caplog.text.count("options trading level is") == (0 if may else 1)

"""Executions and commissions of Interactive Brokers: each booked once, none lost, whatever order they are told in."""

import sqlite3

import pytest
from exchange import MICROS, NANOS
from ib_gateway_bench import Bench, bench, new_york_ns

from services.execution.brokers.ibkr_books import IbkrBooks, KnownExecution
from services.execution.brokers.interface import RetryableBrokerError, StopTradingError

__all__ = ["bench"]


def named(bench: Bench) -> list[tuple[str, int, int]]:
    """Return id, shares and commission of every execution."""
    return [(fill.execution_id, fill.qty_nanos // NANOS, fill.commission_micros) for fill in bench.fills()]


def trade(bench: Bench, *shares: int) -> None:
    """Let the open order trade so many shares at a time."""
    for size in shares:
        bench.quote(99, 100, size=size)


@pytest.mark.parametrize(
    "text",
    [
        "20250701 16:00:00 Central European Standard Time",
        "20250701 10:00:00 US/Eastern",
        "20250701 10:00:00 Eastern Standard Time",
        "20250701 14:00:00 Middle Earth Time",
        "20250701  10:00:00",
    ],
)
def test_fill_when_its_time_has_any_zone_or_none_then_it_is_booked(bench: Bench, text: str) -> None:
    bench.gateway.execution_time = text
    bench.submit("tb1-a")
    assert [fill.qty_nanos for fill in bench.fills()] == [10 * NANOS]


def test_fill_when_it_cannot_be_read_then_trading_stops(bench: Bench) -> None:
    bench.gateway.execution_time = "yesterday"
    bench.submit("tb1-a", limit=50)
    bench.quote(40, 41)
    with pytest.raises(StopTradingError, match="reported an execution that could not be read"):
        bench.fills()


def test_fill_when_the_status_comes_before_the_execution_then_the_order_is_not_over_yet(bench: Bench) -> None:
    bench.gateway.holds_executions = True
    bench.submit("tb1-a")
    with pytest.raises(RetryableBrokerError, match="more is filled than its executions add up to"):
        bench.lookup("tb1-a")
    assert bench.fills() == []
    bench.gateway.release_executions()
    assert bench.kinds("tb1-a") == ["Accepted", "Fill"]
    assert len(bench.fills()) == 1


def test_fill_when_told_twice_and_again_after_a_reconnect_then_it_is_one(bench: Bench) -> None:
    bench.gateway.repeats_executions = True
    bench.submit("tb1-a")
    before = named(bench)
    bench.gateway.repeat_executions()
    bench.break_line()
    assert named(bench) == before
    assert len(before) == 1


def test_fills_when_made_while_away_then_they_are_found_afterwards(bench: Bench) -> None:
    bench.submit("tb1-a", limit=100)
    bench.break_line()
    trade(bench, 4, 6)
    assert [shares for _, shares, _ in named(bench)] == [4, 6]
    assert bench.kinds("tb1-a") == ["Accepted", "Fill", "Fill"]


def test_commission_when_told_with_the_fill_then_it_is_in_it(bench: Bench) -> None:
    bench.gateway.commission = "1.0023"
    before = bench.broker.account("2025-07-01", bench.now_ns).cash_micros
    bench.submit("tb1-a")
    (fill,) = bench.fills()
    assert fill.commission_micros == 1_002_300
    spent = fill.price_micros * fill.qty_nanos // NANOS + fill.commission_micros
    assert bench.broker.account("2025-07-01", bench.now_ns).cash_micros == before - spent
    assert bench.broker.activities(bench.now_ns) == []


def test_commission_when_it_comes_late_then_the_fill_stays_one_and_the_money_is_booked_by_itself(bench: Bench) -> None:
    bench.gateway.holds_commissions = True
    bench.gateway.commission = "1.25"
    bench.submit("tb1-a")
    first = named(bench)
    assert [commission for _, _, commission in first] == [0]
    bench.gateway.release_commissions()
    for _ in range(2):
        assert named(bench) == first
        [moved] = bench.broker.activities(bench.now_ns)
        assert (moved.activity_id, moved.amount_micros) == ("commission-0000e0d5.00000001.01.01", -1_250_000)
    bench.open()
    assert named(bench) == first
    assert len(bench.broker.activities(bench.now_ns)) == 1


def test_commission_when_it_comes_within_the_wait_then_the_fill_carries_it(bench: Bench) -> None:
    bench.gateway.holds_commissions = True
    bench.gateway.commission = "0.35"
    bench.submit("tb1-a")
    bench.broker._line.breathe = bench.gateway.release_commissions
    assert [commission for _, _, commission in named(bench)] == [350_000]


def test_commission_when_it_is_unset_then_it_counts_as_not_told(bench: Bench) -> None:
    bench.gateway.commission = "1.7976931348623157E308"
    bench.submit("tb1-a")
    assert [commission for _, _, commission in named(bench)] == [0]
    assert bench.broker.activities(bench.now_ns) == []


def test_executions_when_the_day_is_over_at_the_gateway_then_they_are_still_told(bench: Bench) -> None:
    bench.submit("tb1-a")
    before = named(bench)
    bench.gateway.begin_day()
    bench.now_ns = new_york_ns("2025-07-02 10:00")
    bench.open()
    assert named(bench) == before
    bench.submit("tb1-b")
    assert bench.fills(before[0][0])[0].client_order_id == "tb1-b"


def test_executions_when_ids_differ_in_length_then_their_names_sort_as_they_came(bench: Bench) -> None:
    bench.submit("tb1-a", limit=100, shares=12)
    trade(bench, 1, 2, 3)
    for index, execution_id in enumerate(["ffff0001.1.01.01", "0000e0d5.65c1a2b3.01.01", "0.9.01.01"]):
        bench.gateway.executions[index].execution_id = execution_id
    bench.lose_file()
    bench.open()
    names = [name for name, _, _ in named(bench)]
    assert sorted(names, key=lambda name: (len(name), name)) == names
    assert len(bench.fills(max(names, key=lambda name: (len(name), name)))) == 0


def test_execution_when_corrected_before_it_was_reported_then_only_the_correction_counts(bench: Bench) -> None:
    bench.submit("tb1-a")
    bench.gateway.correct(0, 99 * MICROS)
    assert [(fill.qty_nanos, fill.price_micros) for fill in bench.fills()] == [(10 * NANOS, 99 * MICROS)]


def test_f47_execution_when_corrected_after_it_was_reported_then_is_told_as_a_correction_and_nothing_is_doubled(
    bench: Bench,
) -> None:
    bench.submit("tb1-a")
    [before] = bench.fills()
    bench.gateway.correct(0, 99 * MICROS)
    assert [fill.execution_id for fill in bench.fills()] == [before.execution_id]
    [back] = bench.broker.reversals([before.execution_id], bench.now_ns)
    assert (back.execution_id, back.is_correction) == (before.execution_id, True)
    assert back.corrected.price_micros == 99 * MICROS
    assert back.corrected.execution_id > before.execution_id
    bench.open()
    [again] = bench.broker.reversals([before.execution_id], bench.now_ns)
    assert again.corrected.execution_id == back.corrected.execution_id
    assert bench.fills(before.execution_id) == [again.corrected]
    assert bench.fills(again.corrected.execution_id) == []
    assert bench.broker.reversals([again.corrected.execution_id], bench.now_ns) == []


def test_f47_execution_when_corrected_twice_then_each_correction_replaces_the_one_before(bench: Bench) -> None:
    bench.submit("tb1-a")
    [before] = bench.fills()
    bench.gateway.correct(0, 99 * MICROS)
    [first] = bench.broker.reversals([before.execution_id], bench.now_ns)
    bench.gateway.correct(1, 98 * MICROS)
    names = [before.execution_id, first.corrected.execution_id]
    changes = bench.broker.reversals(names, bench.now_ns)
    assert [one.execution_id for one in changes] == names
    assert changes[1].corrected.price_micros == 98 * MICROS


def test_f47_execution_when_told_again_without_a_quantity_then_is_taken_back(bench: Bench) -> None:
    bench.submit("tb1-a")
    bench.submit("tb1-b")
    first, second = bench.fills()
    bench.gateway.correct(0, 0, qty_nanos=0)
    [back] = bench.broker.reversals([first.execution_id, second.execution_id], bench.now_ns)
    assert (back.execution_id, back.is_correction, back.corrected) == (first.execution_id, False, None)
    bench.gateway.repeat_executions()
    assert [fill.execution_id for fill in bench.fills()] == [first.execution_id, second.execution_id]
    assert bench.kinds("tb1-a") == ["Accepted"]


def test_f47_execution_when_taken_back_before_it_was_reported_then_it_never_was(bench: Bench) -> None:
    bench.submit("tb1-a")
    bench.gateway.correct(0, 0, qty_nanos=0)
    assert bench.fills() == []


def test_execution_of_somebody_else_when_told_then_it_is_not_ours(bench: Bench) -> None:
    bench.gateway.place_foreign("AAPL", "BUY", 3 * NANOS, 101 * MICROS)
    [fill] = bench.fills()
    assert not fill.client_order_id.startswith("tb1-")


def test_execution_of_another_account_when_told_then_it_is_none_of_ours(bench: Bench) -> None:
    bench.gateway.accounts = ["DU1", "DU2"]
    bench.open(account="DU2")
    bench.submit("tb1-a", limit=99.5)
    bench.gateway.order_of("tb1-a").account = "DU1"
    bench.quote(99, 99.5)
    assert bench.fills() == []


def test_reference_when_it_is_left_out_of_an_execution_then_the_permanent_id_says_whose_it_is(bench: Bench) -> None:
    bench.submit("tb1-a", limit=99.5)
    bench.gateway.order_of("tb1-a").ref = ""
    bench.quote(99, 99.5)
    assert [fill.client_order_id for fill in bench.fills()] == ["tb1-a"]


def test_file_when_it_is_lost_then_trading_stops_once_and_later_fills_follow_the_journals(bench: Bench) -> None:
    bench.submit("tb1-a", limit=100, shares=12)
    trade(bench, 1)
    bench.fills()
    bench.gateway.begin_day()
    bench.now_ns = new_york_ns("2025-07-02 10:00")
    trade(bench, 2, 3)
    names = [name for name, _, _ in named(bench)]
    bench.lose_file()
    bench.open()
    trade(bench, 4)
    with pytest.raises(StopTradingError, match=r"does not know .* it is lost or older"):
        bench.fills(names[1])
    assert [fill.qty_nanos // NANOS for fill in bench.fills(names[1])] == [3, 4]
    assert bench.fills(names[1])[0].execution_id == names[2]


def test_file_when_it_cannot_be_used_then_the_words_name_it(bench: Bench) -> None:
    bench.lose_file()
    bench.path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StopTradingError, match=r"ibkr_books\.db cannot be used: file is not a database"):
        bench.open()


def test_name_of_an_execution_when_its_id_is_too_long_then_it_keeps_its_length() -> None:
    execution = KnownExecution(
        execution_id="x" * 60, client_order_id="a", perm_id=1, qty_nanos=1, price_micros=1, place=7
    )
    assert len(execution.name) == len(KnownExecution(**{**_fields(execution), "execution_id": "y"}).name)


def _fields(execution: KnownExecution) -> dict[str, object]:
    return {name: getattr(execution, name) for name in execution.__struct_fields__}


def test_books_when_a_process_dies_then_what_was_flushed_is_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("books") / "ibkr_books.db"
    books = IbkrBooks(path)
    books.add_execution(
        KnownExecution(execution_id="a.01", client_order_id="tb1-a", perm_id=1, qty_nanos=1, price_micros=1)
    )
    books.flush()
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT place, execution_id FROM executions").fetchall() == [(1, "a.01")]
    books.close()


def test_cash_when_the_account_is_first_seen_then_it_is_told_once_as_what_it_began_with(bench: Bench) -> None:
    [began] = bench.broker.activities(bench.now_ns)
    assert (began.activity_id, began.kind, began.amount_micros) == ("opening-DU1234567", "DEPOSIT", 100_000 * MICROS)
    bench.submit("tb1-a")
    bench.open()
    assert bench.broker.activities(bench.now_ns + NANOS) == [began]


def test_cash_when_orders_were_placed_before_anybody_asked_then_no_beginning_is_made_up(bench: Bench) -> None:
    bench.submit("tb1-a")
    assert bench.broker.activities(bench.now_ns) == []

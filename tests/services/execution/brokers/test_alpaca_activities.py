"""What changed the account at Alpaca without a trade, by its activities: money, expiry, exercise, split."""

from collections.abc import Iterator
from typing import Any

import pytest
from alpaca_bench import NOW, Bench, opened_bench
from exchange import MICROS, NANOS

from services.execution.brokers import reports as r

PUT = "AAPL251219P00150000"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened_bench() as made:
        yield made


def hold_puts(bench: Bench, contracts: int = 3) -> None:
    with bench.exchange.lock:
        bench.exchange.positions[PUT] = contracts * NANOS


def told(bench: Bench) -> list[Any]:
    return list(bench.broker.activities(NOW))


def test_an_option_when_it_expired_while_held_then_is_told_with_its_id_and_how_many(bench: Bench) -> None:
    hold_puts(bench)
    bench.house.expire_option(PUT)
    (gone,) = told(bench)
    assert isinstance(gone, r.BrokerExpiry)
    assert (gone.symbol, gone.qty_nanos, gone.broker) == (PUT, 3 * NANOS, "ALPACA")
    bench.restart()
    assert told(bench)[0].activity_id == gone.activity_id


def test_an_option_when_a_person_exercised_it_then_is_told_once_and_its_money_is_no_fee(bench: Bench) -> None:
    hold_puts(bench, 1)
    bench.house.exercise_option(PUT)
    (done,) = told(bench)
    assert isinstance(done, r.BrokerExercise)
    assert (done.symbol, done.qty_nanos) == (PUT, NANOS)


@pytest.mark.parametrize(("new", "old"), [(4, 1), (1, 10), (3, 2)])
def test_a_split_when_told_in_two_halves_then_is_one_ratio(bench: Bench, new: int, old: int) -> None:
    with bench.exchange.lock:
        bench.exchange.positions["AAPL"] = 30 * NANOS
    bench.house.split("AAPL", new, old)
    (split,) = told(bench)
    assert isinstance(split, r.BrokerSplit)
    assert (split.symbol, split.numerator, split.denominator) == ("AAPL", new, old)


def test_what_has_no_recipe_when_told_then_is_said_once_and_not_booked(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.house.add_activity("OPASN", symbol=PUT, qty="1")
    bench.house.add_activity("SPLIT", symbol="AAPL", qty="30", group_id="half")
    bench.house.add_activity("OPEXP", symbol=PUT, qty="-1", status="canceled")
    bench.house.add_activity("JNLS", symbol="AAPL", qty="5")
    assert told(bench) == []
    assert told(bench) == []
    assert len([one for one in caplog.records if one.message.startswith("the activity")]) == 4


@pytest.mark.parametrize(
    ("kind", "dollars", "booked"),
    [
        ("DIV", "1.02", "DIVIDEND"),
        ("DIVNRA", "-0.30", "SHORT_DIVIDEND"),
        ("CGD", "2", "DIVIDEND"),
        ("INT", "0.11", "INTEREST"),
        ("INT", "-0.25", "MARGIN_INTEREST"),
        ("FEE", "-0.04", "FEE"),
        ("PTR", "0.01", "BROKER_CREDIT"),
        ("JNLC", "100", "DEPOSIT"),
        ("JNLC", "-100", "WITHDRAWAL"),
        ("ACATC", "50", "DEPOSIT"),
    ],
)
def test_money_when_it_moves_then_its_kind_follows_from_its_type_and_sign(
    bench: Bench, kind: str, dollars: str, booked: str
) -> None:
    bench.house.add_activity(kind, net_amount=dollars, symbol="AAPL")
    (moved,) = told(bench)
    assert isinstance(moved, r.BrokerCash)
    assert (moved.kind, moved.amount_micros) == (booked, round(float(dollars) * MICROS))
    assert moved.symbol == ("AAPL" if kind.startswith(("DIV", "CGD")) else "")

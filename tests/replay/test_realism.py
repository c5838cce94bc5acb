"""A session at a slow, shallow and costly paper broker: other fills, the same bytes each time, and books that agree."""

from pathlib import Path

import pytest

from bus.messages import OrderFilled
from config.paths import HomePaths
from replay.books import compare_books
from replay.choice import RunChoice, prepare
from replay.report import fill_keys
from replay.results import results
from replay.run import Outcome, play_days
from replay.session import DEMO_IDENTITY

REAL = (
    ("PAPER_LATENCY", "25000"),
    ("PAPER_PARTICIPATION", "2"),
    ("PAPER_SLIPPAGE", "1"),
    ("PAPER_SEC_FEE", "27.80"),
    ("PAPER_TAF", "0.000166"),
)


def _played(folder: Path, settings: tuple[tuple[str, str], ...] = REAL) -> tuple[Outcome, HomePaths]:
    paths = HomePaths(folder)
    return play_days(prepare(RunChoice(settings=settings)), paths), paths


def _fills(outcome: Outcome) -> list[OrderFilled]:
    return [event for event in outcome.events("execution") if isinstance(event, OrderFilled)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, HomePaths]:
    return _played(tmp_path_factory.mktemp("h"))


def test_a_session_when_the_broker_is_realistic_then_nothing_stays_open_and_the_books_agree(
    first: tuple[Outcome, HomePaths],
) -> None:
    outcome, paths = first
    assert outcome.faults == ()
    assert compare_books(paths, DEMO_IDENTITY) == []
    found = results(outcome).trades
    assert {trade.strategy for trade in found} == {"open", "mid", "close"}
    assert not any(trade.is_open for trade in found)


def test_a_session_when_the_broker_is_realistic_then_only_sales_pay_fees_and_orders_fill_in_parts(
    first: tuple[Outcome, HomePaths],
) -> None:
    fills = _fills(first[0])
    assert all((fill.commission_micros >= 20_000) == (fill.side == "SELL") for fill in fills)
    assert all(fill.commission_micros == 0 for fill in fills if fill.side == "BUY")
    orders = {fill.client_order_id for fill in fills}
    assert len(fills) > len(orders) + 10


def test_a_session_when_the_broker_is_realistic_then_is_the_same_every_time_and_not_the_plain_one(
    first: tuple[Outcome, HomePaths], tmp_path: Path
) -> None:
    again, _ = _played(tmp_path / "again")
    plain, _ = _played(tmp_path / "plain", ())
    keys = [fill_keys(day.of("execution")) for day in first[0].days]
    assert keys == [fill_keys(day.of("execution")) for day in again.days]
    assert keys != [fill_keys(day.of("execution")) for day in plain.days]

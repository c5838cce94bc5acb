"""Broker against ledger: every kind of difference is named, and nothing is written by looking."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bus.store import StoreError
from config.paths import HomePaths
from replay.books import compare_books
from replay.session import DEMO_IDENTITY

#: What the comparison reads of the two files: 10 shares of SPY bought for 1,000 dollars out of a deposit of 5,000.
BROKER = """
CREATE TABLE account (id INTEGER PRIMARY KEY, cash_micros INTEGER NOT NULL);
CREATE TABLE positions (symbol TEXT PRIMARY KEY, qty_nanos INTEGER NOT NULL);
CREATE TABLE executions (seq INTEGER PRIMARY KEY, qty_nanos INTEGER NOT NULL);
INSERT INTO account VALUES (1, 4000000000);
INSERT INTO positions VALUES ('SPY', 10000000000), ('AIG', 0);
INSERT INTO executions VALUES (1, 10000000000);
"""
LEDGER = """
CREATE TABLE tx (seq INTEGER PRIMARY KEY, source_event_id TEXT NOT NULL UNIQUE);
CREATE TABLE posting (tx_seq INTEGER, line_no INTEGER, account_code TEXT, commodity TEXT, amount INTEGER);
INSERT INTO tx VALUES (1, 'PAPER:PA-1:DEPOSIT'), (2, 'PAPER:PX-000001:FILL');
INSERT INTO posting VALUES
    (1, 1, '1010', 'USD', 5000000000), (1, 2, '3010', 'USD', -5000000000),
    (2, 1, '1040', 'USD', -1000000000), (2, 2, '1510', 'USD', 1000000000),
    (2, 3, '9010', 'SPY/UNITS', 10000000000), (2, 4, '9020', 'SPY/UNITS', -10000000000);
"""
Change = Callable[[str], None]


class Home:
    """Two files of books that agree, until a test changes one."""

    def __init__(self, root: Path) -> None:
        self.paths = HomePaths(root)
        self.paths.make()
        self.broker = self.paths.state / "paper_broker.db"
        self.ledger = self.paths.entities / DEMO_IDENTITY.entity_folder / DEMO_IDENTITY.ledger_file
        self.ledger.parent.mkdir(parents=True)
        self.change(self.broker, BROKER)
        self.change(self.ledger, LEDGER)

    def change(self, path: Path, script: str) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.executescript(script)
            db.commit()

    def compare(self) -> list[str]:
        return compare_books(self.paths, DEMO_IDENTITY)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "100% h")


def test_the_books_when_they_agree_have_no_difference_and_are_not_touched(home: Home) -> None:
    before = home.broker.read_bytes(), home.ledger.read_bytes()
    assert home.compare() == []
    assert (home.broker.read_bytes(), home.ledger.read_bytes()) == before
    assert sorted(path.name for path in home.paths.state.iterdir()) == ["paper_broker.db"]


def test_the_cash_when_it_differs_by_one_micro_dollar_is_named(home: Home) -> None:
    home.change(home.broker, "UPDATE account SET cash_micros = cash_micros + 1")
    assert home.compare() == ["cash: broker 4000000001, ledger 4000000000 micro-dollars"]


@pytest.mark.parametrize("account", ["1010", "1030", "1040"])
def test_the_cash_when_it_lies_in_any_of_the_cash_accounts_is_counted(home: Home, account: str) -> None:
    home.change(home.ledger, f"UPDATE posting SET account_code = '{account}' WHERE account_code IN ('1010', '1040')")
    assert home.compare() == []


def test_the_units_when_they_differ_by_one_nano_share_are_named(home: Home) -> None:
    home.change(home.broker, "UPDATE positions SET qty_nanos = qty_nanos - 1 WHERE symbol = 'SPY'")
    assert home.compare() == ["SPY: broker 9999999999, ledger 10000000000 nano-shares"]


def test_a_position_when_only_one_side_has_it_is_named(home: Home) -> None:
    home.change(home.broker, "UPDATE positions SET qty_nanos = 5 WHERE symbol = 'AIG'; DELETE FROM positions "
                             "WHERE symbol = 'SPY'")  # fmt: skip
    assert home.compare() == [
        "AIG: broker 5, ledger 0 nano-shares",
        "SPY: broker 0, ledger 10000000000 nano-shares",
    ]


def test_an_execution_when_the_ledger_lacks_it_is_named(home: Home) -> None:
    home.change(home.broker, "INSERT INTO executions VALUES (2, 1), (3, 1)")
    assert home.compare() == ["execution PX-000002 is not in the ledger", "execution PX-000003 is not in the ledger"]


def test_an_execution_when_the_broker_lacks_it_is_named(home: Home) -> None:
    home.change(home.ledger, "INSERT INTO tx VALUES (3, 'PAPER:PX-000009:FILL')")
    assert home.compare() == ["execution PX-000009 is not at the broker"]


def test_a_commodity_when_it_does_not_sum_to_zero_is_named(home: Home) -> None:
    home.change(home.ledger, "UPDATE posting SET amount = amount + 7 WHERE account_code = '3010'")
    assert home.compare() == ["USD does not sum to zero in the ledger but to 7"]


def test_the_books_when_several_things_differ_name_all_of_them(home: Home) -> None:
    home.change(home.broker, "UPDATE account SET cash_micros = 0; DELETE FROM positions; DELETE FROM executions")
    assert len(home.compare()) == 3


@pytest.mark.parametrize("side", ["broker", "ledger"])
def test_a_file_when_missing_is_named_and_not_made(home: Home, side: str) -> None:
    path = home.broker if side == "broker" else home.ledger
    path.unlink()
    with pytest.raises(StoreError, match="There is no file") as caught:
        home.compare()
    assert str(path) in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("side", ["broker", "ledger"])
@pytest.mark.parametrize("content", [b"", b"not a database at all, and longer than a header"], ids=["empty", "other"])
def test_a_file_when_unreadable_is_named(home: Home, side: str, content: bytes) -> None:
    path = home.broker if side == "broker" else home.ledger
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        home.compare()
    assert str(path) in str(caught.value)

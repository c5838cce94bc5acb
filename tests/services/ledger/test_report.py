"""The printed books: figures a person can check by hand, and clear words when there are none."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.messages import Message
from config.identity import Identity
from config.paths import HomePaths
from services.ledger import reading
from services.ledger.verbs import run_verb


class OpenVault:
    """Stands for the vault: its identity is all that the report asks for."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def __call__(self, _paths: HomePaths) -> "OpenVault":
        return self

    def open(self) -> "OpenVault":
        return self


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, identity: Identity, paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(reading, "Vault", OpenVault(identity))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run_verb(list(arguments), paths)
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture
def booked(start: Callable[..., Any], ask: Callable[..., Path], day: list[Message]) -> Any:
    ask()
    journal = start()
    for message in day:
        journal.hear(message)
    return journal


def test_trial_balance_when_day_is_booked_then_columns_agree(
    booked: Any, printed: Callable[..., tuple[int, str, str]]
) -> None:
    code, text, _ = printed("trial-balance")
    rows = {line.split()[0]: line.split()[-1] for line in text.splitlines() if line.strip()}
    assert code == 0
    assert rows["1010"] == "98,699.63"
    assert rows["1210"] == "1,550.00"
    assert rows["3010"] == "100,000.00"
    assert rows["4010"] == "250.00"
    assert rows["5010"] == "0.37"
    assert [line.split() for line in text.splitlines() if line.strip().startswith("total")] == [
        ["total", "100,250.00", "100,250.00"]
    ]
    assert (rows["AAPL"], rows["MSFT"], rows["USD"]) == ("zero", "zero", "zero")
    assert "  AAPL                                       5" in text
    assert "2.5" in text


def test_trial_balance_when_json_then_integers(booked: Any, printed: Callable[..., tuple[int, str, str]]) -> None:
    code, text, _ = printed("trial-balance", "--json")
    value = msgspec.json.decode(text)
    assert (code, value["balances"]) == (0, True)
    assert value["debit_micros"] == value["credit_micros"] == 100_250_000_000
    assert value["units_nanos"] == {"AAPL": 5_000_000_000, "MSFT": 2_500_000_000}
    assert value["sums"] == {"AAPL": 0, "MSFT": 0, "USD": 0}


def test_entries_when_printed_then_each_with_its_lines(
    booked: Any, printed: Callable[..., tuple[int, str, str]]
) -> None:
    code, text, _ = printed("entries")
    assert code == 0
    assert "Buy 10 AAPL at 100.00 for 1,000.00; open entry, order tb1-1: breakout" in text
    assert "PAPER:PX-3:FILL" in text
    _, raw, _ = printed("entries", "--json")
    assert [entry["seq"] for entry in msgspec.json.decode(raw)] == [1, 2, 3, 4, 5]


def test_reports_when_ledger_is_empty_then_they_say_so(
    ledger: Path, printed: Callable[..., tuple[int, str, str]]
) -> None:
    code, text, _ = printed("trial-balance")
    assert code == 0
    assert "no entries yet" in text
    assert printed("entries") == (0, "no entries yet\n", "")
    assert printed("entries", "--json") == (0, "[]\n", "")


def test_report_when_there_is_no_ledger_then_exit_1_and_words(
    printed: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = printed("trial-balance")
    assert (code, out) == (1, "")
    assert "There is no ledger at" in err


def test_report_when_home_was_never_configured_then_exit_1_and_words(
    paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(["trial-balance"], paths) == 1
    assert capsys.readouterr().err.strip()


@pytest.mark.parametrize("arguments", [["balance"], ["entries", "--xml"], ["entries", "--json", "more"]])
def test_report_when_command_is_wrong_then_exit_2_and_usage(
    printed: Callable[..., tuple[int, str, str]], arguments: Any
) -> None:
    code, _, err = printed(*arguments)
    assert code == 2
    assert "usage:" in err


def test_report_when_books_are_out_of_balance_then_exit_1(
    booked: Any, printed: Callable[..., tuple[int, str, str]], paths: HomePaths, identity: Identity
) -> None:
    booked.assembly.shell.close()
    path = next(paths.entities.rglob("*.db"))
    db = sqlite3.connect(path)
    (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'posting_update'").fetchone()
    db.execute("DROP TRIGGER posting_update")
    db.execute("UPDATE posting SET amount = amount + 10000 WHERE tx_seq = 1 AND line_no = 1")
    db.execute(sql)
    db.commit()
    db.close()
    code, _, err = printed("trial-balance")
    assert code == 1
    assert "USD does not balance" in err


def test_report_when_a_day_is_named_then_the_books_are_those_of_its_end(
    booked: Any, printed: Callable[..., tuple[int, str, str]]
) -> None:
    assert "no entries yet" in printed("trial-balance", "--to", "2023-11-13")[1]
    assert "100,250.00" in printed("trial-balance", "--to", "2023-11-14")[1]
    assert printed("entries", "--from", "2023-11-15")[1] == "no entries yet\n"
    code, _, err = printed("entries", "--from", "2023-11-15", "--to", "2023-11-14")
    assert code == 1
    assert "--from 2023-11-15 is after --to 2023-11-14" in err
    assert printed("entries", "--to", "14.11.2023")[0] == 2


def test_report_when_a_file_is_named_then_it_is_read_whatever_its_name(
    booked: Any, paths: HomePaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    booked.assembly.shell.close()
    copy = tmp_path / "copy.db"
    copy.write_bytes(next(paths.entities.rglob("*.db")).read_bytes())
    assert run_verb(["trial-balance", "--ledger", str(copy)], paths) == 0
    assert "98,699.63" in capsys.readouterr().out
    assert run_verb(["trial-balance", "--ledger", str(tmp_path / "none.db")], paths) == 1
    assert "There is no ledger at" in capsys.readouterr().err
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to look like one\n" * 20)
    assert run_verb(["trial-balance", "--ledger", str(tmp_path / "text.db")], paths) == 1
    assert "cannot be read" in capsys.readouterr().err

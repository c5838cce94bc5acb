"""The command line over a real ledger file: what is written, what is said, and that nothing is ever changed."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ofx_checker import faults_of

from bus.messages import Message
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.book import open_book
from services.ledger.core import LedgerCore
from services.ledger.verbs import VERBS, run_verb, wants_verb

ROOT = Path(__file__).resolve().parents[3]
#: What copies, checks and restores the file has tests of its own; the others only read it.
READERS = [verb for verb in VERBS if verb not in {"verify", "backup", "backups", "restore", "drill", "upgrade"}]


@pytest.fixture
def booked(ledger: Path, identity: Identity, core: LedgerCore, day: list[Message]) -> Path:
    book = open_book(ledger, identity, may_write=True)
    state = core.initial()
    for message in day:
        for entry in core.decide(state, message, message.ts_init):
            book.post(entry)
            state = core.evolve(state, entry)
    book.close()
    return ledger


@pytest.fixture
def call(booked: Path, paths: HomePaths, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a verb on the booked ledger; return code, output and errors."""

    def run(*arguments: str, ledger: Path = booked) -> tuple[int, str, str]:
        code = run_verb([*arguments, "--ledger", str(ledger)], paths)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def damaged(booked: Path) -> Path:
    """Two lines of two entries, changed so that their sum stays: only the entries themselves do not balance."""
    db = sqlite3.connect(booked)
    (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'posting_update'").fetchone()
    db.execute("DROP TRIGGER posting_update")
    db.execute("UPDATE posting SET amount = amount + 10000 WHERE tx_seq = 1 AND line_no = 1")
    db.execute("UPDATE posting SET amount = amount - 10000 WHERE tx_seq = 2 AND account_code = '1010'")
    db.execute(sql)
    db.commit()
    db.close()
    return booked


@pytest.mark.parametrize("verb", READERS)
def test_every_verb_when_run_then_it_prints_and_exits_0(call: Callable[..., tuple[int, str, str]], verb: str) -> None:
    code, out, err = call(verb)
    assert code == 0
    assert out
    # What is printed can be piped on: what was done is told on the other stream.
    assert verb in ("trial-balance", "entries") or "until 2023-11-14" in err


@pytest.mark.parametrize("verb", ["reports", "export-ofx", "export-beancount", "export-hledger"])
def test_a_verb_when_a_file_is_named_then_it_is_whole_and_the_same_again(
    call: Callable[..., tuple[int, str, str]], verb: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, said, err = call(verb, "--out", str(out))
    assert (code, err) == (0, "")
    assert said.endswith(f"Written to {out}.\n")
    first = out.read_bytes()
    assert call(verb, "--out", str(out))[0] == 0
    assert out.read_bytes() == first == call(verb)[1].encode()
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]


def test_export_ofx_when_the_ledger_is_real_then_the_document_is_sound(
    call: Callable[..., tuple[int, str, str]],
) -> None:
    document = call("export-ofx")[1]
    assert faults_of(document.encode()) == []
    assert document.count("<STMTTRN>") == 5 + 1
    assert "<ACCTID>main-BOT01</ACCTID>" in document
    assert call("export-ofx", "--view", "bank")[1].count("<STMTTRN>") == 5
    later = call("export-ofx", "--from", "2023-11-15", "--to", "2023-11-16")[1]
    assert later.count("<STMTTRN>") == 0
    assert "<BALAMT>98699.63</BALAMT>" in later
    assert "<DTSTART>20231115000001.000[0:GMT]</DTSTART>" in later


def test_reports_when_asked_for_some_then_only_those(call: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = call("reports", "--format", "json", "--only", "trades", "--only", "units")
    value = json.loads(out)
    assert code == 0
    assert list(value["reports"]) == ["units", "trades"]
    assert (value["bot"], value["to"], value["is_sound"]) == ("ACME_USA_main_PAPER_BOT01", "2023-11-14", True)
    assert call("reports")[1].startswith("<!doctype html>")


def test_verbs_when_books_have_a_finding_then_exit_1_and_nothing_is_exported(
    call: Callable[..., tuple[int, str, str]], damaged: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for verb in ("export-ofx", "export-beancount", "export-hledger"):
        code, said, err = call(verb, "--out", str(out), ledger=damaged)
        assert (code, said) == (1, "")
        assert "Nothing is exported" in err
        assert "Entry 1 does not balance" in err
        assert not out.exists()
    code, page, err = call("reports", ledger=damaged)
    assert code == 1
    assert "Entry 2 does not balance" in page
    assert "Finding: Entry 2 does not balance" in err
    code, _, err = call("trial-balance", ledger=damaged)
    assert code == 1
    assert "Finding: Entry 1 does not balance" in err


def test_export_when_the_place_cannot_be_written_then_exit_1_and_the_old_file_stays(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, err = call("export-ofx", "--out", str(tmp_path / "none" / "out.ofx"))
    assert code == 1
    assert "No such file or directory" in err
    (tmp_path / "folder").mkdir()
    assert call("export-ofx", "--out", str(tmp_path / "folder"))[0] == 1
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_export_ofx_when_a_copy_has_lost_its_name_then_it_is_refused(
    call: Callable[..., tuple[int, str, str]], booked: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "restored.db"
    copy.write_bytes(booked.read_bytes())
    code, _, err = call("export-ofx", ledger=copy)
    assert code == 1
    assert "Give the copy the ledger's own name" in err
    assert call("export-hledger", ledger=copy)[0] == 0


def test_verbs_when_the_service_is_writing_then_they_read_what_is_committed(
    call: Callable[..., tuple[int, str, str]], booked: Path
) -> None:
    writer = sqlite3.connect(booked, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    # A reader that saw what is not committed would find a table that does not belong there.
    writer.execute("CREATE TABLE unfinished (line INTEGER)")
    for verb in READERS:
        assert call(verb)[0] == 0
    writer.execute("ROLLBACK")
    writer.close()


def test_verbs_when_run_then_the_ledger_is_not_changed(call: Callable[..., tuple[int, str, str]], booked: Path) -> None:
    before = booked.read_bytes()
    for verb in READERS:
        assert call(verb)[0] == 0
    assert booked.read_bytes() == before


@pytest.fixture
def outputs(capsys: pytest.CaptureFixture[str], paths: HomePaths) -> Iterator[Callable[..., tuple[int, str]]]:
    def run(*arguments: str) -> tuple[int, str]:
        code = run_verb(arguments, paths)
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["export-ofx", "--help"]])
def test_help_when_asked_for_then_exit_0(outputs: Callable[..., tuple[int, str]], arguments: list[str]) -> None:
    code, text = outputs(*arguments)
    assert code == 0
    assert "usage: python -m services.ledger" in text


@pytest.mark.parametrize(
    "arguments",
    [["export-csv"], ["reports", "--format", "csv"], ["export-ofx", "--from", "yesterday"], ["reports", "--only", "x"]],
)
def test_command_line_when_wrong_then_exit_2_and_usage(outputs: Callable[..., tuple[int, str]], arguments: Any) -> None:
    code, text = outputs(*arguments)
    assert code == 2
    assert "usage:" in text


def test_main_when_there_is_no_verb_then_the_command_line_is_the_services() -> None:
    assert [wants_verb(each) for each in ([], ["--self-check"], ["reports"], ["--help"], ["-h"])] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_main_when_run_as_a_program_then_a_verb_answers(booked: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.ledger", "trial-balance", "--json", "--ledger", str(booked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["balances"] is True


def test_no_other_code_writes_ofx_and_only_the_trade_logs_write_csv_which_nothing_reads() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "services").rglob("*.py")}
    assert [path.name for path, text in sources.items() if '"OFX"' in text or "OFXHEADER" in text] == [
        "generate_ofx.py"
    ]
    ledger = {path.name: text for path, text in sources.items() if path.parent.name == "ledger"}
    # The logs of the strategies have the format that LOG_FORMAT says; the books themselves are never CSV.
    assert [name for name, text in ledger.items() if "import csv" in text or "csv.writer" in text] == ["trade_logs.py"]
    assert not [name for name, text in ledger.items() if "csv.reader" in text or "DictReader" in text]
    assert not [verb for verb in READERS if "csv" in verb]

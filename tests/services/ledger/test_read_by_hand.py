"""What docs/ledger.md says of reading and restoring a ledger by hand, done as it stands there."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bus.messages import Message
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.head_file import head_path
from services.ledger.provision import ledger_path
from services.ledger.verbs import run_verb

PAGE = Path(__file__).parents[3] / "docs" / "ledger.md"


def block(language: str, word: str) -> str:
    """Return the block of the page in a language that has a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in blocks if word in text]
    return str(found)


@pytest.fixture
def booked(start: Callable[..., Any], ask: Callable[..., Path], day: list[Message]) -> Any:
    ask()
    journal = start()
    for message in day:
        journal.hear(message)
    return journal


def test_an_entry_when_checked_by_hand_is_as_it_was_sealed_and_a_changed_one_is_not(
    booked: Any, paths: HomePaths, identity: Identity, tmp_path: Path
) -> None:
    ledger = ledger_path(paths, identity)
    program = tmp_path / "check.py"
    program.write_text(block("python", "hashlib"))

    def said(seq: int) -> str:
        command = [sys.executable, str(program), str(ledger), str(seq)]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    assert [said(seq) for seq in range(1, 6)] == ["as it was sealed"] * 5
    booked.assembly.shell.close()
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("DROP TRIGGER posting_update")
        db.execute("UPDATE posting SET amount = amount + 1 WHERE tx_seq = 4 AND line_no = 1")
        db.commit()
    assert [said(seq) for seq in (3, 4, 5)] == ["as it was sealed", "CHANGED", "as it was sealed"]


def test_the_queries_of_the_page_give_every_line_and_balances_of_zero(
    booked: Any, paths: HomePaths, identity: Identity
) -> None:
    lines, balances = block("sql", "posting").strip().rstrip(";").split(";")
    with closing(sqlite3.connect(f"{ledger_path(paths, identity).as_uri()}?mode=ro", uri=True)) as db:
        (count,) = db.execute("SELECT count(*) FROM posting").fetchone()
        assert len(db.execute(lines).fetchall()) == count > 10
        sums: dict[str, int] = {}
        for _, commodity, amount in db.execute(balances):
            sums[commodity] = sums.get(commodity, 0) + amount
    assert set(sums.values()) == {0}


def test_a_lost_ledger_when_replaced_as_the_page_says_goes_on_where_it_was(
    booked: Any, start: Callable[..., Any], day: list[Message], paths: HomePaths, identity: Identity, tmp_path: Path
) -> None:
    ledger = ledger_path(paths, identity)
    booked.assembly.shell.close()
    to = tmp_path / "was.db"
    assert run_verb(["restore", "--ledger", str(ledger), "--to", str(to), "--at", "3"], paths) == 0
    for path in (ledger, Path(f"{ledger}-wal"), Path(f"{ledger}-shm")):
        if path.exists():
            path.rename(tmp_path / f"{path.name}.away")
    shutil.move(to, ledger)
    shutil.move(f"{to}.head", head_path(paths, identity.ledger_file))
    again = start(booked.events)
    assert again.assembly.shell._book.last_seq() == 5
    assert run_verb(["verify", "--ledger", str(ledger)], paths) == 0
    for message in day:
        assert again.hear(message) == ()

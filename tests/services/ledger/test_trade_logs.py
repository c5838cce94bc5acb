"""The logs of the strategies: which entries have a line, what is in it in both formats, and what has none."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bus.messages import MICROS, EntryPosted, OrderFilled
from bus.testing import a_deposit, a_fill
from services.ledger import trade_logs
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.settings import LedgerSettings
from services.ledger.trade_logs import COLUMNS, TradeLogs


def entries(*messages: Any) -> list[EntryPosted]:
    core = LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=0), "test")
    state: LedgerState = core.initial()
    found = []
    for message in messages:
        for event in core.decide(state, message, message.ts_event):
            state = core.evolve(state, event)
            if isinstance(event, EntryPosted):
                found.append(event)
    return found


BOUGHT: OrderFilled = a_fill("X-1", "BUY", 10, 100)
SOLD: OrderFilled = replace(a_fill("X-2", "SELL", 10, 103), commission_micros=1 * MICROS)
DAY = (a_deposit(dollars=5_000), BOUGHT, SOLD)


def test_execution_has_every_column_of_the_standard_in_json(tmp_path: Path) -> None:
    logs = TradeLogs(tmp_path, "JSON")
    for entry in entries(*DAY):
        logs.note(entry)
    logs.close()

    assert [path.name for path in tmp_path.iterdir()] == [f"{BOUGHT.strategy}.log"]
    bought, sold = (json.loads(line) for line in (tmp_path / f"{BOUGHT.strategy}.log").read_text().splitlines())
    assert tuple(sold) == COLUMNS
    assert (bought["side"], bought["entry_price"], bought["exit_price"], bought["PnL"]) == ("BUY", "100.00", "", "")
    assert (sold["side"], sold["entry_price"], sold["exit_price"], sold["PnL"]) == ("SELL", "100.00", "103.00", "29.00")
    assert (sold["size"], sold["ticker"], sold["broker"]) == ("10", SOLD.symbol, "PAPER")
    assert sold["timestamp"].endswith("Z")


def test_execution_in_csv_has_a_head_at_the_beginning_of_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trade_logs, "_FILE_BYTES_MAX", 200)
    logs = TradeLogs(tmp_path, "CSV")
    for entry in entries(*DAY):
        logs.note(entry)
    logs.close()
    again = TradeLogs(tmp_path, "CSV")
    again.close()

    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    for path in files:
        (row,) = csv.DictReader(path.read_text().splitlines())
        assert tuple(row) == COLUMNS


def test_deposits_and_the_holdings_have_no_line(tmp_path: Path) -> None:
    fund = replace(BOUGHT, execution_id="F-1", leg="fund", strategy="holdings", symbol="SCHD")
    logs = TradeLogs(tmp_path, "JSON")
    for entry in entries(a_deposit(dollars=5_000), fund):
        logs.note(entry)
    logs.close()

    assert list(tmp_path.iterdir()) == []


def test_the_running_service_writes_them_once(
    start: Callable[..., Any], ledger: Path, paths: Any, identity: Any
) -> None:
    journal = start()
    journal.hear(a_deposit(dollars=5_000))
    for event in journal.hear(BOUGHT):
        journal.assembly.shell.after_commit(journal.state, event, 0)
    journal.assembly.shell.close()

    log = paths.output / identity.bot_identity / "logs" / f"{BOUGHT.strategy}.log"
    assert len(log.read_text().splitlines()) == 1

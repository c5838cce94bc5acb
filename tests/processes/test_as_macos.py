"""The whole chain on what looks like macOS: the same processes, armed on the page, play a session to its end."""

from pathlib import Path
from typing import Any

import pytest

from bus.messages import EntryPosted, OrderFilled
from bus.store import read_journal
from replay.session import SessionChoice

pytestmark = pytest.mark.processes
AS_MACOS = Path(__file__).resolve().parents[1] / "data" / "as_macos"


def test_a_session_when_the_processes_find_nothing_of_linux_then_it_is_played_and_booked(
    make_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(AS_MACOS))
    stage = make_stage(SessionChoice())
    stage.arm("as on macOS")
    stage.wait_for_end(180)
    state = stage.chain.paths.state
    fills = read_journal(state / "execution.db", (OrderFilled,))
    assert fills
    assert len(read_journal(state / "ledger.db", (EntryPosted,))) >= len(fills)

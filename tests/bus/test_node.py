"""The runtime without its transport: one effect, committed with its cause, and the same state after a restart."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.assembly import Assembly
from bus.clock import SessionClock, on_host
from bus.codec import decode_message
from bus.decider import Shell
from bus.delivery import ROWS_IN_MEMORY, STALLED_NS, Verdict
from bus.messages import HoldingsOrderEnded, Message, OrderFilled
from bus.node import Node
from bus.store import Store
from bus.testing import RecorderCore, RecorderState, a_deposit, a_fill, a_plan, a_quote_batch


class FailingShell(Shell[RecorderState]):
    """Fails before the commit of a chosen event; reports once after another."""

    def __init__(self, fails_on: str = "", reports_on: str = "") -> None:
        self.fails_on = fails_on
        self.reports_on = reports_on
        self.before: list[str] = []

    def before_commit(self, event: Message) -> None:
        if isinstance(event, OrderFilled):
            self.before.append(event.execution_id)
            if event.execution_id == self.fails_on:
                raise OSError("disk full")

    def after_commit(self, state: RecorderState, event: Message, now_ns: int) -> Sequence[Message]:
        if isinstance(event, OrderFilled) and event.execution_id == self.reports_on:
            return [a_deposit("PA-9")]
        return ()


def _node(tmp_path: Path, shell: Shell[RecorderState] | None = None) -> tuple[Node[RecorderState], list[Message]]:
    said: list[Message] = []
    node = Node(
        "execution",
        Assembly(core=RecorderCore(), shell=shell or Shell()),
        Store(tmp_path / "execution.db", "NORMAL"),
        clock=SessionClock(follows_feed=True),
        on_event=said.append,
    )
    node.start()
    return node, said


def test_a_message_when_delivered_twice_has_one_effect(tmp_path: Path) -> None:
    node, said = _node(tmp_path)
    assert node.on_reliable("risk", "e", 1, a_fill()) is Verdict.NEXT
    assert node.on_reliable("risk", "e", 1, a_fill()) is Verdict.DUPLICATE
    assert node.on_reliable("risk", "e", 3, a_fill("PX-000003")) is Verdict.GAP
    assert said == [a_fill()]
    assert node.state.events == [a_fill()]


def test_an_event_when_it_has_receivers_stands_in_the_outbox_of_each(tmp_path: Path) -> None:
    node, _ = _node(tmp_path)
    node.on_market(a_quote_batch(step=7))
    node.on_input(a_fill())
    assert {name: len(link.rows) for name, link in node.links.items()} == {
        "screener": 0,
        "risk": 1,
        "ledger": 1,
        "holdings": 0,
    }
    row = node.links["ledger"].rows[0]
    assert (row.seq, row.step, decode_message(row.payload)) == (1, 7, a_fill())


def test_a_message_when_to_a_service_that_trading_does_not_depend_on_is_kept_and_not_waited_for(tmp_path: Path) -> None:
    node, _ = _node(tmp_path)
    ended = HoldingsOrderEnded(
        ts_event=0,
        ts_init=0,
        intent_id="holdings:1",
        session_date="2013-10-08",
        symbol="SCHD",
        side="BUY",
        filled_nanos=0,
        execution_ids=(),
        detail="",
    )
    node.on_input(ended)
    assert [decode_message(row.payload) for row in node.links["holdings"].rows] == [ended]
    assert (node.outbox_depth(), node.oldest_unacked_ms()) == (0, 0)


def test_a_node_when_restarted_has_the_same_state_and_repeats_what_was_not_acknowledged(
    tmp_path: Path,
) -> None:
    node, _ = _node(tmp_path)
    node.on_reliable("watchdog", "e", 1, a_plan())
    node.on_input(a_fill())
    node.on_input(a_fill("PX-000002"))
    node.links["ledger"].is_welcome = True
    node.heard_ack("ledger", node.epoch, 1)
    node.flush_acks()
    node.close()
    again, said = _node(tmp_path)
    assert again.state.events == node.state.events
    assert said == []
    assert again.is_ready
    assert [row.seq for row in again.links["ledger"].rows] == [2]
    assert [row.seq for row in again.links["risk"].rows] == [1, 2]
    assert again.on_reliable("watchdog", "e", 1, a_plan()) is Verdict.DUPLICATE


def test_an_effect_when_it_fails_before_the_commit_leaves_the_message_unacknowledged(tmp_path: Path) -> None:
    node, said = _node(tmp_path, FailingShell(fails_on="PX-000001"))
    with pytest.raises(OSError, match="disk full"):
        node.on_reliable("risk", "e", 1, a_fill())
    node.close()
    shell = FailingShell()
    again, said = _node(tmp_path, shell)
    assert again.on_reliable("risk", "e", 1, a_fill()) is Verdict.NEXT
    assert shell.before == ["PX-000001"]
    assert said == [a_fill()]


def test_a_report_when_an_effect_makes_one_is_decided_after_its_cause(tmp_path: Path) -> None:
    node, said = _node(tmp_path, FailingShell(reports_on="PX-000001"))
    node.on_input(a_fill())
    assert said == [a_fill(), a_deposit("PA-9")]


def test_a_market_step_when_repeated_is_ignored(tmp_path: Path) -> None:
    node, _ = _node(tmp_path)
    node.on_market(a_quote_batch(step=2))
    node.on_market(a_quote_batch(step=1))
    assert node.step == 2
    assert node.clock.now_ns() == a_quote_batch(step=2).ts_event


def test_a_node_when_reports_follow_without_end_stops(tmp_path: Path) -> None:
    class Endless(Shell[RecorderState]):
        def after_commit(self, state: RecorderState, event: Message, now_ns: int) -> Sequence[Message]:
            return [event]

    node, _ = _node(tmp_path, Endless())
    with pytest.raises(RuntimeError, match="more than 10000 reports"):
        node.on_input(a_deposit())


def test_rows_when_a_receiver_was_away_are_read_back_from_disk_in_order(tmp_path: Path) -> None:
    node, _ = _node(tmp_path)
    link = node.links["ledger"]
    link.is_welcome = True
    for number in range(1, ROWS_IN_MEMORY + 100):
        node.on_input(a_fill(f"PX-{number:06d}"))
    assert (len(link.rows), link.depth()) == (ROWS_IN_MEMORY, ROWS_IN_MEMORY + 99)
    taken = 0
    for _ in range(1000):
        taken = max([taken, *(row.seq for row in link.due((taken + 1) * 10_000_000_000))])
        node.heard_ack("ledger", node.epoch, taken)
    assert (taken, link.depth(), len(link.rows)) == (ROWS_IN_MEMORY + 99, 0, 0)


class StandingClock:
    """A host whose clocks stand still until told."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def utc_ns(self) -> int:
        return self.now

    def boot_ns(self) -> int:
        return self.now


def test_an_event_when_messages_wait_too_long_is_what_the_service_makes_of_it_then(tmp_path: Path) -> None:
    clock = StandingClock()
    said: list[Message] = []
    with on_host(clock):
        node = Node(
            "execution",
            Assembly(core=RecorderCore(), when_stalled=lambda event: a_deposit() if event == a_fill("PX-2") else event),
            Store(tmp_path / "execution.db", "NORMAL"),
            clock=SessionClock(follows_feed=True),
            on_event=said.append,
        )
        node.on_input(a_fill("PX-1"))
        clock.now += STALLED_NS
        node.on_input(a_fill("PX-2"))
        clock.now += 1_000_000
        node.on_input(a_fill("PX-2"))
    assert said == [a_fill("PX-1"), a_fill("PX-2"), a_deposit()]


def test_queued_messages_when_committed_are_one_commit_with_the_newest_cursor(tmp_path: Path) -> None:
    shell = FailingShell(reports_on="PX-000002")
    node, said = _node(tmp_path, shell)
    for seq in (1, 2, 3):
        node.queue("risk", "e", seq, a_fill(f"PX-00000{seq}"))
    assert (said, shell.before, node.cursors["risk"].seq) == ([], [], 3)
    node.commit_queue()
    assert said == [*(a_fill(f"PX-00000{seq}") for seq in (1, 2, 3)), a_deposit("PA-9")]
    assert node.state.events == said
    assert [row.seq for row in node.links["ledger"].rows] == [1, 2, 3, 4]
    node.commit_queue()
    node.close()
    again, _ = _node(tmp_path)
    assert again.state.events == said
    assert again.cursors["risk"].seq == 3


def test_queued_messages_when_the_process_dies_before_the_commit_leave_nothing(tmp_path: Path) -> None:
    node, said = _node(tmp_path, FailingShell(fails_on="PX-000002"))
    for seq in (1, 2):
        node.queue("risk", "e", seq, a_fill(f"PX-00000{seq}"))
    with pytest.raises(OSError, match="disk full"):
        node.commit_queue()
    node.close()
    again, _ = _node(tmp_path)
    assert (said, again.state.events, again.cursors["risk"].seq) == ([], [], 0)


def test_queued_messages_when_they_are_of_two_senders_are_committed_with_the_cursor_of_each(tmp_path: Path) -> None:
    node, said = _node(tmp_path)
    node.queue("risk", "e", 1, a_fill())
    node.queue("watchdog", "e", 1, a_plan())
    assert said == [a_fill()]
    node.commit_queue()
    node.close()
    again, _ = _node(tmp_path)
    assert {name: cursor.seq for name, cursor in again.cursors.items() if cursor.seq} == {"risk": 1, "watchdog": 1}

"""A service's own file on a disk that is full or fails: nothing half-happens, and the work is done once in the end."""

import resource
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from runner_rig import NAME, RunnerRig, order_frame

from bus.assembly import Assembly
from bus.clock import SessionClock
from bus.codec import Ack
from bus.decider import Shell
from bus.messages import Message, OrderFilled
from bus.node import Node
from bus.store import Store
from bus.testing import RecorderCore, RecorderState, a_fill


class Acting(Shell[RecorderState]):
    """Keeps what it did to the world, which it does only after the commit."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def after_commit(self, state: RecorderState, event: Message, now_ns: int) -> Sequence[Message]:
        assert isinstance(event, OrderFilled)
        self.done.append(event.execution_id)
        return ()


def _node(store: Store, shell: Shell[RecorderState]) -> Node[RecorderState]:
    node = Node(
        "execution",
        Assembly(core=RecorderCore(), shell=shell),
        store,
        clock=SessionClock(follows_feed=True),
        on_event=lambda _event: None,
    )
    node.start()
    return node


def _ids(node: Node[RecorderState]) -> list[str]:
    return [event.execution_id for event in node.state.events if isinstance(event, OrderFilled)]


def _fill(number: int) -> OrderFilled:
    return a_fill(f"PX-{number:06d}")


def _hear_many(node: Node[RecorderState]) -> None:
    for seq in range(1, 1_000):
        node.on_reliable("risk", "e", seq, _fill(seq))


@contextmanager
def no_file_grows() -> Iterator[None]:
    """Let the system refuse every write of this process to a file: for SQLite that is an error of the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class DoubtfulDisk(sqlite3.Connection):
    """Commits, and then says that it could not: a sync that fails tells nothing of what is on the disk."""

    fails = False

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]  # as the store calls it
        found = super().execute(sql, *values)
        if self.fails and sql == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return found


def test_a_commit_when_the_disk_is_full_leaves_nothing_of_it_and_is_made_once_when_there_is_space(
    tmp_path: Path,
) -> None:
    store, shell = Store(tmp_path / "execution.db", "FULL"), Acting()
    node = _node(store, shell)
    store._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError, match="is full"):
        _hear_many(node)
    taken = node.cursors["risk"].seq
    assert taken > 0
    done = [f"PX-{number:06d}" for number in range(1, taken + 1)]
    assert (shell.done, _ids(node), node.cursors["risk"].seq) == (done, done, taken)
    assert [node.links[name].last for name in ("risk", "ledger")] == [taken, taken]
    again = Acting()
    node = _node(Store(tmp_path / "execution.db", "FULL"), again)
    assert (_ids(node), node.cursors["risk"].seq, again.done) == (done, taken, [])
    for number in (taken, taken + 1, taken + 1):
        node.on_reliable("risk", "e", number, _fill(number))
    assert again.done == [f"PX-{taken + 1:06d}"]
    assert [row.seq for row in node.links["ledger"].rows] == list(range(1, taken + 2))
    node.close()


def test_a_commit_when_the_disk_refuses_the_write_leaves_nothing_of_it_and_is_made_once_after_the_next_start(
    tmp_path: Path,
) -> None:
    store, shell = Store(tmp_path / "execution.db", "FULL"), Acting()
    node = _node(store, shell)
    node.on_reliable("risk", "e", 1, _fill(1))
    with no_file_grows(), pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        node.on_reliable("risk", "e", 2, _fill(2))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        node.on_reliable("risk", "e", 2, _fill(2))
    assert (shell.done, node.cursors["risk"].seq) == (["PX-000001"], 1)
    again = Acting()
    node = _node(Store(tmp_path / "execution.db", "FULL"), again)
    assert _ids(node) == ["PX-000001"]
    node.on_reliable("risk", "e", 2, _fill(2))
    assert again.done == ["PX-000002"]
    node.close()


def test_a_commit_when_its_sync_fails_is_not_tried_again_and_the_next_start_finds_out_what_became_of_it(
    tmp_path: Path,
) -> None:
    store, shell = Store(tmp_path / "execution.db", "FULL", DoubtfulDisk), Acting()
    node = _node(store, shell)
    store._db.fails = True  # type: ignore[attr-defined]  # it is a DoubtfulDisk
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        node.on_reliable("risk", "e", 1, _fill(1))
    assert (shell.done, node.cursors["risk"].seq) == ([], 0)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store.commit([_fill(1)], [], None)
    node = _node(Store(tmp_path / "execution.db", "FULL"), Acting())
    node.on_reliable("risk", "e", 1, _fill(1))
    assert _ids(node) == ["PX-000001"]
    assert [row.seq for row in node.links["ledger"].rows] == [1]
    node.close()


class FillsTheDisk(Shell[RecorderState]):
    """Takes all space that is left for the service's file when it is told to."""

    is_full = False
    store: Store

    def before_commit(self, event: Message) -> None:
        if self.is_full:
            self.store._db.execute("PRAGMA max_page_count = 1")


def test_a_service_when_its_disk_is_full_halts_and_ends_and_does_what_waits_once_there_is_space(rig: RunnerRig) -> None:
    rig.shell = shell = FillsTheDisk()
    runner = rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    shell.store, shell.is_full = runner._store, True
    risk.say(*(order_frame(seq) for seq in range(2, 100)))
    risk.until(lambda: not rig.is_alive(), "end of the process")
    taken = len(rig.orders())
    assert 1 <= taken < 99
    assert "full" in str(rig.ended_by)
    assert all(answer.cursor <= taken for answer in risk.answers if isinstance(answer, Ack))
    halt = rig.control.read().halt
    assert halt is not None
    assert (halt.source, halt.rule, "full" in halt.detail) == (NAME, "critical_error", True)
    rig.stop()
    shell.is_full = False
    rig.start()
    risk = rig.peer("risk")
    risk.say(*(order_frame(seq) for seq in (taken, taken + 1, taken + 1)))
    risk.answer(Ack("e1", taken + 1))
    assert len(rig.orders()) == taken + 1

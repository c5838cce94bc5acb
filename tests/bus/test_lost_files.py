"""A service's file that is empty, gone, or has a damaged log has another history, and nobody goes on with it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from runner_rig import RunnerRig, order_frame

from bus.codec import Ack, Refusal
from bus.delivery import InboxCursor, OutboxRow, Standing
from bus.store import Store

#: What is written in the third of three commits, and there alone.
_THIRD = b"SPY:3"


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _empty(path: Path) -> None:
    path.write_bytes(b"")
    _log_of(path).unlink()


def _gone(path: Path) -> None:
    path.unlink()
    _log_of(path).unlink()


def _headless(path: Path) -> None:
    log = _log_of(path)
    log.write_bytes(b"\xa5" * 32 + log.read_bytes()[32:])


def _damaged_at_its_end(path: Path) -> None:
    log = _log_of(path)
    content = log.read_bytes()
    assert _THIRD in content
    log.write_bytes(content.replace(_THIRD, b"SPY:9"))


DAMAGES = pytest.mark.parametrize("damage", [_empty, _gone, _headless, _damaged_at_its_end])


def _copied(path: Path, folder: Path) -> Path:
    """Copy a file and its log while they are in use: what a process that dies now leaves behind."""
    folder.mkdir()
    for part in (path, _log_of(path)):
        shutil.copy(part, folder)
    return folder / path.name


@DAMAGES
def test_a_receiver_when_its_file_has_lost_what_it_took_refuses_the_sender_and_halts(
    rig: RunnerRig, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    rig.start()
    risk = rig.peer("risk")
    for seq in (1, 2, 3):
        risk.say(order_frame(seq))
        risk.answer(Ack("e1", seq))
    path = rig.paths.state / "execution.db"
    copy = _copied(path, tmp_path / "copy")
    rig.stop()
    damage(copy)
    path.unlink()
    for part in (copy, _log_of(copy)):
        if part.exists():
            shutil.copy(part, path.parent)
    rig.start()
    risk = rig.peer("risk")
    verdict = risk.introduce("e1", first=4, last=5, base=5)
    assert isinstance(verdict, Refusal)
    assert rig.halt_of(risk, "lost_history") == verdict.detail
    assert rig.orders() == (["1", "2"] if damage is _damaged_at_its_end else [])


@DAMAGES
@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_a_sender_when_its_file_has_lost_what_was_taken_is_found_out_by_the_receiver(
    tmp_path: Path, synchronous: str, damage: Callable[[Path], None]
) -> None:
    store = Store(tmp_path / "risk.db", synchronous)
    for seq in (1, 2, 3):
        store.commit([], [("execution", OutboxRow(seq, 0, b"order SPY:%d" % seq))], None)
    copy = _copied(tmp_path / "risk.db", tmp_path / "copy")
    taken = InboxCursor(store.epoch, 3)
    store.close()
    damage(copy)
    again = Store(copy, synchronous)
    link = again.links(("execution",), 0)["execution"]
    fault = taken.judge_standing(Standing(again.epoch, link.acked + 1, link.last, link.base))
    assert fault is not None
    assert fault[0] == "regressed_producer"
    again.close()

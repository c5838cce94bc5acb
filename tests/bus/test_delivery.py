"""Delivery over a bad network: in order, never lost, one effect."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.delivery import WINDOW, InboxCursor, OutboxLink, OutboxRow, StepBoard, Verdict

MS = 1_000_000


def _link(count: int) -> OutboxLink:
    link = OutboxLink(is_welcome=True)
    for seq in range(1, count + 1):
        link.add(OutboxRow(seq, 0, b"%d" % seq), 0)
    return link


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 120), st.floats(0, 0.3), st.floats(0, 0.2))
def test_a_stream_when_messages_are_lost_doubled_and_reordered_has_each_effect_once_in_order(
    seed: int, count: int, loss: float, doubling: float
) -> None:
    rng, link, cursor = random.Random(seed), _link(count), InboxCursor()
    effects: list[int] = []
    wire: list[tuple[int, int, str]] = []
    now = 0
    for _ in range(6000):
        now += 50 * MS
        for row in link.due(now):
            copies = 1 + (rng.random() < doubling)
            wire += [(now + rng.randrange(300) * MS, row.seq, "data") for _ in range(copies) if rng.random() >= loss]
        for item in sorted(item for item in wire if item[0] <= now):
            wire.remove(item)
            if item[2] == "ack":
                link.heard_ack(item[1], now)
                continue
            verdict = cursor.judge("e", item[1])
            if verdict is Verdict.NEXT:
                effects.append(item[1])
                cursor.advance("e", item[1])
            if rng.random() >= loss:
                wire.append((now + rng.randrange(300) * MS, cursor.seq, "ack"))
        if not link.rows:
            break
    assert effects == list(range(1, count + 1))
    assert not link.rows
    assert link.oldest_age_ns(now) == 0


def test_a_link_when_nothing_is_acknowledged_sends_one_window_and_repeats_it_later() -> None:
    link = _link(WINDOW + 10)
    assert [row.seq for row in link.due(0)] == list(range(1, WINDOW + 1))
    assert link.due(100 * MS) == []
    assert [row.seq for row in link.due(251 * MS)] == list(range(1, WINDOW + 1))
    assert link.due(500 * MS) == []
    assert not link.all_sent()


def test_a_link_when_acknowledged_in_part_sends_what_the_window_now_holds() -> None:
    link = _link(WINDOW + 10)
    link.due(0)
    assert link.heard_ack(10, 1)
    assert [row.seq for row in link.due(2)] == list(range(WINDOW + 1, WINDOW + 11))
    assert link.all_sent()


def test_a_link_when_the_ack_is_old_or_impossible_ignores_it() -> None:
    link = _link(3)
    link.due(0)
    assert link.heard_ack(2, 1)
    assert not link.heard_ack(1, 2)
    assert not link.heard_ack(99, 2)
    assert [row.seq for row in link.rows] == [3]


def test_a_link_when_restored_empty_counts_as_all_sent() -> None:
    assert OutboxLink(acked=7, last=7).all_sent()


def test_a_cursor_when_the_epoch_changes_refuses() -> None:
    cursor = InboxCursor("one", 5)
    assert cursor.judge("two", 1) is Verdict.REFUSED
    assert cursor.judge("one", 5) is Verdict.DUPLICATE
    assert cursor.judge("one", 7) is Verdict.GAP
    assert cursor.judge("one", 6) is Verdict.NEXT


def test_a_mark_when_it_runs_ahead_of_its_messages_waits_for_them() -> None:
    board = StepBoard(own=3)
    board.hear("strategy", 3, after_seq=2, cursor_seq=1)
    assert not board.may_tell("execution", ("strategy",))
    board.caught_up("strategy", 2)
    assert board.may_tell("execution", ("strategy",))


def test_a_board_when_the_feed_repeats_a_step_tells_it_again() -> None:
    board = StepBoard(own=3, told={"risk": 3})
    assert not board.may_tell("risk", ())
    board.again(3)
    assert board.may_tell("risk", ())


def test_a_board_when_the_feed_begins_again_does_not_wait_for_marks_of_its_own_newest_step() -> None:
    board = StepBoard(own=36, heard={"strategy": 36, "execution": 35})
    board.again(1)
    assert board.may_tell("execution", ("strategy", "execution"))
    assert board.own == 1

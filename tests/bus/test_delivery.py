"""Delivery over a bad network: in order, never lost, one effect."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.delivery import (
    RETRY_LAST_NS,
    ROWS_IN_MEMORY,
    WINDOW,
    InboxCursor,
    OutboxLink,
    OutboxRow,
    Standing,
    StepBoard,
    Verdict,
)

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


# --- before the first message ------------------------------------------------------------------------------------


def test_a_link_when_nobody_has_agreed_says_hello_now_and_then_and_sends_nothing() -> None:
    link = _link(3)
    link.is_welcome = False
    assert link.due(0) == []
    said = [now for now in range(0, 6000 * MS, 10 * MS) if link.hello_nonce(now) is not None]
    assert said == [0, 250 * MS, 750 * MS, 1750 * MS, 3750 * MS, 5750 * MS]


def test_a_link_when_welcome_goes_on_after_what_the_receiver_has() -> None:
    link = _link(3)
    link.is_welcome = False
    link.heard_greet("n")
    assert link.hello_nonce(0) == "n"
    assert link.heard_welcome("n", 2, 1)
    assert [row.seq for row in link.due(1)] == [3]
    assert link.hello_nonce(10_000 * MS) is None


def test_a_link_when_the_welcome_answers_an_older_hello_does_not_believe_it() -> None:
    link = _link(3)
    link.is_welcome = False
    link.heard_greet("new")
    assert not link.heard_welcome("old", 2, 1)
    assert not link.heard_welcome("", 2, 1)
    assert not link.heard_welcome("new", 4, 1)
    assert not link.is_welcome
    assert not link.heard_ack(2, 1)


def test_a_link_when_greeted_again_sends_everything_unacknowledged_again() -> None:
    link = _link(3)
    assert len(link.due(0)) == 3
    link.heard_greet("n")
    assert link.due(10_000 * MS) == []
    assert not link.heard_welcome("n", 0, 1)
    assert [row.seq for row in link.due(2)] == [1, 2, 3]


def test_a_link_when_refused_asks_again_and_again() -> None:
    link = _link(1)
    link.heard_refusal()
    assert link.due(0) == []
    assert link.hello_nonce(0) == ""


@pytest.mark.parametrize(
    ("cursor", "standing", "rule"),
    [
        (InboxCursor(), Standing("e", 1, 0, 0), None),
        (InboxCursor(), Standing("e", 1, 9, 9), None),
        (InboxCursor(), Standing("e", 2, 9, 9), "lost_history"),
        (InboxCursor("e", 5), Standing("e", 6, 5, 5), None),
        (InboxCursor("e", 5), Standing("e", 3, 9, 9), None),
        (InboxCursor("e", 5), Standing("e", 3, 4, 4), "regressed_producer"),
        (InboxCursor("e", 5), Standing("f", 1, 9, 9), "regressed_producer"),
        (InboxCursor("e", 5), Standing("e", 7, 9, 9), "lost_history"),
    ],
)
def test_two_ends_when_compared_fit_or_stop(cursor: InboxCursor, standing: Standing, rule: str | None) -> None:
    fault = cursor.judge_standing(standing)
    assert (fault[0] if fault else None) == rule
    if fault:
        after = InboxCursor(standing.epoch, cursor.reconciled(standing))
        assert after.judge_standing(standing) is None


def test_a_restored_sender_when_accepted_skips_what_it_had_made_before_it_was_restored() -> None:
    cursor = InboxCursor("e", 20)
    # Restored at 10; 11 and 12 are new, whatever 11 and 12 were before.
    assert cursor.reconciled(Standing("e", 9, 12, 10)) == 10
    assert cursor.reconciled(Standing("f", 9, 12, 10)) == 8


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32))
def test_a_restored_end_when_both_ends_compare_is_always_seen(seed: int) -> None:
    """Put either end back to any earlier moment: whatever was lost between them, the comparison stops the stream."""
    rng = random.Random(seed)
    sender_past, receiver_past = [(0, 0)], [0]
    acked = last = taken = 0
    for _ in range(rng.randrange(1, 60)):
        match rng.randrange(3):
            case 0:
                last += 1
            case 1:
                taken = rng.randint(taken, last)
            case _:
                acked = rng.randint(acked, taken)
        sender_past.append((acked, last))
        receiver_past.append(taken)
    acked, last = sender_past[rng.randrange(len(sender_past))]
    fault = InboxCursor("e" if taken else "", taken).judge_standing(Standing("e", acked + 1, last, last))
    assert (fault is None) == (taken <= last)
    acked, last = sender_past[-1]
    taken = receiver_past[rng.randrange(len(receiver_past))]
    fault = InboxCursor("e" if taken else "", taken).judge_standing(Standing("e", acked + 1, last, last))
    assert (fault is None) == (taken >= acked)


# --- memory --------------------------------------------------------------------------------------------------------


def test_a_link_when_its_receiver_is_away_keeps_a_bounded_part_in_memory_and_sends_all_of_it_later() -> None:
    disk = [OutboxRow(seq, 0, b"x") for seq in range(1, 5 * ROWS_IN_MEMORY)]
    link = OutboxLink(is_welcome=True)
    for row in disk:
        link.add(row, 0)
    assert len(link.rows) == ROWS_IN_MEMORY
    assert link.depth() == len(disk)
    taken, now = 0, 0
    while taken < len(disk):
        now += 300 * MS
        sent = [row.seq for row in link.due(now)]
        assert sent[0] <= taken + 1
        taken = max(taken, sent[-1])
        link.heard_ack(taken, now)
        after = link.wants()
        if after is not None:
            link.refill(disk[after : after + ROWS_IN_MEMORY], now)
        assert len(link.rows) <= ROWS_IN_MEMORY + WINDOW
    assert link.depth() == 0


def test_a_link_when_its_first_row_waits_has_the_age_of_that_row() -> None:
    link = OutboxLink(is_welcome=True)
    for seq in (1, 2, 3):
        link.add(OutboxRow(seq, 0, b"x"), seq * 1000 * MS)
    assert link.oldest_age_ns(5000 * MS) == 4000 * MS
    link.heard_ack(1, 4000 * MS)
    assert link.oldest_age_ns(5000 * MS) == 3000 * MS


# --- a loss that shows --------------------------------------------------------------------------------------------


def test_a_link_when_the_receiver_shows_a_gap_sends_the_window_again_at_once() -> None:
    link = _link(5)
    link.due(0)
    link.heard_ack(2, 1)
    link.heard_gap(link.pass_number)
    assert [row.seq for row in link.due(2)] == [3, 4, 5]
    assert link.due(3) == []


def test_a_link_when_later_messages_show_the_same_gap_answers_it_once() -> None:
    link = _link(5)
    link.due(0)
    shown_by = link.pass_number
    for now in (1, 2, 3):
        link.heard_gap(shown_by)
        link.due(now)
    assert link.pass_number == shown_by + 1
    link.heard_gap(shown_by + 1)
    assert [row.seq for row in link.due(4)] == [1, 2, 3, 4, 5]


def test_a_link_when_a_gap_was_answered_still_repeats_after_the_first_delay_alone() -> None:
    link = _link(2)
    link.due(0)
    link.heard_gap(link.pass_number)
    assert link.due(10 * MS)
    assert link.due(259 * MS) == []
    assert link.due(260 * MS)


def test_a_link_when_everything_is_acknowledged_takes_no_gap_for_a_loss() -> None:
    link = _link(2)
    link.due(0)
    link.heard_gap(0)
    assert link.due(1) == []
    link.heard_ack(2, 2)
    link.heard_gap(link.pass_number)
    assert link.due(3) == []


def test_an_idle_link_asks_now_and_then_whether_its_receiver_still_knows_it() -> None:
    link = OutboxLink()
    link.heard_greet("n")
    link.heard_welcome("n", 0, 0)
    assert [now for now in range(0, 5000 * MS, 100 * MS) if link.asks_again(now)] == [2000 * MS, 4000 * MS]
    link.add(OutboxRow(1, 0, b"1"), 0)
    assert not link.asks_again(10_000 * MS)


def test_a_cursor_when_a_restored_sender_has_made_new_messages_since_is_not_deceived_by_their_numbers() -> None:
    restored = Standing("one", 1, last=5, base=3)
    fault = InboxCursor("one", 5).judge_standing(restored)
    assert fault is not None
    assert fault[0] == "regressed_producer"
    assert InboxCursor("one", 3).judge_standing(restored) is None
    assert InboxCursor("one", 5).reconciled(restored) == 3


def test_a_link_when_it_has_sent_messages_counts_them_among_those_that_may_have_been_taken() -> None:
    link = _link(3)
    link.due(0)
    assert link.base == 3


def test_a_greet_when_a_newer_one_of_the_same_life_was_heard_is_overtaken() -> None:
    link = OutboxLink()
    for second, nonce in enumerate(("life1:3", "life1:2", "life1:3")):
        link.heard_greet(nonce)
        assert link.hello_nonce(second * RETRY_LAST_NS) == "life1:3"
    link.heard_welcome("life1:3", 0, 0)
    link.heard_greet("life1:3")
    assert link.is_welcome, "what was agreed on is not asked for again"
    link.heard_greet("life1:4")
    assert not link.is_welcome


def test_a_greet_when_it_is_of_another_life_counts_whatever_its_number() -> None:
    link = OutboxLink()
    for nonce in ("life1:3", "life2:1", "life1:1"):
        link.heard_greet(nonce)
        assert link.hello_nonce(0) == nonce

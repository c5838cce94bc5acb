"""Progress: one line that is drawn again on a terminal, plain lines elsewhere, and the time that is left."""

import io

from replay.progress import Progress


class Terminal(io.StringIO):
    """A terminal that keeps what it is told."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_when_on_a_terminal_is_one_line_with_the_time_left() -> None:
    out, clock = Terminal(), Clock()
    bar = Progress(out, clock)
    bar.move(0, 4, "first")
    clock.now += 30
    bar.move(1, 4, "second")
    clock.now += 90
    bar.move(4, 4, "last")
    bar.end()
    lines = [line.rstrip() for line in out.getvalue().split("\r")[1:]]
    assert lines == [
        "[..............................]   0%  first",
        "[#######.......................]  25%  second  1:30 left",
        "[##############################] 100%  last",
    ]
    assert out.getvalue().endswith("\n")


def test_progress_when_it_moves_often_is_drawn_ten_times_a_second_at_most() -> None:
    out, clock = Terminal(), Clock()
    bar = Progress(out, clock)
    for step in range(1_000):
        clock.now += 0.001
        bar.move(step, 2_000, "day")
    assert out.getvalue().count("\r") <= 11


def test_progress_when_not_on_a_terminal_is_a_line_for_each_tenth() -> None:
    out, clock = io.StringIO(), Clock()
    bar = Progress(out, clock)
    for step in range(101):
        clock.now += 1
        bar.move(step, 100, "day")
    bar.end()
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == " 10%  day  1:39 left"
    assert lines[-1] == "100%  day"


def test_progress_when_there_is_nothing_to_do_is_done() -> None:
    out = io.StringIO()
    Progress(out, Clock()).move(0, 0, "nothing")
    assert out.getvalue() == "100%  nothing\n"

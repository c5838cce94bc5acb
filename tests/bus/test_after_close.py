"""What is started once after each session: once, in its own process, tried again, and told when it failed."""

import signal
import sys
import time
from pathlib import Path

from bus.after_close import GRACE_NS, TRIES_MAX, TRY_AGAIN_NS, AfterClose

DAY = "2026-03-03"


def command(tmp_path: Path, body: str) -> tuple[str, str]:
    program = tmp_path / "program.py"
    program.write_text(f"import sys, pathlib\n{body}\n")
    return sys.executable, str(program)


def play(after: AfterClose, now_ns: int, session: str = DAY) -> int:
    """Look until the started process has ended; return the time of the last look."""
    until = time.monotonic() + 20
    after.look(session, is_over=True, now_ns=now_ns)
    while after._running is not None:
        assert time.monotonic() < until
        time.sleep(0.01)
        after.look(session, is_over=True, now_ns=now_ns)
    return now_ns


def test_session_that_is_over_is_looked_after_once_and_not_again_after_a_restart(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    body = f"with open({str(ran)!r}, 'a') as file: file.write(sys.argv[2] + ' ')"
    after = AfterClose(tmp_path, command(tmp_path, body))

    after.look(DAY, is_over=False, now_ns=0)
    assert not after.is_busy
    after.look(DAY, is_over=True, now_ns=0)
    assert after.is_busy
    assert not ran.exists()
    for _ in range(3):
        play(after, GRACE_NS)
        assert not after.is_busy
    play(AfterClose(tmp_path, command(tmp_path, body)), 2 * GRACE_NS)
    assert ran.read_text() == f"{DAY} "

    after.look("2026-03-04", is_over=False, now_ns=3 * GRACE_NS)
    after.look("2026-03-04", is_over=True, now_ns=3 * GRACE_NS)
    play(after, 4 * GRACE_NS, "2026-03-04")
    assert ran.read_text() == f"{DAY} 2026-03-04 "
    assert after.words == ""


def test_what_fails_is_told_and_tried_again_and_no_more_than_so_often(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    body = f"open({str(ran)!r}, 'a').write('x'); sys.exit('archive: no room\\nat all')"
    after = AfterClose(tmp_path, command(tmp_path, body))
    now = play(after, 0)
    now = play(after, GRACE_NS)

    assert after.words == "after the session: archive: no room at all"
    play(after, now + TRY_AGAIN_NS - 1)
    assert ran.read_text() == "x"
    for _ in range(TRIES_MAX + 2):
        now = play(after, now + TRY_AGAIN_NS)
    assert ran.read_text() == "x" * TRIES_MAX
    assert after.words


def test_what_failed_and_then_works_is_told_no_more(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = f"p = pathlib.Path({str(mark)!r})\nif not p.exists():\n    p.touch()\n    sys.exit(3)"
    after = AfterClose(tmp_path, command(tmp_path, body))
    play(after, 0)
    now = play(after, GRACE_NS)
    assert after.words

    play(after, now + TRY_AGAIN_NS)

    assert after.words == ""


def test_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    after = AfterClose(tmp_path, (str(tmp_path / "missing"),))
    play(after, 0)
    play(after, GRACE_NS)

    assert "could not be started" in after.words


def test_memory_that_is_damaged_lets_it_be_done_again(tmp_path: Path) -> None:
    (tmp_path / "after_close.json").write_text("{")
    after = AfterClose(tmp_path, command(tmp_path, ""))

    play(after, 0)
    play(after, GRACE_NS)

    assert b'"is_done":true' in (tmp_path / "after_close.json").read_bytes()


def test_process_that_is_still_at_work_ends_with_its_watchdog(tmp_path: Path) -> None:
    after = AfterClose(tmp_path, command(tmp_path, "import time; time.sleep(60)"))
    after.look(DAY, is_over=True, now_ns=0)
    after.look(DAY, is_over=True, now_ns=GRACE_NS)
    running = after._running
    assert running is not None

    after.close()

    assert running.wait(10) == -signal.SIGTERM

"""The curve of the session: one point a stretch, and all of it again after a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus import messages as m
from services.web.session_curve import STEP_MS, SessionCurve

START_MS = 1_741_786_200_000 // STEP_MS * STEP_MS
Say = Callable[..., Any]


def told(say: Say, step: int, equity: int, day: str = "2025-03-12") -> m.PortfolioSnapshot:
    at_ns = (START_MS + step * STEP_MS) * 1_000_000
    return say("portfolio", ts_event=at_ns, equity_micros=equity * m.MICROS, session_date=day)  # type: ignore[no-any-return]  # it is one


def test_curve_when_started_anew_then_has_every_point_and_goes_on(tmp_path: Path, say: Say) -> None:
    path = tmp_path / "curve.jsonl"
    curve = SessionCurve(path)
    for step in range(5):
        for equity in (100, 101):
            curve.add(told(say, step, equity + step))
    again = SessionCurve(path)
    assert [at for at, _ in again.points()] == [START_MS + step * STEP_MS for step in range(5)]
    assert again.session_date == "2025-03-12"
    again.add(told(say, 5, 99))
    assert SessionCurve(path).points()[-1] == (START_MS + 5 * STEP_MS, "99.00")
    assert path.stat().st_mode & 0o777 == 0o600


def test_curve_when_a_new_day_begins_then_the_file_has_that_day_alone(tmp_path: Path, say: Say) -> None:
    path = tmp_path / "curve.jsonl"
    curve = SessionCurve(path)
    curve.add(told(say, 0, 100))
    curve.add(told(say, 9, 100, "2025-03-13"))
    assert SessionCurve(path).points() == [(START_MS + 9 * STEP_MS, "100.00")]
    assert len(path.read_bytes().splitlines()) == 1


def test_curve_when_a_session_is_played_again_then_what_is_later_goes(tmp_path: Path, say: Say) -> None:
    path = tmp_path / "curve.jsonl"
    curve = SessionCurve(path)
    for step in range(4):
        curve.add(told(say, step, 100))
    curve.add(told(say, 1, 50))
    assert curve.points() == [(START_MS, "100.00"), (START_MS + STEP_MS, "50.00")]
    assert SessionCurve(path).points() == curve.points()


def test_curve_when_its_file_is_cut_damaged_or_cannot_be_written_then_shows_what_there_is(
    tmp_path: Path, say: Say
) -> None:
    path = tmp_path / "curve.jsonl"
    curve = SessionCurve(path)
    for step in range(3):
        curve.add(told(say, step, 100))
    path.write_bytes(path.read_bytes()[:-9])
    assert len(SessionCurve(path).points()) == 2
    path.write_bytes(b"\xff\x00nothing")
    assert SessionCurve(path).points() == []
    nowhere = SessionCurve(tmp_path / "none" / "curve.jsonl")
    nowhere.add(told(say, 0, 100))
    assert len(nowhere.points()) == 1

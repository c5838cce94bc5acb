"""More than three restarts within a minute, and a service stays down; everything else starts it again."""

from pathlib import Path

import pytest

from bus.clock import NS_PER_SECOND
from bus.crash_loop import Starts, recent
from config.paths import HomePaths

S = NS_PER_SECOND
SUPERVISOR = 4711


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    home.make()
    return home


def _starts(paths: HomePaths, supervisor: int = SUPERVISOR) -> Starts:
    """Return what a new process of the service sees."""
    return Starts(paths, "risk", supervisor)


def _note(paths: HomePaths, *seconds: float) -> list[bool]:
    return [_starts(paths).note(int((1000 + second) * S)) for second in seconds]


@pytest.mark.parametrize(
    ("age_s", "is_recent"), [(0, True), (59.9, True), (60, False), (3600, False), (-0.001, False), (-1e9, False)]
)
def test_a_start_when_older_than_a_minute_or_ahead_of_now_is_not_counted(age_s: float, is_recent: bool) -> None:
    now = 10**19
    assert recent([now - int(age_s * S)], now) == ([now - int(age_s * S)] if is_recent else [])


def test_the_fourth_restart_when_within_a_minute_is_one_too_many(paths: HomePaths) -> None:
    assert _note(paths, 0, 10, 20, 30, 59) == [True, True, True, True, False]


def test_restarts_when_spread_over_more_than_a_minute_go_on_for_ever(paths: HomePaths) -> None:
    assert all(_note(paths, *range(0, 2000, 16)))


def test_the_count_when_it_was_too_many_begins_anew_for_the_person_who_starts_it(paths: HomePaths) -> None:
    _note(paths, 0, 1, 2, 3, 4)
    assert _note(paths, 5, 6, 7, 8, 9) == [True, True, True, True, False]


def test_a_clean_end_when_between_starts_is_no_restart(paths: HomePaths) -> None:
    for second in range(20):
        assert _note(paths, second) == [True]
        _starts(paths).forget()
    _starts(paths).forget()


def test_starts_when_of_another_supervisord_are_not_counted(paths: HomePaths) -> None:
    _note(paths, 0, 1, 2, 3)
    assert _starts(paths, SUPERVISOR + 1).note(1004 * S)
    assert [_starts(paths, SUPERVISOR + 1).note((1005 + n) * S) for n in range(4)] == [True, True, True, False]


def test_starts_when_of_before_a_reboot_are_not_counted(paths: HomePaths) -> None:
    _note(paths, 0, 1, 2, 3)
    assert _note(paths, -990, -989, -988, -987, -986) == [True, True, True, True, False]


def test_services_when_they_crash_are_counted_apart(paths: HomePaths) -> None:
    _note(paths, 0, 1, 2, 3)
    assert Starts(paths, "strategy", SUPERVISOR).note(1004 * S)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b'{"supervisord": 4711}',
        b'{"supervisord": 4711, "starts_boot_ns": 5}',
        b'{"supervisord": 4711, "starts_boot_ns": [null]}',
        b'{"supervisord": 4711, "starts_boot_ns": ["x"]}',
        b'{"supervisord": 4711, "starts_boot_ns": [1e999]}',
        b"[" * 100_000,
    ],
)
def test_a_file_when_damaged_keeps_no_service_from_starting_and_counts_again(paths: HomePaths, content: bytes) -> None:
    (paths.run / "risk.starts.json").write_bytes(content)
    assert _note(paths, 0, 1, 2, 3, 4) == [True, True, True, True, False]

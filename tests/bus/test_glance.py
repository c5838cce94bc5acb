"""How old a look into the control folder may be when market data is decided on."""

import os
from pathlib import Path

import pytest

from bus.clock import utc_ns
from bus.control import ControlFolder
from bus.glance import Glance
from config.paths import HomePaths

_MS = 1_000_000


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path)
    paths.make()
    return paths


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [1_000_000_000]
    monkeypatch.setattr("bus.glance.boot_ns", lambda: now[0])
    return now


@pytest.fixture
def glance(paths: HomePaths) -> Glance:
    _was_changed(paths, 100 * _MS)
    return Glance(ControlFolder(paths))


def _was_changed(paths: HomePaths, ago_ns: int) -> None:
    then = utc_ns() - ago_ns
    for folder in (paths.control, paths.halts):
        os.utime(folder, ns=(then, then))


def test_a_look_when_it_is_the_first_asks_for_the_folder(glance: Glance, at: list[int]) -> None:
    assert glance.shows_change(7)
    at[0] += 10 * _MS
    assert not glance.shows_change(8)


def test_a_change_when_it_comes_is_seen_by_the_next_look_within_5_ms(
    glance: Glance, at: list[int], paths: HomePaths
) -> None:
    glance.shows_change(7)
    _was_changed(paths, 50 * _MS)
    at[0] += 4 * _MS
    assert not glance.shows_change(8), "the look is fresh"
    at[0] += 1 * _MS
    assert glance.shows_change(9)
    at[0] += 5 * _MS
    assert not glance.shows_change(10)


def test_the_first_step_of_a_replay_when_it_comes_is_never_decided_on_by_an_older_look(
    glance: Glance, at: list[int], paths: HomePaths
) -> None:
    glance.shows_change(390)
    _was_changed(paths, 50 * _MS)
    assert glance.shows_change(1)


def test_a_folder_when_it_may_still_be_changing_is_read_with_each_look(
    glance: Glance, at: list[int], paths: HomePaths
) -> None:
    _was_changed(paths, 0)
    assert glance.shows_change(7)
    at[0] += 5 * _MS
    assert glance.shows_change(8)

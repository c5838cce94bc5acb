"""The keeper of the universe: one build at a time, the key in the vault alone, failures told, a quick end."""

import logging
import threading
from pathlib import Path

import pytest
from finnhub_server import KEY, Answer, FinnhubServer, provision, said
from msgspec.structs import replace

from bus.lock import LockTakenError, service_lock
from config.env_bot import parse
from config.paths import HomePaths
from config.vault import Vault
from services.screener.finnhub_api import FinnhubError, FinnhubKeyError
from services.screener.settings import ScreenerSettings
from services.screener.universe_file import UniverseFileError
from services.screener.universe_keeper import LOCK, UniverseKeeper, build_universe, load_universe, universe_path

ROWS = [{"symbol": "AAA", "mic": "XNYS", "type": "Common Stock"}, {"symbol": "OTC", "mic": "OOTC", "type": "ADR"}]


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    made = HomePaths(tmp_path / "home")
    made.make()
    return made


def settings_of(paths: HomePaths) -> ScreenerSettings:
    return ScreenerSettings.from_env(parse(Vault(paths).open().settings))


def answering(server: FinnhubServer) -> None:
    server.answers |= {
        "stock/symbol": said(ROWS),
        "stock/profile2": said({"ticker": "AAA", "shareOutstanding": 2}),
        "stock/metric": said({"metric": {"peTTM": 9}}),
    }


def never(seconds: float) -> None:
    raise AssertionError(f"slept {seconds}")


def test_build_when_a_key_is_in_the_vault_then_the_universe_is_on_disk(paths: HomePaths, server: FinnhubServer) -> None:
    provision(paths)
    answering(server)
    settings = settings_of(paths)
    built = build_universe(paths, settings, sleep=never, report=lambda _: None, url=server.url)
    assert [name.symbol for name in load_universe(paths, settings).names] == ["AAA"]
    assert (built.asked, built.failed) == (1, 0)


def test_build_when_there_is_no_key_then_says_where_to_enter_it(paths: HomePaths, server: FinnhubServer) -> None:
    provision(paths, key="")
    with pytest.raises(FinnhubKeyError, match=r"no credential 'finnhub_api_key'.*configuration page"):
        build_universe(paths, settings_of(paths), sleep=never, report=lambda _: None, url=server.url)
    assert server.asked == []


def test_build_when_another_one_runs_then_it_is_refused(paths: HomePaths, server: FinnhubServer) -> None:
    provision(paths)
    with service_lock(paths, LOCK), pytest.raises(LockTakenError, match="Another universe-build"):
        build_universe(paths, settings_of(paths), sleep=never, report=lambda _: None, url=server.url)


def test_load_when_the_filters_were_others_then_it_is_refused_in_words(paths: HomePaths, server: FinnhubServer) -> None:
    provision(paths)
    answering(server)
    settings = settings_of(paths)
    build_universe(paths, settings, sleep=never, report=lambda _: None, url=server.url)
    with pytest.raises(UniverseFileError, match=r"built for UNIVERSE_MICS XNYS,XNAS,XASE,ARCX,BATS.*set otherwise now"):
        load_universe(paths, replace(settings, mics=("OOTC",)))
    assert load_universe(paths, replace(settings, mics=settings.mics[::-1])).names


def test_keeper_when_started_then_the_universe_comes_and_it_ends_at_once(
    paths: HomePaths, server: FinnhubServer
) -> None:
    provision(paths)
    answering(server)
    keeper = UniverseKeeper(paths, settings_of(paths), server.url)
    with pytest.raises(UniverseFileError, match="There is no universe"):
        keeper.universe()
    keeper.start()
    keeper.start()
    _wait_until(lambda: universe_path(paths).exists())
    assert [name.symbol for name in keeper.universe().names] == ["AAA"]
    keeper.check()
    keeper.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "universe"]
    keeper.check()


def test_keeper_when_told_to_end_in_a_wait_then_it_ends(paths: HomePaths, server: FinnhubServer) -> None:
    provision(paths)
    server.answers["stock/symbol"] = said({"error": "API limit reached."}, 429)
    keeper = UniverseKeeper(paths, settings_of(paths), server.url)
    keeper.start()
    _wait_until(lambda: bool(server.asked))
    keeper.close()
    _wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "universe"])


def test_keeper_when_a_build_fails_then_it_is_told_without_the_key(
    paths: HomePaths, server: FinnhubServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provision(paths)
    server.answers["stock/symbol"] = said({"error": f"Invalid API key {KEY}"}, 401)
    keeper = UniverseKeeper(paths, settings_of(paths), server.url)
    keeper.start()
    _wait_until(lambda: "not fresh" in caplog.text)
    keeper.close()
    assert "Finnhub refuses the API key: 401" in caplog.text
    assert "Tried again in 10 min." in caplog.text
    assert KEY not in caplog.text


def test_keeper_when_its_thread_dies_of_a_fault_then_the_service_does_not_go_on(
    paths: HomePaths, server: FinnhubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    provision(paths)
    keeper = UniverseKeeper(paths, settings_of(paths), server.url)

    def faulty() -> float:
        raise ZeroDivisionError

    monkeypatch.setattr(keeper, "_build_once", faulty)
    told: list[type] = []
    monkeypatch.setattr(threading, "excepthook", lambda fault: told.append(fault.exc_type))
    keeper.start()
    _wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "universe"])
    with pytest.raises(RuntimeError, match="has died"):
        keeper.check()
    assert told == [ZeroDivisionError]


def test_build_when_the_list_is_refused_then_no_file_is_written(paths: HomePaths, server: FinnhubServer) -> None:
    provision(paths)
    server.answers["stock/symbol"] = Answer(b"<html>", 404, kind="text/html")
    with pytest.raises(FinnhubError, match="404"):
        build_universe(paths, settings_of(paths), sleep=never, report=lambda _: None, url=server.url)
    assert not universe_path(paths).exists()


def _wait_until(holds: object) -> None:
    """Wait for another thread; it has a minute."""
    tick = threading.Event()
    for _ in range(3_000):
        if holds():  # type: ignore[operator]  # a function without arguments
            return
        tick.wait(0.02)
    raise AssertionError("it never came")
